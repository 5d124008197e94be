"""The tests' side: run the tests one by one against functions that live in another process.

Sent as text after `values`. Every call goes out as a line of JSON on standard output, and its
result comes back on standard input; so does the verdict on each test. No code of the solution is
here.
"""

from __future__ import annotations

import ast
import builtins
import io
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

from instar.acquisition.feedback.environment.inside.values import pack, unpack

MESSAGE = 400  # characters of a failure's message that are passed on; ours


class Raised(Exception):
    """The function raised what is no built-in exception here."""


class Gone(BaseException):
    """The program's process is gone."""


class Link:
    """The lines to the other side."""

    def __init__(self) -> None:
        self._in, self._out = sys.stdin, sys.stdout
        sys.stdin, sys.stdout = io.StringIO(), io.StringIO()

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """Send a line and return the answer."""
        self._out.write(json.dumps(question) + "\n")
        self._out.flush()
        line = self._in.readline()
        if not line:
            raise Gone("no answer")
        found: dict[str, Any] = json.loads(line)
        return found


def remote(link: Link, name: str) -> Callable[..., Any]:
    """Return what calls the function `name` of the program."""

    def call(*args: Any, **named: Any) -> Any:
        packed = [pack(a) for a in args]
        asked = {"call": name, "args": packed, "named": {k: pack(v) for k, v in named.items()}}
        reply = link.ask(asked)
        if "gone" in reply:
            raise Gone(reply["gone"])
        if "raised" in reply:
            raise _exception(reply)
        for given, after in zip(args, reply["given"], strict=False):
            _change(given, after)
        return unpack(reply["value"])

    call.__name__ = name
    return call


def _exception(reply: dict[str, Any]) -> BaseException:
    kind = getattr(builtins, str(reply["raised"]), None)
    if isinstance(kind, type) and issubclass(kind, Exception):
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


def serve(source: str, before: str, entry: str, defined: dict[str, Any]) -> None:
    """Run the tests in `source` and say of each whether it passed.

    Args:
        source: the tests.
        before: what the task itself defines, run here.
        entry: the one function to ask the program for; without it, all in `defined`.
        defined: what the program says it defines.
    """
    link = Link()
    space: dict[str, Any] = {"__name__": "tests"}
    exec(compile(before, "task.py", "exec"), space)
    if entry:
        space["candidate"] = space[entry] = remote(link, entry)
    else:
        space.update({n: unpack(v) for n, v in defined["values"].items()})
        space.update({n: remote(link, n) for n in defined["functions"]})
    for number, (text, run) in enumerate(_tests(source, space)):
        message = None
        try:
            run()
        except Gone as gone:
            message = str(gone)
        except AssertionError as error:
            message = f"assertion failed{_said(error)}"
        except BaseException as error:
            message = f"{type(error).__name__}{_said(error)}"
        verdict = {"test": number, "text": text[:MESSAGE], "failed": message and message[:MESSAGE]}
        link.ask(verdict)
    link.ask({"done": True})


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
    tree = ast.parse(source)
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
            yield ast.unparse(node), _runner(waiting, space)
            waiting = []


def _runner(nodes: list[ast.stmt], space: dict[str, Any]) -> Callable[[], None]:
    code = compile(ast.Module(body=nodes, type_ignores=[]), "tests.py", "exec")

    def run() -> None:
        exec(code, space)

    return run
