import json
import math
import typing
from dataclasses import fields, is_dataclass

import pytest
from hypothesis import given
from store_values import TEXT

from instar.errors import StoreError
from instar.store.codec import decode, encode, escape, unescape
from instar.store.migrations import MIGRATIONS
from instar.types import Feedback, Message, Outcome, Row, Score, Verdict, digest


@given(TEXT)
def test_any_text_comes_back_from_ascii(text):
    assert escape(text).isascii()
    assert unescape(escape(text)) == text


@given(TEXT, TEXT)
def test_different_texts_stay_different(one, other):
    assert (escape(one) == escape(other)) == (one == other)


def test_an_escaped_text_has_no_line_break_and_no_control_character():
    assert escape("a\nb\x00\x1b[31m\ud800") == "a\\nb\\u0000\\u001b[31m\\ud800"


def test_a_whole_number_stays_whole_and_a_float_a_float():
    found = decode(Score, encode(Score(name="s", value=1, low=0.0, high=math.inf, n=3)))
    assert (type(found.value), type(found.low), found.high) == (int, float, math.inf)


def test_none_is_not_the_text_none_nor_the_empty_text():
    for answer in (None, "", "None", "null"):
        made = Feedback(source="s", score=None, answer=answer)
        assert decode(Feedback, encode(made)).answer == answer


def test_a_missing_field_is_an_error_and_never_a_default():
    text = encode(Feedback(source="s", score=1.0, critique="bad"))
    lost = {k: v for k, v in json.loads(text).items() if k != "critique"}
    with pytest.raises(StoreError, match="critique"):
        decode(Feedback, json.dumps(lost))


def test_an_unknown_field_is_an_error_and_never_dropped():
    more = {"role": "user", "content": "x", "tool": "y"}
    with pytest.raises(StoreError, match="tool"):
        decode(Message, json.dumps(more))


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null7", '{"role": 1}', '"text"'])
def test_what_no_row_was_written_as_is_an_error(text):
    with pytest.raises(StoreError, match="a recorded Message cannot be read back"):
        decode(Message, text)


def test_a_value_that_its_own_type_refuses_is_an_error():
    text = '{"source":"s","score":NaN,"critique":null,"answer":null}'
    with pytest.raises(StoreError, match="expected a finite number"):
        decode(Feedback, text)


@pytest.mark.parametrize("odd", [{1, 2}, b"bytes", object(), len, Message])
def test_what_json_cannot_hold_is_refused_by_name(odd):
    with pytest.raises(StoreError, match="has no form in JSON"):
        encode(Outcome(task="t", score=odd, text=""))


def test_pairs_come_back_as_tuples():
    made = Verdict(
        candidate="a", current="b", accepted=True, reason="r", evidence=(("e", 2), ("p", 0.5))
    )
    assert decode(Verdict, encode(made)) == made


def shape(hint: object, seen: dict[str, list[str]]) -> None:
    """Note the fields of every dataclass that a value of this type can hold."""
    for inner in typing.get_args(hint):
        shape(inner, seen)
    if is_dataclass(hint) and hint.__name__ not in seen:
        known = typing.get_type_hints(hint)
        seen[hint.__name__] = sorted(f"{f.name}: {f.type}" for f in fields(hint))
        for f in fields(hint):
            shape(known[f.name], seen)


# What rows hold at each schema. When this fails, types.py changed what a ledger is read into: add a
# migration that gives the rows of older files the new fields, and a line here.
SHAPES = {1: "125d95e87e4db2e1e8e9"}


def test_a_change_of_the_fields_of_rows_asks_for_a_migration():
    seen: dict[str, list[str]] = {}
    shape(Row, seen)
    assert {"Task", "Message", "Sampling", "Outcome", "Objective"} <= seen.keys()
    assert digest(seen) == SHAPES[len(MIGRATIONS)]
