"""One row of task data, from a file or a data set, becomes a `Task`, or an error that says why."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence

from instar.errors import DataError
from instar.types import Message, Task

ROLES = ("system", "user", "assistant")
DEFAULTS = ("prompt", "answer")


class Reader:
    """Reads rows in order: `prompt` or `messages`, and if present `answer`, `id` and `tags`.

    What else a row holds becomes the task's `material`. A number as an answer becomes its text.
    """

    def __init__(self, prompt: str, answer: str) -> None:
        """Take the names of the two fields that data sets name differently."""
        self._prompt, self._answer = prompt, answer
        self._places: dict[str, str] = {}

    def task(self, row: object, place: str, origin: str) -> Task:
        """Return the task in `row`.

        Raises:
            DataError: beginning with `place`, where the row was found.
        """
        if not isinstance(row, Mapping):
            raise DataError(f"{place}: expected an object with a prompt, found {kind(row)}")
        given = {str(k): v for k, v in row.items() if v is not None}
        known = (self._prompt, self._answer, "messages", "id", "tags")
        return Task(
            messages=self._messages(given, row, place),
            reference=self._reference(given, row, place),
            material=_material({str(k): v for k, v in row.items() if k not in known}, place),
            tags=_tags(given.get("tags"), f"{place}: tags"),
            origin=origin,
            name=self._name(given.get("id"), place),
        )

    def _messages(
        self, given: Mapping[str, object], row: Mapping[object, object], place: str
    ) -> tuple[Message, ...]:
        prompt, messages = given.get(self._prompt), given.get("messages")
        if prompt is not None and messages is not None:
            raise DataError(f"{place}: expected {self._prompt!r} or 'messages', found both")
        if messages is not None:
            return _conversation(messages, f"{place}: messages")
        if prompt is None:
            there = ", ".join(repr(str(k))[:40] for k in list(row)[:8]) or "none"
            raise DataError(
                f"{place}: expected a field {self._prompt!r} or 'messages', found {there}; "
                "name the field that holds the question with the option `prompt`"
            )
        return (Message(role="user", content=text(prompt, f"{place}: {self._prompt}")),)

    def _reference(
        self, given: Mapping[str, object], row: Mapping[object, object], place: str
    ) -> str | None:
        if self._answer not in row and self._answer not in DEFAULTS:
            raise DataError(f"{place}: expected the field {self._answer!r}, named by `answer`")
        return _scalar(given.get(self._answer), f"{place}: {self._answer}")

    def _name(self, value: object, place: str) -> str:
        if isinstance(value, float):
            raise DataError(f"{place}: id: expected text or a whole number, found {value}")
        name = _scalar(value, f"{place}: id")
        if name is None:
            return ""
        if name in self._places:
            raise DataError(f"{place}: the id {name[:80]!r} was given before, {self._places[name]}")
        self._places[name] = f"in {place}"
        return name


def kind(value: object) -> str:
    """Return what JSON calls the type of `value`."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    kinds = {str: "text", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return kinds.get(type(value), f"a {type(value).__name__}")


def text(value: object, place: str) -> str:
    """Return `value` if it is text that can be stored and is not blank."""
    if not isinstance(value, str):
        raise DataError(f"{place}: expected text, found {kind(value)}")
    if not value.strip():
        raise DataError(f"{place}: expected text, found none but blanks")
    _storable(value, place)
    return value


def _storable(value: str, place: str) -> None:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(
            f"{place}: half of a surrogate pair at character {error.start} is no text"
        ) from error


def _scalar(value: object, place: str) -> str | None:
    """Return text as it is and a number as its text."""
    if value is None:
        return None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if isinstance(value, float) and not math.isfinite(value):
            raise DataError(f"{place}: expected a finite number, found {value}")
        return str(value)
    if not isinstance(value, str):
        raise DataError(f"{place}: expected text or a number, found {kind(value)}")
    if not value.strip():
        raise DataError(f"{place}: found only blanks; leave it out where it is not known")
    return text(value, place)


def _tags(value: object, place: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise DataError(f"{place}: expected a list of texts, found {kind(value)}")
    return tuple(text(tag, f"{place}[{i}]") for i, tag in enumerate(value))


def _conversation(value: object, place: str) -> tuple[Message, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        found = "an empty one" if value == [] else kind(value)
        raise DataError(f"{place}: expected a list of {{role, content}}, found {found}")
    turns = tuple(_message(m, f"{place}[{i}]") for i, m in enumerate(value))
    if turns[-1].role != "user":
        raise DataError(
            f"{place}: expected the last turn to be the user's, found {turns[-1].role!r}; "
            "what the assistant should say belongs in the answer"
        )
    return turns


def _message(value: object, place: str) -> Message:
    if not isinstance(value, Mapping) or set(value) != {"role", "content"}:
        there = str(sorted(map(str, value)))[:80] if isinstance(value, Mapping) else kind(value)
        raise DataError(f"{place}: expected {{role, content}}, found {there}")
    if value["role"] not in ROLES:
        raise DataError(
            f"{place}.role: expected one of {', '.join(ROLES)}, found {str(value['role'])[:40]!r}"
        )
    return Message(role=value["role"], content=text(value["content"], f"{place}.content"))


def _material(extra: Mapping[str, object], place: str) -> str | None:
    if not extra:
        return None
    try:
        written = json.dumps(extra, sort_keys=True, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(f"{place}: a field beyond the known ones is no JSON: {error}") from error
    _storable(written, place)
    return written
