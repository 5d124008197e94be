"""Run a program as it is, and say what the interpreter says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from instar.acquisition.feedback.environment.programs import code_of, sandbox_of
from instar.acquisition.feedback.environment.running import each
from instar.acquisition.feedback.environment.unit_tests import limits_of
from instar.protocols import Context
from instar.types import Execution, Experience, Feedback

SOURCE = "interpreter_error"
_FRAME = re.compile(r'^  File "program\.py", line \d+', re.MULTILINE)


@dataclass(frozen=True)
class InterpreterError:
    """Score 1 if a program runs to its end without an error, else 0 with the last frames.

    The feedback of SelfEvolve (Jiang et al. 2023, arXiv 2306.02907). It says that a program is
    broken, never that it is right: use it beside `unit_tests`, or for its critique. The critique
    is the last `frames` of the traceback and the error, at most `characters` of them. All four
    defaults are ours.
    """

    frames: int = 4
    characters: int = 600
    timeout_s: float = 5.0
    memory_mb: int = 256
    executes_code: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse what leaves nothing to read."""
        if self.frames < 1 or self.characters < 1:
            raise ValueError("frames and characters: expected at least 1 each")
        if not 0 < self.timeout_s <= 3600:
            raise ValueError(f"timeout_s is {self.timeout_s}; expected seconds, up to 3600")

    def assess(self, batch: Sequence[Experience], context: Context, /) -> list[Feedback]:
        """Return one feedback per experience, in order."""
        sandbox = sandbox_of(context)
        limits = limits_of(self.timeout_s, self.memory_mb)
        whole = [i for i, e in enumerate(batch) if e.solution.error is None]
        runs = each(
            sandbox,
            [partial(sandbox.run, code_of(batch[i].solution.text), {}, limits) for i in whole],
        )
        ended = dict(zip(whole, runs, strict=True))
        return [self._feedback(e, ended.get(i)) for i, e in enumerate(batch)]

    def _feedback(self, experience: Experience, ended: Execution | None) -> Feedback:
        if ended is None:
            why = f"the sample failed: {experience.solution.error}"
            return Feedback(source=SOURCE, score=None, critique=why)
        if (ended.ended, ended.code) == ("exit", 0):
            return Feedback(source=SOURCE, score=1.0)
        return Feedback(source=SOURCE, score=0.0, critique=self._told(ended))

    def _told(self, ended: Execution) -> str:
        if ended.ended != "exit":
            return f"the program was stopped: {ended.ended}"
        text = ended.stderr.decode("utf-8", "replace").strip()
        starts = [m.start() for m in _FRAME.finditer(text)]
        cut = text[starts[-self.frames :][0] :] if starts else text
        return cut[-self.characters :] or f"the program ended with the status {ended.code}"
