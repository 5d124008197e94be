import fcntl
import os
import signal
import subprocess
import sys
import time

import pytest
from store_values import BASE, batch

from instar.errors import StoreError, UsageError
from instar.store.folder import LEDGER, RunFolder
from instar.types import Experience

HOLD = """
import sys, time
from pathlib import Path
from instar.store.folder import RunFolder
with RunFolder(Path(sys.argv[1])).open_for_writing():
    {inside}
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def folder(tmp_path):
    return RunFolder.create(tmp_path / "run")


@pytest.fixture
def held(folder):
    """Another process that holds the folder; `inside` runs while it does."""
    started = []

    def hold(inside="pass"):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD.format(inside=inside), str(folder.path)],
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield hold
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_new_run_folder_is_one_at_once(tmp_path):
    made = RunFolder.create(tmp_path / "deep" / "run")
    assert RunFolder(tmp_path / "deep" / "run").path == made.path
    with made.open_for_reading() as ledger:
        assert ledger.recall("k", Experience) is None


def test_an_empty_folder_becomes_a_run_and_one_with_things_in_it_does_not(tmp_path):
    (tmp_path / "empty").mkdir()
    RunFolder.create(tmp_path / "empty")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(UsageError, match="is not empty"):
        RunFolder.create(tmp_path / "mine")
    assert os.listdir(tmp_path / "mine") == ["thesis.tex"]


def test_a_run_is_not_begun_twice_and_the_error_says_how_to_go_on(folder):
    with pytest.raises(UsageError, match=f"holds a run already.*instar resume {folder.path}"):
        RunFolder.create(folder.path)


def test_of_two_processes_that_begin_the_same_run_one_goes_on(tmp_path, monkeypatch):
    place, look = tmp_path / "run", os.open

    def other_first(path, *how):
        monkeypatch.setattr(os, "open", look)
        RunFolder.create(place)
        return look(path, *how)

    monkeypatch.setattr(os, "open", other_first)
    with pytest.raises(UsageError, match="holds a run already"):
        RunFolder.create(place)
    RunFolder(place)


@pytest.mark.parametrize("name", ["file", "file/run", "link", "x" * 300])
def test_a_place_that_cannot_be_a_folder_is_named(tmp_path, name):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises((StoreError, UsageError)) as told:
        RunFolder.create(tmp_path / name)
    assert str(tmp_path / name) in str(told.value)
    assert "\n" not in str(told.value)


def test_what_is_no_run_folder_is_named(tmp_path):
    (tmp_path / "file").touch()
    for name in ("none", ".", "file", "x" * 300):
        with pytest.raises(UsageError, match=f"is not a run folder: there is no {LEDGER}"):
            RunFolder(tmp_path / name)


def test_what_is_written_is_read(folder):
    with folder.open_for_writing() as ledger:
        ledger.record("k", "solve", 1, batch(BASE, 1), 0.0)
    with folder.open_for_reading() as ledger:
        assert ledger.recall("k", Experience) == tuple(batch(BASE, 1))


def test_scratch_is_there_and_empty_whenever_the_run_is_opened_for_writing(folder):
    for _ in range(2):
        with folder.open_for_writing():
            assert os.listdir(folder.scratch) == []
            (folder.scratch / "adapter").mkdir()
            (folder.scratch / "adapter" / "half").touch()
    with folder.open_for_reading():
        assert os.listdir(folder.scratch) == ["adapter"]


def test_what_scratch_leads_to_is_not_emptied(folder, tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").touch()
    folder.scratch.symlink_to(tmp_path / "precious")
    with pytest.raises(StoreError, match="cannot be written to"), folder.open_for_writing():
        pass
    assert os.listdir(tmp_path / "precious") == ["file"]


def test_unfinished_artefacts_are_swept_when_the_run_is_opened_for_writing(folder):
    (folder.path / "artefacts" / ".new-x").mkdir(parents=True)
    with folder.open_for_writing():
        assert os.listdir(folder.path / "artefacts") == []


def test_a_second_writer_is_told_which_process_has_the_folder(folder, held):
    other = held()
    told = f"run folder {folder.path} is in use by process {other.pid}"
    with pytest.raises(UsageError, match=told), folder.open_for_writing():
        pass


def test_a_second_writer_in_the_same_process_is_refused_and_the_first_keeps_the_lock(folder):
    with folder.open_for_writing():
        for _ in range(2):
            with (
                pytest.raises(UsageError, match=f"in use by process {os.getpid()}"),
                folder.open_for_writing(),
            ):
                pass
    with folder.open_for_writing():
        pass


def test_a_refused_writer_does_not_empty_scratch(folder, held):
    held(inside="(Path(sys.argv[1]) / 'scratch' / 'mine').touch()")
    with pytest.raises(UsageError), folder.open_for_writing():
        pass
    assert os.listdir(folder.scratch) == ["mine"]


def test_a_reader_may_read_while_another_process_writes(folder, held):
    held()
    with folder.open_for_reading() as ledger:
        assert ledger.recall("k", Experience) is None


def test_a_killed_process_lets_go_of_the_folder(folder, held):
    other = held()
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    with folder.open_for_writing():
        pass


CHILDREN = {
    "fork": "import os\n    if os.fork() == 0: time.sleep(600)",
    "exec": "import subprocess; subprocess.Popen(['sleep', '600'], close_fds=False)",
}


@pytest.mark.parametrize("how", CHILDREN)
def test_a_child_that_outlives_a_killed_run_does_not_keep_the_lock(folder, held, how):
    other = held(inside=CHILDREN[how] + "\n    (Path(sys.argv[1]) / 'up').touch()")
    children = _children(other.pid)
    try:
        assert children
        with pytest.raises(UsageError), folder.open_for_writing():
            pass
        os.kill(other.pid, signal.SIGKILL)
        other.wait()
        assert all(os.path.exists(f"/proc/{c}") for c in children)
        with folder.open_for_writing():
            pass
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)


def _children(parent):
    """The processes whose parent is `parent`, once there is one."""
    for _ in range(100):
        with open(f"/proc/{parent}/task/{parent}/children") as found:
            if children := [int(pid) for pid in found.read().split()]:
                time.sleep(0.1)  # until the child is past its fork
                return children
        time.sleep(0.02)
    return []


def test_an_error_inside_lets_go_of_the_folder(folder):
    with pytest.raises(ZeroDivisionError), folder.open_for_writing():
        1 / 0  # noqa: B018
    with folder.open_for_writing():
        pass


def test_a_lock_of_a_process_that_has_not_said_its_name_is_of_an_unknown_one(folder):
    with open(folder.path / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="process unknown"), folder.open_for_writing():
            pass


def as_nobody(work):
    """Run `work` in a child without the rights of root; return what it said."""
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        try:
            os.setgid(65534)
            os.setuid(65534)
            said = work()
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(write, said.encode())
        os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with open(read) as pipe:
        return pipe.read()


@pytest.fixture
def of_another(tmp_path):
    """A finished run that belongs to someone else, in a folder that nobody else can write to."""
    if os.getuid() != 0:
        pytest.skip("only root can make a folder of another user")
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        folder = RunFolder.create(Path(place) / "run")
        with folder.open_for_writing() as ledger:
            ledger.record("k", "solve", 1, batch(BASE, 1), 0.0)
        yield folder


def test_a_run_of_another_user_can_be_read(of_another):
    def read():
        with of_another.open_for_reading() as ledger:
            return str(len(ledger.recall("k", Experience)))

    assert as_nobody(read) == "16"


def test_a_run_of_another_user_cannot_be_written_and_that_is_said(of_another):
    def write():
        with of_another.open_for_writing():
            return "written"

    assert "cannot be written to" in as_nobody(write)
    assert "StoreError" in as_nobody(write)
