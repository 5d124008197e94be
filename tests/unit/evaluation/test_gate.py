import math
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instar.errors import ComponentError
from instar.evaluation.gate import Better, NonInferior, compare
from instar.evaluation.statistics import mcnemar, paired_difference
from instar.testing.fakes import context as fake
from instar.types import Outcome, Report, Score

CONTEXT = replace(fake(), iterations=4)
COUNTS = st.integers(0, 60)


def report(learner, scores, *named):
    outcomes = tuple(
        Outcome(task=f"t{i}", score=s, text="", answer="1") for i, s in enumerate(scores)
    )
    return Report(learner=learner, split="gate", scores=named, outcomes=outcomes)


def learners(fixed, broken, right, wrong, lost=0):
    """Return the reports of two learners that differ on so many tasks; `lost` are not judged."""
    before = [0.0] * fixed + [1.0] * broken + [1.0] * right + [0.0] * wrong + [0.0] * lost
    after = [1.0] * fixed + [0.0] * broken + [1.0] * right + [0.0] * wrong + [None] * lost
    return report("old", before), report("new", after)


def decided(fixed, broken, right=0, wrong=0, lost=0, gate=None):
    current, candidate = learners(fixed, broken, right, wrong, lost)
    return (gate or Better()).decide(current, candidate, CONTEXT)


@dataclass(frozen=True)
class Always:
    """Veto everything, or nothing."""

    word: str | None

    def veto(self, current, candidate, /):
        return self.word


@given(COUNTS, COUNTS, COUNTS)
def test_it_promotes_exactly_where_the_exact_test_is_within_this_looks_part_of_alpha(f, b, t):
    if f + b + t == 0:
        return
    verdict = decided(f, b, right=t)
    assert verdict.accepted == (mcnemar(f, b) <= 0.05 / 4)
    evidence = dict(verdict.evidence)
    assert (evidence["fixed"], evidence["broken"], evidence["n"]) == (f, b, f + b + t)
    assert (evidence["p"], evidence["threshold"]) == (mcnemar(f, b), 0.05 / 4)


@given(COUNTS, COUNTS, COUNTS)
def test_it_never_promotes_both_of_two_learners_over_the_other(f, b, t):
    current, candidate = learners(f, b, t + 1, 0)
    there = Better(alpha=0.9).decide(current, candidate, CONTEXT)
    back = Better(alpha=0.9).decide(candidate, current, CONTEXT)
    assert not (there.accepted and back.accepted)
    assert f > b or not there.accepted


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=12))
def test_graded_scores_that_did_not_rise_are_never_promoted_whatever_the_level(pairs):
    before, after = ([v / 4 for v in column] for column in zip(*pairs, strict=True))
    verdict = Better(alpha=0.999).decide(
        report("old", before), report("new", after), replace(CONTEXT, iterations=1)
    )
    assert not verdict.accepted or sum(after) > sum(before)


@pytest.mark.parametrize("iterations", [1, 3, 10])
def test_alpha_is_shared_by_the_looks_of_the_run(iterations):
    current, candidate = learners(14, 3, 100, 83)  # p = 0.0064
    verdict = Better().decide(current, candidate, replace(CONTEXT, iterations=iterations))
    assert verdict.accepted == (mcnemar(14, 3) <= 0.05 / iterations)
    assert verdict.accepted == (iterations < 10)
    assert dict(verdict.evidence)["threshold"] == 0.05 / iterations


def test_a_p_value_of_just_the_level_is_within_it():
    assert decided(6, 0, right=9, gate=Better(alpha=4 / 64)).accepted
    assert not decided(6, 0, right=9, gate=Better(alpha=3.999 / 64)).accepted


def test_a_tie_is_rejected():
    assert not decided(0, 0, right=50, wrong=50).accepted
    assert not decided(20, 20, right=50).accepted
    graded = Better(alpha=0.999).decide(
        report("old", [0.5] * 9), report("new", [0.5] * 9), replace(CONTEXT, iterations=1)
    )
    assert not graded.accepted


def test_a_learner_that_did_not_change_is_rejected_whatever_was_measured():
    current, candidate = learners(100, 0, 0, 0)
    verdict = Better().decide(current, replace(candidate, learner="old"), CONTEXT)
    assert not verdict.accepted
    assert verdict.reason == "rejected: the update changed nothing"


def test_the_reason_is_one_sentence_with_the_numbers():
    assert decided(74, 8, right=200, wrong=118).reason == (
        "promoted: 74 tasks fixed, 8 broken of 400 (+16.5 points, 95% interval +12.3 to +20.6), "
        "p = 8.24e-15 <= 0.0125 (alpha 0.05 over 4 looks)"
    )
    assert decided(3, 2, right=95).reason == (
        "rejected: 3 tasks fixed, 2 broken of 100 (+1.0 points, 95% interval -3.8 to +5.7), "
        "p = 0.5 > 0.0125 (alpha 0.05 over 4 looks)"
    )


def test_the_verdict_names_both_learners_and_leaves_the_objective_as_it_is():
    verdict = decided(30, 1, right=9)
    assert (verdict.current, verdict.candidate) == ("old", "new")
    assert verdict.next_objective == CONTEXT.objective


