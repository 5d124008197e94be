import pickle
from dataclasses import dataclass, replace

import pytest

from instar.acquisition.feedback.environment.answer_match import AnswerMatch
from instar.errors import ComponentError
from instar.evaluation.quantitative.accuracy import Accuracy
from instar.evaluation.statistics import wilson
from instar.testing.fakes import ScriptedEngine, context, said, tasks
from instar.types import Completion, Feedback

MEASURE = Accuracy(checker=AnswerMatch())


def measured(answers, given, measure=MEASURE):
    """Return the report of a learner that answers the given tasks so; what is None, it fails."""
    prompts = {t.messages[-1].content: a for t, a in zip(given, answers, strict=True)}
    script = said({p: a for p, a in prompts.items() if a is not None})
    made = context(engine=ScriptedEngine(script))
    return measure.measure(made.learner, given, made)


def named(report):
    return {s.name: s for s in report.scores}


def test_accuracy_comes_first_with_its_wilson_interval_then_form():
    given = tasks(20)
    answers = [t.reference for t in given[:5]] + ["no number"] * 3 + ["0"] * 12
    report = measured(answers, given)
    first, second = report.scores[:2]
    assert (first.name, first.value, first.n) == ("accuracy", 0.25, 20)
    assert (first.low, first.high) == wilson(5, 20)
    assert (second.name, second.value, second.n) == ("form", 17 / 20, 20)
    assert report.findings == ()


def test_there_is_an_outcome_for_every_task_in_order_with_what_was_said():
    given = tasks(3)
    report = measured(["so 3", "4", None], given)
    assert [o.task for o in report.outcomes] == [t.id for t in given]
    assert [o.score for o in report.outcomes] == [1.0, 0.0, None]
    assert [o.text for o in report.outcomes] == ["so 3", "4", ""]
    assert [o.answer for o in report.outcomes] == ["3", "4", None]
    assert report.outcomes[0].tokens == 2


def test_a_failed_answer_is_left_out_of_every_share_and_not_counted_as_wrong():
    given = tasks(20)
    report = measured([t.reference for t in given[:19]] + [None], given)
    scores = named(report)
    assert (scores["accuracy"].value, scores["accuracy"].n) == (1.0, 19)
    assert (scores["form"].value, scores["form"].n) == (1.0, 19)
    assert (scores["accuracy[digits:1]"].value, scores["accuracy[digits:1]"].n) == (1.0, 19)
    assert report.findings == ("1 of 20 answers could not be judged and are left out",)


def test_many_failures_are_said_loudly_and_nothing_but_failures_is_no_report():
    given = tasks(12)
    report = measured([t.reference for t in given[:10]] + [None] * 2, given)
    assert report.findings[0].startswith("WARNING: 2 of 12")
    with pytest.raises(ComponentError, match="not one of 12"):
        measured([None] * 12, given)


def test_a_text_that_did_not_end_may_be_right_but_has_no_form():
    cut = Completion(text="The answer is 3", tokens=4, finished=False)
    made = context(engine=ScriptedEngine(lambda request, sample, learner: cut))
    scores = named(MEASURE.measure(made.learner, tasks(1), made))
    assert (scores["accuracy"].value, scores["form"].value) == (1.0, 0.0)


def test_a_tag_is_reported_from_ten_judged_tasks_on():
    given = [
        replace(t, tags=(*(["ten"] if i < 10 else ["nine"]), *(["half"] if i % 2 else [])))
        for i, t in enumerate(tasks(20))
    ]
    report = measured([t.reference for t in given[:15]] + ["0"] * 4 + [None], given)
    scores = named(report)
    assert set(scores) == {"accuracy", "form", "accuracy[ten]"}
    assert scores["accuracy[ten]"].value == 1.0
    report = measured([t.reference for t in given[:15]] + ["0"] * 5, given)
    scores = named(report)
    assert [s.name for s in report.scores][2:] == sorted(s for s in scores if "[" in s)
    assert (scores["accuracy[nine]"].value, scores["accuracy[half]"].value) == (0.5, 0.7)


@dataclass(frozen=True)
class Half:
    """Give half the marks to everything."""

    def assess(self, batch, context, /):
        return [Feedback(source="half", score=0.5) for _ in batch]


def test_part_of_the_marks_is_not_right_in_the_share_nor_for_the_gate():
    made = context()
    report = Accuracy(checker=Half()).measure(made.learner, tasks(4), made)
    assert report.scores[0].value == 0.0
    assert {o.score for o in report.outcomes} == {0.0}


@dataclass(frozen=True)
class Trips:
    """A checker that raises on one task, as a plug-in may."""

    def assess(self, batch, context, /):
        if any(e.task.reference == "3" for e in batch):
            raise KeyError("unheard of")
        return AnswerMatch().assess(batch, context)


def test_a_task_the_checker_trips_over_could_not_be_judged():
    given = tasks(4)
    report = measured([t.reference for t in given], given, Accuracy(checker=Trips()))
    assert [o.score for o in report.outcomes] == [None, 1.0, 1.0, 1.0]
    assert report.scores[0].n == 3


def test_hostile_answers_are_judged_like_any_other():
    given = tasks(5)
    answers = ["9" * 100_000, "\x1b[2J\ud800", "nan", '{"a":' * 5_000, "\u0663"]
    report = measured(answers, given)
    assert report.scores[0].n == 5
    assert all(s.low <= s.value <= s.high for s in report.scores)


def test_the_same_learner_has_the_same_report_and_the_measure_pickles():
    made = context()
    one, two = (MEASURE.measure(made.learner, tasks(6), made) for _ in range(2))
    assert one == two
    assert one.learner == made.learner.id
    assert pickle.loads(pickle.dumps(MEASURE)) == MEASURE


def test_no_task_is_no_report_and_no_length_no_measure():
    made = context()
    with pytest.raises(ComponentError, match="no held-out task"):
        MEASURE.measure(made.learner, (), made)
    with pytest.raises(ValueError, match="max_tokens is 0"):
        Accuracy(checker=AnswerMatch(), max_tokens=0)
