"""Adapters and memories as immutable folders, addressed by what is in them."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from instar.errors import StoreError
from instar.types import ID_LENGTH

_NEW = ".new-"  # how the name of a copy begins that is not finished


class FolderArtefacts:
    """`Artefacts` in the folder `root`; each is read through and compared once, when first used."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._whole: set[str] = set()

    def path(self, artefact: str, /) -> Path:
        """Return the folder of `artefact`.

        Raises:
            StoreError: if it is not there, or is not what was stored.
        """
        if artefact not in self._whole:
            self.verify(artefact)
        return self._root / artefact

    def add(self, folder: Path, /) -> str:
        """Take a copy of `folder` in and return its id; the same content gives the same id.

        Raises:
            StoreError: for a link or special file in it, or a disk that is full.
        """
        with self._errors(f"{folder} cannot be stored"):
            artefact = _hash(folder)
            if not (self._root / artefact).is_dir():
                self._copy(folder, artefact)
        return artefact

    def verify(self, artefact: str) -> None:
        """Read the artefact through and compare it with its name.

        Raises:
            StoreError: if it is not there, or was changed since it was stored.
        """
        with self._errors(f"artefact {artefact} cannot be read"):
            place = self._root / artefact
            if len(artefact) != ID_LENGTH or not place.is_dir():
                raise StoreError(f"{self._root}: there is no artefact {artefact!r}")
            if (found := _hash(place)) != artefact:
                raise StoreError(f"{place} was changed after it was stored: it is now {found}")
        self._whole.add(artefact)

    def sweep(self) -> None:
        """Remove unfinished copies of a process that died; only while no other process adds."""
        for left in self._root.glob(f"{_NEW}*"):
            shutil.rmtree(left, ignore_errors=True)

    def _copy(self, folder: Path, artefact: str) -> None:
        self._root.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix=_NEW, dir=self._root))
        try:
            copy = place / "copy"
            shutil.copytree(folder, copy, symlinks=True)
            if _hash(copy) != artefact:
                raise StoreError(f"{folder} changed while it was stored")
            for path in (*copy.rglob("*"), copy):
                _sync(path)
            try:
                copy.rename(self._root / artefact)
            except OSError:
                if not (self._root / artefact).is_dir():  # else another process added it just now
                    raise
            _sync(self._root)
        finally:
            shutil.rmtree(place, ignore_errors=True)

    @contextmanager
    def _errors(self, told: str) -> Iterator[None]:
        try:
            yield
        except StoreError:
            raise
        except OSError as error:
            raise StoreError(f"{self._root}: {told}: {error}") from error


def _hash(folder: Path) -> str:
    """Return the hash of the names of all folders and files in `folder`, and of the files' bytes.

    Raises:
        StoreError: for a link or a special file.
    """
    if not folder.is_dir():
        raise StoreError(f"{folder} is not a folder, and cannot be an artefact")
    found = hashlib.sha256()
    named = {os.fsencode(p.relative_to(folder).as_posix()): p for p in folder.rglob("*")}
    for name, path in sorted(named.items()):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise StoreError(f"{path} is neither a file nor a folder, and cannot be an artefact")
        found.update(len(name).to_bytes(8, "big") + name)
        if path.is_file():
            with path.open("rb") as file:
                found.update(hashlib.file_digest(file, "sha256").digest())
        else:
            found.update(b"folder")
    return found.hexdigest()[:ID_LENGTH]


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
