"""The ledger's tables, as ordered migrations: number N is what `PRAGMA user_version` counts to.

Rows are clustered by the step that made them and their place in it, so that appending never
touches old pages, however large the ledger is; a search by content hash reads the whole table.
`json` columns are ASCII: a hostile character is an escape there and comes back as it was.
"""

from __future__ import annotations

_ROWS = "step INTEGER, position INTEGER, {columns}, PRIMARY KEY (step, position)"
_TABLE = f"CREATE TABLE {{name}} ({_ROWS}) WITHOUT ROWID;"


def _table(name: str, columns: str) -> str:
    return _TABLE.format(name=name, columns=columns)


MIGRATIONS: tuple[str, ...] = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);"
    "CREATE TABLE steps (number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, step TEXT NOT NULL,"
    " iteration INTEGER NOT NULL, kind TEXT NOT NULL, rows INTEGER NOT NULL,"
    " tokens INTEGER NOT NULL, seconds REAL NOT NULL);"
    "CREATE TABLE heads (number INTEGER PRIMARY KEY, learner TEXT NOT NULL,"
    " iteration INTEGER NOT NULL, reason TEXT NOT NULL);"
    "CREATE TABLE task (id TEXT PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID;"
    + _table("placed", "task TEXT, split TEXT, json TEXT")
    + _table("proposed", "task TEXT")
    + _table("experience", "id TEXT, task TEXT, json TEXT")
    + _table("assessed", "experience TEXT, json TEXT")
    + _table("sifted", "experience TEXT, keep INTEGER, json TEXT")
    + _table("trained", "learner TEXT, arm TEXT, json TEXT")
    + _table("report", "learner TEXT, split TEXT, json TEXT")
    + _table("verdict", "candidate TEXT, accepted INTEGER, json TEXT")
    + _table("opening", "learner TEXT, json TEXT"),
)
