"""How much a run may spend: wall-clock time or tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass

from instar.errors import UsageError

_SECONDS = {"s": 1, "m": 60, "h": 3600}
_THOUSANDS = {"": 1, "k": 1_000, "m": 1_000_000}


@dataclass(frozen=True, kw_only=True)
class Budget:
    """A limit on one of the two: `seconds` of wall-clock time, or `tokens` sampled."""

    seconds: float | None = None
    tokens: int | None = None

    def allows(self, seconds: float, tokens: float) -> bool:
        """Say whether a run that will have spent this much stays within the limit."""
        if self.seconds is not None:
            return seconds <= self.seconds
        return self.tokens is None or tokens <= self.tokens


def parse(text: str) -> Budget:
    """Read `90s`, `5m`, `1h30m` or `200k-tokens`.

    Raises:
        UsageError: for anything else.
    """
    lowered = text.strip().lower()
    some = re.search("[1-9]", lowered)
    if some and (found := re.fullmatch(r"(\d+(?:\.\d+)?)([km]?)-?tokens", lowered)):
        return Budget(tokens=int(float(found[1]) * _THOUSANDS[found[2]]))
    if some and re.fullmatch(r"(\d+(?:\.\d+)?[smh])+", lowered):
        parts = re.findall(r"(\d+(?:\.\d+)?)([smh])", lowered)
        return Budget(seconds=sum(float(n) * _SECONDS[unit] for n, unit in parts))
    raise UsageError(
        f"budget {text!r}: expected a time like 5m or 1h30m, or tokens like 200k-tokens"
    )
