import math

import numpy as np
import pytest
from scipy import stats

from instar.errors import ComponentError
from instar.evaluation.gate import NonInferior
from instar.evaluation.statistics import paired_difference, wilson
from instar.types import Outcome, Report, Score


def score(name, right, n):
    low, high = wilson(right, n)
    return Score(name=name, value=right / n, low=low, high=high, n=n)


def shown(form, *more):
    """Return a report of greedy answers with `form`, a list of bools, and more scores."""
    outcomes = tuple(
        Outcome(task=f"t{i}", score=1.0, text="", answer="1" if f else None)
        for i, f in enumerate(form)
    )
    scores = (score("form", sum(form), len(form)), *more)
    return Report(learner="x", split="gate", scores=scores, outcomes=outcomes)


def test_form_that_stayed_on_every_task_is_shown_to_have_stayed():
    form = [True] * 170 + [False] * 30
    assert NonInferior("form", 0.02).veto(shown(form), shown(form)) is None


def test_form_is_paired_task_by_task():
    before = [True] * 170 + [False] * 30
    after = [True] * 160 + [False] * 10 + [True] * 10 + [False] * 20
    low = -paired_difference(before, after)[1]
    assert NonInferior("form", low + 1e-6).veto(shown(before), shown(after)) is None
    reason = NonInferior("form", low - 1e-6).veto(shown(before), shown(after))
    assert reason.startswith("form went from 0.85 to 0.85, and a fall of 0.04")


def test_a_fall_beyond_the_margin_is_a_veto():
    before, after = [True] * 190 + [False] * 10, [True] * 150 + [False] * 50
    reason = NonInferior("form", 0.05).veto(shown(before), shown(after))
    assert reason.startswith("form went from 0.95 to 0.75")
    assert reason.endswith("is not excluded (margin 0.05)")


def test_too_few_tasks_to_show_it_are_a_veto():
    form = [True] * 9 + [False]
    assert NonInferior("form", 0.05).veto(shown(form), shown(form)) is not None


def test_form_is_not_paired_on_outcomes_of_another_measure():
    form = [True] * 170 + [False] * 30
    other = Report(
        learner="x",
        split="gate",
        scores=(score("form", 100, 200),),
        outcomes=shown(form).outcomes,
    )
    assert NonInferior("form", 0.05).veto(other, other) is not None


def test_form_is_not_paired_where_one_of_the_two_could_not_be_judged():
    lost = Outcome(task="t0", score=None, text="", answer=None)
    before = shown([True] * 200)
    after = Report(
        learner="y",
        split="gate",
        scores=(score("form", 199, 199),),
        outcomes=(lost, *before.outcomes[1:]),
    )
    assert NonInferior("form", 0.02).veto(before, after) is None


@pytest.mark.parametrize(("right", "accepted"), [(60, False), (80, True), (110, True)])
def test_other_scores_are_compared_by_their_intervals(right, accepted):
    before = shown([True] * 9, score("pass@8", 80, 200))
    after = shown([True] * 9, score("pass@8", right, 200))
    assert (NonInferior("pass@8", 0.1).veto(before, after) is None) == accepted


def test_intervals_are_combined_as_newcombe_does_for_two_samples():
    """The worked example of Newcombe (1998), row a: 56 of 70 against 48 of 80."""
    before = shown([True], score("pass@8", 48, 80))
    after = shown([True], score("pass@8", 56, 70))
    # Method 10 gives 0.0524 to 0.3339 for the difference; a margin must be at least 0.
    assert NonInferior("pass@8", 0.0).veto(before, after) is None
    reason = NonInferior("pass@8", 0.3338).veto(after, before)
    assert "a fall of 0.334 is not excluded" in reason
    assert NonInferior("pass@8", 0.334).veto(after, before) is None


def test_a_learner_at_the_margin_passes_in_at_most_a_fortieth_of_the_cases():
    """Of learners whose form truly fell by the margin, 2.5% pass, give or take 3 deviations."""
    draw, margin, n, trials = np.random.default_rng(3), 0.05, 200, 200
    passed = 0
    for _ in range(trials):
        cells = draw.choice(4, size=n, p=[0.02, 0.02 + margin, 0.8, 0.11])
        before, after = np.isin(cells, (1, 2)), np.isin(cells, (0, 2))
        veto = NonInferior("form", margin).veto(shown(list(before)), shown(list(after)))
        passed += veto is None
    assert passed <= stats.binom.isf(1e-3, trials, 0.025)


def test_a_score_that_is_not_there_is_named_with_those_that_are():
    report = shown([True], score("accuracy", 1, 1))
    with pytest.raises(ComponentError, match="no score 'acuracy'; did you mean 'accuracy'"):
        NonInferior("acuracy", 0.1).veto(report, report)


@pytest.mark.parametrize("margin", [-0.1, math.nan, math.inf])
def test_a_margin_that_asks_for_more_or_for_nothing_is_refused(margin):
    with pytest.raises(ValueError, match="margin is"):
        NonInferior("form", margin)
