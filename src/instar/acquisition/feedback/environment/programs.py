"""What a model wrote as a program, and what a task says about checking it."""

from __future__ import annotations

import ast
import builtins
import json
import re
from dataclasses import dataclass

from instar.errors import ComponentError, DataError
from instar.protocols import Context, Sandbox
from instar.types import Task

_FENCE = re.compile(r"```[ \t]*(?:python|py|python3)?[ \t]*\r?\n(.*?)(?:```|\Z)", re.DOTALL)
SHOWN = 600  # characters of a critique that a prompt can hold; ours


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
        parsed = ast.parse(tests)
    except (SyntaxError, ValueError) as error:
        raise DataError(f"task {name}: its tests are no Python: {error}") from error
    if not entry and not _asks(parsed):
        raise DataError(
            f"task {name}: its tests use nothing that a program defines; if they test a function "
            "named like one of Python's own, name it in entry_point"
        )
    return Checks(tests=tests, entry=entry, before=definitions(task.prompt))


def _asks(tests: ast.Module) -> bool:
    """Say whether tests use a name that is neither Python's nor their own."""
    names = [n for n in ast.walk(tests) if isinstance(n, ast.Name)]
    own = {n.id for n in names if not isinstance(n.ctx, ast.Load)} | set(dir(builtins))
    return any(n.id not in own for n in names)


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
