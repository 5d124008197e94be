"""`instar new`: a working component to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    kind: Annotated[
        str,
        typer.Argument(
            help="source, proposer, solver, assessor, corrector, filter, updater, measure or gate."
        ),
    ],
    path: Annotated[Path, typer.Argument(help="The Python file to write.")],
) -> None:
    """Write a small working component of a kind, and say how a recipe names it."""
    # Imported here: --help must stay instant.
    from importlib import resources

    from instar.cli import output
    from instar.errors import UsageError, nearest

    folder = resources.files("instar").joinpath("cli", "templates")
    kinds = {f.name.removesuffix(".py.txt") for f in folder.iterdir()}
    if kind not in kinds:
        raise UsageError(f"there is no template for {kind!r}{nearest(kind, kinds)}")
    if path.exists():
        raise UsageError(f"{path} exists already; name another file")
    text = folder.joinpath(f"{kind}.py.txt").read_text(encoding="utf-8")
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
    name = text.partition("class ")[2].partition(":")[0]
    output.line(f"wrote {path}; a recipe names it `use: ./{path.name}:{name}`")
    output.line(f"check it with: instar check {path}:{name}")
