"""Keep by agreement, distinctness or chance, without an outside score."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from instar.protocols import Context
from instar.types import Decision, Experience

TAIL = 20_000  # characters of a solution that are read for equations; ours
FAILED = Decision(keep=False, reason="the sample failed")
# Possessive, and only from the first character of a term, so that it is linear in the text.
_TERM = r"[($]*+(?:\d[\d,]*+(?:\.\d++)?|\.\d++)[)%]*+"
_EQUATION = re.compile(rf"(?<![\d.,($]){_TERM}(?: ?[-+*/x×÷] ?-?{_TERM}){{1,16}}+ ?= ?-?{_TERM}")
_SPELT = str.maketrans({"×": "*", "x": "*", "÷": "/", **dict.fromkeys(" ,$", None)})


@dataclass(frozen=True)
class Majority:
    """Keep the samples that give their task's most frequent answer (LMSI, arXiv 2210.11610).

    Reads the shares and the answers that `source` gave, by default `vote_share`; a winner needs at
    least `at_least` of the votes, and a tie has no winner.
    """

    at_least: float = 0.5
    source: str = "vote_share"

    def __post_init__(self) -> None:
        """Refuse what is no share."""
        if not 0 <= self.at_least <= 1:
            raise ValueError(f"at_least is {self.at_least}; expected a share from 0 to 1")

    def select(self, batch: Sequence[Experience], context: Context, /) -> list[Decision]:
        """Return one decision per experience, in order."""
        shares: dict[str, dict[str, float]] = {}
        votes = [_vote(e, self.source) for e in batch]
        for experience, vote in zip(batch, votes, strict=True):
            if vote is not None:
                answer, share = vote
                shares.setdefault(experience.task.id, {})[answer] = share
        return [
            self._one(vote[1], list(shares[e.task.id].values()))
            if vote is not None
            else Decision(keep=False, reason="no vote")
            for e, vote in zip(batch, votes, strict=True)
        ]

    def _one(self, share: float, shares: Sequence[float]) -> Decision:
        top = max(shares)
        if share < top:
            return Decision(keep=False, reason=f"share {share:.2f} < the winner's {top:.2f}")
        if shares.count(top) > 1:
            return Decision(keep=False, reason=f"a tie at {share:.2f}")
        keep = share >= self.at_least
        sign = ">=" if keep else "<"
        return Decision(keep=keep, reason=f"first with {share:.2f} {sign} {self.at_least:g}")


def _vote(experience: Experience, source: str) -> tuple[str, float] | None:
    """Return the answer and its share, if this experience has a vote."""
    named = (f for f in experience.feedback if f.source == source)
    found = next(named, None)
    if found is None or found.answer is None or found.score is None:
        return None
    return found.answer, found.score


@dataclass(frozen=True)
class Dedup:
    """Keep the first of a task's solutions that are the same; drop samples that failed.

    `text`: the same words. `equations`: the same ordered list of equations (RFT, arXiv 2308.01825)
    in the last 20,000 characters; a solution without an equation is compared by its words. Among
    equal lists the paper keeps the wording most unlike the others; this keeps the first.
    """

    by: Literal["text", "equations"] = "text"

    def select(self, batch: Sequence[Experience], context: Context, /) -> list[Decision]:
        """Return one decision per experience, in order."""
        seen: dict[tuple[str, str], int] = {}
        decisions = []
        for experience in batch:
            failed = experience.solution.error is not None
            decisions.append(FAILED if failed else self._one(experience, seen))
        return decisions

    def _one(self, experience: Experience, seen: dict[tuple[str, str], int]) -> Decision:
        signature = (experience.task.id, self._signature(experience.solution.text))
        seen[signature] = count = seen.get(signature, 0) + 1
        if count == 1:
            return Decision(keep=True, reason=f"first with its {self.by}")
        return Decision(keep=False, reason=f"number {count} with the same {self.by}")

    def _signature(self, text: str) -> str:
        words = " ".join(text.split()).casefold()
        if self.by == "text":
            return words
        found = [e.translate(_SPELT) for e in _EQUATION.findall(text[-TAIL:])]
        return "|".join(found) or words


@dataclass(frozen=True)
class NoHintLeak:
    """Drop rationalised solutions that speak of the hint they were given (STaR, 2203.14465).

    What is learned holds no hint, so such a solution would teach to cite what is not there. A
    solution of the maker `made_by` that holds one of `words`, in any case, is dropped.
    """

    words: tuple[str, ...] = ("hint", "as given", "given answer", "provided answer")
    made_by: str = "rationalise"

    def __post_init__(self) -> None:
        """Refuse a word that every text holds."""
        if not all(w.strip() for w in self.words):
            raise ValueError(f"words: expected words, found {list(self.words)}")

    def select(self, batch: Sequence[Experience], context: Context, /) -> list[Decision]:
        """Return one decision per experience, in order."""
        return [self._one(e) for e in batch]

    def _one(self, experience: Experience) -> Decision:
        if experience.made_by != self.made_by:
            return Decision(keep=True, reason="was given no hint")
        text = experience.solution.text.casefold()
        said = next((w for w in self.words if w.casefold() in text), None)
        reason = "speaks of no hint" if said is None else f"says {said!r}"
        return Decision(keep=said is None, reason=reason)


@dataclass(frozen=True)
class RandomSample:
    """Keep `count` experiences at random: the control for every filter that claims to choose well.

    With `finished`, only solutions that the learner ended itself are drawn, so that the control is
    not burdened with cut-off text. A sample that failed is never drawn.
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
        said = f"drawn: {size} of {len(able)} at random"
        return [
            Decision(keep=i in picked, reason=said if i in picked else f"not {said}")
            for i in range(len(batch))
        ]

    def _drawn(self, experience: Experience) -> bool:
        solution = experience.solution
        return solution.error is None and (solution.finished or not self.finished)
