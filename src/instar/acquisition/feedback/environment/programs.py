"""From what a model wrote to a verdict on it: extracting code, and running tests against it."""

from __future__ import annotations

import ast
import json
import queue
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from instar.errors import ComponentError, DataError
from instar.protocols import Context, Sandbox
from instar.types import Execution, Limits, Task

R = TypeVar("R")
_INSIDE = Path(__file__).parent / "inside"
_FENCE = re.compile(r"```[ \t]*(?:python|py|python3)?[ \t]*\r?\n(.*?)(?:```|\Z)", re.DOTALL)
_PRELUDE = re.compile(r"^from instar\..*$", re.MULTILINE)
SHOWN = 600  # characters of a critique that a prompt can hold; ours
GONE = "the program ended before it answered"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One input of a whole program and the output it must give."""

    stdin: str
    stdout: str


@dataclass(frozen=True, kw_only=True)
class Checks:
    """How a task's solutions are checked: tests (Python with asserts) or cases, never both.

    `entry` is the function that is tested; without it, the tests use all that the program defines.
    `before` is what the task's own prompt defines, where the prompt is code.
    """

    tests: str = ""
    cases: tuple[Case, ...] = ()
    entry: str = ""
    before: str = ""


@dataclass(frozen=True, kw_only=True)
class Result:
    """One test or case: what it was, why it failed, if it did, and what ran in its last call."""

    text: str
    failed: str | None
    trace: str = ""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """How a program did: its tests in order, or why none could be run."""

    results: tuple[Result, ...] = ()
    error: str | None = None

    @property
    def share(self) -> float:
        """The share of tests passed; 0 where the program does not run."""
        if self.error is not None or not self.results:
            return 0.0
        return sum(r.failed is None for r in self.results) / len(self.results)


def sandbox_of(context: Context) -> Sandbox:
    """Return the run's sandbox.

    Raises:
        ComponentError: if it has none.
    """
    if context.sandbox is None:
        raise ComponentError("this runs code a model wrote, and there is no sandbox")
    return context.sandbox


def checks_of(task: Task) -> Checks | None:
    """Return how the task's solutions are checked, or None if it does not say.

    The fields are those of HumanEval (`prompt`, `entry_point`, `test`), or `tests` (a list of
    asserts), or `cases` (a list of `input` and `output`).

    Raises:
        DataError: for a field of another form.
    """
    fields = json.loads(task.material) if task.material else {}
    if not isinstance(fields, dict):
        return None
    entry = fields.get("entry_point") or ""
    tests, cases = fields.get("tests", fields.get("test")), fields.get("cases")
    name = task.name or task.id
    if isinstance(tests, list) and all(isinstance(t, str) for t in tests):
        tests = "\n".join(tests)
    if not isinstance(entry, str) or not isinstance(tests or "", str):
        raise DataError(f"task {name}: expected text in entry_point, asserts in tests")
    if cases is not None:
        return Checks(cases=_cases(cases, name))
    if not tests:
        return None
    try:
        ast.parse(tests)
    except (SyntaxError, ValueError) as error:
        raise DataError(f"task {name}: its tests are no Python: {error}") from error
    return Checks(tests=tests, entry=entry, before=definitions(task.prompt))


def _cases(given: object, name: str) -> tuple[Case, ...]:
    try:
        assert isinstance(given, list)
        return tuple(Case(stdin=str(c["input"]), stdout=str(c["output"])) for c in given)
    except (AssertionError, KeyError, TypeError) as error:
        raise DataError(f"task {name}: cases: expected a list of input and output") from error


def definitions(prompt: str) -> str:
    """Return the prompt if it is code: a header with a docstring is a whole function."""
    try:
        ast.parse(prompt)
    except (SyntaxError, ValueError):
        return ""
    return prompt


def entry_of(task: Task) -> str:
    """Return the function a task asks for: its `entry_point`, or the last its prompt defines."""
    fields = json.loads(task.material) if task.material else {}
    named = fields.get("entry_point") if isinstance(fields, dict) else None
    if isinstance(named, str) and named:
        return named
    code = definitions(task.prompt)
    functions = [n.name for n in ast.parse(code).body if isinstance(n, ast.FunctionDef)]
    return functions[-1] if functions else ""


def defines(code: str, entry: str) -> str | None:
    """Return `entry` if the program is valid Python that defines it; without one, `program`."""
    try:
        body = ast.parse(code).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    if not entry:
        return "program"
    names = {n.name for n in body if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))}
    return entry if entry in names else None


def code_of(text: str, task: Task | None = None, entry: str = "") -> str:
    """Return the program in what a model wrote.

    The first fenced block, else everything. Where the prompt is code that the answer continues,
    they belong together: an answer without the function it was asked for is taken for its body.
    """
    found = _FENCE.search(text)
    code = found[1] if found else text
    before = definitions(task.prompt) if task and entry else ""
    if not before:
        return code
    if re.search(rf"^[ \t]*(?:async[ \t]+)?def[ \t]+{re.escape(entry)}\b", code, re.MULTILINE):
        return f"{before}\n\n{code}"
    return f"{before.rstrip()}\n{code}"


def judged(
    sandbox: Sandbox, code: str, checks: Checks, limits: Limits, traced: bool = False
) -> Judged:
    """Run the checks against a program; nothing the program does can decide them.

    Tests run in a process of their own, in the sandbox too; the program, in another, is asked for
    results, which reach the tests as plain data.
    """
    if checks.cases:
        return Judged(results=tuple(_case(sandbox, code, c, limits) for c in checks.cases))
    return _Trial(sandbox, checks, limits, traced).run(code)


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
        return Result(text=text, failed=_ended(ended))
    found = _lines(ended.stdout.decode("utf-8", "replace"))
    if found == _lines(case.stdout):
        return Result(text=text, failed=None)
    if ended.code != 0 and ended.stderr:
        return Result(text=text, failed=ended.stderr.decode("utf-8", "replace")[-SHOWN:])
    told = "\n".join(found)[:80]
    return Result(text=text, failed=f"expected {case.stdout[:80]!r}, found {told!r}")


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().splitlines()]


def _ended(ended: Execution) -> str:
    told = {"timeout": "it ran too long", "output": "it wrote too much", "disk": "its files grew"}
    return told.get(ended.ended, f"it was killed by signal {-ended.code}")


@dataclass
class _Trial:
    """A program and its tests, two processes that talk through here."""

    sandbox: Sandbox
    checks: Checks
    limits: Limits
    traced: bool = False
    _calls: queue.Queue[bytes | None] = field(default_factory=queue.Queue)
    _replies: queue.Queue[bytes | None] = field(default_factory=queue.Queue)
    _results: list[Result] = field(default_factory=list)
    _done: bool = False
    _trace: str = ""
    _why: str = GONE

    def run(self, code: str) -> Judged:
        """Return how the program did."""
        candidate = threading.Thread(target=self._candidate, args=(code,), daemon=True)
        candidate.start()
        try:
            first = self._reply()
            if first is None:
                return Judged(error=self._why)
            defined = _object(first)
            if "failed" in defined:
                return Judged(error=str(defined["failed"])[-SHOWN:])
            return self._tested(defined)
        finally:
            self._calls.put(None)
            candidate.join()

    def _tested(self, defined: dict[str, object]) -> Judged:
        checks = self.checks
        given = json.dumps([checks.tests, checks.before, checks.entry, defined])
        program = f"{_source('values', 'tester')}\nserve(*json.loads({given!r}))"
        ended = self.sandbox.run(program, {}, self.limits, answer=self._from_tests)
        if self._done and self._results:
            return Judged(results=tuple(self._results))
        if self._done:
            return Judged(error="there is no assert in the tests")
        told = ended.stderr.decode("utf-8", "replace")[-SHOWN:] or _ended(ended)
        return Judged(error=f"the tests did not end: {told}")

    def _candidate(self, code: str) -> None:
        program = f"{_source('values', 'blocks', 'candidate')}\nserve({code!r}, {self.traced})"
        try:
            ended = self.sandbox.run(program, {}, self.limits, answer=self._from_program)
            if ended.ended != "exit":
                self._why = f"the program ended: {_ended(ended)}"
        except Exception as error:  # told to the thread that waits
            self._why = f"{type(error).__name__}: {error}"
        finally:
            self._replies.put(None)

    def _from_program(self, line: bytes) -> bytes | None:
        """Take an answer of the program and wait for what it is asked next."""
        self._replies.put(line)
        try:
            return self._calls.get(timeout=self.limits.wall)
        except queue.Empty:
            return None

    def _from_tests(self, line: bytes) -> bytes | None:
        """Pass a call on to the program, or note a verdict."""
        said = _object(line)
        if "call" in said:
            self._calls.put(line)
            self._trace = ""
            reply = self._reply()
            if reply is None:
                return json.dumps({"gone": self._why}).encode()
            if self.traced:
                self._trace = str(_object(reply).get("trace", ""))
            return reply
        if "done" in said:
            self._done = True
        else:
            failed = said.get("failed")
            self._results.append(
                Result(
                    text=str(said.get("text")),
                    failed=str(failed) if failed else None,
                    trace=self._trace,
                )
            )
        return b"{}"

    def _reply(self) -> bytes | None:
        try:
            found = self._replies.get(timeout=2 * self.limits.wall)
        except queue.Empty:
            return None
        if found is None:
            self._replies.put(None)  # for whoever asks next
        return found


def _object(line: bytes) -> dict[str, object]:
    """Return a line as an object; of what is none, an empty one."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _source(*names: str) -> str:
    """Return the text of these files as one program."""
    return "\n".join(
        _PRELUDE.sub("", (_INSIDE / f"{name}.py").read_text(encoding="utf-8")).replace(
            "from __future__ import annotations\n", ""
        )
        for name in names
    )


def each(sandbox: Sandbox, work: Sequence[Callable[[], R]]) -> list[R]:
    """Do all of it, as many at a time as the sandbox has room for, in order."""
    # Imported here: it starts no thread before it is needed.
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(max(1, sandbox.workers // 2)) as pool:
        return list(pool.map(lambda call: call(), work))
