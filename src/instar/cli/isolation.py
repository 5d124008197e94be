"""What this machine gives to isolate code that a model wrote."""

from __future__ import annotations

import platform
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from instar.cli import output
from instar.environments.sandbox.backends import MISSING, ORDER
from instar.environments.sandbox.sandbox import IsolatedSandbox
from instar.errors import ComponentError
from instar.types import Limits

RUNS = 5  # trivial programs, for the median; ours


@dataclass(frozen=True, kw_only=True)
class Tried:
    """One isolation on this machine: does it hold, why not, milliseconds of a trivial program."""

    isolation: str
    holds: bool
    why: str
    milliseconds: float | None = None


def show(as_document: bool) -> None:
    """Print what each isolation does to the canaries, and which one a run would use.

    Raises:
        ComponentError: if none holds.
    """
    with ThreadPoolExecutor(len(ORDER)) as pool:
        found = list(pool.map(_tried, ORDER))
    chosen = next((t.isolation for t in found if t.holds), None)
    if as_document:
        output.as_json({"chosen": chosen, "tried": found})
    else:
        rows = [
            [
                t.isolation,
                "holds" if t.holds else "does not hold",
                f"{t.milliseconds:.1f} ms" if t.milliseconds is not None else "",
                t.why,
            ]
            for t in found
        ]
        kernel = f"{platform.system()} {platform.release()}, {platform.machine()}"
        output.table(kernel, ["isolation", "canaries", "a trivial program", "why"], rows)
        if chosen is not None:
            output.line(f"a run would use {chosen}")
    if chosen is None:
        raise ComponentError("no sandbox holds here: " + "; or ".join(MISSING.values()))


def _tried(name: str) -> Tried:
    sandbox = IsolatedSandbox([name])
    try:
        sandbox.facts()
        spent = []
        for _ in range(RUNS):
            started = time.perf_counter()
            sandbox.run("", {}, Limits())
            spent.append(1000 * (time.perf_counter() - started))
    except ComponentError as error:
        return Tried(isolation=name, holds=False, why=str(error))
    finally:
        sandbox.close()
    return Tried(
        isolation=name,
        holds=True,
        why="stopped: network, reading and writing outside, environment, new process, memory",
        milliseconds=sorted(spent)[RUNS // 2],
    )
