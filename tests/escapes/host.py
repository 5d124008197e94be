"""Run every attack on one isolation, as one user, in one kind of machine; print what came of it.

    python tests/escapes/host.py landlock --uid 65500 --container

`--uid` gives up root first; `--container` emulates a container without user namespaces: Docker's
default capabilities, and a filter that refuses unshare, setns, mount, pivot_root, clone with a new
namespace, clone3, bpf, perf and the keyring. Prints one JSON object: name -> [harmless, verdict].
"""

import argparse
import ctypes
import json
import os
import platform
import socket
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2] / "src"))
from attacks import ATTACKS, MILD

from instar.environments.sandbox.inside import seccomp
from instar.environments.sandbox.sandbox import IsolatedSandbox
from instar.types import Limits

VARIABLE = "INSTAR_ESCAPE_SECRET"
LIMITS = Limits(wall=2.0, cpu=1, memory=256 * 2**20, output=2**20, disk=64 * 2**20, files=256)
DOCKER = (0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31)  # its default capabilities
# unshare, setns, mount, umount2, pivot_root, bpf, perf_event_open, keyctl, add_key, request_key,
# io_uring_setup: (x86_64, aarch64)
REFUSED = (
    (272, 97), (308, 268), (165, 40), (166, 39), (155, 41), (321, 280), (298, 241), (250, 219),
    (248, 217), (249, 218), (425, 425),
)  # fmt: skip


def contain() -> None:
    """Be in a container without user namespaces."""
    libc = ctypes.CDLL(None, use_errno=True)
    if os.getuid() == 0:
        for capability in range(41):
            if capability not in DOCKER:
                libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
    op, column = seccomp._op, seccomp.ARCHITECTURES[platform.machine()][0]
    code = [op(seccomp._LOAD, 0)]
    for numbers in REFUSED:
        code += [op(seccomp._EQUAL, numbers[column], 0, 1), op(seccomp._RETURN, seccomp._EPERM)]
    code += [op(seccomp._EQUAL, 435, 0, 1), op(seccomp._RETURN, seccomp._ENOSYS)]
    code += [
        op(seccomp._EQUAL, (56, 220)[column], 0, 4),
        op(seccomp._LOAD, seccomp._low(0)),
        op(seccomp._AND, seccomp._NAMESPACES),
        op(seccomp._EQUAL, 0, 1, 0),
        op(seccomp._RETURN, seccomp._EPERM),
        op(seccomp._RETURN, seccomp._ALLOW),
    ]
    text = b"".join(code)
    wanted = seccomp._Program(len(text) // 8, text)
    libc.prctl(38, 1, 0, 0, 0)
    if libc.prctl(22, 2, ctypes.byref(wanted), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "seccomp")


def listeners(place: Path) -> dict[str, object]:
    """Open what a program might reach, on this host."""
    tcp = socket.create_server(("127.0.0.1", 0))
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(str(place / "socket"))
    unix.listen()
    name = f"instar-escape-{os.getpid()}"
    abstract = socket.socket(socket.AF_UNIX)
    abstract.bind(f"\0{name}")
    abstract.listen()
    datagram = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    datagram.bind(f"\0{name}-datagram")
    return {
        "kept": (tcp, unix, abstract, datagram),
        "port": tcp.getsockname()[1],
        "unix": str(place / "socket"),
        "abstract": name,
    }


def descendants() -> set[int]:
    """Return the processes that are children of this one, at any depth."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(path.parent.name)] = int(fields[1])
    found, more = {os.getpid()}, True
    while more:
        new = {p for p, parent in parents.items() if parent in found} - found
        found |= new
        more = bool(new)
    return found - {os.getpid()}


def fill(program: str, values: dict[str, object]) -> str:
    """Put what exists on this host into an attack; other braces stand for themselves."""
    for name, value in values.items():
        program = program.replace(f"{{{name}!r}}", repr(value)).replace(f"{{{name}}}", str(value))
    return program.replace("{{}}", "{}")


def attacked(backend: str) -> dict[str, list[object]]:
    """Return name -> [harmless, verdict] of every attack."""
    os.environ[VARIABLE] = "secret"
    sandbox = IsolatedSandbox([backend])
    found: dict[str, list[object]] = {}
    with tempfile.TemporaryDirectory(prefix="instar-escape-") as name:
        place = Path(name)
        secret, outside = place / "secret", place / "made"
        values = {
            "secret": str(secret), "outside": str(outside), "variable": VARIABLE,
            "pid": os.getpid(), **listeners(place),
        }  # fmt: skip
        sandbox.run("print('ready')", {}, LIMITS)
        before = descendants()
        tried = ATTACKS if backend != "none" else {title: ATTACKS[title] for title in MILD}
        for title, program in tried.items():
            secret.write_text("secret")
            secret.chmod(0o600)
            ended = sandbox.run(fill(program, values), {}, LIMITS)
            signs = [
                b"LEAK" in ended.stdout,
                outside.exists(),
                not secret.exists() or secret.read_text() != "secret",
                secret.exists() and secret.stat().st_mode & 0o777 != 0o600,
                Path("/tmp/instar-escape").exists(),
                Path("/dev/shm/instar-escape").exists(),
                not descendants() <= before,
                ended.seconds > LIMITS.wall + 2,
                len(ended.stdout) > LIMITS.output,
            ]
            told = ended.ended if ended.ended != "exit" else f"exit {ended.code}"
            found[title] = [not any(signs), told]
    sandbox.close()
    return found


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("backend")
    options.add_argument("--uid", type=int)
    options.add_argument("--container", action="store_true")
    given = options.parse_args()
    if given.container:
        contain()
    if given.uid is not None:
        os.setgroups([])
        os.setresgid(given.uid, given.uid, given.uid)
        os.setresuid(given.uid, given.uid, given.uid)
    print(json.dumps(attacked(given.backend)))


if __name__ == "__main__":
    main()
