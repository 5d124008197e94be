"""`instar check`: is a recipe sound, do its parts work; does a component keep the laws."""

from __future__ import annotations

from typing import Annotated

import typer


def command(
    what: Annotated[
        str | None, typer.Argument(help="A recipe, or ./file.py:Class of your own.")
    ] = None,
    sandbox: Annotated[
        bool, typer.Option("--sandbox", help="Try every isolation for model-written code.")
    ] = False,
    kind: Annotated[
        str | None, typer.Option(help="For a class: its kind, where its method leaves a choice.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="As for run.")] = None,
    base_url: Annotated[str | None, typer.Option(help="As for run.")] = None,
    tasks: Annotated[str | None, typer.Option(help="As for run.")] = None,
    setting: Annotated[list[str] | None, typer.Option("--set", help="As for run.")] = None,
    as_document: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Check a recipe and prove its parts work before compute is spent, or check a component."""
    # Imported here: --help must stay instant.
    from instar.cli import output
    from instar.cli.options import settings
    from instar.errors import MissingExtra, UsageError
    from instar.recipe import load, plan

    if sandbox:
        if what is not None:
            raise UsageError("--sandbox checks this machine; give it without a recipe")
        from instar.cli.isolation import show

        show(as_document)
        return
    if what is None:
        raise UsageError("give a recipe, ./file.py:Class, or --sandbox")
    proved = True
    if ".py:" in what:
        from instar.cli.laws import check_file

        found = check_file(what, kind)
        facts = [f"{what} is a {found} and keeps the laws of its kind"]
    else:
        given: dict[str, str | int | None] = {"model": model, "base_url": base_url}
        recipe = load(what, settings(given, tasks, setting or []))
        made = plan(recipe)
        from instar.session import preflight_only
        from instar.telemetry.console import Console

        facts = [f"{what}: the recipe is sound"]
        try:
            with Console() as console:
                facts += preflight_only(made, console.live)
        except MissingExtra as error:
            proved = False
            facts.append(f"its parts were not proved to work: {error}")
    if as_document:
        output.as_json({"checked": what, "facts": facts, "proved": proved})
        return
    for fact in facts:
        output.line(fact)
