from dataclasses import replace

import pytest
from store_values import BASE, FIRST, RIVAL, SECOND, Writer, batch, sample, task, whole_run

from instar.errors import UsageError
from instar.store.ledger import SqliteLedger
from instar.store.queries import lessons, trace
from instar.types import Experience


@pytest.fixture
def ledger(tmp_path):
    made = SqliteLedger(tmp_path / "l")
    yield made
    made.close()


@pytest.fixture
def run(ledger):
    whole_run(ledger)
    return ledger


def test_a_task_is_traced_by_its_name_its_id_and_the_start_of_it(run):
    found = trace(run, "sum-2")
    assert found.task == task(2)
    assert trace(run, task(2).id) == found
    assert trace(run, task(2).id[:8]) == found


def test_the_trace_of_a_task_holds_all_of_its_samples_and_no_others(run):
    found = trace(run, "sum-2")
    drawn = [e for by, i in ((BASE, 1), (RIVAL, 1), (FIRST, 2), (RIVAL, 2)) for e in batch(by, i)]
    assert [s.experience for s in found.stories] == [e for e in drawn if e.task == task(2)]


def test_a_story_goes_from_feedback_over_decisions_to_the_learners_trained(run):
    found = trace(run, "sum-0")
    by = {(s.experience.learner, s.experience.solution.sample): s for s in found.stories}
    kept = by[BASE.id, 0]
    assert [(f.source, f.score) for f in kept.feedback] == [("match", 1.0)]
    assert [(d.filter, d.keep, d.reason) for d in kept.decisions] == [
        ("Score", True, "sample 0"),
        ("Two", True, "sample 0"),
    ]
    assert kept.trained == (FIRST.id,)
    dropped = by[BASE.id, 2]
    assert [(d.filter, d.keep) for d in dropped.decisions] == [("Score", False)]
    assert dropped.trained == ()
    failed = by[BASE.id, 3]
    assert failed.experience.solution.error == "the request timed out"
    assert [f.score for f in failed.feedback] == [None]


def test_the_trace_of_a_sample_holds_it_with_its_parents_and_children(run):
    drawn = batch(BASE, 1)
    child = replace(drawn[0], made_by="correct", parents=(drawn[0].id,))
    run.record("correct", "correct", 1, [child], 0.0)
    assert [s.experience for s in trace(run, drawn[0].id).stories] == [drawn[0], child]
    assert [s.experience for s in trace(run, child.id[:10]).stories] == [drawn[0], child]
    assert [s.experience for s in trace(run, drawn[1].id).stories] == [drawn[1]]
    assert trace(run, drawn[1].id).task == drawn[1].task


def test_a_sample_that_two_steps_made_is_told_once(run):
    run.record("again", "solve", 1, batch(BASE, 1)[:3], 0.0)
    found = [s.experience.id for s in trace(run, "sum-0").stories]
    assert len(found) == len(set(found))


def test_a_task_that_came_twice_is_in_the_split_it_was_put_in(run):
    found = trace(run, "sum-1")
    assert found.split == "train; duplicate (as sum-1)"
    assert trace(run, "sum-2").split == "train"


def test_a_task_that_a_proposer_made_is_traced_too(run):
    new = replace(task(50), name="", parents=(task(1).id,))
    run.record("new", "propose", 3, [new], 0.0)
    run.record("new solve", "solve", 3, [sample(new, 0)], 0.0)
    found = trace(run, new.id)
    assert (found.task, found.split) == (new, "unplaced")
    assert len(found.stories) == 1


def test_a_held_out_task_is_traced_to_what_each_learner_did_on_it(run):
    found = trace(run, "sum-8")
    assert found.split == "gate"
    assert found.stories == ()
    learners = [learner for learner, _ in found.outcomes]
    assert learners == [BASE.id, FIRST.id, RIVAL.id, SECOND.id, RIVAL.id, FIRST.id]
    assert {o.text for _, o in found.outcomes} == {"16"}


@pytest.mark.parametrize(
    "text", ["", "sum-77", "zzzzzz", "%", "sum-%", "____", "\ud800\ud800", "0" * 5000, "'; --"]
)
def test_what_nothing_goes_by_is_a_usage_error(run, text):
    with pytest.raises(UsageError, match="nothing in this run goes by"):
        trace(run, text)


def test_three_digits_of_an_id_are_too_few(run):
    with pytest.raises(UsageError, match="nothing"):
        trace(run, task(2).id[:3])


def test_a_name_that_several_tasks_have_is_a_usage_error(ledger):
    twins = [replace(task(n), name="twin") for n in (1, 2)]
    ledger.record("p", "propose", 1, twins, 0.0)
    with pytest.raises(UsageError, match="2 go by 'twin'"):
        trace(ledger, "twin")


def test_one_task_under_two_names_is_found_by_both(ledger):
    ledger.record("p", "propose", 1, [replace(task(1), name=n) for n in ("one", "uno")], 0.0)
    assert trace(ledger, "one").task.id == trace(ledger, "uno").task.id == task(1).id


def test_a_name_of_any_characters_is_found(ledger):
    odd = replace(task(1), name='é"\\\ud800\n')
    ledger.record("p", "propose", 1, [odd], 0.0)
    assert trace(ledger, 'é"\\\ud800\n').task == odd


def test_a_learner_is_no_task_and_the_error_says_where_to_look(run):
    with pytest.raises(UsageError, match=f"{FIRST.id} is a learner.*instar show"):
        trace(run, FIRST.id[:8])


def test_the_lessons_of_a_learner_are_what_it_was_trained_on_in_order(run):
    told = lessons(run, FIRST.id)
    assert [s.experience for s in told] == batch(BASE, 1)[:2]
    assert all(FIRST.id in s.trained for s in told)
    assert lessons(run, BASE.id) == ()


def test_a_trace_reads_the_same_while_the_run_goes_on(run, tmp_path):
    writer = Writer(run)
    reader = SqliteLedger(tmp_path / "l", writable=False)
    before = trace(reader, "sum-2")
    writer.turn(3, FIRST, SECOND, accepted=False)
    assert trace(reader, "sum-2") == before
    assert len(trace(run, "sum-2").stories) == len(before.stories) + 4
    assert run.recall("3 solve", Experience)
