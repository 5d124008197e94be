"""A look at the sealed split outside a run is an opening too, and is recorded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from instar.errors import StoreError, UsageError
from instar.store.folder import RunFolder
from instar.store.queries import held_out, openings
from instar.types import Learner, Opening, Task, digest


def record_opening(run: Path, learner: Learner, tasks: Sequence[Task]) -> str | None:
    """Record that a learner is measured on sealed tasks of a run, if it is; say so.

    Raises:
        UsageError: if it cannot be recorded; then they must not be looked at.
    """
    folder = RunFolder(run)
    with folder.open_for_reading() as ledger:
        sealed = held_out(ledger, "sealed")
        before = len(openings(ledger))
    seen = sum(t.id in sealed for t in tasks)
    if not seen:
        return None
    reason = f"instar eval on {seen} of its {len(sealed)} tasks"
    opening = Opening(learner=learner.id, reason=reason)
    try:
        with folder.open_for_writing() as ledger:
            ledger.record(digest("eval", learner.id, before), "open", 0, [opening], 0.0)
    except (UsageError, StoreError) as error:
        raise UsageError(
            f"{seen} of the tasks are of this run's sealed split, and that it is opened cannot be "
            f"recorded: {error}"
        ) from error
    return f"the sealed split of {run} is opened, and that is recorded: {reason}"
