"""Resume, budget and progress in one place: a step in the ledger is not done again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from threading import Thread
from typing import TypeVar

from instar.budget import Budget
from instar.errors import InstarError
from instar.events import Event, Progress, StepEnded, StepStarted
from instar.protocols import Ledger
from instar.types import Row, digest, tokens_of

R = TypeVar("R", bound=Row)


class BudgetSpent(InstarError):
    """The budget is used up; what was done is in the ledger."""


class Recorder:
    """The `Once` service over a ledger: recalls a finished step, or makes and records it.

    `spent` is the seconds that earlier sessions of this run used; `tokens` counts what was sampled
    in all of them; `took` is how long the last step of each name took. A step that begins with less
    than `reserve` seconds of `budget` left raises `BudgetSpent` instead.
    """

    def __init__(
        self, ledger: Ledger, emit: Callable[[Event], None], budget: Budget | None, spent: float
    ) -> None:
        self.iteration = 0
        self.tokens = 0
        self.budget = budget
        self.reserve = 0.0
        self.took: dict[str, float] = {}
        self._ledger = ledger
        self._emit = emit
        self._started = time.monotonic() - spent
        self._step: tuple[str, float] | None = None
        self._worked = False
        self._making = ""  # the step that is being made
        self._ahead = 0.0  # units that were told before the cycle said that they are finished

    @property
    def seconds(self) -> float:
        """Wall-clock seconds of the run so far, earlier sessions included."""
        return time.monotonic() - self._started

    def emit(self, event: Event) -> None:
        """Pass on what a component says; in `acquire`, only sampling moves the count of tasks.

        What an assessor or a corrector asks of the engine belongs to tasks that are counted.
        """
        if isinstance(event, Progress) and self._step and self._step[0] == "acquire":
            if self._making != "solve":
                event = replace(event, done=0)
            self._ahead += event.done
        self._emit(event)

    def __call__(
        self, step: str, key: tuple[object, ...], kind: type[R], make: Callable[[], Sequence[R]], /
    ) -> tuple[R, ...]:
        """Return the rows of the step with this key, made now or in an earlier session.

        Raises:
            BudgetSpent: when the step would have to be made and nothing is left to spend.
        """
        full_key = digest(step, key)
        rows = self._recall(step, full_key, kind)
        if rows is None:
            started = time.monotonic()
            self._making = step
            rows = self._keep(step, full_key, tuple(make()), time.monotonic() - started)
            self._making = ""
        return rows

    def beside(
        self, step: str, key: tuple[object, ...], kind: type[R], make: Callable[[], Sequence[R]], /
    ) -> Callable[[], tuple[R, ...]]:
        """Begin a step in a thread, beside the next ones; what is returned waits and records it.

        The ledger has it where it was waited for, whenever it was ready, so that its order does not
        depend on time. The seconds recorded are those that were waited.

        Raises:
            BudgetSpent: as above.
        """
        full_key = digest(step, key)
        rows = self._recall(step, full_key, kind)
        if rows is not None:
            return lambda: rows
        made = _in_background(make)

        def wait() -> tuple[R, ...]:
            started = time.monotonic()
            return self._keep(step, full_key, tuple(made.result()), time.monotonic() - started)

        return wait

    def _recall(self, step: str, key: str, kind: type[R]) -> tuple[R, ...] | None:
        rows = self._ledger.recall(key, kind)
        if rows is not None:
            self.tokens += sum(tokens_of(row) for row in rows)
        elif self.budget and not self.budget.allows(self.seconds + self.reserve, self.tokens):
            raise BudgetSpent(f"the budget was used up before {step}")
        return rows

    def _keep(self, step: str, key: str, rows: tuple[R, ...], took: float) -> tuple[R, ...]:
        self._ledger.record(key, step, self.iteration, rows, took)
        self.took[step] = took
        self._worked = True
        self.tokens += sum(tokens_of(row) for row in rows)
        return rows

    def begin(self, step: str, unit: str, total: int, /) -> None:
        """Say that a long step begins."""
        self._step, self._worked, self._ahead = (step, time.monotonic()), False, 0.0
        self._emit(StepStarted(step=step, unit=unit, total=total))

    def advance(self, done: int, /) -> None:
        """Say that `done` more units of the long step are finished, but for what was said."""
        more = max(0.0, done - self._ahead)
        self._ahead -= done - more
        self._emit(Progress(done=more))

    def end(self) -> None:
        """Say that the long step ended, and whether anything had to be made."""
        if self._step is None:
            return
        step, started = self._step
        self._step = None
        took = time.monotonic() - started
        self._emit(StepEnded(step=step, seconds=took, cached=not self._worked))


def _in_background(make: Callable[[], Sequence[R]]) -> Future[Sequence[R]]:
    """Call `make` in a thread that does not outlive the program."""
    made: Future[Sequence[R]] = Future()

    def call() -> None:
        try:
            made.set_result(make())
        except BaseException as error:  # it is raised where the result is waited for
            made.set_exception(error)

    Thread(target=call, daemon=True).start()
    return made
