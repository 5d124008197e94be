"""A run folder: where everything of a run lies, and who may write to it."""

from __future__ import annotations

import errno
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
        if not os.path.isfile(path / LEDGER):
            raise UsageError(f"{path} is not a run folder: there is no {LEDGER} in it")
        self.path = path

    @classmethod
    def create(cls, path: Path) -> RunFolder:
        """Make the folder of a new run.

        Raises:
            UsageError: if there is a run in it already, or anything else.
            StoreError: if it cannot be made.
        """
        with _errors(f"{path} cannot be made"):
            if os.path.lexists(path / LEDGER):
                raise UsageError(_taken(path))
            if os.path.lexists(path) and not path.is_dir():
                raise UsageError(f"{path} is not a folder; a new run needs a folder of its own")
            if path.is_dir() and any(path.iterdir()):
                raise UsageError(f"{path} is not empty; a new run needs a folder of its own")
            path.mkdir(parents=True, exist_ok=True)
            try:  # only one of two processes that start here at once goes on
                os.close(os.open(path / LEDGER, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
            except FileExistsError:
                raise UsageError(_taken(path)) from None
        SqliteLedger(path / LEDGER).close()
        return cls(path)

    def removed_if_unused(self) -> bool:
        """Delete a run in which nothing was sampled, and say whether that was so."""
        with self.open_for_reading() as ledger:
            used = ledger.ask("SELECT 1 FROM steps WHERE kind IN ('Experience', 'Report') LIMIT 1")
        if not used:
            shutil.rmtree(self.path)
        return not used

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
            StoreError: if the folder cannot be written to.
        """
        with _locked(self.path):
            with _errors(f"{self.path} cannot be written to"):
                if self.scratch.exists():
                    shutil.rmtree(self.scratch)
                self.scratch.mkdir()
                self.artefacts.sweep()
            ledger = SqliteLedger(self.path / LEDGER)
            try:
                yield ledger
            finally:
                ledger.close()

    @contextmanager
    def open_for_reading(self) -> Iterator[SqliteLedger]:
        """Give the ledger read-only and as it is now, also while the run goes on."""
        ledger = SqliteLedger(self.path / LEDGER, writable=False)
        try:
            yield ledger
        finally:
            ledger.close()


_held: set[int] = set()  # handles of the locks of this process


def _leave_locks() -> None:
    """Let go of the parent's locks: a forked worker that outlives a run must not keep them."""
    for handle in _held:
        os.close(handle)
    _held.clear()


os.register_at_fork(after_in_child=_leave_locks)  # an exec closes the handles by itself


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a run folder; the kernel lets go of it when the process dies."""
    with _errors(f"{folder} cannot be written to"):
        handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    _held.add(handle)
    try:
        with _errors(f"{folder} cannot be locked"):
            _take(handle, folder)
        yield
    finally:
        if handle in _held:
            _held.remove(handle)
            os.close(handle)


def _take(handle: int, folder: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            raise
        owner = os.pread(handle, 20, 0).decode("ascii", "replace").strip() or "unknown"
        raise UsageError(f"run folder {folder} is in use by process {owner}") from error
    name = str(os.getpid()).encode("ascii")
    os.pwrite(handle, name, 0)
    os.ftruncate(handle, len(name))


@contextmanager
def _errors(told: str) -> Iterator[None]:
    try:
        yield
    except (StoreError, UsageError):
        raise
    except OSError as error:
        raise StoreError(f"{told}: {error}") from error


def _taken(path: Path) -> str:
    return f"{path} holds a run already; go on with: instar resume {path}"
