"""Two reports on the same tasks, task by task."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from instar.errors import ComponentError
from instar.types import Report


@dataclass(frozen=True)
class Pairs:
    """The scores of both learners on the tasks where both were judged; `lost` counts the others."""

    before: tuple[float, ...]
    after: tuple[float, ...]
    lost: int

    @property
    def binary(self) -> bool:
        """Whether every score is right or wrong."""
        return {*self.before, *self.after} <= {0.0, 1.0}

    @property
    def changes(self) -> list[float]:
        """By how much each task's score rose."""
        return [a - b for b, a in zip(self.before, self.after, strict=True)]


def pair(current: Report, candidate: Report) -> Pairs:
    """Return the scores of the two reports, paired by task.

    Raises:
        ComponentError: if they are not of the same tasks.
    """
    old, new = (by_task((o.task, o.score) for o in r.outcomes) for r in (current, candidate))
    return matched(old, new)


def by_task(scores: Iterable[tuple[str, float | None]]) -> dict[str, float | None]:
    """Return the mean score of each task; None if one of its samples could not be judged."""
    found: dict[str, list[float | None]] = {}
    for task, score in scores:
        found.setdefault(task, []).append(score)
    return {task: _mean(listed) for task, listed in found.items()}


def matched(old: dict[str, float | None], new: dict[str, float | None]) -> Pairs:
    """Return the scores that both have, in the order of `old`.

    Raises:
        ComponentError: if they are not of the same tasks.
    """
    if set(old) != set(new) or not old:
        raise ComponentError(
            f"the learners were measured on {len(old)} and {len(new)} tasks that are not the same"
        )
    both = [(o, n) for t, o in old.items() if o is not None and (n := new[t]) is not None]
    return Pairs(
        before=tuple(o for o, _ in both),
        after=tuple(n for _, n in both),
        lost=len(old) - len(both),
    )


def _mean(scores: Sequence[float | None]) -> float | None:
    judged = [s for s in scores if s is not None]
    return sum(judged) / len(judged) if len(judged) == len(scores) else None
