"""`instar recipes`: what comes with instar."""

from __future__ import annotations

from typing import Annotated

import typer


def command(
    name: Annotated[str | None, typer.Argument(help="Show this one.")] = None,
    as_document: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """List the built-in recipes, or show one as YAML."""
    # Imported here: --help must stay instant.
    from pathlib import Path

    from instar.cli import output
    from instar.recipe import built_in, load, path_of

    if name is not None:
        recipe = load(name)
        if as_document:
            output.as_json(recipe.data)
        else:
            output.line(Path(path_of(name)).read_text(encoding="utf-8"))
        return
    found = [load(n).data for n in built_in()]
    if as_document:
        keys = ("recipe", "about", "paper")
        output.as_json([{k: r.get(k, "") for k in keys} for r in found])
        return
    rows = [[str(r.get(k, "")) for k in ("recipe", "about", "paper")] for r in found]
    output.table("recipes", ["recipe", "what it does", "paper"], rows)
