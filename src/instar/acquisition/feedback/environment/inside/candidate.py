"""The program's side: run the solution, then answer calls of its functions with plain data.

It talks in lines of JSON on its standard streams.
Whatever a solution does to this process, all that leaves it is data that the tests' side compares.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import traceback
from typing import Any

from instar.acquisition.feedback.environment.inside.blocks import Recorder
from instar.acquisition.feedback.environment.inside.values import pack, unpack

NAME = "solution.py"
FRAMES = 8  # of a traceback; ours


def serve(source: str, traced: bool = False) -> None:
    """Run `source`, say what it defines, and answer until the input ends."""
    recorder = Recorder(source, NAME) if traced else None
    asked, said = sys.stdin, sys.stdout
    sys.stdin, sys.stdout = io.StringIO(), io.StringIO()
    defined: dict[str, Any] = {"__name__": "__main__"}
    try:
        exec(compile(source, NAME, "exec"), defined)
    except BaseException as error:
        reply: dict[str, Any] = {"failed": told(error, source)}
    else:
        names = {n: v for n, v in defined.items() if not n.startswith("__")}
        reply = {
            "functions": [n for n, v in names.items() if callable(v)],
            "values": {n: pack(v) for n, v in names.items() if not callable(v)},
        }
    said.write(_line(reply))
    said.flush()
    for line in asked:
        said.write(_line(_called(json.loads(line), defined, source, recorder)))
        said.flush()
    os._exit(0)  # threads that a solution left are not waited for


def _called(
    call: dict[str, Any], defined: dict[str, Any], source: str, recorder: Recorder | None
) -> dict[str, Any]:
    given = [unpack(a) for a in call["args"]]
    named = {k: unpack(v) for k, v in call["named"].items()}
    try:
        with recorder or contextlib.nullcontext():
            found = defined[call["call"]](*given, **named)
        value = pack(found)
    except BaseException as error:
        return {
            "raised": type(error).__name__[:80],
            "message": _text(error)[:400],
            "told": told(error, source),
            "trace": recorder.told() if recorder else "",
        }
    # A test may look at what a function did to a list it was given.
    changed = [pack(a) if isinstance(a, (list, dict, set)) else None for a in given]
    trace = recorder.told() if recorder else ""
    return {"value": value, "given": changed, "trace": trace}


def told(error: BaseException, source: str) -> str:
    """Return the last frames of the solution, with their lines, and the error."""
    lines = source.splitlines()
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == NAME]
    shown = []
    for frame in frames[-FRAMES:]:
        number = frame.lineno or 0
        text = lines[number - 1].strip() if 0 < number <= len(lines) else ""
        shown.append(f"line {number}, in {frame.name}: {text}")
    if isinstance(error, SyntaxError) and error.text:
        shown.append(f"line {error.lineno}: {error.text.strip()}")
    return "\n".join([*shown, f"{type(error).__name__}: {_text(error)[:400]}"])


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException:
        return "(its message cannot be shown)"


def _line(reply: dict[str, Any]) -> str:
    try:
        return json.dumps(reply) + "\n"
    except (ValueError, RecursionError):
        return json.dumps({"raised": "ValueError", "message": "no plain data", "told": ""}) + "\n"
