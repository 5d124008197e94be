"""Problems and tests that the learner writes: what is no problem is dropped, and counted."""

import json
from dataclasses import replace

from instar.acquisition.tasks.code_problems import CodeProblems, header
from instar.events import Note
from instar.testing.fakes import ScriptedEngine, context
from instar.types import Message, Task

KNOWN = 'def known(x: int):\n    """Known."""\n'
ANSWERS = (
    "Here is one:\n```python\nimport math\n\n"
    "def area(r: float):\n    '''The area.'''\n    return 3\n```",
    "def area(r: float):\n    '''The area.'''\n    return math.pi",
    "I cannot do that.",
    "def bare(x): return x",
    KNOWN,
    "def untested(x):\n    '''Return x.'''",
)
TESTS = {"area": "assert area(1) > 3\nassert area(0) == 0", "untested": "It is fine."}


def proposed(answers, **options):
    """Return (tasks, notes) where the learner answers in this order."""
    left, heard = list(answers), []

    def script(request, sample, learner):
        text = request.messages[-1].content
        if "assert statements" in text:
            return next(t for name, t in TESTS.items() if f"function {name}" in text)
        return left.pop(0)

    example = Task(messages=(Message(role="user", content=KNOWN),))
    given = replace(context(engine=ScriptedEngine(script)), train=(example,), emit=heard.append)
    tasks = CodeProblems(count=len(answers), **options).propose(given)
    return tasks, [e.text for e in heard if isinstance(e, Note)]


def test_a_problem_is_a_header_with_a_docstring_and_asserts_on_it():
    (first, _), _ = proposed((ANSWERS[0], ANSWERS[1].replace("float", "int")))
    assert first.prompt == "import math\n\ndef area(r: float):\n    '''The area.'''\n".replace(
        "'''", '"""'
    )
    assert json.loads(first.material) == {
        "entry_point": "area",
        "tests": ["assert area(1) > 3", "assert area(0) == 0"],
    }
    assert (first.origin, len(first.parents)) == ("code_problems", 1)


def test_what_is_dropped_is_counted_with_its_reason():
    tasks, (told,) = proposed((*ANSWERS, ANSWERS[0]))
    assert len(tasks) == 2  # with and without the import
    assert told == (
        "code_problems: 7 asked for, 2 proposed; dropped: 2 no function header with an argument "
        "and a docstring, 2 there before, 1 no valid assert on the function"
    )


def test_a_learner_that_writes_none_proposes_none():
    tasks, (told,) = proposed(("no", "no"))
    assert tasks == []
    assert told.startswith("code_problems: 2 asked for, 0 proposed; dropped: 2 no function header")


def test_a_header_is_read_out_of_what_stands_around_it():
    assert header("x = 1\ndef f(a):\n    'Do.'\n    this is no Python") == (
        "f", "def f(a):\n    \"\"\"Do.\"\"\"\n",
    )  # fmt: skip
    assert header("def f():\n    'No argument.'") is None
