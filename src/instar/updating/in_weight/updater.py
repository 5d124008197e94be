"""`f^U` in the weights: an adapter trained on what was kept makes the next learner."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from instar.protocols import Context, Trainer
from instar.types import Experience, Learner


@dataclass(frozen=True)
class InWeight:
    """Train an adapter on the experience that was kept, from the base model or the current learner.

    `start_from: base` tunes the original weights again in every iteration (STaR, arXiv 2203.14465;
    ReST-EM, arXiv 2312.06585); `previous` goes on from the current adapter (RFT by rounds, arXiv
    2308.01825, and the embedded demo). Memory and prompt of the current learner are kept, and the
    rows are shown with that prompt. Assumes that the rows fit in memory.
    """

    start_from: Literal["base", "previous"]
    train: Trainer

    def __post_init__(self) -> None:
        """Refuse a start that does not exist."""
        if self.start_from not in ("base", "previous"):
            raise ValueError(f"start_from is {self.start_from!r}; expected 'base' or 'previous'")

    def update(self, rows: Sequence[Experience], context: Context, /) -> Learner:
        """Return the learner with the new adapter; without rows, the current learner itself."""
        if not rows:
            return context.learner
        start = context.learner
        if self.start_from == "base":
            start = replace(start, base=context.base.base, adapter=context.base.adapter)
        context.scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="adapter-", dir=context.scratch) as place:
            folder = Path(place) / "adapter"
            self.train.fit(rows, start, folder, context)
            adapter = context.artefacts.add(folder)
        parents = (context.learner.id,)
        return replace(start, adapter=adapter, parents=parents, made_by="in_weight")
