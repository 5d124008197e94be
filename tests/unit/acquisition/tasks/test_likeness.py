"""When two prompts ask the same thing."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instar.acquisition.tasks.groups import groups
from instar.acquisition.tasks.likeness import Distinct, Phrases, common, runs, tokens
from instar.types import Message, Task

STORY = (
    "Joan found {} seashells on the beach and then she gave {} of her seashells to her brother "
    "Sam , how many seashells does she have now ?"
)


def unlike(count):
    """Return texts of 20 words that have no word in common."""
    letters = "abcdefghijklmnopqrst"
    names = ["".join(letters[i // 20**k % 20] for k in range(3)) for i in range(count)]
    return [" ".join(f"{name}{c}" for c in letters) for name in names]


OTHERS = unlike(26)


def together(*texts):
    """Group `texts` among enough unlike ones that what they share is rare."""
    labels = groups([tokens(t) for t in (*texts, *OTHERS)])
    assert len(set(labels[len(texts) :])) == len(OTHERS)
    return labels[: len(texts)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Tom has 3 apples.", "tom  has 3\napples"),
        ("Tom’s “big” apple!", "tom's 'big' apple"),
        ("on the beach . She", "on the beach. She"),
        ("1,000.5 coins", "1000.5 coins"),
        ("３６ − 29", "36 - 29"),
        ("2 × 3 ÷ 4", "2 * 3 / 4"),
        ("ﬁve cafés", "five cafés"),
    ],
)
def test_spelling_and_layout_do_not_count(one, other):
    assert tokens(one) == tokens(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("36 + 29", "36 - 29"),
        ("36 + 29", "36 + 92"),
        ("(2 + 3) * 4", "2 + 3 * 4"),
        ("0.5", "5"),
        ("1, 2", "12"),
        ("5 - 3", "5 3"),
        ("x-1", "x 1"),
        (". . # .", ". # . ."),
        ("_ 6 _ 8", "6 _ 8 _"),
        ("我有三个苹果", "我有五个苹果"),
        ("50%", "50"),
        ("¬P ∨ Q", "P ∨ Q"),
    ],
)
def test_numbers_operators_and_signs_count(one, other):
    assert tokens(one) != tokens(other)


def test_a_word_problem_with_other_numbers_is_a_near_duplicate():
    one, other = together(STORY.format(70, 27), STORY.format(8, 5))
    assert one == other


def test_a_sum_with_other_numbers_is_another_task():
    text = "State the final answer to the following arithmetic problem: {} + {} ="
    sums = [tokens(text.format(i, i + j)) for i in range(20) for j in range(20)]
    assert len(set(groups(sums))) == 400
    long_sums = ["+".join(str(i + j) for j in range(20)) for i in range(3)]
    assert len(set(together(*long_sums))) == 3


def test_what_many_tasks_share_is_an_instruction():
    others = unlike(300)
    told = [tokens(f"{STORY} {other}") for other in others[:12]]
    assert len(set(groups([*told[:10], *map(tokens, others[10:])]))) == 291
    assert len(set(groups([*told, *map(tokens, others[12:])]))) == 300


def test_a_prompt_inside_many_others_is_an_instruction():
    texts = ["Say in French:", *(f"Say in French: {i} birds" for i in range(12)), *unlike(100)]
    assert len(set(groups([tokens(t) for t in texts]))) == len(texts)


def test_near_duplicates_are_found_wherever_they_stand():
    texts = [*unlike(2100), STORY.format(70, 27), STORY.format(8, 5)]
    labels = groups([tokens(t) for t in texts])
    assert labels[-1] == labels[-2]
    assert len(set(labels)) == 2101


def test_a_prompt_inside_another_is_a_near_duplicate():
    one, other = together("What is 36 + 29?", "Think hard: what is 36 + 29? Answer briefly.")
    assert one == other


@pytest.mark.parametrize(
    "text", ["1 + 36 + 29", "36 + 29 * 2", "136 + 29", "36 + 290", "36 + 29.5", "2 * 36 + 29 ="]
)
def test_a_sum_inside_a_longer_sum_is_another_task(text):
    one, other = together("36 + 29", text)
    assert one != other


def test_a_sum_inside_a_sentence_is_the_same_task():
    for text in ("Compute 36 + 29.", "36 + 29 = 65", "so (36 + 29) it is"):
        one, other = together("36 + 29", text)
        assert one == other


def test_equal_prompts_are_one_group_however_many():
    labels = groups([tokens(t) for t in ["No.", "no", "NO!"] * 20 + OTHERS])
    assert len(set(labels[:60])) == 1


def test_a_chain_through_everything_is_taken_apart_but_for_what_is_most_alike():
    """Each text shares a run with the next: building blocks, as of a generator of puzzles."""
    blocks = unlike(101)
    chain = [f"{blocks[i]} {' '.join(blocks[i + 1].split()[:14])}" for i in range(100)]
    copy = f"So: {chain[40]} now?"
    labels = groups([tokens(t) for t in [*chain, copy]])
    assert max(labels.count(label) for label in labels) <= 20
    assert labels[40] == labels[-1]


def test_common_grows_with_the_data_and_never_takes_in_half():
    assert [common(n) for n in (0, 1, 2, 3, 10, 100, 5000)] == [0, 0, 1, 1, 5, 10, 50]


def test_no_prompts_no_groups():
    assert groups([]) == []
    assert groups([(), ()]) == [0, 0]


words = st.lists(st.sampled_from(["a", "b", "12", "7", "+", "-", "("]), max_size=12).map(tuple)


@settings(deadline=None)
@given(st.lists(words, max_size=8), words)
def test_phrases_are_found_exactly_where_they_stand(prompts, text):
    def stands(prompt):
        places = range(len(text) - len(prompt) + 1)
        return any(text[i : i + len(prompt)] == prompt and whole(prompt, i) for i in places)

    def whole(prompt, i):
        end = i + len(prompt)
        before = i > 0 and cut(text[i - 1], text[i])
        return not before and not (end < len(text) and cut(text[end - 1], text[end]))

    def cut(left, right):  # single letters are no words here, as in an expression
        return bool({left, right} & {"+", "-"})

    expected = {n for n, p in enumerate(prompts) if len(p) >= 3 and stands(p)}
    assert set(Phrases(prompts).inside(text)) == expected


@settings(deadline=None)
@given(st.text())
def test_any_text_has_tokens_whatever_its_spacing(text):
    found = tokens(text)
    assert all(found)
    assert not any(t.isspace() for t in found)
    assert tokens(f"  {text}\n") == found


@pytest.mark.parametrize(
    "text",
    [
        "a" + "\u0301\u0316" * 200_000,
        "1," * 200_000,
        "1.1" * 200_000,
        "." * 200_000,
        "- " * 200_000,
        "\ufdfa" * 50_000,
        "\ud800" * 200_000,
    ],
)
def test_hostile_text_takes_linear_time(text):
    started = time.process_time()
    runs(tokens(text))
    assert time.process_time() - started < 5


def task(text, reference=None):
    return Task(messages=(Message(role="user", content=text),), reference=reference)


@pytest.mark.parametrize(
    ("first", "second", "repeats"),
    [
        (("What is 1+1?", "2"), (" What is 1+1?\n", "2"), True),
        (("What is 1+1?", "2"), ("what is 1 + 1", "2"), True),
        (("What is 1+1?", "2"), ("What is 1+1?", "3"), True),  # two answers to one question
        (("Count capitals: Ab", "1"), ("Count capitals: AB", "2"), False),
        (("What is 1+1?", "2"), ("What is 1-1?", "2"), False),
    ],
)
def test_a_repetition_is_the_same_text_or_the_same_tokens_and_answer(first, second, repeats):
    seen = Distinct()
    assert seen.earlier(task(*first)) is None
    assert seen.earlier(task(*second)) == (task(*first) if repeats else None)
