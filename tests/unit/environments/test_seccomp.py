"""The filter allows and refuses the same calls on every architecture; the kernel's names say so."""

import re
import struct
from pathlib import Path

import pytest

from instar.environments.sandbox.inside import seccomp

ALLOW, KILL, EPERM, ENOSYS = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026
MACHINES = pytest.mark.parametrize("machine", seccomp.ARCHITECTURES)
PUBLISHED = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}
THREAD, NEW_USER, SIGNAL = 0x3D0F00, 0x10000000, 17  # clone's flags of a thread; SIGCHLD


def verdict(machine, number, *arguments, audit=None):
    """Return what the filter answers to a call, as the kernel would run it."""
    audit = seccomp.ARCHITECTURES[machine][1] if audit is None else audit
    given = struct.pack("<iIQ6Q", number, audit, 0, *arguments, *(0,) * (6 - len(arguments)))
    code = list(struct.iter_unpack("<HBBI", seccomp.program(machine)))
    place = held = 0
    while True:
        operation, yes, no, value = code[place]
        place += 1
        if operation == 0x20:  # load
            (held,) = struct.unpack_from("<I", given, value)
        elif operation == 0x54:  # and
            held &= value
        elif operation == 0x15:  # jump if equal
            place += yes if held == value else no
        else:
            assert operation == 0x06  # return
            return value


def checked(machine, name):
    return seccomp._CHECKED[name][seccomp.ARCHITECTURES[machine][0]]


@MACHINES
def test_the_listed_calls_are_allowed_and_every_other_number_is_refused(machine):
    column = seccomp.ARCHITECTURES[machine][0]
    listed = {n[column] for n in seccomp.CALLS.values()} - {None}
    special = {n[column] for n in seccomp._CHECKED.values()}
    assert not listed & special
    assert {verdict(machine, n) for n in listed} == {ALLOW}
    others = set(range(1200)) - listed - special
    assert {verdict(machine, n) for n in others} == {EPERM}


@MACHINES
def test_calls_of_another_architecture_kill(machine):
    for audit in (0x40000003, 0x40000028, 0xC0000015):  # i386, ARM, PowerPC
        assert verdict(machine, 0, audit=audit) == KILL


@MACHINES
@pytest.mark.parametrize(
    ("name", "allowed", "refused"),
    [
        ("clone", [(THREAD,)], [(SIGNAL,), (THREAD | NEW_USER,), (0,)]),
        ("socketpair", [(1, 1), (1, 1 | 0x80000)], [(1, 2), (2, 1), (16, 3)]),
        ("kill", [(seccomp.PID, 9)], [(1, 9), (0, 9), (2**32 - 1, 9)]),
        ("tgkill", [(seccomp.PID, 1, 9)], [(1, 1, 9)]),
        ("fcntl", [(0, 1), (0, 3)], [(0, 8, 1), (0, 10, 9), (0, 15)]),
        ("ioctl", [(0, 0x5401)], [(0, 0x5412)]),  # TIOCSTI
        ("prlimit64", [(0, 7)], [(1, 7)]),
        ("prctl", [(15,)], [(1, 0), (22, 2), (38, 0)]),
    ],
)
def test_some_calls_are_allowed_for_some_arguments(machine, name, allowed, refused):
    number = checked(machine, name)
    assert {verdict(machine, number, *a) for a in allowed} == {ALLOW}
    assert {verdict(machine, number, *a) for a in refused} == {EPERM}
    assert verdict(machine, checked(machine, "clone3")) == ENOSYS


@MACHINES
def test_the_numbers_are_those_the_kernel_publishes(machine):
    if not PUBLISHED[machine].is_file():
        pytest.skip("no kernel headers here")
    found = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", PUBLISHED[machine].read_text())
    numbers = {name: int(number) for name, number in found}
    numbers.setdefault("newfstatat", numbers.get("fstatat"))
    column = seccomp.ARCHITECTURES[machine][0]
    used = {n: c[column] for n, c in {**seccomp.CALLS, **seccomp._CHECKED}.items()}
    there = {n: c for n, c in used.items() if n in numbers}
    assert there == {n: numbers[n] for n in there}
    # What has no number on an architecture is not published there either.
    assert all(n not in numbers for n, c in used.items() if c is None)
    assert {n for n, c in used.items() if c is not None and n not in numbers} <= {
        "faccessat2", "close_range",
    }  # fmt: skip


def test_an_architecture_without_a_table_is_refused():
    with pytest.raises(OSError, match="no system call table for riscv64"):
        seccomp.program("riscv64")
