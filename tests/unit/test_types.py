import dataclasses
import math
import pickle

import pytest

from instar.types import (
    Experience,
    Feedback,
    Learner,
    Message,
    Sampling,
    Solution,
    Task,
    digest,
    plain,
)


def task(text="2 + 2 =", **more):
    return Task(messages=(Message(role="user", content=text),), **more)


def experience(**more):
    solution = Solution(
        turns=(Message(role="assistant", content="4"),), sampling=Sampling(temperature=1.0)
    )
    fields = {
        "task": task(),
        "solution": solution,
        "made_by": "sample",
        "iteration": 1,
        "learner": "m",
    }
    return Experience(**{**fields, **more})


def test_a_task_is_what_is_asked_and_what_is_right_and_nothing_else():
    assert task(tags=("a",), name="x", origin="f").id == task().id
    assert task(reference="4").id != task().id
    assert task(material="{}").id != task().id


def test_a_changed_copy_has_an_id_of_its_own():
    one = experience()
    known = one.id
    assert dataclasses.replace(one, iteration=2).id == experience(iteration=2).id != known
    assert dataclasses.replace(one.task, reference="5").id == task(reference="5").id != one.task.id
    assert one.id == known == pickle.loads(pickle.dumps(one)).id


def test_feedback_does_not_make_another_experience():
    judged = experience(feedback=(Feedback(source="a", score=1.0),))
    assert judged.id == experience().id


def test_two_equal_samples_of_a_task_are_two_experiences():
    one = experience()
    two = dataclasses.replace(one, solution=dataclasses.replace(one.solution, sample=1))
    assert one.id != two.id


def test_a_learner_is_its_content_whoever_made_it():
    one = Learner(base="m", adapter="a", parents=("p",), made_by="sft")
    two = Learner(base="m", adapter="a")
    assert one.id == two.id
    assert Learner(base="m", adapter="b").id != one.id
    assert Learner(base="m", prompt="p").id != Learner(base="m").id


def test_the_score_without_a_name_is_the_first_assessors():
    judged = experience(
        feedback=(Feedback(source="a", score=None), Feedback(source="b", score=1.0))
    )
    assert judged.score() is None
    assert judged.score("b") == 1.0
    assert judged.score("missing") is None


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_score_is_finite_or_none(bad):
    with pytest.raises(ValueError, match="expected a finite number or None"):
        Feedback(source="a", score=bad)


@pytest.mark.parametrize(
    "bad", [{"temperature": -1.0}, {"temperature": math.nan}, {"top_p": 0.0}, {"max_tokens": 0}]
)
def test_sampling_refuses_what_no_engine_can_honour(bad):
    with pytest.raises(ValueError, match="expected"):
        Sampling(**bad)


def test_the_digest_tells_types_and_nesting_apart():
    assert digest("1") != digest(1)
    assert digest("a", "b") != digest("ab")
    assert digest(("a",), "b") != digest("a", ("b",))
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})


def test_the_digest_takes_hostile_text():
    assert digest("\ud800") != digest("\ufffd")


def test_plain_refuses_what_has_no_canonical_form():
    with pytest.raises(TypeError, match="function"):
        plain(lambda: None)


def test_values_pickle_and_stay_equal():
    assert pickle.loads(pickle.dumps(experience())) == experience()


def test_the_standing_prompt_comes_first():
    rendered = Learner(base="m", prompt="Be brief.").render(task())
    assert [m.role for m in rendered] == ["system", "user"]
    assert Learner(base="m").render(task()) == task().messages
