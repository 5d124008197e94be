"""`instar log`: the learners of a run, like commits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    directory: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")],
    as_document: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """List the learners of a run: accuracy with interval, the gate's word, rows, tokens, time."""
    # Imported here: --help must stay instant.
    from instar.cli import output
    from instar.store.folder import RunFolder
    from instar.store.queries import history, openings

    with RunFolder(directory).open_for_reading() as ledger:
        found, opened = history(ledger), openings(ledger)
    if as_document:
        output.as_json(found)
        return
    rows = []
    for e in found:
        mark = {True: "promoted", False: "rejected", None: e.arm}[e.accepted]
        score = e.accuracy
        accuracy = f"{100 * score.value:.1f}%" if score else "not measured"
        spread = f"{100 * score.low:.1f} to {100 * score.high:.1f}" if score else ""
        rows.append(
            [
                str(e.iteration),
                e.learner[:8] + (" *" if e.head else ""),
                accuracy,
                spread,
                mark,
                str(e.rows_trained),
                f"{e.tokens:,}",
                f"{e.seconds:.0f} s",
            ]
        )
    columns = ["it.", "learner", "accuracy", "95% interval", "gate", "rows", "tokens", "time"]
    output.table(f"{directory} (* is the head)", columns, rows)
    for e in found:
        if e.accepted is not None:
            output.line(f"{e.learner[:8]} {e.reason}")
    for o in opened:
        output.line(f"{o.learner[:8]} sealed split opened: {o.reason}")
