"""Self-Debug: show the learner what went wrong with its program, and let it write another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from instar.judging import judge
from instar.protocols import Assessor, Context
from instar.solving import experience
from instar.types import Completion, Experience, Message, Request, Sampling

NAME = "regenerate_from_error"
WRONG = "This program is wrong.\n\n{critique}\n\nWrite the whole corrected program."
SIMPLE = "This program is wrong. Write the whole corrected program."
EXPLAIN = "Explain line by line what this program does, and where that is not what was asked."


@dataclass(frozen=True)
class RegenerateFromError:
    """For tasks nobody solved, up to `rounds` new programs, each from what the last one did wrong.

    Self-Debug (Chen et al. 2023, arXiv 2304.05128; its cap of rounds is 10). `feedback` is what the
    learner is shown: that it is wrong (`simple`), the critique of its feedback (`critique`: a
    failing test of `unit_tests`, a trace of `block_trace`), or that and its own explanation of the
    program (`explanation`, two requests a round). The paper's trace is one the model makes up; that
    of `block_trace` is run. `checker` judges each new program, to know whether another round is
    needed; the cycle judges it again like any other. The child belongs to the task alone, so the
    conversation is not learned. Of each task, the first solution that failed is corrected.
    Critiques are cut to `characters`. All defaults but the temperature (greedy, the paper's) are
    ours.
    """

    checker: Assessor
    rounds: int = 3
    feedback: Literal["simple", "critique", "explanation"] = "critique"
    temperature: float = 0.0
    max_tokens: int = 512
    characters: int = 1200

    def __post_init__(self) -> None:
        """Refuse what cannot be honoured."""
        Sampling(temperature=self.temperature, max_tokens=self.max_tokens)
        if self.rounds < 1 or self.characters < 1:
            raise ValueError("rounds and characters: expected at least 1 each")

    def correct(self, batch: Sequence[Experience], context: Context, /) -> list[Experience]:
        """Return the children of all rounds; each names its first parent and its last."""
        made: list[Experience] = []
        left = _failed(batch)
        for number in range(self.rounds):
            if not left:
                break
            children = self._round(left, number, context)
            made += children
            judged = judge(self.checker, children, context)
            left = [
                replace(child, feedback=(feedback,))
                for child, feedback in zip(children, judged, strict=True)
                if child.solution.error is None and (feedback.score or 0.0) < 1
            ]
        return made

    def _round(
        self, parents: Sequence[Experience], number: int, context: Context
    ) -> list[Experience]:
        """Return one new program for each parent."""
        turns = [self._shown(p, context) for p in parents]
        if self.feedback == "explanation":
            asked = [(*t, Message(role="user", content=EXPLAIN)) for t in turns]
            told = self._ask(asked, parents, f"explain {number}", context)
            turns = [
                (*t, Message(role="assistant", content=c.text))
                for t, c in zip(asked, told, strict=True)
            ]
        asked = [(*t, self._wrong(p)) for t, p in zip(turns, parents, strict=True)]
        completions = self._ask(asked, parents, f"regenerate {number}", context)
        return [
            experience(
                p.task, c, self._sampling, number, context, ("regenerate_from_error", *_line(p))
            )
            for p, c in zip(parents, completions, strict=True)
        ]

    @property
    def _sampling(self) -> Sampling:
        return Sampling(temperature=self.temperature, max_tokens=self.max_tokens)

    def _shown(self, parent: Experience, context: Context) -> tuple[Message, ...]:
        said = Message(role="assistant", content=parent.solution.text)
        return (*context.learner.render(parent.task), said)

    def _wrong(self, parent: Experience) -> Message:
        critiques = [f.critique for f in parent.feedback if f.critique]
        told = "\n\n".join(critiques)[-self.characters :]
        if self.feedback == "simple" or not told:
            return Message(role="user", content=SIMPLE)
        return Message(role="user", content=WRONG.replace("{critique}", told))

    def _ask(
        self,
        asked: Sequence[tuple[Message, ...]],
        parents: Sequence[Experience],
        purpose: str,
        context: Context,
    ) -> list[Completion]:
        requests = [
            Request(
                messages=messages,
                sampling=self._sampling,
                key=f"{purpose} {context.iteration} {parent.id}",
            )
            for messages, parent in zip(asked, parents, strict=True)
        ]
        return [c for (c,) in context.engine.generate(requests, context.learner, context)]


def _line(parent: Experience) -> tuple[str, ...]:
    """Return the solution of the batch that a line of corrections began with, and the last one."""
    if parent.made_by != NAME:
        return (parent.id,)
    return (parent.parents[0], parent.id)


def _failed(batch: Sequence[Experience]) -> list[Experience]:
    """Return the first failed solution of each task that has no right one."""
    solved = {e.task.id for e in batch if (e.score() or 0) >= 1}
    first: dict[str, Experience] = {}
    for e in batch:
        if e.task.id not in solved and e.score() is not None and e.solution.error is None:
            first.setdefault(e.task.id, e)
    return list(first.values())
