"""Asking a learner held-out tasks and having the answers judged, for every measure alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from instar.errors import ComponentError
from instar.events import Note
from instar.judging import attach, judge
from instar.protocols import Assessor, Context
from instar.solving import experience, instruct
from instar.types import Experience, Learner, Outcome, Request, Sampling, Task

LOUD = 0.05  # share of answers that could not be judged from which a report says so loudly; ours
RIGHT = 1.0  # the score from which an answer counts as right: full marks
FORM = "form"


@dataclass(frozen=True, kw_only=True)
class Asking:
    """How a measure asks: sampling, samples per task, and an instruction added to the task."""

    sampling: Sampling
    n: int = 1
    instruction: str | None = None


def answered(
    learner: Learner, tasks: Sequence[Task], how: Asking, checker: Assessor, context: Context
) -> tuple[Outcome, ...]:
    """Return what the learner did on all tasks, `how.n` times on each, in the order of the tasks.

    Raises:
        ComponentError: without a task, or if the engine returns another number of answers.
    """
    if not tasks:
        raise ComponentError("there is no held-out task to measure the learner on")
    requests = [
        Request(
            messages=instruct(learner.render(task), how.instruction),
            sampling=how.sampling,
            n=how.n,
            key=f"evaluate {task.id}",
        )
        for task in tasks
    ]
    made = context.engine.generate(requests, learner, context)
    if [len(c) for c in made] != [how.n] * len(tasks):
        found = sum(len(c) for c in made)
        raise ComponentError(f"the engine gave {found} answers to {how.n} x {len(tasks)} requests")
    # The answers are those of the learner that is measured; the checker keeps the run's own.
    maker = replace(context, learner=learner)
    batch = [
        experience(task, completion, how.sampling, sample, maker, ("evaluate",))
        for task, completions in zip(tasks, made, strict=True)
        for sample, completion in enumerate(completions)
    ]
    if failed := [e.solution.error for e in batch if e.solution.error]:
        told = f"{len(failed)} of {len(batch)} answers failed; the first: {failed[0]}"
        context.emit(Note(text=told, level="warning"))
    judged = attach(batch, [(f,) for f in judge(checker, batch, context)])
    return tuple(_outcome(e) for e in judged)


def _outcome(judged: Experience) -> Outcome:
    """Return right (1), wrong (0) or "could not judge": so is a failed sample, whoever scores it.

    Part of the marks is not right: an outcome says what the measure's share counts, so that the
    gate decides on the very number that is reported.
    """
    feedback, solution = judged.feedback[0], judged.solution
    known = feedback.score is not None and solution.error is None
    return Outcome(
        task=judged.task.id,
        score=float((feedback.score or 0.0) >= RIGHT) if known else None,
        text=solution.text,
        answer=feedback.answer,
        sample=solution.sample,
        tokens=solution.tokens,
        finished=solution.finished,
    )


def formed(outcomes: Sequence[Outcome]) -> Iterator[tuple[str, float | None]]:
    """Say of each outcome's task whether the text ended by itself and held a final answer."""
    for o in outcomes:
        yield o.task, None if o.score is None else float(o.finished and o.answer is not None)


def unjudged(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    """Return a sentence if some answers could not be judged.

    Raises:
        ComponentError: if none could.
    """
    missing = sum(o.score is None for o in outcomes)
    if missing == len(outcomes):
        raise ComponentError(f"not one of {len(outcomes)} held-out answers could be judged")
    if missing == 0:
        return ()
    loud = "WARNING: " if missing > LOUD * len(outcomes) else ""
    return (f"{loud}{missing} of {len(outcomes)} answers could not be judged and are left out",)
