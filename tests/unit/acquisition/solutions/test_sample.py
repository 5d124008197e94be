import json
import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from instar.acquisition.solutions.sample import Sample, read_exemplars
from instar.build import component, fingerprint
from instar.errors import DataError
from instar.testing.fakes import ScriptedEngine, context, experience, said, tasks
from instar.types import Completion, Message


class Listener(ScriptedEngine):
    """Keeps what it was asked, batch by batch."""

    def generate(self, requests, learner, context, /):
        self.heard = [*getattr(self, "heard", []), list(requests)]
        return super().generate(requests, learner, context)


def asked(sample, given=None, **changes):
    """Return the requests of one call."""
    engine = Listener()
    sample.solve(tasks() if given is None else given, replace(context(engine=engine), **changes))
    (requests,) = engine.heard
    return requests


def turns(request):
    return [(m.role, m.content) for m in request.messages]


def exemplars(folder, count=6):
    path = folder / "shots.jsonl"
    rows = [{"prompt": f"p{i}", "completion": f"c{i}"} for i in range(count)]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return path


def test_every_task_gets_its_samples_in_order_in_one_batch():
    engine = Listener()
    made = Sample(per_task=3).solve(tasks(), context(engine=engine))
    assert len(engine.heard) == 1
    assert [(e.task, e.solution.sample) for e in made] == [
        (t, i) for t in tasks() for i in range(3)
    ]
    assert made[0].solution.text == "The answer is 3"
    assert made[1].solution.text == "The answer is 4"
    assert {e.made_by for e in made} == {"sample"}
    assert {e.learner for e in made} == {context().learner.id}


def test_no_task_is_no_request(tmp_path):
    engine = Listener()
    assert Sample().solve([], context(engine=engine)) == []
    assert engine.calls == 0


def test_what_the_engine_says_of_a_completion_is_kept():
    cut = Completion(text="a b", tokens=17, finished=False, logprob=-2.5)
    engine = ScriptedEngine(lambda *_: cut)
    solution = Sample(max_tokens=17).solve(tasks(1), context(engine=engine))[0].solution
    assert (solution.text, solution.tokens, solution.finished) == ("a b", 17, False)
    assert solution.logprob == -2.5
    assert solution.sampling.max_tokens == 17


def test_a_failed_completion_is_an_experience_with_its_error():
    one, two = tasks(2)
    engine = ScriptedEngine(said({one.prompt: "3"}))
    good, bad = Sample(per_task=1).solve([one, two], context(engine=engine))
    assert (good.solution.error, good.solution.text) == (None, "3")
    assert bad.solution.error.startswith("nothing to say")
    assert (bad.solution.turns, bad.solution.text) == ((), "")


def test_keys_are_distinct_by_task_and_iteration():
    keys = [r.key for i in (1, 2, 3) for r in asked(Sample(), iteration=i)]
    assert len(set(keys)) == len(keys) == 12


@pytest.mark.parametrize(
    ("temperature", "by_iteration"),
    [(0.7, [0.7, 0.7, 0.7]), ((0.7, 1.0), [0.7, 1.0, 1.0]), (0, [0, 0, 0]), ([0.2], [0.2] * 3)],
)
def test_temperature_follows_the_iteration_and_the_last_holds(temperature, by_iteration):
    sample = Sample(temperature=temperature)
    found = [asked(sample, iteration=i)[0].sampling.temperature for i in (1, 2, 3)]
    assert found == by_iteration


def test_a_list_of_temperatures_is_as_good_as_a_tuple():
    assert Sample(temperature=[0.7, 1.0]) == Sample(temperature=(0.7, 1.0))
    assert hash(Sample(temperature=[0.7, 1.0]))


def test_the_instruction_is_asked_and_not_kept():
    sample = Sample(per_task=1, instruction="Think.")
    assert asked(sample)[0].messages[-1].content.endswith("\n\nThink.")
    (made,) = sample.solve(tasks(1), context())
    assert "Think" not in str(made.task) + str(made.solution.turns)
    assert made.task == tasks(1)[0]


def test_the_standing_prompt_comes_first_then_exemplars_then_the_task(tmp_path):
    sample = Sample(exemplars=exemplars(tmp_path), shots=2, instruction="Think.")
    learner = replace(context().learner, prompt="Be brief.")
    said = turns(asked(sample, tasks(1), learner=learner)[0])
    assert said[0] == ("system", "Be brief.")
    assert [role for role, _ in said[1:]] == ["user", "assistant", "user", "assistant", "user"]
    assert all(c == f"c{p[1:]}" for (_, p), (_, c) in (said[1:3], said[3:5]))
    assert said[-1][1] == tasks(1)[0].prompt + "\n\nThink."


def test_exemplars_are_drawn_by_the_seed_anew_for_each_task_and_iteration(tmp_path):
    sample = Sample(exemplars=exemplars(tmp_path, 50), shots=3)

    def drawn(**changes):
        return [turns(r)[:-1] for r in asked(sample, **changes)]

    assert drawn() == drawn()
    assert drawn() != drawn(seed=1)
    assert drawn() != drawn(iteration=2)
    assert drawn()[0] != drawn()[1]


