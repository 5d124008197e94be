"""The gate: a candidate is promoted only if it is better on the same held-out tasks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean

from instar.errors import ComponentError, nearest
from instar.evaluation.answers import FORM, formed
from instar.evaluation.look import Evidence, look
from instar.evaluation.pairs import by_task, matched, pair
from instar.evaluation.statistics import POWER, detectable, paired_difference
from instar.protocols import Context, Veto
from instar.types import Report, Score, Verdict

MAX_UNJUDGED = 0.05  # share of pairs that may be lost to "could not judge"; ours
BROKEN = 0.05  # share of tasks a candidate is taken to break, in the forecast; ours
SAME = 1e-9  # two means of the same outcomes, by two roads

Word = tuple[bool, str, Evidence]


@dataclass(frozen=True)
class NonInferior:
    """Veto a candidate unless its `score` is shown not to have fallen by more than `margin`.

    Non-inferiority: the lower end of the 95% interval of the change must be above `-margin`, in the
    score's own unit, so that too few tasks are a veto too. `form` is compared task by task, where
    the first measure reports it. For other scores the two intervals are combined (Newcombe 1998,
    method 10; Zou and Donner 2008) as if they came from different tasks: on the same tasks, that
    vetoes too often rather than too seldom.
    """

    score: str
    margin: float

    def __post_init__(self) -> None:
        """Refuse a margin that would ask for an improvement."""
        if not 0 <= self.margin < math.inf:
            raise ValueError(f"margin is {self.margin}; expected a number of at least 0")

    def veto(self, current: Report, candidate: Report, /) -> str | None:
        """Return why the candidate must not be promoted, or None.

        Raises:
            ComponentError: if the reports have no such score.
        """
        old, new = _named(current, self.score), _named(candidate, self.score)
        low = self._paired(current, candidate)
        if low is None:
            low = (new.value - old.value) - math.hypot(new.value - new.low, old.high - old.value)
        if low > -self.margin:
            return None
        return (
            f"{self.score} went from {old.value:.3g} to {new.value:.3g}, and a fall of "
            f"{max(0.0, -low):.3g} is not excluded (margin {self.margin:g})"
        )

    def _paired(self, current: Report, candidate: Report) -> float | None:
        """Return the lower end of the change in form, if the outcomes are what it was read from."""
        if self.score != FORM:
            return None
        forms = [by_task(formed(r.outcomes)) for r in (current, candidate)]
        for form, report in zip(forms, (current, candidate), strict=True):
            judged = [v for v in form.values() if v is not None]
            if not judged or abs(fmean(judged) - _named(report, FORM).value) > SAME:
                return None
        pairs = matched(*forms)
        return paired_difference(pairs.before, pairs.after)[1] if pairs.before else None


@dataclass(frozen=True)
class Better:
    """Promote a candidate that solves more of the same tasks; the chance of error is of the run.

    For right or wrong outcomes the exact one-sided McNemar test on the tasks where the two differ;
    for graded ones a sign-flip permutation test of the mean. A run of N iterations looks N times,
    and each look may err with probability alpha/N, so that a run of worthless candidates promotes
    one with probability at most `alpha`: a union bound, so it does not matter how the candidates
    depend on each other. A promoted learner was lucky on these tasks, which makes the next false
    promotion rarer. An anytime-valid e-value would allow to stop in the middle of a look; this gate
    looks once per iteration, at a fixed number of tasks, where the exact test sees more. `keep` are
    vetoes. The objective stays as it is: no proposer reads its focus.
    """

    alpha: float = 0.05
    keep: tuple[Veto, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a level that is no probability."""
        if not 0 < self.alpha < 1:
            raise ValueError(f"alpha is {self.alpha}; expected a number between 0 and 1")

    def before_run(self, tasks: int, iterations: int, /) -> str:
        """Say what `tasks` paired tasks can show."""
        level = self.alpha / iterations
        looks = f"gate: alpha {self.alpha:g} over {iterations} looks, {tasks} gate tasks"
        least = math.ceil(-math.log2(level))
        if tasks < least:
            return f"{looks}: too few to promote anything; at least {least} are needed"
        gain = detectable(tasks, level, BROKEN)
        chance = f"{100 * POWER:g}% chance, if {100 * BROKEN:g}% of the tasks break"
        if gain is None:
            return f"{looks}: too few to see any improvement with {chance}"
        return f"{looks}: an improvement of {100 * gain:.1f} points is seen with {chance}"

    def decide(self, current: Report, candidate: Report, context: Context, /) -> Verdict:
        """Return the verdict on the candidate.

        Raises:
            ComponentError: if the two were not measured on the same tasks.
        """
        if candidate.learner == current.learner:
            word: Word = (False, "rejected: the update changed nothing", ())
        else:
            word = self._weigh(current, candidate, context)
        return Verdict(
            candidate=candidate.learner,
            current=current.learner,
            accepted=word[0],
            reason=word[1],
            evidence=word[2],
            next_objective=context.objective,
        )

    def _weigh(self, current: Report, candidate: Report, context: Context) -> Word:
        pairs = pair(current, candidate)
        total = len(pairs.before) + pairs.lost
        if pairs.lost > MAX_UNJUDGED * total:
            reason = f"rejected: {pairs.lost} of {total} pairs could not be judged"
            return False, reason, (("n", float(total)), ("unjudged", float(pairs.lost)))
        seen = look(pairs, self.alpha / context.iterations, context.seed)
        # Asked at every look, so that a veto that cannot work stops the run at the first.
        vetoes = [v for v in (k.veto(current, candidate) for k in self.keep) if v]
        numbers = f"{seen.said} (alpha {self.alpha:g} over {context.iterations} looks)"
        if pairs.lost:
            numbers += f"; {pairs.lost} of {total} pairs could not be judged and are left out"
        if not seen.better:
            return False, f"rejected: {numbers}", seen.evidence
        if vetoes:
            return False, f"rejected: {'; '.join(vetoes)}, although {numbers}", seen.evidence
        return True, f"promoted: {numbers}", seen.evidence


def _named(report: Report, name: str) -> Score:
    found = next((s for s in report.scores if s.name == name), None)
    if found is None:
        hint = nearest(name, [s.name for s in report.scores])
        raise ComponentError(f"non_inferior: the report has no score {name!r}{hint}")
    return found


def compare(ours: Report, other: Report) -> Score:
    """Return how much more of the same tasks `ours` solved than `other`, paired, with interval.

    Raises:
        ComponentError: if they were not measured on the same tasks, or none was judged for both.
    """
    pairs = pair(other, ours)
    if not pairs.before:
        raise ComponentError(f"not one of {pairs.lost} tasks could be judged for both learners")
    gain, low, high = paired_difference(pairs.before, pairs.after)
    return Score(name="difference", value=gain, low=low, high=high, n=len(pairs.before))
