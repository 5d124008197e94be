"""`--tasks TEXT` becomes the recipe entry of a source."""

from pathlib import Path

import pytest

from instar.acquisition.tasks.source import source_of
from instar.build import component
from instar.errors import DataError, RecipeError


def test_a_file_is_a_jsonl_source_with_an_absolute_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert source_of("my.jsonl") == {"use": "jsonl", "path": str(tmp_path / "my.jsonl")}
    assert source_of(" my.jsonl,prompt=question ")["prompt"] == "question"


def test_a_folder_is_a_saved_data_set(tmp_path):
    assert source_of(f"{tmp_path},split=test") == {
        "use": "hf_dataset",
        "path": str(tmp_path),
        "split": "test",
    }


def test_a_generator_takes_its_options_in_yaml():
    assert source_of("reasoning_gym:chain_sum") == {"use": "reasoning_gym", "dataset": "chain_sum"}
    text = "reasoning_gym:basic_arithmetic,max_terms=2,operators=['+', '-'],allow=true,seed=3"
    assert source_of(text) == {
        "use": "reasoning_gym",
        "dataset": "basic_arithmetic",
        "seed": 3,
        "config": {"max_terms": 2, "operators": ["+", "-"], "allow": True},
    }


def test_every_entry_builds(tmp_path):
    for text in ("a.jsonl,answer=final", str(tmp_path), "reasoning_gym:gcd,max_numbers=3,seed=1"):
        assert component("source", source_of(text), "--tasks", Path())
    with pytest.raises(RecipeError, match="has no field 'promt'; did you mean 'prompt'"):
        component("source", source_of("a.jsonl,promt=question"), "--tasks", Path())
    with pytest.raises(RecipeError, match="codeio: it runs code to make items, refused"):
        component("source", source_of("reasoning_gym:codeio"), "--tasks", Path())


@pytest.mark.parametrize("text", ["", "chain_sum", "tasks.csv", "no/such/folder", "x:y"])
def test_anything_else_is_told_what_is_possible(text):
    with pytest.raises(DataError, match=r"expected a file ending in .jsonl, the folder .* or reas"):
        source_of(text)


@pytest.mark.parametrize("value", ["[", "{a: ", "!!python/object:os.system x", "[" * 1500])
def test_a_value_that_is_no_yaml_is_named(value):
    with pytest.raises(DataError, match=r"max_terms: .* is not YAML"):
        source_of(f"reasoning_gym:chain_sum,max_terms={value}")
