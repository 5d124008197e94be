"""The examples are what a user copies: each is checked, built and installed as the guide says."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from instar.cli.app import app
from instar.recipe import load, plan

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(
    ("use", "kind"),
    [("own_filter.py:ShortEnough", "filter"), ("own_prompt.py:Examples", "updater")],
)
def test_the_own_components_keep_the_laws_of_their_kind(use, kind, monkeypatch):
    monkeypatch.chdir(EXAMPLES)
    done = CliRunner().invoke(app, ["check", f"./{use}"], catch_exceptions=False)
    assert f"is a {kind} and keeps the laws of its kind" in done.stdout


def test_the_own_recipe_is_sound_and_its_tasks_fill_the_splits():
    made = plan(load(str(EXAMPLES / "own_recipe.yaml")))
    assert len(made.source.load(None, 0)) == 90
    assert [type(f).__name__ for f in made.filters] == ["ScoreAtLeast", "ShortEnough", "CapPerTask"]


def test_a_third_party_package_is_found_by_its_entry_point_when_installed(tmp_path):
    source = tmp_path / "plugin"
    subprocess.run(["cp", "-r", str(EXAMPLES / "plugin"), str(source)], check=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    to = ["--no-build-isolation", "--disable-pip-version-check", "--target", str(tmp_path / "site")]
    subprocess.run([*pip, *to, str(source)], check=True)
    paths = os.pathsep.join([str(tmp_path / "site"), *sys.path])
    env = {**os.environ, "PYTHONPATH": paths}

    def instar(*words):
        command = [sys.executable, "-m", "instar", *words]
        return subprocess.run(command, capture_output=True, text=True, env=env, cwd=tmp_path)

    cards = json.loads(instar("components", "filter", "--json").stdout)
    assert "instar-shout/quiet" in {c["name"] for c in cards}
    code = (
        "from instar.recipe import changed, load, plan; p = plan(changed(load('rest_em'), "
        "['refinement.filtering.0={use: instar-shout/quiet, share: 0.25}'])); print(p.filters[0])"
    )
    built = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert built.stdout.strip() == "Quiet(share=0.25)", built.stderr
    misspelt = instar("check", "rest_em", "--set", "refinement.filtering.0.use=instar-shout/quite")
    assert misspelt.returncode == 2
    assert "did you mean 'instar-shout/quiet'?" in misspelt.stderr
