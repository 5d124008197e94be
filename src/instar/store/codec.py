"""Values to ASCII JSON and back, exactly, whatever a model or a plug-in put into them.

A lone surrogate, a control character or a newline is an escape in the file and comes back as it
was; an integer stays an integer where a float is declared, or the content hash would change.
"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, TypeVar, cast

from instar.errors import StoreError

V = TypeVar("V")


def encode(value: object) -> str:
    """Return `value` as ASCII JSON.

    Raises:
        StoreError: for anything but dataclasses of Python's own values.
    """
    try:
        return json.dumps(value, default=_by_name, ensure_ascii=True, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise StoreError(f"a {type(value).__name__} cannot be recorded: {error}") from error


def decode(kind: type[V], text: str) -> V:
    """Return the value of type `kind` that `encode` made `text` of.

    Raises:
        StoreError: if it made no such thing, so the file was changed or is damaged.
    """
    hint: object = kind
    try:
        return cast("V", _reader(hint)(json.loads(text)))
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        name, told = kind.__name__, type(error).__name__
        raise StoreError(f"a recorded {name} cannot be read back: {told}: {error}") from error


def escape(text: str) -> str:
    """Return `text` in ASCII; different texts stay different.

    Raises:
        StoreError: if it is not a text.
    """
    if not isinstance(text, str):
        raise StoreError(f"a {type(text).__name__} cannot be recorded where text belongs")
    return json.dumps(text, ensure_ascii=True)[1:-1]


def unescape(text: str) -> str:
    """Return what `escape` made `text` of."""
    return decode(str, f'"{text}"')


def _by_name(value: object) -> dict[str, object]:
    if not is_dataclass(value) or isinstance(value, type):
        raise TypeError(f"a {type(value).__name__} has no form in JSON")
    return {name: getattr(value, name) for name in _names(type(value))}


@cache
def _names(kind: type) -> tuple[str, ...]:
    return tuple(f.name for f in fields(kind))


@cache
def _reader(hint: object) -> Callable[[Any], object]:
    """Return what rebuilds a value of type `hint` from plain JSON data."""
    if isinstance(hint, type) and is_dataclass(hint):
        return _dataclass_reader(hint)
    inner = typing.get_args(hint)
    if typing.get_origin(hint) is tuple:
        return _tuple_reader(inner)
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        options = [_reader(a) for a in inner if a is not type(None)]
        if len(options) == 1:
            return lambda data: None if data is None else options[0](data)
    return lambda data: data


def _dataclass_reader(kind: type) -> Callable[[Any], object]:
    known = typing.get_type_hints(kind)
    readers = {name: _reader(known[name]) for name in _names(kind)}

    def read(data: dict[str, object]) -> object:
        if data.keys() != readers.keys():
            odd = sorted(data.keys() ^ readers.keys())
            raise KeyError(f"fields {', '.join(odd)} are missing or unknown")
        return kind(**{name: inner(data[name]) for name, inner in readers.items()})

    return read


def _tuple_reader(inner: tuple[object, ...]) -> Callable[[Any], object]:
    if inner[-1] is Ellipsis:
        each = _reader(inner[0])
        return lambda data: tuple(each(v) for v in data)
    readers = [_reader(hint) for hint in inner]
    return lambda data: tuple(r(v) for r, v in zip(readers, data, strict=True))
