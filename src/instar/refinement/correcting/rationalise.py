"""STaR's second chance: show the answer, ask for the reasoning, hide that it was shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from instar.protocols import Context
from instar.solving import experience, instruct
from instar.types import Experience, Request, Sampling

HINT = "(Hint: the answer is {answer}.) Explain step by step how to get there, then give it."


@dataclass(frozen=True)
class Rationalise:
    """For tasks nobody solved, ask again with the answer as a hint (STaR, arXiv 2203.14465).

    The child belongs to the task without the hint, so the hint is not learned; the cycle judges it
    like any other, and it passes the same filters. `probability` is the share of failed tasks that
    are rationalised (the paper: all). `hint` must hold `{answer}`. Assumes tasks with a reference;
    others are left alone. A right answer may now stand behind wrong reasoning, and a solution may
    cite the hint: the filter `NoHintLeak` drops those.
    """

    probability: float = 1.0
    temperature: float = 0.0
    max_tokens: int = 256
    hint: str = HINT

    def __post_init__(self) -> None:
        """Refuse what cannot be honoured."""
        if not 0 <= self.probability <= 1:
            raise ValueError(f"probability is {self.probability}; expected 0 to 1")
        if "{answer}" not in self.hint:
            raise ValueError("hint: expected a text that holds {answer}")
        Sampling(temperature=self.temperature, max_tokens=self.max_tokens)

    def correct(self, batch: Sequence[Experience], context: Context, /) -> list[Experience]:
        """Return one child for each unsolved task, naming its first failed solution."""
        parents = [e for e in self._failed(batch) if self._chosen(e, context)]
        sampling = Sampling(temperature=self.temperature, max_tokens=self.max_tokens)
        requests = [
            Request(
                messages=instruct(
                    context.learner.render(e.task),
                    self.hint.replace("{answer}", e.task.reference or ""),
                ),
                sampling=sampling,
                key=f"rationalise {context.iteration} {e.task.id}",
            )
            for e in parents
        ]
        made = context.engine.generate(requests, context.learner, context) if requests else []
        return [
            experience(parent.task, completion, sampling, 0, context, ("rationalise", parent.id))
            for parent, (completion,) in zip(parents, made, strict=True)
        ]

    def _failed(self, batch: Sequence[Experience]) -> list[Experience]:
        """Return the first solution of each task that has a reference and no right solution."""
        solved = {e.task.id for e in batch if (e.score() or 0) >= 1}
        first: dict[str, Experience] = {}
        for e in batch:
            if e.task.id not in solved and e.task.reference and e.score() is not None:
                first.setdefault(e.task.id, e)
        return list(first.values())

    def _chosen(self, parent: Experience, context: Context) -> bool:
        draw = context.rng("rationalise", parent.task.id).random()
        return bool(draw < self.probability)
