"""When two prompts ask the same thing: equal, one inside the other, or a long rare run in common.

All three relations look at `tokens`: case, spacing and the punctuation of prose are folded, while
numbers, operators and signs stay, so that `36 + 29` is not `36 - 29`.

- equal: the same tokens;
- contained: all tokens of one (at least `SHORTEST`) inside the other, not cut out of a longer sum;
- a shared run: `RUN` tokens in common, numbers masked, at least `PROSE` of them words. A word
  problem with other numbers is thereby a near-duplicate; `57 + 87 =` and `58 + 80 =` are not.

What many tasks have in common is an instruction and no evidence: a run or a prompt found in more
than `common(n)` of `n` tasks does not count. The run of 13 and the exception for what more than 10
texts share are those of arXiv 2005.14165 (appendix C); the masking and the other numbers are ours.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence

from instar.types import Task

Tokens = tuple[str, ...]

RUN = 13  # tokens of a run; arXiv 2005.14165
PROSE = 8  # words among them, so that grids and long sums do not count as prose; ours
SHORTEST = 3  # tokens a prompt needs to be looked for inside another text: `36 + 29`; ours

_SIGNS = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"  # scripts without spaces: one sign, one word
_MARKS = ".,;:?!'\"`´‘’“”„«»…"
_TOKEN = re.compile(
    r"\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?"  # 1,000.5 and 1000.5
    rf"|[{_SIGNS}]|[^\W\d_{_SIGNS}]+"
    r"|(?<![^\W\d_])-|-(?![^\W\d_])"  # a minus, but no hyphen inside a word
    rf"|(?<![^\W_])(?<![^\W\d_]{{2}}\ )[{_MARKS}](?!\ ?[^\W\d_]{{2}})(?![^\W_])"  # a cell of a grid
    rf"|[^\s\w{_MARKS}\-]|_"
)
_PIECE = re.compile(r"\s+|\S{1,256}")
_SAME_SIGN = str.maketrans({"−": "-", "–": "-", "—": "-", "×": "*", "÷": "/"})
_OPERATORS = frozenset("+-*/^%")


def tokens(text: str) -> Tokens:
    """Return `text` as words, numbers and signs, without what spelling and layout vary."""
    if not text.isascii():
        # Normalising is quadratic in a run of combining characters, so no piece may be long.
        text = "".join(unicodedata.normalize("NFKC", p) for p in _PIECE.findall(text))
    folded = text.casefold().translate(_SAME_SIGN)
    return tuple(t.replace(",", "") if len(t) > 1 else t for t in _TOKEN.findall(folded))


def asked(task: Task) -> str:
    """Return all that the learner is shown of `task`."""
    return "\n".join(m.content for m in task.messages)


def common(count: int) -> int:
    """Return in how many of `count` tasks a run may occur before it is an instruction."""
    return min(max(10, count // 100), count // 2)


def runs(prompt: Tokens) -> set[int]:
    """Return the hashes of the runs of prose in `prompt`, with every number masked.

    The hashes hold within this process only; 64 bits keep a million of them apart.
    """
    masked = ["0" if t[0].isdigit() else t for t in prompt]
    words = [0]
    for token in masked:
        words.append(words[-1] + _is_word(token))
    ends = range(RUN, len(masked) + 1)
    return {hash(tuple(masked[e - RUN : e])) for e in ends if words[e] - words[e - RUN] >= PROSE}


class Distinct:
    """Remembers tasks and knows a repetition: the same text, or the same tokens and answer.

    Tokens alone do not make a repetition, because case or layout may be what the task is about.
    """

    def __init__(self) -> None:
        """Start with no task."""
        self._seen: dict[tuple[object, ...], Task] = {}

    def earlier(self, task: Task) -> Task | None:
        """Return the task that `task` repeats; without one, remember `task`."""
        text = asked(task)
        keys = (("text", text.strip()), ("tokens", tokens(text), task.reference))
        for key in keys:
            if key in self._seen:
                return self._seen[key]
        self._seen.update(dict.fromkeys(keys, task))
        return None


class Phrases:
    """Finds which of `prompts` stand inside a text.

    Each prompt is looked up by the three tokens in it that are rarest among all prompts.
    """

    def __init__(self, prompts: Sequence[Tokens]) -> None:
        """Index the prompts that are long enough."""
        self._prompts = prompts
        seen = Counter(t for p in prompts for t in _triples(p))
        self._at: dict[Tokens, list[tuple[int, int]]] = {}
        for number, prompt in enumerate(prompts):
            places = {t: i for i, t in enumerate(_triples(prompt))}
            if places:
                rarest = min(places, key=lambda t: (seen[t], t))
                self._at.setdefault(rarest, []).append((number, places[rarest]))

    def inside(self, text: Tokens) -> Iterator[int]:
        """Yield the number of each prompt at each place where it stands in `text`."""
        for place, triple in enumerate(_triples(text)):
            for number, offset in self._at.get(triple, ()):
                prompt, start = self._prompts[number], place - offset
                end = start + len(prompt)
                fits = start >= 0 and end <= len(text) and text[end - 1] == prompt[-1]
                if fits and text[start:end] == prompt and _whole(text, start, end):
                    yield number


def _triples(prompt: Tokens) -> Iterator[Tokens]:
    return zip(prompt, prompt[1:], prompt[2:], strict=False)


def _is_word(token: str) -> bool:
    return token[0].isalpha() and (len(token) > 1 or token > "\u2e7f")


def _whole(text: Tokens, start: int, end: int) -> bool:
    """Return whether neither end of `text[start:end]` cuts an arithmetic expression in two."""
    before = start > 0 and _joined(text[start - 1], text[start])
    return not before and not (end < len(text) and _joined(text[end - 1], text[end]))


def _joined(left: str, right: str) -> bool:
    return (left in _OPERATORS and not _is_word(right)) or (
        right in _OPERATORS and not _is_word(left)
    )
