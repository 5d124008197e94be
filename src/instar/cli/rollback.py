"""`instar rollback`: make an earlier learner the current one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    directory: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")],
    learner: Annotated[str, typer.Argument(help="As for show.")],
) -> None:
    """Move the head to a learner: what export, chat and eval take; nothing is deleted."""
    # Imported here: --help must stay instant.
    from instar.cli import output
    from instar.store.folder import RunFolder
    from instar.store.queries import find_learner, learners

    with RunFolder(directory).open_for_writing() as ledger:
        found = find_learner(ledger, learner)
        last = max(i for i, _ in learners(ledger))
        ledger.move_head(found.id, last, "rollback")
    output.line(f"the head is now learner {found.id}")
