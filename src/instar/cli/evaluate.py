"""`instar eval`: measure a model, or a learner of a run, on given tasks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from instar.types import Report, Score, Task


def command(
    what: Annotated[str, typer.Argument(metavar="RUN|MODEL", help="A run folder, or a model.")],
    tasks: Annotated[str, typer.Option(help="As for run.")],
    learner: Annotated[str, typer.Option(help="Which learner of the run; as for show.")] = "head",
    limit: Annotated[int | None, typer.Option(help="At most this many tasks.")] = None,
    recipe: Annotated[
        str, typer.Option(help="For a model: the recipe whose measures are taken.")
    ] = "rest_em",
    base_url: Annotated[str | None, typer.Option(help="Endpoint of an openai: model.")] = None,
    setting: Annotated[list[str] | None, typer.Option("--set", help="As for run.")] = None,
    as_document: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Measure a model or a learner on tasks, with the measures of its recipe."""
    # Imported here: --help must stay instant.
    from instar.cli import output
    from instar.cli.loaded import bare, opened, recipe_of
    from instar.cli.options import settings
    from instar.cli.sealed import record_opening
    from instar.errors import UsageError
    from instar.events import Note, StepStarted
    from instar.recipe import changed, load, plan
    from instar.steps import one, several
    from instar.telemetry.console import Console

    run, console = Path(what), Console()
    of_a_run = (run / "recipe.yaml").is_file()
    if of_a_run:
        made = plan(changed(recipe_of(run), settings({}, tasks, setting or [])))
        opening = opened(run, learner, console)
    else:
        given: dict[str, str | int | None] = {"model": what, "base_url": base_url}
        made = plan(load(recipe, settings(given, tasks, setting or [])))
        opening = bare(made, console)
    if limit is not None and limit < 1:
        raise UsageError(f"--limit {limit}: expected at least 1")
    asked = list(several(made.source, lambda: made.source.load(limit, made.seed), Task))[:limit]
    with console, opening as context:
        if of_a_run and (told := record_opening(run, context.learner, asked)):
            console(Note(text=told, level="warning"))
        isolation = context.sandbox.facts() if context.sandbox else ()
        for fact in (*context.engine.facts(), *isolation):
            console(Note(text=fact))
        console(StepStarted(step="evaluate", unit="tasks", total=len(asked)))
        reports = [
            one(m, lambda m=m: m.measure(context.learner, asked, context), Report)  # type: ignore[misc]
            for m in made.measures
        ]
    scores = [s for r in reports for s in r.scores]
    findings = [f for r in reports for f in r.findings]
    if as_document:
        output.as_json(
            {
                "learner": context.learner.id,
                "tasks": len(asked),
                "scores": scores,
                "findings": findings,
            }
        )
        return
    _show(f"{what} on {tasks}", scores, findings)


def _show(title: str, scores: Sequence[Score], findings: Sequence[str]) -> None:
    # Imported here: see above.
    from instar.cli import output

    rows = [[s.name, f"{s.value:.3f}", f"{s.low:.3f} to {s.high:.3f}", str(s.n)] for s in scores]
    output.table(title, ["measure", "value", "95% interval", "n"], rows)
    for finding in findings:
        output.line(finding)
