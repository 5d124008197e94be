"""The values of a function's variables after each basic block that ran, by `sys.settrace`.

Sent as text after `values` and before `candidate`. Basic blocks are those of the source: statements
that run one after the other without a branch.
"""

from __future__ import annotations

import ast
import itertools
import reprlib
import sys
from typing import Any

BLOCKS = 24  # the last ones are kept; ours
VALUES = 12  # variables shown of a block; ours


class Recorder:
    """Records the blocks of the functions in `source`, called `name`, while they run."""

    def __init__(self, source: str, name: str) -> None:
        self._name = name
        self._starts = starts(source)
        self._lines = source.splitlines()
        self._seen: list[dict[str, Any]] = []
        self._shorter = reprlib.Repr()
        self._shorter.maxstring = self._shorter.maxother = 60

    def __enter__(self) -> Recorder:
        self._seen = []
        sys.settrace(self._enter)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def told(self) -> str:
        """Return the blocks in words, the last ones."""
        shown = []
        for number, block in enumerate(self._seen[-BLOCKS:], start=1):
            text = "\n".join(self._lines[n - 1].strip() for n in block["lines"])
            shown.append(f"[block {number}] {text}\n  -> {block['values'] or 'no variables'}")
        return "\n".join(shown)

    def _enter(self, frame: Any, event: str, value: Any) -> Any:
        if frame.f_code.co_filename != self._name or frame.f_code.co_name == "<module>":
            return None
        open_: dict[str, Any] = {"lines": [], "values": ""}

        def step(frame: Any, event: str, value: Any) -> Any:
            if event == "line":
                line = frame.f_lineno
                if open_["lines"] and (line in self._starts or line <= open_["lines"][-1]):
                    self._close(open_, frame)
                open_["lines"].append(line)
            elif event == "return":
                self._close(open_, frame, value)
            return step

        return step

    def _close(self, open_: dict[str, Any], frame: Any, *returned: Any) -> None:
        """Keep what the block left behind, and begin another."""
        values = dict(list(frame.f_locals.items())[:VALUES])
        if returned:
            values["return"] = returned[0]
        told = ", ".join(f"{n}={self._short(v)}" for n, v in values.items())
        if open_["lines"]:
            self._seen.append({"lines": list(open_["lines"]), "values": told})
            del self._seen[:-BLOCKS]
        open_["lines"] = []

    def _short(self, value: Any) -> str:
        try:
            return self._shorter.repr(value)
        except BaseException:
            return "?"


def starts(source: str) -> set[int]:
    """Return the lines where a basic block begins: a branch, what follows it, what is in it."""
    found: set[int] = set()
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return found
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody", "handlers"):
            listed = getattr(node, name, None)
            if not isinstance(listed, list) or not listed:
                continue
            found.add(listed[0].lineno)
            for before, after in itertools.pairwise(listed):
                if hasattr(before, "body"):
                    found.add(after.lineno)
                if hasattr(after, "body"):
                    found.add(after.lineno)
    return found
