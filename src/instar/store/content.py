"""What a ledger says, as a hash: to compare two runs, or a killed and resumed one with a whole one.

Left out are wall-clock times, the order in which steps were made and `meta`, which says where and
with what a run was made, not what it found. The order of rows within a step, and of moves of the
head, counts.
"""

from __future__ import annotations

import hashlib
import sqlite3

_TASK = "JOIN task ON task.id = t.task"
_RANGE = "t.row >= ?1 AND t.row < ?2 ORDER BY t.row"

# What the rows of each kind say, without the numbers that depend on the order of steps.
_SAID: dict[str, tuple[str, ...]] = {
    "Placed": (f"SELECT task.json, t.split, t.reason FROM placed t {_TASK} WHERE {_RANGE}",),
    "Task": (f"SELECT task.json FROM proposed t {_TASK} WHERE {_RANGE}",),
    "Experience": (f"SELECT t.hash, task.json, t.json FROM experience t {_TASK} WHERE {_RANGE}",),
    "Assessed": (f"SELECT t.experience, t.json FROM assessed t WHERE {_RANGE}",),
    "Sifted": (f"SELECT t.experience, t.filter, t.keep, t.reason FROM sifted t WHERE {_RANGE}",),
    "Trained": (f"SELECT t.learner, t.arm, t.json FROM trained t WHERE {_RANGE}",),
    "Report": (
        f"SELECT t.learner, t.split, t.json FROM report t WHERE {_RANGE}",
        "SELECT t.row - ?1, o.json FROM report t JOIN outcome o ON o.report = t.row "
        f"WHERE {_RANGE}, o.row",
    ),
    "Verdict": (f"SELECT t.json FROM verdict t WHERE {_RANGE}",),
    "Opening": (f"SELECT t.learner, t.reason FROM opening t WHERE {_RANGE}",),
}


def contents(db: sqlite3.Connection) -> dict[str, str]:
    """Return a hash of what each kind of row says, of the steps and of the moves of the head."""
    found = {name: hashlib.sha256() for name in ("steps", "heads", *_SAID)}
    steps = db.execute(
        "SELECT kind, first, first + rows, key, step, iteration, rows, tokens FROM steps "
        "ORDER BY key"
    ).fetchall()
    for kind, first, after, key, *rest in steps:
        found["steps"].update(_line(key, kind, *rest))
        for place, sql in enumerate(_SAID.get(kind, ())):
            found[kind].update(_line(key, place))
            for row in db.execute(sql, (first, after)):
                found[kind].update(_line(*row))
    for row in db.execute("SELECT learner, iteration, reason FROM heads ORDER BY number"):
        found["heads"].update(_line(*row))
    return {name: value.hexdigest() for name, value in found.items()}


def summed(parts: dict[str, str]) -> str:
    """Return one hash of all of them."""
    return hashlib.sha256(_line(*sorted(parts.items()))).hexdigest()


def _line(*values: object) -> bytes:
    """Return values in a form that no other values have; texts are ASCII in a ledger."""
    return repr(values).encode("ascii") + b"\n"
