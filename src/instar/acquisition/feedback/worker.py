"""A process that judges, and that can be killed, so that no answer hangs, bloats or ends the run.

An item has a limit of processor time, kept by the kernel, so that a busy machine judges like an
idle one and a process whose parent died ends too. It works on POSIX systems.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from multiprocessing import Pipe
from multiprocessing.connection import Connection

from instar.errors import ComponentError

Item = tuple[str, ...]
Judged = tuple[float | None, str | None]  # the score and the critique
Judge = Callable[[Item], Judged]

START = 60.0  # seconds of processor time a new worker may take to load what it needs; ours
WALL = 10.0  # seconds to wait for one of processor time, on a crowded machine; ours
MEMORY = 4 * 2**30  # bytes of address space; sympy and numpy take one; ours
# The user's keys are no business of a process that reads what a model wrote.
INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONDONTWRITEBYTECODE")


class Worker:
    """One process that applies one module-level function to items, one at a time."""

    def __init__(self, judge: Judge, sample: Item) -> None:
        """Take the function, and an item that it scores 1, to try every new process with."""
        self._judge = f"{judge.__module__}:{judge.__qualname__}"
        self._sample = sample
        self._lock = threading.Lock()
        self._owner = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Connection | None = None

    @property
    def pid(self) -> int | None:
        """The id of the running process."""
        return self._process.pid if self._process else None

    def map(self, items: Sequence[Item], seconds: float) -> list[Judged]:
        """Return (score, critique) for every item; None for one that hung or killed the process.

        Args:
            items: what the function is given.
            seconds: processor time for one item.

        Raises:
            ComponentError: if the process does not start, or fails on the sample.
        """
        with self._lock:
            return [self._twice(item, seconds) for item in items]

    def close(self) -> None:
        """End the process, unless it is another's: a fork of this one has it too."""
        if self._process and self._owner == os.getpid():
            self._process.kill()
            self._process.wait()
        if self._pipe is not None:
            self._pipe.close()
        self._process = self._pipe = None

    def _twice(self, item: Item, seconds: float) -> Judged:
        """Judge `item`; if the process dies, once more, since the cause may lie outside."""
        for _ in range(2):
            if self._process is None or self._process.poll() is not None or self._forked():
                self._start()
            try:
                return self._ask(item, seconds)
            except (EOFError, OSError):
                ended = self._ended()
            if ended == -signal.SIGPROF:
                return None, f"the checker took more than {seconds:g} s"
        return None, f"the checker's process died twice on it, with code {ended}"

    def _ask(self, item: Item, seconds: float) -> Judged:
        pipe = self._pipe
        if pipe is None:
            raise ComponentError("the checker's process is not there")
        try:
            pipe.send_bytes(json.dumps([seconds, item]).encode("ascii"))
            if pipe.poll(WALL * seconds):
                score, critique = json.loads(pipe.recv_bytes())
                return score, critique
        except (EOFError, OSError):
            raise
        except BaseException:  # an interrupt: the answer on its way must not meet the next item
            self.close()
            raise
        self.close()
        return None, f"the checker did not answer for {WALL * seconds:g} s"

    def _start(self) -> None:
        self.close()
        ours, theirs = Pipe()
        kept = {name: os.environ[name] for name in INHERITED if name in os.environ}
        found = {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "0"}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__, str(theirs.fileno()), self._judge],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # One thread: BLAS reserves address space for each.
            env={**kept, **found, "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,  # an interrupt from the terminal is for the run alone
        )
        theirs.close()
        self._pipe, self._owner = ours, os.getpid()
        try:
            score, critique = self._ask(self._sample, START)
        except (EOFError, OSError):
            score, critique = None, f"it ended with code {self._ended()}"
        if score != 1:
            self.close()
            raise ComponentError(f"the checker's process {self._judge} does not work: {critique}")

    def _ended(self) -> int | None:
        """Close, and return the code that the process ended with."""
        process = self._process
        with suppress(subprocess.TimeoutExpired):
            # It closed the pipe, so it is about to end.
            if process:
                process.wait(timeout=1)
        self.close()
        return process.returncode if process else None

    def _forked(self) -> bool:
        return self._owner != os.getpid()


@cache
def worker(judge: Judge, sample: Item) -> Worker:
    """Return this process's worker for `judge`; it ends with this process."""
    made = Worker(judge, sample)
    atexit.register(made.close)
    return made


def serve(number: int, name: str) -> None:
    """Judge what comes through the file descriptor `number` until it closes."""
    pipe = Connection(number)
    _limit_memory()
    module, _, function = name.partition(":")
    judge: Judge | None = None
    while True:
        try:
            seconds, item = json.loads(pipe.recv_bytes())
        except EOFError:
            return
        signal.setitimer(signal.ITIMER_PROF, seconds)
        try:
            judge = judge or getattr(import_module(module), function)
            judged = judge(tuple(item))
        except Exception as error:  # a checker may raise anything; it judged nothing
            judged = (None, f"{type(error).__name__}: {error}"[:500])
        signal.setitimer(signal.ITIMER_PROF, 0)
        pipe.send_bytes(json.dumps(judged).encode("ascii"))


def _limit_memory() -> None:
    # Imported here: there is none on other systems, where importing this module must not fail.
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = MEMORY if hard == resource.RLIM_INFINITY else min(MEMORY, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2])
