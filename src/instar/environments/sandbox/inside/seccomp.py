"""The system calls a program may make: a list of allowed ones, compiled to a BPF filter.

Nothing changes a file's mode, owner or times, since Landlock does not see that. Everything else
fails with EPERM: no socket but a connected pair, no new process, no other program,
no signal but to itself, no namespace, no mount, no tracing, no keyring, no io_uring, no BPF.
"""

from __future__ import annotations

import ctypes
import struct

# Linux numbers of each call: (x86_64, aarch64); None where the architecture has no such call.
CALLS: dict[str, tuple[int | None, int | None]] = {
    "read": (0, 63), "write": (1, 64), "readv": (19, 65), "writev": (20, 66),
    "pread64": (17, 67), "pwrite64": (18, 68), "preadv": (295, 69), "pwritev": (296, 70),
    "sendfile": (40, 71), "copy_file_range": (326, 285), "lseek": (8, 62),
    "open": (2, None), "openat": (257, 56), "close": (3, 57), "close_range": (436, 436),
    "stat": (4, None), "lstat": (6, None), "fstat": (5, 80), "newfstatat": (262, 79),
    "statx": (332, 291), "statfs": (137, 43), "fstatfs": (138, 44), "access": (21, None),
    "faccessat": (269, 48), "faccessat2": (439, 439), "getdents64": (217, 61),
    "readlink": (89, None), "readlinkat": (267, 78), "getcwd": (79, 17), "chdir": (80, 49),
    "fchdir": (81, 50), "mkdir": (83, None), "mkdirat": (258, 34), "rmdir": (84, None),
    "unlink": (87, None), "unlinkat": (263, 35), "rename": (82, None), "renameat": (264, 38),
    "renameat2": (316, 276), 
    "ftruncate": (77, 46), "fallocate": (285, 47),
    "fsync": (74, 82), "fdatasync": (75, 83), "flock": (73, 32), "umask": (95, 166),
    "dup": (32, 23), "dup2": (33, None), "dup3": (292, 24),
    "pipe": (22, None), "pipe2": (293, 59), "poll": (7, None), "ppoll": (271, 73),
    "select": (23, None), "pselect6": (270, 72), "epoll_create": (213, None),
    "epoll_create1": (291, 20), "epoll_ctl": (233, 21), "epoll_wait": (232, None),
    "epoll_pwait": (281, 22), "eventfd2": (290, 19),
    "sendto": (44, 206), "recvfrom": (45, 207), "shutdown": (48, 210),
    "getsockopt": (55, 209), "setsockopt": (54, 208), "getsockname": (51, 204),
    "getpeername": (52, 205),
    "mmap": (9, 222), "munmap": (11, 215), "mremap": (25, 216), "mprotect": (10, 226),
    "madvise": (28, 233), "mincore": (27, 232), "msync": (26, 227), "brk": (12, 214),
    "membarrier": (324, 283), "mbind": (237, 235), "get_mempolicy": (239, 236),
    "set_mempolicy": (238, 237),
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139),
    "rt_sigpending": (127, 136), "rt_sigtimedwait": (128, 137), "rt_sigsuspend": (130, 133),
    "sigaltstack": (131, 132), "pause": (34, None), "restart_syscall": (219, 128),
    "getpid": (39, 172), "gettid": (186, 178), "getppid": (110, 173), "getpgrp": (111, None),
    "getpgid": (121, 155), "getsid": (124, 156), "getuid": (102, 174), "geteuid": (107, 175),
    "getgid": (104, 176), "getegid": (108, 177), "getgroups": (115, 158),
    "getresuid": (118, 148), "getresgid": (120, 150),
    "getrandom": (318, 278), "uname": (63, 160), "sysinfo": (99, 179), "times": (100, 153),
    "getrusage": (98, 165), "getrlimit": (97, 163), "getpriority": (140, 141),
    "clock_gettime": (228, 113), "clock_getres": (229, 114), "clock_nanosleep": (230, 115),
    "nanosleep": (35, 101), "gettimeofday": (96, 169), "time": (201, None), "alarm": (37, None),
    "setitimer": (38, 103), "getitimer": (36, 102), "timerfd_create": (283, 85),
    "timerfd_settime": (286, 86), "timerfd_gettime": (287, 87),
    "sched_yield": (24, 124), "sched_getaffinity": (204, 123), "sched_getparam": (143, 121),
    "sched_getscheduler": (145, 120), "sched_get_priority_max": (146, 125),
    "sched_get_priority_min": (147, 126), "getcpu": (309, 168),
    "futex": (202, 98), "set_robust_list": (273, 99), "get_robust_list": (274, 100),
    "rseq": (334, 293), "set_tid_address": (218, 96), "arch_prctl": (158, None),
    "exit": (60, 93), "exit_group": (231, 94),
}  # fmt: skip

