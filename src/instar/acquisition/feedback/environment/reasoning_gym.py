"""The scorers that reasoning-gym brings, with the guards they need."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Literal, Protocol, cast

from instar.acquisition.feedback.answer import TAIL, Extract, number, read
from instar.acquisition.feedback.environment.answer_match import TRUNCATED
from instar.acquisition.feedback.environment.evaluated import evaluated
from instar.acquisition.feedback.environment.programs import sandbox_of
from instar.acquisition.feedback.worker import Item, Judged, worker
from instar.acquisition.tasks.reasoning_gym import EXECUTES_ANSWERS
from instar.errors import DataError, UsageError
from instar.protocols import Context
from instar.types import Experience, Feedback

SOURCE = "reasoning_gym_score"
REWARDS_ANYTHING = frozenset({"game_of_life_halting"})  # any answer; seen in 0.1.25
# Relative; the scorers that tolerate an error tolerate less; ours.
FAR = 0.01
_TAG = re.compile(r"<answer>([^<]*)</answer>")
SUM = (json.dumps({"dataset": "chain_sum", "question": "1 + 1 =", "answer": "2"}), "2")


class _Scorer(Protocol):
    def score_answer(self, answer: str, entry: Mapping[str, object]) -> float: ...


@dataclass(frozen=True)
class ReasoningGymScore:
    """Score 1 where the data set's own scorer gives full marks, else 0.

    For tasks of the source `reasoning_gym` (arXiv 2505.24760), judged with the data set's default
    options. The final answer is taken out first: the last `<answer>` tag, or what `extract` reads;
    `auto` reads the last number where the known answer is one, else the last line. Partial credit
    counts as failure: the scorers give some for the right string anywhere in a long answer. A
    scorer that raises, and an empty answer, score 0; so does full marks for a number that is more
    than a hundredth off (coin_flip gives them to `0`, gsm_symbolic to `-57` for 57). Data sets
    whose scorer rewards any answer are refused. The nine scorers that evaluate the answer as Python
    run in the sandbox, and only for answers that are plain expressions; the others run in a process
    of their own. `timeout_s` is processor time for one answer; beyond it could not judge.
    """

    extract: Extract | Literal["auto"] = "auto"
    finished: bool = False
    timeout_s: float = 5.0

    def __post_init__(self) -> None:
        """Refuse a time limit nothing can keep, and a package that is not there."""
        if not 0 < self.timeout_s <= 3600:
            raise ValueError(
                f"timeout_s is {self.timeout_s}; expected seconds, above 0, up to 3600"
            )
        if find_spec("reasoning_gym") is None:
            raise ValueError("reasoning_gym_score needs pip install 'instar[gym]'")

    def assess(self, batch: Sequence[Experience], context: Context, /) -> list[Feedback]:
        """Return one feedback per experience, in order.

        Raises:
            UsageError: for a data set whose scorer rewards anything.
            ComponentError: if a sandbox is needed and none holds.
            DataError: for a task that reasoning-gym did not make.
        """
        answers = [self._answer(e.solution.text, _known(e)) for e in batch]
        items = {
            i: (e.task.material or "", answer)
            for i, (e, answer) in enumerate(zip(batch, answers, strict=True))
            if e.solution.error is None and answer is not None
        }
        apart = {i: item for i, item in items.items() if _dataset(item) in EXECUTES_ANSWERS}
        there = {i: item for i, item in items.items() if i not in apart}
        judged: dict[int, Judged] = {}
        if there:
            found = worker(marked, SUM).map(list(there.values()), self.timeout_s)
            judged.update(zip(there, found, strict=True))
        if apart:
            found = evaluated(sandbox_of(context), list(apart.values()), self.timeout_s)
            judged.update(zip(apart, found, strict=True))
        return [
            self._feedback(e, answer, judged.get(i) or _unread(e))
            for i, (e, answer) in enumerate(zip(batch, answers, strict=True))
        ]

    def _answer(self, text: str, known: object) -> str | None:
        tagged = _TAG.findall(text[-TAIL:])
        if tagged:
            return tagged[-1].strip() or None
        if self.extract != "auto":
            return read(text, self.extract)
        lines = str(known).strip().count("\n") + 1
        if lines > 1:  # a board, a matrix
            return "\n".join(text.strip().splitlines()[-lines:]) or None
        if number(str(known)) is None:
            return read(text, "last_line")
        found = read(text, "last_number")
        # The scorers compare text, and their own numbers hold no commas.
        return found.replace(",", "") if found else None

    def _feedback(self, experience: Experience, answer: str | None, judged: Judged) -> Feedback:
        score, critique = judged
        if score and self.finished and not experience.solution.finished:
            score, critique = 0.0, TRUNCATED
        return Feedback(source=SOURCE, score=score, critique=critique, answer=answer)


def _unread(experience: Experience) -> Judged:
    """Return what is said of an experience without an answer to score."""
    if experience.solution.error is not None:
        return None, f"the sample failed: {experience.solution.error}"
    return 0.0, "no answer found"


def _known(experience: Experience) -> object:
    """Return the answer that the task's material holds, if its data set can be scored."""
    try:
        entry = json.loads(experience.task.material or "")
        dataset, known = str(entry["dataset"]), entry["answer"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(
            f"reasoning_gym_score: task {experience.task.name or experience.task.id} was not made "
            "by the source reasoning_gym"
        ) from error
    if dataset in REWARDS_ANYTHING:
        raise UsageError(f"reasoning_gym_score: the scorer of {dataset!r} rewards any answer")
    return known


def _dataset(item: Item) -> str:
    return str(json.loads(item[0])["dataset"])


def marked(item: Item) -> Judged:
    """Score (material, answer) by the data set's own scorer, in the worker."""
    material, answer = item
    entry = json.loads(material)
    scorer = _scorer(str(entry["dataset"]))
    try:
        marks = float(scorer.score_answer(answer, entry))
    except Exception as error:  # a scorer that trips over an answer has not found it right
        return 0.0, f"the scorer raised {type(error).__name__}"
    if not marks >= 1:
        return 0.0, f"the scorer gave {marks:.3g}"
    if _far(answer, str(entry["answer"])):
        return 0.0, f"the scorer gave {marks:.3g}, but the answer is far off"
    return 1.0, None


@cache
def _scorer(dataset: str) -> _Scorer:
    # Imported here: an optional extra, slow to load, and only the worker needs it.
    import reasoning_gym

    return cast("_Scorer", reasoning_gym.create_dataset(dataset, size=1, seed=0))


def _far(answer: str, known: str) -> bool:
    given, right = number(answer), number(known)
    return given is not None and right is not None and abs(given - right) > FAR * abs(right)
