"""Adapters and memories as immutable folders, addressed by what is in them."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from instar.errors import StoreError
from instar.types import ID_LENGTH


class FolderArtefacts:
    """`Artefacts` in the folder `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, artefact: str, /) -> Path:
        """Return the folder of `artefact`.

        Raises:
            StoreError: if it is not there.
        """
        found = self._root / artefact
        if not found.is_dir():
            raise StoreError(f"{self._root}: there is no artefact {artefact}")
        return found

    def add(self, folder: Path, /) -> str:
        """Take a copy of `folder` in and return its id; the same content gives the same id.

        Raises:
            StoreError: for a link or special file in it, or a disk that is full.
        """
        artefact = _hash(folder)
        if (self._root / artefact).is_dir():
            return artefact
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            place = Path(tempfile.mkdtemp(prefix=".new-", dir=self._root))
            shutil.copytree(folder, place / "copy")
            _sync(place / "copy")
            os.rename(place / "copy", self._root / artefact)
            place.rmdir()
            _sync_folder(self._root)
        except OSError as error:
            raise StoreError(f"{self._root}: the artefact cannot be stored: {error}") from error
        return artefact

    def verify(self, artefact: str) -> None:
        """Read the artefact again and compare it with its name.

        Raises:
            StoreError: if it was changed since it was stored.
        """
        if (found := _hash(self.path(artefact))) != artefact:
            raise StoreError(f"{self._root}: artefact {artefact} was changed, it is now {found}")


def _hash(folder: Path) -> str:
    """Return the hash of the names and bytes of all files in `folder`."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise StoreError(f"{path} is neither a file nor a folder, and cannot be an artefact")
        if path.is_file():
            name = str(path.relative_to(folder)).encode()
            found.update(len(name).to_bytes(8, "big") + name)
            found.update(path.stat().st_size.to_bytes(8, "big") + path.read_bytes())
    return found.hexdigest()[:ID_LENGTH]


def _sync(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
