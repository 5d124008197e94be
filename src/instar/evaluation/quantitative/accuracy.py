"""The share of held-out tasks that the learner's greedy answer solves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from instar.evaluation.answers import FORM, Asking, answered, formed, unjudged
from instar.evaluation.statistics import wilson
from instar.protocols import Assessor, Context
from instar.types import Learner, Outcome, Report, Sampling, Score, Task

LEAST = 10  # tasks with a tag, below which its accuracy is not reported; ours


@dataclass(frozen=True)
class Accuracy:
    """Greedy accuracy with its Wilson interval, overall and by the tasks' tags.

    An answer is right if `checker` gives it full marks, a score of 1 or more. What could not be
    judged, a failed request included, is left out and counted in a finding. `form` is the share of
    judged answers that ended by themselves and held a final answer: a gain in accuracy that is all
    in `form` is a gain in form. `instruction` is added to each task.
    """

    checker: Assessor
    max_tokens: int = 256
    instruction: str | None = None

    def __post_init__(self) -> None:
        """Refuse a length no engine can honour."""
        Sampling(max_tokens=self.max_tokens)

    def measure(self, learner: Learner, tasks: Sequence[Task], context: Context, /) -> Report:
        """Return `accuracy`, `form` and `accuracy[TAG]`, with an outcome for every task.

        Raises:
            ComponentError: without a task, or if not one answer could be judged.
        """
        how = Asking(sampling=Sampling(max_tokens=self.max_tokens), instruction=self.instruction)
        outcomes = answered(learner, tasks, how, self.checker, context)
        findings = unjudged(outcomes)
        right = [o.score for o in outcomes if o.score is not None]
        form = [f for _, f in formed(outcomes) if f is not None]
        tagged = _by_tag(tasks, outcomes)
        return Report(
            learner=learner.id,
            split="",
            scores=(_share("accuracy", right), _share(FORM, form), *tagged),
            outcomes=outcomes,
            findings=findings,
        )


def _share(name: str, hits: Sequence[float]) -> Score:
    n, right = len(hits), round(sum(hits))
    low, high = wilson(right, n)
    return Score(name=name, value=right / n, low=low, high=high, n=n)


def _by_tag(tasks: Sequence[Task], outcomes: Sequence[Outcome]) -> list[Score]:
    hits: dict[str, list[float]] = {}
    for task, outcome in zip(tasks, outcomes, strict=True):
        for tag in task.tags if outcome.score is not None else ():
            hits.setdefault(tag, []).append(outcome.score or 0.0)
    return [_share(f"accuracy[{t}]", hits[t]) for t in sorted(hits) if len(hits[t]) >= LEAST]
