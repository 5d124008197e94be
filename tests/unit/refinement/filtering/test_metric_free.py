import pickle
import time
from dataclasses import replace

import pytest

from instar.refinement.filtering.metric_free import Dedup, Majority, NoHintLeak, RandomSample
from instar.testing.fakes import context, experience, experiences, tasks
from instar.types import Feedback

ONE, TWO, *_ = tasks()


def kept(filter_, batch, **changes):
    decisions = filter_.select(batch, replace(context(), **changes))
    assert len(decisions) == len(batch)
    assert all(d.reason for d in decisions)
    return [d.keep for d in decisions]


def failed(one):
    return replace(one, solution=replace(one.solution, turns=(), error="timed out"))


def polled(task, *answers):
    """Return samples with the shares that `vote_share` gives; None has no vote."""
    votes = [a for a in answers if a is not None]
    made = []
    for i, answer in enumerate(answers):
        share = None if answer is None else votes.count(answer) / len(votes)
        said = Feedback(source="vote_share", score=share, answer=answer)
        made.append(replace(experience(task, str(answer), i), feedback=(said,)))
    return made


def test_the_samples_with_the_winning_answer_are_kept():
    assert kept(Majority(), polled(ONE, "3", "4", "3", "5", "3")) == [
        True,
        False,
        True,
        False,
        True,
    ]


def test_a_tie_has_no_winner():
    assert kept(Majority(), polled(ONE, "3", "4")) == [False, False]
    assert kept(Majority(at_least=0.2), polled(ONE, "3", "4", "3", "4", "5")) == [False] * 5
    assert "tie" in Majority().select(polled(ONE, "3", "4"), context())[0].reason


def test_a_winner_needs_its_share():
    batch = polled(ONE, "3", "3", "4", "5", "6")
    assert kept(Majority(at_least=0.5), batch) == [False] * 5
    assert kept(Majority(at_least=0.4), batch) == [True, True, False, False, False]
    assert "0.40 < 0.5" in Majority().select(batch, context())[0].reason


def test_a_winner_stays_one_where_earlier_filters_dropped_votes():
    batch = polled(ONE, "3", "3", "3", "4", "4")
    assert kept(Majority(), [batch[0], *batch[3:]]) == [True, False, False]


def test_tasks_are_counted_apart_and_no_vote_is_dropped():
    batch = [*polled(ONE, "3", None, "3"), *polled(TWO, "3", "5", "5")]
    assert kept(Majority(), batch) == [True, False, True, False, True, True]
    assert kept(Majority(), [experience(ONE, "3", 0, 1.0)]) == [False]


def test_another_source_can_vote():
    (one,) = polled(ONE, "3")
    other = replace(one, feedback=(replace(one.feedback[0], source="mine"),))
    assert kept(Majority(source="mine"), [other]) == [True]
    assert kept(Majority(), [other]) == [False]
    silent = replace(one, feedback=(replace(one.feedback[0], answer=None),))
    assert kept(Majority(), [silent]) == [False]


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_majority_must_be_a_share(share):
    with pytest.raises(ValueError, match="at_least"):
        Majority(at_least=share)


def written(*texts, task=ONE):
    return [experience(task, text, i) for i, text in enumerate(texts)]


def test_equal_texts_of_a_task_are_kept_once():
    batch = written("It is 3.", "it  IS\n3.", "It is 4.", "It is 3.")
    assert kept(Dedup(), batch) == [True, False, True, False]
    assert kept(Dedup(), [*written("a"), *written("a", task=TWO)]) == [True, True]


def test_equal_lists_of_equations_are_one_path_in_any_words():
    batch = written(
        "First 48/2 = 24. Then 48 + 24 = 72.",
        "We get 48 ÷ 2=24, so $48 + $24 = $72 in all",
        "48 + 24 = 72 and 48/2 = 24",
        "2 * 3 = 6",
        "2 x 3 = 6",
        "2 × 3 = 6.",
        "1,000 + 1 = 1,001",
        "1000+1=1001",
        "(3+4)*2=14",
        "(3 + 4) * 2 = 14!",
        "-3 + -4 = -7",
        "-3 + 4 = -7",
    )
    assert kept(Dedup(by="equations"), batch) == [True, False] + [True] * 2 + [False] * 2 + [
        *(True, False),
        *(True, False),
        *(True, True),
    ]


