"""The laws of the kinds as code: run over every built-in, and over a user's class by `check`.

Each law raises `AssertionError` with the sentence that `instar check` shows.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass, replace

from instar.protocols import (
    Assessor,
    Context,
    Corrector,
    Filter,
    Gate,
    Measure,
    Proposer,
    Solver,
)
from instar.testing.fakes import experiences, reports, tasks
from instar.types import Experience, Task


def check_values(component: object) -> None:
    """The constructor only stores: a component is frozen, pickles, and rebuilds equal.

    Raises:
        AssertionError: with the law that does not hold.
    """
    name = type(component).__name__
    _law(is_dataclass(component), f"{name} is not a dataclass")
    _law(_frozen(component), f"{name} is not frozen: use @dataclass(frozen=True)")
    _law(bool(type(component).__doc__), f"{name} has no docstring: it is the component's card")
    again = pickle.loads(pickle.dumps(component))
    _law(again == component, f"{name} is not equal to itself after pickling")
    parts = {f.name: getattr(component, f.name) for f in fields(component) if f.init}  # type: ignore[arg-type]
    _law(type(component)(**parts) == component, f"{name} does not rebuild equal from its fields")


def check_filter(component: Filter, context: Context) -> None:
    """One decision per experience, in order, each with a reason; nothing invented or edited."""
    name = type(component).__name__
    batch = experiences()
    decisions = _twice(lambda: component.select(batch, context), name)
    _law(len(decisions) == len(batch), f"{name} gave {len(decisions)} for {len(batch)} experiences")
    for decision in decisions:
        _law(isinstance(decision.keep, bool), f"{name}: keep is {decision.keep!r}, not a bool")
        _law(bool(decision.reason), f"{name} gave a decision without a reason")
    _law(list(component.select([], context)) == [], f"{name} makes something of an empty batch")


def check_assessor(component: Assessor, context: Context) -> None:
    """One feedback per experience, in order; a failed sample is not scored 0."""
    name = type(component).__name__
    batch = experiences()
    feedback = _twice(lambda: component.assess(batch, context), name)
    _law(len(feedback) == len(batch), f"{name} gave {len(feedback)} for {len(batch)} experiences")
    for one, experience in zip(feedback, batch, strict=True):
        _law(bool(one.source), f"{name} gave feedback without a source")
        failed = experience.solution.error is not None
        _law(not failed or one.score is None, f"{name} scored a sample that failed; expected None")
    _law(list(component.assess([], context)) == [], f"{name} makes something of an empty batch")


def check_solver(component: Solver, context: Context) -> None:
    """Every experience's task was given, and the ids of the experiences are distinct."""
    name = type(component).__name__
    given = tasks()
    made = _twice(lambda: component.solve(given, context), name)
    _law(len(made) >= len(given), f"{name} left a task without a solution")
    _own_tasks(made, given, name)
    _law(len({e.id for e in made}) == len(made), f"{name} gave two experiences one id")
    _law(list(component.solve([], context)) == [], f"{name} makes something of no task")


def check_proposer(component: Proposer, context: Context) -> None:
    """A task that is not of the training split names its parents; nothing held out is proposed."""
    name = type(component).__name__
    made = _twice(lambda: component.propose(context), name)
    train, gate = {t.id for t in context.train}, {t.id for t in context.gate}
    for task in made:
        _law(task.id not in gate, f"{name} proposed a held-out task")
        _law(task.id in train or bool(task.parents), f"{name} made a task that names no parent")
    empty = replace(context, train=())
    _law(isinstance(list(component.propose(empty)), list), f"{name} fails without training tasks")


def check_corrector(component: Corrector, context: Context) -> None:
    """New experiences only, each naming its parent and keeping its task."""
    name = type(component).__name__
    batch = experiences()
    made = _twice(lambda: component.correct(batch, context), name)
    by_id = {e.id: e for e in batch}
    for child in made:
        parent = next((by_id[p] for p in child.parents if p in by_id), None)
        _law(parent is not None, f"{name} made a child that names no parent of its batch")
        _law(child.id not in by_id, f"{name} returned an experience it was given")
    _law(list(component.correct([], context)) == [], f"{name} makes something of an empty batch")


def check_gate(component: Gate, context: Context) -> None:
    """Always a reason; the same learner twice, or a worse one, is never an improvement."""
    name = type(component).__name__
    worse, better = reports(context)
    for current, candidate in ((worse, worse), (better, worse), (worse, better)):
        verdict = component.decide(current, candidate, context)
        _law(bool(verdict.reason), f"{name} gave a verdict without a reason")
        promoted = verdict.accepted and candidate is not better
        _law(not promoted, f"{name} promoted a candidate that is not better")
    _law(component.decide(worse, better, context).accepted, f"{name} refuses a clear improvement")


def check_measure(component: Measure, context: Context) -> None:
    """Intervals hold their value; one outcome at least per task; same learner, same report."""
    name = type(component).__name__
    report = _twice(lambda: [component.measure(context.learner, context.gate, context)], name)[0]
    _law(bool(report.scores), f"{name} reports no score")
    for score in report.scores:
        _law(
            score.low <= score.value <= score.high, f"{name}: {score.name} is outside its interval"
        )
    seen = {o.task for o in report.outcomes}
    _law(seen == {t.id for t in context.gate}, f"{name} does not report every task")


LAWS: dict[str, Callable[..., None]] = {
    "filter": check_filter,
    "assessor": check_assessor,
    "solver": check_solver,
    "proposer": check_proposer,
    "corrector": check_corrector,
    "gate": check_gate,
    "measure": check_measure,
}


def check(kind: str, component: object, context: Context) -> None:
    """Check the laws of values, and those of `kind` where it has its own.

    Raises:
        AssertionError: with the first law that does not hold.
    """
    check_values(component)
    if kind in LAWS:
        LAWS[kind](component, context)


def _law(holds: bool, sentence: str) -> None:
    if not holds:
        raise AssertionError(sentence)


def _twice(call: Callable[[], Sequence[object]], name: str) -> Sequence:  # type: ignore[type-arg]
    """Return what `call` gives, having seen that it gives it again."""
    first, second = list(call()), list(call())
    _law(first == second, f"{name} answers differently when asked again with the same seed")
    return first


def _own_tasks(made: Sequence[Experience], given: Sequence[Task], name: str) -> None:
    ids = {t.id for t in given}
    _law(all(e.task.id in ids for e in made), f"{name} solved a task it was not given")


def _frozen(component: object) -> bool:
    parameters = getattr(type(component), "__dataclass_params__", None)
    return bool(parameters and parameters.frozen)
