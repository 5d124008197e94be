import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from instar.errors import StoreError, UsageError
from instar.store.codec import decode, encode
from instar.store.ledger import SqliteLedger
from instar.store.schema import MIGRATIONS
from instar.testing.fakes import experiences, tasks
from instar.types import (
    Assessed,
    Feedback,
    Learner,
    Message,
    Opening,
    Outcome,
    Placed,
    Report,
    Score,
    Sifted,
    Task,
    Trained,
    Verdict,
)

HOSTILE = "\x00\x1b[2J\u202e\ud800\U0001f600'\"; DROP TABLE steps; --"
ROWS = {
    "placed": [Placed(task=t, split="gate", reason=HOSTILE) for t in tasks()],
    "proposed": list(tasks()),
    "experience": [replace(e, feedback=()) for e in experiences()],
    "assessed": [
        Assessed(
            experience="e",
            feedback=(Feedback(source="a", score=None, critique=HOSTILE, answer="1"),),
        )
    ],
    "sifted": [Sifted(experience="e", filter="f", keep=False, reason=HOSTILE)],
    "trained": [Trained(learner=Learner(base="m", adapter="a", parents=("p",)), rows=("e", "f"))],
    "report": [
        Report(
            learner="m",
            split="gate",
            scores=(Score(name="accuracy", value=0.5, low=0.4, high=0.6, n=2),),
            outcomes=(Outcome(task="t", score=None, text=HOSTILE),),
            findings=(HOSTILE,),
        )
    ],
    "verdict": [
        Verdict(candidate="c", current="m", accepted=True, reason="r", evidence=(("p", 0.01),))
    ],
    "opening": [Opening(learner="m", reason=HOSTILE)],
}


@pytest.fixture
def ledger(tmp_path):
    made = SqliteLedger(tmp_path / "ledger.sqlite")
    yield made
    made.close()


@pytest.mark.parametrize("name", ROWS)
def test_what_is_recorded_is_recalled_equal_and_in_order(ledger, name):
    rows = ROWS[name]
    ledger.record("key", "step", 1, rows, 0.1)
    assert ledger.recall("key", type(rows[0])) == tuple(rows)


def test_an_unfinished_step_is_none_and_an_empty_one_is_empty(ledger):
    assert ledger.recall("key", Task) is None
    ledger.record("key", "step", 1, (), 0.1)
    assert ledger.recall("key", Task) == ()


def test_recording_again_changes_nothing_and_other_rows_are_refused(ledger):
    ledger.record("key", "step", 1, tasks(), 0.1)
    before = ledger.content()
    ledger.record("key", "step", 1, tasks(), 9.9)
    assert ledger.content() == before
    with pytest.raises(StoreError, match="recorded with other rows"):
        ledger.record("key", "step", 1, tasks(2), 0.1)


def test_kinds_are_not_mixed_and_not_mistaken(ledger):
    with pytest.raises(StoreError, match="rows of one kind"):
        ledger.record("key", "step", 1, [*ROWS["sifted"], *ROWS["opening"]], 0.1)
    ledger.record("key", "step", 1, ROWS["sifted"], 0.1)
    with pytest.raises(StoreError, match="holds Sifted, not Opening"):
        ledger.recall("key", Opening)


def test_one_experience_may_be_recorded_by_two_steps(ledger):
    ledger.record("one", "solve", 1, ROWS["experience"], 0.1)
    ledger.record("two", "solve", 1, ROWS["experience"], 0.1)
    assert ledger.recall("one", type(ROWS["experience"][0])) == tuple(ROWS["experience"])


def test_tasks_that_differ_only_in_what_their_id_leaves_out_stay_apart(ledger):
    one = tasks(1)[0]
    two = replace(one, tags=("other",), name="mine")
    assert one.id == two.id
    ledger.record("key", "step", 1, [one, two], 0.1)
    assert ledger.recall("key", Task) == (one, two)


