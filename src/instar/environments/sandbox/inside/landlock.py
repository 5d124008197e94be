"""The files a program may see, by Landlock: read-only folders, one scratch folder, nothing else."""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Sequence

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # the same numbers on every architecture
_EXECUTE, _WRITE, _READ, _LIST = 1, 2, 4, 8
# Bits of the file-system rights each ABI knows; from linux/landlock.h.
_RIGHTS = {1: 0x1FFF, 2: 0x3FFF, 3: 0x7FFF, 4: 0x7FFF, 5: 0xFFFF}
_REMOVE_DIR, _REMOVE_FILE, _MAKE_DIR, _MAKE_FILE, _TRUNCATE = 0x10, 0x20, 0x80, 0x100, 0x4000
_READABLE = _EXECUTE | _READ | _LIST
_SCRATCH = _READ | _WRITE | _LIST | _REMOVE_FILE | _MAKE_FILE | _TRUNCATE


def abi(libc: ctypes.CDLL) -> int:
    """Return the kernel's Landlock version, 0 without."""
    return max(0, int(libc.syscall(_CREATE, None, 0, 1)))


def restrict(
    libc: ctypes.CDLL,
    readable: Sequence[str],
    scratch: str,
    devices: Sequence[str],
    folders: bool,
) -> None:
    """Take everything but these from this process, for ever; `no_new_privs` must be set.

    Args:
        libc: with `use_errno`.
        readable: what may be read and executed.
        scratch: what files may be made in.
        devices: what may be read and written.
        folders: whether folders may be made in the scratch folder too.

    Raises:
        OSError: if the kernel refuses.
    """
    known = abi(libc)
    if known == 0:
        raise OSError("the kernel has no Landlock")
    rights = _RIGHTS[min(known, 5)]
    # Later kernels also refuse TCP ports (4) and signals and abstract sockets outside (6).
    size = 24 if known >= 6 else 16 if known >= 4 else 8
    ruleset = libc.syscall(_CREATE, struct.pack("<QQQ", rights, 3, 3)[:size], size, 0)
    if ruleset < 0:
        raise OSError(ctypes.get_errno(), "landlock_create_ruleset")
    for path in readable:
        _allow(libc, ruleset, path, _READABLE & rights)
    for path in devices:
        _allow(libc, ruleset, path, (_READ | _WRITE) & rights)
    making = _SCRATCH | (_MAKE_DIR | _REMOVE_DIR if folders else 0)
    _allow(libc, ruleset, scratch, making & rights)
    if libc.syscall(_RESTRICT, ruleset, 0) != 0:
        raise OSError(ctypes.get_errno(), "landlock_restrict_self")
    os.close(ruleset)


def _allow(libc: ctypes.CDLL, ruleset: int, path: str, rights: int) -> None:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(handle).st_mode):
            rights &= _EXECUTE | _READ | _WRITE | _TRUNCATE
        rule = struct.pack("<Qi", rights, handle)
        if libc.syscall(_ADD, ruleset, 1, rule, 0) != 0:
            raise OSError(ctypes.get_errno(), f"landlock_add_rule {path}")
    finally:
        os.close(handle)
