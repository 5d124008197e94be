"""What no training row may be: filters that the run puts before the recipe's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from instar.acquisition.tasks.splits import Overlap
from instar.protocols import Context
from instar.types import Decision, Experience, Task


@dataclass(frozen=True)
class NotHeldOut:
    """Drop experiences whose task or solution overlaps with a task of `heldout`."""

    heldout: tuple[Task, ...]

    def select(self, batch: Sequence[Experience], context: Context, /) -> list[Decision]:
        """Return one decision per experience; the reason names the overlap."""
        overlap = Overlap(self.heldout, context.train)
        found = [overlap.find(f"{e.task.prompt}\n{e.solution.text}") for e in batch]
        return [Decision(keep=f is None, reason=f or "no overlap") for f in found]


@dataclass(frozen=True)
class NotUnprotected:
    """Drop everything: what was judged by code that ran without a sandbox may be forged."""

    def select(self, batch: Sequence[Experience], context: Context, /) -> list[Decision]:
        """Return one decision per experience."""
        reason = "its code ran without a sandbox; --train-unprotected would keep it"
        return [Decision(keep=False, reason=reason) for _ in batch]
