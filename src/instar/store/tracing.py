"""From a task to its samples, their feedback, every decision, and who learned from them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from instar.errors import UsageError
from instar.store.codec import decode, escape, unescape
from instar.store.ledger import SqliteLedger
from instar.store.rows import read_experience, read_feedback, read_sifted
from instar.types import Experience, Feedback, Outcome, Sifted, Task

SHORTEST = 4  # characters of an id that are enough, if they are enough; ours


@dataclass(frozen=True, kw_only=True)
class Story:
    """One solution from task to training: its feedback, every decision, who was trained on it."""

    experience: Experience
    feedback: tuple[Feedback, ...]
    decisions: tuple[Sifted, ...]
    trained: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Trace:
    """Everything the ledger knows of one task, or of one solution of it.

    `split` is where the task was put, and why if it is in none; where it came several times, it is
    all of that; `unplaced` if a proposer made it. `outcomes` are what each learner did on it when
    it was held out.
    """

    task: Task
    split: str
    stories: tuple[Story, ...]
    outcomes: tuple[tuple[str, Outcome], ...]


def trace(ledger: SqliteLedger, text: str) -> Trace:
    """Return all that is known of what `text` names.

    Args:
        ledger: the run's.
        text: the user's own id of a task, or the start of the id of a task or of an experience.
            For an experience, the stories are its own and those of its parents and children.

    Raises:
        UsageError: if nothing goes by that name, or more than one thing, or a learner.
    """
    tasks = _named(ledger, text) or _by_start(ledger, "task", text)
    if not tasks and (learners := _by_start(ledger, "learner", text)):
        raise UsageError(f"{learners[0]} is a learner, not a task or a sample: see instar show")
    samples = [] if tasks else _by_start(ledger, "experience", text)
    found = tasks or samples
    if not found:
        raise UsageError(
            f"nothing in this run goes by {text!r}: give a task's name, or the id of a task or a "
            f"sample, or its first {SHORTEST} digits or more"
        )
    if len(found) > 1:
        raise UsageError(f"{len(found)} go by {text!r}: {', '.join(found[:3])}; give more of one")
    return _of_task(ledger, found[0]) if tasks else _of_sample(ledger, found[0])


def lessons(ledger: SqliteLedger, learner: str) -> tuple[Story, ...]:
    """Return the stories of what the learner with this whole id was trained on, in order."""
    rows = ledger.ask(
        "SELECT lesson.value FROM trained t, json_each(t.json, '$.rows') lesson "
        "WHERE t.learner = ? ORDER BY t.row, lesson.key",
        escape(learner),
    )
    ids = list(dict.fromkeys(e for (e,) in rows))
    told = {
        s.experience.id: s for s in _stories(ledger, _experiences(ledger, "hash", json.dumps(ids)))
    }
    return tuple(told[i] for i in ids if i in told)


def _of_task(ledger: SqliteLedger, task_id: str) -> Trace:
    known = ledger.ask("SELECT id, json FROM task WHERE hash = ? ORDER BY id", task_id)
    numbers = json.dumps([number for number, _ in known])
    placed = ledger.ask(
        "SELECT split, reason FROM placed WHERE task IN (SELECT value FROM json_each(?)) "
        "ORDER BY reason != '', row",
        numbers,
    )
    outcomes = ledger.ask(
        "SELECT r.learner, o.json FROM outcome o JOIN report r ON r.row = o.report "
        "WHERE o.task = ? ORDER BY o.row",
        task_id,
    )
    return Trace(
        task=decode(Task, known[0][1]),
        split="; ".join(_place(*row) for row in placed) or "unplaced",
        stories=_stories(ledger, _experiences(ledger, "task", numbers)),
        outcomes=tuple((unescape(who), decode(Outcome, text)) for who, text in outcomes),
    )


def _place(split: str, reason: str) -> str:
    why = unescape(reason)
    return f"{unescape(split)} ({why})" if why else unescape(split)


def _of_sample(ledger: SqliteLedger, sample: str) -> Trace:
    experience = _experiences(ledger, "hash", json.dumps([sample]))[0]
    whole = _of_task(ledger, experience.task.id)
    kin = {sample, *experience.parents}
    stories = tuple(
        s for s in whole.stories if s.experience.id in kin or sample in s.experience.parents
    )
    return replace(whole, stories=stories)


def _named(ledger: SqliteLedger, text: str) -> list[str]:
    rows = ledger.ask("SELECT DISTINCT hash FROM task WHERE name = ?1 AND ?1 != ''", escape(text))
    return [i for (i,) in rows]


def _by_start(ledger: SqliteLedger, kind: str, text: str) -> list[str]:
    """Return the ids of a kind that begin with `text`, if it is long enough to mean one."""
    if len(text) < SHORTEST:
        return []
    table, column = {
        "task": ("task", "hash"),
        "experience": ("experience", "hash"),
        "learner": ("trained", "learner"),
    }[kind]
    rows = ledger.ask(
        f"SELECT DISTINCT {column} FROM {table} WHERE {column} >= ?1 AND {column} < ?1 || '~' "
        f"AND substr({column}, 1, length(?1)) = ?1 ORDER BY 1",  # an id is hexadecimal, so below ~
        escape(text),
    )
    return [i for (i,) in rows]


def _experiences(ledger: SqliteLedger, column: str, among: str) -> list[Experience]:
    """Return the experiences whose `column` is in a JSON list, oldest first, each once."""
    rows = ledger.ask(
        "SELECT task.json, e.json, e.hash FROM experience e JOIN task ON task.id = e.task "
        f"WHERE e.{column} IN (SELECT value FROM json_each(?)) ORDER BY e.row",
        among,
    )
    distinct: dict[str, tuple[Any, Any]] = {}
    for task, made, experience in rows:
        distinct.setdefault(experience, (task, made))
    return [read_experience(decode(Task, task), made) for task, made in distinct.values()]


def _stories(ledger: SqliteLedger, experiences: Sequence[Experience]) -> tuple[Story, ...]:
    wanted = json.dumps([e.id for e in experiences])
    among = "experience IN (SELECT value FROM json_each(?))"
    feedback = {
        e: read_feedback(text)
        for e, text in ledger.ask(
            f"SELECT experience, json FROM assessed WHERE {among} ORDER BY row", wanted
        )
    }
    decisions: dict[str, dict[Sifted, None]] = {}
    for row in ledger.ask(
        f"SELECT experience, filter, keep, reason FROM sifted WHERE {among} ORDER BY row", wanted
    ):
        decisions.setdefault(row[0], {})[read_sifted(row)] = None
    pupils: dict[str, dict[str, None]] = {}
    for experience, learner in ledger.ask(
        "SELECT lesson.value, t.learner FROM trained t, json_each(t.json, '$.rows') lesson "
        "WHERE lesson.value IN (SELECT value FROM json_each(?)) ORDER BY t.row",
        wanted,
    ):
        pupils.setdefault(experience, {})[learner] = None
    return tuple(
        Story(
            experience=e,
            feedback=feedback.get(e.id, ()),
            decisions=tuple(decisions.get(e.id, ())),
            trained=tuple(pupils.get(e.id, ())),
        )
        for e in experiences
    )
