"""Whole runs on a scripted engine: what the loop promises, without a model."""

import json
import threading
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from instar.errors import ComponentError, EngineError, PreflightError
from instar.events import IterationEnded, Measured, Note
from instar.recipe import built_in, changed, load, plan
from instar.run import Services, run
from instar.store.folder import RunFolder
from instar.store.queries import find_learner, funnel, head, history, report, trace
from instar.testing.fakes import ScriptedEngine
from instar.types import Completion, Learner, Placed, digest


@dataclass(frozen=True)
class Touch:
    """An updater that makes another learner without learning anything."""

    inert: bool = False

    def update(self, rows, context, /):
        if self.inert:
            return context.learner
        prompt = digest([e.id for e in rows])
        return replace(context.learner, prompt=prompt, parents=(context.learner.id,))


def answers(skill):
    """Return a script: greedy answers right by the learner's skill, three samples of four right."""

    def script(request, sample, learner):
        asked = request.messages[-1].content.partition("\n\n")[0]
        total = added_up(asked)
        if request.sampling.temperature > 0 and request.n > 1:
            return f"The answer is {total + (sample % 4 == 3)}"
        draw = int(digest(asked), 16) % 100
        return f"The answer is {total if draw < 100 * skill(learner) else total + 1}"

    return script


def added_up(text):
    """Add up a chain of sums as the generator writes it."""
    words = text.replace("=", " ").replace("?", " ").split()
    total, sign = 0, 1
    for word in words:
        if word in "+-":
            sign = 1 if word == "+" else -1
        elif word.lstrip("-").isdigit():
            total, sign = total + sign * int(word), 1
    return total


SMALL = [
    "data.splits={train: 24, gate: 40, sealed: 40}",
    "iterations=2",
    "acquisition.tasks={use: fixed_set, per_iteration: 12}",
    "acquisition.solutions.per_task=4",
    "acquisition.batch=6",
]


def recipe(name="rest_em", *settings):
    return changed(load(name), [*SMALL, *settings])


def go(tmp_path, engine, made, name="run", updater=None):
    """Run in a folder; return (result, folder, events)."""
    path = tmp_path / name
    folder = RunFolder(path) if path.exists() else RunFolder.create(path)
    heard = []
    with folder.open_for_writing() as ledger:
        services = Services(
            ledger=ledger,
            artefacts=folder.artefacts,
            engine=engine,
            emit=heard.append,
            directory=path,
            scratch=folder.scratch,
        )
        result = run(replace(made, updater=updater or Touch()), services)
    return result, folder, heard


def better_each_time(learner):
    return 0.9 if learner.prompt else 0.2


def never_better(learner):
    return 0.5


# Recipes on code have a script of their own: tests/recipes.
SUMS = [n for n in built_in() if load(n).data["objective"]["ability"] != "code"]


@pytest.mark.parametrize("name", SUMS)
def test_every_recipe_turns_on_the_scripted_engine(name, tmp_path):
    engine = ScriptedEngine(answers(better_each_time))
    result, folder, _ = go(tmp_path, engine, plan(recipe(name, "iterations=1")))
    with folder.open_for_reading() as ledger:
        rows = [e.rows_trained for e in history(ledger)]
    assert result.improved
    assert rows[0] == 0
    assert rows[1] > 0


def test_a_better_candidate_is_promoted_and_the_sealed_split_confirms_it(tmp_path):
    result, folder, heard = go(tmp_path, ScriptedEngine(answers(better_each_time)), plan(recipe()))
    assert result.improved
    assert result.sealed.low > 0
    assert "improved: sealed split" in result.summary
    with folder.open_for_reading() as ledger:
        entries = history(ledger)
        assert [e.accepted for e in entries] == [None, True, False]
        assert head(ledger) == result.learner.id == entries[1].learner
        opened = ledger.connection.execute("SELECT learner FROM opening").fetchall()
    assert opened == [(result.learner.id,)]
    assert [e.iteration for e in heard if isinstance(e, IterationEnded)] == [1, 2]


