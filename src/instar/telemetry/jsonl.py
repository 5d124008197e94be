"""Every event as one JSON line beside the ledger."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from instar.events import Event, Measured, Progress
from instar.types import plain


class JsonLines:
    """A sink that appends events to the file at `path`, flushed line by line.

    Progress is left out (too many), and so are the held-out answers of a report (they are in the
    ledger). A file that cannot be written does not stop the run: `warn` is told once.
    """

    def __init__(self, path: Path, warn: Callable[[str], None]) -> None:
        self._path, self._warn, self._failed = path, warn, False

    def __call__(self, event: Event) -> None:
        """Append the event."""
        if isinstance(event, Progress) or self._failed:
            return
        if isinstance(event, Measured):
            event = replace(event, report=replace(event.report, outcomes=()))
        fields = plain(event)
        assert isinstance(fields, dict)  # every event is a dataclass
        row = {"time": datetime.now(UTC).isoformat(), "event": type(event).__name__, **fields}
        try:
            torn = self._path.exists() and not self._path.read_bytes().endswith(b"\n")
            with self._path.open("a", encoding="ascii") as file:
                file.write("\n" * (torn and self._path.stat().st_size > 0))
                file.write(json.dumps(row) + "\n")
        except OSError as error:
            self._failed = True
            self._warn(
                f"{self._path} cannot be written any more: {error.strerror}; the run goes on"
            )
