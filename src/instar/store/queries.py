"""What the reading verbs ask of a ledger, as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from instar.errors import UsageError, nearest
from instar.store.codec import decode, escape, unescape
from instar.store.ledger import SqliteLedger
from instar.store.results import KINDS, Summary, read_reports
from instar.store.tracing import Story, Trace, lessons, trace
from instar.types import Learner, Opening, Report, Score, Task, Trained, Verdict

__all__ = [
    "Entry", "Story", "Trace", "find_learner", "funnel", "head", "held_out", "history", "learners",
    "lessons", "openings", "report", "trace",
]  # fmt: skip

REASONS = 5  # how many of a filter's reasons the funnel counts one by one; ours


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One learner of a run, like a commit: what it is, what it scored, what was decided and why.

    `accepted` is None for the base and for the control, which no gate judges; `tokens` and
    `seconds` are those of its arm in its iteration; `accuracy` is the first score of its report on
    the gate split; `made` is when it was recorded, in UTC. An iteration that kept no row to learn
    from has an entry too: its candidate is the learner it began with.
    """

    learner: str
    iteration: int
    arm: str
    parents: tuple[str, ...]
    adapter: str | None
    accepted: bool | None
    reason: str
    accuracy: Score | None
    rows_trained: int
    tokens: int
    seconds: float
    made: str
    head: bool


@dataclass(frozen=True)
class _Made:
    """A learner as a step made it; `lessons` is how many rows it was trained on."""

    step: int
    iteration: int
    arm: str
    lessons: int
    made: str
    learner: Learner


def history(ledger: SqliteLedger) -> list[Entry]:
    """Return the learners of a run, oldest first, the base included."""
    made, verdicts = _made(ledger), _verdicts(ledger)
    made = sorted((*made, *_unchanged(made, verdicts)), key=lambda m: m.step)
    judged = {(d.iteration, d.verdict.candidate): d.verdict for d in verdicts}
    scores, spent = _first_scores(ledger), _spent(ledger)
    current = head(ledger) if made else ""
    newest = next((m for m in made if m.learner.id == current), None)
    entries = []
    for m in made:
        verdict = judged.get((m.iteration, m.learner.id)) if m.arm == "method" else None
        tokens, seconds = spent.get((m.iteration, m.arm == "control"), (0, 0.0))
        entries.append(
            Entry(
                learner=m.learner.id,
                iteration=m.iteration,
                arm=m.arm,
                parents=m.learner.parents,
                adapter=m.learner.adapter,
                accepted=verdict.accepted if verdict else None,
                reason=verdict.reason if verdict else m.arm,
                accuracy=scores.get(m.learner.id),
                rows_trained=m.lessons,
                tokens=tokens,
                seconds=seconds,
                made=m.made,
                head=m is newest,
            )
        )
    return entries


def head(ledger: SqliteLedger) -> str:
    """Return the id of the current learner: the last one promoted, or where it was moved to.

    Raises:
        UsageError: if the run has not begun.
    """
    moved = ledger.ask("SELECT learner, iteration FROM heads ORDER BY number DESC LIMIT 1")
    promoted = ledger.ask(
        f"SELECT t.candidate, s.iteration FROM {_of('Verdict')} AND t.accepted "
        "ORDER BY t.row DESC LIMIT 1"
    )
    if moved and not (promoted and promoted[0][1] > moved[0][1]):
        return unescape(moved[0][0])
    return unescape(promoted[0][0]) if promoted else _base(ledger).id


def learners(ledger: SqliteLedger) -> list[tuple[int, Trained]]:
    """Return (iteration, learner with its rows), oldest first."""
    rows = ledger.ask(f"SELECT s.iteration, t.row FROM {_of('Trained')} ORDER BY t.row")
    read = KINDS[Trained].read
    return [(int(i), made) for i, row in rows for made in read(ledger.connection, row, row + 1)]


