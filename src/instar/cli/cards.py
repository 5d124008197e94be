"""A component's card, read from the component itself: docstring and fields."""

from __future__ import annotations

import inspect
from dataclasses import MISSING, Field, dataclass, fields
from pathlib import Path

from instar.catalog import KINDS, find, names
from instar.errors import UsageError, nearest


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One YAML parameter: its type as written, and its default (`required` if it has none)."""

    name: str
    type: str
    default: str


@dataclass(frozen=True, kw_only=True)
class Card:
    """What `instar components` tells of one component."""

    kind: str
    name: str
    summary: str
    text: str
    fields: tuple[Parameter, ...]


def cards(kind: str | None) -> list[Card]:
    """Return the cards of all components, or of those of one kind.

    Raises:
        UsageError: if there is no such kind.
    """
    if kind is not None and kind not in KINDS:
        raise UsageError(f"there is no kind {kind!r}{nearest(kind, KINDS)}")
    kinds = list(KINDS) if kind is None else [kind]
    return [_card(k, name) for k in kinds for name in names(k)]


def _card(kind: str, name: str) -> Card:
    found = find(kind, name, f"components.{kind}", Path())
    text = inspect.getdoc(found) or ""
    return Card(
        kind=kind,
        name=name,
        summary=" ".join(text.partition("\n\n")[0].split()),
        text=text,
        fields=tuple(_parameter(f) for f in fields(found) if f.init),
    )


def _parameter(item: Field[object]) -> Parameter:
    default = "required"
    if item.default is not MISSING:
        default = repr(item.default)
    elif item.default_factory is not MISSING:
        default = repr(item.default_factory())
    return Parameter(name=item.name, type=str(item.type), default=default)
