"""Each code recipe does what it is for: without its component, what it learns from is different."""

import ast
import json
import re
from dataclasses import dataclass, replace

import pytest

from instar.acquisition.feedback.environment.unit_tests import UnitTests
from instar.acquisition.tasks.human_eval import HumanEval
from instar.environments.sandbox.sandbox import IsolatedSandbox
from instar.errors import ComponentError, DataError, Interrupted, UsageError
from instar.events import RunStarted
from instar.preflight import executes_code
from instar.recipe import built_in, changed, load, plan
from instar.run import Services, run
from instar.session import resume, start
from instar.store.folder import RunFolder
from instar.store.queries import funnel, history, lessons
from instar.testing.fakes import ScriptedEngine, context
from instar.types import Decision, Feedback, digest

SMALL = [
    "data.splits={train: 12, gate: 16, sealed: 16}",
    "iterations=1",
    "acquisition.batch=8",
]
WRONG = "    return None\n"


@dataclass(frozen=True)
class Touch:
    """An updater that makes another learner without learning anything."""

    def update(self, rows, context, /):
        prompt = digest([e.id for e in rows])
        return replace(context.learner, prompt=prompt, parents=(context.learner.id,))


@dataclass(frozen=True)
class AllRight:
    """An assessor to whom everything is right, but what the preflight shows it."""

    source: str = "all_right"

    def assess(self, batch, context, /):
        shown = [e.made_by == "preflight" and e.solution.text.endswith(WRONG) for e in batch]
        return [Feedback(source=self.source, score=float(not s)) for s in shown]


@dataclass(frozen=True)
class NoCorrection:
    """A corrector that corrects nothing."""

    def correct(self, batch, context, /):
        return []


@dataclass(frozen=True)
class Everything:
    """A filter that drops nothing."""

    def select(self, batch, context, /):
        return [Decision(keep=True, reason="all") for _ in batch]


@pytest.fixture(scope="module")
def problems():
    """Prompt -> (known solution, asserts on the function)."""
    found = {}
    for task in HumanEval().load(None, 0):
        fields = json.loads(task.material)
        check = next(n for n in ast.parse(fields["test"]).body if getattr(n, "name", "") == "check")
        lines = [ast.unparse(n) for n in check.body if isinstance(n, ast.Assert)]
        asserts = [re.sub(r"\bcandidate\b", fields["entry_point"], line) for line in lines]
        found[task.prompt] = (fields["canonical_solution"], asserts)
    return found


@pytest.fixture(scope="module")
def sandbox():
    made = IsolatedSandbox()
    yield made
    made.close()


def asked(request, problems):
    """Return the problem that a conversation began with."""
    text = next(m.content for m in request.messages if m.role == "user")
    return next(p for p in problems if text.startswith(p.rstrip()) or text.startswith(p))


def go(tmp_path, sandbox, script, name, change=lambda made: made, **options):
    """Run a recipe; return (what was trained on, the funnel)."""
    few = ["acquisition.tasks.count=12"] if name == "code_llama_self_instruct" else []
    made = change(plan(changed(load(name), [*SMALL, *few, "acquisition.solutions.per_task=4"])))
    folder = RunFolder.create(tmp_path / f"{name}-{len(list(tmp_path.iterdir()))}")
    with folder.open_for_writing() as ledger:
        services = Services(
            ledger=ledger,
            artefacts=folder.artefacts,
            engine=ScriptedEngine(script),
            emit=options.pop("heard", []).append,
            directory=folder.path,
            scratch=folder.scratch,
            sandbox=sandbox,
            **options,
        )
        run(replace(made, updater=Touch()), services)
        candidates = [e.learner for e in history(ledger) if e.iteration == 1]
        told = [s.experience for s in lessons(ledger, candidates[0])] if candidates else []
        return told, funnel(ledger, 1)


def passing(rows, sandbox):
    return [f.score == 1.0 for f in UnitTests().assess(rows, context(sandbox=sandbox))]


def half_right(problems):
    def script(request, sample, learner):
        solution, asserts = problems[asked(request, problems)]
        if "assert statements" in request.messages[-1].content:
            return "\n".join(asserts)
        good = learner.prompt if request.sampling.temperature == 0 else sample % 2
        return solution if good else WRONG

    return script


@pytest.mark.slow
def test_rest_em_code_learns_from_programs_that_pass(tmp_path, sandbox, problems):
    rows, counts = go(tmp_path, sandbox, half_right(problems), "rest_em_code")
    assert len(rows) == counts["trained"] == 12
    assert all(passing(rows, sandbox))
    blind, _ = go(
        tmp_path, sandbox, half_right(problems), "rest_em_code",
        lambda made: replace(made, assessors=(AllRight(),)),
    )  # fmt: skip
    assert not all(passing(blind, sandbox))