def find_learner(ledger: SqliteLedger, text: str) -> Learner:
    """Return the learner that `text` names: `base`, `head`, an iteration, or the start of an id.

    Raises:
        UsageError: if there is none, or several.
    """
    known = {m.learner.id: m.learner for m in _made(ledger)}
    if text == "base":
        return _base(ledger)
    if text == "head":
        return known[head(ledger)]
    if text.isdecimal() and len(text) < 4:
        made = [e.learner for e in history(ledger) if e.iteration == int(text)]
        if made:  # the method's candidate comes before the control's
            return known[made[0]]
    found = sorted(i for i in known if text and i.startswith(text))
    if len(found) == 1:
        return known[found[0]]
    if found:
        raise UsageError(f"learner {text!r} is the start of {', '.join(found)}")
    names = ["base", "head", *{str(e.iteration) for e in history(ledger)}, *known]
    raise UsageError(f"the run has no learner {text!r}{nearest(text, names)}")


def report(ledger: SqliteLedger, learner: str, split: str) -> Report | None:
    """Return the last report of a learner on a split, or None if it was not measured there."""
    found = ledger.ask(
        "SELECT row FROM report WHERE learner = ? AND split = ? ORDER BY row DESC LIMIT 1",
        escape(learner),
        escape(split),
    )
    return read_reports(ledger.connection, found[0][0], found[0][0] + 1)[0] if found else None


def held_out(ledger: SqliteLedger, split: str) -> dict[str, Task]:
    """Return the tasks of a split by id."""
    found = ledger.ask(
        "SELECT task.json FROM placed p JOIN task ON task.id = p.task WHERE p.split = ? "
        "ORDER BY p.row",
        escape(split),
    )
    tasks = (decode(Task, text) for (text,) in found)
    return {t.id: t for t in tasks}


def openings(ledger: SqliteLedger) -> list[Opening]:
    """Return every opening of the sealed split, oldest first."""
    found = ledger.ask("SELECT learner, reason FROM opening ORDER BY row")
    return [Opening(learner=unescape(m), reason=unescape(reason)) for m, reason in found]


def funnel(ledger: SqliteLedger, iteration: int) -> dict[str, int]:
    """Count what the method proposed, sampled, judged, kept and trained on in an iteration.

    `judged` are samples with a score; each filter sees what the one before it kept, and the most
    frequent of its reasons to drop are counted one by one.
    """

    def count(kind: str, what: str) -> int:
        return int(ledger.ask(f"SELECT {what} FROM {_of(kind)} AND {_METHOD}", iteration)[0][0])

    counts = {
        "proposed": count("Task", "count(DISTINCT t.task)"),
        "sampled": count("Experience", "count(DISTINCT t.hash)"),
        "failed": count("Experience", "count(DISTINCT iif(t.failed, t.hash, NULL))"),
        "judged": count("Assessed", "count(DISTINCT iif(t.judged, t.experience, NULL))"),
    }
    filters = ledger.ask(
        "SELECT t.filter, count(DISTINCT iif(t.keep, t.experience, NULL)), "
        "count(DISTINCT iif(t.keep, NULL, t.experience)) "
        f"FROM {_of('Sifted')} AND {_METHOD} GROUP BY t.filter ORDER BY min(t.row)",
        iteration,
    )
    for name, kept, dropped in filters:
        counts[f"{unescape(name)}: kept"] = kept
        counts[f"{unescape(name)}: dropped"] = dropped
        for reason, times in _reasons(ledger, iteration, name):
            counts[f"{unescape(name)}: dropped, {unescape(reason)}"] = times
    counts["trained"] = count("Trained", "coalesce(sum(t.lessons), 0)")
    return counts


