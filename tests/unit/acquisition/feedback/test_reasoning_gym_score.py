import json
import sys
from dataclasses import replace

import pytest

from instar.acquisition.feedback.environment.evaluated import plain
from instar.acquisition.feedback.environment.reasoning_gym import ReasoningGymScore
from instar.acquisition.tasks.reasoning_gym import EXECUTES_ANSWERS, ReasoningGym
from instar.environments.sandbox.sandbox import IsolatedSandbox
from instar.errors import ComponentError, DataError, UsageError
from instar.testing.fakes import context, experience, tasks
from instar.types import Message, Task


def made(dataset, answer, **metadata):
    material = {"dataset": dataset, "question": "q", "answer": answer, "metadata": metadata}
    turns = (Message(role="user", content="q"),)
    return Task(messages=turns, reference=answer, material=json.dumps(material))


def scores(task, *texts, **options):
    batch = [experience(task, text, i) for i, text in enumerate(texts)]
    return [f.score for f in ReasoningGymScore(**options).assess(batch, context())]


@pytest.mark.parametrize("dataset", ["chain_sum", "spell_backward", "gcd", "word_ladder"])
def test_the_known_answers_of_generated_tasks_score_1_and_others_0(dataset):
    for task in ReasoningGym(dataset=dataset).load(3, 1):
        answer = task.reference
        assert scores(task, answer, f"So\n<answer>{answer}</answer>") == [1.0, 1.0]
        tagged, plain = f"<answer>{answer}0</answer>", f"{answer}0"
        assert scores(task, tagged, plain, "", "x") == [0, 0, 0, 0]


def test_a_known_number_is_read_as_the_last_number_and_text_as_the_last_line():
    assert scores(made("chain_sum", "1234"), "I think it is 1,234.", "1,235") == [1.0, 0.0]
    assert scores(made("spell_backward", "olleh"), "I think\nolleh", "olleh\nI think") == [1.0, 0.0]


def test_the_last_tag_is_the_answer():
    task = made("chain_sum", "5")
    assert scores(task, "<answer>4</answer> no, <answer> 5 </answer> of 6") == [1.0]
    assert scores(task, "<answer></answer> 5") == [0.0]


def test_another_way_to_read_the_answer_is_honoured():
    task = made("chain_sum", "5")
    assert scores(task, "\\boxed{5} or 6", extract="boxed") == [1.0]
    assert scores(task, "\\boxed{5} or 6") == [0.0]


def test_partial_credit_is_failure_with_the_marks_as_critique():
    task = made("spell_backward", "olleh")
    (found,) = ReasoningGymScore().assess([experience(task, "hello")], context())
    assert found.score == 0.0
    assert found.critique.startswith("the scorer gave 0.")


@pytest.mark.parametrize(
    ("dataset", "known", "gamed"), [("coin_flip", "0.25", "0"), ("gsm_symbolic", "57", "-57")]
)
def test_full_marks_for_a_number_far_off_are_refused(dataset, known, gamed):
    task = made(dataset, known)
    (found,) = ReasoningGymScore().assess([experience(task, gamed)], context())
    assert (found.score, found.critique) == (0.0, "the scorer gave 1, but the answer is far off")
    assert scores(task, known) == [1.0]


def test_the_tolerance_of_a_scorer_is_kept():
    assert scores(made("coin_flip", "0.25"), "0.25005", "1/4", "0.26") == [1.0, 1.0, 0.0]


def test_no_answer_is_said_to_be_none():
    (found,) = ReasoningGymScore().assess([experience(made("gcd", "5"), "none")], context())
    assert (found.score, found.critique, found.answer) == (0.0, "no answer found", None)


def test_a_scorer_that_raises_has_not_found_it_right():
    task = made("prime_factorization", "2 × 3", number=6)
    (found,) = ReasoningGymScore().assess([experience(task, "two")], context())
    assert (found.score, found.critique) == (0.0, "the scorer raised ValueError")


def test_a_data_set_that_does_not_exist_is_no_score():
    (found,) = ReasoningGymScore().assess([experience(made("nope", "1"), "1")], context())
    assert found.score is None
    assert "nope" in found.critique


@pytest.fixture(scope="module")
def isolated():
    sandbox = IsolatedSandbox()
    yield context(sandbox=sandbox)
    sandbox.close()


