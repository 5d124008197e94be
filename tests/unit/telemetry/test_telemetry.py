import io
import json
import typing

import pytest
from rich.console import Console as RichConsole

from instar import events
from instar.telemetry.console import Console
from instar.telemetry.jsonl import JsonLines
from instar.telemetry.text import terminal_safe
from instar.types import Outcome, Report, Score, Verdict

HOSTILE = "\x1b]0;owned\x07[bold red]x[/bold red]\u202e\ud800\r"
SCORE = Score(name="accuracy", value=0.215, low=0.164, high=0.277, n=200)
REPORT = Report(
    learner="m", split="gate", scores=(SCORE,), outcomes=(Outcome(task="t", score=1, text="x"),)
)
VERDICT = Verdict(candidate="c", current="m", accepted=True, reason="promoted: 74 fixed")
ALL = [
    events.RunStarted(
        recipe="demo", model=HOSTILE, directory="runs/d", iterations=2, resumed=False, facts=("n",)
    ),
    events.StepStarted(step="evaluate", unit="tasks", total=200),
    events.Progress(done=3, tokens=100),
    events.StepEnded(step="evaluate", seconds=1.0, cached=False),
    events.Measured(iteration=0, arm="method", report=REPORT),
    events.IterationStarted(iteration=1, iterations=2),
    events.IterationEnded(
        iteration=1,
        iterations=2,
        verdict=VERDICT,
        rows_trained=55,
        tokens=1234,
        seconds=40.0,
        seconds_left=83.0,
    ),
    events.Note(text=HOSTILE, level="warning"),
    events.RunEnded(outcome="improved", summary="improved: 20 points", seconds=100.0),
]


def shown(terminal):
    out = io.StringIO()
    with Console(RichConsole(file=out, force_terminal=terminal, width=120)) as console:
        for event in ALL:
            console(event)
    return out.getvalue()


def test_every_kind_of_event_is_shown_somewhere():
    assert {type(e) for e in ALL} == set(typing.get_args(events.Event))


@pytest.mark.parametrize("terminal", [True, False])
def test_a_person_sees_accuracy_verdict_rows_and_time_left(terminal):
    text = shown(terminal)
    assert "base: accuracy 21.5% (16.4 to 27.7, n = 200)" in text
    assert "promoted: 74 fixed; 55 rows trained, 1,234 tokens, 40 s, about 1 min 23 s left" in text
    assert "improved: 20 points (1 min 40 s)" in text
    assert "instar diff runs/d base head" in text


def test_nothing_a_model_wrote_reaches_the_terminal_as_a_command():
    text = shown(False)
    assert "[bold red]x[/bold red]" in text
    assert not set("\x1b\x07\u202e\ud800") & set(text)


def test_a_person_sees_that_something_is_loading_before_the_first_event():
    out = io.StringIO()
    with Console(RichConsole(file=out, force_terminal=True, width=120)):
        pass
    assert "loading model and tasks" in out.getvalue()


@pytest.mark.parametrize("outcome", ["failed", "interrupted"])
def test_what_the_error_says_is_not_said_twice(outcome):
    out = io.StringIO()
    with Console(RichConsole(file=out, force_terminal=False, width=120)) as console:
        console(events.RunEnded(outcome=outcome, summary="the disk is full", seconds=1.0))
    assert out.getvalue() == ""


def test_without_a_terminal_there_are_plain_lines_only():
    assert "\x1b" not in shown(False)


def test_safe_text_is_cut_and_says_so():
    assert terminal_safe("a" * 10, 4) == "aaaa... (6 characters more)"
    assert terminal_safe("a\nb\tc", 99, newlines=False) == "a b c"


def test_events_are_lines_of_json_without_progress_or_answers(tmp_path):
    path = tmp_path / "events.jsonl"
    sink = JsonLines(path, warn=pytest.fail)
    for event in ALL:
        sink(event)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [r["event"] for r in rows] == [
        type(e).__name__ for e in ALL if not isinstance(e, events.Progress)
    ]
    assert rows[3]["report"]["outcomes"] == []
    assert all(r["time"] for r in rows)


def test_a_torn_line_does_not_spoil_the_next(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text('{"event": "torn')
    JsonLines(path, warn=pytest.fail)(events.Note(text="after"))
    assert json.loads(path.read_text().splitlines()[1])["text"] == "after"


def test_a_log_that_cannot_be_written_warns_once_and_lets_the_run_go_on(tmp_path):
    told = []
    sink = JsonLines(tmp_path / "nowhere" / "events.jsonl", warn=told.append)
    sink(events.Note(text="a"))
    sink(events.Note(text="b"))
    assert len(told) == 1
    assert "the run goes on" in told[0]
