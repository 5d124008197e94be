import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instar.acquisition.feedback.answer import (
    DIGITS,
    TAIL,
    gold,
    number,
    read,
    same_number,
    same_text,
    spelling,
)

MODES = ("last_number", "boxed", "last_line", "after_marker", "choice")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The answer is 3.", "3"),
        ("1 + 2 = 3", "3"),
        ("so 5-3", "3"),
        ("x-3", "3"),
        ("(2)-3", "3"),
        ("x=-3", "-3"),
        ("it is -3", "-3"),
        ("it is \u22123", "-3"),
        ("it is \u20133", "-3"),
        ("costs $1,234.50 now", "1,234.50"),
        ("half is .5", ".5"),
        ("about 1/2", "1/2"),
        ("about 1 / 2.", "1 / 2"),
        ("1e5 of them", "1e5"),
        ("in 50%", "50"),
        ("12,345,678", "12,345,678"),
        ("1,2", "2"),
        ("\\boxed{42}", "42"),
        ("none here", None),
        ("", None),
        ("- . , /", None),
    ],
)
def test_last_number(text, found):
    assert read(text, "last_number") == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("so \\boxed{5}.", "5"),
        ("\\boxed{1} then \\boxed{2}", "2"),
        ("\\boxed{\\frac{1}{2}}", "\\frac{1}{2}"),
        ("\\boxed{ }", None),
        ("\\boxed{5", None),
        ("boxed{5}", None),
        ("\\boxed{" * 1000 + "5" + "}" * 999, "5"),
        ("\\boxed{" * 1000, None),
    ],
)
def test_boxed(text, found):
    assert read(text, "boxed") == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The answer is 5.", "5"),
        ("The final answer is: **5**", "5"),
        ("Answer: Paris\nBecause it is.", "Paris"),
        ("Answer:\n\n42\n", "42"),
        ("work\n#### 1,000", "1,000"),
        ("answer is 1. No, the answer is 2", "2"),
        ("The answer is 5 apples. Or 6? No.", "5 apples"),
        ("The answer is St. Louis. Really", "St. Louis. Really"),
        ("the answer isn't known", None),
        ("the answer is", None),
        ("no such words", None),
    ],
)
def test_after_marker(text, found):
    assert read(text, "after_marker") == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("B", "B"),
        ("(b)", "B"),
        ("a) is wrong, so b)", "B"),
        ("The answer is (C).", "C"),
        ("The answer is C because D) is false", "C"),
        ("The answer is a banana, so D", "D"),
        ("Answer: b", "B"),
        ("**Answer:** (d) Paris", "D"),
        ("It must be B.", "B"),
        ("apple(s)", None),
        ("Zebra", None),
        ("vitamin K", None),
    ],
)
def test_choice(text, found):
    assert read(text, "choice") == found


def test_last_line():
    assert read("one\n\n two \n\n", "last_line") == "two"
    assert read(" \n ", "last_line") is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("3.00", 3),
        ("3.", 3),
        (".5", Fraction(1, 2)),
        ("2/4", Fraction(1, 2)),
        ("-2/4", Fraction(-1, 2)),
        ("-$1,234.50", Fraction(-12345, 10)),
        ("$-5", -5),
        ("\\$5", 5),
        ("50\\%", 50),
        ("50%", 50),
        ("1e-3", Fraction(1, 1000)),
        ("\u22125", -5),
        ("x = 5", 5),
        ("5 apples", 5),
        ("5 square cm.", 5),
        ("\uff11\uff12", 12),
    ],
)
def test_a_number_in_its_spellings(text, value):
    assert number(text) == value


@pytest.mark.parametrize(
    "text",
    [
        *("", "nan", "inf", "-Infinity", "1,2", "1 2", "1/0", "1e+-5", "1e\u00b2", "\u1369"),
        *("1_000", "0x10", "5^2", "5 x 3", "5 million", "5 or 6", "5 or more", "not 5", "5½"),
        *("\\sqrt{5}", "1e999999999", "1e-999999999", f"1e{DIGITS + 1}"),
        "9" * (DIGITS + 1),
        "9" * 10_000_000,
    ],
)
def test_what_is_no_number_or_too_large(text):
    assert number(text) is None


