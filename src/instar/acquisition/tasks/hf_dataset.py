"""Tasks from a Hugging Face data set saved to disk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from instar.acquisition.tasks.rows import Reader
from instar.errors import DataError, MissingExtra, nearest
from instar.types import Task


@dataclass(frozen=True)
class HfDataset:
    """A folder written by `save_to_disk` of the library `datasets`; nothing is downloaded.

    Rows mean what they mean in a `jsonl` file. `split` names one split of a folder that has
    several; `prompt` and `answer` name the columns of data that calls them otherwise.
    """

    path: Path
    split: str | None = None
    prompt: str = "prompt"
    answer: str = "answer"

    def load(self, count: int | None, seed: int, /) -> Sequence[Task]:
        """Return all tasks, in the order of the data set.

        Raises:
            DataError: naming the folder and the row, and what was expected.
            MissingExtra: if `datasets` is not installed.
        """
        if not self.path.is_dir():
            beside = self.path.parent.iterdir() if self.path.parent.is_dir() else ()
            hint = nearest(self.path.name, [p.name for p in beside if p.is_dir()])
            raise DataError(f"there is no folder {self.path}{hint}")
        reader = Reader(self.prompt, self.answer)
        origin = self.path.name if self.split is None else f"{self.path.name}:{self.split}"
        rows = enumerate(_rows(self.path, self.split), start=1)
        tasks = [reader.task(row, f"{self.path}, row {i}", origin) for i, row in rows]
        if not tasks:
            raise DataError(f"{self.path}: expected tasks, found a data set without rows")
        return tasks


def _rows(path: Path, split: str | None) -> Iterable[object]:
    try:
        # Imported here because it takes a second and is an extra.
        from datasets import DatasetDict, load_from_disk
    except ImportError as error:
        raise MissingExtra(
            f"reading {path} needs the package 'datasets' ({error}): pip install 'instar[train]'"
        ) from error
    try:
        found = load_from_disk(str(path))
    except Exception as error:  # a damaged folder makes the library raise anything
        reason = " ".join(str(error).split())
        raise DataError(f"{path} is no data set saved by `save_to_disk`: {reason}") from error
    if not isinstance(found, DatasetDict):
        if split is not None:
            raise DataError(f"{path} has no splits, so there is no {split!r}; leave `split` out")
        return list(found)
    if split is None:
        raise DataError(f"{path} has several splits; name one with `split`: {', '.join(found)}")
    if split not in found:
        raise DataError(f"{path} has no split {split!r}{nearest(split, found)}")
    return list(found[split])
