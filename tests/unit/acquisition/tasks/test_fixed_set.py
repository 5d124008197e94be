"""Which tasks an iteration practises."""

from dataclasses import replace

import pytest

from instar.acquisition.tasks.fixed_set import FixedSet
from instar.testing.fakes import context
from instar.types import Message, Task

POOL = tuple(Task(messages=(Message(role="user", content=f"task {i}"),)) for i in range(10))


@pytest.fixture
def start(tmp_path):
    return replace(context(scratch=tmp_path), train=POOL, seed=3)


def drawn(start, item, iteration):
    return tuple(item.propose(replace(start, iteration=iteration)))


def test_all_tasks_are_practised_unless_fewer_are_asked_for(start):
    assert drawn(start, FixedSet(), 1) == drawn(start, FixedSet(10), 2) == POOL
    assert drawn(start, FixedSet(99), 1) == POOL
    assert drawn(replace(start, train=()), FixedSet(4), 1) == ()


def test_no_task_comes_again_before_all_were_used(start):
    walk = [t for i in range(1, 6) for t in drawn(start, FixedSet(4), i)]
    assert len(walk) == 20
    assert set(walk[:10]) == set(walk[10:]) == set(POOL)


def test_an_iteration_never_holds_a_task_twice(start):
    for iteration in range(1, 12):
        assert len(set(drawn(start, FixedSet(7), iteration))) == 7


def test_the_order_is_the_seed_s_alone(start):
    first = drawn(start, FixedSet(4), 1)
    assert first == drawn(start, FixedSet(4), 1)
    assert first != drawn(replace(start, seed=4), FixedSet(4), 1)
    assert first != POOL[:4]


def test_without_fresh_every_iteration_is_the_same(start):
    same = FixedSet(4, fresh=False)
    assert drawn(start, same, 1) == drawn(start, same, 2) == drawn(start, FixedSet(4), 1)


@pytest.mark.parametrize("number", [0, -1])
def test_asking_for_nothing_is_refused(number):
    with pytest.raises(ValueError, match=r"per_iteration is .*; expected at least 1, or none"):
        FixedSet(number)
