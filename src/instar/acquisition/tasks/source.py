"""What a user writes after `--tasks` becomes the recipe entry of a source."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from instar.errors import DataError

GYM = "reasoning_gym"
_OPTION = re.compile(r",(?=\s*[A-Za-z_]\w*=)")  # a comma inside a value separates no option


def source_of(text: str) -> dict[str, object]:
    """Return the entry for `text`.

    `FILE.jsonl`, the folder of a saved data set, or `reasoning_gym:NAME`; each may be followed by
    `,option=value`, the value in YAML. Paths become absolute, since a recipe's own are relative to
    its folder.

    Raises:
        DataError: if `text` is none of these.
    """
    head, *settings = _OPTION.split(text.strip())
    options = dict(_option(s, text) for s in settings)
    if head.startswith(f"{GYM}:"):
        entry: dict[str, object] = {"use": GYM, "dataset": head.removeprefix(f"{GYM}:")}
        if "seed" in options:
            entry["seed"] = options.pop("seed")
        return {**entry, "config": options} if options else entry
    path = Path(head).expanduser()
    if head and path.is_dir():  # no text at all would be the current folder
        return {"use": "hf_dataset", "path": str(path.resolve()), **options}
    if path.suffix == ".jsonl":
        return {"use": "jsonl", "path": str(path.resolve()), **options}
    raise DataError(
        f"{text!r} names no tasks; expected a file ending in .jsonl, the folder of a data set "
        f"saved to disk, or {GYM}:NAME such as {GYM}:chain_sum,max_terms=2"
    )


def _option(setting: str, text: str) -> tuple[str, object]:
    name, _, value = setting.partition("=")
    try:
        return name.strip(), yaml.safe_load(value)
    except (yaml.YAMLError, RecursionError) as error:
        raise DataError(f"{text!r}: {name.strip()}: {value[:80]!r} is not YAML") from error
