"""Direct and chain-of-thought sampling, with or without exemplars."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from instar.errors import DataError
from instar.protocols import Context
from instar.solving import experience, instruct
from instar.types import Experience, Message, Request, Sampling, Task

VERIFIED = "verified"


@dataclass(frozen=True)
class Sample:
    """Draw `per_task` solutions of every task, in one batch.

    `temperature` is one number, or one per iteration, the last holding for the rest; 0 is greedy.
    `instruction` is added to the task when sampling and is no part of what is learned, so that
    "think step by step" (Kojima et al. 2022, arXiv 2205.11916) is distilled into the learner.
    `shots` exemplars come before the task, drawn anew for each: from the JSONL file `exemplars`
    with `prompt` and `completion`, or, for the word `verified`, from the solutions that the filters
    kept in the last iteration (in the first there are none).
    """

    per_task: int = 4
    temperature: float | tuple[float, ...] = 0.7
    max_tokens: int = 256
    top_p: float = 1.0
    instruction: str | None = None
    exemplars: str | Path | None = None
    shots: int = 0

    def __post_init__(self) -> None:
        """Refuse numbers that cannot be honoured, before anything is sampled."""
        if self.per_task < 1:
            raise ValueError(f"per_task is {self.per_task}; expected at least 1")
        if self.shots < 0 or (self.shots == 0) != (self.exemplars is None):
            raise ValueError("shots and exemplars go together: give both or neither")
        if isinstance(self.temperature, tuple) and not self.temperature:
            raise ValueError("temperature is an empty list; expected a number")
        for heat in self._temperatures():
            Sampling(temperature=heat, max_tokens=self.max_tokens, top_p=self.top_p)

    def solve(self, tasks: Sequence[Task], context: Context, /) -> list[Experience]:
        """Return `per_task` experiences per task; a failed sample carries its error."""
        heats = self._temperatures()
        sampling = Sampling(
            temperature=heats[min(context.iteration, len(heats)) - 1],
            max_tokens=self.max_tokens,
            top_p=self.top_p,
        )
        pool = self._pool(context)
        requests = [
            Request(
                messages=self._messages(task, pool, context),
                sampling=sampling,
                n=self.per_task,
                key=f"sample {context.iteration} {task.id}",
            )
            for task in tasks
        ]
        made = context.engine.generate(requests, context.learner, context) if requests else []
        return [
            experience(task, completion, sampling, sample, context, ("sample",))
            for task, completions in zip(tasks, made, strict=True)
            for sample, completion in enumerate(completions)
        ]

    def _temperatures(self) -> tuple[float, ...]:
        return self.temperature if isinstance(self.temperature, tuple) else (self.temperature,)

    def _messages(
        self, task: Task, pool: Sequence[tuple[str, str, str]], context: Context
    ) -> tuple[Message, ...]:
        own = instruct(context.learner.render(task), self.instruction)
        others = [p for p in pool if p[0] != task.id]
        count = min(self.shots, len(others))
        if count == 0:
            return own
        picks = context.rng("exemplars", task.id).choice(len(others), size=count, replace=False)
        shown = [
            Message(role=role, content=text)
            for i in picks
            for role, text in (("user", others[i][1]), ("assistant", others[i][2]))
        ]
        standing = 1 if own[0].role == "system" else 0
        return (*own[:standing], *shown, *own[standing:])

    def _pool(self, context: Context) -> list[tuple[str, str, str]]:
        """Return exemplars as (task id, prompt, completion)."""
        if self.exemplars is None:
            return []
        if self.exemplars == VERIFIED:
            kept = context.verified
            return [(e.task.id, e.task.prompt, e.solution.text) for e in kept]
        return [("", *pair) for pair in read_exemplars(Path(self.exemplars))]


def read_exemplars(path: Path) -> list[tuple[str, str]]:
    """Return the (prompt, completion) pairs of a JSONL file.

    Raises:
        DataError: naming the file and the line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"exemplars: {path} cannot be read: {error}") from error
    pairs = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            pairs.append((str(row["prompt"]), str(row["completion"])))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise DataError(
                f"{path}, line {number}: expected an object with prompt and completion"
            ) from error
    if not pairs:
        raise DataError(f"exemplars: {path} holds none")
    return pairs
