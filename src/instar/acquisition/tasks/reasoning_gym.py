"""Tasks from a generator of reasoning-gym (arXiv 2505.24760)."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import numbers
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, cast

from instar.acquisition.tasks.likeness import Distinct
from instar.errors import DataError, MissingExtra, nearest
from instar.types import Message, Task, digest

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

# Their scorers run the model's answer as Python (reasoning-gym 0.1.25).
EXECUTES_ANSWERS = frozenset(
    (
        "binary_matrix",
        "countdown",
        "intermediate_integration",
        "n_queens",
        "polynomial_multiplication",
        "puzzle24",
        "simple_integration",
        "spiral_matrix",
        "string_insertion",
    )
)
TRIES = 20  # items generated per task asked for, before giving up; ours
LARGEST = 999  # number that makes a tag; ours
OURS = ("seed", "size")  # options of every data set that the run sets itself


class _DataSet(Protocol):
    """What a generator of the library offers."""

    def __getitem__(self, index: int, /) -> dict[str, object]: ...

    def score_answer(self, answer: str | None, entry: dict[str, object]) -> float: ...


@dataclass(frozen=True)
class ReasoningGym:
    """Distinct items of the data set `dataset`, generated with the options in `config`.

    `material` holds the item as the library's scorer needs it. `seed` fixes the items; without it
    they follow the run's seed. Some generators also depend on PYTHONHASHSEED, which does not
    matter: items are made once and stored by the run, never made again. `codeio`, whose generator
    executes code, is refused. Nine data sets are scored by evaluating the answer: the run needs a
    sandbox for them.
    """

    dataset: str
    config: Mapping[str, object] = field(default_factory=dict)
    seed: int | None = None

    def __post_init__(self) -> None:
        """Refuse what is unsafe, and options that are not the data set's own."""
        if self.dataset == "codeio":
            raise DataError(f"{self._name}: it runs code to make items, refused without a sandbox")
        if self.dataset == "composite":
            raise DataError(f"{self._name}: it mixes other data sets; name one of them instead")
        for name in OURS:
            if name in self.config:
                raise DataError(
                    f"{self._name}: {name!r} is no option of the data set here; "
                    "the run sets the size, and `seed` is a field beside `config`"
                )

    @property
    def executes_code(self) -> bool:
        """Whether the data set's scorer evaluates what the model wrote."""
        return self.dataset in EXECUTES_ANSWERS

    @property
    def _name(self) -> str:
        return f"reasoning_gym:{self.dataset}"

    def load(self, count: int | None, seed: int, /) -> Sequence[Task]:
        """Return `count` distinct tasks.

        Raises:
            DataError: for an unknown data set or option, or if there are too few distinct items.
            MissingExtra: if reasoning-gym is not installed.
        """
        if count is None:
            raise DataError(
                f"{self._name} has no end; say how many tasks: a size for the train split, "
                "or `instar eval --limit`"
            )
        seen = Distinct()
        tasks: list[Task] = []
        for item in self._items(count, seed):
            if len(tasks) == count:
                break
            task = self._task(item)
            if seen.earlier(task) is None:
                tasks.append(task)
        if len(tasks) < count:
            raise DataError(
                f"{self._name}: {count} different tasks were asked for, {len(tasks)} were found "
                f"among {TRIES * count} items; ask for fewer, or widen its options"
            )
        return tasks

    def _items(self, count: int, seed: int) -> Iterator[dict[str, object]]:
        """Yield checked items of data sets of growing size: some are slow to build at full size."""
        # Item i of many data sets is drawn from seed + i, so that near seeds would overlap.
        start = self.seed if self.seed is not None else seed
        key = int(digest("reasoning_gym", self.dataset, start), 16) % 2**31
        done = 0
        for factor in (1, 2, 4, 8, 16, TRIES):
            made = self._data_set({**self.config, "seed": key, "size": factor * count})
            for index in range(done, factor * count):
                yield self._item(made, index)
            done = factor * count

    def _data_set(self, options: Mapping[str, object]) -> _DataSet:
        create, configurations = _library()
        if self.dataset not in configurations:
            raise DataError(
                f"{self._name}: no such data set{nearest(self.dataset, configurations)}"
            )
        names = [f.name for f in dataclasses.fields(configurations[self.dataset])]
        for name in self.config:
            if name not in names:
                own = [n for n in names if n not in OURS]
                raise DataError(f"{self._name}: no option {name!r}{nearest(name, own)}")
        try:
            return create(self.dataset, **options)
        except Exception as error:  # the library asserts, compares and raises as it likes
            reason = str(error) or type(error).__name__
            raise DataError(f"{self._name} refuses {dict(self.config)}: {reason}") from error

    def _item(self, made: _DataSet, index: int) -> dict[str, object]:
        """Return one item as it will be stored, if its own scorer still knows its answer."""
        try:
            # A few generators print their progress.
            with contextlib.redirect_stdout(io.StringIO()):
                item = made[index]
                answer = cast("str | None", item["answer"])
                stored = _stored(self.dataset, item)
                lost = answer is not None and (
                    made.score_answer(answer, item) != made.score_answer(answer, stored)
                )
        except Exception as error:  # a generator may raise anything
            reason = f"{type(error).__name__}: {error}"
            raise DataError(f"{self._name}: item {index} cannot be made: {reason}") from error
        if lost:
            raise DataError(
                f"{self._name}: its scorer does not know the right answer of an item that was "
                "stored as JSON, so its items cannot be judged"
            )
        return stored

    def _task(self, stored: dict[str, object]) -> Task:
        return Task(
            messages=(Message(role="user", content=str(stored["question"])),),
            reference=cast("str | None", stored["answer"]),
            material=json.dumps(stored, sort_keys=True, ensure_ascii=False),
            tags=_tags(cast("Mapping[str, object]", stored["metadata"])),
            origin=self._name,
        )


