"""What else running a program tells: its errors, agreement, a trace, and whether tests notice."""

import json

import pytest

from instar.acquisition.feedback.environment.block_trace import BlockTrace
from instar.acquisition.feedback.environment.exec_agreement import ExecAgreement
from instar.acquisition.feedback.environment.inside.blocks import starts
from instar.acquisition.feedback.environment.interpreter_error import InterpreterError
from instar.acquisition.feedback.environment.mutants_killed import MutantsKilled, mutated
from instar.acquisition.tasks.code_problems import asserts
from instar.environments.sandbox.sandbox import IsolatedSandbox
from instar.testing.fakes import ScriptedEngine, context, experience
from instar.types import Message, Task

HEADER = 'def total(xs: list) -> int:\n    """Return the sum of the positive numbers."""\n'
RIGHT = "    s = 0\n    for x in xs:\n        if x > 0:\n            s += x\n    return s\n"
WRONG = "    s = 1\n    for x in xs:\n        if x > 0:\n            s += x\n    return s\n"


@pytest.fixture(scope="module")
def sandbox():
    made = IsolatedSandbox()
    yield made
    made.close()


def total(*tests):
    return Task(
        messages=(Message(role="user", content=HEADER),),
        material=json.dumps({"entry_point": "total", "tests": list(tests)}),
    )


def test_an_interpreters_error_is_its_last_frames(sandbox):
    deep = "def f(n):\n    return f(n - 1) if n else 1 / 0\nf(9)"
    ok, failed, slow, left = InterpreterError(frames=2, timeout_s=1.0).assess(
        [
            experience(total(), text)
            for text in ("print('fine')", deep, "while True: pass", "import sys\nsys.exit(2)")
        ],
        context(sandbox=sandbox),
    )
    assert (ok.score, ok.critique) == (1.0, None)
    assert failed.score == 0.0
    assert failed.critique.count("File") == 2
    assert failed.critique.endswith("ZeroDivisionError: division by zero")
    assert slow.critique.startswith("the program was stopped")
    assert left.critique == "the program ended with the status 2"


def test_programs_that_agree_on_the_models_own_tests_score_best(sandbox):
    written = "assert total([1]) == 1\nassert total([1, -1]) == 1\nassert total([1]) == 2\nfoo"
    engine = ScriptedEngine(lambda request, sample, learner: written)
    texts = [RIGHT, "    return sum(x for x in xs if x > 0)\n", WRONG, "    return 0 / 0\n", RIGHT]
    found = ExecAgreement(generations=2).assess(
        [experience(total(), t) for t in texts], context(engine=engine, sandbox=sandbox)
    )
    scores = [f.score for f in found]
    assert scores[0] == scores[1] == scores[4] == 1.0
    # two asserts and three programs against one assert and one program
    assert scores[2] == pytest.approx(1 / (2 * 3**0.5))
    assert scores[3] == 0.0


def test_without_a_valid_assert_nothing_is_judged(sandbox):
    engine = ScriptedEngine(lambda request, sample, learner: "assert True\nassert other(1)")
    (found,) = ExecAgreement().assess(
        [experience(total(), RIGHT)], context(engine=engine, sandbox=sandbox)
    )
    assert (found.score, found.critique) == (None, "no valid assert was written for the task")


def test_asserts_are_read_one_by_one_and_must_call_the_function():
    text = (
        "```\nassert f(1) == 2  # yes\n  assert f(2)==3\nassert g(1)\nassert f(\nassert f(1) == 2"
    )
    assert asserts(text, "f") == ["assert f(1) == 2", "assert f(2) == 3"]


def test_a_trace_shows_the_variables_of_the_failing_test_block_by_block(sandbox):
    task = total("assert total([]) == 0", "assert total([2, -1]) == 2")
    good, bad = BlockTrace().assess(
        [experience(task, RIGHT), experience(task, WRONG)], context(sandbox=sandbox)
    )
    assert (good.score, good.critique) == (1.0, None)
    assert bad.score == 0.0
    assert "This test fails: assert total([]) == 0" in bad.critique
    assert "[block 1] s = 1" in bad.critique
    assert "xs=[], s=1" in bad.critique
    assert "return=1" in bad.critique


def test_a_trace_of_a_long_loop_is_cut_to_what_a_prompt_can_hold(sandbox):
    task = total("assert total(list(range(500))) == 1")
    (found,) = BlockTrace(characters=500).assess(
        [experience(task, RIGHT)], context(sandbox=sandbox)
    )
    assert len(found.critique) <= 500 + 40
    assert "return=124750" in found.critique


def test_basic_blocks_begin_at_branches_and_after_them():
    source = "def f(x):\n    a = 1\n    b = 2\n    if x:\n        c = 3\n        d = 4\n    e = 5\n"
    assert starts(source) == {1, 2, 4, 5, 7}
    assert starts("def (") == set()


def test_vacuous_tests_let_broken_programs_pass(sandbox):
    strong = total("assert total([1, 2, -5]) == 3", "assert total([]) == 0", "assert total([1])==1")
    vacuous = total("assert total([]) is not total")
    broken = total("assert total([1]) == 7")
    found = MutantsKilled().assess(
        [experience(t, RIGHT) for t in (strong, vacuous, broken)], context(sandbox=sandbox)
    )
    assert found[0].score == 1.0
    assert found[1].score < 0.5
    assert (found[2].score, found[2].critique) == (None, "the program does not pass its tests")


def test_mutants_differ_from_the_program_and_from_each_other():
    made = list(mutated("def f(a, b):\n    return a + b if a < b and True else 3"))
    assert len(made) == len(set(made)) == 6
    assert "def f(a, b):\n    return None" in made
    assert list(mutated("def (")) == []
