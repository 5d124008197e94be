import sqlite3

import pytest
from store_values import BASE, batch

from instar.errors import UsageError
from instar.store import ledger as room
from instar.store.ledger import SqliteLedger
from instar.store.migrations import APPLICATION, MIGRATIONS, migrate, version
from instar.types import Experience

LATER = (
    *MIGRATIONS,
    (
        "ALTER TABLE steps ADD COLUMN arm TEXT NOT NULL DEFAULT 'method'",
        "UPDATE steps SET arm = 'control' WHERE step = 'solve; not a separator'",
    ),
    ("CREATE TABLE extra (x)", "INSERT INTO extra SELECT count(*) FROM steps"),
)


def connect(path):
    return sqlite3.connect(path, isolation_level=None)


@pytest.fixture
def older(tmp_path):
    """A file of the schema before LATER, with rows in it."""
    made = SqliteLedger(tmp_path / "l")
    made.record("k", "solve; not a separator", 1, batch(BASE, 1), 0.0)
    made.record("k2", "solve", 1, batch(BASE, 2), 0.0)
    made.close()
    return tmp_path / "l"


def test_a_new_file_says_what_it_is_and_at_which_schema(tmp_path):
    SqliteLedger(tmp_path / "l").close()
    db = connect(tmp_path / "l")
    assert db.execute("PRAGMA application_id").fetchone() == (APPLICATION,)
    assert db.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)


def test_an_older_file_takes_the_steps_it_lacks_and_keeps_its_rows(older):
    db = connect(older)
    migrate(db, "l", LATER)
    assert version(db, "l", LATER) == len(LATER)
    found = db.execute("SELECT key, arm FROM steps ORDER BY key").fetchall()
    assert found == [("k", "control"), ("k2", "method")]
    assert db.execute("SELECT x FROM extra").fetchall() == [(2,)]
    db.execute("ALTER TABLE steps DROP COLUMN arm")
    db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
    assert SqliteLedger(older).recall("k", Experience) == tuple(batch(BASE, 1))


def test_a_migrated_file_is_left_alone(older):
    db = connect(older)
    migrate(db, "l", LATER)
    migrate(db, "l", LATER)
    assert db.execute("SELECT x FROM extra").fetchall() == [(2,)]


def test_a_step_that_fails_leaves_the_file_at_the_step_before(older):
    broken = (*LATER, ("CREATE TABLE half (x)", "INSERT INTO nowhere VALUES (1)"))
    db = connect(older)
    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        migrate(db, "l", broken)
    assert version(db, "l", broken) == len(LATER)
    assert not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'half'").fetchall()
    assert not db.in_transaction


def test_a_newer_file_is_refused_with_both_numbers_and_not_touched(older):
    migrate(connect(older), "l", LATER)
    before = older.read_bytes()
    for writable in (True, False):
        told = f"schema {len(LATER)}, and this instar knows schemas up to {len(MIGRATIONS)}"
        with pytest.raises(UsageError, match=told):
            SqliteLedger(older, writable)
    assert older.read_bytes() == before


def test_a_reader_leaves_an_older_file_as_it_is_and_says_what_to_do(older, monkeypatch):
    monkeypatch.setattr(room, "MIGRATIONS", LATER)
    with pytest.raises(UsageError, match=f"schema 1, older than {len(LATER)}: resume the run"):
        SqliteLedger(older, writable=False)
    assert connect(older).execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)


def test_two_processes_that_migrate_at_once_take_each_step_once(older):
    one, other = connect(older), connect(older)
    migrate(one, "l", LATER[:2])
    seen = []

    def quicker(statement):
        """Another process takes the last step after this one looked and before it began."""
        if statement == "BEGIN IMMEDIATE" and not seen:
            seen.append(statement)
            migrate(one, "l", LATER)

    other.set_trace_callback(quicker)
    migrate(other, "l", LATER)
    assert seen
    assert one.execute("SELECT x FROM extra").fetchall() == [(2,)]
