"""LDB: the values of a program's variables, block by block, in the test that failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from instar.acquisition.feedback.environment.programs import Judged, checks_of, sandbox_of
from instar.acquisition.feedback.environment.running import judged_all
from instar.acquisition.feedback.environment.unit_tests import limits_of, work_of
from instar.protocols import Context
from instar.types import Experience, Feedback, Task

SOURCE = "block_trace"


@dataclass(frozen=True)
class BlockTrace:
    """Score the share of tests passed, as `unit_tests` does; the critique is a trace of a failure.

    LDB (Zhong et al. 2024, arXiv 2402.16906): for the first test that failed, its basic blocks in
    the order they ran, each with the values of the variables after it, at most `characters` from
    the end (the paper samples long loops; here the last blocks are kept, and the learner is not
    asked for a verdict on each). The defaults are ours. Tasks bring tests as for
    `unit_tests`; `cases` of whole programs have no functions to trace, and give no trace.
    """

    characters: int = 1000
    timeout_s: float = 5.0
    memory_mb: int = 256
    executes_code: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse what leaves nothing to read."""
        if self.characters < 1:
            raise ValueError(f"characters is {self.characters}; expected at least 1")
        if not 0 < self.timeout_s <= 3600:
            raise ValueError(f"timeout_s is {self.timeout_s}; expected seconds, up to 3600")

    def check_tasks(self, tasks: Sequence[Task], /) -> None:
        """See that what the tasks say of their tests can be read."""
        for task in tasks:
            checks_of(task)

    def assess(self, batch: Sequence[Experience], context: Context, /) -> list[Feedback]:
        """Return one feedback per experience, in order."""
        sandbox = sandbox_of(context)
        limits = limits_of(self.timeout_s, self.memory_mb)
        work = work_of(batch)
        ran = judged_all(sandbox, list(work.values()), limits, traced=True)
        found = dict(zip(work, ran, strict=True))
        return [self._feedback(e, found.get(i)) for i, e in enumerate(batch)]

    def _feedback(self, experience: Experience, found: Judged | None) -> Feedback:
        if found is None:
            failed = experience.solution.error
            why = f"the sample failed: {failed}" if failed else "the task has no tests"
            return Feedback(source=SOURCE, score=None, critique=why)
        return Feedback(source=SOURCE, score=found.share, critique=self._told(found))

    def _told(self, found: Judged) -> str | None:
        if found.error is not None:
            return found.error[-self.characters :]
        failed = next((r for r in found.results if r.failed is not None), None)
        if failed is None:
            return None
        head = f"This test fails: {failed.text}\n{failed.failed}"
        if not failed.trace:
            return head[: self.characters]
        room = max(0, self.characters - len(head))
        return f"{head}\nWhat ran, block by block:\n{failed.trace[-room:] if room else ''}"
