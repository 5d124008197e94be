import pytest

from instar.events import Progress
from instar.recorder import Recorder
from instar.store.ledger import SqliteLedger
from instar.types import Task


@pytest.fixture
def heard():
    return []


@pytest.fixture
def once(tmp_path, heard):
    ledger = SqliteLedger(tmp_path / "ledger.sqlite")
    yield Recorder(ledger, heard.append, None, 0.0)
    ledger.close()


def done(heard):
    return sum(e.done for e in heard if isinstance(e, Progress))


def sampled(once, key, parts):
    def make():
        for part in parts:
            once.emit(Progress(done=part, tokens=1))
        return ()

    once("solve", (key,), Task, make)


def test_the_count_of_tasks_moves_while_a_batch_is_sampled_and_ends_at_the_batch(once, heard):
    once.begin("acquire", "tasks", 8)
    sampled(once, 1, [0.5, 1.0, 2.5])
    assert done(heard) == 4
    sampled(once, 2, [1.0])  # the next batch is sampled before the first is judged
    once.advance(4)
    assert done(heard) == 5
    once.advance(4)
    assert done(heard) == 8


def test_what_is_recalled_counts_when_the_cycle_says_so(once, heard):
    once.begin("acquire", "tasks", 4)
    sampled(once, 1, [4.0])
    once.end()
    heard.clear()
    once.begin("acquire", "tasks", 4)
    sampled(once, 1, [4.0])
    assert done(heard) == 0
    once.advance(4)
    assert done(heard) == 4


def test_what_a_judge_asks_of_the_engine_moves_no_count_of_tasks(once, heard):
    once.begin("acquire", "tasks", 4)
    once.beside("assess", (1,), Task, lambda: once.emit(Progress(done=3, tokens=9)) or ())()
    assert done(heard) == 0
    assert sum(e.tokens for e in heard if isinstance(e, Progress)) == 9
