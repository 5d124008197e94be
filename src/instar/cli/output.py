"""What verbs print: one JSON document, or text for people; either way safe for a terminal."""

from __future__ import annotations

import json
import sys

from rich.console import Console
from rich.table import Table
from rich.text import Text

from instar.telemetry.text import terminal_safe
from instar.types import plain

CELL = 400  # characters of one table cell; the whole text is in --json


def as_json(value: object) -> None:
    """Print `value` as the one JSON document on standard output."""
    sys.stdout.write(json.dumps(plain(value), indent=2, ensure_ascii=True) + "\n")


def table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """Print a table; text of models and users is shown as it is, never as markup or escapes."""
    grid = Table(title=Text(terminal_safe(title, CELL)), title_justify="left")
    for name in columns:
        grid.add_column(name, overflow="fold")
    for row in rows:
        grid.add_row(*(Text(terminal_safe(cell, CELL)) for cell in row))
    Console().print(grid)


def line(text: str, style: str = "") -> None:
    """Print a line (or several) of text."""
    Console(highlight=False).print(Text(terminal_safe(text, 100_000), style=style), soft_wrap=True)
