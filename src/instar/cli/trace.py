"""`instar trace`: from a task to its samples, their verdicts, and who was trained on them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    directory: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")],
    name: Annotated[
        str, typer.Argument(metavar="ID", help="A task (your id, or ours) or a sample.")
    ],
    as_document: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Trace a task: samples, feedback, kept or dropped and why, trained in which learner."""
    # Imported here: --help must stay instant.
    from instar.cli import output
    from instar.store.folder import RunFolder
    from instar.store.queries import trace

    with RunFolder(directory).open_for_reading() as ledger:
        found = trace(ledger, name)
    if as_document:
        output.as_json(found)
        return
    task = found.task
    output.line(f"task {task.id} {task.name} ({found.split} split), answer {task.reference}")
    output.line(task.prompt)
    rows = []
    for story in found.stories:
        e = story.experience
        rows.append(
            [
                f"{e.iteration} {e.made_by} {e.solution.sample}",
                e.solution.error or e.solution.text,
                "; ".join(f"{f.source} {f.score} {f.critique or ''}" for f in story.feedback),
                "; ".join(
                    f"{'kept' if d.keep else 'dropped'} by {d.filter}: {d.reason}"
                    for d in story.decisions
                ),
                ", ".join(i[:8] for i in story.trained),
            ]
        )
    if rows:
        output.table("samples", ["made in", "solution", "feedback", "decisions", "trained"], rows)
    if found.outcomes:
        shown = [[i[:8], str(o.score), o.text] for i, o in found.outcomes]
        output.table("as a held-out task", ["learner", "score", "answer"], shown)
