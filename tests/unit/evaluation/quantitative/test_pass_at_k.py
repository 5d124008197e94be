import numpy as np
import pytest

from instar.acquisition.feedback.environment.answer_match import AnswerMatch
from instar.errors import ComponentError
from instar.evaluation.pairs import pair
from instar.evaluation.quantitative.pass_at_k import PassAtK
from instar.evaluation.statistics import pass_at_k
from instar.testing.fakes import ScriptedEngine, context, tasks
from instar.types import Completion, Sampling

GIVEN = tasks(12)
WRITTEN = {t.messages[-1].content: (i, t.reference) for i, t in enumerate(GIVEN)}
FAILED = Completion(text="", tokens=0, finished=False, error="timed out")


def measured(right, failed=lambda task, sample: False, measure=None, given=GIVEN):
    """Return the report where sample s of task i is right if s < right[i]."""

    def script(request, sample, learner):
        task, reference = WRITTEN[request.messages[-1].content]
        if failed(task, sample):
            return FAILED
        return reference if sample < right[task] else "0"

    made = context(engine=ScriptedEngine(script))
    return (measure or PassAtK(checker=AnswerMatch())).measure(made.learner, given, made)


def test_each_k_is_the_mean_over_tasks_of_the_unbiased_estimate():
    right = [0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 0, 0]
    measure = PassAtK(checker=AnswerMatch(), k=(1, 4, 8))
    report = measured(right, measure=measure)
    assert [s.name for s in report.scores] == ["pass@1", "pass@4", "pass@8"]
    for score, k in zip(report.scores, measure.k, strict=True):
        assert score.value == pytest.approx(np.mean([pass_at_k(8, c, k) for c in right]))
        assert 0 <= score.low < score.value < score.high <= 1
        assert score.n == 12
    assert report.findings == ()


def test_solving_every_task_always_is_not_taken_for_certainty():
    report = measured([8] * 12)
    assert [(s.value, s.high) for s in report.scores] == [(1.0, 1.0), (1.0, 1.0)]
    assert all(0.5 < s.low < 0.95 for s in report.scores)


def test_there_is_an_outcome_for_every_sample_and_the_gate_pairs_the_means():
    report = measured([2] * 12)
    assert len(report.outcomes) == 12 * 8
    assert {o.task for o in report.outcomes} == {t.id for t in GIVEN}
    assert pair(report, measured([4] * 12)).changes == [0.25] * 12


def test_samples_are_drawn_at_the_temperature_and_not_greedily():
    asked = []

    def script(request, sample, learner):
        asked.append((request.sampling, request.n))
        return "0"

    made = context(engine=ScriptedEngine(script))
    measure = PassAtK(checker=AnswerMatch(), k=(1,), samples=3, temperature=0.9, max_tokens=7)
    measure.measure(made.learner, GIVEN, made)
    assert set(asked) == {(Sampling(temperature=0.9, max_tokens=7), 3)}


def test_a_failed_sample_is_left_out_of_its_task_and_not_counted_as_wrong():
    report = measured([8] * 12, failed=lambda task, sample: task == 0 and sample == 5)
    first, eighth = report.scores
    assert (first.value, first.n) == (1.0, 12)
    assert (eighth.value, eighth.n) == (1.0, 11)
    assert report.findings == (
        "1 of 96 answers could not be judged and are left out",
        "pass@8 leaves out 1 of 12 tasks with fewer than 8 judged samples",
    )


def test_a_task_without_a_judged_sample_is_in_no_score():
    report = measured([0] + [8] * 11, failed=lambda task, sample: task == 0)
    assert [(s.value, s.n) for s in report.scores] == [(1.0, 11), (1.0, 11)]
    assert report.findings[1].startswith("pass@1 leaves out 1 of 12")


def test_a_k_that_no_task_can_give_is_an_error_and_not_0():
    with pytest.raises(ComponentError, match="pass@8: not one of 12 tasks has 8 judged samples"):
        measured([8] * 12, failed=lambda task, sample: sample == 0)
    with pytest.raises(ComponentError, match="not one of 96"):
        measured([8] * 12, failed=lambda task, sample: True)


def test_the_same_learner_has_the_same_report():
    assert measured([3] * 12) == measured([3] * 12)


@pytest.mark.parametrize("k", [(), (0,), (1, 9), (-1, 2)])
def test_a_k_that_the_samples_cannot_give_is_refused(k):
    with pytest.raises(ValueError, match="expected numbers from 1 to 8"):
        PassAtK(checker=AnswerMatch(), k=k)


def test_a_temperature_no_engine_can_honour_is_refused():
    with pytest.raises(ValueError, match="temperature is -1"):
        PassAtK(checker=AnswerMatch(), temperature=-1)