def test_without_equations_words_count():
    batch = written("three", "Three", "four")
    assert kept(Dedup(by="equations"), batch) == [True, False, True]


@pytest.mark.parametrize("by", ["text", "equations"])
def test_a_failed_sample_is_dropped_and_is_nobodys_double(by):
    batch = [failed(e) for e in written("", "")] + written("")
    assert kept(Dedup(by=by), batch) == [False, False, True]


@pytest.mark.parametrize(
    "bomb",
    [
        *("9" * 10_000_000, "1+1" * 7000, "1 + " * 5000, "1," * 9000, "$" * 20_000, "1+-" * 7000),
        *("(" * 20_000, "." * 20_000, "1." * 9000, "1%" * 9000, "1 = " * 5000, "\ud800" * 20_000),
    ],
)
def test_no_text_is_slow_to_compare(bomb):
    start = time.process_time()
    assert kept(Dedup(by="equations"), written(bomb, bomb)) == [True, False]
    assert time.process_time() - start < 1


def hinted(text):
    return replace(experience(ONE, text), made_by="rationalise", parents=("p",))


def test_a_rationalised_solution_that_cites_its_hint_is_dropped():
    batch = [hinted("As the HINT says, 3"), hinted("1 + 2 = 3"), hinted("as given, it is 3")]
    assert kept(NoHintLeak(), batch) == [False, True, False]
    assert NoHintLeak().select(batch, context())[0].reason == "says 'hint'"
    assert kept(NoHintLeak(words=("1 +",)), batch) == [True, False, True]


def test_a_solution_that_had_no_hint_may_speak_of_hints():
    batch = [experience(ONE, "The hint in the question says 3")]
    assert kept(NoHintLeak(), batch) == [True]
    assert kept(NoHintLeak(made_by="sample"), batch) == [False]


def test_a_word_that_every_text_holds_is_refused():
    with pytest.raises(ValueError, match="words"):
        NoHintLeak(words=("hint", " "))


def test_as_many_as_asked_are_drawn_by_the_seed():
    batch = [experience(t, f"x{i}", i) for t in tasks(10) for i in range(5)]
    picks = kept(RandomSample(count=7), batch)
    assert sum(picks) == 7
    assert picks == kept(RandomSample(count=7), batch)
    assert picks != kept(RandomSample(count=7), batch, seed=1)
    assert picks != kept(RandomSample(count=7), batch, iteration=2)
    assert kept(RandomSample(count=0), batch) == [False] * 50
    assert kept(RandomSample(count=99), batch) == [True] * 50


def test_every_sample_is_drawn_as_often_as_any_other():
    batch = written(*"abcd")
    counts = [
        sum(column)
        for column in zip(
            *(kept(RandomSample(count=1), batch, seed=s) for s in range(400)), strict=True
        )
    ]
    assert sum(counts) == 400
    assert all(60 < c < 140 for c in counts)  # 100 expected, 4.6 standard deviations


def test_failed_samples_are_never_drawn_and_unfinished_ones_only_if_allowed():
    whole, cut, broken = written("a", "b", "c")
    cut = replace(cut, solution=replace(cut.solution, finished=False))
    batch = [whole, cut, failed(broken)]
    assert kept(RandomSample(count=3), batch) == [True, False, False]
    assert kept(RandomSample(count=3, finished=False), batch) == [True, True, False]
    assert kept(RandomSample(count=3), [failed(broken)]) == [False]


def test_a_count_below_zero_is_refused():
    with pytest.raises(ValueError, match="count"):
        RandomSample(count=-1)


@pytest.mark.parametrize(
    "made", [Majority(), Dedup(), Dedup(by="equations"), NoHintLeak(), RandomSample(count=2)]
)
def test_empty_batches_are_fine_and_inputs_stay_as_they_were(made):
    assert made.select([], context()) == []
    before = pickle.dumps(experiences())
    batch = experiences()
    assert made.select(batch, context()) == made.select(batch, context())
    assert pickle.dumps(batch) == before
