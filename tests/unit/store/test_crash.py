"""kill -9 at any moment: a ledger holds whole steps only, and all that were said to be finished."""

import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import time

import pytest
from store_values import BASE, FIRST, assessed, batch, report, sample, task, whole_run

from instar.errors import StoreError
from instar.store.ledger import SqliteLedger
from instar.store.queries import history
from instar.types import Assessed, Experience, Placed, Report, Trained

WRITE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from store_values import BASE, assessed, batch
from instar.store.ledger import SqliteLedger

ledger = SqliteLedger(Path(sys.argv[1]))
for i in range(100000):
    ledger.record(f"solve {i}", "solve", i, batch(BASE, i), 0.0)
    print(f"solve {i}", flush=True)
    ledger.record(f"assess {i}", "assess", i, [assessed(e) for e in batch(BASE, i)], 0.0)
    print(f"assess {i}", flush=True)
"""


def start_writer(path):
    here = os.path.dirname(__file__)
    return subprocess.Popen(
        [sys.executable, "-c", WRITE, str(path), here], stdout=subprocess.PIPE, text=True
    )


def check_whole(path):
    """Every step in the file has all of its rows; return the keys."""
    ledger = SqliteLedger(path)
    assert ledger.ask("PRAGMA integrity_check") == [("ok",)]
    kinds = {"Experience": Experience, "Assessed": Assessed}
    keys = ledger.ask("SELECT key, kind, iteration FROM steps ORDER BY number")
    for key, kind, iteration in keys:
        expected = batch(BASE, iteration)
        rows = expected if kind == "Experience" else [assessed(e) for e in expected]
        assert ledger.recall(key, kinds[kind]) == tuple(rows)
    for table, kind in (("experience", "Experience"), ("assessed", "Assessed")):
        counted = ledger.ask(f"SELECT count(*) FROM {table}")[0][0]
        assert counted == 16 * sum(k == kind for _, k, _ in keys), "rows of no step"
    ledger.close()
    return [key for key, _, _ in keys]


def test_a_writer_killed_at_any_time_leaves_whole_steps_and_all_it_finished(tmp_path):
    draw = random.Random(1)
    for trial in range(5):
        path = tmp_path / f"l{trial}"
        writer = start_writer(path)
        said = [writer.stdout.readline() for _ in range(draw.randint(1, 30))]
        time.sleep(draw.random() / 50)
        writer.kill()
        said += writer.stdout.readlines()
        writer.wait()
        writer.stdout.close()
        finished = [line.strip() for line in said if line.endswith("\n")]
        found = check_whole(path)
        assert found[: len(finished)] == finished
        assert len(found) <= len(finished) + 1


RECORDS = {
    "Placed": [Placed(task=task(n), split="train") for n in range(3)],
    "Experience": batch(BASE, 1),
    "Trained": [Trained(learner=FIRST, rows=("a", "b"))],
    "Report": [report(FIRST, 0.5)],
}


def killed_at(path, statement, rows):
    """Record rows in a child that is killed before its n-th statement; was there an n-th one?"""
    child = os.fork()
    if child == 0:
        ledger = SqliteLedger(path)
        left = [statement]

        def count(sql):
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)

        ledger.connection.set_trace_callback(count)
        ledger.record("k", "step", 1, rows, 0.0)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


@pytest.mark.parametrize("kind", RECORDS)
def test_a_step_killed_before_any_of_its_statements_is_whole_or_not_there(kind, tmp_path):
    rows = RECORDS[kind]
    first = SqliteLedger(tmp_path / "l")
    first.record("before", "solve", 0, [sample(task(1), 0)], 0.0)
    first.close()
    statement = 0
    while killed_at(tmp_path / "l", statement, rows):
        statement += 1
        ledger = SqliteLedger(tmp_path / "l")
        assert ledger.ask("PRAGMA integrity_check") == [("ok",)]
        assert ledger.recall("k", type(rows[0])) is None
        assert ledger.recall("before", Experience) == (sample(task(1), 0),)
        ledger.close()
    assert statement > 4
    ledger = SqliteLedger(tmp_path / "l")
    assert ledger.recall("k", type(rows[0])) == tuple(rows)


def test_a_ledger_killed_while_it_is_made_is_made_by_the_next(tmp_path):
    """One child per statement of making a ledger; each is killed before that one."""
    statement = 0
    while True:
        path = tmp_path / f"l{statement}"
        child = os.fork()
        if child == 0:
            _make_until(path, statement)
        _, status = os.waitpid(child, 0)
        SqliteLedger(path).record("k", "solve", 1, batch(BASE, 1), 0.0)
        assert SqliteLedger(path, writable=False).recall("k", Experience)
        if not os.WIFSIGNALED(status):
            break
        statement += 1
    assert statement > 10


def _make_until(path, statement):
    connect, left = sqlite3.connect, [statement]

    def count(sql):
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def traced(*where, **how):
        db = connect(*where, **how)
        db.set_trace_callback(count)
        return db

    sqlite3.connect = traced
    SqliteLedger(path)
    os._exit(0)


def test_a_resumed_ledger_has_the_content_of_a_whole_one(tmp_path):
    whole = SqliteLedger(tmp_path / "whole")
    whole_run(whole)
    steps = len(whole.ask("SELECT number FROM steps"))
    for last in range(0, steps, 4):
        path = tmp_path / f"cut{last}"
        child = os.fork()
        if child == 0:
            ledger, record, left = SqliteLedger(path), SqliteLedger.record, [last]

            def counted(self, *step, record=record, left=left):
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                left[0] -= 1
                record(self, *step)

            SqliteLedger.record = counted
            whole_run(ledger)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status)
        again = SqliteLedger(path)
        assert len(again.ask("SELECT number FROM steps")) == last
        whole_run(again, seconds=7.0)
        assert again.contents() == whole.contents()


def test_a_reader_sees_only_whole_steps_while_another_process_writes(tmp_path):
    writer = start_writer(tmp_path / "l")
    try:
        writer.stdout.readline()
        seen = []
        for _ in range(40):
            reader = SqliteLedger(tmp_path / "l", writable=False)
            steps = reader.ask("SELECT key, kind, rows FROM steps ORDER BY number")
            assert all(rows == 16 for _, _, rows in steps)
            rows = reader.ask("SELECT count(*) FROM experience")[0][0]
            assert rows == 16 * sum(kind == "Experience" for _, kind, _ in steps)
            assert history(reader) == []
            seen.append(len(steps))
            reader.close()
        assert seen == sorted(seen)
        assert seen[-1] > seen[0]
        assert writer.poll() is None, "reading must not disturb the writer"
    finally:
        writer.kill()
        writer.wait()
        writer.stdout.close()


def test_a_disk_that_refuses_to_grow_is_said_and_costs_only_the_running_step(tmp_path):
    """The kernel refuses writes beyond a size, as a quota does."""
    path = tmp_path / "l"
    SqliteLedger(path).record("small", "solve", 1, batch(BASE, 1), 0.0)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
        try:
            large = [sample(task(n), 0, text="word " * 2000) for n in range(300)]
            SqliteLedger(path).record("large", "solve", 1, large, 0.0)
            os.write(write, b"recorded")
        except StoreError as error:
            os.write(write, str(error).encode())
        os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with open(read) as pipe:
        assert "the disk" in pipe.read()
    ledger = SqliteLedger(path)
    assert ledger.ask("PRAGMA integrity_check") == [("ok",)]
    assert ledger.recall("small", Experience) == tuple(batch(BASE, 1))
    assert ledger.recall("large", Experience) is None


@pytest.fixture
def tiny(tmp_path):
    """A disk of one megabyte."""
    place = tmp_path / "tiny"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(place)], capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("mounting a small disk needs root")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_disk_that_is_full_is_said_and_the_run_goes_on_once_there_is_room(tiny):
    (tiny / "ballast").write_bytes(bytes(500_000))
    ledger = SqliteLedger(tiny / "l")
    ledger.record("small", "solve", 1, batch(BASE, 1), 0.0)
    large = [sample(task(n), 0, text="word " * 400) for n in range(150)]
    with pytest.raises(StoreError, match="the disk is full; make room and resume"):
        ledger.record("large", "solve", 1, large, 0.0)
    assert ledger.recall("small", Experience) == tuple(batch(BASE, 1))
    assert ledger.recall("large", Experience) is None
    (tiny / "ballast").unlink()
    ledger.record("large", "solve", 1, large[:60], 0.0)
    assert ledger.recall("large", Experience) == tuple(large[:60])
    assert ledger.recall("missing", Report) is None
    ledger.close()
