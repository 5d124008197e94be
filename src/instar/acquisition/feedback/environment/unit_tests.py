"""Run what the model wrote against the task's tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from instar.acquisition.feedback.environment.programs import (
    SHOWN,
    Checks,
    Judged,
    checks_of,
    code_of,
    defines,
    sandbox_of,
)
from instar.acquisition.feedback.environment.running import judged_all
from instar.protocols import Context
from instar.types import Experience, Feedback, Limits, Task

SOURCE = "unit_tests"


@dataclass(frozen=True)
class UnitTests:
    """Score the share of the task's tests that a program passes; which failed is the critique.

    Tasks bring tests as HumanEval does (`prompt`, `entry_point`, `test`; Chen et al. 2021, arXiv
    2107.03374), as `tests`, a list of asserts, or as `cases` of `input` and `output`. A statement
    with an assert in it is one test. Program and tests run in two processes of the sandbox, and
    what the program returns reaches the tests as plain data: exit codes, prints, `__eq__` or a
    changed `assert` decide nothing. A function that must return other than None, numbers, text,
    bytes, lists, tuples, sets and dicts of these, fails. The answer is the function's name where
    the program is valid Python that defines it, so `form` counts that. `timeout_s` is for one
    program with all its tests, `memory_mb` for each of the two; both defaults are ours.
    """

    timeout_s: float = 5.0
    memory_mb: int = 256
    executes_code: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse limits that nothing can keep."""
        if not 0 < self.timeout_s <= 3600:
            raise ValueError(f"timeout_s is {self.timeout_s}; expected seconds, up to 3600")
        if self.memory_mb < 16:
            raise ValueError(f"memory_mb is {self.memory_mb}; expected at least 16")

    def check_tasks(self, tasks: Sequence[Task], /) -> None:
        """See that what the tasks say of their tests can be read."""
        for task in tasks:
            checks_of(task)

    def assess(self, batch: Sequence[Experience], context: Context, /) -> list[Feedback]:
        """Return one feedback per experience, in order."""
        sandbox = sandbox_of(context)
        limits = limits_of(self.timeout_s, self.memory_mb)
        work = work_of(batch)
        ran = judged_all(sandbox, list(work.values()), limits)
        found = dict(zip(work, ran, strict=True))
        return [
            _feedback(e, found[i], *work[i]) if i in work else _unjudged(e)
            for i, e in enumerate(batch)
        ]


def work_of(batch: Sequence[Experience]) -> dict[int, tuple[str, Checks]]:
    """Return (program, checks) of each experience that has both, by its place."""
    work = {}
    for i, experience in enumerate(batch):
        checks = checks_of(experience.task)
        if checks is not None and experience.solution.error is None:
            work[i] = (code_of(experience.solution.text, experience.task, checks.entry), checks)
    return work


def limits_of(seconds: float, megabytes: int) -> Limits:
    """Return the limits of a program that is given this time and memory."""
    return Limits(wall=seconds, cpu=max(1, round(seconds)), memory=megabytes * 2**20)


def _unjudged(experience: Experience) -> Feedback:
    failed = experience.solution.error
    why = f"the sample failed: {failed}" if failed else "the task has no tests"
    return Feedback(source=SOURCE, score=None, critique=why)


def _feedback(experience: Experience, found: Judged, code: str, checks: Checks) -> Feedback:
    named = defines(code, checks.entry)
    return Feedback(source=SOURCE, score=found.share, critique=critique(found), answer=named)


def critique(found: Judged) -> str | None:
    """Return what a model can learn from: the error, or the first test that failed and why."""
    if found.error is not None:
        return found.error[-SHOWN:]
    failed = [r for r in found.results if r.failed is not None]
    if not failed:
        return None
    first = failed[0]
    counted = f"{len(failed)} of {len(found.results)} tests failed"
    return f"{counted}; first: {first.text}\n{first.failed}"[:SHOWN]
