"""`instar components`: what a recipe can name, with its parameters."""

from __future__ import annotations

from typing import Annotated

import typer


def command(
    kind: Annotated[str | None, typer.Argument(help="Only this kind, with parameters.")] = None,
    as_document: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """List the components of every kind, or the cards of one kind."""
    # Imported here: --help must stay instant.
    from instar.cli import output
    from instar.cli.cards import cards

    found = cards(kind)
    if as_document:
        output.as_json(found)
    elif kind is None:
        rows = [[c.kind, c.name, c.summary] for c in found]
        output.table("components", ["kind", "name", "what it does"], rows)
    else:
        for card in found:
            output.line(f"{card.name}", style="bold")
            output.line(card.text)
            for field in card.fields:
                output.line(f"  {field.name}: {field.type} = {field.default}")
            output.line("")
