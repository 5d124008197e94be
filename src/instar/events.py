"""What a run says while it works. Sinks (console, JSONL, trackers) read these and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

from instar.types import Report, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    """A run begins or goes on: the recipe's name, the learner, and what was decided, in words."""

    recipe: str
    model: str
    directory: str
    iterations: int
    resumed: bool
    facts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class IterationStarted:
    """Iteration `iteration` (counted from 1) of `iterations` begins for one arm."""

    iteration: int
    iterations: int
    arm: str = "method"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStarted:
    """A step of the cycle begins; `total` counts its `unit`s, None where it is not known."""

    step: str
    unit: str
    total: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """`done` more units of the running step, and `tokens` more tokens, since the last event.

    A unit may be done in part: a task of which half the samples are there.
    """

    done: float = 0
    tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEnded:
    """A step ended after `seconds`; `cached` when the ledger already had its result."""

    step: str
    seconds: float
    cached: bool
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A learner was measured."""

    iteration: int
    arm: str
    report: Report


@dataclass(frozen=True, slots=True, kw_only=True)
class IterationEnded:
    """An iteration of the method's arm ended with the gate's verdict."""

    iteration: int
    iterations: int
    verdict: Verdict
    rows_trained: int
    tokens: int
    seconds: float
    seconds_left: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Something a user must see; `level` is `info` or `warning`."""

    text: str
    level: str = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded:
    """The run is over: `outcome` is `improved`, `no improvement`, `interrupted` or `failed`."""

    outcome: str
    summary: str
    seconds: float


Event = (
    RunStarted
    | IterationStarted
    | StepStarted
    | Progress
    | StepEnded
    | Measured
    | IterationEnded
    | Note
    | RunEnded
)
