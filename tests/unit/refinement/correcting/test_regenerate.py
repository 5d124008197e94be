"""A program that fails is shown why, and written again until it passes or the rounds are over."""

from dataclasses import dataclass, replace

import pytest

from instar.refinement.correcting.regenerate_from_error import RegenerateFromError
from instar.testing.fakes import ScriptedEngine, context, experience, tasks
from instar.types import Feedback


@dataclass(frozen=True)
class Says:
    """A checker that wants one word."""

    word: str = "right"

    def assess(self, batch, context, /):
        return [
            Feedback(
                source="says",
                score=float(self.word in e.solution.text),
                critique=None if self.word in e.solution.text else f"no {self.word}",
            )
            for e in batch
        ]


def failed(task, text="wrong", critique="it lacks the word"):
    made = experience(task, text)
    return replace(made, feedback=(Feedback(source="says", score=0.0, critique=critique),))


def conversation(request):
    return [(m.role, m.content) for m in request.messages]


def run(script, batch, **options):
    seen = []

    def heard(request, sample, learner):
        seen.append(request)
        return script(len(seen))

    made = RegenerateFromError(checker=Says(), **options).correct(
        batch, context(engine=ScriptedEngine(heard))
    )
    return made, seen


def test_it_goes_on_until_the_checker_is_satisfied():
    (task, *_) = tasks(1)
    made, seen = run(lambda n: "right" if n == 2 else "wrong again", [failed(task)], rounds=5)
    assert [e.solution.text for e in made] == ["wrong again", "right"]
    assert made[0].parents == (failed(task).id,)
    assert made[1].parents == (failed(task).id, made[0].id)
    assert all(e.task == task for e in made)
    assert len(seen) == 2
    told = conversation(seen[1])
    assert told[1] == ("assistant", "wrong again")
    assert "no right" in told[2][1]


def test_it_stops_at_the_cap():
    made, seen = run(lambda n: "wrong", [failed(tasks(1)[0])], rounds=3)
    assert len(made) == len(seen) == 3


def test_simple_feedback_shows_no_critique():
    _, seen = run(lambda n: "right", [failed(tasks(1)[0])], feedback="simple")
    assert "it lacks the word" not in seen[0].messages[-1].content
    _, seen = run(lambda n: "right", [failed(tasks(1)[0])], feedback="critique")
    assert "it lacks the word" in seen[0].messages[-1].content


def test_with_explanation_the_learner_speaks_of_its_program_first():
    made, seen = run(lambda n: f"said {n} right", [failed(tasks(1)[0])], feedback="explanation")
    assert [e.solution.text for e in made] == ["said 2 right"]
    roles = [role for role, _ in conversation(seen[1])]
    assert roles == ["user", "assistant", "user", "assistant", "user"]
    assert seen[1].messages[3].content == "said 1 right"


def test_solved_tasks_and_failed_samples_are_left_alone():
    one, two, three = tasks(3)
    solved = replace(failed(one), feedback=(Feedback(source="says", score=1.0),))
    lost = replace(failed(two), solution=replace(failed(two).solution, turns=(), error="cut"))
    batch = [failed(one), solved, lost, failed(three), failed(three, "also wrong")]
    made, _ = run(lambda n: "right", batch)
    assert [e.task for e in made] == [three]
    assert made[0].parents == (batch[3].id,)


def test_a_critique_is_cut():
    _, seen = run(lambda n: "right", [failed(tasks(1)[0], critique="x" * 9999)], characters=50)
    assert len(seen[0].messages[-1].content) < 200


@pytest.mark.parametrize("options", [{"rounds": 0}, {"characters": 0}, {"temperature": -1.0}])
def test_odd_numbers_are_refused(options):
    with pytest.raises(ValueError, match=r"expected|temperature"):
        RegenerateFromError(checker=Says(), **options)
