"""How the rows of a step lie in the tables: learners, reports, verdicts, openings."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from instar.store.codec import decode, encode, escape, unescape
from instar.store.rows import ASSESSED, EXPERIENCE, PLACED, PROPOSED, SIFTED, Kind
from instar.types import (
    Assessed,
    Experience,
    Opening,
    Outcome,
    Placed,
    Report,
    Score,
    Sifted,
    Task,
    Trained,
    Verdict,
)


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A report without its outcomes, which have rows of their own."""

    scores: tuple[Score, ...]
    findings: tuple[str, ...]


def _write_trained(db: sqlite3.Connection, first: int, rows: Sequence[Trained]) -> None:
    db.executemany(
        "INSERT INTO trained VALUES (?, ?, ?, ?, ?)",
        (
            (first + i, made.learner.id, escape(made.arm), len(made.rows), encode(made))
            for i, made in enumerate(rows)
        ),
    )


def _read_trained(db: sqlite3.Connection, first: int, after: int) -> list[Trained]:
    rows = db.execute(
        "SELECT json FROM trained WHERE row >= ? AND row < ? ORDER BY row", (first, after)
    )
    return [decode(Trained, text) for (text,) in rows]


def _write_reports(db: sqlite3.Connection, first: int, rows: Sequence[Report]) -> None:
    for row, made in enumerate(rows, start=first):
        summary = Summary(scores=made.scores, findings=made.findings)
        columns = (row, escape(made.learner), escape(made.split), encode(summary))
        db.execute("INSERT INTO report VALUES (?, ?, ?, ?)", columns)
        db.executemany(
            "INSERT INTO outcome (report, task, json) VALUES (?, ?, ?)",
            ((row, escape(o.task), encode(o)) for o in made.outcomes),
        )


def read_reports(db: sqlite3.Connection, first: int, after: int) -> list[Report]:
    """Return the reports in the rows from `first` until before `after`."""
    rows = db.execute(
        "SELECT row, learner, split, json FROM report WHERE row >= ? AND row < ? ORDER BY row",
        (first, after),
    ).fetchall()
    return [_report(db, *row) for row in rows]


def _report(db: sqlite3.Connection, row: int, learner: str, split: str, text: str) -> Report:
    summary = decode(Summary, text)
    outcomes = db.execute("SELECT json FROM outcome WHERE report = ? ORDER BY row", (row,))
    return Report(
        learner=unescape(learner),
        split=unescape(split),
        scores=summary.scores,
        outcomes=tuple(decode(Outcome, o) for (o,) in outcomes),
        findings=summary.findings,
    )


def _write_verdicts(db: sqlite3.Connection, first: int, rows: Sequence[Verdict]) -> None:
    db.executemany(
        "INSERT INTO verdict VALUES (?, ?, ?, ?)",
        (
            (first + i, escape(v.candidate), int(bool(v.accepted)), encode(v))
            for i, v in enumerate(rows)
        ),
    )


def _read_verdicts(db: sqlite3.Connection, first: int, after: int) -> list[Verdict]:
    rows = db.execute(
        "SELECT json FROM verdict WHERE row >= ? AND row < ? ORDER BY row", (first, after)
    )
    return [decode(Verdict, text) for (text,) in rows]


def _write_openings(db: sqlite3.Connection, first: int, rows: Sequence[Opening]) -> None:
    db.executemany(
        "INSERT INTO opening VALUES (?, ?, ?)",
        ((first + i, escape(o.learner), escape(o.reason)) for i, o in enumerate(rows)),
    )


def _read_openings(db: sqlite3.Connection, first: int, after: int) -> list[Opening]:
    rows = db.execute(
        "SELECT learner, reason FROM opening WHERE row >= ? AND row < ? ORDER BY row",
        (first, after),
    )
    return [Opening(learner=unescape(m), reason=unescape(reason)) for m, reason in rows]


KINDS: dict[type, Kind[Any]] = {
    Placed: PLACED,
    Task: PROPOSED,
    Experience: EXPERIENCE,
    Assessed: ASSESSED,
    Sifted: SIFTED,
    Trained: Kind("trained", _write_trained, _read_trained),
    Report: Kind("report", _write_reports, read_reports),
    Verdict: Kind("verdict", _write_verdicts, _read_verdicts),
    Opening: Kind("opening", _write_openings, _read_openings),
}