@pytest.mark.slow
def test_code_t_learns_from_programs_that_agree_without_a_tests_verdict(
    tmp_path, sandbox, problems
):
    rows, _ = go(tmp_path, sandbox, half_right(problems), "code_t")
    assert len(rows) >= 9
    assert all(passing(rows, sandbox))
    blind, _ = go(
        tmp_path, sandbox, half_right(problems), "code_t",
        lambda made: replace(made, assessors=(AllRight(),)),
    )  # fmt: skip
    assert not all(passing(blind, sandbox))


def repaired(problems, sign):
    """Return a script whose first program is wrong, and right once it was shown `sign`."""

    def script(request, sample, learner):
        solution, _ = problems[asked(request, problems)]
        last = request.messages[-1].content
        if sum(m.role == "user" for m in request.messages) == 1:
            return solution if learner.prompt else WRONG
        if "Explain line by line" in last:
            return "It returns None."
        return solution if sign in last else WRONG

    return script


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "sign"), [("self_debug", "tests failed; first:"), ("ldb", "[block 1]")]
)
def test_debugging_recipes_learn_from_what_was_repaired(tmp_path, sandbox, problems, name, sign):
    script = repaired(problems, sign)
    rows, _ = go(tmp_path, sandbox, script, name)
    assert len(rows) >= 9
    assert all(e.made_by == "regenerate_from_error" for e in rows)
    assert all(passing(rows, sandbox))
    none, _ = go(
        tmp_path, sandbox, script, name, lambda made: replace(made, correctors=(NoCorrection(),))
    )
    assert none == []


@pytest.mark.slow
def test_ldb_shows_variables_that_tests_alone_do_not(tmp_path, sandbox, problems):
    script = repaired(problems, "[block 1]")
    blind, _ = go(
        tmp_path, sandbox, script, "ldb",
        lambda made: replace(
            made,
            assessors=(UnitTests(),),
            correctors=(replace(made.correctors[0], checker=UnitTests()),),
        ),
    )  # fmt: skip
    assert blind == []


def invented(problems):
    """Return a script that writes problems, half of them with tests that anything passes."""

    def script(request, sample, learner):
        text = request.messages[-1].content
        if text.startswith("Write a new, short programming problem"):
            name = f"f{int(digest(request.key), 16) % 10**6}"
            return f'def {name}(x: int) -> int:\n    """Return {name} times x."""\n    ...'
        made = re.search(r"def f(\d+)\(", text)
        if made is None:
            solution, _ = problems[asked(request, problems)]
            return solution if learner.prompt else WRONG
        k = int(made[1])
        if "assert statements" in text:
            strong = f"assert f{k}(2) == {2 * k}\nassert f{k}(0) == 0\nassert f{k}(1) == {k}"
            return strong if k % 2 else f"assert f{k}(2) is not f{k}"
        return f"    return {k} * x"

    return script


@pytest.mark.slow
def test_self_instruct_drops_problems_whose_tests_are_vacuous(tmp_path, sandbox, problems):
    name = "code_llama_self_instruct"
    rows, counts = go(tmp_path, sandbox, invented(problems), name)
    assert counts["proposed"] == 12
    assert 2 < len(rows) < counts["proposed"]
    assert all("is not" not in e.task.material for e in rows)
    passed, kept = counts["ScoreAtLeast: kept"], counts["ScoreAtLeast 2: kept"]
    assert passed > kept > 0
    assert passed == kept + counts["ScoreAtLeast 2: dropped"]
    assert any(k.startswith("ScoreAtLeast 2: dropped, mutants_killed") for k in counts)
    everything, _ = go(
        tmp_path, sandbox, invented(problems), name,
        lambda made: replace(made, filters=(made.filters[0], Everything(), *made.filters[2:])),
    )  # fmt: skip
    assert any("is not" in e.task.material for e in everything)
    assert len(everything) > len(rows)


@pytest.mark.slow
def test_the_isolation_is_said_in_the_first_lines(tmp_path, sandbox, problems):
    heard = []
    go(tmp_path, sandbox, half_right(problems), "rest_em_code", heard=heard)
    (started,) = (e for e in heard if isinstance(e, RunStarted))
    assert f"sandbox: {sandbox.level}" in started.facts


