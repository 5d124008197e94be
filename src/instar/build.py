"""A recipe entry (`{use: name, parameter: value}`) becomes a component; nothing is guessed."""

from __future__ import annotations

import hashlib
import json
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import cast

from pydantic import PydanticSchemaGenerationError, TypeAdapter, ValidationError

from instar.catalog import KINDS, find
from instar.errors import RecipeError, nearest
from instar.types import digest, plain


def component(kind: str, entry: object, where: str, folder: Path) -> object:
    """Build the component of `kind` that `entry` describes.

    Args:
        kind: a key of `catalog.KINDS`.
        entry: `{use: ..., parameters}`, or just the name.
        where: the place in the recipe, for errors.
        folder: what relative paths in the entry are relative to.

    Raises:
        RecipeError: one sentence with the place, the mistake and the nearest name.
    """
    use, parameters = _read(entry, where)
    found = find(kind, use, where, folder)
    if not is_dataclass(found):
        raise RecipeError(f"{where}.use: {use!r} is not a dataclass, so it has no parameters")
    known = {f.name: f for f in fields(found) if f.init}
    hints = _hints(found, use, where)
    for name in parameters:
        if name not in known:
            hint = nearest(name, known)
            raise RecipeError(f"{where}.{name}: {use!r} has no field {name!r}{hint}")
    for name, item in known.items():
        if name not in parameters and _required(item):
            raise RecipeError(f"{where}: {use!r} needs the field {name!r}")
    values = {
        name: _value(hints[name], value, f"{where}.{name}", folder)
        for name, value in parameters.items()
    }
    try:
        made: object = found(**values)
    except (ValueError, TypeError) as error:
        raise RecipeError(f"{where}: {error}") from error
    return made


def _hints(found: type, use: str, where: str) -> dict[str, object]:
    try:
        return typing.get_type_hints(found)
    except Exception as error:  # a type is an expression, which may raise anything
        raise RecipeError(f"{where}.use: {use!r} has a type that is no type: {error}") from error


def fingerprint(value: object) -> str:
    """Return a hash of a component: its class, its parameters, and the text of files it names."""
    return digest(_shape(value))


def _shape(value: object) -> object:
    if isinstance(value, type):
        return f"{value.__module__}:{value.__qualname__}"
    if is_dataclass(value):
        inside = {f.name: _shape(getattr(value, f.name)) for f in fields(value)}
        return {"class": _shape(type(value)), "fields": inside}
    if isinstance(value, Path):
        return hashlib.sha256(value.read_bytes()).hexdigest() if value.is_file() else value.name
    if isinstance(value, Mapping):
        return {str(k): _shape(v) for k, v in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_shape(v) for v in value]
    return plain(value)


def _read(entry: object, where: str) -> tuple[str, dict[str, object]]:
    if isinstance(entry, str):
        return entry, {}
    if not isinstance(entry, Mapping):
        raise RecipeError(f"{where}: expected {{use: NAME, ...}}, found {_say(entry)}")
    use = entry.get("use")
    if not isinstance(use, str):
        raise RecipeError(f"{where}.use: expected the name of a component, found {_say(use)}")
    return use, {str(k): v for k, v in entry.items() if k != "use"}


def _required(item: Field[object]) -> bool:
    return item.default is MISSING and item.default_factory is MISSING


def _value(hint: object, value: object, where: str, folder: Path) -> object:
    """Return `value` as the type `hint`: nested components are built, the rest is checked."""
    kind = _kind(hint)
    if kind is not None and value is not None:
        return component(kind, value, where, folder)
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is tuple and arguments and (inner := _kind(arguments[0])):
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise RecipeError(f"{where}: expected a list, found {_say(value)}")
        return tuple(component(inner, v, f"{where}[{i}]", folder) for i, v in enumerate(value))
    checked = check(hint, value, where)
    return (folder / checked).resolve() if isinstance(checked, Path) else checked


def check(hint: object, value: object, where: str) -> object:
    """Return `value` as the type `hint`, strictly: no text becomes a number, no number a bool.

    Raises:
        RecipeError: with the place, what was expected and what was found.
    """
    try:
        adapter: TypeAdapter[object] = TypeAdapter(cast("type[object]", hint))
        return adapter.validate_json(json.dumps(plain(value)), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        inside = "".join(f".{part}" for part in first["loc"] if isinstance(part, (str, int)))
        message = first["msg"][0].lower() + first["msg"][1:]
        raise RecipeError(f"{where}{inside}: {message}, found {_say(value)}") from error
    except (PydanticSchemaGenerationError, TypeError) as error:
        raise RecipeError(f"{where}: {_say(value)} cannot be checked: {error}") from error


def _kind(hint: object) -> str | None:
    """Return the kind of component that `hint` (or `hint | None`) asks for."""
    options = [hint]
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        options = [a for a in typing.get_args(hint) if a is not type(None)]
    matches = (k for k, protocol in KINDS.items() if len(options) == 1 and options[0] is protocol)
    return next(matches, None)


def _say(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
