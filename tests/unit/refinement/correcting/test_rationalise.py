import pickle
from dataclasses import replace

import pytest

from instar.refinement.correcting.rationalise import Rationalise
from instar.testing.fakes import ScriptedEngine, context, experience, experiences, said, tasks
from instar.types import Completion, Feedback

ONE, TWO, THREE, FOUR = tasks()


class Listener(ScriptedEngine):
    heard = ()

    def generate(self, requests, learner, context, /):
        self.heard = (*self.heard, *requests)
        return super().generate(requests, learner, context)


def corrected(batch, made=None, **changes):
    engine = Listener(lambda *_: "because")
    children = (made or Rationalise()).correct(batch, replace(context(engine=engine), **changes))
    return children, engine.heard


def wrong(task, sample=0):
    return experience(task, "wrong", sample, 0.0)


def test_a_task_nobody_solved_is_asked_again_with_its_answer():
    (child,), (request,) = corrected([wrong(ONE, 0), wrong(ONE, 1)])
    assert request.messages[-1].content.startswith(ONE.prompt)
    assert "the answer is 3" in request.messages[-1].content
    assert child.solution.text == "because"


def test_the_child_has_the_task_without_the_hint_and_names_the_first_failure():
    first, second = wrong(ONE, 0), wrong(ONE, 1)
    (child,), _ = corrected([first, second])
    assert child.task == ONE
    assert (child.made_by, child.parents) == ("rationalise", (first.id,))
    assert child.id not in (first.id, second.id)
    assert child.feedback == ()
    assert "hint" not in str((child.task, child.solution)).casefold()


def test_solved_tasks_are_left_alone_and_the_others_come_in_order():
    batch = [wrong(TWO), wrong(ONE), experience(ONE, "3", 1, 1.0), wrong(THREE)]
    children, _ = corrected(batch)
    assert [c.task for c in children] == [TWO, THREE]


def test_what_could_not_be_judged_is_no_failure():
    bare = experience(ONE, "x")
    unjudged = replace(bare, feedback=(Feedback(source="answer_match", score=None),))
    assert corrected([bare, unjudged]) == ([], ())
    (child,), _ = corrected([unjudged, wrong(ONE, 1)])
    assert child.parents == (wrong(ONE, 1).id,)


def test_the_first_assessor_says_what_is_solved():
    both = (Feedback(source="a", score=0.0), Feedback(source="b", score=1.0))
    children, _ = corrected([replace(wrong(ONE), feedback=both)])
    assert len(children) == 1


@pytest.mark.parametrize("reference", [None, ""])
def test_a_task_without_a_known_answer_is_left_alone(reference):
    assert corrected([wrong(replace(ONE, reference=reference))]) == ([], ())


def test_the_hint_is_the_recipes_own_and_holds_the_answer_as_it_is():
    made = Rationalise(hint="Given {answer}; why? {other}")
    odd = replace(ONE, reference="{x} \\1 {answer}")
    _, (request,) = corrected([wrong(odd)], made)
    assert request.messages[-1].content.endswith("Given {x} \\1 {answer}; why? {other}")


def test_the_learners_standing_prompt_is_kept():
    learner = replace(context().learner, prompt="Be brief.")
    _, (request,) = corrected([wrong(ONE)], learner=learner)
    assert (request.messages[0].role, request.messages[0].content) == ("system", "Be brief.")


def test_a_share_of_the_failures_is_rationalised_by_the_seed():
    batch = [wrong(t) for t in tasks(200)]

    def chosen(share, **changes):
        return [c.task.id for c in corrected(batch, Rationalise(probability=share), **changes)[0]]

    assert chosen(0.0) == []
    assert len(chosen(1.0)) == 200
    assert 60 < len(chosen(0.5)) < 140
    assert chosen(0.5) == chosen(0.5)
    assert chosen(0.5) != chosen(0.5, seed=1)
    assert chosen(0.5) != chosen(0.5, iteration=2)


def test_keys_are_distinct_by_task_and_iteration():
    batch = [wrong(t) for t in tasks()]
    keys = [r.key for i in (1, 2) for r in corrected(batch, iteration=i)[1]]
    assert len(set(keys)) == len(keys) == 8


def test_sampling_is_the_recipes():
    _, (request,) = corrected([wrong(ONE)], Rationalise(temperature=0.3, max_tokens=7))
    assert (request.sampling.temperature, request.sampling.max_tokens, request.n) == (0.3, 7, 1)


def test_a_failed_completion_is_a_child_with_its_error():
    engine = ScriptedEngine(said({}))
    (child,) = Rationalise().correct([wrong(ONE)], context(engine=engine))
    assert child.solution.error
    assert child.solution.text == ""


def test_what_the_engine_says_of_a_completion_is_kept():
    cut = Completion(text="a", tokens=5, finished=False)
    (child,) = Rationalise().correct([wrong(ONE)], context(engine=ScriptedEngine(lambda *_: cut)))
    assert (child.solution.tokens, child.solution.finished) == (5, False)


def test_an_empty_batch_asks_nothing_and_inputs_stay_as_they_were():
    assert corrected([]) == ([], ())
    before = pickle.dumps(experiences())
    batch = experiences()
    assert corrected(batch)[0] == corrected(batch)[0]
    assert pickle.dumps(batch) == before


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"probability": 1.5}, "probability is 1.5"),
        ({"probability": float("nan")}, "probability is nan"),
        ({"hint": "no place"}, "{answer}"),
        ({"temperature": -1.0}, "temperature is -1"),
        ({"max_tokens": 0}, "max_tokens is 0"),
    ],
)
def test_what_cannot_be_honoured_is_refused_at_once(fields, complaint):
    with pytest.raises(ValueError, match=complaint):
        Rationalise(**fields)
