"""Many turns: splits, preflight, iterations, control, budget, and the sealed split at the end."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from instar import cycle, preflight, steps
from instar.acquisition.tasks.splits import split
from instar.build import fingerprint
from instar.contamination import NotHeldOut, NotUnprotected
from instar.errors import DataError
from instar.evaluation.gate import compare
from instar.events import Event, IterationEnded, IterationStarted, Measured, Note, RunStarted
from instar.protocols import Artefacts, Context, Engine, Filter, Forecast, Ledger, Sandbox
from instar.recipe import Plan
from instar.recorder import BudgetSpent, Recorder
from instar.types import Learner, Opening, Placed, Report, Score, Task, Trained

RESERVE = 1.15  # an iteration is begun if this many times the last one's cost is left; ours


@dataclass(frozen=True, kw_only=True)
class Services:
    """What a run is wired to; `train_unprotected` is for a sandbox that isolates nothing."""

    ledger: Ledger
    artefacts: Artefacts
    engine: Engine
    emit: Callable[[Event], None]
    directory: Path
    scratch: Path
    sandbox: Sandbox | None = None
    train_unprotected: bool = False
    spent: float = 0.0
    resumed: bool = False


@dataclass(frozen=True, kw_only=True)
class Result:
    """How a run ended: the learner it ends with, whether that is better, and the proof in words."""

    learner: Learner
    improved: bool
    summary: str
    sealed: Score | None = None
    control: Score | None = None


def run(plan: Plan, services: Services) -> Result:
    """Improve the plan's model over its iterations; resume is running again on the same ledger.

    Raises:
        InstarError: of the kind that says whose mistake it is; everything made is recorded.
    """
    once = Recorder(services.ledger, services.emit, plan.budget, services.spent)
    try:
        with _loading():
            plan, context, placed = prepare(plan, services, once)
            services.emit(_started(plan, services, context, placed))
        prove(plan, context, once)
        before = steps.evaluate(plan, context.base, context, once)
    except BudgetSpent as spent:
        once.end()
        told = f"no improvement: {spent}, and no iteration was begun"
        return Result(learner=_base(plan), improved=False, summary=told)
    services.emit(Measured(iteration=0, arm="method", report=before))
    heldout = sum(p.split in ("gate", "sealed") for p in placed)
    arms = 3 if plan.control else 2
    once.reserve = arms * once.took.get("evaluate", 0.0) * heldout / len(context.gate)
    final, rival = _iterate(plan, context, once)
    return _conclude(plan, replace(context, learner=final), rival, (once, placed))


@contextmanager
def _loading() -> Iterator[None]:
    """Look for no garbage while libraries and tasks are loaded, nor later among what was loaded.

    The collector would take a fifth of that time, and find nothing.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if collects:
            gc.enable()


def prepare(
    plan: Plan, services: Services, once: Recorder
) -> tuple[Plan, Context, tuple[Placed, ...]]:
    """Check the settings, place the tasks, and guard the plan against held-out tasks."""
    preflight.check_settings(plan)
    sandbox = services.sandbox if preflight.executes_code(plan) else None
    guards: tuple[Filter, ...] = ()
    if sandbox is not None and sandbox.level == "none" and not services.train_unprotected:
        guards = (NotUnprotected(),)
    placed = _split(plan, once)
    preflight.check_tasks(plan, [p.task for p in placed])
    heldout = (*_tasks(placed, "gate"), *_tasks(placed, "sealed"))
    base = _base(plan)
    once("begin", (base.id,), Trained, lambda: (Trained(learner=base, rows=(), arm="base"),))
    context = Context(
        objective=plan.objective,
        learner=base,
        base=base,
        engine=services.engine,
        artefacts=services.artefacts,
        emit=once.emit,
        scratch=services.scratch,
        sandbox=sandbox,
        train=_tasks(placed, "train"),
        gate=_tasks(placed, "gate"),
        seed=plan.seed,
        iterations=plan.iterations,
    )
    guards = (*guards, NotHeldOut(heldout))
    return replace(plan, filters=(*guards, *plan.filters)), context, placed


def _base(plan: Plan) -> Learner:
    return Learner(base=plan.model, prompt=plan.prompt)


def prove(plan: Plan, context: Context, once: Recorder) -> tuple[str, ...]:
    """Run the preflight once per run; a resumed run does not repeat it. Return what it found.

    Raises:
        PreflightError: if a part of the loop is inert or wrong.
    """
    facts: list[str] = []

    def make() -> tuple[Trained, ...]:
        facts.extend(preflight.check_feedback(plan, context))
        once.advance(1)
        facts.append(preflight.check_update(plan, context))
        return ()

    parts = (plan.updater, plan.assessors, plan.measures)
    once.begin("preflight", "checks", 2)
    once("preflight", (fingerprint(parts), context.learner.id), Trained, make)
    once.end()
    for fact in facts:
        context.emit(Note(text=f"preflight: {fact}"))
    return tuple(facts)


