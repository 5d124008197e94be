"""Asking a learner held-out tasks and having the answers judged, for every measure alike."""

from __future__ import annotations

from collections.abc import Sequence

from instar.errors import ComponentError
from instar.judging import attach, judge
from instar.protocols import Assessor, Context
from instar.solving import experience, instruct
from instar.types import Experience, Learner, Outcome, Request, Sampling, Task

LOUD = 0.05  # share of answers that could not be judged from which a report says so loudly; ours


def answered(
    learner: Learner,
    tasks: Sequence[Task],
    how: tuple[Sampling, int, str | None],
    checker: Assessor,
    context: Context,
) -> tuple[Experience, ...]:
    """Return the judged solutions of all tasks, `n` for each, in the order of the tasks.

    Args:
        learner: who is asked.
        tasks: what is asked.
        how: sampling, number of samples, and an instruction added to the task.
        checker: who judges.
        context: the services.
    """
    sampling, n, instruction = how
    requests = [
        Request(
            messages=instruct(learner.render(task), instruction),
            sampling=sampling,
            n=n,
            key=f"evaluate {task.id}",
        )
        for task in tasks
    ]
    made = context.engine.generate(requests, learner, context) if requests else []
    batch = [
        experience(task, completion, sampling, sample, context, ("evaluate",))
        for task, completions in zip(tasks, made, strict=True)
        for sample, completion in enumerate(completions)
    ]
    return attach(batch, [(f,) for f in judge(checker, batch, context)])


def outcome(judged: Experience) -> Outcome:
    """Return what the gate and `instar diff` read of a judged solution."""
    feedback, solution = judged.feedback[0], judged.solution
    return Outcome(
        task=judged.task.id,
        score=feedback.score,
        text=solution.text,
        answer=feedback.answer,
        sample=solution.sample,
        tokens=solution.tokens,
        finished=solution.finished,
    )


def unjudged(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    """Return a sentence if some answers could not be judged.

    Raises:
        ComponentError: if none could.
    """
    missing = sum(o.score is None for o in outcomes)
    if outcomes and missing == len(outcomes):
        raise ComponentError(f"not one of {len(outcomes)} held-out answers could be judged")
    if missing == 0:
        return ()
    loud = "WARNING: " if missing > LOUD * len(outcomes) else ""
    return (f"{loud}{missing} of {len(outcomes)} answers could not be judged and are left out",)
