"""Running what a model wrote: whole programs on inputs, functions under tests, in the sandbox."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from io import FileIO
from pathlib import Path
from typing import BinaryIO, TypeVar

from instar.acquisition.feedback.environment.programs import SHOWN, Case, Checks, Judged, Result
from instar.protocols import Sandbox
from instar.types import Execution, Limits

R = TypeVar("R")
LONGER = 2.0  # seconds that tests have beyond the program's; ours
VERDICTS = 2**24  # bytes that the verdicts on all tests may take; ours
_INSIDE = Path(__file__).parent / "inside"
_PACKAGE = f"{__name__.rpartition('.')[0]}.inside."
_WARM = (f"{_PACKAGE}candidate", f"{_PACKAGE}tester")
_NEEDS = {"candidate": ("values", "blocks"), "tester": ("values",)}
_PRELUDE = re.compile(r"^from (instar\.|__future__).*$", re.MULTILINE)


def judged(
    sandbox: Sandbox, code: str, checks: Checks, limits: Limits, traced: bool = False
) -> Judged:
    """Run the checks against a program; nothing the program does can decide them.

    Tests run in a process of their own, in the sandbox too; the program, in another, is asked for
    results, which reach the tests as plain data.
    """
    if checks.cases:
        return Judged(results=tuple(_case(sandbox, code, c, limits) for c in checks.cases))
    return _tested(sandbox, code, checks, limits, traced)


def judged_all(
    sandbox: Sandbox, work: Sequence[tuple[str, Checks]], limits: Limits, traced: bool = False
) -> list[Judged]:
    """Return how each of (program, checks) did, in order; the same one is run once."""
    distinct = list(dict.fromkeys(work))
    calls = [partial(judged, sandbox, code, checks, limits, traced) for code, checks in distinct]
    found = dict(zip(distinct, each(sandbox, calls), strict=True))
    return [found[item] for item in work]


def _case(sandbox: Sandbox, code: str, case: Case, limits: Limits) -> Result:
    """Run a whole program on one input; blanks at the ends of lines do not count."""
    ended = sandbox.run(code, {}, limits, stdin=case.stdin.encode("utf-8", "replace"))
    text = f"input {case.stdin[:80]!r}"
    if ended.ended != "exit":
        return Result(text=text, failed=_ended(ended, limits))
    found = _lines(ended.stdout.decode("utf-8", "replace"))
    if found == _lines(case.stdout):
        return Result(text=text, failed=None)
    if ended.code != 0 and ended.stderr:
        return Result(text=text, failed=ended.stderr.decode("utf-8", "replace")[-SHOWN:])
    told = "\n".join(found)[:80]
    return Result(text=text, failed=f"expected {case.stdout[:80]!r}, found {told!r}")


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().splitlines()]


def _ended(ended: Execution, limits: Limits) -> str:
    told = {"timeout": "it ran too long", "output": "it wrote too much", "disk": "its files grew"}
    if ended.cpu >= limits.cpu:  # the kernel ends it by a signal
        return told["timeout"]
    return told.get(ended.ended, f"it was killed by signal {-ended.code}")


def _tested(sandbox: Sandbox, code: str, checks: Checks, limits: Limits, traced: bool) -> Judged:
    """Run a program and its tests: two processes in the sandbox that talk to each other alone."""
    given = json.dumps([checks.tests, checks.before, checks.entry])
    tester, warm = _inside(sandbox, "tester", f"*json.loads({given!r})")
    # What hangs in the program is ended by the program's limits: the tests are there to tell.
    longer = replace(limits, wall=limits.wall + LONGER, output=VERDICTS)
    with ExitStack() as handles:
        (to_program, asks), (answers, from_program) = (_pipe(handles), _pipe(handles))
        program, _ = _inside(sandbox, "candidate", f"{code!r}, {traced}")
        call = partial(sandbox.run, program, {}, limits, warm=warm)
        candidate = _Candidate(call, (to_program, from_program))
        candidate.start()
        try:
            ended = sandbox.run(tester, {}, longer, streams=(answers, asks), warm=warm)
        finally:
            answers.close()
            asks.close()
            candidate.join()
    return _read(ended, longer, candidate.why(limits))


class _Candidate(threading.Thread):
    """A program that runs beside its tests; however it ends, its streams end too."""

    def __init__(self, run: Callable[..., Execution], streams: tuple[BinaryIO, BinaryIO]) -> None:
        super().__init__(daemon=True)
        self._call, self._streams = run, streams
        self._ended: Execution | None = None
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._ended = self._call(streams=self._streams)
        except BaseException as error:  # raised where it is asked for
            self._error = error
        finally:
            for stream in self._streams:
                stream.close()

    def why(self, limits: Limits) -> str:
        """Say why it did not answer any more.

        Raises:
            ComponentError: if the sandbox broke down.
        """
        if self._error is not None:
            raise self._error
        ended = self._ended
        if ended is None or ended.ended == "exit":
            return "the program ended before it answered"
        return f"the program ended: {_ended(ended, limits)}"


def _pipe(handles: ExitStack) -> tuple[BinaryIO, BinaryIO]:
    """Return a pipe's end to read and its end to write."""
    read, write = os.pipe2(os.O_CLOEXEC)
    ends = FileIO(read, "rb"), FileIO(write, "wb")
    for end in ends:
        handles.enter_context(end)
    return ends


def _read(ended: Execution, limits: Limits, why: str) -> Judged:
    """Return what the tests told; `why` is for those the program did not answer."""
    lines = ended.stderr.decode("utf-8", "replace").strip().splitlines()
    told = _object(lines[-1]) if lines else {}
    if "error" in told:
        return Judged(error=str(told["error"])[-SHOWN:])
    if "gone" in told:
        return Judged(error=why)
    verdicts = told.get("verdicts")
    if not isinstance(verdicts, list):
        shown = lines[-1][-SHOWN:] if lines else _ended(ended, limits)
        return Judged(error=f"the tests did not end: {shown}")
    if not verdicts:
        return Judged(error="there is no assert in the tests")
    return Judged(results=tuple(_result(v, why) for v in verdicts))


def _result(verdict: dict[str, object], why: str) -> Result:
    failed = why if "gone" in verdict else verdict.get("failed")
    return Result(
        text=str(verdict.get("text")),
        failed=None if failed is None else str(failed),
        trace=str(verdict.get("trace", "")),
    )


def _object(line: str) -> dict[str, object]:
    """Return a line as an object; of what is none, an empty one."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _inside(sandbox: Sandbox, name: str, given: str) -> tuple[str, tuple[str, ...]]:
    """Return the program that calls `serve` of a file of ours, and what it finds loaded.

    WebAssembly has no warm interpreter: there the file is sent along as text.
    """
    call = f"serve({given})"
    if sandbox.level != "wasi":
        return f"import json, sys\nsys.modules[{_PACKAGE + name!r}].{call}", _WARM
    texts = [(_INSIDE / f"{n}.py").read_text(encoding="utf-8") for n in (*_NEEDS[name], name)]
    first = "from __future__ import annotations"
    return "\n".join([first, *(_PRELUDE.sub("", t) for t in texts), call]), ()


def each(sandbox: Sandbox, work: Sequence[Callable[[], R]]) -> list[R]:
    """Do all of it, as many at a time as the sandbox has room for, in order."""
    # Imported here: it starts no thread before it is needed.
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(max(1, sandbox.workers // 2)) as pool:
        return list(pool.map(lambda call: call(), work))
