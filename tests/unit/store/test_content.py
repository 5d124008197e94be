import random
from dataclasses import replace

import pytest
from store_values import BASE, FIRST, SECOND, batch, report, sample, task, verdict, whole_run

from instar.store.ledger import SqliteLedger
from instar.types import Assessed, Opening, Placed, Sifted, Trained


@pytest.fixture
def made(tmp_path):
    opened = []

    def make():
        opened.append(SqliteLedger(tmp_path / f"{len(opened)}"))
        return opened[-1]

    yield make
    for ledger in opened:
        ledger.close()


def differing(one, other):
    parts, others = one.contents(), other.contents()
    return {name for name in parts if parts[name] != others[name]}


def test_the_same_run_has_the_same_content_however_long_it_took(made):
    one, other = made(), made()
    whole_run(one, seconds=1.0)
    whole_run(other, seconds=99.0)
    other.connection.execute("UPDATE steps SET made = '1999-12-31 23:59:59'")
    assert one.content() == other.content()


def steps():
    """Steps that share tasks, so that the numbers of tasks depend on their order."""
    return [
        ("split", "split", 0, [Placed(task=task(n), split="train") for n in (3, 1, 2)]),
        *((f"solve {i}", "solve", i, batch(BASE, i)) for i in (1, 2, 3)),
        ("update", "update", 1, [Trained(learner=FIRST, rows=("a", "b"))]),
        ("update 2", "update", 2, [Trained(learner=SECOND, rows=("c",))]),
        ("gate", "evaluate", 1, [report(FIRST, 0.5)]),
        ("empty", "correct", 1, []),
    ]


def test_the_order_of_steps_does_not_matter(made):
    one, other = made(), made()
    for key, step, iteration, rows in steps():
        one.record(key, step, iteration, rows, 0.0)
    for key, step, iteration, rows in random.Random(1).sample(steps(), k=len(steps())):
        other.record(key, step, iteration, rows, 0.0)
    assert one.ask("SELECT hash FROM task ORDER BY id") != other.ask(
        "SELECT hash FROM task ORDER BY id"
    )
    assert one.content() == other.content()


def test_a_run_that_is_not_over_has_another_content(made):
    seen = set()
    ledger = made()
    for key, step, iteration, rows in steps():
        ledger.record(key, step, iteration, rows, 0.0)
        seen.add(ledger.content())
    assert len(seen) == len(steps())


e = sample(task(1), 0)
CHANGES = {
    "Placed": (Placed(task=task(1), split="train"), Placed(task=task(1), split="gate")),
    "Task": (task(1), replace(task(1), name="another")),
    "Experience": (e, replace(e, solution=replace(e.solution, logprob=-1.0))),
    "Assessed": (
        Assessed(experience=e.id, feedback=()),
        Assessed(experience=task(1).id, feedback=()),
    ),
    "Sifted": (
        Sifted(experience=e.id, filter="F", keep=True, reason=""),
        Sifted(experience=e.id, filter="F", keep=False, reason=""),
    ),
    "Trained": (Trained(learner=FIRST, rows=("a", "b")), Trained(learner=FIRST, rows=("b", "a"))),
    "Report": (
        report(FIRST, 0.5),
        replace(report(FIRST, 0.5), outcomes=report(FIRST, 0.5).outcomes[::-1]),
    ),
    "Verdict": (verdict(FIRST, BASE, True, 1), verdict(FIRST, BASE, False, 1)),
    "Opening": (Opening(learner="a", reason="end"), Opening(learner="a", reason="early")),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_a_changed_row_changes_the_content_and_its_kind_is_named(kind, made):
    ledgers = made(), made(), made()
    for ledger, row in zip(ledgers, (*CHANGES[kind], CHANGES[kind][0]), strict=True):
        ledger.record("k", "step", 1, [row], 0.0)
    one, other, same = ledgers
    assert one.content() != other.content()
    assert differing(one, other) == {kind}
    assert one.content() == same.content()


def test_which_step_a_row_belongs_to_is_content(made):
    one, other = made(), made()
    rows = batch(BASE, 1)
    for ledger, cut in ((one, 4), (other, 5)):
        ledger.record("a", "solve", 1, rows[:cut], 0.0)
        ledger.record("b", "solve", 1, rows[cut:], 0.0)
    assert one.content() != other.content()


def test_the_iteration_of_a_step_is_content(made):
    one, other = made(), made()
    one.record("a", "solve", 1, batch(BASE, 1), 0.0)
    other.record("a", "solve", 2, batch(BASE, 1), 0.0)
    assert differing(one, other) == {"steps"}


def test_a_move_of_the_head_is_content_and_so_is_its_order(made):
    one, other = made(), made()
    one.move_head("a", 1, "rollback")
    one.move_head("b", 1, "rollback")
    other.move_head("b", 1, "rollback")
    other.move_head("a", 1, "rollback")
    assert differing(one, other) == {"heads"}


def test_where_a_run_was_made_is_no_content(made):
    one, other = made(), made()
    one.set_meta("recipe_folder", "/here")
    other.set_meta("recipe_folder", "/there")
    assert one.content() == other.content()


def test_reading_the_content_changes_nothing(made):
    ledger = made()
    whole_run(ledger)
    assert ledger.content() == ledger.content()
