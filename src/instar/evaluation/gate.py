"""The gate: a candidate is promoted only if it is better on the same held-out tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from instar.errors import ComponentError
from instar.evaluation.statistics import detectable, mcnemar, paired_difference, sign_flip
from instar.protocols import Context, Veto
from instar.types import Outcome, Report, Score, Verdict

MAX_UNJUDGED = 0.05  # share of pairs that may be lost to "could not judge"; ours
BROKEN = 0.05  # share of tasks a candidate is taken to break, in the forecast; ours


@dataclass(frozen=True)
class NonInferior:
    """Veto a candidate whose `score` may have fallen by more than `margin`.

    Non-inferiority, read from the two reports' intervals: the candidate's lower bound may not be
    below the current value by more than `margin` plus the current interval's own half width.
    """

    score: str
    margin: float

    def __post_init__(self) -> None:
        """Refuse a margin that would ask for an improvement."""
        if self.margin < 0:
            raise ValueError(f"margin is {self.margin}; expected at least 0")

    def veto(self, current: Report, candidate: Report, /) -> str | None:
        """Return why the candidate must not be promoted, or None.

        Raises:
            ComponentError: if the reports have no such score.
        """
        old, new = _named(current, self.score), _named(candidate, self.score)
        slack = self.margin + (old.value - old.low)
        if new.low >= old.value - slack:
            return None
        change = f"{100 * old.value:.1f}% to {100 * new.value:.1f}%"
        return f"{self.score} fell from {change}, beyond the margin of {100 * self.margin:g} points"


@dataclass(frozen=True)
class Better:
    """Promote a candidate that solves more of the same tasks; the chance of error is of the run.

    For right or wrong outcomes the exact one-sided McNemar test on the tasks where the two differ;
    for graded ones a sign-flip permutation test. A run of N iterations looks N times, and each look
    may err with probability alpha/N, so that a run of worthless candidates promotes one with
    probability at most `alpha` (union bound). The gate looks once per iteration at a fixed number
    of tasks, where the exact test sees more than an anytime-valid one would. `keep` are vetoes.
    """

    alpha: float = 0.05
    keep: tuple[Veto, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a level that is no probability."""
        if not 0 < self.alpha < 1:
            raise ValueError(f"alpha is {self.alpha}; expected a number between 0 and 1")

    def before_run(self, tasks: int, iterations: int, /) -> str:
        """Say what `tasks` paired tasks can show."""
        gain = detectable(tasks, self.alpha / iterations, BROKEN)
        looks = f"alpha {self.alpha:g} over {iterations} looks, {tasks} gate tasks"
        if gain is None:
            return f"gate: {looks}: too few tasks to see any improvement"
        return (
            f"gate: {looks}: an improvement of {100 * gain:.1f} points is seen with 80% chance, "
            f"if {100 * BROKEN:g}% of the tasks break"
        )

    def decide(self, current: Report, candidate: Report, context: Context, /) -> Verdict:
        """Return the verdict; the objective stays as it is.

        Raises:
            ComponentError: if the two were not measured on the same tasks.
        """
        if candidate.learner == current.learner:
            return self._verdict(current, candidate, False, "rejected: the update changed nothing")
        before, after, lost = _pairs(current, candidate)
        total = len(before) + lost
        if lost > MAX_UNJUDGED * total:
            reason = f"rejected: {lost} of {total} pairs could not be judged"
            return self._verdict(current, candidate, False, reason)
        fixed = sum(b < a for b, a in zip(before, after, strict=True))
        broken = sum(b > a for b, a in zip(before, after, strict=True))
        gain, low, high = paired_difference(before, after)
        binary = set(before) | set(after) <= {0.0, 1.0}
        p = (
            mcnemar(fixed, broken)
            if binary
            else sign_flip([a - b for b, a in zip(before, after, strict=True)], context.seed)
        )
        level = self.alpha / context.iterations
        better = gain > 0 and p <= level
        numbers = (
            f"{fixed} tasks fixed, {broken} broken of {len(before)} ({100 * gain:+.1f} points, 95% "
            f"interval {100 * low:+.1f} to {100 * high:+.1f}), p = {p:.2g} "
            f"{'<=' if p <= level else '>'} {level:.2g} (alpha {self.alpha:g} over "
            f"{context.iterations} looks)"
        )
        vetoes = [v for v in (k.veto(current, candidate) for k in self.keep) if v] if better else []
        reason = f"promoted: {numbers}" if better else f"rejected: {numbers}"
        if vetoes:
            reason = f"rejected: {'; '.join(vetoes)}, although {numbers}"
        evidence = (
            ("fixed", float(fixed)),
            ("broken", float(broken)),
            ("n", float(len(before))),
            ("difference", gain),
            ("low", low),
            ("high", high),
            ("p", p),
            ("threshold", level),
        )
        return self._verdict(current, candidate, better and not vetoes, reason, evidence)

    def _verdict(
        self,
        current: Report,
        candidate: Report,
        accepted: bool,
        reason: str,
        evidence: tuple[tuple[str, float], ...] = (),
    ) -> Verdict:
        return Verdict(
            candidate=candidate.learner,
            current=current.learner,
            accepted=accepted,
            reason=reason,
            evidence=evidence,
        )


def _pairs(current: Report, candidate: Report) -> tuple[list[float], list[float], int]:
    """Return the scores of both on the tasks both were judged on, and how many others there are."""
    old, new = _scores(current.outcomes), _scores(candidate.outcomes)
    if set(old) != set(new) or not old:
        raise ComponentError(
            f"the learners were measured on {len(old)} and {len(new)} tasks that are not the same"
        )
    both = [(o, n) for t, o in old.items() if o is not None and (n := new[t]) is not None]
    return [o for o, _ in both], [n for _, n in both], len(old) - len(both)


def _scores(outcomes: Sequence[Outcome]) -> dict[str, float | None]:
    """Return the mean score of each task; None if one of its samples could not be judged."""
    by_task: dict[str, list[float | None]] = {}
    for o in outcomes:
        by_task.setdefault(o.task, []).append(o.score)
    return {
        t: None if None in s else sum(v for v in s if v is not None) / len(s)
        for t, s in by_task.items()
    }


def _named(report: Report, name: str) -> Score:
    found = next((s for s in report.scores if s.name == name), None)
    if found is None:
        have = ", ".join(s.name for s in report.scores)
        raise ComponentError(f"non_inferior: there is no score {name!r}; the report has {have}")
    return found


def compare(ours: Report, other: Report) -> Score:
    """Return how much more of the same tasks `ours` solved than `other`, paired, with interval.

    Raises:
        ComponentError: if they were not measured on the same tasks.
    """
    before, after, _ = _pairs(other, ours)
    gain, low, high = paired_difference(before, after)
    return Score(name="difference", value=gain, low=low, high=high, n=len(before))
