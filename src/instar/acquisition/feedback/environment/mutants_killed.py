"""Do the tests of a task notice when its solution is broken?"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from instar.acquisition.feedback.environment.programs import Judged, sandbox_of
from instar.acquisition.feedback.environment.running import judged_all
from instar.acquisition.feedback.environment.unit_tests import limits_of, work_of
from instar.protocols import Context
from instar.types import Experience, Feedback

SOURCE = "mutants_killed"
_SWAPPED: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult, ast.Lt: ast.GtE, ast.LtE: ast.Gt, ast.Gt: ast.LtE,
    ast.GtE: ast.Lt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.And: ast.Or, ast.Or: ast.And,
    ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip


@dataclass(frozen=True)
class MutantsKilled:
    """Score the share of broken copies of a right solution that the task's tests refuse.

    Tests that a model wrote itself may pass anything (the hazard of Code Llama's self-instruct,
    arXiv 2308.12950); tests that pass a broken program are vacuous. A mutant has one operator or
    constant changed, or returns None; at most `mutants` of them, spread over the program. None
    where the program itself does not pass, or has nothing to change; it needs `unit_tests` beside
    it only for its own score. The defaults are ours.
    """

    mutants: int = 8
    timeout_s: float = 5.0
    memory_mb: int = 256
    executes_code: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse a number that tries nothing."""
        if self.mutants < 1:
            raise ValueError(f"mutants is {self.mutants}; expected at least 1")
        if not 0 < self.timeout_s <= 3600:
            raise ValueError(f"timeout_s is {self.timeout_s}; expected seconds, up to 3600")

    def assess(self, batch: Sequence[Experience], context: Context, /) -> list[Feedback]:
        """Return one feedback per experience, in order."""
        sandbox = sandbox_of(context)
        limits = limits_of(self.timeout_s, self.memory_mb)
        work = work_of(batch)
        whole = judged_all(sandbox, list(work.values()), limits)
        right = [i for i, ran in zip(work, whole, strict=True) if ran.share == 1]
        broken = [(i, (text, work[i][1])) for i in right for text in self._broken(work[i][0])]
        ran = judged_all(sandbox, [pair for _, pair in broken], limits)
        found: dict[int, list[Judged]] = {i: [] for i in right}
        for (i, _), made in zip(broken, ran, strict=True):
            found[i].append(made)
        return [_feedback(found.get(i)) for i in range(len(batch))]

    def _broken(self, code: str) -> list[str]:
        made = list(mutated(code))
        step = max(1, len(made) / self.mutants)
        return [made[int(i * step)] for i in range(min(self.mutants, len(made)))]


def mutated(code: str) -> Iterator[str]:
    """Yield the program with one thing changed, for every operator, constant and return."""
    try:
        tree = ast.parse(code)
        count = sum(1 for _ in ast.walk(tree))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    seen = {ast.unparse(tree)}
    for place in range(count):
        changed = copy.deepcopy(tree)
        node = next(n for i, n in enumerate(ast.walk(changed)) if i == place)
        if _change(node):
            text = ast.unparse(ast.fix_missing_locations(changed))
            if text not in seen:
                seen.add(text)
                yield text


def _change(node: ast.AST) -> bool:
    """Change one node; say whether it was one that can be."""
    if isinstance(node, (ast.BinOp, ast.AugAssign, ast.BoolOp)) and type(node.op) in _SWAPPED:
        node.op = _SWAPPED[type(node.op)]()  # type: ignore[assignment]
    elif isinstance(node, ast.Compare) and type(node.ops[0]) in _SWAPPED:
        node.ops[0] = _SWAPPED[type(node.ops[0])]()  # type: ignore[call-overload]
    elif isinstance(node, ast.Constant) and isinstance(node.value, (bool, int, float)):
        node.value = not node.value if isinstance(node.value, bool) else node.value + 1
    elif isinstance(node, ast.Return) and node.value is not None:
        node.value = ast.Constant(value=None)
    else:
        return False
    return True


def _feedback(mutants: list[Judged] | None) -> Feedback:
    if mutants is None:
        return Feedback(source=SOURCE, score=None, critique="the program does not pass its tests")
    if not mutants:
        return Feedback(source=SOURCE, score=None, critique="there is nothing to change in it")
    killed = sum(m.share < 1 for m in mutants)
    told = f"{killed} of {len(mutants)} broken copies fail the tests"
    return Feedback(source=SOURCE, score=killed / len(mutants), critique=told)
