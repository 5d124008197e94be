"""Reading the final answer out of a solution, and comparing it; linear in the text's length.

What a model writes is hostile: only the last `TAIL` characters are read, and numbers of more than
`DIGITS` digits or exponents beyond `DIGITS` are compared as text.
"""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction
from typing import Literal

TAIL = 20_000  # characters; a final answer stands at the end; ours
DIGITS = 400  # digits; beyond any double; ours

Extract = Literal["last_number", "boxed", "last_line", "after_marker", "choice"]

_NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+|(?<=\d)(?:/\d+)?)(?:[eE][-+]?\d+)?")
_MARKER = re.compile(r"(?:answer\s*(?:is|:)|####)", re.IGNORECASE)
_CHOICE = re.compile(r"\(([a-z])\)|(?<![a-z])([a-z])(?:\)|\.|:|$|(?=\s*$))", re.IGNORECASE)


def read(text: str, extract: Extract) -> str | None:
    """Return the final answer of `text`, or None if there is none."""
    tail = text[-TAIL:].replace("\u2212", "-").strip()
    found = _READERS[extract](tail)
    return found.strip() or None if found else None


def same_number(one: str, other: str) -> bool:
    """Say whether two answers are the same number, or, where one is none, the same text."""
    left, right = number(one), number(other)
    if left is None or right is None:
        return same_text(one, other)
    return left == right


def same_text(one: str, other: str) -> bool:
    """Say whether two answers are the same text but for case, width and white space."""
    return _folded(one) == _folded(other)


def number(text: str) -> Fraction | None:
    """Return the number that `text` is, or None; percent and currency signs are dropped."""
    plain = unicodedata.normalize("NFKC", text).strip().strip("$\u20ac\u00a3% .").replace(",", "")
    mantissa, _, exponent = plain.lower().partition("e")
    if (
        len(mantissa) > DIGITS
        or len(exponent) > 4
        or abs(int(exponent or 0) if _whole(exponent) else 0) > DIGITS
    ):
        return None
    try:
        return Fraction(plain.replace(" ", ""))
    except (ValueError, ZeroDivisionError):
        return None


def _whole(text: str) -> bool:
    return text.lstrip("+-").isdigit()


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).strip(" .")


def _last_number(text: str) -> str | None:
    found = None
    for match in _NUMBER.finditer(text):
        if any(c.isdigit() for c in match[0]):
            found = match
    if found is None:
        return None
    # "5-3": the sign of a number that follows a digit is a minus, not a sign.
    minus = found[0][0] in "+-" and found.start() > 0 and text[found.start() - 1].isdigit()
    return found[0][1:] if minus else found[0]


def _boxed(text: str) -> str | None:
    start = text.rfind("\\boxed{")
    if start < 0:
        return None
    depth, begin = 0, start + len("\\boxed{")
    for place in range(begin - 1, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return text[begin:place]
    return None


def _last_line(text: str) -> str | None:
    return text.splitlines()[-1] if text else None


def _after_marker(text: str) -> str | None:
    places = [m.end() for m in _MARKER.finditer(text)]
    return text[places[-1] :].strip(" :*").partition("\n")[0].rstrip(". ") if places else None


def _choice(text: str) -> str | None:
    found = [m[1] or m[2] for m in _CHOICE.finditer(text)]
    return found[-1].lower() if found else None


_READERS = {
    "last_number": _last_number,
    "boxed": _boxed,
    "last_line": _last_line,
    "after_marker": _after_marker,
    "choice": _choice,
}
