"""The steps of a turn: each asks its components, checks what they return, and happens once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar, cast

from instar.build import component, fingerprint
from instar.errors import ComponentError, EngineError, InstarError
from instar.judging import attach, judge
from instar.protocols import Context, Filter
from instar.recipe import Plan
from instar.types import (
    Assessed,
    Decision,
    Experience,
    Learner,
    Report,
    Row,
    Score,
    Sifted,
    Task,
    Trained,
    Verdict,
    digest,
)

R = TypeVar("R", bound=Row)
Made = TypeVar("Made")


class Once(Protocol):
    """The service behind resume: a step whose key is in the ledger is not done again."""

    def __call__(
        self, step: str, key: tuple[object, ...], kind: type[R], make: Callable[[], Sequence[R]], /
    ) -> tuple[R, ...]:
        """Return the recorded rows of this step, or make and record them."""
        ...

    def beside(
        self, step: str, key: tuple[object, ...], kind: type[R], make: Callable[[], Sequence[R]], /
    ) -> Callable[[], tuple[R, ...]]:
        """Begin a step beside the next ones; call what is returned once, for its rows."""
        ...

    def begin(self, step: str, unit: str, total: int, /) -> None:
        """Say that a long step begins."""
        ...

    def advance(self, done: int, /) -> None:
        """Say that `done` more units of the long step are finished."""
        ...

    def end(self) -> None:
        """Say that the long step ended."""
        ...


def propose(plan: Plan, context: Context, once: Once) -> tuple[Task, ...]:
    """`f^T`: the tasks of this iteration, each one once."""

    def make() -> tuple[Task, ...]:
        tasks = several(plan.proposer, lambda: plan.proposer.propose(context), Task)
        return tuple({t.id: t for t in tasks}.values())

    pool = digest([t.id for t in context.train])
    key = (fingerprint(plan.proposer), context.iteration, context.learner.id, pool)
    return once("propose", key, Task, make)


def solve(
    plan: Plan, tasks: Sequence[Task], context: Context, once: Once
) -> tuple[Experience, ...]:
    """`f^Y`: solutions of one batch of tasks."""

    def make() -> Sequence[Experience]:
        made = several(plan.solver, lambda: plan.solver.solve(tasks, context), Experience)
        given = {t.id for t in tasks}
        if stranger := next((e for e in made if e.task.id not in given), None):
            name = type(plan.solver).__name__
            raise ComponentError(f"{name} solved a task it was not given: {stranger.task.id}")
        failed = [e.solution.error for e in made if e.solution.error]
        if len(failed) > plan.max_failures * len(made):
            raise EngineError(f"{len(failed)} of {len(made)} samples failed; first: {failed[0]}")
        return made

    ids = tuple(t.id for t in tasks)
    verified = digest([e.id for e in context.verified])
    key = (fingerprint(plan.solver), context.iteration, context.learner.id, ids, verified)
    return once("solve", key, Experience, make)


def assess(
    plan: Plan, batch: Sequence[Experience], context: Context, once: Once
) -> Callable[[], tuple[Experience, ...]]:
    """`f^F`: begin to judge one batch; what is returned waits for every assessor's feedback."""
    if not batch:
        return tuple

    def make() -> list[Assessed]:
        columns = [judge(a, batch, context) for a in plan.assessors]
        return [
            Assessed(experience=e.id, feedback=tuple(column[i] for column in columns))
            for i, e in enumerate(batch)
        ]

    judges = tuple(fingerprint(a) for a in plan.assessors)
    judged = once.beside("assess", (judges, tuple(e.id for e in batch)), Assessed, make)
    return lambda: attach(batch, [r.feedback for r in judged()])


def correct(
    plan: Plan, batch: Sequence[Experience], context: Context, once: Once
) -> tuple[Experience, ...]:
    """Refinement: the corrected children of one batch, not yet judged."""
    children: list[Experience] = []
    parents = {e.id for e in batch}
    for corrector in plan.correctors:
        key = (fingerprint(corrector), context.learner.id, tuple(e.id for e in batch))
        made = once(
            "correct",
            key,
            Experience,
            lambda c=corrector: several(c, lambda: c.correct(batch, context), Experience),  # type: ignore[misc]
        )
        if any(not parents.intersection(e.parents) for e in made):
            name = type(corrector).__name__
            raise ComponentError(f"{name} returned an experience that names no parent of its batch")
        children += made
    return tuple(children)


def sift(
    filters: Sequence[Filter], batch: Sequence[Experience], context: Context, once: Once
) -> tuple[Experience, ...]:
    """Refinement: drop what a filter decides to drop; each filter sees what the last one left."""
    left = tuple(batch)
    for item, name in zip(filters, _names(filters), strict=True):
        key = (fingerprint(item), context.iteration, tuple(e.id for e in left))
        rows = once(
            "filter",
            key,
            Sifted,
            lambda f=item, n=name, b=left: _decisions(f, n, b, context),  # type: ignore[misc]
        )
        left = tuple(e for e, r in zip(left, rows, strict=True) if r.keep)
    return left


