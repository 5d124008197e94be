"""What an isolation must stop, tried on this machine before it is trusted."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from instar.types import Execution, Limits

TRIED = Limits(wall=5.0, cpu=2, memory=128 * 2**20, output=2**16, disk=2**20, files=16)
SAFE = "stopped"


@dataclass(frozen=True)
class Canary:
    """Something a program must not be able to do; `program` prints `stopped` if it could not."""

    name: str
    program: str


def _tried(what: str, errors: str = "OSError") -> str:
    lines = "\n".join(f"    {line}" for line in what.splitlines())
    return f"try:\n{lines}\nexcept ({errors}):\n    print({SAFE!r})\nelse:\n    print('LEAK')\n"


def canaries(secret: str, outside: str) -> list[Canary]:
    """Return what is tried.

    Args:
        secret: a file of the caller's, outside the sandbox.
        outside: a file that is not there, where the caller could make it.
    """
    return [
        Canary("network", _tried("import socket\nsocket.socket()", "OSError, ImportError")),
        Canary("read outside", _tried(f"open({secret!r}).read()")),
        Canary("write outside", _tried(f"open({outside!r}, 'w').write('x')")),
        Canary("environment", f"import os\nprint('LEAK' if {ENVIRONMENT!r} in os.environ else "
               f"{SAFE!r})"),
        Canary("new process", _tried("import os\nif os.fork() == 0: os._exit(0)", "OSError, "
               "AttributeError")),
        Canary("memory", _tried("x = bytearray(300 * 2**20)", "MemoryError")),
    ]  # fmt: skip


ENVIRONMENT = "INSTAR_CANARY"


def leaks(run: Callable[[str, Limits], Execution]) -> list[str]:
    """Return what got through, in words; nothing if the isolation holds.

    Args:
        run: runs a program in the isolation.
    """
    found = []
    with tempfile.TemporaryDirectory(prefix="instar-canary-") as place:
        secret, outside = Path(place) / "secret", Path(place) / "made"
        secret.write_text("secret", encoding="ascii")
        before = os.environ.get(ENVIRONMENT)
        os.environ[ENVIRONMENT] = "secret"
        try:
            working = run("print('runs')", TRIED)
            if working.stdout.strip() != b"runs":
                told = working.stderr.decode("utf-8", "replace").strip().splitlines()
                return [f"nothing runs in it ({told[-1] if told else working.ended})"]
            for canary in canaries(str(secret), str(outside)):
                ended = run(canary.program, TRIED)
                if ended.stdout.strip() != SAFE.encode() or outside.exists():
                    found.append(canary.name)
                outside.unlink(missing_ok=True)
        finally:
            if before is None:
                del os.environ[ENVIRONMENT]
            else:
                os.environ[ENVIRONMENT] = before
    return found
