"""Text from models, users and files, made safe to show."""

from __future__ import annotations

import unicodedata

_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn"}  # controls, format and bidi marks, surrogates, unassigned


def terminal_safe(text: str, limit: int, newlines: bool = True) -> str:
    """Return `text` without anything a terminal would obey, cut to `limit` characters.

    Args:
        text: anything.
        limit: characters kept; what is cut is said.
        newlines: keep line ends and tabs, or show them as spaces.
    """
    kept = text[:limit]
    safe = "".join(_one(c, newlines) for c in kept)
    cut = len(text) - len(kept)
    return f"{safe}... ({cut} characters more)" if cut else safe


def _one(character: str, newlines: bool) -> str:
    if character in "\n\t":
        return character if newlines else " "
    if character == "\r":
        return ""
    return "\ufffd" if unicodedata.category(character) in _HIDDEN else character
