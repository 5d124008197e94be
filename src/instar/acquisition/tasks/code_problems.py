"""Code Llama's self-instruct: the learner writes programming problems, and tests for them."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from instar.events import Note
from instar.protocols import Context
from instar.types import Completion, Message, Request, Sampling, Task, digest

PROBLEM = (
    "Write a new, short programming problem for Python, unlike this one:\n\n{example}\n\n"
    "Give only the header of the function with its types, and a docstring that says what it does "
    "and shows two examples."
)
TESTS = (
    "{problem}\n\nWrite {count} assert statements that test the function {entry}, one a line, "
    "with the right results."
)
_FENCE = re.compile(r"```[ \t]*(?:python|py)?[ \t]*\r?\n(.*?)(?:```|\Z)", re.DOTALL)


@dataclass(frozen=True)
class CodeProblems:
    """Propose functions to write, each with tests, all by the learner (arXiv 2308.12950, 4.4.2).

    The paper has a 70B model write 62,000 interview problems, drops exact duplicates, and a 7B
    model write the tests. Here each of `count` requests shows one training task as an example of
    the form; a problem is a function header with a docstring, and is dropped where it is not, or
    where its name and text were there before. The tests are asserts that call the function; one
    problem in which none is valid is dropped. Tests may be vacuous or wrong: judge solutions by
    `unit_tests` and the tests by `mutants_killed`. Tasks name the example as their parent. A note
    of the run counts what was dropped and why. The defaults are ours.
    """

    count: int = 64
    tests: int = 5
    temperature: float = 0.9
    max_tokens: int = 256
    problem: str = PROBLEM
    ask_tests: str = TESTS

    def __post_init__(self) -> None:
        """Refuse what cannot be honoured."""
        Sampling(temperature=self.temperature, max_tokens=self.max_tokens)
        if self.count < 1 or self.tests < 1:
            raise ValueError("count and tests: expected at least 1 each")
        if "{example}" not in self.problem or "{problem}" not in self.ask_tests:
            raise ValueError("problem must hold {example}, ask_tests {problem}")

    def propose(self, context: Context, /) -> Sequence[Task]:
        """Return the problems that can be used; none where the learner writes none."""
        if not context.train:
            return []
        order = context.rng("code_problems").integers(len(context.train), size=self.count)
        examples = [context.train[int(i)] for i in order]
        asked = [self.problem.replace("{example}", e.prompt) for e in examples]
        found = dict[str, tuple[str, str, Task]]()
        dropped = Counter[str]()
        known = {t.prompt.strip() for t in context.train}
        for example, completion in zip(examples, self._ask(asked, "problem", context), strict=True):
            made = header(completion.text)
            if made is None:
                dropped["no function header with an argument and a docstring"] += 1
            elif made[1] in found or made[1].strip() in known:
                dropped["there before"] += 1
            else:
                found[made[1]] = (*made, example)
        tasks = self._tested(list(found.values()), context)
        dropped["no valid assert on the function"] = len(found) - len(tasks)
        why = ", ".join(f"{n} {what}" for what, n in dropped.items() if n)
        told = f"code_problems: {self.count} asked for, {len(tasks)} proposed"
        context.emit(Note(text=f"{told}; dropped: {why}" if why else told))
        return tasks

    def _tested(self, made: list[tuple[str, str, Task]], context: Context) -> list[Task]:
        asked = [
            self.ask_tests.replace("{problem}", text)
            .replace("{entry}", entry)
            .replace("{count}", str(self.tests))
            for entry, text, _ in made
        ]
        tasks = []
        answers = self._ask(asked, "tests", context)
        for (entry, text, example), completion in zip(made, answers, strict=True):
            tests = asserts(completion.text, entry)[: self.tests]
            if tests:
                tasks.append(
                    Task(
                        messages=(Message(role="user", content=text),),
                        material=json.dumps({"entry_point": entry, "tests": tests}),
                        tags=("code",),
                        origin="code_problems",
                        parents=(example.id,),
                    )
                )
        return tasks

    def _ask(self, prompts: Sequence[str], what: str, context: Context) -> list[Completion]:
        sampling = Sampling(temperature=self.temperature, max_tokens=self.max_tokens)
        requests = [
            Request(
                messages=(Message(role="user", content=prompt),),
                sampling=sampling,
                key=f"code_problems {what} {context.iteration} {number} {digest(prompt)}",
            )
            for number, prompt in enumerate(prompts)
        ]
        if not requests:
            return []
        return [c for (c,) in context.engine.generate(requests, context.learner, context)]


def header(text: str) -> tuple[str, str] | None:
    """Return (name, header with docstring) of the first function in a text, without its body.

    None where there is no function with a docstring and an argument.
    """
    fenced = _FENCE.search(text)
    code = fenced[1] if fenced else text
    start = re.search(r"^def ", code, re.MULTILINE)
    if start is None:
        return None
    imports = "\n".join(
        line for line in code[: start.start()].splitlines()
        if re.match(r"(?:from [\w.]+ )?import ", line)
    )  # fmt: skip
    made = _function(code[start.start() :])
    if made is None or not made.args.args or not (ast.get_docstring(made) or "").strip():
        return None
    made.body = made.body[:1]
    return made.name, f"{imports}\n\n{ast.unparse(made)}\n".lstrip()


def _function(code: str) -> ast.FunctionDef | None:
    """Return the function a text begins with, whatever stands after its docstring."""
    lines = code.splitlines()
    for end in range(len(lines), 0, -1):
        try:
            tree = ast.parse("\n".join(lines[:end]))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        first = tree.body[0] if tree.body else None
        return first if isinstance(first, ast.FunctionDef) else None
    return None


def asserts(text: str, entry: str) -> list[str]:
    """Return the different asserts in a text that call `entry`, each valid Python on its own."""
    found = []
    for line in re.findall(r"^[ \t]*(assert\b.*)$", text, re.MULTILINE):
        try:
            tree = ast.parse(line.strip())
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        called = {
            n.func.id
            for n in ast.walk(tree)
            if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)
        }
        if len(tree.body) == 1 and isinstance(tree.body[0], ast.Assert) and entry in called:
            found.append(ast.unparse(tree))
    return list(dict.fromkeys(found))
