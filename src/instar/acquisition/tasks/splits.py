"""Three splits without anything in common, and the guard that keeps it so during a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from instar.acquisition.tasks.groups import groups
from instar.acquisition.tasks.likeness import (
    Distinct,
    Phrases,
    Tokens,
    asked,
    common,
    runs,
    tokens,
)
from instar.errors import DataError, nearest
from instar.types import Placed, Task, digest

ORDER = ("sealed", "gate", "train")  # held-out tasks first, so that a shortage falls on training
DUPLICATE = "duplicate"  # the `Placed.split` of a repetition, or of a near-duplicate left out
UNUSED = "unused"  # the `Placed.split` of a task that no split had room for


def split(tasks: Sequence[Task], sizes: Mapping[str, int | None], seed: int) -> tuple[Placed, ...]:
    """Place every task: in a split, as a duplicate, or as unused.

    A repetition is left out. Near-duplicates (see `likeness` and `groups`) go to one split; where
    a split has room for a part of a group only, the other part is left out. What goes where depends
    on the seed and the tasks, not on their order. A split's tasks come in random order, group by
    group.

    Args:
        tasks: the tasks of a source.
        sizes: for `sealed`, `gate` and `train` the number of tasks, or None for all the rest.
        seed: the run's seed.

    Raises:
        DataError: if the tasks are too few; it names sizes that fit.
    """
    for name, size in sizes.items():
        if name not in ORDER:
            raise DataError(f"there is no split {name!r}{nearest(name, ORDER)}")
        if size is not None and size < 1:
            raise DataError(f"the split {name!r} has the size {size}; expected at least 1")
    kept, repeated = _distinct(tasks)
    bundles = _bundles(kept, seed)
    rows = _fill(bundles, sizes)
    if not _full(rows, sizes):
        raise DataError(_shortage(len(tasks), bundles, sizes))
    return (*rows, *repeated)


class Overlap:
    """Tells whether a text gives a held-out task away.

    It does if it contains the task, or shares with it a run of words that is the task's own: one
    that few held-out tasks have and no task of the train split, for those are known to be no
    near-duplicates.
    """

    def __init__(self, heldout: Sequence[Task], train: Sequence[Task] = ()) -> None:
        """Index the held-out tasks."""
        named = {tokens(asked(t)): t.name or t.id for t in heldout}
        others = [tokens(asked(t)) for t in train]
        self._whole = named
        every = Phrases(list(named))
        usual = {number for prompt in others for number in every.inside(prompt)}
        prompts = [p for i, p in enumerate(named) if i not in usual]
        self._phrases, self._phrase_names = Phrases(prompts), [named[p] for p in prompts]
        self._runs = _own_runs(named, others)

    def find(self, text: str) -> str | None:
        """Return which held-out task `text` gives away and how, or None."""
        found = tokens(text)
        if found in self._whole:
            return f"is the held-out task {self._whole[found]}"
        inside = next(self._phrases.inside(found), None)
        if inside is not None:
            return f"contains the held-out task {self._phrase_names[inside]}"
        shared = [self._runs[r] for r in runs(found) if r in self._runs]
        return f"shares a run of words with the held-out task {min(shared)}" if shared else None


def _own_runs(named: Mapping[Tokens, str], others: Sequence[Tokens]) -> dict[int, str]:
    """Return the runs of words that give a held-out task away, each with the name of its task."""
    holders: dict[int, list[str]] = {}
    for prompt, name in named.items():
        for run in runs(prompt):
            holders.setdefault(run, []).append(name)
    limit = max(1, common(len(named)))  # a single held-out task has nothing to compare with
    known = {run for prompt in others for run in runs(prompt)}
    return {r: h[0] for r, h in holders.items() if len(h) <= limit and r not in known}


def _distinct(tasks: Sequence[Task]) -> tuple[list[Task], list[Placed]]:
    """Return the tasks without repetitions, and a row for every repetition."""
    seen = Distinct()
    kept: list[Task] = []
    repeated: list[Placed] = []
    for task in tasks:
        earlier = seen.earlier(task)
        if earlier is None:
            kept.append(task)
            continue
        reason = f"repeats {_called(earlier)}"
        if task.reference != earlier.reference:
            reason += f", with the answer {task.reference!r} instead of {earlier.reference!r}"
        repeated.append(Placed(task=task, split=DUPLICATE, reason=reason))
    return kept, repeated


def _bundles(tasks: Sequence[Task], seed: int) -> list[list[Task]]:
    """Return the groups of near-duplicates in a random order that only their tasks decide."""
    members: dict[int, list[tuple[str, Task]]] = {}
    for label, task in zip(groups([tokens(asked(t)) for t in tasks]), tasks, strict=True):
        members.setdefault(label, []).append((digest("split", seed, task.id), task))
    drawn = sorted((sorted(m, key=_draw) for m in members.values()), key=lambda m: _draw(m[0]))
    return [[task for _, task in m] for m in drawn]


def _draw(member: tuple[str, Task]) -> str:
    return member[0]


def _fill(bundles: Sequence[Sequence[Task]], sizes: Mapping[str, int | None]) -> list[Placed]:
    """Place whole bundles while they fit, and of the smallest that does not, what fits."""
    rows: list[Placed] = []
    left = list(bundles)
    for name in (n for n in ORDER if n in sizes):
        size = sizes[name]
        room = sum(map(len, left)) if size is None else size
        taken: list[Task] = []
        waiting: list[Sequence[Task]] = []
        for bundle in left:
            fits = len(taken) + len(bundle) <= room
            taken.extend(bundle if fits else ())
            waiting.extend(() if fits else (bundle,))
        if len(taken) < room and waiting:
            part = min(waiting, key=len)
            waiting.remove(part)
            cut = room - len(taken)
            taken.extend(part[:cut])
            if name == "train":
                waiting.append(part[cut:])
            else:
                reason = f"near-duplicate of {_called(part[0])} in {name}"
                rows += [Placed(task=t, split=DUPLICATE, reason=reason) for t in part[cut:]]
        rows += [Placed(task=t, split=name) for t in taken]
        left = waiting
    rest = [t for bundle in left for t in bundle]
    return rows + [Placed(task=t, split=UNUSED, reason="every split is full") for t in rest]


def _full(rows: Sequence[Placed], sizes: Mapping[str, int | None]) -> bool:
    """Return whether each split has its size, or a task at least."""
    found = Counter(row.split for row in rows)
    return all(found[name] >= (1 if size is None else size) for name, size in sizes.items())


def _shortage(
    given: int, bundles: Sequence[Sequence[Task]], sizes: Mapping[str, int | None]
) -> str:
    """Say what was asked for, what is there, and which sizes fit."""
    different = sum(map(len, bundles))
    asked_for = ", ".join(f"{n} {'the rest' if s is None else s}" for n, s in sizes.items())
    there = f"there are {different} different tasks"
    if given > different:
        there += f" ({given - different} of {given} repeat another)"
    if len(bundles) < different:
        there += f" in {len(bundles)} groups of near-duplicates, and a group is not divided"
    fitting = _smaller(bundles, sizes)
    advice = "; sizes that fit: " + ", ".join(f"{n} {s}" for n, s in fitting.items())
    return f"splits of {asked_for} were asked for, but {there}{advice if fitting else ''}"


def _smaller(bundles: Sequence[Sequence[Task]], sizes: Mapping[str, int | None]) -> dict[str, int]:
    """Return sizes in the same proportion that can be filled, or none if no such sizes can."""
    wanted = {n: s or max(filter(None, sizes.values()), default=1) for n, s in sizes.items()}
    there = sum(map(len, bundles))
    while there >= len(wanted):
        fitting = {n: max(1, there * s // sum(wanted.values())) for n, s in wanted.items()}
        if _full(_fill(bundles, fitting), fitting):
            return fitting
        there = there * 9 // 10
    return {}


def _called(task: Task) -> str:
    return task.name or task.id
