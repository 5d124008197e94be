"""`instar resume`: go on where a run stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from instar.cli.run import NOT_IMPROVED


def command(directory: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")]) -> None:
    """Go on with a run that was stopped or died; exit codes as for `run`."""
    # Imported here: --help must stay instant.
    from instar.session import resume
    from instar.telemetry.console import Console

    with Console() as console:
        result = resume(directory, console)
    raise typer.Exit(0 if result.improved else NOT_IMPROVED)
