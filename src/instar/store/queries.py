"""What the reading verbs ask of a ledger, as plain values."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from instar.errors import UsageError, nearest
from instar.store.codec import decode, encode
from instar.store.ledger import SqliteLedger
from instar.store.rows import read_experience
from instar.types import (
    Assessed,
    Experience,
    Feedback,
    Learner,
    Outcome,
    Placed,
    Report,
    Score,
    Sifted,
    Task,
    Trained,
    Verdict,
)

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One learner of a run, like a commit: what it is, what it scored, what was decided and why.

    `accepted` is None for the base and for the control, which no gate judges; `tokens` and
    `seconds` are those of its iteration.
    """

    learner: str
    iteration: int
    arm: str
    accepted: bool | None
    reason: str
    accuracy: Score | None
    rows_trained: int
    tokens: int
    seconds: float
    head: bool


@dataclass(frozen=True, kw_only=True)
class Story:
    """One solution from task to training: its feedback, every decision, who was trained on it."""

    experience: Experience
    feedback: tuple[Feedback, ...]
    decisions: tuple[Sifted, ...]
    trained: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Trace:
    """Everything the ledger knows of one task."""

    task: Task
    split: str
    stories: tuple[Story, ...]
    outcomes: tuple[tuple[str, Outcome], ...]


def history(ledger: SqliteLedger) -> list[Entry]:
    """Return the learners of a run, oldest first, the base included."""
    verdicts = {(i, v.candidate): v for i, v in _rows(ledger, "verdict", Verdict)}
    reports = {r.learner: r for _, r in _rows(ledger, "report", Report) if r.split == "gate"}
    spent = {
        i: (int(tokens), float(seconds))
        for i, tokens, seconds in ledger.connection.execute(
            "SELECT iteration, sum(tokens), sum(seconds) FROM steps GROUP BY iteration"
        )
    }
    current = head(ledger)
    entries, seen = [], set()
    for iteration, made in _rows(ledger, "trained", Trained):
        verdict = verdicts.get((iteration, made.learner.id))
        report = reports.get(made.learner.id)
        tokens, seconds = spent.get(iteration, (0, 0.0))
        entries.append(
            Entry(
                learner=made.learner.id,
                iteration=iteration,
                arm=made.arm,
                accepted=verdict.accepted if verdict and made.arm == "method" else None,
                reason=verdict.reason if verdict and made.arm == "method" else made.arm,
                accuracy=report.scores[0] if report else None,
                rows_trained=len(made.rows),
                tokens=tokens,
                seconds=seconds,
                head=made.learner.id == current and made.learner.id not in seen,
            )
        )
        seen.add(made.learner.id)
    return entries


def head(ledger: SqliteLedger) -> str:
    """Return the id of the current learner: the last one promoted, or where it was moved to.

    Raises:
        UsageError: if the run has not begun.
    """
    moved = ledger.connection.execute(
        "SELECT learner, iteration FROM heads ORDER BY number DESC LIMIT 1"
    ).fetchone()
    promoted = [(i, v.candidate) for i, v in _rows(ledger, "verdict", Verdict) if v.accepted]
    if moved is not None and not any(i > moved[1] for i, _ in promoted):
        return str(moved[0])
    if promoted:
        return promoted[-1][1]
    return _base(ledger).id


def learners(ledger: SqliteLedger) -> list[tuple[int, Trained]]:
    """Return (iteration, learner with its rows), oldest first."""
    return list(_rows(ledger, "trained", Trained))


def find_learner(ledger: SqliteLedger, text: str) -> Learner:
    """Return the learner that `text` names: `base`, `head`, an iteration, or the start of an id.

    Raises:
        UsageError: if there is none, or several.
    """
    known = learners(ledger)
    if text == "base":
        return _base(ledger)
    wanted = head(ledger) if text == "head" else text
    if text.isdigit() and len(text) < 4:
        made = [t.learner for i, t in known if i == int(text) and t.arm != "control"]
        if made:
            return made[0]
    found = {t.learner.id: t.learner for _, t in known if t.learner.id.startswith(wanted)}
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        raise UsageError(f"learner {text!r} is the start of {', '.join(sorted(found))}")
    names = ["base", "head", *(str(i) for i, _ in known if i), *(t.learner.id for _, t in known)]
    raise UsageError(f"the run has no learner {text!r}{nearest(text, names)}")


def report(ledger: SqliteLedger, learner: str, split: str) -> Report | None:
    """Return the report of a learner on a split, or None if it was not measured there."""
    found = (r for _, r in _rows(ledger, "report", Report))
    return next((r for r in found if (r.learner, r.split) == (learner, split)), None)


def held_out(ledger: SqliteLedger, split: str) -> dict[str, Task]:
    """Return the tasks of a split by id."""
    return {p.task.id: p.task for p in _placed(ledger) if p.split == split}