def _iterate(plan: Plan, context: Context, once: Recorder) -> tuple[Learner, Learner | None]:
    """Turn the cycle; return the method's learner and, if there is one, the control's."""
    rival = context.base if plan.control else None
    before = 0.0
    for iteration in range(1, plan.iterations + 1):
        started = (once.seconds, once.tokens)
        if iteration > 1 and not _affordable(plan, once, before):
            context.emit(Note(text=f"budget: no time for iteration {iteration}", level="warning"))
            break
        once.iteration = iteration
        context = replace(context, iteration=iteration)
        context.emit(IterationStarted(iteration=iteration, iterations=plan.iterations))
        try:
            turn = cycle.turn(plan, context, once)
            context.emit(Measured(iteration=iteration, arm="method", report=turn.report))
            if rival is not None:
                rival = _control(plan, len(turn.kept), replace(context, learner=rival), once)
        except BudgetSpent as spent:
            once.end()
            context.emit(Note(text=f"{spent}; iteration {iteration} is dropped", level="warning"))
            break
        before = once.seconds - started[0]
        context.emit(
            IterationEnded(
                iteration=iteration,
                iterations=plan.iterations,
                verdict=turn.verdict,
                rows_trained=len(turn.kept),
                tokens=once.tokens - started[1],
                seconds=before,
                seconds_left=before * (plan.iterations - iteration),
            )
        )
        context = replace(
            context,
            learner=turn.learner,
            verified=turn.kept,
            objective=turn.verdict.next_objective or context.objective,
        )
    return context.learner, rival


def _control(plan: Plan, rows: int, context: Context, once: Recorder) -> Learner:
    context.emit(
        IterationStarted(iteration=context.iteration, iterations=plan.iterations, arm="control")
    )
    learner, report = cycle.control(plan, rows, context, once)
    context.emit(Measured(iteration=context.iteration, arm="control", report=report))
    return learner


def _affordable(plan: Plan, once: Recorder, last: float) -> bool:
    """Say whether one more iteration, at the cost of the last, fits the budget."""
    if plan.budget is None:
        return True
    iterations_done = max(1, once.iteration)
    tokens = once.tokens / iterations_done
    seconds = once.seconds + once.reserve + RESERVE * last
    return plan.budget.allows(seconds, once.tokens + RESERVE * tokens)


def _split(plan: Plan, once: Recorder) -> tuple[Placed, ...]:
    """Load the tasks and place each in one split; stored, so that they are never made again."""

    def make() -> tuple[Placed, ...]:
        sizes = plan.splits
        whole = None if None in sizes.values() else sum(n or 0 for n in sizes.values())
        tasks = steps.several(plan.source, lambda: plan.source.load(whole, plan.seed), Task)
        if not tasks:
            raise DataError(f"{type(plan.source).__name__}: there is no task in it")
        return split(tasks, sizes, plan.seed)

    key = (fingerprint(plan.source), plan.splits, plan.seed)
    return once("split", key, Placed, make)


def _tasks(placed: tuple[Placed, ...], name: str) -> tuple[Task, ...]:
    return tuple(p.task for p in placed if p.split == name)


def _conclude(
    plan: Plan,
    context: Context,
    rival: Learner | None,
    services: tuple[Recorder, tuple[Placed, ...]],
) -> Result:
    """Open the sealed split, if there is a gain to confirm, and say plainly what it shows."""
    once, placed = services
    once.budget = None
    base, final = context.base, context.learner
    if final.id == base.id:
        told = "no improvement: the gate promoted no candidate, the model is unchanged"
        return Result(learner=base, improved=False, summary=told)
    tasks = _tasks(placed, "sealed")
    reason = f"the end of {plan.name}: base against final"
    once("open", (final.id,), Opening, lambda: (Opening(learner=final.id, reason=reason),))
    services_ = (context, once)
    reports = {
        learner.id: steps.measured(plan, learner, "sealed", tasks, services_)
        for learner in (base, final, *([rival] if rival else []))
    }
    for learner, arm in ((base, "base"), (final, "method")):
        context.emit(Measured(iteration=context.iteration, arm=arm, report=reports[learner.id]))
    gain = compare(reports[final.id], reports[base.id])
    over = compare(reports[final.id], reports[rival.id]) if rival else None
    return Result(
        learner=final,
        improved=gain.low > 0,
        summary=_summary(reports[base.id], reports[final.id], gain, over),
        sealed=gain,
        control=over,
    )


def _summary(base: Report, final: Report, gain: Score, over: Score | None) -> str:
    """Say in plain words what the sealed split shows."""
    change = f"{_percent(base.scores[0].value)} to {_percent(final.scores[0].value)}"
    spread = (
        f"{_points(gain.value)} points, 95% interval {_points(gain.low)} to {_points(gain.high)}"
    )
    told = f"sealed split, n = {gain.n}: {change} ({spread})"
    if gain.low <= 0:
        told = f"no improvement confirmed: the gate promoted, but on the {told}"
    else:
        told = f"improved: {told}"
    if over is None:
        return told
    spread = (
        f"{_points(over.value)} points, 95% interval {_points(over.low)} to {_points(over.high)}"
    )
    verb = "beats" if over.low > 0 else "does not beat"
    return f"{told}; the method {verb} the unfiltered control ({spread})"


def _percent(value: float) -> str:
    return f"{100 * value:.1f}%"


def _points(value: float) -> str:
    return f"{100 * value:+.1f}"


def _started(
    plan: Plan, services: Services, context: Context, placed: tuple[Placed, ...]
) -> RunStarted:
    sizes = {name: len(_tasks(placed, name)) for name in ("train", "gate", "sealed")}
    counted = ", ".join(f"{n} {name}" for name, n in sizes.items())
    gate = plan.gate
    forecast: tuple[str, ...] = ()
    if isinstance(gate, Forecast):
        told = steps.one(gate, lambda: gate.before_run(sizes["gate"], plan.iterations), str)
        forecast = (told,)
    isolation = context.sandbox.facts() if context.sandbox else ()
    return RunStarted(
        recipe=plan.name,
        model=plan.model,
        directory=str(services.directory),
        iterations=plan.iterations,
        resumed=services.resumed,
        facts=(f"tasks: {counted}", *services.engine.facts(), *isolation, *forecast),
    )
