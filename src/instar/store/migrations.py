"""The ledger's tables as ordered steps: `PRAGMA user_version` counts the steps a file has had.

A step of the cycle owns consecutive rows of one table (`steps.first`, `steps.rows`), and rows are
numbered as they come. So appending touches no old page however large the ledger is, as an index
over content hashes would: the only one is over the tasks, which come back in every iteration.
`task.hash` and `experience.hash` are what `types` calls their id; columns called `experience` or
`learner` hold such hashes. Texts of models and plug-ins are ASCII here, see `codec`.

A step of this list that was released is never edited: a change is one more step.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from instar.errors import UsageError

Steps = tuple[tuple[str, ...], ...]

APPLICATION = 0x696E7374  # `PRAGMA application_id`, "inst": tells a ledger from any other database

_ROW = "row INTEGER PRIMARY KEY"

MIGRATIONS: Steps = (
    (
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
        "CREATE TABLE steps (number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE,"
        " step TEXT NOT NULL, iteration INTEGER NOT NULL, kind TEXT NOT NULL,"
        " first INTEGER NOT NULL, rows INTEGER NOT NULL, tokens INTEGER NOT NULL,"
        " seconds REAL NOT NULL, made TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP)",
        "CREATE TABLE heads (number INTEGER PRIMARY KEY, learner TEXT NOT NULL,"
        " iteration INTEGER NOT NULL, reason TEXT NOT NULL,"
        " made TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP)",
        "CREATE TABLE task (id INTEGER PRIMARY KEY, hash TEXT NOT NULL, name TEXT NOT NULL,"
        " json TEXT NOT NULL)",
        "CREATE INDEX task_by_hash ON task (hash)",
        f"CREATE TABLE placed ({_ROW}, task INTEGER NOT NULL, split TEXT NOT NULL,"
        " reason TEXT NOT NULL)",
        f"CREATE TABLE proposed ({_ROW}, task INTEGER NOT NULL)",
        f"CREATE TABLE experience ({_ROW}, hash TEXT NOT NULL, task INTEGER NOT NULL,"
        " failed INTEGER NOT NULL, json TEXT NOT NULL)",
        f"CREATE TABLE assessed ({_ROW}, experience TEXT NOT NULL, judged INTEGER NOT NULL,"
        " json TEXT NOT NULL)",
        f"CREATE TABLE sifted ({_ROW}, experience TEXT NOT NULL, filter TEXT NOT NULL,"
        " keep INTEGER NOT NULL, reason TEXT NOT NULL)",
        f"CREATE TABLE trained ({_ROW}, learner TEXT NOT NULL, arm TEXT NOT NULL,"
        " lessons INTEGER NOT NULL, json TEXT NOT NULL)",
        f"CREATE TABLE report ({_ROW}, learner TEXT NOT NULL, split TEXT NOT NULL,"
        " json TEXT NOT NULL)",
        f"CREATE TABLE outcome ({_ROW}, report INTEGER NOT NULL, task TEXT NOT NULL,"
        " json TEXT NOT NULL)",
        "CREATE INDEX outcome_by_report ON outcome (report)",
        f"CREATE TABLE verdict ({_ROW}, candidate TEXT NOT NULL, accepted INTEGER NOT NULL,"
        " json TEXT NOT NULL)",
        f"CREATE TABLE opening ({_ROW}, learner TEXT NOT NULL, reason TEXT NOT NULL)",
    ),
)


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Make everything inside happen, durably, or nothing."""
    try:
        db.execute("BEGIN IMMEDIATE")
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def version(db: sqlite3.Connection, name: str, steps: Steps = MIGRATIONS) -> int:
    """Return how many of `steps` the ledger called `name` has had; 0 for a new file.

    Raises:
        UsageError: if it is a ledger of a newer schema, or a database of something else.
    """
    found, application = (
        int(db.execute(f"PRAGMA {what}").fetchone()[0])
        for what in ("user_version", "application_id")
    )
    is_new = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
    if application != APPLICATION and not (is_new and found == 0):
        raise UsageError(f"{name} is a database, but not a ledger of instar")
    if found > len(steps):
        raise UsageError(
            f"{name} has ledger schema {found}, and this instar knows schemas up to {len(steps)}: "
            "use the instar that wrote it, or a newer one"
        )
    return found


def migrate(db: sqlite3.Connection, name: str, steps: Steps = MIGRATIONS) -> None:
    """Bring the ledger called `name` up to the last of `steps`, one transaction each.

    Raises:
        UsageError: as `version` does.
    """
    while (number := version(db, name, steps)) < len(steps):
        with transaction(db):
            if version(db, name, steps) != number:
                continue  # another process took this step meanwhile
            for statement in steps[number]:
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {number + 1}")
            db.execute(f"PRAGMA application_id = {APPLICATION}")
