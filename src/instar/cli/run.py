"""`instar run`: a recipe improves a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

NOT_IMPROVED = 4  # exit code: finished, and the model is not better


def command(
    recipe: Annotated[str, typer.Argument(help="A built-in recipe or a YAML file.")],
    model: Annotated[
        str | None, typer.Option(help="smollm2, a folder, a hub name, or openai:NAME.")
    ] = None,
    base_url: Annotated[str | None, typer.Option(help="Endpoint of an openai: model.")] = None,
    tasks: Annotated[
        str | None,
        typer.Option(help="A JSONL file, a datasets folder, or reasoning_gym:NAME[,KEY=VALUE]."),
    ] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="a.b.c=VALUE of the recipe.")
    ] = None,
    iterations: Annotated[int | None, typer.Option(help="How many turns of the cycle.")] = None,
    seed: Annotated[int | None, typer.Option(help="All randomness follows from it.")] = None,
    directory: Annotated[
        Path | None, typer.Option("--dir", help="Run folder; default runs/RECIPE-N.")
    ] = None,
    budget: Annotated[str | None, typer.Option(help="5m, 1h30m or 200k-tokens.")] = None,
    sandbox: Annotated[
        str | None,
        typer.Option(help="Isolation for model-written code: bwrap, landlock, wasi or none."),
    ] = None,
    train_unprotected: Annotated[
        bool, typer.Option(help="With --sandbox none: train on what was judged unprotected.")
    ] = False,
    control: Annotated[
        str | None, typer.Option(help="`random`: train a rival on unfiltered samples.")
    ] = None,
) -> None:
    """Run a recipe; exit code 0 if the model is better, 4 if it is not."""
    # Imported here: --help must stay instant.
    from instar.cli.options import settings
    from instar.recipe import load
    from instar.session import start
    from instar.telemetry.console import Console

    given = {
        "model": model,
        "base_url": base_url,
        "iterations": iterations,
        "seed": seed,
        "budget": budget,
        "control": control,
    }
    read = load(recipe, settings(given, tasks, setting or []))
    with Console() as console:
        place = directory or _free(read.name)
        result = start(read, place, console, sandbox, train_unprotected)
    raise typer.Exit(0 if result.improved else NOT_IMPROVED)


def _free(name: str) -> Path:
    """Return `runs/NAME-N` for the first N that is not taken."""
    number = 1
    while (path := Path("runs") / f"{name}-{number}").exists():
        number += 1
    return path