def test_a_task_is_no_exemplar_of_itself(tmp_path):
    given = tasks(3)
    path = tmp_path / "own.jsonl"
    rows = [{"prompt": f" {t.prompt} ", "completion": "known"} for t in given]
    path.write_text("\n".join(map(json.dumps, rows)))
    for task, request in zip(given, asked(Sample(exemplars=path, shots=3), given), strict=True):
        shown = [c.strip() for role, c in turns(request)[:-1] if role == "user"]
        assert sorted(shown) == sorted(t.prompt.strip() for t in given if t != task)


def test_verified_exemplars_come_from_what_was_kept_and_not_twice_from_one_task():
    one, two, three, four = tasks()
    kept = tuple(experience(t, f"text {i}", i) for t in (one, two, three) for i in range(5))
    (request,) = asked(Sample(exemplars="verified", shots=9), [four], verified=kept)
    said = turns(request)[:-1]
    assert sorted(c for _, c in said[::2]) == sorted(t.prompt for t in (one, two, three))
    assert all(c.startswith("text ") for _, c in said[1::2])
    (request,) = asked(Sample(exemplars="verified", shots=9), [one], verified=kept)
    assert one.prompt not in [c for _, c in turns(request)[:-1]]


def test_without_verified_solutions_the_task_stands_alone():
    requests = asked(Sample(exemplars="verified", shots=2))
    assert [len(r.messages) for r in requests] == [1, 1, 1, 1]


def test_exemplars_are_not_part_of_the_experience(tmp_path):
    made = Sample(exemplars=exemplars(tmp_path), shots=2).solve(tasks(1), context())
    assert made[0].task == tasks(1)[0]
    assert len(made[0].solution.turns) == 1


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", "line 1: not JSON"),
        ("[" * 100_000, "line 1: not JSON"),
        ('{"prompt": "a", "completion": "b"}\n\n[1]', "line 3: expected an object"),
        ('{"prompt": "a"}', "line 1: expected an object with prompt and completion"),
        ('{"prompt": 1, "completion": "b"}', "line 1: prompt: expected text"),
        ('{"prompt": "a", "completion": " "}', "line 1: completion: expected text"),
        ('{"prompt": "a", "completion": "\\ud800"}', "line 1: completion"),
        ("", "holds 0 exemplars, not 1"),
    ],
)
def test_a_bad_file_of_exemplars_is_named_with_its_line(tmp_path, content, complaint):
    path = tmp_path / "bad.jsonl"
    path.write_text(content)
    with pytest.raises(DataError, match=complaint) as caught:
        Sample(exemplars=path, shots=1).solve(tasks(1), context())
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_of_exemplars_that_cannot_be_read_is_named(tmp_path, content):
    path = tmp_path / "bad.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match="cannot be read"):
        read_exemplars(path)


def test_line_separators_inside_text_and_a_byte_order_mark_do_no_harm(tmp_path):
    path = tmp_path / "odd.jsonl"
    path.write_text('\ufeff{"prompt": "a\u2028b\x85", "completion": "c"}\r\n', encoding="utf-8")
    assert read_exemplars(path) == [("a\u2028b\x85", "c")]


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"per_task": 0}, "per_task is 0"),
        ({"temperature": -1.0}, "temperature is -1"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"temperature": (0.7, -1.0)}, "temperature is -1"),
        ({"temperature": ()}, "empty"),
        ({"max_tokens": 0}, "max_tokens is 0"),
        ({"top_p": 0.0}, "top_p is 0"),
        ({"shots": 2}, "go together"),
        ({"exemplars": Path("x.jsonl")}, "go together"),
        ({"shots": -1, "exemplars": "verified"}, "go together"),
        ({"shots": 1, "exemplars": "x.jsonl"}, "expected 'verified' or a path"),
    ],
)
def test_what_cannot_be_honoured_is_refused_at_once(fields, complaint):
    with pytest.raises(ValueError, match=complaint):
        Sample(**fields)


def test_in_a_recipe_exemplars_are_relative_to_it_and_their_text_counts(tmp_path):
    def built(use):
        entry = {"use": "sample", "exemplars": use, "shots": 1}
        return component("solver", entry, "here", tmp_path)

    path = exemplars(tmp_path)
    assert built("shots.jsonl") == Sample(exemplars=path, shots=1)
    assert built("verified") == Sample(exemplars="verified", shots=1)
    before = fingerprint(built("shots.jsonl"))
    path.write_text('{"prompt": "a", "completion": "b"}')
    assert fingerprint(built("shots.jsonl")) != before


def test_it_pickles_and_leaves_its_tasks_alone():
    given = tasks()
    before = pickle.dumps(given)
    sample = pickle.loads(pickle.dumps(Sample(temperature=(0.1, 0.2))))
    assert sample == Sample(temperature=(0.1, 0.2))
    sample.solve(given, context())
    assert pickle.dumps(given) == before


def test_a_conversation_keeps_its_turns():
    earlier = (
        Message(role="user", content="a"),
        Message(role="assistant", content="b"),
        Message(role="user", content="c"),
    )
    (request,) = asked(Sample(instruction="Think."), [replace(tasks(1)[0], messages=earlier)])
    assert turns(request) == [("user", "a"), ("assistant", "b"), ("user", "c\n\nThink.")]
