import itertools
import math
import sqlite3
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_values import BASE, ROWS, Writer, assessed, batch, report, sample, sifted, task

from instar.errors import StoreError, UsageError
from instar.store.ledger import SqliteLedger
from instar.types import (
    Assessed,
    Experience,
    Feedback,
    Outcome,
    Placed,
    Report,
    Sifted,
    Task,
    Trained,
)


@pytest.fixture
def ledger(tmp_path):
    made = SqliteLedger(tmp_path / "ledger.sqlite")
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    made = SqliteLedger(tmp_path_factory.mktemp("shared") / "ledger.sqlite")
    made.connection.execute("PRAGMA synchronous = OFF")  # many examples; durability has its tests
    yield made
    made.close()


keys = itertools.count()


def exact(value):
    """Equal only if equal in type too: the content hash of 1 is not that of 1.0."""
    return repr(value)


@pytest.mark.parametrize("kind", ROWS)
def test_what_is_recalled_is_what_was_recorded(kind, shared):
    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(ROWS[kind], min_size=1, max_size=4))
    def law(rows):
        key = f"{kind.__name__} {next(keys)}"
        shared.record(key, "step", 1, rows, 0.5)
        found = shared.recall(key, kind)
        assert found == tuple(rows)
        assert exact(found) == exact(tuple(rows))

    law()


def test_an_experience_keeps_its_id_where_a_number_is_whole(ledger):
    made = sample(task(1), 0)
    assert made.solution.sampling.temperature == 1
    assert isinstance(made.solution.sampling.temperature, int)
    ledger.record("k", "solve", 1, [made], 0.0)
    assert ledger.recall("k", Experience)[0].id == made.id


def test_the_file_is_safe_against_a_power_cut(ledger):
    names = ("journal_mode", "synchronous", "page_size")
    assert [ledger.ask(f"PRAGMA {n}")[0][0] for n in names] == ["wal", 2, 8192]


def test_a_row_survives_closing_the_file(tmp_path):
    first = SqliteLedger(tmp_path / "l")
    first.record("k", "solve", 1, batch(BASE, 1), 0.0)
    first.close()
    assert SqliteLedger(tmp_path / "l").recall("k", Experience) == tuple(batch(BASE, 1))


def test_a_step_that_never_finished_is_none_and_an_empty_one_is_empty(ledger):
    assert ledger.recall("k", Experience) is None
    ledger.record("k", "correct", 1, [], 0.0)
    assert ledger.recall("k", Experience) == ()
    assert ledger.recall("k", Sifted) == ()


def test_recording_equal_rows_again_changes_nothing(ledger):
    ledger.record("k", "solve", 1, batch(BASE, 1), 1.0)
    before = ledger.content(), ledger.seconds()
    ledger.record("k", "solve", 1, batch(BASE, 1), 9.0)
    assert (ledger.content(), ledger.seconds()) == before


@pytest.mark.parametrize(
    "other",
    [
        [],
        batch(BASE, 1)[:-1],
        batch(BASE, 1)[::-1],
        batch(BASE, 2),
        [assessed(e) for e in batch(BASE, 1)],
    ],
    ids=["none", "fewer", "reordered", "others", "another kind"],
)
def test_recording_other_rows_under_the_same_key_is_refused(ledger, other):
    ledger.record("k", "solve", 1, batch(BASE, 1), 0.0)
    before = ledger.content()
    with pytest.raises(StoreError, match="step k is recorded with other rows"):
        ledger.record("k", "solve", 1, other, 0.0)
    assert ledger.content() == before


def test_recording_rows_where_an_empty_step_is_recorded_is_refused(ledger):
    ledger.record("k", "correct", 1, [], 0.0)
    ledger.record("k", "correct", 1, [], 0.0)
    with pytest.raises(StoreError, match="other rows"):
        ledger.record("k", "correct", 1, batch(BASE, 1), 0.0)


def test_a_number_that_is_nan_equals_itself(ledger):
    lost = Report(
        learner="m",
        split="gate",
        scores=(),
        outcomes=(Outcome(task="t", score=math.nan, text=""),),
    )
    ledger.record("k", "evaluate", 1, [lost], 0.0)
    ledger.record("k", "evaluate", 1, [lost], 0.0)
    assert math.isnan(ledger.recall("k", Report)[0].outcomes[0].score)


def test_a_step_holds_rows_of_one_kind(ledger):
    with pytest.raises(StoreError, match="rows of one kind, not Experience and Task"):
        ledger.record("k", "solve", 1, [task(1), sample(task(1), 0)], 0.0)
    assert ledger.recall("k", Task) is None


def test_a_ledger_says_what_it_has_no_table_for(ledger):
    with pytest.raises(StoreError, match="no table for a Feedback"):
        ledger.record("k", "assess", 1, [Feedback(source="s", score=1.0)], 0.0)


