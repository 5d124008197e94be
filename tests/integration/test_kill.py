"""A real model, really trained, killed at random instants: it ends as if nothing had happened."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tiny
from instar.store.folder import RunFolder
from instar.store.queries import history


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """A recipe over a tiny llama."""
    return tiny.write(tmp_path_factory.mktemp("tiny"))


def instar(*words):
    return subprocess.Popen(
        [sys.executable, "-m", "instar", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def end_of(process):
    out, errors = process.communicate(timeout=300)
    assert process.returncode == 4, errors
    return out


def content(path):
    with RunFolder(path).open_for_reading() as ledger:
        return ledger.content(), [e.learner for e in history(ledger)]


@pytest.mark.slow
def test_killed_at_random_instants_it_ends_like_the_uninterrupted_run(recipe, tmp_path):
    started = time.monotonic()
    end_of(instar("run", str(recipe), "--dir", str(tmp_path / "whole")))
    took = time.monotonic() - started
    expected = content(tmp_path / "whole")
    draw = random.Random(0)
    for trial in range(3):
        path = tmp_path / f"killed-{trial}"
        process = instar("run", str(recipe), "--dir", str(path))
        time.sleep(draw.uniform(0.4, 0.95) * took)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        verb = ("resume", str(path))
        if not (path / "recipe.yaml").is_file():
            verb = ("run", str(recipe), "--dir", f"{path}-again")
            path = Path(f"{path}-again")
        end_of(instar(*verb))
        assert content(path) == expected


@pytest.mark.slow
def test_ctrl_c_stops_cleanly_and_says_how_to_go_on(recipe, tmp_path):
    path = tmp_path / "run"
    process = instar("run", str(recipe), "--dir", str(path))
    events = path / "events.jsonl"
    for _ in range(600):
        if events.exists() and "StepStarted" in events.read_text():
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"instar resume {path}" in errors
    assert "Traceback" not in errors
    last = json.loads(events.read_text().splitlines()[-1])
    assert last["outcome"] == "interrupted"
    end_of(instar("resume", str(path)))
