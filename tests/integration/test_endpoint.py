"""Everything but weight updates runs on an endpoint: whole runs of the example recipe."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from endpoint import serving

from instar.store.folder import RunFolder

EXAMPLES = Path(__file__).parents[2] / "examples"
KEY = "sk-secret-key"


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def instar(*words, **more):
    return subprocess.run(
        [sys.executable, "-m", "instar", *words], capture_output=True, text=True, **more
    )


def other(folder):
    path = folder / "other.jsonl"
    path.write_text('{"prompt": "What is 100 + 1?", "answer": "101"}\n')
    return path


def test_a_recipe_that_changes_the_prompt_improves_a_model_behind_an_endpoint(tmp_path):
    place = str(tmp_path / "run")
    with serving("The answer is {}, says {key}") as (address, _):
        there = ("--model", "openai:m", "--base-url", address)
        done = instar("run", str(EXAMPLES / "own_recipe.yaml"), *there, "--dir", place)
        assert done.returncode == 0, done.stderr
        assert "Examples changes what the learner is told, not its weights" in done.stderr
        shown = json.loads(instar("show", place, "--json").stdout)
        said = instar("chat", place, input="What is 20 + 22?\n")
        measured = instar("eval", place, "--tasks", str(EXAMPLES / "own_tasks.jsonl"), "--json")
        with RunFolder(tmp_path / "run").open_for_writing():
            refused = instar("eval", place, "--tasks", str(EXAMPLES / "own_tasks.jsonl"))
        elsewhere = instar("eval", place, "--tasks", str(other(tmp_path)), "--json")
    opened = json.loads(instar("show", place, "--json").stdout)["openings"]
    assert opened == [
        "the end of own_recipe: base against final",
        "instar eval on 30 of its 30 tasks",
    ]
    assert "sealed split opened: instar eval on 30" in instar("log", place).stdout
    assert refused.returncode == 2
    assert "sealed split, and that it is opened cannot be recorded" in refused.stderr
    assert json.loads(elsewhere.stdout)["tasks"] == 1
    base, first, *_ = json.loads(instar("log", place, "--json").stdout)
    assert base["accuracy"]["value"] == 0.0
    assert (first["accepted"], first["accuracy"]["value"]) == (True, 1.0)
    assert shown["prompt"].startswith("Answer like this:")
    assert shown["adapter"] is None
    assert "The answer is 42" in said.stdout
    report = json.loads(measured.stdout)
    assert set(report) == {"learner", "tasks", "scores", "findings"}
    assert set(report["scores"][0]) == {"name", "value", "low", "high", "n", "level"}
    assert report["scores"][0]["value"] == 1.0
    exported = instar("export", place, "--to", str(tmp_path / "out"))
    assert exported.returncode == 2
    assert "there are no weights to export" in exported.stderr
    written = [p for p in Path(place).rglob("*") if p.is_file() and KEY.encode() in p.read_bytes()]
    assert not written
    assert KEY not in done.stderr + said.stdout


def test_weights_behind_an_endpoint_are_refused_before_anything_is_asked(tmp_path):
    with serving() as (address, asked):
        for verb in (("check",), ("run", "--dir", str(tmp_path / "run"))):
            there = ("--model", "openai:m", "--base-url", address)
            done = instar(verb[0], "rest_em", *verb[1:], *there)
            assert done.returncode == 2
            assert "behind an endpoint; give a local model" in done.stderr.splitlines()[-1]
    assert not asked
    assert not (tmp_path / "run").exists()


def test_an_endpoint_that_is_not_there_stops_the_run_with_one_sentence(tmp_path):
    there = ("--model", "openai:m", "--base-url", "http://127.0.0.1:9/v1")
    recipe = str(EXAMPLES / "own_recipe.yaml")
    done = instar("run", recipe, *there, "--dir", str(tmp_path / "run"))
    assert done.returncode == 3
    told = [line for line in done.stderr.splitlines() if "requests in a row failed" in line]
    assert told == done.stderr.splitlines()[-1:]
    assert "Traceback" not in done.stderr
