"""How the rows of a step lie in the tables: tasks, solutions, feedback, decisions.

`first` is the number of a step's first row in its table; its other rows follow.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from instar.store.codec import decode, encode, escape, unescape
from instar.types import Assessed, Experience, Feedback, Placed, Sifted, Solution, Task

R = TypeVar("R")


@dataclass(frozen=True)
class Kind(Generic[R]):
    """The table of a kind of row, and how to write (from `first`) and read (first, after last)."""

    table: str
    write: Callable[[sqlite3.Connection, int, Sequence[R]], None]
    read: Callable[[sqlite3.Connection, int, int], list[R]]


@dataclass(frozen=True, kw_only=True)
class _Made:
    """An experience without its task and its feedback, which have rows of their own."""

    solution: Solution
    made_by: str
    iteration: int
    learner: str
    parents: tuple[str, ...]


def read_experience(task: Task, made: str) -> Experience:
    """Return the experience of a task and the JSON beside it, without feedback."""
    m = decode(_Made, made)
    return Experience(
        task=task,
        solution=m.solution,
        made_by=m.made_by,
        iteration=m.iteration,
        learner=m.learner,
        parents=m.parents,
    )


def read_feedback(text: str) -> tuple[Feedback, ...]:
    """Return the feedback in `assessed`."""
    return decode(tuple[Feedback, ...], text)


def _number(db: sqlite3.Connection, task: Task) -> int:
    """Return the number of the task's row, a new one if no task like it in all fields is there."""
    text = encode(task)
    for number, known in db.execute("SELECT id, json FROM task WHERE hash = ?", (task.id,)):
        if known == text:
            return int(number)
    added = db.execute(
        "INSERT INTO task (hash, name, json) VALUES (?, ?, ?)", (task.id, escape(task.name), text)
    )
    return int(added.lastrowid or 0)


def _numbers(db: sqlite3.Connection, tasks: Sequence[Task]) -> list[int]:
    """Return the number of each task; the samples of one task mostly share one object."""
    known: dict[int, int] = {}
    for task in tasks:
        if id(task) not in known:
            known[id(task)] = _number(db, task)
    return [known[id(t)] for t in tasks]


class _Tasks:
    """The tasks of the rows being read, each decoded once."""

    def __init__(self) -> None:
        self._known: dict[int, Task] = {}

    def get(self, number: int, text: str) -> Task:
        """Return the task of row `number`, whose JSON is `text`."""
        if number not in self._known:
            self._known[number] = decode(Task, text)
        return self._known[number]


def _write_placed(db: sqlite3.Connection, first: int, rows: Sequence[Placed]) -> None:
    numbers = _numbers(db, [r.task for r in rows])
    db.executemany(
        "INSERT INTO placed VALUES (?, ?, ?, ?)",
        (
            (first + i, n, escape(r.split), escape(r.reason))
            for i, (r, n) in enumerate(zip(rows, numbers, strict=True))
        ),
    )


def _read_placed(db: sqlite3.Connection, first: int, after: int) -> list[Placed]:
    rows = db.execute(
        "SELECT task.json, p.split, p.reason FROM placed p JOIN task ON task.id = p.task "
        "WHERE p.row >= ? AND p.row < ? ORDER BY p.row",
        (first, after),
    )
    return [
        Placed(task=decode(Task, task), split=unescape(split), reason=unescape(reason))
        for task, split, reason in rows
    ]


def _write_proposed(db: sqlite3.Connection, first: int, rows: Sequence[Task]) -> None:
    numbers = enumerate(_numbers(db, rows))
    db.executemany("INSERT INTO proposed VALUES (?, ?)", ((first + i, n) for i, n in numbers))


def _read_proposed(db: sqlite3.Connection, first: int, after: int) -> list[Task]:
    rows = db.execute(
        "SELECT task.json FROM proposed p JOIN task ON task.id = p.task "
        "WHERE p.row >= ? AND p.row < ? ORDER BY p.row",
        (first, after),
    )
    return [decode(Task, text) for (text,) in rows]


def _write_experiences(db: sqlite3.Connection, first: int, rows: Sequence[Experience]) -> None:
    numbers = _numbers(db, [e.task for e in rows])
    db.executemany(
        "INSERT INTO experience VALUES (?, ?, ?, ?, ?)",
        (
            (first + i, e.id, n, int(e.solution.error is not None), encode(_made(e)))
            for i, (e, n) in enumerate(zip(rows, numbers, strict=True))
        ),
    )


def _made(e: Experience) -> _Made:
    return _Made(
        solution=e.solution,
        made_by=e.made_by,
        iteration=e.iteration,
        learner=e.learner,
        parents=e.parents,
    )


def _read_experiences(db: sqlite3.Connection, first: int, after: int) -> list[Experience]:
    tasks = _Tasks()
    rows = db.execute(
        "SELECT e.task, task.json, e.json FROM experience e JOIN task ON task.id = e.task "
        "WHERE e.row >= ? AND e.row < ? ORDER BY e.row",
        (first, after),
    )
    return [read_experience(tasks.get(number, text), made) for number, text, made in rows]


def _write_assessed(db: sqlite3.Connection, first: int, rows: Sequence[Assessed]) -> None:
    db.executemany(
        "INSERT INTO assessed VALUES (?, ?, ?, ?)",
        (
            (
                first + i,
                escape(r.experience),
                int(any(f.score is not None for f in r.feedback)),
                encode(r.feedback),
            )
            for i, r in enumerate(rows)
        ),
    )


def _read_assessed(db: sqlite3.Connection, first: int, after: int) -> list[Assessed]:
    rows = db.execute(
        "SELECT experience, json FROM assessed WHERE row >= ? AND row < ? ORDER BY row",
        (first, after),
    )
    return [Assessed(experience=unescape(e), feedback=read_feedback(text)) for e, text in rows]


def _write_sifted(db: sqlite3.Connection, first: int, rows: Sequence[Sifted]) -> None:
    db.executemany(
        "INSERT INTO sifted VALUES (?, ?, ?, ?, ?)",
        (
            (first + i, escape(r.experience), escape(r.filter), int(bool(r.keep)), escape(r.reason))
            for i, r in enumerate(rows)
        ),
    )


def _read_sifted(db: sqlite3.Connection, first: int, after: int) -> list[Sifted]:
    rows = db.execute(
        "SELECT experience, filter, keep, reason FROM sifted "
        "WHERE row >= ? AND row < ? ORDER BY row",
        (first, after),
    )
    return [read_sifted(row) for row in rows]


def read_sifted(row: tuple[str, str, int, str]) -> Sifted:
    """Return the decision of the columns (experience, filter, keep, reason)."""
    return Sifted(
        experience=unescape(row[0]),
        filter=unescape(row[1]),
        keep=bool(row[2]),
        reason=unescape(row[3]),
    )


PLACED = Kind("placed", _write_placed, _read_placed)
PROPOSED = Kind("proposed", _write_proposed, _read_proposed)
EXPERIENCE = Kind("experience", _write_experiences, _read_experiences)
ASSESSED = Kind("assessed", _write_assessed, _read_assessed)
SIFTED = Kind("sifted", _write_sifted, _read_sifted)
