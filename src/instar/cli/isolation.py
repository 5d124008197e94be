"""What this machine gives to isolate code that a model wrote."""

from __future__ import annotations

import platform
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from instar.cli import output
from instar.environments.sandbox.backends import MISSING, ORDER, at_once
from instar.environments.sandbox.sandbox import IsolatedSandbox
from instar.errors import ComponentError
from instar.types import Limits

RUNS = 3  # trivial programs, for the median; ours


@dataclass(frozen=True, kw_only=True)
class Tried:
    """One isolation on this machine: does it hold, why not, milliseconds of a trivial program.

    `holds` is None where it was not tried.
    """

    isolation: str
    holds: bool | None
    why: str
    milliseconds: float | None = None


def show(as_document: bool) -> None:
    """Print what each isolation does to the canaries, and which one a run would use.

    Raises:
        ComponentError: if none holds.
    """
    found = _all()
    chosen = next((t.isolation for t in found if t.holds), None)
    if as_document:
        output.as_json({"chosen": chosen, "tried": found})
    else:
        rows = [
            [
                t.isolation,
                {True: "holds", False: "does not hold", None: "not tried"}[t.holds],
                f"{t.milliseconds:.1f} ms" if t.milliseconds is not None else "",
                t.why,
            ]
            for t in found
        ]
        kernel = f"{platform.system()} {platform.release()}, {platform.machine()}"
        output.table(kernel, ["isolation", "canaries", "a trivial program", "why"], rows)
        if chosen is not None:
            output.line(f"a run would use {chosen}")
            for stronger in ORDER[: ORDER.index(chosen)]:
                output.line(f"for {stronger}: {MISSING[stronger]}")
    if chosen is None:
        raise ComponentError("no sandbox holds here: " + "; or ".join(MISSING.values()))


def _all() -> list[Tried]:
    """Try every isolation, but compile one for the first time only where no other holds."""
    now = [name for name in ORDER if at_once(name)]
    with ThreadPoolExecutor(len(ORDER)) as pool:
        found = {t.isolation: t for t in pool.map(_tried, now)}
    enough = any(t.holds for t in found.values())
    later = Tried(isolation="", holds=None, why="its first use compiles it, which takes some 10 s")
    for name in ORDER:
        if name not in found:
            found[name] = replace(later, isolation=name) if enough else _tried(name)
    return [found[name] for name in ORDER]


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
        why = "; ".join(sandbox.failed) or str(error)
        return Tried(isolation=name, holds=False, why=why.removeprefix(f"{name}: "))
    finally:
        sandbox.close()
    return Tried(
        isolation=name,
        holds=True,
        why="stopped: network, reading and writing outside, environment, new process, memory",
        milliseconds=sorted(spent)[RUNS // 2],
    )
