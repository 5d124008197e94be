"""YAML as people mean it: `1e-3` is a number, a key given twice is an error, lines are named."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from instar.errors import RecipeError


class _Loader(yaml.SafeLoader):
    """PyYAML reads YAML 1.1, where `1e-3` is text and a repeated key silently wins."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                line = key_node.start_mark.line + 1
                raise yaml.constructor.ConstructorError(
                    problem=f"line {line}: the key {key!r} is given twice"
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?\d[\d_]*(\.\d*)?[eE][-+]?\d+$"),
    list("-+0123456789"),
)


def parse(text: str, where: str) -> object:
    """Return the data in `text`.

    Raises:
        RecipeError: naming `where` and the line.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise RecipeError(f"{where}: not YAML: {reason}") from error
    except RecursionError as error:
        raise RecipeError(f"{where}: nested too deeply") from error


def read(path: Path) -> object:
    """Return the data in the file at `path`."""
    try:
        return parse(path.read_text(encoding="utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: not UTF-8 text at byte {error.start}") from error


def dump(data: object) -> str:
    """Return `data` as YAML text, keys in the order given."""
    text: str = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
    return text
