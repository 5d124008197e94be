"""Keep by agreement or distinctness, without an outside score."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from instar.protocols import Context
from instar.types import Decision, Experience

TAIL = 20_000  # characters of a solution that are read for equations; ours
_EQUATION = re.compile(r"[\d.,]+(?: ?[-+*/x\u00d7\u00f7] ?[\d.,]+){1,16} ?= ?-?[\d.,]+")


@dataclass(frozen=True)
class Majority:
    """Keep the samples that give their task's most frequent answer (LMSI, arXiv 2210.11610).

    Reads the shares that `vote_share` gave; a winner needs at least `at_least` of the votes, and a
    tie has no winner.
    """

    at_least: float = 0.5
    source: str = "vote_share"

    def select(self, batch: Sequence[Experience], context: Context, /) -> list[Decision]:
        """Return one decision per experience, in order."""
        shares: dict[str, dict[str, float]] = {}
        for e in batch:
            for f in e.feedback:
                if f.source == self.source and f.score is not None and f.answer is not None:
                    shares.setdefault(e.task.id, {})[f.answer] = f.score
        return [self._one(e, shares.get(e.task.id, {})) for e in batch]

    def _one(self, experience: Experience, shares: dict[str, float]) -> Decision:
        score = experience.score(self.source)
        if score is None:
            return Decision(keep=False, reason="no vote")
        top = max(shares.values())
        if score < top:
            return Decision(keep=False, reason=f"share {score:.2f} below the winner's {top:.2f}")
        if score < self.at_least:
            return Decision(keep=False, reason=f"the winner's share {score:.2f} < {self.at_least}")
        # Two winners have at most half of the votes each, so they add up to no more than one.
        tied = score <= 0.5 and len(_distinct(shares, score)) > 1
        return Decision(keep=not tied, reason="a tie" if tied else f"won with {score:.2f}")


def _distinct(shares: dict[str, float], score: float) -> set[str]:
    """Return the answers with this share; spellings of one number count once."""
    return {_number(a) for a, s in shares.items() if s == score}


def _number(answer: str) -> str:
    plain = answer.replace(",", "").strip()
    try:
        return f"{float(plain):.12g}"
    except ValueError:
        return plain.casefold()


@dataclass(frozen=True)
class Dedup:
    """Keep the first of a task's solutions that are the same.

    `text`: the same words. `equations`: the same ordered list of equations (RFT, arXiv 2308.01825);
    a solution without an equation is compared by its words. The paper keeps the most dissimilar
    wording among equal lists; this keeps the first.
    """

    by: Literal["text", "equations"] = "text"

    def select(self, batch: Sequence[Experience], context: Context, /) -> list[Decision]:
        """Return one decision per experience, in order."""
        seen: set[tuple[str, str]] = set()
        decisions = []
        for experience in batch:
            signature = (experience.task.id, self._signature(experience.solution.text))
            first = signature not in seen
            seen.add(signature)
            reason = f"first with its {self.by}" if first else f"same {self.by} as another"
            decisions.append(Decision(keep=first, reason=reason))
        return decisions

    def _signature(self, text: str) -> str:
        words = " ".join(text.split()).casefold()
        if self.by == "text":
            return words
        found = _EQUATION.findall(text[-TAIL:])
        return "|".join(e.replace(" ", "").replace(",", "") for e in found) or words


@dataclass(frozen=True)
class RandomSample:
    """Keep `count` experiences at random: the control for every filter that claims to choose well.

    With `finished`, only solutions that the learner ended itself are drawn, so that the control is
    not burdened with cut-off text.
    """

    count: int
    finished: bool = True

    def __post_init__(self) -> None:
        """Refuse a count below zero."""
        if self.count < 0:
            raise ValueError(f"count is {self.count}; expected at least 0")

    def select(self, batch: Sequence[Experience], context: Context, /) -> list[Decision]:
        """Return one decision per experience, in order."""
        able = [i for i, e in enumerate(batch) if self._drawn(e)]
        size = min(self.count, len(able))
        drawn = context.rng("random_sample").choice(len(able), size=size, replace=False)
        picked = {able[i] for i in drawn}
        return [
            Decision(keep=i in picked, reason="drawn at random" if i in picked else "not drawn")
            for i in range(len(batch))
        ]

    def _drawn(self, experience: Experience) -> bool:
        solution = experience.solution
        return solution.error is None and (solution.finished or not self.finished)
