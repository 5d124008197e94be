"""Programs are judged by what they return, never by what they say or do to their own process."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from instar.acquisition.feedback.environment.programs import checks_of, code_of, entry_of
from instar.acquisition.feedback.environment.unit_tests import UnitTests
from instar.acquisition.tasks.jsonl import Jsonl
from instar.environments.sandbox.sandbox import IsolatedSandbox
from instar.errors import ComponentError, DataError
from instar.testing.fakes import context, experience
from instar.types import Message, Task

GUIDE = Path(__file__).parents[4] / "docs" / "guide.md"
HEADER = 'def square(x: int) -> int:\n    """Return x times x."""\n'
CHECK = (
    "def check(candidate):\n    assert candidate(2) == 4\n    assert candidate(-3) == 9\n"
    "    for i in range(3):\n        assert candidate(i) == i * i, i\n"
)


@pytest.fixture(scope="module")
def here():
    sandbox = IsolatedSandbox()
    yield context(sandbox=sandbox)
    sandbox.close()


def code_task(prompt=HEADER, **fields):
    return Task(
        messages=(Message(role="user", content=prompt),), material=json.dumps(fields), name="mine"
    )


HUMAN_EVAL = code_task(entry_point="square", test=CHECK)


def judge(here, task, *answers):
    return UnitTests(timeout_s=3.0).assess([experience(task, a) for a in answers], here)


def test_the_score_is_the_share_of_tests_that_pass_and_the_critique_is_the_first_failure(here):
    right, body, partly = judge(
        here,
        HUMAN_EVAL,
        "Here it is:\n```python\ndef square(x):\n    return x * x\n```\nDone.",
        "    return x ** 2",
        "def square(x):\n    return abs(x) * x",
    )
    assert (right.score, right.critique, right.answer) == (1.0, None, "square")
    assert body.score == 1.0
    assert partly.score == pytest.approx(2 / 3)
    assert partly.critique.startswith("1 of 3 tests failed; first: assert candidate(-3) == 9")


def test_a_test_on_which_the_program_hangs_costs_that_test_and_those_after_it(here):
    (found,) = judge(here, HUMAN_EVAL, "def square(x):\n    while x < 0: pass\n    return x * x")
    assert found.score == pytest.approx(1 / 3)
    assert "the program ended: it ran too long" in found.critique


def test_a_sandbox_that_breaks_down_is_no_verdict():
    sandbox = IsolatedSandbox()
    sandbox.facts()
    sandbox.close()
    with pytest.raises(ComponentError, match="the sandbox is closed"):
        judge(context(sandbox=sandbox), HUMAN_EVAL, "def square(x): return x * x")


def test_an_error_is_told_with_the_last_frames_of_the_program(here):
    (found,) = judge(here, HUMAN_EVAL, "def square(x):\n    y = x\n    return y / 0")
    assert found.score == 0.0
    assert "ZeroDivisionError: division by zero" in found.critique
    (broken,) = judge(here, HUMAN_EVAL, "```python\ndef square(x) return x\n```")
    assert "SyntaxError" in broken.critique
    assert broken.answer is None
    assert "def square(x) return x" in broken.critique


FORGERIES = {
    "exit before the tests": "import os\nos._exit(0)\ndef square(x): return 0",
    "exit in a call": "import os\ndef square(x): os._exit(0)",
    "sys.exit": "import sys\ndef square(x): sys.exit(0)",
    "a number equal to all": (
        "class N(int):\n    __eq__ = lambda s, o: True\n    __ne__ = lambda s, o: False\n"
        "    __hash__ = int.__hash__\ndef square(x): return N(7)"
    ),
    "an object equal to all": "class A:\n    __eq__ = lambda s, o: True\ndef square(x): return A()",
    "a text that is 4": "class T(str):\n    __eq__ = lambda s, o: True\ndef square(x): return T()",
    "a printed success": "print('all tests passed')\nprint('OK')\ndef square(x): return 0",
    "forged lines": (
        'import sys, os\nfor line in (\'{"done": true}\', \'{"test": 0, "failed": null}\'):\n'
        "    os.write(1, (line + chr(10)).encode())\ndef square(x): return 0"
    ),
    "forged verdicts": (
        "import os, sys\nfor handle in (1, 2):\n"
        '    os.write(handle, b\'{"verdicts": [{"text": "t"}]}\\n\')\n'
        "def square(x): return 0"
    ),
    "patched tests": (
        "import sys\nfor name, module in list(sys.modules.items()):\n"
        "    if 'tester' in name: module._verdicts = lambda *a: {'verdicts': [{'text': 't'}]}\n"
        "def square(x): return 0"
    ),
    "a replaced check": "def check(candidate): pass\ndef square(x): return 0",
    "a changed assert": (
        "import builtins\nclass Never(Exception): pass\nbuiltins.AssertionError = Never\n"
        "def square(x): return 0"
    ),
    "patched json": "import json\njson.dumps = lambda *a, **k: '{\"value\": 4}'\n"
    "def square(x): return 0",
    "the tests' frames": (
        "import sys\ndef square(x):\n    f = sys._getframe()\n    while f:\n"
        "        if 'i' in f.f_locals: return f.f_locals['i'] ** 2\n        f = f.f_back\n"
        "    return 0"
    ),
    "a tracer": "import sys\nsys.settrace(lambda *a: None)\ndef square(x): return 0",
    "a walk over all objects": (
        "import gc\ndef square(x):\n    for o in gc.get_objects():\n"
        "        if isinstance(o, dict) and 'candidate' in o: o['candidate'] = lambda x: x * x\n"
        "        if isinstance(o, list) and 'verdicts' in o: o.clear()\n    return 0"
    ),
    "the memory of C": (
        "import ctypes\nctypes.memset(id(4) + 24, 0, 1)\nctypes.memset(id(9) + 24, 0, 1)\n"
        "def square(x): return 0"
    ),
    "answers written ahead": (
        "import json, os\nfor _ in range(99):\n"
        "    os.write(1, json.dumps({'value': 7, 'given': []}).encode() + b'\\n')\n"
        "def square(x): return 0"
    ),
    "verdicts in every handle": (
        "import os\ndef square(x):\n    for handle in range(64):\n"
        '        try: os.write(handle, b\'{"verdicts": [{"text": "t"}]}\\n\')\n'
        "        except OSError: pass\n    return 0"
    ),
    "the tests' pipe": (
        "import glob\ndef square(x):\n    for path in glob.glob('/proc/*/fd/*'):\n"
        '        try: open(path, \'wb\').write(b\'{"verdicts": [{"text": "t"}]}\\n\')\n'
        "        except OSError: pass\n    return 0"
    ),
    "a thread that answers": (
        "import os, threading, time\ndef answer():\n    while True:\n"
        '        os.write(1, b\'{"value": 7, "given": []}\\n\')\n        time.sleep(0.001)\n'
        "threading.Thread(target=answer, daemon=True).start()\ndef square(x): return 0"
    ),
    "poisoned modules": (
        "import sys\nclass Yes:\n    def __getattr__(self, name): return lambda *a, **k: 4\n"
        "for name in list(sys.modules): sys.modules[name] = Yes()\ndef square(x): return 0"
    ),
    "a lie about its class": (
        "class N:\n    __class__ = property(lambda s: int)\n    __eq__ = lambda s, o: True\n"
        "    __index__ = lambda s: 4\ndef square(x): return N()"
    ),
    "a float equal to all": (
        "class N(float):\n    __eq__ = lambda s, o: True\n    __hash__ = float.__hash__\n"
        "def square(x): return N('nan')"
    ),
    "a type whose name exits": (
        "import os\nclass M(type):\n    __name__ = property(lambda s: os._exit(0))\n"
        "class N(metaclass=M): pass\ndef square(x): return N()"
    ),
    "a message that exits": (
        "import os\nclass E(Exception):\n    def __str__(self): os._exit(0)\n"
        "def square(x): raise E()"
    ),
    "a pickle": (
        "class N:\n    def __reduce__(self): return (print, ('all tests passed',))\n"
        "import pickle\ndef square(x): return pickle.dumps(N())"
    ),
    "the end of a loop": "def square(x): raise StopIteration",
    "a tracer of all frames": (
        "import sys\ndef t(frame, event, arg):\n"
        "    frame.f_globals['AssertionError'] = KeyError\n    return t\n"
        "sys.settrace(t)\ndef square(x): return 0"
    ),
    "an atexit": "import atexit, os\natexit.register(os._exit, 0)\ndef square(x): return 0",
}


@pytest.mark.parametrize("code", FORGERIES.values(), ids=FORGERIES.keys())
def test_nothing_a_program_does_makes_it_pass(here, code):
    (found,) = judge(here, HUMAN_EVAL, f"```python\n{code}\n```")
    assert found.score is not None
    assert found.score < 0.5, found.critique


@pytest.mark.slow
@pytest.mark.parametrize("isolation", ["landlock", "wasi"])
def test_no_forgery_passes_on_any_other_isolation(isolation):
    sandbox = IsolatedSandbox([isolation])
    try:
        sandbox.facts()
    except ComponentError as error:
        pytest.skip(str(error))
    found = judge(context(sandbox=sandbox), HUMAN_EVAL, *FORGERIES.values(), "    return x * x")
    sandbox.close()
    assert {n for n, f in zip(FORGERIES, found, strict=False) if f.score >= 0.5} == set()
    assert found[-1].score == 1.0


FORGED_NAMES = {
    "all": ("assert all(f(i) == i * i for i in range(3))", "def all(x): return True"),
    "abs": ("assert abs(f(2) - 4) < 1e-9", "def abs(x): return 0"),
    "__builtins__": ("assert len(f(2)) == 4 and __builtins__", "__builtins__ = {'len': 4}"),
    "isinstance": ("assert isinstance(f(2), int) and f(2) > 3", "isinstance = 3"),
}


@pytest.mark.parametrize(("test", "code"), FORGED_NAMES.values(), ids=FORGED_NAMES.keys())
def test_a_program_cannot_redefine_what_the_tests_use_of_python(here, test, code):
    task = code_task("Write f.", tests=[test])
    (found,) = judge(here, task, f"{code}\ndef f(x): return 0")
    assert found.score == 0.0


def test_a_redefinition_that_the_tests_do_not_use_does_no_harm(here):
    task = code_task("Write f.", tests=["assert sorted(f(2)) == [1, 2]"])
    good = "def max(a, b): return a if a > b else b\ndef f(x): return [x, max(0, 1)]"
    (found,) = judge(here, task, good)
    assert (found.score, found.critique) == (1.0, None)
    (found,) = judge(here, task, "sorted = [1]\ndef f(x): return [2, 1]")
    assert (found.score, found.critique) == (
        0.0, "the program redefines sorted, which the tests use",
    )  # fmt: skip


def test_an_error_of_the_program_does_not_end_a_loop_of_the_tests(here):
    tests = ["assert all(map(lambda i: f(i) == i, [1, 2]))", "assert list(map(f, [])) == []"]
    (found,) = judge(here, code_task("Write f.", tests=tests), "def f(x): raise StopIteration")
    assert found.score == 0.5


@pytest.mark.parametrize("value", ["object()", "[object()]", "{1: (object(),)}", "(i for i in x)"])
def test_what_is_no_plain_data_fails_even_a_test_that_only_asks_whether_it_is_there(here, value):
    task = code_task("Write f.", tests=["assert f([1])", "assert f([1]) != 3"])
    (found,) = judge(here, task, f"def f(x): return {value}")
    assert found.score == 0.0
    assert "which is no plain data" in found.critique


HOSTILE = {
    "a deep answer": (
        "import os\ndef square(x):\n    os.write(1, b'[' * 10**5 + b'\\n')\n    return 0"
    ),
    "a deep first answer": "import os\nos.write(1, b'[' * 10**5 + b'\\n')\ndef square(x): return 0",
    "an answer of no shape": "import os\nos.write(1, b'[1]\\n')\ndef square(x): return 0",
    "a number with 10**5 digits in JSON": (
        "import os\ndef square(x):\n    os.write(1, b'{\"value\": ' + b'9' * 10**5 + b'}\\n')"
    ),
    "NaN in JSON": (
        "import os\ndef square(x):\n"
        '    os.write(1, b\'{"value": NaN, "given": [Infinity]}\\n\')\n    return 0'
    ),
    "a range without end": (
        "import os\ndef square(x):\n"
        '    os.write(1, b\'{"value": {"r": [0, 1e999, 1]}, "given": []}\\n\')\n    return 0'
    ),
    "a generator that never ends": "def square(x):\n    while True: yield x",
    "a huge text": "def square(x): return 'x' * 10**7",
    "a gigabyte": "def square(x): return 'x' * 10**9",
    "an endless loop": "def square(x):\n    while True: pass",
    "endless recursion": "def square(x): return square(x)",
    "a memory bomb": "def square(x): return bytearray(10**10)",
    "an output bomb": "import os\ndef square(x):\n    while True: os.write(1, b'x' * 100000)",
    "a deep list": "def square(x):\n    a = []\n    for _ in range(10**5): a = [a]\n    return a",
    "not a number": "def square(x): return float('nan')",
    "a huge number": "def square(x): return 10 ** 10**5",
    "escape sequences": "def square(x): raise ValueError('\\x1b[2J\\x00\\ud800')",
    "a list of itself": "def square(x):\n    a = []\n    a.append(a)\n    return a",
    "a str that raises": "class E(Exception):\n    def __str__(self): raise self\n"
    "def square(x): raise E()",
    "binary": "import os\nos.write(1, bytes(range(256)))\ndef square(x): return x",
    "a swallowed input": "import os\ndef square(x): return os.read(0, 9)",
}


@pytest.mark.parametrize("code", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_programs_are_verdicts(here, code):
    (found,) = judge(here, HUMAN_EVAL, f"```python\n{code}\n```")
    assert found.score == 0.0 or code.endswith("return x")
    assert found.critique
    assert len(found.critique) <= 600


def test_plain_asserts_use_all_that_a_program_defines(here):
    task = code_task(
        "Write functions double and half, and a list names.",
        tests=["assert double(3) == 6", "assert half(double(5)) == 5", "assert names == ['a']"],
    )
    good = "def double(x): return 2 * x\ndef half(x): return x / 2\nnames = ['a']"
    (found,) = judge(here, task, good)
    assert found.score == 1.0
    (found,) = judge(here, task, "def double(x): return 2 * x\nnames = []")
    assert found.score == pytest.approx(1 / 3)


def test_types_arrive_as_they_were_and_arguments_are_changed_as_here(here):
    task = code_task(
        "Write f.",
        tests=[
            "assert f((1, 2)) == (1, 2) and type(f((1, 2))) is tuple",
            "assert f({1: {2.5, 'a'}}) == {1: {2.5, 'a'}}",
            "assert f(b'x') == b'x' and f(10**40) == 10**40 and f(True) is True",
            "assert f(float('inf')) == float('inf') and f(None) is None",
            "given = [3, 1]\nf(given)\nassert given == [3, 1, 'seen']",
        ],
    )
    code = "def f(x):\n    if isinstance(x, list): x.append('seen')\n    return x"
    (found,) = judge(here, task, code)
    assert (found.score, found.critique) == (1.0, None)


def test_expected_errors_are_raised_on_the_tests_side(here):
    test = "try:\n    f(0)\n    assert False\nexcept ValueError as e:\n    assert str(e) == 'no'"
    task = code_task("Write f.", tests=[test])
    good, bad = judge(
        here, task, "def f(x): raise ValueError('no')", "def f(x): raise KeyError('no')"
    )
    assert (good.score, bad.score) == (1.0, 0.0)


def test_whole_programs_are_judged_by_their_output(here):
    cases = [{"input": "2 3\n", "output": "5\n"}, {"input": "1 1\n", "output": "2"}]
    task = code_task("Read two numbers, print their sum.", cases=cases)
    good, bad, broken = judge(
        here,
        task,
        "print(sum(map(int, input().split())), ' ')",
        "print(5)",
        "print(int(input()))",
    )
    assert good.score == 1.0
    assert bad.score == 0.5
    assert "expected '2', found '5'" in bad.critique
    assert broken.score == 0.0
    assert "ValueError" in broken.critique


def test_the_examples_of_the_guide_tell_a_right_program_from_a_wrong_one(here, tmp_path):
    lines = [x.strip() for x in GUIDE.read_text().splitlines() if x.startswith('    {"prompt": ')]
    (tmp_path / "mine.jsonl").write_text("\n".join(lines))
    right = (
        "    return 3.141592653589793 * r * r",
        "def double(x): return 2 * x\ndef half(x): return x / 2",
        "print(sum(map(int, input().split())))",
    )
    tasks = Jsonl(path=tmp_path / "mine.jsonl").load(None, 0)
    assert len(tasks) == len(right)
    for task, answer in zip(tasks, right, strict=True):
        good, bad = judge(here, task, answer, "print('all tests passed')")
        assert (good.score, bad.score) == (1.0, 0.0)


PRINTED = {
    "a gigabyte": "import os\nfor _ in range(2**14): os.write(1, b'x' * 2**16)",
    "bytes that are no text": "import os\nos.write(1, bytes(range(256)))",
    "escapes": "print('\\x1b[2J\\x1b]0;owned\\x07')",
    "escapes in an error": "raise ValueError('\\x1b[2J')",
    "deep JSON": "print('[' * 10**5)",
    "NaN": "print(float('nan'))",
    "a huge number": "print(hex(10**10**5))",
    "success": "print('all tests passed')\nimport os\nos._exit(0)",
}


@pytest.mark.parametrize("code", PRINTED.values(), ids=PRINTED.keys())
def test_whatever_a_whole_program_prints_is_a_short_verdict(here, code):
    task = code_task("Print 4.", cases=[{"input": "", "output": "4"}])
    (found,) = judge(here, task, code)
    assert found.score == 0.0
    assert found.critique.startswith("1 of 1 tests failed; first: input ''")
    assert len(found.critique) <= 600


def test_helpers_of_the_prompt_are_the_prompts_own(here):
    prompt = 'def half(x):\n    return x / 2\n\n\ndef twice(x):\n    """Undo half."""\n'
    task = code_task(prompt, entry_point="twice", test="assert half(twice(4)) == 4")
    cheat = "def half(x): return 4\ndef twice(x): return 0"
    good, bad = judge(here, task, "    return 2 * x", cheat)
    assert (good.score, bad.score) == (1.0, 0.0)


def test_what_cannot_be_judged_is_no_score(here):
    plain = Task(messages=(Message(role="user", content="2 + 2"),), reference="4")
    (found,) = judge(here, plain, "4")
    assert (found.score, found.critique) == (None, "the task has no tests")
    failed = experience(HUMAN_EVAL, "")
    failed = replace(failed, solution=replace(failed.solution, turns=(), error="timed out"))
    (found,) = UnitTests().assess([failed], here)
    assert (found.score, found.critique) == (None, "the sample failed: timed out")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"tests": ["assert ("]}, "its tests are no Python"),
        ({"tests": 3}, "expected text in entry_point, asserts in tests"),
        ({"entry_point": 3, "test": "assert True"}, "expected text in entry_point"),
        ({"cases": [{"in": "1"}]}, "cases: expected a list of input and output"),
        ({"tests": ["assert sum([1]) == 1"]}, "its tests use nothing that a program defines"),
        ({"cases": "1"}, "cases: expected a list of input and output"),
    ],
)
def test_a_task_with_odd_tests_is_the_users_mistake(fields, said):
    with pytest.raises(DataError, match=f"task mine.*{said}"):
        checks_of(code_task("Write f.", **fields))


def test_without_a_sandbox_it_says_so():
    with pytest.raises(ComponentError, match="there is no sandbox"):
        UnitTests().assess([experience(HUMAN_EVAL, "")], context())


def test_tests_without_an_assert_judge_nothing(here):
    (found,) = judge(here, code_task(entry_point="square", test="x = 1"), "    return x")
    assert found.score == 0.0
    assert found.critique == "there is no assert in the tests"


def test_the_code_is_the_first_fenced_block_or_everything():
    text = "Sure!\n```py\ndef f(): pass\n```\nor\n```python\ndef g(): pass\n```"
    assert code_of(text) == "def f(): pass\n"
    assert code_of("x = 1") == "x = 1"
    assert code_of("```\nx = 1") == "x = 1"
    assert code_of("    return x", HUMAN_EVAL, "square") == f"{HEADER}    return x"


def test_the_function_asked_for_is_named_or_the_last_of_the_prompt():
    assert entry_of(HUMAN_EVAL) == "square"
    assert entry_of(code_task("def a(): pass\ndef b(): pass")) == "b"
    assert entry_of(code_task("Write a program.")) == ""
