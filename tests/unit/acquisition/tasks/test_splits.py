"""Splits that share nothing, and the guard over what a run makes of them."""

import re
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from instar.acquisition.tasks.jsonl import Jsonl
from instar.acquisition.tasks.likeness import asked, tokens
from instar.acquisition.tasks.reasoning_gym import ReasoningGym
from instar.acquisition.tasks.splits import Overlap, split
from instar.errors import DataError
from instar.types import Message, Task

DATA = Path(__file__).parents[5] / "shared" / "data"
SPLITS = ("train", "gate", "sealed")


def task(text, reference=None, name=""):
    return Task(messages=(Message(role="user", content=text),), reference=reference, name=name)


def story(number, word="apple"):
    """Return a word problem; those with the same word are near-duplicates of each other."""
    tail = " ".join(f"{word}{c}" for c in "abcdefghijklmnop")
    return task(f"Tom has {number} of these: {tail}.", str(number), f"{word}-{number}")


def sums(count):
    return [task(f"What is {i} + {i + 7}?", str(2 * i + 7)) for i in range(count)]


def placed(rows, name):
    return [r.task for r in rows if r.split == name]


law = settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)

# texts from few words, so that equal, contained and similar ones are frequent
texts = st.one_of(
    st.builds(lambda i, w: story(i, w), st.integers(0, 9), st.sampled_from(["ape", "bee", "cow"])),
    st.builds(lambda a, b: task(f"{a} + {b} =", str(a + b)), st.integers(0, 9), st.integers(0, 9)),
    st.builds(lambda t: task(t), st.text("ab 1+.", min_size=1, max_size=8)),
)
pools = st.lists(texts, min_size=3, max_size=40)
asked_for = st.fixed_dictionaries(
    {
        "train": st.none() | st.integers(1, 12),
        "gate": st.integers(1, 6),
        "sealed": st.integers(1, 6),
    }
)


def split_or_none(pool, sizes, seed=0):
    try:
        return split(pool, sizes, seed)
    except DataError:
        return None


@law
@given(pools, asked_for, st.integers(0, 3))
def test_every_task_is_placed_once_in_splits_of_the_sizes_asked_for(pool, sizes, seed):
    rows = split_or_none(pool, sizes, seed)
    assume(rows is not None)
    assert Counter(id(r.task) for r in rows) == Counter(id(t) for t in pool)
    for name, size in sizes.items():
        found = len(placed(rows, name))
        assert found == size if size is not None else found >= 1
    assert {r.split for r in rows} <= {*SPLITS, "duplicate", "unused"}
    assert all(bool(r.reason) == (r.split not in SPLITS) for r in rows)


