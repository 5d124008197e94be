"""The tests' side: run the tests one by one against functions that live in another process.

Every call goes out as a line of JSON on standard output, and its result comes back on standard
input; the verdicts on all tests are the last line of standard error. No code of the solution is
here.
"""

from __future__ import annotations

import ast
import builtins
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from instar.acquisition.feedback.environment.inside.values import opaque, pack, unpack

MESSAGE = 400  # characters of a test and of why it failed that are passed on; ours
ROOM = 300_000  # characters of that for all tests together; ours
LONGEST = 2**20  # characters of one answer; ours


class Raised(Exception):
    """The function raised what is no built-in exception here."""


class Gone(BaseException):
    """The program's process is gone."""


class Link:
    """The lines to the program, and `trace`, what ran in its last call."""

    def __init__(self) -> None:
        self.trace = ""
        self._in, self._out = sys.stdin, sys.stdout
        sys.stdin, sys.stdout = io.StringIO(), io.StringIO()

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """Send a line and return the answer."""
        try:
            self._out.write(json.dumps(question) + "\n")
            self._out.flush()
        except OSError:
            raise Gone from None
        return self.hear()

    def hear(self) -> dict[str, Any]:
        """Return the next line of the program."""
        line = self._in.readline(LONGEST)
        if not line.endswith("\n"):
            raise Gone
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise Raised("what the program answered is no data")
        self.trace = str(found.get("trace", ""))
        return found


def remote(link: Link, name: str) -> Callable[..., Any]:
    """Return what calls the function `name` of the program."""

    def call(*args: Any, **named: Any) -> Any:
        packed = [pack(a) for a in args]
        asked = {"call": name, "args": packed, "named": {k: pack(v) for k, v in named.items()}}
        reply = link.ask(asked)
        if "raised" in reply:
            raise _exception(reply)
        for given, after in zip(args, reply["given"], strict=False):
            _change(given, after)
        if (kind := opaque(reply["value"])) is not None:
            raise Raised(f"it returned a value of type {kind}, which is no plain data")
        return unpack(reply["value"])

    call.__name__ = name
    return call


def _exception(reply: dict[str, Any]) -> BaseException:
    kind = getattr(builtins, str(reply["raised"]), None)
    # One of those would end a loop of the tests, `all(map(f, xs))`, as if all were well.
    ends = (StopIteration, StopAsyncIteration)
    if isinstance(kind, type) and issubclass(kind, Exception) and not issubclass(kind, ends):
        try:
            return kind(reply["message"])
        except Exception:  # one that needs other arguments
            return Raised(f"{reply['raised']}: {reply['message']}")
    return Raised(f"{reply['raised']}: {reply['message']}")


def _change(given: Any, after: Any) -> None:
    """Do to an argument what the function did to its copy."""
    if after is None or not isinstance(given, (list, dict, set)):
        return
    made = unpack(after)
    if type(made) is type(given) and made != given:
        given.clear()
        (given.extend if isinstance(given, list) else given.update)(made)


def serve(source: str, before: str, entry: str) -> None:
    """Run the tests in `source` and tell what became of them, on standard error.

    Args:
        source: the tests.
        before: what the task itself defines, run here.
        entry: the one function to ask the program for; without it, all it says it defines.
    """
    told = sys.stderr
    sys.stderr = io.StringIO()
    try:
        found = _verdicts(Link(), source, before, entry)
    except Gone:
        found = {"gone": True}
    except Raised as error:
        found = {"error": str(error)}
    finally:
        sys.stderr = told
    told.write(f"\n{json.dumps(found)}\n")
    told.flush()
    os._exit(0)  # threads that the tests left are not waited for


def _verdicts(link: Link, source: str, before: str, entry: str) -> dict[str, Any]:
    defined = link.hear()
    if "failed" in defined:
        return {"error": str(defined["failed"])}
    space: dict[str, Any] = {"__name__": "tests"}
    exec(compile(before, "task.py", "exec"), space)
    if entry:
        space["candidate"] = space[entry] = remote(link, entry)
    else:
        space.update(_defined(link, defined, source))
    tests = list(_tests(source, space))
    room = min(MESSAGE, ROOM // max(1, len(tests)))
    verdicts: list[dict[str, Any]] = []
    trace = ""
    for text, run in tests:
        verdict: dict[str, Any] = {"text": text[:room]}
        link.trace = ""
        try:
            run()
        except Gone:
            verdict["gone"] = True
        except AssertionError as error:
            verdict["failed"] = f"assertion failed{_said(error)}"[:room]
        except BaseException as error:
            verdict["failed"] = f"{type(error).__name__}{_said(error)}"[:room]
        if len(verdict) > 1 and not trace:
            verdict["trace"] = trace = link.trace
        verdicts.append(verdict)
    return {"verdicts": verdicts}


def _defined(link: Link, told: dict[str, Any], source: str) -> dict[str, Any]:
    """Return what a program says it defines; the tests' own `all` or `len` cannot be among it.

    Raises:
        Raised: if it redefines what the tests use of Python.
    """
    found = {n: unpack(v) for n, v in told["values"].items()}
    found.update({str(n): remote(link, str(n)) for n in told["functions"]})
    used = {n.id for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Name)}
    for name in found:
        if name in used and (hasattr(builtins, name) or name.startswith("__")):
            raise Raised(f"the program redefines {name}, which the tests use")
    return {n: v for n, v in found.items() if not hasattr(builtins, n) and not n.startswith("__")}


def _said(error: BaseException) -> str:
    try:
        text = str(error)
    except BaseException:
        return ""
    return f": {text}" if text else ""


def _tests(source: str, space: dict[str, Any]) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield the tests: the statements with an assert in them, of `check` if there is one.

    What comes before a test is run before it, in the same names.
    """
    tree, lines = ast.parse(source), source.encode().splitlines()
    check = next(
        (n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "check"), None
    )
    body = tree.body
    if check is not None:
        space.setdefault(check.args.args[0].arg, space.get("candidate"))
        body = [n for n in tree.body if n is not check] + check.body
    waiting: list[ast.stmt] = []
    for node in body:
        waiting.append(node)
        if any(isinstance(n, ast.Assert) for n in ast.walk(node)) and not isinstance(
            node, (ast.FunctionDef, ast.ClassDef)
        ):
            yield _text(node, lines), _runner(waiting, space)
            waiting = []


def _text(node: ast.stmt, lines: list[bytes]) -> str:
    """Return a statement as it is written; its place is in bytes."""
    last = node.end_lineno or node.lineno
    text = b"\n".join(lines[node.lineno - 1 : last])
    cut = len(lines[last - 1]) - (node.end_col_offset or 0)
    return text[node.col_offset : len(text) - cut].decode("utf-8", "replace")


def _runner(nodes: list[ast.stmt], space: dict[str, Any]) -> Callable[[], None]:
    code = compile(ast.Module(body=nodes, type_ignores=[]), "tests.py", "exec")

    def run() -> None:
        exec(code, space)

    return run
