from pathlib import Path

import pytest

from instar import yaml
from instar.build import component, fingerprint
from instar.errors import RecipeError
from instar.recipe import built_in, load, plan

FILTER = """
from dataclasses import dataclass
from instar.types import Decision

@dataclass(frozen=True)
class Short:
    "Keep solutions of at most `words` words."
    words: int = 3
    def select(self, batch, context, /):
        return [Decision(keep=len(e.solution.text.split()) <= self.words, reason="") for e in batch]

@dataclass(frozen=True)
class Untyped:
    "Has a field of a type that is none."
    words: "Nothing" = 3
    def select(self, batch, context, /): ...

@dataclass(frozen=True)
class NoFilter:
    "Has no method."
"""


@pytest.fixture
def own(tmp_path):
    """A recipe of the user's own beside a Python file."""
    (tmp_path / "mine.py").write_text(FILTER)
    data = dict(load("rest_em").data)
    data["refinement"] = {"filtering": [{"use": "./mine.py:Short", "words": 5}]}
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.dump(data))
    return path


@pytest.mark.parametrize("name", built_in())
def test_every_built_in_recipe_can_be_built(name):
    assert plan(load(name)).name == name


@pytest.mark.parametrize("name", built_in())
def test_every_built_in_recipe_cites_its_paper(name):
    recipe = load(name).data
    assert "arXiv" in recipe["paper"]
    assert recipe["about"]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("updatin=1", r"updatin: a recipe has no such key; did you mean 'updating'\?"),
        ("acquisition.max_failures=7", "max_failures: expected a share from 0 to 1, found 7.0"),
        ("data.sourc=1", r"data.sourc: no such key; did you mean 'source'\?"),
        ("updating.train.traner={}", r"updating.train.traner: 'sft' has no field 'traner'"),
        ("refinement.filtering.0.treshold=1", r"filtering\[0\].treshold: .*'threshold'"),
        ("acquisition.solutions.per_task=many", r"per_task: .*integer.*\"many\""),
        ("acquisition.solutions.per_task=true", r"per_task: .*integer.*true"),
        (
            "acquisition.solutions.use=sampel",
            r"no solver is called 'sampel'; did you mean 'sample'",
        ),
        ("updating.start_from=nowhere", r"updating.start_from: .*'base'"),
        ("iterations=0", "iterations: expected a whole number of at least 1, found 0"),
        ("data.splits.test=5", "data.splits.test: there is no such split"),
        ("evaluation.measures=[]", "evaluation.measures: the gate needs at least one measure"),
        ("evaluation.gate=null", "evaluation.gate: the recipe needs this entry"),
        ("control=off", "control: expected 'none' or 'random'"),
        ("budget=soon", "budget 'soon': expected a time"),
        ("refinement.filtering.9.use=x", "there is no '9' in the recipe"),
        ("no-equals-sign", "expected PATH=VALUE"),
    ],
)
def test_a_mistake_is_one_sentence_with_place_and_nearest_name(setting, message):
    with pytest.raises((RecipeError, ValueError), match=message) as caught:
        plan(load("rest_em", [setting]))
    assert "\n" not in str(caught.value)


def test_an_unknown_recipe_names_the_nearest():
    with pytest.raises(RecipeError, match=r"no recipe is called 'rest-em'; did you mean 'rest_em'"):
        load("rest-em")


def test_settings_change_what_is_built():
    made = plan(load("rest_em", ["iterations=7", "acquisition.solutions.per_task=3"]))
    assert made.iterations == 7
    assert made.solver.per_task == 3


def test_a_class_in_an_own_file_is_a_component(own):
    assert plan(load(str(own))).filters[0].words == 5


def test_an_edited_file_is_another_component(own):
    before = fingerprint(plan(load(str(own))).filters[0])
    assert fingerprint(plan(load(str(own))).filters[0]) == before
    mine = own.parent / "mine.py"
    mine.write_text(mine.read_text().replace("<=", "<"))
    assert fingerprint(plan(load(str(own))).filters[0]) != before


@pytest.mark.parametrize(
    ("use", "message"),
    [
        ("./mien.py:Short", r"there is no file .*mien.py; did you mean 'mine.py'"),
        ("./mine.py:Shrt", r"has no class 'Shrt'; did you mean 'Short'"),
        ("./mine.py:NoFilter", r"is no filter; expected a class with `select`"),
        ("json:Nothing", r"has no class 'Nothing'"),
        ("no_such_module:X", r"no module 'no_such_module'"),
    ],
)
def test_a_wrong_class_is_named_with_the_nearest(own, use, message):
    with pytest.raises(RecipeError, match=message):
        component("filter", {"use": use}, "here", own.parent)


def test_a_file_that_fails_to_import_says_why(tmp_path):
    (tmp_path / "bad.py").write_text("1 / 0")
    with pytest.raises(RecipeError, match=r"bad\.py failed to import: ZeroDivisionError"):
        component("filter", {"use": "./bad.py:X"}, "here", tmp_path)


def test_the_fingerprint_changes_with_any_parameter():
    made = [
        component("filter", {"use": "cap_per_task", "n": n, "prefer": prefer}, "x", Path())
        for n in (1, 2)
        for prefer in ("first", "shortest")
    ]
    assert len({fingerprint(m) for m in made}) == 4


def test_a_file_that_leaves_the_program_or_names_no_type_is_the_users_mistake(own):
    (own.parent / "quits.py").write_text("raise SystemExit(0)")
    for use, told in (("mine.py:Untyped", "is no type"), ("quits.py:X", "import: SystemExit: 0")):
        with pytest.raises(RecipeError, match=told):
            component("filter", {"use": f"./{use}"}, "here", own.parent)
