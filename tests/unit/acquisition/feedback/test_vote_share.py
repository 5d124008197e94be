from dataclasses import replace

import pytest

from instar.acquisition.feedback.model.vote_share import VoteShare
from instar.testing.fakes import context, experience, tasks

ONE, TWO, *_ = tasks()


def votes(task, *texts):
    return [experience(task, text, i) for i, text in enumerate(texts)]


def scores(batch, **options):
    return [f.score for f in VoteShare(**options).assess(batch, context())]


def test_the_score_is_the_share_of_the_votes_for_the_same_answer():
    assert scores(votes(ONE, "it is 3", "3", "4", "or 3")) == [0.75, 0.75, 0.25, 0.75]


def test_spellings_of_a_number_are_one_answer_in_its_first_spelling():
    batch = votes(ONE, "1,000", "1000.0", "1000", "7")
    feedback = VoteShare().assess(batch, context())
    assert [f.score for f in feedback] == [0.75, 0.75, 0.75, 0.25]
    assert [f.answer for f in feedback] == ["1,000", "1,000", "1,000", "7"]
    assert feedback[0].critique == "3 of 4 votes"


def test_text_answers_are_counted_without_case():
    batch = votes(ONE, "x\nParis", "x\nparis.", "x\nRome")
    assert scores(batch, extract="last_line") == pytest.approx([2 / 3, 2 / 3, 1 / 3])


def test_a_sample_without_an_answer_has_no_vote_and_no_score():
    feedback = VoteShare().assess(votes(ONE, "none", "3", ""), context())
    assert [f.score for f in feedback] == [None, 1.0, None]
    assert feedback[0].answer is None


def test_failed_samples_have_no_vote_and_unfinished_ones_only_if_allowed():
    three, four, five = votes(ONE, "3", "4", "5")
    failed = replace(four, solution=replace(four.solution, turns=(), error="timed out"))
    cut = replace(five, solution=replace(five.solution, finished=False))
    assert scores([three, failed, cut]) == [1.0, None, None]
    assert scores([three, failed, cut], finished=False) == [0.5, None, 0.5]


def test_tasks_vote_apart_and_the_order_is_that_of_the_batch():
    first, second = votes(ONE, "3", "4"), votes(TWO, "3", "3")
    mixed = [first[0], second[0], first[1], second[1]]
    assert scores(mixed) == [0.5, 1.0, 0.5, 1.0]
    assert scores(mixed[::-1]) == [1.0, 0.5, 1.0, 0.5]
    assert scores([]) == []


def test_the_reference_is_not_read():
    blind = [replace(e, task=replace(ONE, reference="4")) for e in votes(ONE, "3", "3", "4")]
    assert scores(blind) == scores(votes(ONE, "3", "3", "4"))


def test_hostile_answers_are_counted():
    huge = "9" * 1_000_000
    assert scores(votes(ONE, huge, huge, "1e999999999", "\ud800 1")) == [0.5, 0.5, 0.25, 0.25]
