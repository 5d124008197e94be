"""One turn of self-evolution, in the survey's words (arXiv 2404.14387, section 2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from instar import steps
from instar.protocols import Context
from instar.recipe import Plan
from instar.steps import Once
from instar.types import Experience, Learner, Report, Task, Verdict


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What one turn gave: the next learner, what it was trained on, and why it was promoted."""

    learner: Learner
    candidate: Learner
    report: Report
    verdict: Verdict
    kept: tuple[Experience, ...]


def turn(plan: Plan, context: Context, once: Once) -> Turn:
    """M[t] -> M[t+1]; each step happens once, even after a crash."""
    tasks = steps.propose(plan, context, once)
    judged = acquire(plan, tasks, context, once)
    kept = steps.sift(plan.filters, judged, context, once)
    candidate = steps.update(plan, kept, context, once)
    before = steps.evaluate(plan, context.learner, context, once)
    after = steps.evaluate(plan, candidate, context, once)
    verdict = steps.decide(plan, before, after, context, once)
    learner = candidate if verdict.accepted else context.learner
    return Turn(learner=learner, candidate=candidate, report=after, verdict=verdict, kept=kept)


def acquire(
    plan: Plan, tasks: Sequence[Task], context: Context, once: Once
) -> tuple[Experience, ...]:
    """Solve, judge and correct, batch by batch; a batch is judged while the next one is sampled.

    A corrected solution is judged like any other. Correcting comes before filtering: STaR
    rationalises the very solutions a filter would drop.
    """
    found: list[Experience] = []
    judging: Callable[[], tuple[Experience, ...]] = tuple
    batches = [tasks[i : i + plan.batch] for i in range(0, len(tasks), plan.batch)]
    once.begin("acquire", "tasks", len(tasks))
    for batch, last in zip([*batches, ()], [(), *batches], strict=True):
        solved = steps.solve(plan, batch, context, once) if batch else ()
        if last:
            judged = judging()
            corrected = steps.correct(plan, judged, context, once)
            found += [*judged, *steps.assess(plan, corrected, context, once)()]
            once.advance(len(last))
        judging = steps.assess(plan, solved, context, once)
    once.end()
    return tuple(found)


def control(plan: Plan, rows: int, context: Context, once: Once) -> tuple[Learner, Report]:
    """The same turn without refinement: as many rows, drawn at random from its own samples.

    The control's learner moves on without a gate, so it shows what training alone does.
    """
    bare = replace(plan, arm="control", correctors=(), filters=(steps.unfiltered(rows),))
    tasks = steps.propose(bare, context, once)
    judged = acquire(bare, tasks, context, once)
    kept = steps.sift(bare.filters, judged, context, once)
    candidate = steps.update(bare, kept, context, once)
    return candidate, steps.evaluate(bare, candidate, context, once)
