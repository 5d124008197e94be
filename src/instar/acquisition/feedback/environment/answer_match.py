"""Compare the final answer with the reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

from instar.acquisition.feedback.answer import Extract, read, same_number, same_text
from instar.acquisition.feedback.worker import worker
from instar.protocols import Context
from instar.types import Experience, Feedback


@dataclass(frozen=True)
class AnswerMatch:
    """Score 1 if the final answer is the reference, else 0; None where there is no reference.

    `match` compares as numbers (`numeric`), as text (`exact`) or by math-verify. `extract` says
    where the answer stands. With `finished`, a solution that was cut off scores 0. Everything is
    compared in a process of its own that is killed after `timeout_s` seconds on one answer; that
    answer is then "could not judge". An answer check passes right answers for wrong reasons
    (Zelikman et al. 2022, arXiv 2203.14465).
    """

    match: Literal["numeric", "exact", "math_verify"] = "numeric"
    extract: Extract = "last_number"
    finished: bool = False
    timeout_s: float = 5.0

    def __post_init__(self) -> None:
        """Refuse a time limit nothing can keep."""
        if not self.timeout_s > 0:
            raise ValueError(f"timeout_s is {self.timeout_s}; expected seconds above 0")
        if self.match == "math_verify" and find_spec("math_verify") is None:
            raise ValueError("match: math_verify needs pip install 'instar[math]'")

    def assess(self, batch: Sequence[Experience], context: Context, /) -> list[Feedback]:
        """Return one feedback per experience, in order."""
        judged = [i for i, e in enumerate(batch) if _reason(e) is None]
        items = [
            (self.match, self.extract, batch[i].solution.text, batch[i].task.reference or "")
            for i in judged
        ]
        found = dict(zip(judged, worker(compare).map(items, self.timeout_s), strict=True))
        return [
            self._feedback(e, *found[i])
            if i in found
            else Feedback(source="answer_match", score=None, critique=_reason(e))
            for i, e in enumerate(batch)
        ]

    def _feedback(
        self, experience: Experience, score: float | None, critique: str | None
    ) -> Feedback:
        answer = read(experience.solution.text, self.extract)
        if self.finished and not experience.solution.finished and score:
            score, critique = 0.0, "right, but the solution did not end"
        return Feedback(source="answer_match", score=score, critique=critique, answer=answer)


def _reason(experience: Experience) -> str | None:
    """Return why there is nothing to compare, or None."""
    if experience.solution.error is not None:
        return f"the sample failed: {experience.solution.error}"
    return "the task has no reference answer" if experience.task.reference is None else None


def compare(item: tuple[str, ...]) -> tuple[float | None, str | None]:
    """Judge one (match, extract, solution, reference) in the worker; a missing answer scores 0."""
    match, extract, text, reference = item
    answer = read(text, extract)  # type: ignore[arg-type]
    if answer is None:
        return 0.0, "no answer found"
    if match == "math_verify":
        return _verified(answer, reference), None
    same = same_number if match == "numeric" else same_text
    return float(same(answer, reference)), None


def _verified(answer: str, reference: str) -> float:
    # Imported here: an optional extra, and only the worker needs it.
    from math_verify import parse, verify

    return float(verify(parse(f"${reference}$"), parse(f"${answer}$")))