@law
@given(pools, asked_for)
def test_equal_and_similar_tasks_never_straddle(pool, sizes):
    rows = split_or_none(pool, sizes)
    assume(rows is not None)
    where = {}
    distinct = len({tokens(asked(t)) for t in pool})
    stories = Counter(t.name.partition("-")[0] for t in dict.fromkeys(pool) if t.name)
    for row in rows:
        if row.split not in SPLITS:
            continue
        where.setdefault(tokens(asked(row.task)), set()).add(row.split)
        word = row.task.name.partition("-")[0]
        # more than these would be an instruction, or a generator's building block
        if word and stories[word] <= min(10, distinct // 2):
            where.setdefault(word, set()).add(row.split)
    assert all(len(splits) == 1 for splits in where.values())


@law
@given(pools, asked_for)
def test_the_order_of_the_file_changes_no_split(pool, sizes):
    pool = list({tokens(asked(t)): t for t in pool}.values())  # which repetition stays may change
    rows, again = split_or_none(pool, sizes), split_or_none(pool[::-1], sizes)
    assert rows == again


@law
@given(pools, asked_for)
def test_after_a_split_no_training_task_gives_a_held_out_one_away(pool, sizes):
    rows = split_or_none(pool, sizes)
    assume(rows is not None)
    heldout, train = placed(rows, "gate") + placed(rows, "sealed"), placed(rows, "train")
    guard = Overlap(heldout, train)
    assert all(guard.find(asked(t)) is None for t in train)
    assert all(guard.find(asked(t)) for t in heldout if tokens(asked(t)))


@law
@given(pools, asked_for)
def test_sizes_said_to_fit_do_fit(pool, sizes):
    try:
        split(pool, sizes, 0)
    except DataError as error:
        said = str(error).partition("sizes that fit: ")[2]
        assume(said)
        smaller = {n: int(s) for n, s in (part.split() for part in said.split(", "))}
        rows = split(pool, smaller, 0)
        assert {n: len(placed(rows, n)) for n in smaller} == smaller


def test_another_seed_gives_another_split():
    pool, sizes = sums(200), {"train": None, "gate": 50, "sealed": 50}
    first, second = (set(placed(split(pool, sizes, seed), "sealed")) for seed in (0, 1))
    assert len(first & second) < 30
    assert split(pool, sizes, 0) == split(pool, sizes, 0)


def test_a_split_s_order_is_not_the_file_s():
    rows = split(sums(100), {"train": None, "gate": 30, "sealed": 30}, 0)
    numbers = [int(t.prompt.split()[2]) for t in placed(rows, "gate")]
    assert numbers != sorted(numbers)
    assert max(numbers) > 70 > 30 > min(numbers)


def test_a_repetition_names_the_task_it_repeats():
    pool = [*sums(20), task("what is 3+10", "13"), task("What is 5 + 12?", "18", "wrong")]
    rows = split(pool, {"train": None, "gate": 5, "sealed": 5}, 0)
    left_out = {r.task: r.reason for r in rows if r.split == "duplicate"}
    assert left_out == {
        pool[20]: f"repeats {pool[3].id}",
        pool[21]: f"repeats {pool[5].id}, with the answer '18' instead of '17'",
    }


def test_a_group_too_big_for_the_room_left_is_cut_and_the_rest_left_out():
    pool = [story(i, w) for w in ("ape", "bee", "cow", "dog") for i in range(4)]
    rows = split(pool, {"train": 4, "gate": 3, "sealed": 4}, 0)
    (reason,) = {r.reason for r in rows if r.split == "duplicate"}
    assert reason.startswith("near-duplicate of ")
    assert reason.endswith("in gate")
    assert Counter(r.split for r in rows) == {
        "train": 4, "gate": 3, "sealed": 4, "duplicate": 1, "unused": 4,
    }  # fmt: skip
    animals = {n: {t.name[:3] for t in placed(rows, n)} for n in SPLITS}
    assert not animals["train"] & animals["gate"]
    assert not animals["train"] & animals["sealed"]
    assert not animals["gate"] & animals["sealed"]


def test_tasks_beyond_the_sizes_are_unused():
    rows = split(sums(20), {"train": 5, "gate": 5, "sealed": 5}, 0)
    assert Counter(r.split for r in rows)["unused"] == 5
    assert {r.reason for r in rows if r.split == "unused"} == {"every split is full"}


def test_a_group_cut_by_the_size_of_the_train_split_is_unused():
    pool = [story(i, w) for w in ("ape", "bee", "cow", "dog") for i in range(4)]
    rows = split(pool, {"train": 3, "gate": 4, "sealed": 4}, 0)
    assert Counter(r.split for r in rows) == {"train": 3, "gate": 4, "sealed": 4, "unused": 5}


def test_too_few_tasks_name_what_is_there_and_what_fits():
    pool = [*sums(38), *sums(2)]
    with pytest.raises(DataError) as caught:
        split(pool, {"train": 20, "gate": 20, "sealed": 20}, 0)
    assert str(caught.value) == (
        "splits of train 20, gate 20, sealed 20 were asked for, but there are 38 different tasks "
        "(2 of 40 repeat another); sizes that fit: train 12, gate 12, sealed 12"
    )
    with pytest.raises(DataError, match=r"train the rest.*sizes that fit: train 12, gate 12, sea"):
        split(pool, {"train": None, "gate": 20, "sealed": 20}, 0)


def test_sizes_that_fit_allow_for_groups_that_are_not_divided():
    pool = [story(i, w) for w in ("ape", "bee", "cow", "dog") for i in range(5)]
    with pytest.raises(DataError, match=r"in 4 groups .* fit: train 5, gate 5, sealed 5$"):
        split(pool, {"train": 10, "gate": 10, "sealed": 10}, 0)


def test_near_duplicates_that_make_splits_impossible_are_counted():
    pool = [story(i, w) for w in ("ape", "bee") for i in range(8)]
    with pytest.raises(DataError, match=r"16 different tasks in 2 groups of near-dup.*divided$"):
        split(pool, {"train": 2, "gate": 2, "sealed": 2}, 0)


def test_no_task_at_all_is_an_error():
    with pytest.raises(DataError, match=r"there are 0 different tasks$"):
        split([], {"train": None, "gate": 1, "sealed": 1}, 0)


def test_a_wrong_split_or_size_is_named():
    with pytest.raises(DataError, match="no split 'gates'; did you mean 'gate'"):
        split(sums(9), {"gates": 1}, 0)
    with pytest.raises(DataError, match="split 'gate' has the size 0; expected at least 1"):
        split(sums(9), {"gate": 0}, 0)


HELD_OUT = [
    task("What is 36 + 29?", "65", "sum"),
    task("Why?", "because", "short"),
    story(3, "zebra"),
]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("what is 36+29", "is the held-out task sum"),
        ("why", "is the held-out task short"),
        ("First: what is 36 + 29? It is 65.", "contains the held-out task sum"),
        ("Ann has 9. " + story(8, "zebra").prompt, "shares a run of words .* zebra-3"),
        (story(3, "zebra").prompt.replace("Tom has", "Ann bought"), "shares a run .* zebra-3"),
        ("What is 36 + 30?", None),
        ("What is 36 + 29 + 1?", None),
        ("Why not?", None),
        (story(3, "yak").prompt, None),
        ("", None),
    ],
)
def test_what_gives_a_held_out_task_away(text, reason):
    found = Overlap(HELD_OUT).find(text)
    assert found is reason is None or re.match(reason, found)


