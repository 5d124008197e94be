import pytest
from hypothesis import given
from hypothesis import strategies as st

from instar.errors import ComponentError
from instar.evaluation.pairs import by_task, pair
from instar.types import Outcome, Report

MAYBE = st.sampled_from([None, 0.0, 1.0])


def report(learner, scores):
    """Return a report of one outcome per (task, score)."""
    outcomes = tuple(Outcome(task=t, score=s, text="") for t, s in scores)
    return Report(learner=learner, split="gate", scores=(), outcomes=outcomes)


def numbered(learner, scores):
    return report(learner, [(f"t{i}", s) for i, s in enumerate(scores)])


@given(st.lists(st.tuples(MAYBE, MAYBE), min_size=1, max_size=40))
def test_only_tasks_judged_for_both_are_paired_and_the_others_are_counted(scores):
    before, after = zip(*scores, strict=True)
    pairs = pair(numbered("old", before), numbered("new", after))
    both = [(b, a) for b, a in scores if b is not None and a is not None]
    assert list(zip(pairs.before, pairs.after, strict=True)) == both
    assert pairs.lost == len(scores) - len(both)
    assert pairs.changes == [a - b for b, a in both]


def test_outcomes_are_paired_by_task_not_by_place():
    old = report("old", [("a", 1.0), ("b", 0.0), ("c", 0.0)])
    new = report("new", [("c", 1.0), ("a", 1.0), ("b", 0.0)])
    assert pair(old, new).changes == [0.0, 0.0, 1.0]


@pytest.mark.parametrize("other", ["", "a", "abc", "xy"])
def test_learners_measured_on_other_tasks_are_not_compared(other):
    old, new = report("old", [("a", 1.0), ("b", 0.0)]), report("new", [(t, 1.0) for t in other])
    with pytest.raises(ComponentError, match="not the same"):
        pair(old, new)
    with pytest.raises(ComponentError, match="not the same"):
        pair(new, old)


def test_two_empty_reports_are_not_compared():
    with pytest.raises(ComponentError, match="0 and 0 tasks"):
        pair(report("old", []), report("new", []))


def test_the_samples_of_a_task_are_averaged_and_one_that_was_not_judged_is_no_0():
    assert by_task([("a", 1.0), ("b", 0.0), ("a", 0.0), ("b", None)]) == {"a": 0.5, "b": None}


def test_whole_scores_are_binary_and_others_are_not():
    assert pair(numbered("old", [0.0, 1.0]), numbered("new", [1.0, 1.0])).binary
    assert not pair(numbered("old", [0.0, 0.5]), numbered("new", [1.0, 1.0])).binary
    assert not pair(numbered("old", [0.0, 2.0]), numbered("new", [1.0, 1.0])).binary
