"""The ledger: one SQLite file that holds a run from task to decision, step by step."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar, cast

from instar.errors import StoreError, UsageError
from instar.store.rows import TABLES, Table
from instar.store.schema import MIGRATIONS
from instar.types import Row, tokens_of

R = TypeVar("R", bound=Row)
PAGE = 8192  # bytes; an experience with its text seldom fits a page of 4096 (measured)
BUSY = 30.0  # seconds to wait for another process's transaction


class SqliteLedger:
    """A `Ledger` in the file at `path`; every finished step is one durable transaction.

    Args:
        path: the file; it is made if it is not there and `writable` is set.
        writable: False opens it for reading only, also while another process writes.

    Raises:
        UsageError: for a ledger of a newer schema.
        StoreError: for a file that is no ledger, a full disk, a folder that cannot be written.
    """

    def __init__(self, path: Path, writable: bool = True) -> None:
        self._path = path
        mode = "rwc" if writable else "ro"
        with self._errors():
            # Absolute, because a file: URI is; the checker thread of a UI may read too.
            uri = f"{path.resolve().as_uri()}?mode={mode}"
            self._db = sqlite3.connect(uri, uri=True, timeout=BUSY, isolation_level=None)
            if writable:
                self._db.execute(f"PRAGMA page_size = {PAGE}")
                self._db.execute("PRAGMA journal_mode = WAL")
                self._db.execute("PRAGMA synchronous = FULL")
            self._migrate(writable)

    @property
    def connection(self) -> sqlite3.Connection:
        """The open database, for the queries of this room."""
        return self._db

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def recall(self, key: str, kind: type[R], /) -> tuple[R, ...] | None:
        """Return what `record` stored under `key`, or None if that step never finished.

        Raises:
            StoreError: if the step holds rows of another kind.
        """
        with self._errors():
            found = self._db.execute(
                "SELECT number, kind, rows FROM steps WHERE key = ?", (key,)
            ).fetchone()
            if found is None:
                return None
            number, name, count = found
            if count == 0:
                return ()
            if name != kind.__name__:
                raise StoreError(f"{self._path}: step {key} holds {name}, not {kind.__name__}")
            table = cast("Table[R]", TABLES[kind])
            rows = tuple(table.read(row) for row in self._db.execute(table.select, (number,)))
        if len(rows) != count:
            raise StoreError(f"{self._path}: step {key} has {len(rows)} of its {count} rows")
        return rows

    def record(
        self, key: str, step: str, iteration: int, rows: Sequence[Row], seconds: float, /
    ) -> None:
        """Store a finished step: all of its rows or none, durable when the call returns.

        Raises:
            StoreError: if the step is there with other rows, or its rows are of several kinds.
        """
        kinds = {type(row) for row in rows}
        if len(kinds) > 1:
            names = ", ".join(sorted(k.__name__ for k in kinds))
            raise StoreError(f"a step holds rows of one kind, not {names}")
        kind = next(iter(kinds), None)
        if kind is not None and kind not in TABLES:
            raise StoreError(f"a ledger has no table for a {kind.__name__}")
        before = self.recall(key, kind or Row)  # type: ignore[arg-type]
        if before is not None:
            if before != tuple(rows):
                raise StoreError(f"{self._path}: step {key} is recorded with other rows")
            return
        name = kind.__name__ if kind else ""
        tokens = sum(tokens_of(row) for row in rows)
        with self._errors(), self._transaction():
            made = self._db.execute(
                "INSERT INTO steps (key, step, iteration, kind, rows, tokens, seconds) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (key, step, iteration, name, len(rows), tokens, seconds),
            )
            number = made.lastrowid
            for table, values in TABLES[kind].write(rows) if kind else ():
                marks = ", ".join("?" * (len(values[0]) + (table != "task") * 2)) if values else ""
                placed = (
                    values
                    if table == "task"
                    else [(number, position, *v) for position, v in enumerate(values)]
                )
                self._db.executemany(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", placed)

    def get_meta(self, key: str) -> str | None:
        """Return a small string kept with the run, or None."""
        with self._errors():
            found = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if found is None else str(found[0])

    def set_meta(self, key: str, value: str) -> None:
        """Keep a small string with the run."""
        with self._errors():
            self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def seconds(self) -> float:
        """Return the time spent on all finished steps."""
        with self._errors():
            found = self._db.execute("SELECT coalesce(sum(seconds), 0) FROM steps").fetchone()
        return float(found[0])

    def move_head(self, learner: str, iteration: int, reason: str) -> None:
        """Append that `learner` is now the current one, from after `iteration` on."""
        with self._errors():
            self._db.execute(
                "INSERT INTO heads (learner, iteration, reason) VALUES (?, ?, ?)",
                (learner, iteration, reason),
            )

    def content(self) -> str:
        """Return a hash of everything but wall-clock time and the order of steps."""
        parts: list[str] = []
        with self._errors():
            for kind in ("placed", "proposed", "experience", "assessed", "sifted", "trained",
                         "report", "verdict", "opening"):  # fmt: skip
                rows = self._db.execute(
                    f"SELECT s.key, t.* FROM {kind} t JOIN steps s ON s.number = t.step"
                )
                parts += [repr((kind, row[0], *row[2:])) for row in rows]
            parts += [repr(row) for row in self._db.execute("SELECT * FROM task")]
            parts += [repr(row) for row in self._db.execute("SELECT key, rows FROM steps")]
        return hashlib.sha256("\n".join(sorted(parts)).encode("ascii")).hexdigest()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _migrate(self, writable: bool) -> None:
        version = int(self._db.execute("PRAGMA user_version").fetchone()[0])
        known = len(MIGRATIONS)
        if version > known:
            raise UsageError(
                f"{self._path} has ledger schema {version}, and this instar knows up to {known}: "
                "use the instar that wrote it, or a newer one"
            )
        if version < known and not writable:
            raise UsageError(f"{self._path} has the older ledger schema {version}: resume it once")
        for number in range(version, known):
            with self._transaction():
                for statement in filter(None, MIGRATIONS[number].split(";")):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version = {number + 1}")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: {error}; what was finished before is kept") from error
