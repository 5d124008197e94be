"""How the loop and the evaluator ask an assessor: one bad sample is data, a bad assessor stops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from instar.errors import ComponentError, InstarError
from instar.protocols import Assessor, Context
from instar.types import Experience, Feedback


def judge(
    assessor: Assessor, batch: Sequence[Experience], context: Context
) -> tuple[Feedback, ...]:
    """Return one feedback per experience, in order, whatever single samples do to the assessor.

    If the assessor raises on the batch, it is asked task by task (an assessor may compare the
    samples of a task); a task it still raises on is "could not judge", with the error as critique.

    Raises:
        ComponentError: if it raises on every task, or returns another number of feedbacks.
    """
    name = type(assessor).__name__
    if not batch:
        return ()
    try:
        return _counted(name, assessor.assess(batch, context), len(batch))
    except InstarError:
        raise
    except (Exception, SystemExit) as error:  # a plug-in may raise anything
        return _task_by_task(assessor, batch, context, error)


def _task_by_task(
    assessor: Assessor, batch: Sequence[Experience], context: Context, first: BaseException
) -> tuple[Feedback, ...]:
    name = type(assessor).__name__
    groups: dict[str, list[int]] = {}
    for i, experience in enumerate(batch):
        groups.setdefault(experience.task.id, []).append(i)
    found: dict[int, Feedback] = {}
    failed = 0
    for places in groups.values():
        try:
            part = assessor.assess([batch[i] for i in places], context)
            found.update(zip(places, _counted(name, part, len(places)), strict=True))
        except InstarError:
            raise
        except (Exception, SystemExit) as error:  # as above
            failed += 1
            unjudged = Feedback(
                source=name, score=None, critique=f"{type(error).__name__}: {error}"
            )
            found.update(dict.fromkeys(places, unjudged))
    if failed == len(groups):
        raise ComponentError(f"{name} failed on every task: {type(first).__name__}: {first}")
    return tuple(found[i] for i in range(len(batch)))


def _counted(name: str, feedback: Sequence[Feedback], expected: int) -> tuple[Feedback, ...]:
    if len(feedback) != expected:
        raise ComponentError(f"{name} returned {len(feedback)} feedbacks for {expected} solutions")
    if strangers := [f for f in feedback if not isinstance(f, Feedback)]:
        raise ComponentError(f"{name} returned a {type(strangers[0]).__name__}; expected Feedback")
    return tuple(feedback)


def attach(
    batch: Sequence[Experience], feedback: Sequence[tuple[Feedback, ...]]
) -> tuple[Experience, ...]:
    """Return the experiences of `batch`, each with its feedback."""
    return tuple(replace(e, feedback=f) for e, f in zip(batch, feedback, strict=True))