def test_rows_are_recalled_as_the_kind_they_are(ledger):
    ledger.record("k", "solve", 1, batch(BASE, 1), 0.0)
    with pytest.raises(StoreError, match="step k holds Experience, not Sifted"):
        ledger.recall("k", Sifted)


def test_feedback_is_no_part_of_a_recorded_experience(ledger):
    bare = sample(task(1), 0)
    judged = replace(bare, feedback=(Feedback(source="match", score=1.0),))
    ledger.record("k", "solve", 1, [judged], 0.0)
    assert ledger.recall("k", Experience) == (bare,)
    ledger.record("k", "solve", 1, [judged], 0.0)
    ledger.record("k", "solve", 1, [bare], 0.0)
    stored = [text for (text,) in ledger.ask("SELECT json FROM experience")]
    assert "feedback" not in stored[0]


def test_the_same_experience_may_come_from_two_steps(ledger):
    made = sample(task(1), 0)
    ledger.record("one", "solve", 1, [made, sample(task(2), 0)], 0.0)
    ledger.record("two", "solve", 1, [made], 0.0)
    assert ledger.recall("two", Experience) == (made,)
    assert ledger.recall("one", Experience)[0] == made


def test_a_task_is_kept_once_however_many_samples_it_has(ledger):
    ledger.record("s", "split", 0, [Placed(task=task(n), split="train") for n in range(4)], 0.0)
    ledger.record("k", "solve", 1, batch(BASE, 1), 0.0)
    assert ledger.ask("SELECT count(*) FROM task") == [(4,)]


def test_tasks_that_differ_only_beside_their_id_stay_apart(ledger):
    named = [replace(task(1), name=name, tags=(name,)) for name in ("a", "b", "a")]
    assert len({t.id for t in named}) == 1
    ledger.record("k", "propose", 1, named, 0.0)
    assert ledger.recall("k", Task) == tuple(named)


def test_a_refused_row_leaves_the_ledger_as_it_was(ledger):
    good, before = batch(BASE, 1), ledger.content()
    bad = replace(good[0], solution=replace(good[0].solution, logprob=np.float32(-1)))
    with pytest.raises(StoreError, match="a float32 has no canonical form, and cannot be recorded"):
        ledger.record("k", "solve", 1, [*good, bad], 0.0)
    assert ledger.content() == before
    assert ledger.recall("k", Experience) is None
    ledger.record("k", "solve", 1, good, 0.0)


def test_a_reason_that_is_no_text_is_refused(ledger):
    made = sifted(sample(task(1), 0), "Mine", True)
    with pytest.raises(StoreError, match="a NoneType cannot be recorded where text belongs"):
        ledger.record("k", "filter", 1, [replace(made, reason=None)], 0.0)


def test_a_number_beyond_the_file_format_is_refused(ledger):
    made = sample(task(1), 0)
    huge = replace(made, solution=replace(made.solution, tokens=2**70))
    with pytest.raises(StoreError, match="too large"):
        ledger.record("k", "solve", 1, [huge], 0.0)


def test_a_full_disk_is_said_and_costs_only_the_running_step(ledger):
    ledger.record("small", "solve", 1, batch(BASE, 1), 0.0)
    pages = ledger.ask("PRAGMA page_count")[0][0]
    ledger.connection.execute(f"PRAGMA max_page_count = {pages + 1}")
    large = [sample(task(n), 0, text="word " * 2000) for n in range(50)]
    with pytest.raises(StoreError, match="the disk is full; make room and resume"):
        ledger.record("large", "solve", 1, large, 0.0)
    assert ledger.recall("small", Experience) == tuple(batch(BASE, 1))
    assert ledger.recall("large", Experience) is None
    ledger.connection.execute("PRAGMA max_page_count = 1000000")
    ledger.record("large", "solve", 1, large, 0.0)
    assert ledger.recall("large", Experience) == tuple(large)


def test_a_file_that_is_no_database_is_named(tmp_path):
    (tmp_path / "l").write_bytes(b"not a database, but long enough to be one " * 50)
    for writable in (True, False):
        with pytest.raises(StoreError, match=r"/l: it is no ledger of instar"):
            SqliteLedger(tmp_path / "l", writable)


def test_a_database_of_something_else_is_left_alone(tmp_path):
    db = sqlite3.connect(tmp_path / "l")
    db.execute("CREATE TABLE mine (x)")
    db.commit()
    for writable in (True, False):
        with pytest.raises(UsageError, match="is a database, but not a ledger of instar"):
            SqliteLedger(tmp_path / "l", writable)
    assert db.execute("SELECT name FROM sqlite_master").fetchall() == [("mine",)]
    db.close()


