"""A user's class against the laws of its kind."""

from __future__ import annotations

from pathlib import Path

from instar.build import component
from instar.catalog import KINDS, find
from instar.environments.sandbox.sandbox import IsolatedSandbox
from instar.errors import ComponentError, RecipeError, UsageError, nearest
from instar.testing.checks import check
from instar.testing.fakes import context


def check_file(use: str, kind: str | None) -> str:
    """Build `./file.py:Class` from its defaults, check the laws of its kind, return the kind.

    Raises:
        UsageError: if the class is of no kind.
        ComponentError: with the first law that does not hold.
    """
    if kind is not None and kind not in KINDS:
        raise UsageError(f"there is no kind {kind!r}{nearest(kind, KINDS)}")
    errors = []
    for name in [kind] if kind else KINDS:
        try:
            find(name, use, "check", Path())
        except RecipeError as error:
            errors.append(error)
            continue
        made = component(name, {"use": use}, "check", Path())
        try:
            check(name, made, context(sandbox=IsolatedSandbox()))
        except AssertionError as error:
            raise ComponentError(f"{use}: {error}") from error
        except (Exception, SystemExit) as error:  # it may raise anything
            told = f"raised, or returned what is no value of its kind: {type(error).__name__}"
            raise ComponentError(f"{use} {told}: {error}") from error
        return name
    raise (
        errors[0]
        if kind or "is no" not in str(errors[0])
        else UsageError(f"{use} has the method of no kind; the kinds are {', '.join(KINDS)}")
    )
