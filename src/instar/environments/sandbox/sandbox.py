"""The sandbox of a run: the strongest isolation that holds here, and warm interpreters in it."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

from instar.environments.sandbox.backends import MISSING, ORDER, launch
from instar.environments.sandbox.canaries import leaks
from instar.environments.sandbox.zygote import Launch, Streams, Zygote
from instar.errors import ComponentError, UsageError
from instar.types import Execution, Limits

NONE = "none"


class IsolatedSandbox:
    """A `protocols.Sandbox`; chooses its isolation when first used, by trying to break it.

    Args:
        backends: what may be used, the first that holds is; `none` is no isolation at all.
        workers: programs that run at the same time; by default four per core, since a program and
            its tests are two, of which one waits for the other.

    Raises:
        ComponentError: at first use, if nothing holds; it says what failed and what to install.
    """

    def __init__(self, backends: Sequence[str] = ORDER, workers: int | None = None) -> None:
        odd = [b for b in backends if b not in (*ORDER, NONE)]
        if odd:
            raise UsageError(f"there is no sandbox {odd[0]!r}; known are {', '.join(ORDER)}")
        self._backends = tuple(backends)
        self.workers = workers or 4 * (os.cpu_count() or 1)
        self._launch: Launch | None = None
        self._failed: list[str] = []
        self._idle: dict[tuple[str, ...], queue.SimpleQueue[Zygote]] = {}
        self._busy: set[Zygote] = set()
        self._closed = False
        self._lock = threading.Lock()
        # bwrap dies with the thread that started it, so one thread starts all of them.
        self._starter = ThreadPoolExecutor(1)

    @property
    def level(self) -> str:
        """The isolation in use."""
        return self._chosen().level

    @property
    def failed(self) -> tuple[str, ...]:
        """What was tried and does not hold here, and why."""
        return tuple(self._failed)

    def facts(self) -> tuple[str, ...]:
        """Say which isolation is in use, and what stronger one failed and why."""
        level = self.level
        told = f"sandbox: {level}" if level != NONE else "sandbox: NONE, code runs unprotected"
        return (told + "".join(f" ({why})" for why in self._failed),)

    def run(
        self,
        program: str,
        files: Mapping[str, str],
        limits: Limits,
        /,
        *,
        stdin: bytes = b"",
        streams: Streams | None = None,
        warm: Sequence[str] = (),
    ) -> Execution:
        """Run a program; see `protocols.Sandbox`."""
        self._chosen()
        with self._zygote(tuple(warm)) as zygote:
            return zygote.run(program, files, limits, stdin, streams)

    def close(self) -> None:
        """End all interpreters; what is running fails, and nothing runs again."""
        with self._lock:
            idle, self._idle, self._closed = self._idle, {}, True
            for zygote in self._busy:
                zygote.kill()
        for waiting in idle.values():
            while not waiting.empty():
                waiting.get().close()
        self._starter.shutdown()

    def _chosen(self) -> Launch:
        with self._lock:
            if self._launch is None:
                self._launch = self._choose()
            return self._launch

    def _choose(self) -> Launch:
        for backend in self._backends:
            try:
                made = launch(backend)
                zygote = self._start(made)
            except ComponentError as error:
                self._failed.append(f"{backend}: {error}")
                continue
            found = [] if backend == NONE else leaks(partial(_plain, zygote))
            if not found:
                self._idle[()] = queue.SimpleQueue()
                self._idle[()].put(zygote)
                return made
            zygote.close()
            self._failed.append(f"{backend} does not stop: {', '.join(found)}")
        wanted = "; or ".join(MISSING[b] for b in self._backends if b in MISSING)
        raise ComponentError(
            f"no sandbox holds on this machine ({'; '.join(self._failed)}): {wanted}"
        )

    def _start(self, made: Launch, warm: tuple[str, ...] = ()) -> Zygote:
        try:
            starting = self._starter.submit(Zygote, made, warm)
        except RuntimeError:
            raise ComponentError("the sandbox is closed") from None
        return starting.result()

    @contextmanager
    def _zygote(self, warm: tuple[str, ...]) -> Iterator[Zygote]:
        """Lend a warm interpreter; one that failed is not used again."""
        with self._lock:
            idle = self._idle.setdefault(warm, queue.SimpleQueue())
        try:
            zygote = idle.get_nowait()
        except queue.Empty:
            zygote = self._start(self._chosen(), warm)
        with self._lock:
            self._busy.add(zygote)
        works = False
        try:
            yield zygote
            works = True
        finally:
            with self._lock:
                self._busy.discard(zygote)
                works = works and not self._closed
                if works:
                    idle.put(zygote)
            if not works:
                zygote.close()


def _plain(zygote: Zygote, program: str, limits: Limits) -> Execution:
    return zygote.run(program, {}, limits)
