"""The scorers that reasoning-gym brings, with the guards they need."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from instar.acquisition.feedback.answer import Extract, read
from instar.acquisition.feedback.worker import worker
from instar.errors import DataError, UsageError
from instar.protocols import Context
from instar.types import Experience, Feedback

# These scorers run the model's answer as Python (`eval` or sympy's `parse_expr`); read in the
# source of reasoning-gym 0.1.25, and seen to run a payload.
EXECUTES_ANSWER = frozenset(
    {
        "binary_matrix",
        "countdown",
        "intermediate_integration",
        "n_queens",
        "polynomial_multiplication",
        "puzzle24",
        "simple_integration",
        "spiral_matrix",
        "string_insertion",
    }
)
# This scorer gives full marks to any answer that is not empty (seen in 0.1.25).
REWARDS_NOTHING = frozenset({"game_of_life_halting"})
_TAG = re.compile(r"<answer>([^<]*)</answer>")


@dataclass(frozen=True)
class ReasoningGymScore:
    """Score 1 where the data set's own scorer gives full marks, else 0.

    For tasks made by the source `reasoning_gym`. The final answer is taken out first: the last
    `<answer>` tag, or what `extract` reads. Partial credit counts as failure, since these scorers
    give some for the right string anywhere in a long answer; a scorer that raises scores 0; an
    empty answer scores 0. The nine data sets whose scorers execute the answer are refused.
    """

    extract: Extract = "last_line"
    finished: bool = False
    timeout_s: float = 5.0

    def assess(self, batch: Sequence[Experience], context: Context, /) -> list[Feedback]:
        """Return one feedback per experience, in order.

        Raises:
            UsageError: for a data set whose scorer cannot be trusted with a model's answer.
            DataError: for a task that reasoning-gym did not make.
        """
        for experience in batch:
            _refuse(_dataset(experience))
        judged = [i for i, e in enumerate(batch) if e.solution.error is None]
        items = [(batch[i].task.material or "", self._answer(batch[i]) or "") for i in judged]
        found = dict(zip(judged, worker(score).map(items, self.timeout_s), strict=True))
        return [self._feedback(e, found.get(i)) for i, e in enumerate(batch)]

    def _answer(self, experience: Experience) -> str | None:
        text = experience.solution.text
        tagged = _TAG.findall(text)
        return (tagged[-1].strip() or None) if tagged else read(text, self.extract)

    def _feedback(
        self, experience: Experience, judged: tuple[float | None, str | None] | None
    ) -> Feedback:
        name = "reasoning_gym_score"
        if judged is None:
            return Feedback(source=name, score=None, critique=experience.solution.error)
        score, critique = judged
        if self.finished and not experience.solution.finished and score:
            score, critique = 0.0, "right, but the solution did not end"
        answer = self._answer(experience)
        return Feedback(source=name, score=score, critique=critique, answer=answer)


def score(item: tuple[str, ...]) -> tuple[float | None, str | None]:
    """Judge one (material, answer) in the worker."""
    # Imported here: an optional extra, slow to load, and only the worker needs it.
    import reasoning_gym

    material, answer = item
    if not answer:
        return 0.0, "no answer found"
    entry = json.loads(material)
    scorer = reasoning_gym.create_dataset(entry["dataset"], size=1, seed=0)
    try:
        raw = float(scorer.score_answer(answer, entry))
    except Exception as error:  # a scorer that trips over an answer has not found it right
        return 0.0, f"the scorer raised {type(error).__name__}"
    return (1.0, None) if raw >= 1.0 else (0.0, f"the scorer gave {raw:.3g}")


def _dataset(experience: Experience) -> str:
    try:
        return str(json.loads(experience.task.material or "")["dataset"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"reasoning_gym_score: task {experience.task.name or experience.task.id} was not made "
            "by the source reasoning_gym"
        ) from error


def _refuse(dataset: str) -> None:
    if dataset in EXECUTES_ANSWER:
        raise UsageError(
            f"reasoning_gym_score: the scorer of {dataset!r} runs the model's answer as Python, "
            "which needs a sandbox; use answer_match where the task has a reference"
        )
    if dataset in REWARDS_NOTHING:
        raise UsageError(f"reasoning_gym_score: the scorer of {dataset!r} rewards any answer")
