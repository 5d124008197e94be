"""`instar export`: a learner as a folder that plain transformers and PEFT load."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    directory: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")],
    learner: Annotated[str, typer.Argument(help="As for show.")] = "head",
    to: Annotated[Path, typer.Option(help="Where to write; a new or empty folder.")] = ...,  # type: ignore[assignment]
    merged: Annotated[
        bool, typer.Option("--merged", help="The whole model, not the adapter alone.")
    ] = False,
) -> None:
    """Export a learner: its adapter for PEFT, or with --merged a whole model for transformers."""
    # Imported here: --help must stay instant.
    from instar.cli import output
    from instar.engines.export import export
    from instar.store.folder import RunFolder
    from instar.store.queries import find_learner

    folder = RunFolder(directory)
    with folder.open_for_reading() as ledger:
        found = find_learner(ledger, learner)
        export(found, folder.artefacts, to, merged)
    what = "a whole model" if merged else "a PEFT adapter"
    output.line(f"wrote learner {found.id} to {to} as {what}")
    if found.prompt is not None:
        output.line("its standing prompt is no part of that: `instar show` tells it")
