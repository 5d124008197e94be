"""A warm interpreter that forks one process per program, and says how each of them ended.

It answers one request at a time on a socket: a request is a line of JSON with four file handles
(the program, and its standard streams); a byte sent while a program runs kills it. It holds nothing
worth reading, and its children take everything from themselves before the program's first line.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import resource
import select
import signal
import socket
import stat
import sys
from typing import TYPE_CHECKING, Any

from instar.environments.sandbox.inside import landlock, seccomp
from instar.environments.sandbox.inside.program import execute

if TYPE_CHECKING:
    from instar.environments.sandbox.inside.wasm import Runtime

MOUNTED = "/sandbox"  # where the scratch folder is mounted, in a mount namespace of its own
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
KILL = b"k"  # what the other side sends to have the program killed
TICK = 20  # milliseconds between looks at what a program holds; ours
BROKEN = 125  # exit status of a child that could not be isolated

_PRIVATE, _TMPFS = 0x44000, 0x6  # MS_REC|MS_PRIVATE; MS_NOSUID|MS_NODEV
_NEW_MOUNTS = 0x20000


def serve(handle: int, level: str, readable: list[str], warm: list[str], cache: str) -> None:
    """Answer requests until the other end is closed.

    Args:
        handle: the socket.
        level: `bwrap` (namespaces are made, each program gets a mounted scratch folder),
            `landlock`, `wasi`, or `none` (limits alone).
        readable: folders of the interpreter.
        warm: modules imported now, so that programs find them loaded; of instar, they find only
            these.
        cache: the folder where `wasi` keeps its compiled interpreter.
    """
    runtime = _runtime(cache) if level == "wasi" else None
    for name in warm:
        importlib.import_module(name)
    for name in [n for n in sys.modules if n.partition(".")[0] == "instar" and n not in warm]:
        del sys.modules[name]
    libc = ctypes.CDLL(None, use_errno=True)
    calls = seccomp.program(os.uname().machine) if level in ("bwrap", "landlock") else None
    gc.collect()
    gc.freeze()  # a collection in a child would copy every page it looks at
    with socket.socket(fileno=handle) as link:
        link.send(b"ready")
        while True:
            message, handles, _, _ = socket.recv_fds(link, 1 << 16, 4)
            if not message:
                return
            if message == KILL:  # it came when the program had just ended by itself
                continue
            asked = json.loads(message)
            pid = os.fork()
            if pid == 0:
                _become(libc, (level, runtime, calls), readable, asked, handles)
            for each in handles:
                os.close(each)
            # A mounted scratch folder counts files without a name itself.
            _watch(link, pid, None if level == "bwrap" else asked["limits"]["disk"])


def _runtime(cache: str) -> Runtime:
    # Imported here: the other isolations fork the faster the less is loaded.
    from instar.environments.sandbox.inside.wasm import Runtime

    return Runtime(cache)


def _watch(link: socket.socket, pid: int, disk: int | None) -> None:
    """Wait for the child's end, or for a reason to kill it; say how it ended."""
    watched = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(link, select.POLLIN)
    poll.register(watched, select.POLLIN)
    beyond = None
    while True:
        ready = [found for found, _ in poll.poll(None if disk is None else TICK)]
        if watched in ready:
            break
        if link.fileno() in ready:
            link.recv(1)
            poll.unregister(link)
        elif disk is None or _nameless(pid) <= disk:
            continue
        else:
            beyond, disk = "disk", None
        os.kill(pid, signal.SIGKILL)
    os.close(watched)
    _, status, used = os.wait4(pid, 0)
    ended = {
        "code": os.waitstatus_to_exitcode(status),
        "cpu": used.ru_utime + used.ru_stime,
        "memory": used.ru_maxrss * 1024,
        "beyond": beyond,
    }
    link.send(json.dumps(ended).encode())


def _nameless(pid: int) -> int:
    """Return the bytes of files that a child holds open and removed: no folder shows them."""
    size = 0
    with contextlib.suppress(OSError), os.scandir(f"/proc/{pid}/fd") as found:
        for entry in found:
            with contextlib.suppress(OSError):
                there = entry.stat()
                size += there.st_size if stat.S_ISREG(there.st_mode) and not there.st_nlink else 0
    return size


def _become(
    libc: ctypes.CDLL,
    isolation: tuple[str, Runtime | None, bytes | None],
    readable: list[str],
    asked: dict[str, Any],
    handles: list[int],
) -> None:
    """Be the program: take everything away, then run it. Does not return."""
    level, runtime, calls = isolation
    try:
        libc.prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG: not to outlive the server
        for place, each in enumerate(handles[1:]):
            os.dup2(each, place)
        with open(handles[0], "rb") as file:
            given = json.loads(file.read())
        if runtime is None:  # WebAssembly reaches no handle, and wasmtime needs its own
            os.closerange(3, 4096)
        limits = asked["limits"]
        scratch = _scratch(libc, level, asked["scratch"], limits)
        for name, text in given["files"].items():
            with open(os.path.join(scratch, name), "wb") as file:
                file.write(text.encode("utf-8", "surrogateescape"))
        _limit(limits, address_space=level != "wasi")
        _drop(libc, level)
        mounted = level == "bwrap"
        if level == "landlock" or (mounted and landlock.abi(libc)):
            landlock.restrict(libc, readable, scratch, DEVICES, folders=mounted)
        if calls is not None:
            seccomp.install(libc, calls, os.getpid())
    except BaseException as error:  # nothing may run half isolated
        os.write(2, f"{type(error).__name__}: {error}".encode())
        os._exit(BROKEN)
    if runtime is not None:
        runtime.execute(given["program"], scratch, limits["memory"])
    execute(given["program"])


def _scratch(libc: ctypes.CDLL, level: str, folder: str, limits: dict[str, int]) -> str:
    """Enter the scratch folder: a file system of its own where there is a mount namespace."""
    if level == "bwrap":
        options = f"size={limits['disk']},nr_inodes={limits['files']},mode=0700"
        _done(libc.unshare(_NEW_MOUNTS), "unshare")
        _done(libc.mount(b"none", b"/", None, _PRIVATE, None), "mount")
        where = MOUNTED.encode()
        _done(libc.mount(b"tmpfs", where, b"tmpfs", _TMPFS, options.encode()), "mount tmpfs")
        folder = MOUNTED
    os.chdir(folder)
    return folder


def _limit(limits: dict[str, int], address_space: bool) -> None:
    """Set what one process may use; it is the only one there will be."""
    with open("/proc/self/statm", "rb", buffering=0) as file:
        mapped = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    cpu = limits["cpu"]
    for what, most in (
        # WebAssembly reserves far more than it uses, and has a limit of its own.
        (resource.RLIMIT_AS, mapped + limits["memory"] if address_space else -1),
        (resource.RLIMIT_CPU, cpu),
        (resource.RLIMIT_FSIZE, limits["disk"]),
        (resource.RLIMIT_NOFILE, limits["handles"]),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
    ):
        with contextlib.suppress(ValueError):  # an outer limit is lower already
            resource.setrlimit(what, (most, most))


def _drop(libc: ctypes.CDLL, level: str) -> None:
    """Give up every capability, for ever.

    The user stays: another one may not be able to read the interpreter (under a home folder), and
    root without capabilities, behind Landlock and the filter, is a user like any other.
    """
    if level != "none":
        libc.prctl(47, 4, 0, 0, 0)  # PR_CAP_AMBIENT, clear all
        header, nothing = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
        _done(libc.capset(header, nothing), "capset")
    _done(libc.prctl(38, 1, 0, 0, 0), "no_new_privs")


def _done(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
