"""The share of held-out tasks that the learner's greedy answer solves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from instar.evaluation.answers import answered, outcome, unjudged
from instar.evaluation.statistics import wilson
from instar.protocols import Assessor, Context
from instar.types import Experience, Learner, Report, Sampling, Score, Task

LEAST = 10  # tasks with a tag, below which its accuracy is not reported; ours


@dataclass(frozen=True)
class Accuracy:
    """Greedy accuracy with its Wilson interval, overall and by the tasks' tags.

    An answer is right if `checker` scores it 1 or more; what could not be judged is left out and
    counted in a finding. `form` is the share of answers that ended by themselves and held a final
    answer: a gain in accuracy that is all in `form` is a gain in form.
    """

    checker: Assessor
    max_tokens: int = 256
    instruction: str | None = None

    def __post_init__(self) -> None:
        """Refuse a length no engine can honour."""
        Sampling(max_tokens=self.max_tokens)

    def measure(self, learner: Learner, tasks: Sequence[Task], context: Context, /) -> Report:
        """Return `accuracy`, `form` and `accuracy[TAG]`, with an outcome for every task."""
        how = (Sampling(max_tokens=self.max_tokens), 1, self.instruction)
        judged = answered(learner, tasks, how, self.checker, context)
        outcomes = tuple(outcome(e) for e in judged)
        findings = unjudged(outcomes)
        right = [o.score >= 1 for o in outcomes if o.score is not None]
        formed = [o.finished and o.answer is not None for o in outcomes]
        scores = [share("accuracy", right), share("form", formed), *_by_tag(judged)]
        return Report(
            learner=learner.id,
            split="",
            scores=tuple(scores),
            outcomes=outcomes,
            findings=findings,
        )


def share(name: str, hits: Sequence[bool]) -> Score:
    """Return the share of `hits` that are true, with its interval."""
    n = len(hits)
    low, high = wilson(sum(hits), n)
    return Score(name=name, value=sum(hits) / n if n else 0.0, low=low, high=high, n=n)


def _by_tag(judged: Sequence[Experience]) -> list[Score]:
    hits: dict[str, list[bool]] = {}
    for experience in judged:
        score = experience.score()
        for tag in experience.task.tags if score is not None else ():
            hits.setdefault(tag, []).append((score or 0) >= 1)
    return [share(f"accuracy[{t}]", hits[t]) for t in sorted(hits) if len(hits[t]) >= LEAST]