def test_an_instruction_shared_with_the_train_split_gives_nothing_away():
    told = "Read the question with care and write the answer alone in words on the last line: {}"
    heldout = [task(told.format(f"is {i} odd?")) for i in range(4)]
    train = [task(told.format(f"is {i} even?")) for i in range(4)]
    assert Overlap(heldout, train).find(told.format("is 9 even?")) is None
    assert Overlap(heldout).find(told.format("is 9 even?")) is None
    assert Overlap(heldout[:1]).find(told.format("is 9 even?"))  # nothing says it is one


def test_all_turns_of_a_conversation_count():
    turns = ("system", "You know birds."), ("user", "Which bird sings at night?")
    chat = Task(messages=tuple(Message(role=r, content=c) for r, c in turns))
    guard = Overlap([chat])
    assert guard.find("you know birds Which bird sings at night")
    other = replace(chat, messages=(Message(role="system", content="Be rude."), chat.messages[1]))
    rows = split([chat, other, *sums(9)], {"train": None, "gate": 2, "sealed": 2}, 0)
    assert not [r for r in rows if r.split == "duplicate"]


def test_no_held_out_task_gives_nothing_away():
    assert Overlap([]).find("anything") is None


def real(name):
    path = DATA / f"{name}.jsonl"
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    return Jsonl(path).load(None, 0)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("gsm8k_train", marks=pytest.mark.slow),
        pytest.param("commonsenseqa_train", marks=pytest.mark.slow),
        "multiarith",
        "addsub",
    ],
)
def test_public_data_is_split_quickly_and_without_overlap(name):
    pool = real(name)
    started = time.process_time()
    fifth = len(pool) // 5
    rows = split(pool, {"train": None, "gate": fifth, "sealed": fifth}, 0)
    assert time.process_time() - started < 10
    heldout, train = placed(rows, "gate") + placed(rows, "sealed"), placed(rows, "train")
    assert len(train) + len(heldout) > 0.9 * len(pool)
    guard = Overlap(heldout, train)
    assert not [t for t in train if guard.find(t.prompt)]
    assert all(guard.find(f"Q: {t.prompt} A:") for t in heldout)


def test_templates_of_word_problems_do_not_straddle():
    pool = real("multiarith")
    rows = split(pool, {"train": None, "gate": 100, "sealed": 100}, 0)
    ends = {}  # MultiArith repeats its templates with other names and numbers
    for row in rows:
        if row.split in SPLITS:
            words = [w for w in tokens(row.task.prompt) if not w[0].isdigit()]
            ends.setdefault(tuple(words[-16:]), set()).add(row.split)
    assert len(ends) < 450
    assert all(len(splits) == 1 for splits in ends.values())


def test_gsm8k_s_own_test_set_is_nearly_but_not_wholly_clean():
    train, test = real("gsm8k_train"), real("gsm8k_test")
    found = [f for f in map(Overlap(test).find, (t.prompt for t in train)) if f]
    assert 0 < len(found) < 0.005 * len(train)


@pytest.mark.parametrize("name", ["chain_sum", "gsm_symbolic", "knights_knaves", "figlet_font"])
def test_generated_tasks_fill_the_splits_they_were_made_for(name):
    pytest.importorskip("reasoning_gym")
    sizes = {"train": 120, "gate": 60, "sealed": 60}
    rows = split(ReasoningGym(name).load(240, 0), sizes, 0)
    assert Counter(r.split for r in rows) == sizes
    guard = Overlap(placed(rows, "gate") + placed(rows, "sealed"), placed(rows, "train"))
    assert not [t for t in placed(rows, "train") if guard.find(t.prompt)]
