"""Reading the final answer out of a solution, and comparing it, in time linear in the text.

What a model writes is hostile: only the last `TAIL` characters are read, and a number of more than
`DIGITS` digits, or with a larger exponent, is compared as text.
"""

from __future__ import annotations

import re
import unicodedata
from collections import deque
from fractions import Fraction
from typing import Literal

TAIL = 20_000  # characters; a final answer stands at the end; ours
DIGITS = 400  # digits, and the largest exponent: beyond any double; ours

Extract = Literal["last_number", "boxed", "last_line", "after_marker", "choice"]

_DASHES = str.maketrans(dict.fromkeys("\u2212\u2013\ufe63\uff0d", "-"))
_WHOLE = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)"
_FRACTION = rf"{_WHOLE} ?/ ?\d+(?!\.?\d)"
_DECIMAL = rf"(?:{_WHOLE}(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?"
_NUMBER = re.compile(rf"[-+]?(?:{_FRACTION}|{_DECIMAL})")
# A number alone: `x = -$1,234.50`, `5%`, `12 apples`; at most two words of unit.
_ALONE = re.compile(
    r"(?:[a-z] ?= ?)?(?:\\?[$€£¥])?(?P<sign>[-+]?) ?(?:\\?[$€£¥])? ?"
    rf"(?P<size>{_FRACTION}|{_DECIMAL})"
    r" ?(?:\\?[%$€£¥°])?(?P<unit>(?: [^\W\d_]+){0,2})[.!]?",
    re.IGNORECASE,
)
_NO_UNIT = frozenset(["hundred", "thousand", "million", "billion", "trillion", "dozen", "or"])

_MARKER = re.compile(r"answer\b\s*(?:\bis\b|:)|####", re.IGNORECASE)
_SENTENCE = re.compile(r"[.!?]\s")
_CHOSEN = re.compile(r"[\s:*(\[]*(?:([A-J])(?!\w)|([a-j])(?=[).:\]*]|\s*$))")
_CHOICE = re.compile(r"(?<!\w)(?:\(([a-j])\)|([a-j])(?=[).:]|\s*$))", re.IGNORECASE)


def read(text: str, extract: Extract) -> str | None:
    r"""Return the final answer of `text`, or None if there is none.

    `last_number` takes the last number (`1,234.5`, `-3`, `1/2`, `1e5`); `boxed` the inside of the
    last `\boxed{}`; `last_line` the last line; `after_marker` the rest of the line after the last
    "answer is", "answer:" or "####", or the next line, or of that the first sentence where it is a
    number; `choice` a letter from A to J that stands after such a marker, else the last one written
    as `(B)`, `B)`, `B.`, `B:` or at the very end.
    """
    found = _READERS[extract](text[-TAIL:].strip())
    return (found.strip() or None) if found else None


def gold(reference: str, extract: Extract) -> str:
    r"""Return the answer in `reference`, which may be a whole worked solution.

    What follows the last "####" (GSM8K), the last `\boxed{}` (MATH) or the letter of a choice, if
    answers are read that way; otherwise the reference as it is.
    """
    _, marker, last = reference.rpartition("####")
    if marker and extract != "choice":
        return last.strip()
    found = read(reference, extract) if extract in ("boxed", "choice") else None
    return found or reference.strip()


def same_number(one: str, other: str) -> bool:
    """Say whether two answers are the same number, or, where one is none, the same text."""
    return spelling(one) == spelling(other)


def same_text(one: str, other: str) -> bool:
    """Say whether two answers are the same text but for case, width and white space."""
    return _folded(one) == _folded(other)


def spelling(answer: str) -> str:
    """Return one spelling for all spellings of an answer: a number exactly, other text folded."""
    found = number(answer)
    return _folded(answer) if found is None else str(found)


def number(text: str) -> Fraction | None:
    """Return the number that `text` is, exactly, or None.

    Thousands commas, currency and percent signs and a unit are dropped: `50%` is 50, not 0.5.
    """
    if len(text) > 2 * DIGITS:
        return None
    found = _ALONE.fullmatch(text.translate(_DASHES).strip())
    if found is None or _NO_UNIT.intersection(found["unit"].casefold().split()):
        return None
    size = found["size"].replace(",", "").replace(" ", "")
    mantissa, _, exponent = size.casefold().partition("e")
    if len(mantissa) > DIGITS or abs(int(exponent or "0")) > DIGITS:
        return None
    try:
        return Fraction(found["sign"] + size)
    except ZeroDivisionError:  # "1/0"
        return None


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).strip(" .")


def _last_number(text: str) -> str | None:
    plain = text.translate(_DASHES)
    found = _last(_NUMBER, plain)
    if found is None:
        return None
    before = plain[found.start() - 1] if found.start() else ""
    # "5-3", "x-3", "(2)-3": after an operand the sign is an operator.
    operator = found[0][0] in "+-" and (before.isalnum() or before in (")", "]", "}"))
    return found[0][1:] if operator else found[0]


def _boxed(text: str) -> str | None:
    start = text.rfind("\\boxed{")
    if start < 0:
        return None
    depth, begin = 1, start + len("\\boxed{")
    for place in range(begin, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return text[begin:place]
    return None


def _last_line(text: str) -> str | None:
    return text.splitlines()[-1] if text else None


def _after_marker(text: str) -> str | None:
    rest = _marked(text)
    if rest is None:
        return None
    line = rest.strip(" \t\r\n:*").partition("\n")[0].rstrip("*. \t\r")
    # "The answer is 5 apples. I hope this helps": a sentence may go on, a number does not.
    sentence = _SENTENCE.split(line, maxsplit=1)[0]
    return line if number(sentence) is None else sentence


def _choice(text: str) -> str | None:
    marked = _CHOSEN.match(_marked(text) or "")
    found = [m[1] or m[2] for m in ([marked] if marked else _CHOICE.finditer(text))]
    return found[-1].upper() if found else None


def _marked(text: str) -> str | None:
    """Return what follows the last marker."""
    found = _last(_MARKER, text)
    return None if found is None else text[found.end() :]


def _last(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    return next(iter(deque(pattern.finditer(text), maxlen=1)), None)


_READERS = {
    "last_number": _last_number,
    "boxed": _boxed,
    "last_line": _last_line,
    "after_marker": _after_marker,
    "choice": _choice,
}
