"""A process that judges, and that can be killed, so that no answer hangs or ends the run."""

from __future__ import annotations

import atexit
import multiprocessing
from collections.abc import Callable, Sequence
from functools import cache
from multiprocessing.connection import Connection

from instar.errors import ComponentError

Judge = Callable[[tuple[str, ...]], tuple[float | None, str | None]]
Judged = tuple[float | None, str | None]
START = 60.0  # seconds a new worker may take to import what it needs; ours


class Worker:
    """One process that applies one module-level function to items, one at a time."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._process: multiprocessing.process.BaseProcess | None = None
        self._pipe: Connection | None = None

    def map(self, items: Sequence[tuple[str, ...]], timeout: float) -> list[Judged]:
        """Return (score, critique) for every item; None for an item that hung or killed the worker.

        Args:
            items: what the function is given.
            timeout: seconds for one item.

        Raises:
            ComponentError: if the worker does not even start.
        """
        return [self._one(item, timeout) for item in items]

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
        if self._pipe is not None:
            self._pipe.close()
        self._process = self._pipe = None

    def _one(self, item: tuple[str, ...], timeout: float) -> Judged:
        pipe = self._pipe or self._start()
        try:
            pipe.send(item)
            if pipe.poll(timeout):
                judged: Judged = pipe.recv()
                return judged
        except (EOFError, OSError):
            self.close()
            return None, "the checker's process died on it"
        self.close()
        return None, f"the checker took more than {timeout:g} s"

    def _start(self) -> Connection:
        # Spawned, not forked: a copy of a process full of torch threads can deadlock.
        spawn = multiprocessing.get_context("spawn")
        ours, theirs = spawn.Pipe()
        process = spawn.Process(target=_serve, args=(theirs, self._judge), daemon=True)
        process.start()
        theirs.close()
        self._process, self._pipe = process, ours
        try:
            if ours.poll(START) and ours.recv() == "ready":
                return ours
        except (EOFError, OSError):
            pass
        self.close()
        raise ComponentError("the checker's process did not start")


@cache
def worker(judge: Judge) -> Worker:
    """Return this process's worker for `judge`; it ends with the process."""
    made = Worker(judge)
    atexit.register(made.close)
    return made


def _serve(pipe: Connection, judge: Judge) -> None:
    """Judge until the pipe closes, which it does when the parent dies."""
    pipe.send("ready")
    while True:
        try:
            item = pipe.recv()
        except (EOFError, OSError, KeyboardInterrupt):
            return
        try:
            judged = judge(item)
        except Exception as error:  # a checker may raise anything; it judged nothing
            judged = (None, f"{type(error).__name__}: {error}"[:500])
        pipe.send(judged)