def test_a_damaged_page_is_an_error_and_no_wrong_answer(tmp_path):
    made = SqliteLedger(tmp_path / "l")
    many = [sample(task(n), 0, text="word " * 500) for n in range(100)]
    made.record("k", "solve", 1, many, 0.0)
    made.close()
    data = bytearray((tmp_path / "l").read_bytes())
    data[20 * 8192 : 60 * 8192] = bytes(40 * 8192)
    (tmp_path / "l").write_bytes(data)
    with pytest.raises(StoreError, match="damaged"):
        SqliteLedger(tmp_path / "l").recall("k", Experience)


def test_a_row_that_was_edited_by_hand_is_an_error(ledger):
    ledger.record("k", "solve", 1, [sample(task(1), 0)], 0.0)
    ledger.connection.execute("UPDATE experience SET json = '{}'")
    with pytest.raises(StoreError, match="cannot be read back"):
        ledger.recall("k", Experience)


def test_a_row_that_was_deleted_by_hand_is_an_error(ledger):
    ledger.record("k", "solve", 1, batch(BASE, 1), 0.0)
    ledger.connection.execute("DELETE FROM experience WHERE row = 3")
    with pytest.raises(StoreError, match="step k has 15 of its 16 rows"):
        ledger.recall("k", Experience)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    for writable in (True, False):
        with pytest.raises(StoreError, match=r"none/l: it cannot be opened"):
            SqliteLedger(tmp_path / "none" / "l", writable)


def test_a_name_that_means_something_in_an_address_is_only_a_name(tmp_path):
    odd = tmp_path / "a?mode=ro#é %41"
    odd.mkdir()
    SqliteLedger(odd / "l").set_meta("k", "v")
    assert (odd / "l").is_file()
    assert SqliteLedger(odd / "l", writable=False).get_meta("k") == "v"


def test_a_reader_cannot_write(tmp_path):
    SqliteLedger(tmp_path / "l").close()
    reader = SqliteLedger(tmp_path / "l", writable=False)
    with pytest.raises(StoreError, match="was opened for reading only"):
        reader.record("k", "solve", 1, batch(BASE, 1), 0.0)


def test_a_reader_sees_one_moment(tmp_path):
    writer = SqliteLedger(tmp_path / "l")
    writer.record("a", "solve", 1, batch(BASE, 1), 0.0)
    reader = SqliteLedger(tmp_path / "l", writable=False)
    assert reader.recall("a", Experience)
    writer.record("b", "solve", 1, batch(BASE, 2), 0.0)
    assert reader.recall("b", Experience) is None
    reader.close()
    assert SqliteLedger(tmp_path / "l", writable=False).recall("b", Experience)


def test_small_strings_are_kept_as_they_are(tmp_path):
    ledger = SqliteLedger(tmp_path / "l")
    assert ledger.get_meta("folder") is None
    ledger.set_meta("folder", "/home/\udce9t\xe9/\n")
    ledger.set_meta("seed", "1")
    ledger.set_meta("seed", "2")
    ledger.close()
    again = SqliteLedger(tmp_path / "l", writable=False)
    assert again.get_meta("folder") == "/home/\udce9t\xe9/\n"
    assert again.manifest() == {"folder": "/home/\udce9t\xe9/\n", "seed": "2"}


def test_the_time_spent_is_that_of_all_steps(ledger):
    assert ledger.seconds() == 0
    writer = Writer(ledger, seconds=0.25)
    writer.begin()
    assert ledger.seconds() == 1.0


def test_the_tokens_of_a_step_are_counted_when_it_is_recorded(ledger):
    ledger.record("solve", "solve", 1, batch(BASE, 1), 0.0)
    ledger.record("gate", "evaluate", 1, [report(BASE, 0.5)], 0.0)
    ledger.record("assess", "assess", 1, [assessed(e) for e in batch(BASE, 1)], 0.0)
    found = dict(ledger.ask("SELECT key, tokens FROM steps"))
    assert found == {"solve": 12 * 5, "gate": 2 * 3, "assess": 0}


def test_rows_of_many_steps_do_not_mix(ledger):
    for i in range(20):
        made = batch(BASE, i)[: i % 3 + 1]
        ledger.record(f"s{i}", "solve", i, made, 0.0)
        ledger.record(f"a{i}", "assess", i, [assessed(e) for e in made], 0.0)
        ledger.record(f"t{i}", "update", i, [Trained(learner=BASE, rows=(str(i),))], 0.0)
    for i in range(20):
        made = batch(BASE, i)[: i % 3 + 1]
        assert ledger.recall(f"s{i}", Experience) == tuple(made)
        assert ledger.recall(f"a{i}", Assessed) == tuple(assessed(e) for e in made)
        assert ledger.recall(f"t{i}", Trained)[0].rows == (str(i),)
