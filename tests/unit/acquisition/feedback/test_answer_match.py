import pickle
import sys
import time
from dataclasses import replace

import pytest

from instar.acquisition.feedback.environment.answer_match import AnswerMatch
from instar.testing.fakes import context, experience, experiences
from instar.types import Message, Task


def solved(reference, text):
    task = Task(messages=(Message(role="user", content="q"),), reference=reference)
    return experience(task, text)


def unfinished(one):
    return replace(one, solution=replace(one.solution, finished=False))


def failed(one):
    return replace(one, solution=replace(one.solution, turns=(), error="timed out"))


def judged(assessor, *batch):
    return assessor.assess(batch, context())


@pytest.mark.parametrize(
    ("match", "extract", "reference", "text", "score"),
    [
        ("numeric", "last_number", "1000", "It is 1,000.00", 1),
        ("numeric", "last_number", "1000", "It is 1,001", 0),
        ("numeric", "last_number", "0.5", "It is 1/2", 1),
        ("numeric", "last_number", "-3", "It is \u22123", 1),
        ("numeric", "last_number", "Rivers: 2 + 2.\n#### 4", "It is 4", 1),
        ("numeric", "last_number", "Paris", "It is 4", 0),
        ("numeric", "after_marker", "5", "The answer is 5 apples. Not 6.", 1),
        ("numeric", "last_line", "Paris", "I think\nparis", 1),
        ("numeric", "boxed", "12", "\\boxed{1,2}", 0),
        ("numeric", "choice", "(B) Paris", "The answer is b.", 1),
        ("exact", "last_number", "1000", "It is 1,000", 0),
        ("exact", "last_line", "Paris.", "  PARIS  ", 1),
        ("math_verify", "boxed", "x^2+2x+1", "\\boxed{(x+1)^2}", 1),
        ("math_verify", "boxed", "x^2+2x+1", "\\boxed{(x+2)^2}", 0),
        ("math_verify", "boxed", "so $\\boxed{\\frac{1}{2}}$", "\\boxed{0.5}", 1),
        ("math_verify", "last_line", "Paris", "London", 0),
    ],
)
def test_the_answer_is_compared_with_the_reference(match, extract, reference, text, score):
    (found,) = judged(AnswerMatch(match=match, extract=extract), solved(reference, text))
    assert found.score == score
    assert found.source == "answer_match"
    assert found.answer


def test_the_answer_that_was_read_is_said():
    assert judged(AnswerMatch(), solved("3", "so 1 + 2 = 3."))[0].answer == "3"


@pytest.mark.parametrize("match", ["numeric", "exact", "math_verify"])
def test_no_answer_scores_0_and_nothing_to_compare_is_no_score(match):
    assessor = AnswerMatch(match=match)
    empty, unlabelled, broken = judged(
        assessor, solved("3", "none"), solved(None, "3"), failed(solved("3", "3"))
    )
    assert (empty.score, empty.critique) == (0.0, "no answer found")
    assert (unlabelled.score, unlabelled.critique) == (None, "the task has no reference answer")
    assert (broken.score, broken.critique) == (None, "the sample failed: timed out")


def test_a_solution_that_was_cut_off_scores_0_only_where_an_end_is_asked_for():
    cut = unfinished(solved("3", "3"))
    assert judged(AnswerMatch(), cut)[0].score == 1.0
    (found,) = judged(AnswerMatch(finished=True), cut)
    assert (found.score, found.answer) == (0.0, "3")
    assert found.critique == "right, but the solution did not end"
    assert judged(AnswerMatch(finished=True), solved("3", "3"))[0].score == 1.0
    assert judged(AnswerMatch(finished=True), failed(cut))[0].score is None


@pytest.mark.parametrize("match", ["numeric", "math_verify"])
def test_one_feedback_per_experience_in_order(match):
    batch = [solved("3", str(n)) for n in range(6)]
    scores = [f.score for f in judged(AnswerMatch(match=match), *batch)]
    assert scores == [0, 0, 0, 1, 0, 0]
    assert judged(AnswerMatch(match=match)) == []


@pytest.mark.parametrize("match", ["numeric", "exact", "math_verify"])
def test_hostile_solutions_are_judged_the_same_again(match):
    before = pickle.dumps(experiences())
    batch = experiences()
    first, again = (
        judged(AnswerMatch(match=match), *batch),
        judged(AnswerMatch(match=match), *batch),
    )
    assert first == again
    assert pickle.dumps(batch) == before


def test_a_comparison_that_takes_too_long_is_no_score_and_holds_nothing_up():
    assessor = AnswerMatch(match="math_verify", extract="boxed", timeout_s=0.5)
    bomb = solved("5", "\\boxed{9^{9^{9^9}}}")
    start = time.monotonic()
    right, hung, wrong = judged(
        assessor, solved("5", "\\boxed{5}"), bomb, solved("5", "\\boxed{6}")
    )
    assert (right.score, wrong.score) == (1.0, 0.0)
    assert (hung.score, hung.critique) == (None, "the checker took more than 0.5 s")
    assert time.monotonic() - start < 30


def test_an_empty_reference_is_no_score():
    (found,) = judged(AnswerMatch(match="math_verify"), solved("#### ", "5"))
    assert (found.score, found.critique) == (None, "math-verify cannot read the reference")


def test_an_answer_is_not_run_as_a_program(tmp_path):
    target = tmp_path / "pwned"
    attack = f"__import__('os').system('touch {target}')"
    judged(AnswerMatch(match="math_verify", extract="last_line"), solved("5", attack))
    assert not target.exists()


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_a_time_limit_must_be_one(seconds):
    with pytest.raises(ValueError, match="timeout_s"):
        AnswerMatch(timeout_s=seconds)


def test_a_missing_package_is_named_before_anything_is_sampled(monkeypatch):
    monkeypatch.setitem(sys.modules, "math_verify", None)
    with pytest.raises(ValueError, match=r"pip install 'instar\[math\]'"):
        AnswerMatch(match="math_verify")
    assert AnswerMatch()
