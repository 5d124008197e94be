"""One warm interpreter behind an isolation, and the programs it runs, one at a time."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import instar
from instar.errors import ComponentError
from instar.types import Execution, Limits

START = 120.0  # seconds an interpreter may take to import, or compile, what it keeps loaded; ours
GRACE = 5.0  # seconds from the kill to the word that the process is gone; ours
TICK = 0.02  # seconds between looks at the scratch folder; ours
CHUNK = 1 << 16  # bytes

Streams = tuple[BinaryIO, BinaryIO]


@dataclass(frozen=True, kw_only=True)
class Launch:
    """How an interpreter is started behind an isolation.

    `before` is what stands before the interpreter on the command line; `level` is what
    `inside.server.serve` does; `readable` are the folders a program may read; `cache` is where
    `wasi` keeps its compiled interpreter, and `packages` where what it needs is installed.
    """

    level: str
    before: tuple[str, ...]
    interpreter: str
    readable: tuple[str, ...]
    cache: str = ""
    packages: tuple[str, ...] = ()


class Zygote:
    """A warm interpreter; `run` is for one thread at a time.

    Raises:
        ComponentError: if it does not start, with what it said.
    """

    def __init__(self, launch: Launch, warm: Sequence[str] = ()) -> None:
        if warm and launch.level == "wasi":
            raise ComponentError(f"wasi has the standard library alone, not {', '.join(warm)}")
        self._launch = launch
        self._link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        source = str(Path(instar.__file__).parent.parent)
        # First, so that it is this code that runs there even where another version is installed.
        paths = [[], [source]] if (installed := _installed(source)) else [[source], []]
        given = (launch.level, list(launch.readable), list(warm), launch.cache)
        start = (
            f"import sys; sys.path[:0] = {paths[0]!r}; "
            f"sys.path += {[*paths[1], *launch.packages]!r}; "
            "from instar.environments.sandbox.inside.server import serve; "
            f"sys.path.remove({source!r}) if {not installed} else None; "
            f"serve({theirs.fileno()}, *{given!r})"
        )
        with theirs:
            self._process = subprocess.Popen(
                [*launch.before, launch.interpreter, "-I", "-B", "-c", start],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=_environment(),
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                cwd="/",
            )
        if not self._heard(START):
            self.close()
            assert self._process.stderr is not None
            told = self._process.stderr.read().decode("utf-8", "replace").strip().splitlines()
            raise ComponentError(told[-1][:300] if told else "it did not start")

    def run(
        self,
        program: str,
        files: Mapping[str, str],
        limits: Limits,
        stdin: bytes = b"",
        streams: Streams | None = None,
    ) -> Execution:
        """Run one program to its end; see `protocols.Sandbox`.

        Raises:
            ComponentError: if the interpreter itself is gone; start another one.
        """
        for name in files:
            if not name or "/" in name or "\0" in name or name in (".", ".."):
                raise ValueError(f"{name!r} is not the name of a file")
        scratch = Path(tempfile.mkdtemp(prefix="instar-sandbox-"))
        try:
            with _Handles(program, files, streams) as handles:
                request = {
                    "limits": {
                        "memory": limits.memory,
                        "cpu": limits.cpu,
                        "disk": limits.disk,
                        "files": limits.files,
                        "handles": limits.handles,
                    },
                    "scratch": str(scratch),
                }
                try:
                    theirs = handles.theirs()
                    socket.send_fds(self._link, [json.dumps(request).encode()], theirs)
                except OSError as error:
                    raise ComponentError(f"the sandbox is gone: {error}") from error
                handles.close_theirs()
                return self._follow(handles, limits, _Talk(limits.output, stdin), scratch)
        finally:
            _remove(scratch)

    def kill(self) -> None:
        """Kill the interpreter under a run, from another thread; the run fails."""
        self._process.kill()

    def close(self) -> None:
        """End the interpreter and whatever it runs."""
        self._link.close()
        self._process.kill()
        self._process.wait()

    def _follow(self, handles: _Handles, limits: Limits, talk: _Talk, scratch: Path) -> Execution:
        """Feed and read the program until it is dead; kill it when it goes beyond its limits."""
        started = time.monotonic()
        ended: str | None = None
        poll = select.poll()
        for handle in (self._link.fileno(), *handles.read):
            poll.register(handle, select.POLLIN)
        if handles.stdin is not None:
            poll.register(handles.stdin, select.POLLOUT)
        while True:
            spent = time.monotonic() - started
            if ended is None:
                beyond = "timeout" if spent >= limits.wall else None
                beyond = beyond or talk.beyond or _too_much(scratch, limits)
                if beyond is not None:
                    ended = self._kill(beyond)
            elif spent > limits.wall + GRACE:
                raise ComponentError("the sandbox does not answer")
            ready = {n for n, _ in poll.poll(1000 * TICK)}
            _exchange(handles, talk, poll, ready)
            if self._link.fileno() in ready:
                return self._end(talk, handles, ended, time.monotonic() - started)

    def _kill(self, why: str) -> str:
        with contextlib.suppress(OSError):
            self._link.send(b"k")
        return why

    def _end(self, talk: _Talk, handles: _Handles, ended: str | None, seconds: float) -> Execution:
        try:
            message = self._link.recv(CHUNK)
        except OSError:
            message = b""
        if not message:
            raise ComponentError("the sandbox is gone")
        told = json.loads(message)
        for handle, place in handles.read.items():
            while talk.read(place, handle):
                pass
        code = int(told["code"])
        return Execution(
            ended=ended or told["beyond"] or talk.beyond or ("exit" if code >= 0 else "signal"),
            code=code,
            stdout=bytes(talk.output[0][: talk.most]),
            stderr=bytes(talk.output[1][: talk.most]),
            seconds=seconds,
            cpu=told["cpu"],
            memory=told["memory"],
        )

    def _heard(self, seconds: float) -> bool:
        ready, _, _ = select.select([self._link], [], [], seconds)
        try:
            return bool(ready) and self._link.recv(16) == b"ready"
        except OSError:
            return False


@dataclass
class _Talk:
    """What goes to a program and comes from it, and whether that is too much."""

    most: int
    stdin: bytes
    beyond: str | None = None
    output: tuple[bytearray, bytearray] = field(default_factory=lambda: (bytearray(), bytearray()))

    def feed(self, handle: int) -> bool:
        """Write what the program has not got yet; say whether that was all of it."""
        try:
            written = os.write(handle, self.stdin[:CHUNK]) if self.stdin else 0
        except BlockingIOError:
            return False
        except OSError:  # it closed its input
            self.stdin, written = b"", 0
        self.stdin = self.stdin[written:]
        return not self.stdin

    def read(self, place: int, handle: int) -> bool:
        """Take what the program wrote; say whether there may be more."""
        try:
            data = os.read(handle, CHUNK)
        except BlockingIOError:
            return False
        if not data:
            return False
        got = self.output[place]
        got += data[: max(0, self.most + 1 - len(got))]
        if len(got) > self.most:
            self.beyond = "output"
        return True


class _Handles:
    """The handles of one run: ours stay open until the end, theirs until they are sent.

    `read` says what each handle to read is: 0 for standard output, 1 for standard error. With
    `streams`, standard input and output are those, and nothing of them is here.
    """

    def __init__(self, program: str, files: Mapping[str, str], streams: Streams | None) -> None:
        self._open: set[int] = set()
        self._streams = streams or ()
        self.stdin: int | None = None
        self.read: dict[int, int] = {}
        text = json.dumps({"program": program, "files": dict(files)})
        given = self._keep(os.memfd_create("program", os.MFD_CLOEXEC))
        _write_all(given, text.encode("ascii"))
        os.lseek(given, 0, os.SEEK_SET)
        if streams is None:
            their_in, self.stdin = map(self._keep, os.pipe2(os.O_CLOEXEC))
            os.set_blocking(self.stdin, False)
            inner = [their_in, self._readable(0)]
        else:
            inner = [stream.fileno() for stream in streams]
        self._theirs = [given, *inner, self._readable(1)]

    def __enter__(self) -> _Handles:
        return self

    def __exit__(self, *_: object) -> None:
        for handle in list(self._open):
            self._close(handle)

    def theirs(self) -> list[int]:
        """Return the handles to send: the program and its standard streams."""
        return self._theirs

    def close_theirs(self) -> None:
        """Close our copies of what was sent."""
        for handle in self._theirs:
            self._close(handle)
        for stream in self._streams:
            stream.close()

    def close_stdin(self) -> None:
        """Tell the program that its input ends here."""
        assert self.stdin is not None
        self._close(self.stdin)

    def _readable(self, place: int) -> int:
        """Make a pipe that the program writes to; return its end of it."""
        ours, theirs = map(self._keep, os.pipe2(os.O_CLOEXEC))
        os.set_blocking(ours, False)
        self.read[ours] = place
        return theirs

    def _keep(self, handle: int) -> int:
        self._open.add(handle)
        return handle

    def _close(self, handle: int) -> None:
        if handle in self._open:
            self._open.remove(handle)
            os.close(handle)


def _exchange(handles: _Handles, talk: _Talk, poll: select.poll, ready: set[int]) -> None:
    """Move what can be moved now, in both directions."""
    if handles.stdin in ready and talk.feed(handles.stdin):
        poll.unregister(handles.stdin)
        handles.close_stdin()
    for handle, place in handles.read.items():
        if handle in ready and not talk.read(place, handle):
            poll.unregister(handle)


def _write_all(handle: int, data: bytes) -> None:
    while data:
        data = data[os.write(handle, data) :]


def _too_much(scratch: Path, limits: Limits) -> str | None:
    """Say whether the scratch folder on our side holds more than it may."""
    count = size = 0
    folders = [str(scratch)]
    while folders and count <= limits.files and size <= limits.disk:
        with contextlib.suppress(OSError), os.scandir(folders.pop()) as found:
            for entry in found:
                count += 1
                size += entry.stat(follow_symlinks=False).st_size
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
    return "disk" if count > limits.files or size > limits.disk else None


def _remove(folder: Path) -> None:
    """Remove a folder, however deep a program nested others in it."""
    try:
        shutil.rmtree(folder)
    except (OSError, RecursionError):
        subprocess.run(["rm", "-rf", "--", str(folder)], check=False, stderr=subprocess.DEVNULL)


def _environment() -> dict[str, str]:
    """Return all that is in a program's environment: nothing of ours."""
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": "/nonexistent",
        "LANG": "C.UTF-8",
        "PYTHONHASHSEED": "0",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }


def _installed(source: str) -> bool:
    return Path(source).name in ("site-packages", "dist-packages")
