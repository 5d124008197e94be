from dataclasses import dataclass, replace

import pytest

from instar.errors import ComponentError
from instar.evaluation.answers import Asking, answered, formed, unjudged
from instar.testing.fakes import ScriptedEngine, context, tasks
from instar.types import Completion, Feedback, Learner, Outcome, Sampling

GREEDY = Asking(sampling=Sampling(max_tokens=9))


@dataclass(frozen=True)
class Scores:
    """Give every solution one score, whatever it is."""

    score: float | None

    def assess(self, batch, context, /):
        return [Feedback(source="fixed", score=self.score, answer=e.solution.text) for e in batch]


@dataclass(frozen=True)
class Names:
    """Write down as the answer who wrote the solution, and by whose learner it is judged."""

    def assess(self, batch, context, /):
        names = [f"{e.learner}, judged beside {context.learner.id}" for e in batch]
        return [Feedback(source="names", score=1.0, answer=n) for n in names]


@dataclass
class Listening(ScriptedEngine):
    """A scripted engine that keeps what it was asked; `short` answers fewer than it was asked."""

    asked: tuple = ()
    short: bool = False

    def generate(self, requests, learner, context, /):
        self.asked = (*self.asked, *requests)
        made = super().generate(requests, learner, context)
        return [c[:-1] for c in made] if self.short else made


def fails(request, sample, learner):
    return Completion(text="", tokens=0, finished=False, error="timed out")


def one(score, how=GREEDY, script=None):
    engine = ScriptedEngine(script) if script else ScriptedEngine()
    made = context(engine=engine)
    return answered(made.learner, tasks(1), how, Scores(score), made)[0]


@pytest.mark.parametrize(
    ("score", "outcome"),
    [(1.0, 1.0), (2.0, 1.0), (0.0, 0.0), (0.99, 0.0), (-1.0, 0.0), (None, None)],
)
def test_full_marks_are_right_part_of_them_is_wrong_and_none_stays_none(score, outcome):
    assert one(score).score == outcome


@pytest.mark.parametrize("score", [0.0, 1.0, None])
def test_a_failed_request_could_not_be_judged_whatever_the_checker_says(score):
    outcome = one(score, script=fails)
    assert (outcome.score, outcome.text, outcome.finished) == (None, "", False)


def test_tasks_are_asked_as_the_learner_renders_them_with_the_instruction_last():
    engine = Listening()
    made = context(engine=engine)
    learner = replace(made.learner, prompt="Be brief.")
    answered(learner, tasks(2), replace(GREEDY, instruction="Think."), Scores(1.0), made)
    first = engine.asked[0]
    assert [m.role for m in first.messages] == ["system", "user"]
    assert first.messages[0].content == "Be brief."
    assert first.messages[1].content == "What is 1 + 2 = \n\nThink."
    assert (first.sampling, first.n) == (Sampling(temperature=0, max_tokens=9), 1)


def test_the_draws_of_a_task_hang_on_the_task_and_not_on_its_neighbours():
    engine = Listening()
    made = context(engine=engine)
    answered(made.learner, tasks(3), GREEDY, Scores(1.0), made)
    answered(made.learner, tasks(3)[::-1], GREEDY, Scores(1.0), made)
    keys = [r.key for r in engine.asked]
    assert len(set(keys)) == 3
    assert keys[:3] == keys[:2:-1]


def test_solutions_are_those_of_the_learner_measured_and_judged_in_the_runs_own_context():
    made = context()
    candidate = Learner(base="scripted", adapter="new")
    outcome = answered(candidate, tasks(1), GREEDY, Names(), made)[0]
    assert outcome.answer == f"{candidate.id}, judged beside {made.learner.id}"


def test_there_is_an_outcome_for_every_sample_in_the_order_of_the_tasks():
    made, given = context(), tasks(3)
    outcomes = answered(made.learner, given, replace(GREEDY, n=2), Scores(1.0), made)
    assert [(o.task, o.sample) for o in outcomes] == [(t.id, s) for t in given for s in (0, 1)]
    assert [o.text for o in outcomes[:2]] == ["The answer is 3", "The answer is 4"]


def test_no_task_and_answers_that_do_not_fit_the_questions_are_refused():
    made = context(engine=Listening(short=True))
    with pytest.raises(ComponentError, match="no held-out task"):
        answered(made.learner, (), GREEDY, Scores(1.0), made)
    with pytest.raises(ComponentError, match="gave 3 answers to 2 x 3 requests"):
        answered(made.learner, tasks(3), replace(GREEDY, n=2), Scores(1.0), made)


def test_form_is_an_answer_in_a_text_that_ended_and_not_known_of_the_unjudged():
    good = Outcome(task="a", score=0.0, text="3", answer="3")
    cases = [
        good,
        replace(good, finished=False),
        replace(good, answer=None),
        replace(good, score=None),
    ]
    assert [f for _, f in formed(cases)] == [1.0, 0.0, 0.0, None]


@pytest.mark.parametrize(("missing", "said"), [(0, ()), (5, ("5 of",)), (6, ("WARNING: 6 of",))])
def test_what_could_not_be_judged_is_said_and_loudly_beyond_a_twentieth(missing, said):
    outcomes = [
        Outcome(task=f"t{i}", score=None if i < missing else 1.0, text="") for i in range(100)
    ]
    told = unjudged(outcomes)
    assert len(told) == len(said)
    assert all(t.startswith(s) for t, s in zip(told, said, strict=True))


def test_if_nothing_could_be_judged_there_is_no_report():
    with pytest.raises(ComponentError, match="not one of 1 held-out answers"):
        unjudged([Outcome(task="a", score=None, text="")])
