import pytest
from store_values import BASE, FIRST, RIVAL, SECOND, Writer, batch, task, verdict, whole_run
from store_values import report as gate_report

from instar.errors import UsageError
from instar.store.ledger import SqliteLedger
from instar.store.queries import (
    REASONS,
    find_learner,
    funnel,
    head,
    held_out,
    history,
    learners,
    report,
)
from instar.types import Learner, Sifted, Trained


@pytest.fixture
def ledger(tmp_path):
    made = SqliteLedger(tmp_path / "l")
    yield made
    made.close()


@pytest.fixture
def run(ledger):
    whole_run(ledger)
    return ledger


def test_the_history_holds_every_learner_oldest_first(run):
    found = [(e.iteration, e.arm, e.learner, e.accepted) for e in history(run)]
    assert found == [
        (0, "base", BASE.id, None),
        (1, "method", FIRST.id, True),
        (1, "control", RIVAL.id, None),
        (2, "method", SECOND.id, False),
        (2, "control", RIVAL.id, None),
    ]


def test_an_entry_says_what_the_learner_is_and_why_it_was_promoted(run):
    first = history(run)[1]
    assert (first.parents, first.adapter) == ((BASE.id,), "a" * 20)
    assert first.reason == "better in 1"
    assert (first.accuracy.name, first.accuracy.value, first.accuracy.n) == (
        "accuracy",
        0.2 + 1 / 10,
        2,
    )
    assert first.rows_trained == 2
    assert first.made.startswith("20")


def test_the_history_reads_the_gate_split_not_the_sealed_one(run):
    assert [e.accuracy.value for e in history(run) if e.learner == FIRST.id] == [0.2 + 1 / 10]


def test_each_arm_of_an_iteration_is_told_its_own_cost(run):
    cost = {(e.iteration, e.arm): (e.tokens, e.seconds) for e in history(run)}
    drawn, measured = 12 * 5, 2 * 3
    assert cost[0, "base"] == (measured, 4.0)
    assert cost[1, "method"] == (drawn + measured, 8.0)
    assert cost[1, "control"] == (drawn + measured, 5.0)
    assert cost[2, "control"] == (drawn + measured, 5.0), "opening the sealed split is no arm's"


def test_only_the_head_is_marked(run):
    assert [e.learner for e in history(run) if e.head] == [FIRST.id]


def test_an_iteration_that_kept_nothing_is_in_the_history(ledger):
    writer = Writer(ledger)
    writer.begin()
    writer("1 decide", "decide", 1, verdict(BASE, BASE, False, 1))
    found = history(ledger)
    assert [(e.iteration, e.learner, e.accepted, e.rows_trained) for e in found] == [
        (0, BASE.id, None, 0),
        (1, BASE.id, False, 0),
    ]
    assert [e.head for e in found] == [True, False]
    assert find_learner(ledger, "1") == BASE


def test_a_ledger_before_its_first_step_has_no_history(ledger):
    assert history(ledger) == []


def test_a_learner_that_was_not_measured_yet_has_no_accuracy(ledger):
    writer = Writer(ledger)
    writer.turn(1, BASE, FIRST, accepted=True)
    ledger.connection.execute("DELETE FROM report")
    assert history(ledger)[0].accuracy is None


def test_the_head_is_the_last_one_promoted(ledger):
    writer = Writer(ledger)
    writer.begin()
    assert head(ledger) == BASE.id
    writer.turn(1, BASE, FIRST, accepted=True)
    assert head(ledger) == FIRST.id
    writer.turn(2, FIRST, SECOND, accepted=False)
    assert head(ledger) == FIRST.id


def test_a_moved_head_holds_until_a_later_iteration_promotes(ledger):
    writer = Writer(ledger)
    writer.begin()
    writer.turn(1, BASE, FIRST, accepted=True)
    ledger.move_head(BASE.id, 1, "rollback")
    assert head(ledger) == BASE.id
    writer.turn(2, BASE, SECOND, accepted=False)
    assert head(ledger) == BASE.id
    writer.turn(3, BASE, RIVAL, accepted=True)
    assert head(ledger) == RIVAL.id
    ledger.move_head(FIRST.id, 3, "rollback")
    assert head(ledger) == FIRST.id


def test_a_run_that_has_not_begun_has_no_head(ledger):
    with pytest.raises(UsageError, match="has not begun"):
        head(ledger)