# The method's turn ends with its verdict; the control's turn follows in the same iteration, and in
# the last one the sealed split is opened after both (`cycle.turn`, `cycle.control`, `run`).
_METHOD = (
    "s.iteration = ?1 AND s.number <= coalesce("
    "(SELECT min(number) FROM steps WHERE kind = 'Verdict' AND iteration = ?1), s.number)"
)
_SPENT = (
    "WITH firsts AS (SELECT iteration, kind, min(number) AS number FROM steps "
    "WHERE kind IN ('Verdict', 'Opening') GROUP BY iteration, kind) "
    "SELECT s.iteration, coalesce(s.number > v.number, 0), sum(s.tokens), sum(s.seconds) "
    "FROM steps s "
    "LEFT JOIN firsts v ON v.iteration = s.iteration AND v.kind = 'Verdict' "
    "LEFT JOIN firsts o ON o.iteration = s.iteration AND o.kind = 'Opening' "
    "WHERE o.number IS NULL OR s.number < o.number GROUP BY 1, 2"
)


def _of(kind: str) -> str:
    """Return what follows FROM to read rows `t` of a kind with the step `s` that made each."""
    table = next(k.table for made, k in KINDS.items() if made.__name__ == kind)
    return (
        f"steps s CROSS JOIN {table} t "
        f"WHERE s.kind = '{kind}' AND t.row >= s.first AND t.row < s.first + s.rows"
    )


def _reasons(ledger: SqliteLedger, iteration: int, name: str) -> list[tuple[str, int]]:
    return [
        (str(reason), int(times))
        for reason, times in ledger.ask(
            f"SELECT t.reason, count(DISTINCT t.experience) AS times FROM {_of('Sifted')} "
            f"AND {_METHOD} AND t.filter = ?2 AND NOT t.keep "
            f"GROUP BY t.reason ORDER BY times DESC, t.reason LIMIT {REASONS}",
            iteration,
            name,
        )
    ]


def _made(ledger: SqliteLedger) -> list[_Made]:
    rows = ledger.ask(
        "SELECT s.number, s.iteration, t.arm, t.lessons, s.made, json_extract(t.json, '$.learner') "
        f"FROM {_of('Trained')} ORDER BY t.row"
    )
    return [
        _Made(number, iteration, unescape(arm), lessons_, made, decode(Learner, text))
        for number, iteration, arm, lessons_, made, text in rows
    ]


@dataclass(frozen=True)
class _Decided:
    """A verdict and the step that made it."""

    step: int
    iteration: int
    made: str
    verdict: Verdict


def _verdicts(ledger: SqliteLedger) -> list[_Decided]:
    rows = ledger.ask(
        f"SELECT s.number, s.iteration, s.made, t.json FROM {_of('Verdict')} ORDER BY t.row"
    )
    return [_Decided(step, i, made, decode(Verdict, text)) for step, i, made, text in rows]


def _unchanged(made: Sequence[_Made], verdicts: Sequence[_Decided]) -> list[_Made]:
    """Return the candidates no update made: nothing was kept, so the learner stayed as it was."""
    known = {m.learner.id: m.learner for m in made}
    trained = {(m.iteration, m.learner.id) for m in made if m.arm == "method"}
    return [
        _Made(d.step, d.iteration, "method", 0, d.made, known[d.verdict.candidate])
        for d in verdicts
        if d.verdict.candidate in known and (d.iteration, d.verdict.candidate) not in trained
    ]


def _first_scores(ledger: SqliteLedger) -> dict[str, Score]:
    """Return the first score on the gate split of each learner that was measured."""
    rows = ledger.ask("SELECT learner, json FROM report WHERE split = 'gate' ORDER BY row")
    found = {unescape(learner): decode(Summary, text).scores for learner, text in rows}
    return {learner: scores[0] for learner, scores in found.items() if scores}


def _spent(ledger: SqliteLedger) -> dict[tuple[int, bool], tuple[int, float]]:
    """Return the tokens and seconds of each iteration and arm (is it the control's?)."""
    return {
        (int(i), bool(late)): (int(tokens), float(seconds))
        for i, late, tokens, seconds in ledger.ask(_SPENT)
    }


def _base(ledger: SqliteLedger) -> Learner:
    found = next((m.learner for m in _made(ledger) if m.arm == "base"), None)
    if found is None:
        raise UsageError("the run has not begun yet: it holds no learner")
    return found
