"""How often at least one of k samples solves a task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from instar.errors import ComponentError
from instar.evaluation.answers import Asking, answered, unjudged
from instar.evaluation.statistics import mean_share, pass_at_k
from instar.protocols import Assessor, Context
from instar.types import Learner, Outcome, Report, Sampling, Score, Task


@dataclass(frozen=True)
class PassAtK:
    """Unbiased pass@k (Chen et al. 2021, arXiv 2107.03374) for each of `k`, from `samples` each.

    The interval is over the tasks. A fall at large k while pass@1 rises is the sign of lost
    diversity (arXiv 2504.13837). A sample is right if `checker` gives it full marks, a score of 1
    or more; samples that could not be judged are left out of their task, and a task with fewer
    than k others is left out of pass@k: a finding says how many.
    """

    checker: Assessor
    k: tuple[int, ...] = (1, 8)
    samples: int = 8
    temperature: float = 0.7
    max_tokens: int = 256

    def __post_init__(self) -> None:
        """Refuse a k that the samples cannot give."""
        Sampling(temperature=self.temperature, max_tokens=self.max_tokens)
        if not self.k or min(self.k) < 1 or max(self.k) > self.samples:
            raise ValueError(f"k is {list(self.k)}; expected numbers from 1 to {self.samples}")

    def measure(self, learner: Learner, tasks: Sequence[Task], context: Context, /) -> Report:
        """Return `pass@k` for each k, with an outcome for every sample.

        Raises:
            ComponentError: without a task, or where not one has k samples that could be judged.
        """
        sampling = Sampling(temperature=self.temperature, max_tokens=self.max_tokens)
        how = Asking(sampling=sampling, n=self.samples)
        outcomes = answered(learner, tasks, how, self.checker, context)
        findings = list(unjudged(outcomes))
        judged = _judged(outcomes)
        scores = tuple(_score(k, judged) for k in self.k)
        for k, score in zip(self.k, scores, strict=True):
            if left := len(judged) - score.n:
                findings.append(
                    f"{score.name} leaves out {left} of {len(judged)} tasks with fewer than {k} "
                    "judged samples"
                )
        return Report(
            learner=learner.id,
            split="",
            scores=scores,
            outcomes=outcomes,
            findings=tuple(findings),
        )


def _judged(outcomes: Sequence[Outcome]) -> list[list[float]]:
    """Return the scores of the judged samples of each task, of some tasks none."""
    found: dict[str, list[float]] = {}
    for o in outcomes:
        found.setdefault(o.task, []).extend([] if o.score is None else [o.score])
    return list(found.values())


def _score(k: int, tasks: Sequence[Sequence[float]]) -> Score:
    values = [pass_at_k(len(t), round(sum(t)), k) for t in tasks if len(t) >= k]
    if not values:
        raise ComponentError(f"pass@{k}: not one of {len(tasks)} tasks has {k} judged samples")
    mean, low, high = mean_share(values)
    return Score(name=f"pass@{k}", value=mean, low=low, high=high, n=len(values))
