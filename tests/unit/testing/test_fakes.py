import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from instar.testing.fakes import (
    FolderOfArtefacts,
    ScriptedEngine,
    context,
    experiences,
    said,
    tasks,
)
from instar.types import Completion, Learner, Message, Request, Sampling


def request(text, n=1):
    turns = (Message(role="user", content=text),)
    return Request(messages=turns, sampling=Sampling(), n=n, key="k")


def texts(engine, *requests, learner=None):
    here = context()
    made = engine.generate(requests, learner or here.learner, here)
    return [[c.text for c in group] for group in made]


def test_the_default_script_adds_rightly_first_and_wrongly_next():
    for task in tasks():
        (first, second), *_ = texts(ScriptedEngine(), request(task.prompt, n=2))
        assert first == f"The answer is {task.reference}"
        assert second != first


def test_the_default_script_minds_signs_and_not_what_was_appended():
    asked = "State the final answer: 7 - 10 =\n\nThink in 2 steps. (Hint: 5)"
    assert texts(ScriptedEngine(), request(asked)) == [["The answer is -3"]]


def test_answers_come_in_order_and_calls_are_counted():
    engine = ScriptedEngine(lambda request, sample, learner: f"{request.key}{sample}")
    assert texts(engine, request("a", 2), request("b")) == [["k0", "k1"], ["k0"]]
    assert engine.calls == 2


def test_a_script_may_depend_on_the_learner():
    engine = ScriptedEngine(lambda request, sample, learner: learner.base)
    assert texts(engine, request("a"), learner=Learner(base="other")) == [["other"]]


def test_a_mapping_is_a_script_and_what_it_lacks_fails():
    engine = ScriptedEngine(said({"a": "yes"}))
    here = context()
    (known,), (unknown,) = engine.generate([request("a"), request("b")], here.learner, here)
    assert (known.text, known.error) == ("yes", None)
    assert unknown.error is not None
    assert "'b'" in unknown.error


def test_a_script_may_return_a_whole_completion():
    cut = Completion(text="x", tokens=9, finished=False)
    here = context()
    engine = ScriptedEngine(lambda *_: cut)
    assert engine.generate([request("a")], here.learner, here) == [(cut,)]


def test_progress_counts_requests_and_tokens():
    heard = []
    here = replace(context(), emit=heard.append)
    ScriptedEngine(lambda *_: "two words").generate([request("a", 3)], here.learner, here)
    assert [(e.done, e.tokens) for e in heard] == [(1, 6)]


def test_the_fingerprint_changes_with_the_learner_alone():
    here, engine = context(), ScriptedEngine()
    other = replace(here.learner, adapter="a1")
    assert engine.fingerprint(here.learner, here) == engine.fingerprint(here.learner, here)
    assert engine.fingerprint(here.learner, here) != engine.fingerprint(other, here)


def test_artefacts_are_named_by_content_and_copied(tmp_path):
    def folder(name, content):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(content)
        return tmp_path / name

    kept = FolderOfArtefacts()
    one, same, other = (kept.add(folder(n, c)) for n, c in (("a", "x"), ("b", "x"), ("c", "y")))
    assert one == same != other
    (tmp_path / "a" / "file").write_text("changed")
    assert (kept.path(one) / "file").read_text() == "x"


def test_train_and_gate_tasks_share_nothing_and_ids_are_distinct():
    here = context()
    ids = [t.id for t in (*here.train, *here.gate)]
    assert len(set(ids)) == len(ids) == 24
    assert len({e.id for e in experiences()}) == len(experiences())


def test_temporary_folders_go_when_the_process_ends():
    code = "from instar.testing.fakes import context; print(context().scratch)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip()
    assert not Path(done.stdout.strip()).exists()


@pytest.mark.parametrize("given", ["", "no number", "\ud800", "9" * 100_000])
def test_the_default_script_answers_anything(given):
    assert texts(ScriptedEngine(), request(given))[0][0].startswith("The answer is ")
