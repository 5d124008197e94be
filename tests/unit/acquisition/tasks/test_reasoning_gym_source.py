"""The generator: distinct, deterministic, stored whole, and refused where it is not safe."""

import inspect
import json
import re
import subprocess
import sys

import pytest

from instar.acquisition.tasks.reasoning_gym import EXECUTES_ANSWERS, ReasoningGym
from instar.errors import DataError, MissingExtra

reasoning_gym = pytest.importorskip("reasoning_gym")
SMALL = {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 2}


def test_as_many_distinct_tasks_as_asked_for():
    # one digit and two terms: 200 different questions, so repetitions are certain
    tasks = ReasoningGym("chain_sum", {**SMALL, "max_digits": 1}).load(150, 0)
    assert len(tasks) == len({t.prompt for t in tasks}) == len({t.id for t in tasks}) == 150


def test_the_same_seed_gives_the_same_tasks_and_another_seed_others():
    gym = ReasoningGym("chain_sum", SMALL)
    assert gym.load(50, 3) == gym.load(50, 3)
    near = {t.prompt for t in gym.load(50, 3)} & {t.prompt for t in gym.load(50, 4)}
    assert len(near) < 10  # neighbouring seeds of the library itself share 49 of 50
    fixed = ReasoningGym("chain_sum", SMALL, seed=3)
    assert fixed.load(50, 1) == fixed.load(50, 2) == gym.load(50, 3)


def test_the_reference_is_the_answer_and_the_material_the_whole_item():
    for task in ReasoningGym("chain_sum", SMALL).load(20, 0):
        item = json.loads(task.material)
        assert item["question"] == task.prompt
        assert item["answer"] == task.reference
        assert item["dataset"] == "chain_sum"
        assert "source_index" not in item["metadata"]  # its place makes it no other task
        assert eval(item["metadata"]["expression"]) == int(task.reference)
        assert task.origin == "reasoning_gym:chain_sum"


def test_tags_hold_the_item_s_own_difficulty():
    config = {**SMALL, "allow_negation": True}
    for task in ReasoningGym("chain_sum", config).load(60, 0):
        expression = json.loads(task.material)["metadata"]["expression"]
        digits = max(len(n.strip("-")) for n in expression.split() if n not in "+-")
        assert f"digits:{digits}" in task.tags
        assert "num_terms:2" in task.tags


def test_a_tag_is_a_class_not_a_measurement():
    tags = {t for task in ReasoningGym("count_bits").load(20, 0) for t in task.tags}
    assert not any(t.startswith("n:") for t in tags)
    assert ReasoningGym("gsm_symbolic").load(1, 0)[0].tags == ("difficulty:1.0",)
    assert ReasoningGym("letter_jumble").load(1, 0)[0].tags == ()


def test_the_stored_item_can_be_scored_by_the_library():
    for name in ("chain_sum", "gsm_symbolic", "graph_color", "letter_counting", "maze"):
        score = reasoning_gym.get_score_answer_fn(name)
        for task in ReasoningGym(name).load(5, 0):
            if task.reference is not None:
                assert score(task.reference, json.loads(task.material)) == 1.0


def test_an_item_whose_scorer_does_not_survive_storage_is_refused():
    with pytest.raises(DataError, match="reasoning_gym:rearc: its scorer does not know the right"):
        ReasoningGym("rearc").load(3, 0)


def test_a_data_set_without_one_right_answer_has_no_reference():
    assert {t.reference for t in ReasoningGym("propositional_logic").load(5, 0)} == {None}


def test_too_few_distinct_items_are_counted():
    gym = ReasoningGym("chain_sum", {**SMALL, "max_digits": 1})
    with pytest.raises(DataError, match="201 different tasks were asked for, 200 were found"):
        gym.load(201, 0)


def test_without_a_number_there_is_no_end():
    with pytest.raises(DataError, match="has no end; say how many tasks: a size for the train"):
        ReasoningGym("chain_sum").load(None, 0)


@pytest.mark.parametrize(
    ("dataset", "config", "said"),
    [
        ("chain_sums", {}, "no such data set; did you mean 'chain_sum'"),
        ("chain_sum", {"max_term": 2}, "no option 'max_term'; did you mean 'max_terms'"),
        ("chain_sum", {"max_terms": 1}, "refuses {'max_terms': 1}: max_terms must be >= min_terms"),
        ("chain_sum", {"max_terms": "2"}, "refuses"),
        ("power_function", {"nothing": 1}, "no option 'nothing'"),
    ],
)
def test_a_wrong_data_set_or_option_is_named(dataset, config, said):
    with pytest.raises(DataError, match=said):
        ReasoningGym(dataset, config).load(5, 0)


@pytest.mark.parametrize("dataset", sorted(EXECUTES_ANSWERS))
def test_a_scorer_that_runs_the_answer_asks_for_a_sandbox(dataset):
    assert ReasoningGym(dataset).executes_code
    assert not ReasoningGym("chain_sum").executes_code


def test_what_runs_code_or_hides_other_data_sets_is_refused():
    with pytest.raises(DataError, match="runs code to make items"):
        ReasoningGym("codeio")
    with pytest.raises(DataError, match="mixes other data sets"):
        ReasoningGym("composite")


@pytest.mark.parametrize("name", ["seed", "size"])
def test_what_the_run_sets_is_no_option(name):
    with pytest.raises(DataError, match=f"{name!r} is no option of the data set here"):
        ReasoningGym("chain_sum", {name: 3})


def test_the_list_holds_every_scorer_that_runs_the_answer():
    """Reads the library's source, so that a newer version cannot slip one in."""
    found = set()
    for name, (made, _) in reasoning_gym.factory.DATASETS.items():
        source = inspect.getsource(made.score_answer)
        if re.search(r"\b(eval|exec|parse_expr)\((?!entry)", source):
            found.add(name)
    # the `parse_expr` of propositional_logic is the library's own parser of logic
    assert found - {"propositional_logic"} == EXECUTES_ANSWERS


def test_a_missing_package_is_named_with_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "reasoning_gym.factory", None)
    with pytest.raises(MissingExtra, match=r"needs the package reasoning-gym.*instar\[gym\]"):
        ReasoningGym("chain_sum").load(2, 0)


def test_importing_is_light_and_generating_is_silent():
    code = (
        "import sys\n"
        "from instar.acquisition.tasks.reasoning_gym import ReasoningGym\n"
        "assert not {'reasoning_gym', 'torch'} & set(sys.modules)\n"
        "for name in ('bf', 'chain_sum'):\n"
        "    ReasoningGym(name).load(3, 0)\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
