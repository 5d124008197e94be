"""One family of errors. Each says where, what, what was expected and the nearest name.

The exit code of the command line is the class's `exit_code`: 2 the user's mistake, 3 a component
failed, 130 interrupted and resumable.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InstarError(Exception):
    """The root of the family."""

    exit_code = 3


class UsageError(InstarError, ValueError):
    """The user's mistake: a wrong option, an unusable run folder, a missing extra."""

    exit_code = 2


class RecipeError(UsageError):
    """A recipe that cannot be built: an unknown key, a wrong type, a number out of range."""


class DataError(UsageError):
    """Task data that cannot be used: not JSON, no prompt, a duplicate id, nothing left."""


class MissingExtra(UsageError, ImportError):
    """A package that an optional part needs is not installed."""


class ComponentError(InstarError, RuntimeError):
    """A component broke its contract or raised."""


class EngineError(ComponentError):
    """The model cannot be reached or loaded, or kept failing."""


class PreflightError(ComponentError):
    """A part of the loop is inert or wrong; nothing was sampled."""


class StoreError(InstarError, OSError):
    """The run folder cannot be read or written."""


class Interrupted(InstarError, InterruptedError):
    """The run was stopped on request and can be resumed."""

    exit_code = 130


def nearest(name: str, choices: Iterable[str]) -> str:
    """Return `"; did you mean 'x'?"` for the nearest of `choices`, or the choices themselves."""
    known = sorted(choices)
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; choose from {', '.join(known)}" if known else ""
