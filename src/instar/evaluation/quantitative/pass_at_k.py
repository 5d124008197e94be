"""How often at least one of k samples solves a task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from instar.evaluation.answers import answered, outcome, unjudged
from instar.evaluation.statistics import LEVEL, pass_at_k
from instar.protocols import Assessor, Context
from instar.types import Learner, Report, Sampling, Score, Task


@dataclass(frozen=True)
class PassAtK:
    """Unbiased pass@k (Chen et al. 2021, arXiv 2107.03374) for each of `k`, from `samples` each.

    The interval is Student's t over the tasks. A fall at large k while pass@1 rises is the sign of
    lost diversity (arXiv 2504.13837). Samples that could not be judged are left out of their task.
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
        """Return `pass@k` for each k, with an outcome for every sample."""
        sampling = Sampling(temperature=self.temperature, max_tokens=self.max_tokens)
        judged = answered(learner, tasks, (sampling, self.samples, None), self.checker, context)
        outcomes = tuple(outcome(e) for e in judged)
        by_task: dict[str, list[bool]] = {}
        for o in outcomes:
            if o.score is not None:
                by_task.setdefault(o.task, []).append(o.score >= 1)
        scores = tuple(_score(k, list(by_task.values())) for k in self.k)
        return Report(
            learner=learner.id,
            split="",
            scores=scores,
            outcomes=outcomes,
            findings=unjudged(outcomes),
        )


def _score(k: int, tasks: Sequence[Sequence[bool]]) -> Score:
    values = [pass_at_k(len(t), sum(t), k) for t in tasks if len(t) >= k]
    n, mean = len(values), float(np.mean(values)) if values else 0.0
    spread = float(stats.sem(values)) if n > 1 else 0.0
    half = float(stats.t.ppf((1 + LEVEL) / 2, n - 1)) * spread if n > 1 else 1.0
    return Score(
        name=f"pass@{k}", value=mean, low=max(0.0, mean - half), high=min(1.0, mean + half), n=n
    )
