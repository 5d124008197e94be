"""A filter of one's own: a recipe beside this file names it `use: ./own_filter.py:ShortEnough`.

`instar check examples/own_filter.py:ShortEnough` holds it against the laws of a filter.
"""

from dataclasses import dataclass

from instar.types import Decision


@dataclass(frozen=True)
class ShortEnough:
    """Keep solutions of at most `words` words."""

    words: int = 40

    def select(self, batch, context, /):
        counts = [len(e.solution.text.split()) for e in batch]
        return [Decision(keep=n <= self.words, reason=f"{n} words") for n in counts]
