"""Keep what a measured score admits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from instar.protocols import Context
from instar.types import Decision, Experience


@dataclass(frozen=True)
class ScoreAtLeast:
    """Keep experiences whose score is at least `threshold` (ReST-EM, arXiv 2312.06585, eq. 4).

    `source` names the assessor whose score counts; without it, the recipe's first. What could not
    be judged is dropped, and so is a sample that failed.
    """

    threshold: float = 1.0
    source: str = ""

    def __post_init__(self) -> None:
        """Refuse a threshold that no score can be compared with."""
        if not math.isfinite(self.threshold):
            raise ValueError(f"threshold is {self.threshold}; expected a finite number")

    def select(self, batch: Sequence[Experience], context: Context, /) -> list[Decision]:
        """Return one decision per experience, in order."""
        return [self._one(e.score(self.source)) for e in batch]

    def _one(self, score: float | None) -> Decision:
        if score is None:
            by = f" by {self.source}" if self.source else ""
            return Decision(keep=False, reason=f"not judged{by}")
        keep = score >= self.threshold
        told = f"{self.source or 'score'} {score:g} {'>=' if keep else '<'} {self.threshold:g}"
        return Decision(keep=keep, reason=told)


@dataclass(frozen=True)
class CapPerTask:
    """Keep at most `n` experiences of each task, so that easy tasks do not dominate.

    ReST-EM (arXiv 2312.06585) keeps 10. `prefer` orders them: as sampled, the shortest text first,
    or at random by the run's seed. A sample that failed is dropped and takes no place.
    """

    n: int
    prefer: Literal["first", "shortest", "random"] = "first"

    def __post_init__(self) -> None:
        """Refuse a cap that keeps nothing."""
        if self.n < 1:
            raise ValueError(f"n is {self.n}; expected at least 1")

    def select(self, batch: Sequence[Experience], context: Context, /) -> list[Decision]:
        """Return one decision per experience, in order."""
        places: dict[str, list[int]] = {}
        for i, experience in enumerate(batch):
            if experience.solution.error is None:
                places.setdefault(experience.task.id, []).append(i)
        reasons = dict.fromkeys(range(len(batch)), "the sample failed")
        kept: set[int] = set()
        for task, mine in places.items():
            ordered = self._ordered(batch, mine, task, context)
            kept.update(ordered[: self.n])
            for rank, i in enumerate(ordered, 1):
                reasons[i] = f"{self.prefer} order: {rank} of {len(mine)}, at most {self.n}"
        return [Decision(keep=i in kept, reason=reasons[i]) for i in range(len(batch))]

    def _ordered(
        self, batch: Sequence[Experience], mine: list[int], task: str, context: Context
    ) -> list[int]:
        if self.prefer == "shortest":
            return sorted(mine, key=lambda i: (len(batch[i].solution.text), i))
        if self.prefer == "random":
            order = context.rng("cap_per_task", task).permutation(len(mine))
            return [mine[i] for i in order]
        return mine
