"""Compare the final answer with the reference."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

from instar.acquisition.feedback.answer import Extract, gold, read, same_number, same_text
from instar.acquisition.feedback.worker import Item, Judged, worker
from instar.protocols import Context
from instar.types import Experience, Feedback

SOURCE = "answer_match"
TRUNCATED = "right, but the solution did not end"
HALF = ("1/2", "0.5")  # what every process that compares must find equal


@dataclass(frozen=True)
class AnswerMatch:
    """Score 1 if the final answer is the reference, else 0; None where there is no reference.

    `match` compares as numbers, exactly (`numeric`; what is no number, as text), as text (`exact`),
    or by math-verify. `extract` says where the answer stands; of a reference that is a worked
    solution, its answer counts. With `finished`, a solution that was cut off scores 0. math-verify
    runs in a process of its own, with `timeout_s` seconds of processor time for one answer; what
    takes longer is "could not judge". A right answer for wrong reasons passes (Zelikman et al.
    2022, arXiv 2203.14465).
    """

    match: Literal["numeric", "exact", "math_verify"] = "numeric"
    extract: Extract = "last_number"
    finished: bool = False
    timeout_s: float = 5.0

    def __post_init__(self) -> None:
        """Refuse a time limit nothing can keep, and a package that is not there."""
        if not 0 < self.timeout_s <= 3600:
            raise ValueError(
                f"timeout_s is {self.timeout_s}; expected seconds, above 0, up to 3600"
            )
        if self.match == "math_verify" and find_spec("math_verify") is None:
            raise ValueError("match: math_verify needs pip install 'instar[math]'")

    def assess(self, batch: Sequence[Experience], context: Context, /) -> list[Feedback]:
        """Return one feedback per experience, in order."""
        answers = [read(e.solution.text, self.extract) for e in batch]
        pairs = {
            i: (answer, gold(e.task.reference, self.extract))
            for i, (e, answer) in enumerate(zip(batch, answers, strict=True))
            if e.task.reference is not None and e.solution.error is None and answer is not None
        }
        judged = dict(zip(pairs, self._compare(list(pairs.values())), strict=True))
        return [
            self._feedback(e, answer, judged.get(i) or _unread(e))
            for i, (e, answer) in enumerate(zip(batch, answers, strict=True))
        ]

    def _compare(self, pairs: Sequence[tuple[str, str]]) -> Sequence[Judged]:
        if self.match == "math_verify":
            return worker(verified, HALF).map(pairs, self.timeout_s) if pairs else []
        same = same_number if self.match == "numeric" else same_text
        return [(float(same(*pair)), None) for pair in pairs]

    def _feedback(self, experience: Experience, answer: str | None, judged: Judged) -> Feedback:
        score, critique = judged
        if score and self.finished and not experience.solution.finished:
            score, critique = 0.0, TRUNCATED
        return Feedback(source=SOURCE, score=score, critique=critique, answer=answer)


def _unread(experience: Experience) -> Judged:
    """Return what is said of an experience with nothing to compare."""
    if experience.solution.error is not None:
        return None, f"the sample failed: {experience.solution.error}"
    if experience.task.reference is None:
        return None, "the task has no reference answer"
    return 0.0, "no answer found"


def verified(item: Item) -> Judged:
    """Compare (answer, reference) by math-verify, in the worker."""
    # Imported here: an optional extra, and only the worker needs it.
    from math_verify import parse, verify

    answer, reference = item
    if same_text(answer, reference):
        return 1.0, None
    # Without a limit of its own, it says so for every answer; the worker keeps the limit.
    logging.disable()
    right, given = (
        parse(f"${text.replace('$', ' ')}$", parsing_timeout=None) for text in (reference, answer)
    )
    if not right:
        return None, "math-verify cannot read the reference"
    return float(verify(right, given, timeout_seconds=None)), None
