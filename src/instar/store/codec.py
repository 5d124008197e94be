"""Values to ASCII JSON and back, exactly, whatever characters a model put into them."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, TypeVar, cast

from instar.types import plain

V = TypeVar("V")


def encode(value: object) -> str:
    """Return `value` as ASCII JSON."""
    return json.dumps(plain(value), ensure_ascii=True, separators=(",", ":"))


def decode(kind: type[V], text: str) -> V:
    """Return the value of type `kind` that `encode` made `text` of."""
    return cast("V", _value(kind, json.loads(text)))


def _value(hint: object, data: object) -> object:
    if data is None:
        return None
    if isinstance(hint, type) and is_dataclass(hint):
        given = cast("Mapping[str, object]", data)
        return hint(**{name: _value(inner, given[name]) for name, inner in _hints(hint).items()})
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        options = [a for a in typing.get_args(hint) if a is not type(None)]
        return _value(options[0], data) if len(options) == 1 else data
    if typing.get_origin(hint) is tuple:
        inner = typing.get_args(hint)
        listed = cast("list[object]", data)
        if inner[-1] is Ellipsis:
            return tuple(_value(inner[0], v) for v in listed)
        return tuple(_value(h, v) for h, v in zip(inner, listed, strict=True))
    return float(cast("float", data)) if hint is float else data


@cache
def _hints(kind: type) -> dict[str, Any]:
    known = typing.get_type_hints(kind)
    return {f.name: known[f.name] for f in fields(kind)}
