import pickle
from collections import Counter
from dataclasses import replace

import pytest

from instar.refinement.filtering.metric_based import CapPerTask, ScoreAtLeast
from instar.testing.fakes import context, experience, experiences, tasks
from instar.types import Feedback

ONE, TWO, *_ = tasks()


def kept(filter_, batch, **changes):
    decisions = filter_.select(batch, replace(context(), **changes))
    assert len(decisions) == len(batch)
    return [d.keep for d in decisions]


def failed(one):
    return replace(one, solution=replace(one.solution, turns=(), error="timed out"))


def test_a_score_at_the_threshold_is_kept_and_below_it_dropped():
    batch = [experience(ONE, "x", i, s) for i, s in enumerate([0.0, 0.49, 0.5, 1.0])]
    assert kept(ScoreAtLeast(threshold=0.5), batch) == [False, False, True, True]
    assert kept(ScoreAtLeast(), batch) == [False, False, False, True]


def test_the_reason_says_the_numbers():
    batch = [experience(ONE, "x", 0, 0.25), experience(ONE, "x", 1, 1.0)]
    low, high = ScoreAtLeast(threshold=0.5).select(batch, context())
    assert (low.reason, high.reason) == ("score 0.25 < 0.5", "score 1 >= 0.5")


def test_what_was_not_judged_is_dropped_even_where_anything_would_pass():
    bare = experience(ONE, "x")
    unjudged = replace(bare, feedback=(Feedback(source="answer_match", score=None),))
    decisions = ScoreAtLeast(threshold=-1.0).select([bare, unjudged], context())
    assert [(d.keep, d.reason) for d in decisions] == [(False, "not judged")] * 2


def test_the_named_source_counts_and_otherwise_the_first():
    both = (Feedback(source="a", score=0.0), Feedback(source="b", score=1.0))
    batch = [replace(experience(ONE, "x"), feedback=both)]
    assert kept(ScoreAtLeast(), batch) == [False]
    assert kept(ScoreAtLeast(source="b"), batch) == [True]
    assert kept(ScoreAtLeast(source="c"), batch) == [False]


@pytest.mark.parametrize("threshold", [float("nan"), float("inf")])
def test_a_threshold_must_be_comparable(threshold):
    with pytest.raises(ValueError, match="threshold"):
        ScoreAtLeast(threshold=threshold)


LENGTHS = [5, 2, 9, 2, 1]
MIXED = [experience(t, "x" * n, i) for i, n in enumerate(LENGTHS) for t in (ONE, TWO)]


def test_the_first_of_each_task_are_kept():
    assert kept(CapPerTask(n=2), MIXED) == [True] * 4 + [False] * 6


def test_the_shortest_of_each_task_are_kept_and_of_equals_the_first():
    by_sample = [False, True, False, False, True]
    assert kept(CapPerTask(n=2, prefer="shortest"), MIXED) == [k for k in by_sample for _ in "ab"]


def test_random_ones_are_kept_by_the_seed_and_each_task_has_its_own_draw():
    batch = [experience(t, f"x{i}", i) for t in tasks(20) for i in range(6)]
    cap = CapPerTask(n=2, prefer="random")
    picks = kept(cap, batch)
    assert picks == kept(cap, batch)
    assert picks != kept(cap, batch, seed=1)
    assert picks != kept(cap, batch, iteration=2)
    by_task = Counter(e.task.id for e, k in zip(batch, picks, strict=True) if k)
    assert set(by_task.values()) == {2}
    assert len({tuple(picks[i : i + 6]) for i in range(0, 120, 6)}) > 5


@pytest.mark.parametrize("prefer", ["first", "shortest", "random"])
def test_a_failed_sample_takes_no_place(prefer):
    batch = [failed(experience(ONE, "", 0)), experience(ONE, "long text", 1)]
    assert kept(CapPerTask(n=1, prefer=prefer), batch) == [False, True]


def test_a_cap_beyond_the_batch_keeps_all():
    assert kept(CapPerTask(n=99), MIXED) == [True] * 10


def test_a_cap_says_rank_and_number():
    second = CapPerTask(n=1).select(MIXED, context())[2]
    assert second.reason == "first order: 2 of 5, at most 1"


@pytest.mark.parametrize("n", [0, -1])
def test_a_cap_that_keeps_nothing_is_refused(n):
    with pytest.raises(ValueError, match="n is"):
        CapPerTask(n=n)


@pytest.mark.parametrize("made", [ScoreAtLeast(), CapPerTask(n=1, prefer="shortest")])
def test_empty_batches_are_fine_and_inputs_stay_as_they_were(made):
    assert made.select([], context()) == []
    before = pickle.dumps(experiences())
    batch = experiences()
    assert made.select(batch, context()) == made.select(batch, context())
    assert pickle.dumps(batch) == before
