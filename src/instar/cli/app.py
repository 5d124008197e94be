"""The command line: one file per verb. Nothing here imports torch before a verb needs it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import typer

from instar.cli import (
    chat,
    check,
    components,
    diff,
    evaluate,
    export,
    log,
    new,
    recipes,
    resume,
    rollback,
    run,
    show,
    trace,
)
from instar.errors import InstarError
from instar.telemetry.text import terminal_safe

SENTENCE = 1000  # characters of an error that are shown; a hostile file or server can write more

app = typer.Typer(
    name="instar",
    help="A language model improves itself in iterations, and proves it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
VERBS: dict[str, Callable[..., None]] = {
    "run": run.command,
    "resume": resume.command,
    "log": log.command,
    "show": show.command,
    "diff": diff.command,
    "trace": trace.command,
    "rollback": rollback.command,
    "export": export.command,
    "chat": chat.command,
    "eval": evaluate.command,
    "recipes": recipes.command,
    "components": components.command,
    "check": check.command,
    "new": new.command,
}
for name, function in VERBS.items():
    app.command(name)(function)


def main() -> None:
    """Run the command line; an error of the family is one sentence and its exit code."""
    try:
        app()
    except InstarError as error:
        told = "; ".join((str(error), *getattr(error, "__notes__", ())))
        said = terminal_safe(told, SENTENCE, newlines=False)
        sys.stderr.write(f"instar: {said}\n")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        os._exit(0)  # the reader went away (`instar log | head`): nothing more to say to anyone