@pytest.mark.slow
def test_what_ran_unprotected_is_not_learned_from_unless_asked_for(tmp_path, problems):
    unsafe = IsolatedSandbox(["none"])
    heard = []
    rows, counts = go(tmp_path, unsafe, half_right(problems), "rest_em_code", heard=heard)
    assert rows == []
    assert counts["NotUnprotected: kept"] == 0
    reason = "its code ran without a sandbox; --train-unprotected would keep it"
    assert counts[f"NotUnprotected: dropped, {reason}"] == counts["sampled"]
    (started,) = (e for e in heard if isinstance(e, RunStarted))
    assert "sandbox: NONE, code runs unprotected" in started.facts
    rows, _ = go(tmp_path, unsafe, half_right(problems), "rest_em_code", train_unprotected=True)
    unsafe.close()
    assert len(rows) == 12


def test_only_recipes_that_execute_code_need_a_sandbox():
    code = {n for n in built_in() if executes_code(plan(load(n)))}
    assert code == {"rest_em_code", "code_t", "self_debug", "ldb", "code_llama_self_instruct"}
    scored = load("rest_em", ["data.source={use: reasoning_gym, dataset: countdown}"])
    assert executes_code(plan(scored))


def test_a_run_with_an_unknown_isolation_leaves_no_folder(tmp_path):
    with pytest.raises(UsageError, match="no sandbox 'docker'"):
        start(load("rest_em_code"), tmp_path / "run", lambda event: None, sandbox="docker")
    assert not (tmp_path / "run").exists()


def refuse(*given):
    raise ComponentError("not here")


def test_where_no_isolation_holds_the_run_refuses_in_one_sentence_and_leaves_no_folder(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("instar.environments.sandbox.sandbox.launch", refuse)
    with pytest.raises(ComponentError) as refusal:
        start(load("rest_em_code"), tmp_path / "run", lambda event: None)
    told = str(refusal.value)
    failed = "bwrap: not here; landlock: not here; wasi: not here"
    assert told.startswith(f"no sandbox holds on this machine ({failed}): install bubblewrap (apt")
    assert told.endswith("or pip install 'instar[wasi]'")
    assert "\n" not in told
    assert not (tmp_path / "run").exists()


def stopped(*given):
    raise Interrupted("not now")


@pytest.mark.parametrize(("asked", "level"), [("landlock", "landlock"), ("none", "none")])
def test_the_isolation_reached_is_in_the_ledger(tmp_path, monkeypatch, asked, level):
    monkeypatch.setattr("instar.session.engine_for", stopped)
    with pytest.raises(Interrupted):
        start(load("rest_em_code"), tmp_path / "run", lambda event: None, sandbox=asked)
    with RunFolder(tmp_path / "run").open_for_reading() as ledger:
        assert ledger.get_meta("sandbox") == level


def test_every_isolation_that_sessions_of_a_run_reached_stays_in_the_ledger(tmp_path, monkeypatch):
    monkeypatch.setattr("instar.session.engine_for", stopped)
    with pytest.raises(Interrupted):
        start(load("rest_em_code"), tmp_path / "run", lambda event: None, sandbox="landlock")
    with RunFolder(tmp_path / "run").open_for_writing() as ledger:
        ledger.set_meta("sandbox_asked", "none")
    for _ in range(2):
        with pytest.raises(Interrupted):
            resume(tmp_path / "run", lambda event: None)
    with RunFolder(tmp_path / "run").open_for_reading() as ledger:
        assert ledger.get_meta("sandbox") == "landlock none"


@pytest.mark.parametrize(
    ("field", "told"),
    [
        ({"cases": [{"in": "1"}]}, "expected a list of input and output"),
        ({"tests": ["assert ("]}, "its tests are no Python"),
        ({"tests": ["assert max(1, 2) == 2"]}, "its tests use nothing that a program defines"),
    ],
)
def test_a_task_whose_tests_cannot_be_read_stops_the_run_before_anything_is_sampled(
    tmp_path, monkeypatch, field, told
):
    words = [
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
    ]
    rows = [{"prompt": f"Write {w}(x): {w} " * 3, "tests": [f"assert {w}(1)"]} for w in words]
    rows[5] = {"prompt": "Write the odd one, please.", "id": "odd", **field}
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, rows)))
    engine = ScriptedEngine()
    monkeypatch.setattr("instar.session.engine_for", lambda *given: engine)
    settings = [
        f"data.source={json.dumps({'use': 'jsonl', 'path': str(tmp_path / 'mine.jsonl')})}",
        "data.splits={train: null, gate: 2, sealed: 2}",
    ]
    with pytest.raises(DataError, match=told) as refusal:
        start(load("rest_em_code", settings), tmp_path / "run", lambda event: None)
    assert "odd" in str(refusal.value)
    assert engine.calls == 0
    assert not (tmp_path / "run").exists()