@pytest.mark.slow
@pytest.mark.parametrize("dataset", sorted(EXECUTES_ANSWERS))
def test_a_scorer_that_evaluates_the_answer_does_so_in_the_sandbox(dataset, isolated, tmp_path):
    (task,) = ReasoningGym(dataset=dataset).load(1, 1)
    entry = json.loads(task.material)
    known = entry["answer"] or entry["metadata"]["valid_answers"][0]
    trap = tmp_path / "made"
    code = f"__import__('pathlib').Path({str(trap)!r}).touch() or {known!r}"
    texts = (f"<answer>{known}</answer>", f"<answer>{code}</answer>", "<answer>x</answer>")
    batch = [experience(task, text, i) for i, text in enumerate(texts)]
    found = ReasoningGymScore().assess(batch, isolated)
    assert [f.score for f in found] == [1.0, 0.0, 0.0]
    assert found[1].critique == "the answer is no plain expression, so it was not evaluated"
    assert not trap.exists()


def test_without_a_sandbox_such_a_scorer_says_so():
    with pytest.raises(ComponentError, match="there is no sandbox"):
        scores(made("countdown", "1 + 1", target=2, numbers=[1, 1]), "1 + 1")


@pytest.mark.slow
def test_an_expression_that_never_ends_is_no_score(isolated):
    task = made("countdown", "1 + 1", target=2, numbers=[1, 1])
    batch = [experience(task, "<answer>9**9**9**9</answer>")]
    (found,) = ReasoningGymScore(timeout_s=1.0).assess(batch, isolated)
    assert (found.score, found.critique) in [
        (None, "the scorer took too long"),
        (0.0, "the scorer gave 0.01"),
    ]


@pytest.mark.parametrize(
    ("dataset", "answer", "is_plain"),
    [
        ("countdown", "(3 + 4) * 2 - 1/2.5", True),
        ("countdown", "exit()", False),
        ("polynomial_multiplication", "x**2 - 2*x*y + 3", True),
        ("simple_integration", "X*sin(2*x)/2 + log(x) + C", True),
        ("simple_integration", "x.__class__", False),
        ("simple_integration", "exec(x)", False),
        ("simple_integration", "lambda: x", False),
        ("polynomial_multiplication", "(1).real", False),
        ("spiral_matrix", "[1, 2, -3]", True),
        ("spiral_matrix", "[i for i in entry]", False),
        ("string_insertion", "['A', 'B']", True),
        ("string_insertion", "open('x')", False),
        ("n_queens", "_ Q\nQ _", True),
        ("n_queens", "Q.append", False),
        ("binary_matrix", "9" * 3000, False),
    ],
)
def test_only_plain_expressions_are_evaluated(dataset, answer, is_plain):
    assert plain(dataset, answer) == is_plain


def test_a_scorer_that_rewards_anything_is_refused():
    with pytest.raises(UsageError, match="rewards any answer"):
        scores(made("game_of_life_halting", "True"), "False")


@pytest.mark.parametrize("material", [None, "", "{}", "[]", "[" * 100_000, '{"dataset": "gcd"}'])
def test_a_task_from_elsewhere_is_the_users_mistake(material):
    task = replace(tasks()[0], material=material, name="mine")
    with pytest.raises(DataError, match="task mine was not made by the source reasoning_gym"):
        scores(task, "1")


def test_failed_samples_are_no_score_and_unfinished_ones_0_where_an_end_is_asked_for():
    whole = experience(made("chain_sum", "5"), "5")
    cut = replace(whole, solution=replace(whole.solution, finished=False))
    broken = replace(whole, solution=replace(whole.solution, turns=(), error="timed out"))
    batch = [whole, cut, broken]
    assert [f.score for f in ReasoningGymScore().assess(batch, context())] == [1, 1, None]
    strict = ReasoningGymScore(finished=True).assess(batch, context())
    assert [f.score for f in strict] == [1, 0, None]
    assert ReasoningGymScore().assess([], context()) == []


@pytest.mark.parametrize(
    "text", ["9" * 1_000_000, "<answer>" * 10_000, "\ud800", "\x00" * 30_000, "5" + "\u202e" * 9]
)
def test_hostile_answers_are_judged(text):
    assert scores(made("chain_sum", "7"), text) == [0.0]


def test_a_missing_package_is_named_before_anything_is_sampled(monkeypatch):
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    with pytest.raises(ValueError, match=r"pip install 'instar\[gym\]'"):
        ReasoningGymScore()


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_a_time_limit_must_be_one(seconds):
    with pytest.raises(ValueError, match="timeout_s"):
        ReasoningGymScore(timeout_s=seconds)