def update(plan: Plan, rows: Sequence[Experience], context: Context, once: Once) -> Learner:
    """`f^U`: the candidate; without a single row to learn from, the current learner itself."""
    if not rows:
        return context.learner

    def make() -> tuple[Trained]:
        learner = learned(plan, rows, context)
        return (Trained(learner=learner, rows=tuple(e.id for e in rows), arm=plan.arm),)

    start = (context.base.id, context.learner.id)
    key = (fingerprint(plan.updater), context.iteration, start, tuple(e.id for e in rows))
    once.begin("update", "rows", len(rows))
    made = once("update", key, Trained, make)
    once.end()
    return made[0].learner


def learned(plan: Plan, rows: Sequence[Experience], context: Context) -> Learner:
    """Return the learner that the updater makes of `rows`, not recorded."""
    return one(plan.updater, lambda: plan.updater.update(rows, context), Learner)


def evaluate(plan: Plan, learner: Learner, context: Context, once: Once) -> Report:
    """`f^E`: the measures of one learner on the gate split; a learner is not measured twice."""
    return measured(plan, learner, "gate", context.gate, (context, once))


def measured(
    plan: Plan,
    learner: Learner,
    split: str,
    tasks: Sequence[Task],
    services: tuple[Context, Once],
) -> Report:
    """Return the report of all measures on `tasks`; the gate pairs the first one's outcomes."""
    context, once = services

    def make() -> tuple[Report]:
        reports = [
            one(m, lambda m=m: m.measure(learner, tasks, context), Report)  # type: ignore[misc]
            for m in plan.measures
        ]
        scores: tuple[Score, ...] = tuple(s for r in reports for s in r.scores)
        findings = tuple(f for r in reports for f in r.findings)
        first = reports[0]
        return (
            Report(
                learner=learner.id,
                split=split,
                scores=scores,
                outcomes=first.outcomes,
                findings=findings,
            ),
        )

    measures = tuple(fingerprint(m) for m in plan.measures)
    key = (measures, learner.id, split, digest([t.id for t in tasks]))
    once.begin("evaluate", "tasks", len(tasks))
    made = once("evaluate", key, Report, make)
    once.end()
    return made[0]


def decide(plan: Plan, before: Report, after: Report, context: Context, once: Once) -> Verdict:
    """The gate's word on the candidate."""
    key = (fingerprint(plan.gate), context.iteration, before.learner, after.learner)
    make = lambda: (one(plan.gate, lambda: plan.gate.decide(before, after, context), Verdict),)  # noqa: E731
    return once("decide", key, Verdict, make)[0]


def unfiltered(rows: int) -> Filter:
    """Return the control's filter: `rows` finished samples at random."""
    entry = {"use": "random_sample", "count": rows}
    return cast("Filter", component("filter", entry, "control", Path()))


def ask(part: object, call: Callable[[], Made]) -> Made:
    """Call a component; what it raises is named after it.

    Raises:
        ComponentError: for any error of its own that is not one of the family.
    """
    try:
        return call()
    except InstarError:
        raise
    except (Exception, SystemExit) as error:  # a plug-in may raise anything
        name = type(part).__name__
        raise ComponentError(f"{name} raised {type(error).__name__}: {error}") from error


def one(part: object, call: Callable[[], Made], kind: type) -> Made:
    """Call a component that returns one value of `kind`.

    Raises:
        ComponentError: as `ask`, or if it returns something else.
    """
    found = ask(part, call)
    if not isinstance(found, kind):
        told = f"a {type(found).__name__}; expected a {kind.__name__}"
        raise ComponentError(f"{type(part).__name__} returned {told}")
    return found


def several(part: object, call: Callable[[], Sequence[Made]], kind: type) -> Sequence[Made]:
    """Call a component that returns a list of values of `kind`.

    Raises:
        ComponentError: as `ask`, or if it returns something else.
    """
    found = ask(part, call)
    listed = found if isinstance(found, Sequence) else (found,)
    if strangers := [v for v in listed if found is not listed or not isinstance(v, kind)]:
        told = f"a {type(strangers[0]).__name__}; expected a list of {kind.__name__}"
        raise ComponentError(f"{type(part).__name__} returned {told}")
    return found


def _names(filters: Sequence[Filter]) -> list[str]:
    """Return the name of each in the ledger: its class, with a number from its second use on."""
    classes = [type(f).__name__ for f in filters]
    counted = [classes[: i + 1].count(name) for i, name in enumerate(classes)]
    return [f"{n} {times}" if times > 1 else n for n, times in zip(classes, counted, strict=True)]


def _decisions(
    item: Filter, name: str, batch: Sequence[Experience], context: Context
) -> list[Sifted]:
    decisions = several(item, lambda: item.select(batch, context), Decision)
    if len(decisions) != len(batch):
        raise ComponentError(
            f"{name} returned {len(decisions)} decisions for {len(batch)} experiences"
        )
    return [
        Sifted(experience=e.id, filter=name, keep=d.keep, reason=d.reason)
        for e, d in zip(batch, decisions, strict=True)
    ]
