"""Practise the tasks of the train split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from instar.protocols import Context
from instar.types import Task, digest


@dataclass(frozen=True)
class FixedSet:
    """The train split, or `per_iteration` tasks of it at a time; proposes nothing of its own.

    With `fresh`, iterations walk through one shuffled order of the split, which depends on the
    run's seed alone: no task comes again before all have been used, then the walk starts over.
    Without, every iteration practises the same tasks. Assumes that the split stays as it is.
    """

    per_iteration: int | None = None
    fresh: bool = True

    def __post_init__(self) -> None:
        """Refuse a number that asks for nothing."""
        if self.per_iteration is not None and self.per_iteration < 1:
            raise ValueError(f"per_iteration is {self.per_iteration}; expected at least 1, or none")

    def propose(self, context: Context, /) -> Sequence[Task]:
        """Return the tasks of `context.iteration`."""
        pool = context.train
        if self.per_iteration is None or self.per_iteration >= len(pool):
            return pool
        # `context.rng` would shuffle anew in every iteration.
        key = int(digest("fixed_set", context.seed), 16)
        order = np.random.Generator(np.random.Philox(key=key)).permutation(len(pool))
        start = (context.iteration - 1) * self.per_iteration if self.fresh else 0
        return [pool[order[(start + i) % len(pool)]] for i in range(self.per_iteration)]
