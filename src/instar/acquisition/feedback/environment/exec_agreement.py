"""CodeT: programs are judged by how many of them agree on the tests that the model wrote."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from instar.acquisition.feedback.environment.programs import (
    Checks,
    Judged,
    code_of,
    definitions,
    entry_of,
    sandbox_of,
)
from instar.acquisition.feedback.environment.running import judged_all
from instar.acquisition.feedback.environment.unit_tests import limits_of
from instar.acquisition.tasks.code_problems import asserts
from instar.protocols import Context
from instar.types import Experience, Feedback, Message, Request, Sampling, Task

SOURCE = "exec_agreement"
ASK = "Write {count} different assert statements that test the function {entry}, one a line."


@dataclass(frozen=True)
class ExecAgreement:
    """Score each program by its group's share of the best group's score; the best group gets 1.

    CodeT (Chen et al. 2022, arXiv 2207.10397): the learner writes asserts for each task, every
    program runs every assert, and programs that pass exactly the same ones are a group, scored
    (number of asserts passed) x sqrt(number of programs) as in the released code. The paper has
    100 `generations` of tests at temperature 0.8 with at most 300 tokens, the first 5 asserts of
    each, and 0.1 s a test; 10 generations, and `timeout_s` for all tests of a program, are ours.
    Needs no reference. Tasks need an `entry_point`, or a prompt that
    defines one function. Where no assert is passed by any program, nothing agrees: the score is 0.
    Wrong programs and tests may err alike.
    """

    generations: int = 10
    per_generation: int = 5
    temperature: float = 0.8
    max_tokens: int = 300
    instruction: str = ASK
    timeout_s: float = 2.0
    memory_mb: int = 256
    executes_code: ClassVar[bool] = True
    asks_learner: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse numbers that ask for nothing."""
        Sampling(temperature=self.temperature, max_tokens=self.max_tokens)
        if self.generations < 1 or self.per_generation < 1:
            raise ValueError("generations and per_generation: expected at least 1 each")
        if not 0 < self.timeout_s <= 3600:
            raise ValueError(f"timeout_s is {self.timeout_s}; expected seconds, up to 3600")

    def assess(self, batch: Sequence[Experience], context: Context, /) -> list[Feedback]:
        """Return one feedback per experience, in order; groups are those within the batch."""
        tests = self._tests(batch, context)
        work = {
            i: code_of(e.solution.text, e.task, entry_of(e.task))
            for i, e in enumerate(batch)
            if e.solution.error is None and tests[e.task.id]
        }
        sandbox = sandbox_of(context)
        limits = limits_of(self.timeout_s, self.memory_mb)
        checked = [
            (code, _checks(batch[i].task, tests[batch[i].task.id])) for i, code in work.items()
        ]
        ran = judged_all(sandbox, checked, limits)
        passed = {i: _passed(made) for i, made in zip(work, ran, strict=True)}
        scores = _scores({i: (batch[i].task.id, p) for i, p in passed.items()})
        return [_feedback(e, tests[e.task.id], scores.get(i)) for i, e in enumerate(batch)]

    def _tests(self, batch: Sequence[Experience], context: Context) -> dict[str, list[str]]:
        """Return the asserts the learner writes for each task of the batch."""
        tasks = {e.task.id: e.task for e in batch}
        asked = [t for t in tasks.values() if entry_of(t)]
        sampling = Sampling(temperature=self.temperature, max_tokens=self.max_tokens)
        requests = [self._request(t, sampling, context) for t in asked]
        made = context.engine.generate(requests, context.learner, context) if requests else []
        found: dict[str, list[str]] = {t: [] for t in tasks}
        for task, completions in zip(asked, made, strict=True):
            lists = (asserts(c.text, entry_of(task))[: self.per_generation] for c in completions)
            found[task.id] = list(dict.fromkeys(a for listed in lists for a in listed))
        return found

    def _request(self, task: Task, sampling: Sampling, context: Context) -> Request:
        told = self.instruction.replace("{entry}", entry_of(task))
        told = told.replace("{count}", str(self.per_generation))
        turn = Message(role="user", content=f"{task.prompt}\n\n{told}")
        return Request(
            messages=(*task.messages[:-1], turn),
            sampling=sampling,
            n=self.generations,
            key=f"tests {context.iteration} {task.id}",
        )


def _checks(task: Task, tests: list[str]) -> Checks:
    return Checks(tests="\n".join(tests), entry=entry_of(task), before=definitions(task.prompt))


def _passed(ran: Judged) -> frozenset[int]:
    return frozenset(i for i, r in enumerate(ran.results) if r.failed is None)


def _scores(passed: dict[int, tuple[str, frozenset[int]]]) -> dict[int, float]:
    """Return each program's score over the best of its task."""
    sizes = Counter(passed.values())
    raw = {i: len(group[1]) * math.sqrt(sizes[group]) for i, group in passed.items()}
    best: dict[str, float] = defaultdict(float)
    for i, (task, _) in passed.items():
        best[task] = max(best[task], raw[i])
    return {i: raw[i] / best[task] if best[task] else 0.0 for i, (task, _) in passed.items()}


def _feedback(experience: Experience, tests: list[str], score: float | None) -> Feedback:
    if score is not None:
        return Feedback(source=SOURCE, score=score, critique=f"over {len(tests)} asserts")
    if experience.solution.error is not None:
        why = f"the sample failed: {experience.solution.error}"
    elif not entry_of(experience.task):
        why = "the task names no function"
    else:
        why = "no valid assert was written for the task"
    return Feedback(source=SOURCE, score=None, critique=why)