def funnel(ledger: SqliteLedger, iteration: int) -> dict[str, int]:
    """Return how many samples an iteration drew, and how many each filter and reason dropped."""
    counts: Counter[str] = Counter()
    steps = "SELECT number FROM steps WHERE iteration = ?"
    row = ledger.connection.execute(
        f"SELECT count(*) FROM experience WHERE step IN ({steps})", (iteration,)
    ).fetchone()
    counts["sampled"] = int(row[0])
    for keep, text in ledger.connection.execute(
        f"SELECT keep, json FROM sifted WHERE step IN ({steps})", (iteration,)
    ):
        word = json.loads(text)
        counts[f"{word['filter']}: {'kept' if keep else 'dropped'}"] += 1
    return dict(counts)


def trace(ledger: SqliteLedger, text: str) -> Trace:
    """Return all that is known of the task that `text` names.

    Args:
        ledger: the run's.
        text: the user's own id of the task, or the start of the id of a task or an experience.

    Raises:
        UsageError: if nothing, or more than one task, is called so.
    """
    tasks = {p.task.id: p for p in _placed(ledger)}
    named = [p for p in tasks.values() if p.task.name and p.task.name == text]
    found = named or [p for i, p in tasks.items() if len(text) >= 4 and i.startswith(text)]
    if not found:
        owners = {e.task.id for e in _experiences(ledger, "t.id LIKE ? || '%'", text)}
        found = [tasks[i] for i in owners if i in tasks]
    if len(found) != 1:
        told = "nothing" if not found else f"{len(found)} tasks"
        raise UsageError(f"{told} in this run goes by {text!r}: give an id, or four or more of it")
    placed = found[0]
    stories = _stories(ledger, placed.task)
    return Trace(
        task=placed.task,
        split=placed.split,
        stories=tuple(stories),
        outcomes=tuple(
            (r.learner, o)
            for _, r in _rows(ledger, "report", Report)
            for o in r.outcomes
            if o.task == placed.task.id
        ),
    )


def _stories(ledger: SqliteLedger, task: Task) -> list[Story]:
    row_ids = "SELECT id FROM task WHERE json_extract(json, '$.messages') = ?"
    messages = ledger.connection.execute(
        "SELECT json_extract(json, '$.messages') FROM task WHERE json = ?", (encode(task),)
    ).fetchone()
    experiences = _experiences(ledger, f"t.task IN ({row_ids})", messages[0] if messages else "")
    ids = {e.id for e in experiences if e.task.id == task.id}
    feedback: dict[str, tuple[Feedback, ...]] = {}
    for _, assessed in _rows(ledger, "assessed", Assessed):
        if assessed.experience in ids:
            feedback[assessed.experience] = assessed.feedback
    decisions: dict[str, list[Sifted]] = {i: [] for i in ids}
    for experience, keep, text in ledger.connection.execute(
        "SELECT experience, keep, json FROM sifted ORDER BY step, position"
    ):
        if experience in ids:
            word = json.loads(text)
            decisions[experience].append(
                Sifted(
                    experience=experience,
                    filter=word["filter"],
                    keep=bool(keep),
                    reason=word["reason"],
                )
            )
    pupils = {i: [t.learner.id for _, t in learners(ledger) if i in t.rows] for i in ids}
    return [
        Story(
            experience=e,
            feedback=feedback.get(e.id, ()),
            decisions=tuple(decisions[e.id]),
            trained=tuple(pupils[e.id]),
        )
        for e in experiences
        if e.id in ids
    ]


def _experiences(ledger: SqliteLedger, where: str, value: str) -> list[Experience]:
    rows = ledger.connection.execute(
        "SELECT t.json, task.json FROM experience t JOIN task ON task.id = t.task "
        f"WHERE {where} ORDER BY t.step, t.position",
        (value,),
    )
    return [read_experience(row) for row in rows]


def _base(ledger: SqliteLedger) -> Learner:
    found = next((t.learner for _, t in learners(ledger) if t.arm == "base"), None)
    if found is None:
        raise UsageError("the run has not begun yet: it holds no learner")
    return found


def _placed(ledger: SqliteLedger) -> Sequence[Placed]:
    rows = ledger.connection.execute(
        "SELECT task.json, t.split, t.json FROM placed t JOIN task ON task.id = t.task "
        "ORDER BY t.step, t.position"
    )
    return [
        Placed(task=decode(Task, task), split=split, reason=decode(str, reason))
        for task, split, reason in rows
    ]


def _rows(ledger: SqliteLedger, table: str, kind: type[T]) -> Iterator[tuple[int, T]]:
    """Yield (iteration, value) of a table in the order they were made."""
    for iteration, text in ledger.connection.execute(
        f"SELECT s.iteration, t.json FROM {table} t JOIN steps s ON s.number = t.step "
        "ORDER BY t.step, t.position"
    ):
        yield int(iteration), decode(kind, text)
