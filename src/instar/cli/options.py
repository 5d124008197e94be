"""Options of several verbs as recipe settings: the flags are short for `--set`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from instar.acquisition.tasks.source import source_of


def settings(
    given: Mapping[str, str | int | None], tasks: str | None, more: Sequence[str]
) -> list[str]:
    """Return the flags that were given as `KEY=VALUE` settings, `--set` last so that it wins."""
    made = [f"{key}={json.dumps(value)}" for key, value in given.items() if value is not None]
    if tasks is not None:
        made.append(f"data.source={json.dumps(source_of(tasks))}")
    return [*made, *more]
