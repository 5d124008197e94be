"""Plain values to JSON and back, the same type on the other side; anything else is opaque.

The value of a subclass is that of the plain type it extends: what a program returns is data, with
no method of the program's left in it.
"""

from __future__ import annotations

import math
from typing import Any

DEEPEST = 100  # levels of nesting that are passed on; ours
_COLLECTIONS: tuple[tuple[str, Any], ...] = (("t", tuple), ("s", set), ("z", frozenset))
_EXACT = 2**53  # integers up to here are the same in every JSON reader


class Opaque:
    """Stands for a value that cannot be passed on; it equals nothing, not even itself."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __eq__(self, other: object) -> bool:
        return False

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return f"<a value of type {self.kind}>"


def pack(value: Any, depth: int = 0) -> Any:
    """Return `value` as JSON data."""
    if value is None or value is True or value is False:
        return value
    if isinstance(value, (int, float, complex, str, bytes, bytearray)):
        return _scalar(value)
    if depth < DEEPEST:
        if isinstance(value, list):
            return [pack(v, depth + 1) for v in list.__iter__(value)]
        if isinstance(value, dict):
            pairs = dict.items(value)
            return {"d": [[pack(k, depth + 1), pack(v, depth + 1)] for k, v in pairs]}
        for name, kind in _COLLECTIONS:
            if isinstance(value, kind):
                return {name: [pack(v, depth + 1) for v in kind.__iter__(value)]}
        if isinstance(value, range):
            return {"r": [value.start, value.stop, value.step]}
    return {"o": str(type(value).__name__)[:80]}


def _scalar(value: Any) -> Any:
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        whole = int.__index__(value)
        return whole if -_EXACT <= whole <= _EXACT else {"i": hex(whole)}
    if isinstance(value, float):
        number = float.__float__(value)
        return number if math.isfinite(number) else {"f": float.__repr__(number)}
    if isinstance(value, complex):
        return {"c": complex.__repr__(value)}
    return {"b": bytes(value).hex()}


def unpack(data: Any) -> Any:
    """Return the value that `pack` made `data` of.

    Raises:
        ValueError: for data that it did not make.
    """
    if isinstance(data, list):
        return [unpack(v) for v in data]
    if not isinstance(data, dict):
        return data
    if len(data) != 1:
        raise ValueError("not a packed value")
    ((name, inner),) = data.items()
    made = _MAKERS.get(name)
    if made is None:
        raise ValueError("not a packed value")
    return made(inner)


def opaque(data: Any) -> str | None:
    """Return the type of the first value in what `pack` made that cannot be passed on."""
    if isinstance(data, list):
        return next((kind for item in data if (kind := opaque(item)) is not None), None)
    if not isinstance(data, dict):
        return None
    return str(data["o"]) if "o" in data else opaque(list(data.values()))


def _frozen(pairs: Any) -> Any:
    return {unpack(k): unpack(v) for k, v in pairs}


_MAKERS: dict[str, Any] = {
    "i": lambda text: int(text, 16),
    "f": float,
    "c": complex,
    "b": bytes.fromhex,
    "d": _frozen,
    "t": lambda items: tuple(unpack(v) for v in items),
    "s": lambda items: {unpack(v) for v in items},
    "z": lambda items: frozenset(unpack(v) for v in items),
    "r": lambda three: range(*three),
    "o": Opaque,
}
