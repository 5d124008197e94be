"""Direct and chain-of-thought sampling, with or without exemplars."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from instar.acquisition.tasks.rows import text
from instar.errors import DataError
from instar.protocols import Context
from instar.solving import experience, instruct
from instar.types import Experience, Message, Request, Sampling, Task

Pair = tuple[str, str]  # a prompt and its completion


@dataclass(frozen=True)
class Sample:
    """Draw `per_task` solutions of every task, in one batch.

    `temperature` is one number, or one per iteration, the last holding for the rest; 0 is greedy.
    `instruction` is added to the task when sampling and is no part of what is learned, so that
    "think step by step" (Kojima et al. 2022, arXiv 2205.11916) is distilled into the learner.
    `shots` exemplars (Wei et al. 2022, arXiv 2201.11903) come before the task as earlier turns,
    drawn anew for each and never of the same prompt: from the JSONL file `exemplars` with `prompt`
    and `completion`, or, for the word `verified`, from the solutions that the filters kept in the
    last iteration (in the first there are none).
    """

    per_task: int = 4
    temperature: float | tuple[float, ...] = 0.7
    max_tokens: int = 256
    top_p: float = 1.0
    instruction: str | None = None
    exemplars: Literal["verified"] | Path | None = None
    shots: int = 0

    def __post_init__(self) -> None:
        """Refuse numbers that cannot be honoured, before anything is sampled."""
        if isinstance(self.temperature, list):  # as YAML and JSON give it
            object.__setattr__(self, "temperature", tuple(self.temperature))
        if self.per_task < 1:
            raise ValueError(f"per_task is {self.per_task}; expected at least 1")
        if isinstance(self.exemplars, str) and self.exemplars != "verified":
            raise ValueError(f"exemplars is {self.exemplars!r}; expected 'verified' or a path")
        if self.shots < 0 or (self.shots == 0) != (self.exemplars is None):
            raise ValueError("shots and exemplars go together: give both or neither")
        if self._temperatures() == ():
            raise ValueError("temperature is an empty list; expected a number")
        for heat in self._temperatures():
            Sampling(temperature=heat, max_tokens=self.max_tokens, top_p=self.top_p)

    def solve(self, tasks: Sequence[Task], context: Context, /) -> list[Experience]:
        """Return `per_task` experiences per task; a failed sample carries its error.

        Raises:
            DataError: naming the file of exemplars, and the line.
        """
        heats = self._temperatures()
        sampling = Sampling(
            temperature=heats[min(max(context.iteration, 1), len(heats)) - 1],
            max_tokens=self.max_tokens,
            top_p=self.top_p,
        )
        pool = self._pool(context) if tasks else []
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

    def _messages(self, task: Task, pool: Sequence[Pair], context: Context) -> tuple[Message, ...]:
        own = instruct(context.learner.render(task), self.instruction)
        shown = [
            Message(role=role, content=content)
            for pair in self._shown(task, pool, context)
            for role, content in zip(("user", "assistant"), pair, strict=True)
        ]
        standing = next((i for i, m in enumerate(own) if m.role != "system"), len(own))
        return (*own[:standing], *shown, *own[standing:])

    def _shown(self, task: Task, pool: Sequence[Pair], context: Context) -> list[Pair]:
        """Return `shots` exemplars of different prompts, none of them the task's."""
        if not pool:
            return []
        order = context.rng("exemplars", task.id).permutation(len(pool))
        picked: dict[str, Pair] = {}
        for prompt, completion in (pool[i] for i in order):
            if len(picked) == self.shots:
                break
            if prompt.strip() != task.prompt.strip():
                picked.setdefault(prompt, (prompt, completion))
        return list(picked.values())

    def _pool(self, context: Context) -> list[Pair]:
        if self.exemplars is None:
            return []
        if isinstance(self.exemplars, Path):
            pairs = read_exemplars(self.exemplars)
            if len(pairs) < self.shots:
                raise DataError(f"{self.exemplars} holds {len(pairs)} exemplars, not {self.shots}")
            return pairs
        return [(e.task.prompt, e.solution.text) for e in context.verified]


def read_exemplars(path: Path) -> list[Pair]:
    """Return the (prompt, completion) pairs of a JSONL file.

    Raises:
        DataError: naming the file and the line.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"exemplars: {path} cannot be read: {error}") from error
    return [_pair(line, f"{path}, line {i}") for i, line in enumerate(lines, 1) if line.strip()]


def _pair(line: str, place: str) -> Pair:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place}: not JSON: {error}") from error
    if not isinstance(row, dict) or not {"prompt", "completion"} <= row.keys():
        raise DataError(f"{place}: expected an object with prompt and completion")
    return text(row["prompt"], f"{place}: prompt"), text(row["completion"], f"{place}: completion")
