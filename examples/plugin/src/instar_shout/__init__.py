"""One filter, found by its entry point."""

from dataclasses import dataclass

from instar.types import Decision


@dataclass(frozen=True)
class Quiet:
    """Drop solutions of which more than `share` of the letters are capitals."""

    share: float = 0.5

    def select(self, batch, context, /):
        return [self._decision(e.solution.text) for e in batch]

    def _decision(self, text):
        letters = [c for c in text if c.isalpha()]
        loud = sum(c.isupper() for c in letters) / len(letters) if letters else 0.0
        return Decision(keep=loud <= self.share, reason=f"{loud:.0%} capitals")