def test_a_batch_is_judged_while_the_next_one_is_sampled(tmp_path):
    drawn, second_batch, heard = set(), threading.Event(), []

    def script(request, sample, learner):
        if request.n == 4:
            drawn.add(request.messages[-1].content)
            if len(drawn) > 6:
                second_batch.set()
        return answers(better_each_time)(request, sample, learner)

    @dataclass(frozen=True)
    class Waits:
        """Judge a sampled batch only when the second one is being sampled."""

        judge: object

        def assess(self, batch, context, /):
            if len(batch) == 24:
                heard.append(second_batch.wait(20.0))
            return self.judge.assess(batch, context)

    made = plan(recipe("rest_em", "iterations=1"))
    made = replace(made, assessors=tuple(Waits(a) for a in made.assessors))
    _, folder, _ = go(tmp_path, ScriptedEngine(script), made)
    assert heard == [True, True]
    with folder.open_for_reading() as ledger:
        rows = ledger.ask("SELECT step FROM steps WHERE iteration = 1 ORDER BY number")
    assert [step for (step,) in rows][1:5] == ["solve", "solve", "assess", "assess"]


def test_no_improvement_is_said_plainly_and_the_sealed_split_stays_closed(tmp_path):
    result, folder, _ = go(tmp_path, ScriptedEngine(answers(never_better)), plan(recipe()))
    assert not result.improved
    assert result.summary.startswith("no improvement")
    with folder.open_for_reading() as ledger:
        assert head(ledger) == find_learner(ledger, "base").id
        assert ledger.connection.execute("SELECT count(*) FROM opening").fetchone() == (0,)
        assert report(ledger, find_learner(ledger, "base").id, "sealed") is None


def test_the_control_arm_trains_on_as_many_rows_and_is_compared(tmp_path):
    made = plan(recipe("rest_em", "control=random"))
    result, folder, heard = go(tmp_path, ScriptedEngine(answers(better_each_time)), made)
    assert result.control is not None
    assert "unfiltered control" in result.summary
    with folder.open_for_reading() as ledger:
        arms = [(e.iteration, e.arm, e.rows_trained) for e in history(ledger)]
    rows = {arm: [n for _, a, n in arms if a == arm] for arm in ("method", "control")}
    assert rows["method"] == rows["control"]
    assert any(isinstance(e, Measured) and e.arm == "control" for e in heard)


def test_only_kept_rows_are_trained_on_and_every_drop_has_a_reason(tmp_path):
    _, folder, _ = go(tmp_path, ScriptedEngine(answers(better_each_time)), plan(recipe()))
    with folder.open_for_reading() as ledger:
        trained = ledger.connection.execute("SELECT json FROM trained WHERE arm = 'method'")
        rows = {r for (text,) in trained for r in json.loads(text)["rows"]}
        dropped = {
            e for (e,) in ledger.connection.execute("SELECT experience FROM sifted WHERE keep = 0")
        }
        counts = funnel(ledger, 1)
        task = ledger.recall(
            ledger.connection.execute("SELECT key FROM steps WHERE step = 'split'").fetchone()[0],
            Placed,
        )
        placed = next(p for p in task if p.split == "train")
        told = trace(ledger, placed.task.id)
    assert rows
    assert not rows & dropped
    assert counts["sampled"] == 48
    assert counts["ScoreAtLeast: dropped"] == 12
    assert told.split == "train"


def test_the_same_seed_gives_the_same_ledger_and_another_seed_another(tmp_path):
    engine = ScriptedEngine(answers(better_each_time))
    contents = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        _, folder, _ = go(tmp_path, engine, plan(recipe("rest_em", f"seed={seed}")), name)
        with folder.open_for_reading() as ledger:
            contents.append(ledger.content())
    assert contents[0] == contents[1] != contents[2]


@pytest.mark.parametrize("step", ["solve", "assess", "filter", "update", "evaluate", "decide"])
def test_a_run_that_dies_in_any_step_ends_like_one_that_does_not(tmp_path, step, monkeypatch):
    engine = ScriptedEngine(answers(better_each_time))
    made = plan(recipe())
    whole, folder, _ = go(tmp_path, engine, made, "whole")
    with folder.open_for_reading() as ledger:
        content = ledger.content()
    from instar.store.ledger import SqliteLedger

    record, left = SqliteLedger.record, [2]

    def dies(self, key, name, *rest):
        if name == step:
            left[0] -= 1
            if left[0] == 0:
                raise KeyboardInterrupt
        return record(self, key, name, *rest)

    monkeypatch.setattr(SqliteLedger, "record", dies)
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path, engine, made, "killed")
    monkeypatch.setattr(SqliteLedger, "record", record)
    calls = engine.calls
    again, folder, _ = go(tmp_path, engine, made, "killed")
    assert again.learner == whole.learner
    with folder.open_for_reading() as ledger:
        assert ledger.content() == content
    assert engine.calls > calls or step in ("filter", "decide", "update")