def _library() -> tuple[Callable[..., _DataSet], Mapping[str, type[DataclassInstance]]]:
    """Return what makes a data set, and the class of each data set's options."""
    try:
        # Imported here because it takes seconds and is an extra.
        from reasoning_gym.factory import DATASETS, create_dataset
    except ImportError as error:
        raise MissingExtra(
            f"reasoning_gym needs the package reasoning-gym ({error}): pip install 'instar[gym]'"
        ) from error
    return create_dataset, {name: options for name, (_, options) in DATASETS.items()}


def _stored(dataset: str, item: Mapping[str, object]) -> dict[str, object]:
    """Return `item` as JSON gives it back.

    Without its place in the sequence, which would make two equal items two tasks.
    """
    metadata = cast("Mapping[str, object]", item["metadata"])
    kept = {k: v for k, v in metadata.items() if k != "source_index"}
    whole = {**item, "dataset": dataset, "metadata": kept}
    text = json.dumps(whole, sort_keys=True, allow_nan=False, default=_number)
    return cast("dict[str, object]", json.loads(text))


def _number(value: object) -> str:
    """Return a fraction or a decimal as text; other objects have no lasting form."""
    if isinstance(value, numbers.Number):
        return str(value)
    raise TypeError(f"a {type(value).__name__} cannot be stored as JSON")


def _tags(metadata: Mapping[str, object]) -> tuple[str, ...]:
    """Return the item's own value of each difficulty option, and the size of its largest term.

    A tag is a class of tasks, so fractions and numbers above `LARGEST` make none.
    """
    stated = metadata.get("difficulty")
    options = stated if isinstance(stated, Mapping) else {"difficulty": stated}
    found = {name: metadata.get(name, value) for name, value in options.items()}
    tags = [f"{n}:{v}" for n, v in found.items() if _is_class(v)]
    expression = metadata.get("expression")
    if isinstance(expression, str) and re.fullmatch(r"[\d\s+\-*/()]+", expression):
        tags.append(f"digits:{max(len(n) for n in re.findall(r'[0-9]+', expression))}")
    return tuple(tags)


def _is_class(value: object) -> bool:
    if isinstance(value, float):
        return value.is_integer() and abs(value) <= LARGEST
    return isinstance(value, str) or (isinstance(value, int) and abs(value) <= LARGEST)
