"""The nine scorers of reasoning-gym that evaluate an answer as Python, run in the sandbox.

An answer that is no plain expression of its data set's kind never gets there: code that runs beside
the scorer could tell it anything.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import partial

from instar.acquisition.feedback.environment.running import each
from instar.acquisition.feedback.worker import Item, Judged
from instar.protocols import Sandbox
from instar.types import Execution, Limits

MEMORY = 2**30  # bytes beyond the loaded library; sympy's simplification takes hundreds of MB; ours
LONGEST = 2000  # characters of an answer; ours
WARM = ("reasoning_gym",)

_NUMBERS = re.compile(r"[\d\s\[\],.\-]*")
_ARITHMETIC = re.compile(r"[\d\s+\-*/().]*")
_LETTERS = re.compile(r"[A-Z\s\[\],'\"]*")
_BOARD = re.compile(r"[Q_\s\[\],'\"]*")
_ALGEBRA = re.compile(r"[\w\s+\-*/().^,]*", re.ASCII)
_WORD = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_FUNCTIONS = {
    "sin", "cos", "tan", "sec", "csc", "cot", "asin", "acos", "atan", "sinh", "cosh", "tanh",
    "exp", "log", "ln", "sqrt", "pi", "Abs",
}  # fmt: skip
FORMS = {
    "binary_matrix": _NUMBERS,
    "spiral_matrix": _NUMBERS,
    "n_queens": _BOARD,
    "string_insertion": _LETTERS,
    "countdown": _ARITHMETIC,
    "puzzle24": _ARITHMETIC,
    "polynomial_multiplication": _ALGEBRA,
    "simple_integration": _ALGEBRA,
    "intermediate_integration": _ALGEBRA,
}

PROGRAM = """
import json, sys
import reasoning_gym
entry, answer = json.loads(sys.stdin.read())
scorer = reasoning_gym.create_dataset(entry["dataset"], size=1, seed=0)
try:
    found = float(scorer.score_answer(answer, entry))
except Exception as error:
    found = type(error).__name__
print(json.dumps(found))
"""


def plain(dataset: str, answer: str) -> bool:
    """Say whether an answer is a plain expression: numbers, one-letter names, known functions."""
    form = FORMS[dataset]
    if len(answer) > LONGEST or form.fullmatch(answer) is None:
        return False
    if form is not _ALGEBRA:
        return True
    words = _WORD.findall(answer)
    reached = re.search(r"\.\s*[A-Za-z_]", answer)  # an attribute
    return reached is None and all(len(w) == 1 or w in _FUNCTIONS for w in words)


def evaluated(sandbox: Sandbox, items: Sequence[Item], seconds: float) -> list[Judged]:
    """Score (material, answer) pairs, in order; None for one that took too long."""
    limits = Limits(wall=2 * seconds + 2, cpu=max(1, round(seconds)), memory=MEMORY)
    return each(sandbox, [partial(_one, sandbox, item, limits) for item in items])


def _one(sandbox: Sandbox, item: Item, limits: Limits) -> Judged:
    material, answer = item
    entry = json.loads(material)
    if not plain(str(entry["dataset"]), answer):
        return 0.0, "the answer is no plain expression, so it was not evaluated"
    given = json.dumps([entry, answer]).encode()
    return _read(sandbox.run(PROGRAM, {}, limits, stdin=given, warm=WARM))


def _read(ended: Execution) -> Judged:
    if ended.ended in ("timeout", "signal"):
        return None, "the scorer took too long"
    try:
        marks = json.loads(ended.stdout)
    except (ValueError, RecursionError):
        marks = None
    if not isinstance(marks, (str, int, float)):
        told = ended.stderr.decode("utf-8", "replace").strip().splitlines()
        return None, f"the scorer ended: {told[-1] if told else ended.ended}"
    if isinstance(marks, str):
        return 0.0, f"the scorer raised {marks}"
    return (1.0, None) if marks >= 1 else (0.0, f"the scorer gave {marks:.3g}")