def test_a_finished_run_told_again_asks_the_engine_nothing(tmp_path):
    engine = ScriptedEngine(answers(better_each_time))
    made = plan(recipe())
    first, _, _ = go(tmp_path, engine, made)
    calls = engine.calls
    second, _, _ = go(tmp_path, engine, made)
    assert second == first
    assert engine.calls == calls


def test_an_inert_update_stops_before_anything_is_sampled(tmp_path):
    engine = ScriptedEngine(answers(better_each_time))
    with pytest.raises(PreflightError, match="changed nothing"):
        go(tmp_path, engine, plan(recipe()), updater=Touch(inert=True))
    assert engine.calls == 0


CHECKERS = """
from dataclasses import dataclass
from instar.types import Feedback

@dataclass(frozen=True)
class AlwaysRight:
    "Is fooled by everything."
    def assess(self, batch, context, /):
        return [Feedback(source="x", score=1.0) for e in batch]

@dataclass(frozen=True)
class Trips:
    "Raises on some solutions."
    def assess(self, batch, context, /):
        if any(e.made_by == "sample" and e.task.id[0] in "01234567" for e in batch):
            raise ZeroDivisionError("cannot judge this")
        right = [e.task.reference in e.solution.text.split() for e in batch]
        return [Feedback(source="x", score=float(r)) for r in right]

@dataclass(frozen=True)
class AlwaysRaises:
    "Is broken."
    def assess(self, batch, context, /):
        raise ZeroDivisionError("broken")
"""


def with_checker(tmp_path, name):
    (tmp_path / "mine.py").write_text(CHECKERS)
    found = recipe("rest_em", f"acquisition.feedback=[{{use: './mine.py:{name}'}}]")
    return plan(replace(found, folder=Path(tmp_path)))


def test_a_checker_that_is_fooled_by_everything_stops_the_run(tmp_path):
    engine = ScriptedEngine(answers(better_each_time))
    with pytest.raises(PreflightError, match="AlwaysRight cannot tell"):
        go(tmp_path, engine, with_checker(tmp_path, "AlwaysRight"))
    assert engine.calls == 0


def test_a_checker_that_raises_on_some_solutions_loses_only_those(tmp_path):
    engine = ScriptedEngine(answers(better_each_time))
    result, folder, _ = go(tmp_path, engine, with_checker(tmp_path, "Trips"))
    with folder.open_for_reading() as ledger:
        told = [t for (t,) in ledger.connection.execute("SELECT json FROM assessed")]
    assert any("ZeroDivisionError: cannot judge this" in t for t in told)
    assert result.improved


def test_a_checker_that_always_raises_stops_the_run_with_its_error(tmp_path):
    engine = ScriptedEngine(answers(better_each_time))
    with pytest.raises(
        ComponentError, match="AlwaysRaises failed on every task: ZeroDivisionError"
    ):
        go(tmp_path, engine, with_checker(tmp_path, "AlwaysRaises"))


def test_some_failed_samples_are_data_and_too_many_stop_the_run(tmp_path):
    def failing(share):
        inner = answers(better_each_time)

        def script(request, sample, learner):
            if request.n > 1 and sample < share:
                return Completion(text="", tokens=0, finished=False, error="503: busy")
            return inner(request, sample, learner)

        return ScriptedEngine(script)

    _, folder, _ = go(tmp_path, failing(1), plan(recipe()), "some")
    with folder.open_for_reading() as ledger:
        found = [t for (t,) in ledger.connection.execute("SELECT json FROM experience")]
    assert sum("503: busy" in t for t in found) == len(found) / 4
    with pytest.raises(EngineError, match="of 24 samples failed; first: 503: busy"):
        go(tmp_path, failing(3), plan(recipe()), "many")


def test_a_budget_that_is_spent_before_the_first_iteration_is_no_failure(tmp_path):
    made = plan(recipe("rest_em", "budget=0.001s"))
    result, _, _ = go(tmp_path, ScriptedEngine(answers(better_each_time)), made)
    assert not result.improved
    assert "the budget was used up before begin, and no iteration was begun" in result.summary


@dataclass(frozen=True)
class Fails:
    """An updater that raises, or forgets to return a learner."""

    raises: bool

    def update(self, rows, context, /):
        return 1 / 0 if self.raises else None


