"""The ledger: one SQLite file that holds a run from task to decision, step by step."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from instar.errors import StoreError, UsageError
from instar.store.codec import encode, escape, unescape
from instar.store.content import contents, summed
from instar.store.migrations import MIGRATIONS, migrate, transaction, version
from instar.store.results import KINDS
from instar.types import Experience, Row, tokens_of

R = TypeVar("R", bound=Row)
PAGE = 8192  # bytes; an experience with its text seldom fits a page of 4096
CACHE = 65536  # KiB of pages kept in memory: the index of a million tasks fits; ours
BUSY = 30.0  # seconds to wait for another process's transaction; ours

_KEPT = "every step that was finished is kept"
_TOLD = {
    sqlite3.SQLITE_FULL: f"the disk is full; make room and resume, {_KEPT}",
    sqlite3.SQLITE_IOERR: f"the disk failed; {_KEPT} as far as the disk can be read",
    sqlite3.SQLITE_READONLY: "it may not be written to",
    sqlite3.SQLITE_PERM: "access is denied",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
    sqlite3.SQLITE_BUSY: "another process is writing to it",
    sqlite3.SQLITE_NOTADB: "it is no ledger of instar, or its beginning is damaged",
    sqlite3.SQLITE_CORRUPT: "it is damaged; take it from a backup",
}


class SqliteLedger:
    """A `Ledger` in the file at `path`; every finished step is one durable transaction.

    Args:
        path: the file; it is made if it is not there and `writable` is set.
        writable: False opens it for reading only, as it was at the first read, also while another
            process writes.

    Raises:
        UsageError: for a ledger of a newer schema, or a database of something else.
        StoreError: for a file that is no database, a full disk, a folder that cannot be written.
    """

    def __init__(self, path: Path, writable: bool = True) -> None:
        self._path, self._writable = path, writable
        with self._errors():
            self._db = sqlite3.connect(
                _uri(path, writable), uri=True, timeout=BUSY, isolation_level=None
            )
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise

    @property
    def connection(self) -> sqlite3.Connection:
        """The open database; its errors are SQLite's own."""
        return self._db

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def ask(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Return the rows of a question in SQL."""
        with self._errors():
            return self._db.execute(sql, values).fetchall()

    def recall(self, key: str, kind: type[R], /) -> tuple[R, ...] | None:
        """Return what `record` stored under `key`, or None if that step never finished.

        An experience comes without feedback, which is recorded by a step of its own.

        Raises:
            StoreError: if the step holds rows of another kind.
        """
        found = self._step(key)
        if found is None or found[2] == 0:
            return None if found is None else ()
        if found[0] != kind.__name__:
            raise StoreError(f"{self._path}: step {key} holds {found[0]}, not {kind.__name__}")
        return self._rows(key, kind, *found[1:])

    def record(
        self, key: str, step: str, iteration: int, rows: Sequence[Row], seconds: float, /
    ) -> None:
        """Store a finished step: all of its rows or none, durable when the call returns.

        Raises:
            StoreError: if the step is there with other rows, or its rows are of several kinds, or
                the disk is full.
        """
        kind = _kind_of(step, rows)
        name = kind.__name__ if kind else ""
        tokens = sum(tokens_of(row) for row in rows)
        with self._writing():
            if (found := self._step(key)) is not None:
                self._compare(key, kind, rows, found)
                return
            first = self._next(KINDS[kind].table) if kind else 1
            self._db.execute(
                "INSERT INTO steps (key, step, iteration, kind, first, rows, tokens, seconds) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (escape(key), escape(step), iteration, name, first, len(rows), tokens, seconds),
            )
            try:
                if kind:
                    KINDS[kind].write(self._db, first, rows)
            except TypeError as error:  # what `types.digest` says of an odd value in a row
                raise StoreError(f"step {step!r}: {error}, and cannot be recorded") from error

    def get_meta(self, key: str) -> str | None:
        """Return a small string kept with the run, or None."""
        return self.manifest().get(key)

    def set_meta(self, key: str, value: str) -> None:
        """Keep a small string with the run."""
        with self._writing():
            self._db.execute(
                "INSERT OR REPLACE INTO meta VALUES (?, ?)", (escape(key), escape(value))
            )

    def manifest(self) -> dict[str, str]:
        """Return all small strings kept with the run."""
        found = self.ask("SELECT key, value FROM meta ORDER BY key")
        return {unescape(key): unescape(value) for key, value in found}

    def seconds(self) -> float:
        """Return the time spent on all finished steps."""
        return float(self.ask("SELECT coalesce(sum(seconds), 0) FROM steps")[0][0])

    def move_head(self, learner: str, iteration: int, reason: str) -> None:
        """Append that `learner` is now the current one, from after `iteration` on."""
        with self._writing():
            self._db.execute(
                "INSERT INTO heads (learner, iteration, reason) VALUES (?, ?, ?)",
                (escape(learner), iteration, escape(reason)),
            )

    def contents(self) -> dict[str, str]:
        """Return a hash of each part of the content, to see in which part two ledgers differ."""
        with self._errors():
            return contents(self._db)

    def content(self) -> str:
        """Return a hash of all that was recorded, but for wall-clock time and the order of steps.

        Two runs of one recipe and seed are equal, and so is one that was killed and resumed.
        """
        return summed(self.contents())

    def _prepare(self) -> None:
        self._db.execute(f"PRAGMA cache_size = -{CACHE}")
        if self._writable:
            self._db.execute(f"PRAGMA page_size = {PAGE}")
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            migrate(self._db, str(self._path))
            return
        self._db.execute("BEGIN")
        found = version(self._db, str(self._path))
        if found < len(MIGRATIONS):
            raise UsageError(
                f"{self._path} has ledger schema {found}, older than {len(MIGRATIONS)}: "
                "resume the run once to bring it up to date"
            )

    def _step(self, key: str) -> tuple[str, int, int] | None:
        """Return the kind, the first row and the number of rows of a step."""
        found = self.ask("SELECT kind, first, rows FROM steps WHERE key = ?", escape(key))
        return found[0] if found else None

    def _rows(self, key: str, kind: type[R], first: int, count: int) -> tuple[R, ...]:
        with self._errors():
            rows = tuple(KINDS[kind].read(self._db, first, first + count))
        if len(rows) != count:
            raise StoreError(f"{self._path}: step {key} has {len(rows)} of its {count} rows")
        return rows

    def _compare(
        self, key: str, kind: type[Row] | None, rows: Sequence[Row], found: tuple[str, int, int]
    ) -> None:
        """Refuse other rows than those that are there; a number that is NaN equals itself."""
        same = found[2] == len(rows) and (kind is None or kind.__name__ == found[0])
        if same and kind is not None:
            pairs = zip(self._rows(key, kind, *found[1:]), map(_unjudged, rows), strict=True)
            same = all(a == b or encode(a) == encode(b) for a, b in pairs)
        if not same:
            raise StoreError(f"{self._path}: step {key} is recorded with other rows")

    def _next(self, table: str) -> int:
        return int(self.ask(f"SELECT coalesce(max(row), 0) + 1 FROM {table}")[0][0])

    @contextmanager
    def _writing(self) -> Iterator[None]:
        if not self._writable:
            raise StoreError(f"{self._path}: it was opened for reading only")
        with self._errors(), transaction(self._db):
            yield

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OverflowError as error:
            raise StoreError(f"{self._path}: a number is too large to be recorded") from error
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest is detail, in the text
            told = f"{_TOLD[code]} ({error})" if code in _TOLD else str(error)
            raise StoreError(f"{self._path}: {told}") from error


def _uri(path: Path, writable: bool) -> str:
    """Return the file's address for SQLite.

    A log that a writer keeps beside the file needs a folder that can be written to, even to read.
    Without either, as on read-only media, no process writes and the file can be read as it is.
    """
    uri = path.resolve().as_uri()
    if writable:
        return f"{uri}?mode=rwc"
    log = path.with_name(f"{path.name}-wal")
    still = not os.access(path.resolve().parent, os.W_OK) and not log.exists()
    return f"{uri}?immutable=1" if still else f"{uri}?mode=ro"


def _kind_of(step: str, rows: Sequence[Row]) -> type[Row] | None:
    kinds = {type(row) for row in rows}
    names = " and ".join(sorted(k.__name__ for k in kinds))
    if len(kinds) > 1:
        raise StoreError(f"step {step!r}: a step holds rows of one kind, not {names}")
    kind = next(iter(kinds), None)
    if kind is not None and kind not in KINDS:
        raise StoreError(f"step {step!r}: a ledger has no table for a {names}")
    return kind


def _unjudged(row: Row) -> Row:
    """Return the row as it comes back: feedback is no part of an experience here."""
    return replace(row, feedback=()) if isinstance(row, Experience) else row
