"""`instar show`: one learner of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from instar.types import Report


def command(
    directory: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")],
    learner: Annotated[
        str, typer.Argument(help="base, head, an iteration, or the start of an id.")
    ] = "head",
    as_document: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Show a learner: every measure, what it was trained on, and the funnel of its iteration."""
    # Imported here: --help must stay instant.
    from instar.cli import output
    from instar.store.folder import RunFolder
    from instar.store.queries import find_learner, funnel, history, openings, report

    with RunFolder(directory).open_for_reading() as ledger:
        found = find_learner(ledger, learner)
        entries = [e for e in history(ledger) if e.learner == found.id]
        # An iteration that kept nothing left the learner as it was, which other iterations made.
        entry = next((e for e in entries if str(e.iteration) == learner), entries[0])
        reports = [r for s in ("gate", "sealed") if (r := report(ledger, found.id, s))]
        opened = [o.reason for o in openings(ledger) if o.learner == found.id]
        counts = funnel(ledger, entry.iteration) if entry.iteration else {}
    scores = [
        {"split": r.split, "name": s.name, "value": s.value, "low": s.low, "high": s.high, "n": s.n}
        for r in reports
        for s in r.scores
    ]
    if as_document:
        output.as_json(
            {
                "learner": found.id,
                "base": found.base,
                "adapter": found.adapter,
                "prompt": found.prompt,
                "parents": found.parents,
                "iteration": entry.iteration,
                "accepted": entry.accepted,
                "reason": entry.reason,
                "rows_trained": entry.rows_trained,
                "scores": scores,
                "openings": opened,
                "funnel": counts,
            }
        )
        return
    output.line(f"learner {found.id} of iteration {entry.iteration}: {entry.reason}")
    output.line(f"base {found.base}, adapter {found.adapter or 'none'}")
    if found.prompt is not None:
        output.line(f"standing prompt: {found.prompt}")
    for reason in opened:
        output.line(f"sealed split opened: {reason}")
    _tables(reports, counts)


def _tables(reports: Sequence[Report], counts: Mapping[str, int]) -> None:
    # Imported here: see above.
    from instar.cli import output

    rows = [
        [r.split, s.name, f"{s.value:.3f}", f"{s.low:.3f} to {s.high:.3f}", str(s.n)]
        for r in reports
        for s in r.scores
    ]
    output.table("measures", ["split", "measure", "value", "95% interval", "n"], rows)
    if counts:
        output.table("funnel", ["what", "solutions"], [[k, str(v)] for k, v in counts.items()])