def test_what_could_not_be_judged_is_left_out_said_and_never_a_0():
    whole, some = decided(30, 5, right=162), decided(30, 5, right=162, lost=3)
    assert some.evidence == whole.evidence
    assert some.accepted
    assert some.reason.endswith("; 3 of 200 pairs could not be judged and are left out")
    current, candidate = learners(30, 5, 162, 0, lost=3)
    back = Better().decide(candidate, current, CONTEXT)
    assert dict(back.evidence)["fixed"] == 5


def test_with_more_than_a_twentieth_of_the_pairs_lost_nothing_is_promoted():
    assert decided(60, 0, right=35, lost=5).accepted
    verdict = decided(60, 0, right=34, lost=6)
    assert not verdict.accepted
    assert verdict.reason == "rejected: 6 of 100 pairs could not be judged"
    assert dict(verdict.evidence) == {"n": 100.0, "unjudged": 6.0}


def test_reports_on_other_tasks_are_refused():
    with pytest.raises(ComponentError, match="not the same"):
        Better().decide(report("old", [1.0]), report("new", [1.0, 0.0]), CONTEXT)


def test_graded_scores_are_tested_by_sign_flip_and_told_as_means():
    before = [0.1 * (i % 5) for i in range(40)]
    after = [b + 0.05 + 0.01 * (i % 3) for i, b in enumerate(before)]
    verdict = Better().decide(report("old", before), report("new", after), CONTEXT)
    assert verdict.accepted
    assert "40 tasks rose, 0 fell of 40 (mean score +0.0598," in verdict.reason
    assert dict(verdict.evidence)["p"] == pytest.approx(1e-4)  # 1 of 10,000 flips: none higher
    again = Better().decide(report("old", before), report("new", after), CONTEXT)
    assert again == verdict


def test_a_graded_gain_of_the_mean_counts_although_more_tasks_fell():
    before, after = [0.5] * 30, [1.0] * 14 + [0.45] * 16
    verdict = Better().decide(report("old", before), report("new", after), CONTEXT)
    assert verdict.accepted
    assert dict(verdict.evidence)["fixed"] < dict(verdict.evidence)["broken"]


def test_a_veto_refuses_a_better_candidate_and_says_why():
    verdict = decided(30, 1, right=9, gate=Better(keep=(Always(None), Always("too long"))))
    assert not verdict.accepted
    assert verdict.reason.startswith("rejected: too long, although 30 tasks fixed")
    assert dict(verdict.evidence)["fixed"] == 30
    assert decided(30, 1, right=9, gate=Better(keep=(Always(None),))).accepted


def test_a_veto_does_not_rescue_or_explain_a_candidate_that_is_not_better():
    verdict = decided(1, 3, right=9, gate=Better(keep=(Always("too long"),)))
    assert not verdict.accepted
    assert "too long" not in verdict.reason


def test_a_veto_that_names_no_score_stops_at_the_first_look_even_if_nothing_is_promoted():
    current, candidate = learners(1, 3, 9, 0)
    named = (Score(name="form", value=1, low=1, high=1, n=13),)
    gate = Better(keep=(NonInferior("from", 0.1),))
    with pytest.raises(ComponentError, match="did you mean 'form'"):
        gate.decide(replace(current, scores=named), replace(candidate, scores=named), CONTEXT)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, 1.5, math.nan])
def test_a_level_that_is_no_probability_is_refused(alpha):
    with pytest.raises(ValueError, match="alpha is"):
        Better(alpha=alpha)


def test_before_the_run_it_says_what_it_will_be_able_to_see():
    assert Better().before_run(400, 4) == (
        "gate: alpha 0.05 over 4 looks, 400 gate tasks: an improvement of 6.5 points is seen with "
        "80% chance, if 5% of the tasks break"
    )
    assert "too few to see any improvement with 80% chance" in Better().before_run(6, 3)


@pytest.mark.parametrize("iterations", [1, 3, 10])
def test_before_the_run_it_says_if_no_outcome_at_all_could_be_promoted(iterations):
    context = replace(CONTEXT, iterations=iterations)
    for tasks in range(1, 12):
        current, candidate = learners(tasks, 0, 0, 0)
        hopeless = "too few to promote anything" in Better().before_run(tasks, iterations)
        assert hopeless != Better().decide(current, candidate, context).accepted


def test_compare_is_the_paired_difference_of_ours_over_the_other():
    other, ours = learners(30, 10, 100, 60, lost=2)
    score = compare(ours, other)
    before, after = [o.score for o in other.outcomes[:200]], [o.score for o in ours.outcomes[:200]]
    assert (score.value, score.low, score.high) == paired_difference(before, after)
    assert (score.value, score.n) == (0.1, 200)
    assert compare(other, ours).value == -0.1


def test_compare_refuses_to_speak_of_learners_never_judged_on_the_same_task():
    one, other = report("old", [1.0, None]), report("new", [None, 1.0])
    with pytest.raises(ComponentError, match="not one of 2 tasks"):
        compare(one, other)
