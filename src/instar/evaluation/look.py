"""What one look of the gate sees: the change on the same tasks, its interval and its p-value."""

from __future__ import annotations

from dataclasses import dataclass

from instar.evaluation.pairs import Pairs
from instar.evaluation.statistics import mcnemar, paired_difference, sign_flip

Evidence = tuple[tuple[str, float], ...]


@dataclass(frozen=True, kw_only=True)
class Look:
    """The numbers a verdict rests on; `threshold` is the part of alpha that this look may spend."""

    fixed: int
    broken: int
    n: int
    binary: bool
    difference: float
    low: float
    high: float
    p: float
    threshold: float

    @property
    def better(self) -> bool:
        """Whether the candidate is shown to be better."""
        return self.difference > 0 and self.p <= self.threshold

    @property
    def said(self) -> str:
        """The numbers in words."""
        change = (self.difference, self.low, self.high)
        if self.binary:
            points = [f"{100 * v:+.1f}" for v in change]
            told = f"{self.fixed} tasks fixed, {self.broken} broken of {self.n} ({points[0]} points"
        else:
            points = [f"{v:+.3g}" for v in change]
            told = (
                f"{self.fixed} tasks rose, {self.broken} fell of {self.n} (mean score {points[0]}"
            )
        sign = "<=" if self.p <= self.threshold else ">"
        return (
            f"{told}, 95% interval {points[1]} to {points[2]}), p = {self.p:.3g} {sign} "
            f"{self.threshold:.3g}"
        )

    @property
    def evidence(self) -> Evidence:
        """The numbers by name, for the verdict."""
        return (
            ("fixed", float(self.fixed)),
            ("broken", float(self.broken)),
            ("n", float(self.n)),
            ("difference", self.difference),
            ("low", self.low),
            ("high", self.high),
            ("p", self.p),
            ("threshold", self.threshold),
        )


def look(pairs: Pairs, threshold: float, seed: int) -> Look:
    """Test whether the candidate is better on `pairs`, of which there is at least one."""
    fixed = sum(c > 0 for c in pairs.changes)
    broken = sum(c < 0 for c in pairs.changes)
    difference, low, high = paired_difference(pairs.before, pairs.after)
    binary = pairs.binary
    return Look(
        fixed=fixed,
        broken=broken,
        n=len(pairs.before),
        binary=binary,
        difference=difference,
        low=low,
        high=high,
        p=mcnemar(fixed, broken) if binary else sign_flip(pairs.changes, threshold, seed),
        threshold=threshold,
    )