# Allowed for some arguments only; see `_bodies`.
_CHECKED: dict[str, tuple[int, int]] = {
    "clone": (56, 220), "clone3": (435, 435), "socketpair": (53, 199), "fcntl": (72, 25),
    "kill": (62, 129), "tgkill": (234, 131), "ioctl": (16, 29), "prlimit64": (302, 261),
    "prctl": (157, 167),
}  # fmt: skip

PID = 0x7E57ED1D  # larger than the kernel's largest process id, 2**22
ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column, audit number

_LOAD, _EQUAL, _AND, _RETURN = 0x20, 0x15, 0x54, 0x06
_ALLOW, _KILL = 0x7FFF0000, 0x80000000
_EPERM, _ENOSYS = 0x00050001, 0x00050026
_THREAD = 0x00010000  # CLONE_THREAD
_NAMESPACES = 0x7E020080  # CLONE_NEW*
_IOCTLS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)  # TCGETS, size, FIONREAD, FIONBIO, CLOEX
_OWNERS = (8, 10, 15)  # F_SETOWN, F_SETSIG, F_SETOWN_EX: they make the kernel send a signal
_PRCTLS = (15, 16)  # PR_SET_NAME, PR_GET_NAME


def program(machine: str) -> bytes:
    """Return the filter on this architecture as sock_filter records, `PID` for the process's id.

    Raises:
        OSError: for an architecture without a table.
    """
    if machine not in ARCHITECTURES:
        raise OSError(f"there is no system call table for {machine}")
    column, audit = ARCHITECTURES[machine]
    code = [
        _op(_LOAD, 4),  # the architecture of this call
        _op(_EQUAL, audit, 1, 0),
        _op(_RETURN, _KILL),
        _op(_LOAD, 0),  # the call's number
    ]
    for numbers in CALLS.values():
        if (number := numbers[column]) is not None:
            code += [_op(_EQUAL, number, 0, 1), _op(_RETURN, _ALLOW)]
    for name, body in _bodies().items():
        skip = len(body)
        code += [_op(_EQUAL, _CHECKED[name][column], 0, skip), *body]
    return b"".join([*code, _op(_RETURN, _EPERM)])


def _bodies() -> dict[str, list[bytes]]:
    """Return the checks of arguments; each ends in a return."""
    return {
        "clone": [
            _op(_LOAD, _low(0)),
            _op(_AND, _THREAD | _NAMESPACES),
            _op(_EQUAL, _THREAD, 1, 0),
            _op(_RETURN, _EPERM),
            _op(_RETURN, _ALLOW),
        ],
        "clone3": [_op(_RETURN, _ENOSYS)],  # its flags are in memory; libraries fall back to clone
        # Connected streams only: a datagram socket could be sent from to anyone's.
        "socketpair": [*_among(0, (1,)), _op(_LOAD, _low(1)), _op(_AND, 0xFF), *_equal(1)],
        "fcntl": [
            _op(_LOAD, _low(1)),
            *(_op(_EQUAL, value, len(_OWNERS) - place, 0) for place, value in enumerate(_OWNERS)),
            _op(_RETURN, _ALLOW),
            _op(_RETURN, _EPERM),
        ],
        "kill": _among(0, (PID,), last=True),
        "tgkill": _among(0, (PID,), last=True),
        "ioctl": _among(1, _IOCTLS, last=True),
        "prlimit64": _among(0, (0,), last=True),
        "prctl": _among(0, _PRCTLS, last=True),
    }


def _among(argument: int, values: tuple[int, ...], last: bool = False) -> list[bytes]:
    """Go on, or allow if that is `last`, when the argument is one of the values; else refuse."""
    code = [_op(_LOAD, _low(argument))]
    for place, value in enumerate(values):
        code.append(_op(_EQUAL, value, len(values) - place, 0))
    code.append(_op(_RETURN, _EPERM))
    return [*code, _op(_RETURN, _ALLOW)] if last else code


def _equal(value: int) -> list[bytes]:
    return [_op(_EQUAL, value, 1, 0), _op(_RETURN, _EPERM), _op(_RETURN, _ALLOW)]


def _low(argument: int) -> int:
    """Return where the low half of an argument lies in seccomp_data, on little-endian machines."""
    return 16 + 8 * argument


def _op(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("<HBBI", code, yes, no, value & 0xFFFFFFFF)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def install(libc: ctypes.CDLL, code: bytes, pid: int) -> None:
    """Put the filter `code` on this thread, the process `pid`, for ever.

    `no_new_privs` must be set.

    Raises:
        OSError: if the kernel has no seccomp.
    """
    code = code.replace(struct.pack("<I", PID), struct.pack("<I", pid))
    wanted = _Program(len(code) // 8, code)
    if libc.prctl(22, 2, ctypes.byref(wanted), 0, 0) != 0:  # PR_SET_SECCOMP, mode filter
        raise OSError(ctypes.get_errno(), "seccomp")
