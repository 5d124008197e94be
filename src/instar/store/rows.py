"""How each kind of row lies in its table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from instar.store.codec import decode, encode
from instar.types import (
    Assessed,
    Experience,
    Opening,
    Placed,
    Report,
    Sifted,
    Solution,
    Task,
    Trained,
    Verdict,
    digest,
)

R = TypeVar("R")
Values = list[tuple[object, ...]]


@dataclass(frozen=True)
class Table(Generic[R]):
    """The statement that reads a step's rows, and how to read and write one."""

    select: str
    read: Callable[[tuple[Any, ...]], R]
    write: Callable[[Sequence[Any]], Iterator[tuple[str, Values]]]


@dataclass(frozen=True, kw_only=True)
class _Made:
    """An experience without its task and its feedback, which have rows of their own."""

    solution: Solution
    made_by: str
    iteration: int
    learner: str
    parents: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Word:
    """A filter's name and reason."""

    filter: str
    reason: str


def _select(table: str, columns: str = "json") -> str:
    return f"SELECT {columns} FROM {table} WHERE step = ? ORDER BY position"


def _with_task(table: str, columns: str) -> str:
    return (
        f"SELECT {columns} FROM {table} t JOIN task ON task.id = t.task "
        "WHERE t.step = ? ORDER BY t.position"
    )


def _row_id(task: Task) -> str:
    """Return the key of a task's row: all of its fields, since its `id` leaves some out."""
    return digest("row", task)


def _tasks(tasks: Sequence[Task]) -> tuple[str, Values]:
    distinct = {_row_id(t): t for t in tasks}
    return "task", [(key, encode(t)) for key, t in distinct.items()]


def _write_placed(rows: Sequence[Placed]) -> Iterator[tuple[str, Values]]:
    yield _tasks([r.task for r in rows])
    yield "placed", [(_row_id(r.task), r.split, encode(r.reason)) for r in rows]


def _write_proposed(rows: Sequence[Task]) -> Iterator[tuple[str, Values]]:
    yield _tasks(rows)
    yield "proposed", [(_row_id(t),) for t in rows]


def _write_experiences(rows: Sequence[Experience]) -> Iterator[tuple[str, Values]]:
    yield _tasks([e.task for e in rows])
    yield "experience", [(e.id, _row_id(e.task), _experience(e)) for e in rows]


def _experience(e: Experience) -> str:
    return encode(
        _Made(
            solution=e.solution,
            made_by=e.made_by,
            iteration=e.iteration,
            learner=e.learner,
            parents=e.parents,
        )
    )


def read_experience(row: tuple[str, str]) -> Experience:
    """Return the experience of (its JSON, its task's JSON)."""
    made = decode(_Made, row[0])
    return Experience(
        task=decode(Task, row[1]),
        solution=made.solution,
        made_by=made.made_by,
        iteration=made.iteration,
        learner=made.learner,
        parents=made.parents,
    )


def _read_sifted(row: tuple[Any, ...]) -> Sifted:
    word = decode(_Word, row[2])
    return Sifted(experience=row[0], filter=word.filter, keep=bool(row[1]), reason=word.reason)


def _write_sifted(rows: Sequence[Sifted]) -> Iterator[tuple[str, Values]]:
    words = [encode(_Word(filter=r.filter, reason=r.reason)) for r in rows]
    kept = [(r.experience, int(r.keep)) for r in rows]
    yield "sifted", [(*k, w) for k, w in zip(kept, words, strict=True)]


def _whole(table: str, kind: type[R], columns: Callable[[Any], tuple[object, ...]]) -> Table[R]:
    """Return the table of a kind that is kept as one JSON text beside some columns."""
    return Table(
        select=_select(table),
        read=lambda row: decode(kind, row[0]),
        write=lambda rows: iter([(table, [(*columns(r), encode(r)) for r in rows])]),
    )


TABLES: dict[type, Table[Any]] = {
    Placed: Table(
        select=_with_task("placed", "task.json, t.split, t.json"),
        read=lambda row: Placed(
            task=decode(Task, row[0]), split=row[1], reason=decode(str, row[2])
        ),
        write=_write_placed,
    ),
    Task: Table(
        select=_with_task("proposed", "task.json"),
        read=lambda row: decode(Task, row[0]),
        write=_write_proposed,
    ),
    Experience: Table(
        select=_with_task("experience", "t.json, task.json"),
        read=read_experience,
        write=lambda rows: _write_experiences([replace(e, feedback=()) for e in rows]),
    ),
    Assessed: _whole("assessed", Assessed, lambda r: (r.experience,)),
    Sifted: Table(
        select=_select("sifted", "experience, keep, json"),
        read=_read_sifted,
        write=_write_sifted,
    ),
    Trained: _whole("trained", Trained, lambda r: (r.learner.id, r.arm)),
    Report: _whole("report", Report, lambda r: (r.learner, r.split)),
    Verdict: _whole("verdict", Verdict, lambda r: (r.candidate, int(r.accepted))),
    Opening: _whole("opening", Opening, lambda r: (r.learner,)),
}
