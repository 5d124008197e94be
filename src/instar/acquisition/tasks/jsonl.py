"""Tasks from a JSON Lines file."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from instar.acquisition.tasks.rows import Reader
from instar.errors import DataError, nearest
from instar.types import Task


@dataclass(frozen=True)
class Jsonl:
    """A file with one JSON object a line: `prompt` or `messages`, and if known the `answer`.

    `id` (unique), `tags` (a list of texts) and any further fields are kept with the task. The whole
    file is read and checked, whatever number of tasks is asked for, and the split draws from all
    of it. `prompt` and `answer` name the fields of data that calls them otherwise.
    """

    path: Path
    prompt: str = "prompt"
    answer: str = "answer"

    def load(self, count: int | None, seed: int, /) -> Sequence[Task]:
        """Return all tasks, in the order of the file.

        Raises:
            DataError: naming the file and the line, and what was expected.
        """
        reader = Reader(self.prompt, self.answer)
        origin = self.path.name
        tasks = [reader.task(row, place, origin) for place, row in _rows(self.path)]
        if not tasks:
            raise DataError(f"{self.path}: expected one task a line, found an empty file")
        return tasks


def _rows(path: Path) -> Iterator[tuple[str, object]]:
    if not path.is_file():
        beside = path.parent.glob("*.jsonl") if path.parent.is_dir() else ()
        raise DataError(f"there is no file {path}{nearest(path.name, [p.name for p in beside])}")
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                place = f"{path}, line {number}"
                if content := _decoded(line, place, first=number == 1):
                    yield place, _parsed(content, place)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


def _decoded(line: bytes, place: str, *, first: bool) -> str:
    """Return the text of a line, without the byte order mark that some editors write."""
    if first:
        line = line.removeprefix(codecs.BOM_UTF8)
    try:
        return line.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise DataError(f"{place}: expected UTF-8 text; byte {error.start} is not") from error


def _parsed(content: str, place: str) -> object:
    try:
        return json.loads(content, object_pairs_hook=_once, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        reason = f"{error.msg} at column {error.colno}"
        raise DataError(f"{place}: expected one JSON object: {reason}") from error
    except ValueError as error:  # a key twice, NaN, a number of thousands of digits
        raise DataError(f"{place}: {error}") from error
    except RecursionError as error:
        raise DataError(f"{place}: nested too deeply") from error


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Return the pairs as an object; of a key given twice one value would be lost."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [k for k, _ in pairs]
        twice = next(k for i, k in enumerate(keys) if k in keys[:i])
        raise ValueError(f"the field {twice[:80]!r} is given twice")
    return found


def _no_number(name: str) -> object:
    raise ValueError(f"{name} is not JSON")