@pytest.mark.parametrize(
    ("text", "learner"),
    [
        ("base", BASE),
        ("head", FIRST),
        ("0", BASE),
        ("1", FIRST),
        ("2", SECOND),
        (SECOND.id, SECOND),
        (SECOND.id[:6], SECOND),
        (RIVAL.id[:6], RIVAL),
    ],
)
def test_a_learner_is_found_by_every_name_it_has(run, text, learner):
    assert find_learner(run, text) == learner


@pytest.mark.parametrize(
    "text", ["", "999", "bsae", "heda", "zzzz", "%", "²", "\ud800", "9" * 5000]
)
def test_a_name_that_no_learner_has_is_a_usage_error(run, text):
    with pytest.raises(UsageError, match="the run has no learner"):
        find_learner(run, text)


def test_the_nearest_name_is_offered(run):
    with pytest.raises(UsageError, match="did you mean 'base'"):
        find_learner(run, "bse")
    with pytest.raises(UsageError, match="did you mean"):
        find_learner(run, SECOND.id[:-3] + "zzz")


def test_the_start_of_several_ids_names_them(ledger):
    many = [Learner(base=str(n)) for n in range(17)]  # sixteen digits: two begin alike
    twins = next([a.id, b.id] for a in many for b in many if a.id < b.id and a.id[0] == b.id[0])
    rows = [Trained(learner=m, rows=(), arm="base") for m in many]
    ledger.record("k", "update", 1, rows, 0.0)
    with pytest.raises(UsageError, match="is the start of") as told:
        find_learner(ledger, twins[0][0])
    assert all(i in str(told.value) for i in twins)


def test_learners_come_with_all_they_were_trained_on(run):
    found = learners(run)
    assert [(i, t.learner.id, t.arm, len(t.rows)) for i, t in found] == [
        (0, BASE.id, "base", 0),
        (1, FIRST.id, "method", 2),
        (1, RIVAL.id, "control", 1),
        (2, SECOND.id, "method", 2),
        (2, RIVAL.id, "control", 1),
    ]


def test_a_report_is_the_last_one_of_that_learner_on_that_split(run):
    assert report(run, FIRST.id, "gate") == gate_report(FIRST, 0.2 + 1 / 10)
    assert report(run, FIRST.id, "sealed") == gate_report(FIRST, 0.5, "sealed")
    assert report(run, SECOND.id, "sealed") is None
    assert report(run, "\ud800", "gate") is None
    run.record("again", "evaluate", 2, [gate_report(FIRST, 0.9)], 0.0)
    assert report(run, FIRST.id, "gate") == gate_report(FIRST, 0.9)


def test_the_tasks_of_a_split_are_found_by_id(run):
    assert held_out(run, "gate") == {task(n).id: task(n) for n in (8, 9)}
    assert held_out(run, "sealed") == {}


def test_the_funnel_counts_what_the_method_did_and_not_the_control(run):
    assert funnel(run, 1) == {
        "proposed": 4,
        "sampled": 16,
        "failed": 4,
        "judged": 12,
        "Score: kept": 8,
        "Score: dropped": 8,
        "Score: dropped, sample 2": 4,
        "Score: dropped, sample 3": 4,
        "Two: kept": 2,
        "Two: dropped": 6,
        "Two: dropped, sample 0": 3,
        "Two: dropped, sample 1": 3,
        "trained": 2,
    }


def test_the_funnel_counts_an_experience_once_however_many_steps_made_it(ledger, run):
    whole = funnel(run, 1)
    writer = Writer(ledger)
    writer("a smaller batch", "solve", 3, *batch(FIRST, 3)[:5])
    writer.turn(3, FIRST, SECOND, accepted=True)
    assert funnel(ledger, 3) == whole


def test_the_funnel_of_a_run_that_goes_on_counts_what_is_there(ledger):
    writer = Writer(ledger)
    writer.begin()
    writer("1 propose", "propose", 1, *(task(n) for n in range(4)))
    assert funnel(ledger, 1) == {
        "proposed": 4,
        "sampled": 0,
        "failed": 0,
        "judged": 0,
        "trained": 0,
    }


def test_a_filter_with_many_reasons_names_only_the_most_frequent(ledger):
    drawn = batch(BASE, 1)
    rows = [
        Sifted(experience=e.id, filter="F", keep=False, reason=f"r{min(i, 9)}")
        for i, e in enumerate(drawn)
    ]
    ledger.record("f", "filter", 1, rows, 0.0)
    found = funnel(ledger, 1)
    assert found["F: dropped"] == len(drawn)
    assert next(n for n in found if n.startswith("F: dropped, ")) == "F: dropped, r9"
    assert sum(name.startswith("F: dropped, ") for name in found) == REASONS
