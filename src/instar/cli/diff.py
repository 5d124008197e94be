"""`instar diff`: the held-out tasks on which two learners differ."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    directory: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")],
    one: Annotated[str, typer.Argument(help="A learner; as for show.")] = "base",
    other: Annotated[str, typer.Argument(help="Another; as for show.")] = "head",
    split: Annotated[str, typer.Option(help="gate, or sealed once it was opened.")] = "gate",
    limit: Annotated[int, typer.Option(help="Tasks shown of each kind; --json has all.")] = 10,
    as_document: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Show the held-out tasks one learner solves and the other does not, side by side."""
    # Imported here: --help must stay instant.
    from instar.cli import output
    from instar.errors import UsageError
    from instar.store.folder import RunFolder
    from instar.store.queries import find_learner, held_out, report

    with RunFolder(directory).open_for_reading() as ledger:
        first, second = find_learner(ledger, one), find_learner(ledger, other)
        reports = [report(ledger, m.id, split) for m in (first, second)]
        tasks = held_out(ledger, split)
    missing = [n for n, r in zip((one, other), reports, strict=True) if r is None]
    if missing:
        raise UsageError(f"{missing[0]} was not measured on the {split} split of this run")
    before, after = ({o.task: o for o in r.outcomes} for r in reports if r)
    found: dict[str, list[dict[str, str | None]]] = {"fixed": [], "broken": []}
    for task, old in before.items():
        new = after[task]
        if old.score is None or new.score is None or old.score == new.score:
            continue
        found["fixed" if new.score > old.score else "broken"].append(
            {
                "task": task,
                "prompt": tasks[task].prompt,
                "reference": tasks[task].reference,
                "before": old.text,
                "after": new.text,
            }
        )
    if as_document:
        output.as_json({"before": first.id, "after": second.id, "split": split, **found})
        return
    for kind, rows in found.items():
        output.table(
            f"{kind}: {len(rows)} tasks of {len(before)}",
            ["task", "prompt", "answer", one, other],
            [
                [
                    str(r["task"])[:8],
                    *(str(r[k]) for k in ("prompt", "reference", "before", "after")),
                ]
                for r in rows[:limit]
            ],
        )
