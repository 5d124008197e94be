"""A run folder: where everything of a run lies, and who may write to it."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from instar.errors import StoreError, UsageError
from instar.store.artefacts import FolderArtefacts
from instar.store.ledger import SqliteLedger

LEDGER = "ledger.sqlite"


class RunFolder:
    """The folder of one run: ledger, artefacts, events, recipe, scratch and lock.

    Raises:
        UsageError: if `path` is not the folder of a run.
    """

    def __init__(self, path: Path) -> None:
        if not (path / LEDGER).is_file():
            raise UsageError(f"{path} is not a run folder: there is no {LEDGER} in it")
        self.path = path

    @classmethod
    def create(cls, path: Path) -> RunFolder:
        """Make the folder of a new run.

        Raises:
            UsageError: if there is a run in it already, or anything else.
            StoreError: if it cannot be made.
        """
        if (path / LEDGER).exists():
            raise UsageError(f"{path} holds a run already; go on with: instar resume {path}")
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise UsageError(f"{path} is not empty; a new run needs a folder of its own")
        try:
            path.mkdir(parents=True, exist_ok=True)
            SqliteLedger(path / LEDGER).close()
        except OSError as error:
            raise StoreError(f"{path} cannot be made: {error}") from error
        return cls(path)

    @property
    def recipe(self) -> Path:
        """The recipe that the run follows, with all settings applied."""
        return self.path / "recipe.yaml"

    @property
    def events(self) -> Path:
        """What the run said, one JSON object a line."""
        return self.path / "events.jsonl"

    @property
    def scratch(self) -> Path:
        """Temporary files; emptied whenever the run is opened for writing."""
        return self.path / "scratch"

    @property
    def artefacts(self) -> FolderArtefacts:
        """The adapters and memories of the run's learners."""
        return FolderArtefacts(self.path / "artefacts")

    @contextmanager
    def open_for_writing(self) -> Iterator[SqliteLedger]:
        """Give the ledger to the one process that may write; the lock ends with the process.

        Raises:
            UsageError: if another process has it.
        """
        handle = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                owner = os.pread(handle, 20, 0).decode("ascii", "replace").strip() or "unknown"
                raise UsageError(f"run folder {self.path} is in use by process {owner}") from error
            os.ftruncate(handle, 0)
            os.pwrite(handle, str(os.getpid()).encode("ascii"), 0)
            shutil.rmtree(self.scratch, ignore_errors=True)
            self.scratch.mkdir()
            ledger = SqliteLedger(self.path / LEDGER)
            try:
                yield ledger
            finally:
                ledger.close()
        finally:
            os.close(handle)

    @contextmanager
    def open_for_reading(self) -> Iterator[SqliteLedger]:
        """Give the ledger read-only, also while the run goes on."""
        ledger = SqliteLedger(self.path / LEDGER, writable=False)
        try:
            yield ledger
        finally:
            ledger.close()
