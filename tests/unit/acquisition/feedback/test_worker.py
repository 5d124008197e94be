"""The judges below are run in the worker, which imports this file."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from instar.acquisition.feedback.worker import Worker, worker
from instar.errors import ComponentError

LIMIT = 0.3  # seconds of processor time


def judge(item):
    what, *rest = item
    if what == "loop":
        while True:
            pass
    if what == "bignum":
        return float(9**9**9), None
    if what == "die":
        os._exit(3)
    if what == "sleep":
        time.sleep(float(rest[0]))
    if what == "raise":
        raise LookupError(rest[0])
    if what == "allocate":
        return float(len(bytearray(8 * 2**30))), None
    if what == "print":
        print("\x1b[31mhello")  # noqa: T201
        os.write(1, b"hello")
    if what == "secret":
        return 1.0, os.environ.get("INSTAR_TEST_KEY", "not there")
    return 1.0, what


def broken(item):
    import no_such_module_at_all  # noqa: F401


def never_right(item):
    return 0.0, "as always"


@pytest.fixture
def made():
    one = Worker(judge, ("ok",))
    yield one
    one.close()


def test_items_are_judged_in_order_by_one_process(made):
    names = [(f"n{i}",) for i in range(50)]
    assert made.map(names, LIMIT) == [(1.0, f"n{i}") for i in range(50)]
    first = made.pid
    assert made.map([], LIMIT) == []
    made.map([("again",)], LIMIT)
    assert made.pid == first


@pytest.mark.parametrize("bomb", ["loop", "bignum"])
def test_an_item_that_hangs_is_not_judged_and_the_others_are(made, bomb):
    start = time.monotonic()
    before, hung, after = made.map([("a",), (bomb,), ("b",)], LIMIT)
    assert (before, after) == ((1.0, "a"), (1.0, "b"))
    assert hung == (None, "the checker took more than 0.3 s")
    assert time.monotonic() - start < 20


def test_an_item_that_kills_the_process_is_not_judged_and_the_others_are(made):
    before, dead, after = made.map([("a",), ("die",), ("b",)], LIMIT)
    assert (before, after) == ((1.0, "a"), (1.0, "b"))
    assert dead[0] is None
    assert "died twice" in dead[1]
    assert "3" in dead[1]


def test_an_item_that_raises_is_not_judged(made):
    (failed,) = made.map([("raise", "x" * 10_000)], LIMIT)
    assert failed[0] is None
    assert failed[1].startswith("LookupError")
    assert len(failed[1]) <= 500


def test_an_item_that_takes_all_memory_is_not_judged(made):
    failed, fine = made.map([("allocate",), ("b",)], LIMIT)
    assert failed == (None, "MemoryError: ")
    assert fine == (1.0, "b")


def test_sleep_is_no_processor_time_but_has_an_end(made):
    assert made.map([("sleep", "0.5")], LIMIT) == [(1.0, "sleep")]
    ((score, critique),) = made.map([("sleep", "60")], 0.05)
    assert score is None
    assert "did not answer" in critique


def test_kill_9_in_the_middle_of_a_batch_changes_no_answer(made):
    made.map([("warm",)], LIMIT)
    first = made.pid
    killer = threading.Timer(0.2, os.kill, (first, signal.SIGKILL))
    killer.start()
    items = [("a",), ("sleep", "0.6"), ("b",)]
    assert made.map(items, 5) == [(1.0, "a"), (1.0, "sleep"), (1.0, "b")]
    killer.join()
    assert made.pid != first


def test_kill_9_between_batches_changes_no_answer(made):
    made.map([("warm",)], LIMIT)
    os.kill(made.pid, signal.SIGKILL)
    assert made.map([("a",)], LIMIT) == [(1.0, "a")]


def test_an_interrupt_leaves_no_answer_behind_for_the_next_item(made):
    made.map([("warm",)], LIMIT)

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(KeyboardInterrupt):
            made.map([("sleep", "0.5")], 5)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert made.map([("mine",)], LIMIT) == [(1.0, "mine")]


def test_an_interrupt_from_the_terminal_does_not_reach_the_process(made):
    made.map([("warm",)], LIMIT)
    assert os.getsid(made.pid) != os.getsid(0)


def test_what_a_judge_prints_goes_nowhere(made, capfd):
    made.map([("print",)], LIMIT)
    assert capfd.readouterr() == ("", "")


def test_the_process_does_not_see_the_keys_of_the_user(made, monkeypatch):
    monkeypatch.setenv("INSTAR_TEST_KEY", "sk-secret")
    assert made.map([("secret",)], LIMIT) == [(1.0, "not there")]


def test_threads_get_their_own_answers(made):
    found = {}

    def ask(name):
        found[name] = made.map([(f"{name}{i}",) for i in range(30)], LIMIT)

    threads = [threading.Thread(target=ask, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in "abcd":
        assert found[name] == [(1.0, f"{name}{i}") for i in range(30)]


def test_a_fork_has_a_process_of_its_own(made):
    made.map([("warm",)], LIMIT)
    child = os.fork()
    if child == 0:
        ok = made.map([("child",)], LIMIT) == [(1.0, "child")]
        made.close()
        os._exit(0 if ok else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert made.map([("parent",)], LIMIT) == [(1.0, "parent")]


@pytest.mark.parametrize(
    ("function", "reason"), [(broken, "no_such_module_at_all"), (never_right, "as always")]
)
def test_a_judge_that_fails_its_sample_stops_with_the_reason(function, reason):
    with pytest.raises(ComponentError, match=reason):
        Worker(function, ("ok",)).map([("a",)], LIMIT)


def test_one_process_serves_all_callers():
    assert worker(judge, ("ok",)) is worker(judge, ("ok",))


def alive(pid):
    """Say whether `pid` runs; one that ended and was not waited for does not."""
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return done.stdout.strip()[:1] not in ("", "Z")


def gone(pid, within):
    end = time.monotonic() + within
    while time.monotonic() < end:
        if not alive(pid):
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("how", ["pass", "os._exit(0)", "os.kill(os.getpid(), 9)"])
def test_an_idle_process_ends_with_its_parent(how):
    code = "import os, test_worker as t\nw = t.worker(t.judge, ('ok',))\nw.map([('a',)], 1)\n"
    code += f"print(w.pid, flush=True)\n{how}"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment()
    )
    assert gone(int(done.stdout), within=10)


def test_a_hung_process_ends_though_its_parent_was_killed():
    code = """
        import os, threading, time, test_worker as t
        w = t.worker(t.judge, ('ok',))
        w.map([('a',)], 1)
        print(w.pid, flush=True)
        threading.Thread(target=w.map, args=([('bignum',)], 1)).start()
        time.sleep(0.3)
        os.kill(os.getpid(), 9)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        env=environment(),
    )
    assert gone(int(done.stdout), within=20)


def test_a_script_needs_no_main_guard(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import test_worker as t\nprint(t.worker(t.judge, ('ok',)).map([('a',)], 1))")
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, env=environment(), check=True
    )
    assert done.stdout == "[(1.0, 'a')]\n"


def environment():
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
