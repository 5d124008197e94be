"""`instar chat`: talk to a learner of a run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def command(
    directory: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")],
    learner: Annotated[str, typer.Argument(help="As for show.")] = "head",
    temperature: Annotated[float, typer.Option(help="0 is greedy.")] = 0.0,
    max_tokens: Annotated[int, typer.Option(help="New tokens per answer.")] = 256,
) -> None:
    """Talk to a learner, line by line; an empty line or Ctrl-D ends."""
    # Imported here: --help must stay instant.
    from instar.cli import output
    from instar.cli.loaded import opened
    from instar.errors import UsageError
    from instar.types import Message, Request, Sampling

    try:
        sampling = Sampling(temperature=temperature, max_tokens=max_tokens)
    except ValueError as error:
        raise UsageError(str(error)) from error
    with opened(directory, learner) as context:
        for fact in context.engine.facts():
            output.line(fact, style="dim")
        turns: list[Message] = []
        while text := _ask():
            turns.append(Message(role="user", content=text))
            standing = context.learner.prompt
            before = [Message(role="system", content=standing)] if standing else []
            request = Request(
                messages=(*before, *turns), sampling=sampling, key=f"chat {len(turns)}"
            )
            answer = context.engine.generate([request], context.learner, context)[0][0]
            output.line(answer.error or answer.text)
            turns.append(Message(role="assistant", content=answer.text))


def _ask() -> str:
    """Return what the user typed, or nothing at the end."""
    if sys.stdin.isatty():
        sys.stdout.write("> ")
        sys.stdout.flush()
    return sys.stdin.readline().strip()