def test_a_number_may_be_as_large_as_the_limit():
    assert number("9" * DIGITS) == 10**DIGITS - 1
    assert number(f"1e{DIGITS}") == 10**DIGITS
    assert number(f"1e-{DIGITS}") == Fraction(1, 10**DIGITS)


def test_only_the_end_of_a_text_is_read():
    assert read("7" + "x" * TAIL, "last_number") is None
    assert read("7" + "x" * (TAIL - 1), "last_number") == "7"


def test_numbers_are_equal_by_value_and_other_answers_by_text():
    assert same_number("1,000", "1000.00")
    assert same_number("1/2", "0.5")
    assert same_number("Paris", "  paris. ")
    assert not same_number("1,2", "12")
    assert not same_number(".5", "5")
    assert not same_number("0.333", "1/3")
    assert not same_number("9" * 1000, "9" * 1001)
    assert same_number("9" * 1000, "9" * 1000)
    assert same_text("Ｐaris", "paris")
    assert not same_text("1.0", "1")


@pytest.mark.parametrize(
    ("reference", "mode", "found"),
    [
        ("72", "last_number", "72"),
        ("Natalia sold 48/2 = 24.\n#### 72", "last_number", "72"),
        ("We get $\\boxed{x^2}$.", "boxed", "x^2"),
        ("x^2", "boxed", "x^2"),
        ("(B) Paris", "choice", "B"),
        ("b", "choice", "B"),
        ("Paris", "choice", "Paris"),
        ("(1, 2)", "last_number", "(1, 2)"),
    ],
)
def test_the_reference_may_be_a_worked_solution(reference, mode, found):
    assert gold(reference, mode) == found


@given(st.fractions())
def test_every_fraction_is_read_back(value):
    assert number(str(value)) == value
    assert number(read(f"The answer is {value}.", "last_number")) == value


@given(st.integers(), st.booleans())
def test_every_integer_is_read_back(value, commas):
    text = f"{value:,}" if commas else str(value)
    assert number(read(f"It is {text}", "last_number")) == value


@given(st.text(st.characters(codec=None)), st.sampled_from(MODES))
def test_any_text_is_read_without_an_error_and_the_same_as_itself(text, mode):
    found = read(text, mode)
    assert found is None or (found and same_number(found, found) and same_text(found, found))
    assert spelling(text) == spelling(text)


@given(st.text("0123456789.,-+/eE$ =x", max_size=40))
def test_no_arrangement_of_number_signs_is_an_error(text):
    found = read(text, "last_number")
    assert found is None or spelling(found)


BOMBS = {
    "digits": "9" * 10_000_000,
    "thousands": "111," * 5000 + "1111",
    "fractions": "1/" * 10_000,
    "long fraction": "1/" + "9" * TAIL + ".5",
    "spaced fractions": "1 / " * 5000,
    "exponents": "1e-" * 7000,
    "signs": "-" * TAIL,
    "dots": "." * TAIL,
    "markers": "answer is" * 3000,
    "marker and blanks": "answer" + " " * TAIL,
    "letters": "a   " * 5000 + "b",
    "brackets": "(a" * 10_000,
    "boxes": "\\boxed{" * 3000,
    "braces": "\\boxed{" + "{" * TAIL,
    "control": "\x00\x1b[2J" * 5000,
    "surrogates": "\ud800" * TAIL,
    "ligature": "\ufdfa" * TAIL,
    "other digits": "١٢٣" * 7000,
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("bomb", BOMBS)
def test_no_text_is_slow_to_read(bomb, mode):
    start = time.process_time()
    found = read(BOMBS[bomb], mode)
    if found is not None:
        same_number(found, "5")
    assert time.process_time() - start < 0.5