def test_content_leaves_out_time_and_order_and_nothing_else(tmp_path):
    def filled(name, order, seconds, keep=True):
        made = SqliteLedger(tmp_path / name)
        for key in order:
            kept = [Sifted(experience=key, filter="f", keep=keep, reason="r")]
            made.record(key, "filter", 1, kept, seconds)
        return made.content()

    assert filled("a", "xy", 0.1) == filled("b", "yx", 5.0)
    assert filled("a", "xy", 0.1) != filled("c", "xy", 0.1, keep=False)


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=50)
@given(st.text(), st.text(), st.one_of(st.none(), st.text()))
def test_any_text_survives_the_codec(prompt, name, reference):
    task = Task(messages=(Message(role="user", content=prompt),), name=name, reference=reference)
    text = encode(task)
    assert text.isascii()
    assert decode(Task, text) == task


def test_a_newer_schema_is_refused_with_both_numbers(tmp_path):
    path = tmp_path / "ledger.sqlite"
    SqliteLedger(path).close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.commit()
    db.close()
    with pytest.raises(
        UsageError, match=f"schema 99, and this instar knows up to {len(MIGRATIONS)}"
    ):
        SqliteLedger(path)


def test_migrations_apply_in_order_and_keep_the_rows(tmp_path, monkeypatch):
    path = tmp_path / "ledger.sqlite"
    old = SqliteLedger(path)
    old.record("key", "step", 1, tasks(), 0.1)
    old.close()
    later = (*MIGRATIONS, "ALTER TABLE steps ADD COLUMN note TEXT;")
    monkeypatch.setattr("instar.store.ledger.MIGRATIONS", later)
    with pytest.raises(UsageError, match="older ledger schema"):
        SqliteLedger(path, writable=False)
    new = SqliteLedger(path)
    assert new.connection.execute("SELECT note FROM steps").fetchall() == [(None,)]
    assert new.connection.execute("PRAGMA user_version").fetchone() == (len(later),)


def test_the_file_is_power_safe(ledger):
    pragma = {
        name: ledger.connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "page_size")
    }
    assert pragma == {"journal_mode": "wal", "synchronous": 2, "page_size": 8192}


def test_a_file_that_is_no_ledger_is_one_sentence(tmp_path):
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"not a database" * 1000)
    with pytest.raises(StoreError, match="not a database"):
        SqliteLedger(path)


def test_a_full_disk_loses_nothing_that_was_finished(ledger):
    ledger.record("one", "solve", 1, ROWS["experience"], 0.1)
    pages = ledger.connection.execute("PRAGMA page_count").fetchone()[0]
    ledger.connection.execute(f"PRAGMA max_page_count = {pages + 1}")
    many = [replace(e, iteration=i) for i in range(300) for e in ROWS["experience"]]
    with pytest.raises(StoreError, match="full"):
        ledger.record("two", "solve", 1, many, 0.1)
    ledger.connection.execute("PRAGMA max_page_count = 1000000")
    assert ledger.recall("two", type(many[0])) is None
    assert ledger.recall("one", type(many[0])) == tuple(ROWS["experience"])
    ledger.record("two", "solve", 1, many, 0.1)
    assert ledger.recall("two", type(many[0])) == tuple(many)


WRITER = """
import sys
from dataclasses import replace
from pathlib import Path
from instar.store.ledger import SqliteLedger
from instar.testing.fakes import experiences
ledger = SqliteLedger(Path(sys.argv[1]))
rows = [replace(e, feedback=()) for e in experiences()]
for step in range(10_000):
    ledger.record(f"k{step}", "solve", step, [replace(e, iteration=step) for e in rows], 0.1)
    if step == 3:
        print("going", flush=True)
"""


def test_a_killed_writer_leaves_whole_steps_only(tmp_path):
    for trial in range(3):
        path = tmp_path / f"ledger{trial}.sqlite"
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout.readline() == "going\n"
        time.sleep(0.05 * trial)
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        ledger = SqliteLedger(path, writable=False)
        assert ledger.connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        steps = ledger.connection.execute("SELECT key, rows FROM steps").fetchall()
        assert len(steps) > 3
        kind = type(ROWS["experience"][0])
        assert all(len(ledger.recall(key, kind)) == rows for key, rows in steps)
        ledger.close()