@pytest.mark.parametrize(
    ("raises", "told"), [(True, "Fails raised ZeroDivisionError"), (False, "Fails returned a None")]
)
def test_an_updater_that_fails_is_named_before_anything_is_sampled(tmp_path, raises, told):
    engine = ScriptedEngine(answers(better_each_time))
    with pytest.raises(ComponentError, match=told):
        go(tmp_path, engine, plan(recipe()), updater=Fails(raises))
    assert engine.calls == 0


@dataclass(frozen=True)
class Returns:
    """A component of every kind that returns `value`, or leaves the program if it is told to."""

    value: object

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return self._answer

    def _answer(self, *given):
        if self.value == "exit":
            raise SystemExit(0)
        return self.value


@pytest.mark.parametrize("value", [None, 3, "exit", "text", ("x",) * 48])
@pytest.mark.parametrize(
    "slot", ["source", "proposer", "solver", "assessors", "filters", "updater", "measures", "gate"]
)
def test_a_component_that_returns_anything_else_is_named_in_one_sentence(slot, value, tmp_path):
    part = Returns(value)
    made = plan(recipe("rest_em", "iterations=1"))
    made = replace(
        made, **{slot: (part,) if slot in ("assessors", "filters", "measures") else part}
    )
    updater = part if slot == "updater" else None
    with pytest.raises(ComponentError, match=r"^Returns (returned|raised|failed)"):
        go(tmp_path, ScriptedEngine(answers(better_each_time)), made, updater=updater)


def test_why_held_out_answers_failed_is_told(tmp_path):
    def script(request, sample, learner):
        if request.n == 1 and "1" in request.messages[-1].content:
            return Completion(text="", tokens=0, finished=False, error="out of luck")
        return answers(better_each_time)(request, sample, learner)

    _, _, heard = go(tmp_path, ScriptedEngine(script), plan(recipe("rest_em", "iterations=1")))
    told = [e.text for e in heard if isinstance(e, Note) and "out of luck" in e.text]
    assert "of 40 answers failed; the first: out of luck" in told[0]


def test_a_token_budget_is_kept(tmp_path):
    made = plan(recipe("rest_em", "iterations=2", "budget=1-tokens"))
    result, _, heard = go(tmp_path, ScriptedEngine(answers(better_each_time)), made)
    assert not result.improved
    assert any(isinstance(e, Note) and "budget" in e.text for e in heard)


def test_a_held_out_task_in_a_solution_is_never_trained_on(tmp_path):
    made = plan(recipe())
    tasks = made.source.load(104, 0)
    leak = tasks[0].prompt

    def script(request, sample, learner):
        inner = answers(better_each_time)(request, sample, learner)
        return f"{leak} {inner}" if request.n > 1 else inner

    _, folder, _ = go(tmp_path, ScriptedEngine(script), made)
    with folder.open_for_reading() as ledger:
        split = next(
            s
            for p in ledger.connection.execute(
                "SELECT task.json, t.split FROM placed t JOIN task ON task.id = t.task"
            )
            if leak in p[0].encode().decode("unicode_escape")
            for s in [p[1]]
        )
        counts = funnel(ledger, 1)
    dropped = counts.get("NotHeldOut: dropped", 0)
    assert (dropped > 0) == (split in ("gate", "sealed"))


def test_moving_the_head_back_is_recorded_and_seen(tmp_path):
    result, folder, _ = go(tmp_path, ScriptedEngine(answers(better_each_time)), plan(recipe()))
    with folder.open_for_writing() as ledger:
        base = find_learner(ledger, "base")
        assert head(ledger) == result.learner.id
        ledger.move_head(base.id, 2, "rollback")
        assert head(ledger) == base.id
        assert next(e for e in history(ledger) if e.head).learner == base.id


def test_learners_are_named_by_prefix_word_or_iteration(tmp_path):
    result, folder, _ = go(tmp_path, ScriptedEngine(answers(better_each_time)), plan(recipe()))
    with folder.open_for_reading() as ledger:
        assert find_learner(ledger, "1") == result.learner
        assert find_learner(ledger, result.learner.id[:6]) == result.learner
        assert find_learner(ledger, "base") == Learner(base="smollm2")
        with pytest.raises(ValueError, match="no learner 'haed'; did you mean 'head'"):
            find_learner(ledger, "haed")
