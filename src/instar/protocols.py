"""The kinds of component, the services, and `Context`: the only file a plug-in author must read.

A component is a frozen dataclass: its fields are its YAML parameters, its one method is its
behaviour, its docstring is its card. Laws for every kind, checked by `instar.testing.checks`:
the constructor only stores and checks; it pickles, and rebuilds equal from its recipe entry; the
same context gives the same answer; an empty batch is fine; inputs are left as they were; importing
it loads no torch; `None` as a score means "could not judge", never 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar, runtime_checkable

import numpy as np

from instar.events import Event
from instar.types import (
    Completion,
    Decision,
    Execution,
    Experience,
    Feedback,
    Learner,
    Limits,
    Objective,
    Report,
    Request,
    Row,
    Task,
    Verdict,
    digest,
)

R = TypeVar("R", bound=Row)


class Engine(Protocol):
    """A service that generates text with a learner's weights."""

    def generate(
        self, requests: Sequence[Request], learner: Learner, context: Context, /
    ) -> list[tuple[Completion, ...]]:
        """Complete each request `request.n` times; the answer is in the order of the requests.

        Draws depend on `context.seed`, `request.key` and the sample's number alone. A request that
        fails gives completions with `error`. Emits `Progress` (done counts requests, one
        with a part of its completions as that part).

        Raises:
            EngineError: when no request can be served at all.
        """
        ...

    def fingerprint(self, learner: Learner, context: Context, /) -> str:
        """Return a hash of the weights now served for `learner`, read from the weights in use."""
        ...

    def facts(self) -> tuple[str, ...]:
        """Say in words what was chosen: device, dtype, attention, endpoint. No secrets."""
        ...


class Ledger(Protocol):
    """The record of a run, from task to decision. Rows are content-addressed; only appends."""

    def recall(self, key: str, kind: type[R], /) -> tuple[R, ...] | None:
        """Return what `record` stored under `key`, or None if that step never finished."""
        ...

    def record(
        self, key: str, step: str, iteration: int, rows: Sequence[Row], seconds: float, /
    ) -> None:
        """Store a finished step: all of its rows or none, durable when the call returns."""
        ...


class Artefacts(Protocol):
    """Immutable folders addressed by content: adapters, memories."""

    def path(self, artefact: str, /) -> Path:
        """Return the folder of `artefact`."""
        ...

    def add(self, folder: Path, /) -> str:
        """Take a copy of `folder` in and return its id; the same content gives the same id."""
        ...


class Sandbox(Protocol):
    """Where code that a model wrote is run, with nothing of the caller's in reach."""

    @property
    def workers(self) -> int:
        """How many programs run at the same time."""
        ...

    @property
    def level(self) -> str:
        """The isolation that is in use."""
        ...

    def facts(self) -> tuple[str, ...]:
        """Say which isolation is in use, and which stronger ones failed and why."""
        ...

    def run(
        self,
        program: str,
        files: Mapping[str, str],
        limits: Limits,
        /,
        *,
        stdin: bytes = b"",
        streams: tuple[BinaryIO, BinaryIO] | None = None,
        warm: Sequence[str] = (),
    ) -> Execution:
        """Run a Python program to its end; when this returns, nothing of it is left.

        Args:
            program: its text.
            files: what lies in its scratch folder, by name.
            limits: what it may use; beyond them it is killed.
            stdin: what it reads.
            streams: its standard input and output, in place of `stdin` and what the answer holds;
                closed here as soon as the program has them.
            warm: modules that are imported before the program starts, once for many programs.

        Raises:
            ComponentError: if no isolation holds on this machine, or it broke down.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a component may use: the state of the run and its services.

    `train` and `gate` are the tasks of those splits; the sealed split is not in reach. `scratch` is
    a folder for temporary files; `verified` is what the filters kept in the last iteration;
    `sandbox` is there if a component of the run has `executes_code = True`. Time, paths and
    randomness come from here, never from globals.
    """

    objective: Objective
    learner: Learner
    base: Learner
    engine: Engine
    artefacts: Artefacts
    emit: Callable[[Event], None]
    scratch: Path
    train: tuple[Task, ...] = ()
    gate: tuple[Task, ...] = ()
    verified: tuple[Experience, ...] = ()
    sandbox: Sandbox | None = None
    seed: int = 0
    iteration: int = 1
    iterations: int = 1

    def rng(self, *purpose: object) -> np.random.Generator:
        """Return a generator that depends on the seed, the iteration and `purpose` alone."""
        key = digest("rng", self.seed, self.iteration, purpose)
        return np.random.Generator(np.random.Philox(key=int(key, 16)))


@runtime_checkable
class Source(Protocol):
    """Where tasks come from before a run: a file, a folder, a generator."""

    def load(self, count: int | None, seed: int, /) -> Sequence[Task]:
        """Return the tasks in a fixed order: all, or as many as yield `count` distinct ones.

        Raises:
            DataError: naming the file and line, or the data set, and what was expected.
        """
        ...


@runtime_checkable
class Proposer(Protocol):
    """`f^T`: which tasks to practise in this iteration."""

    def propose(self, context: Context, /) -> Sequence[Task]:
        """Return tasks; each names its parents if it was made from others. None is allowed."""
        ...


@runtime_checkable
class Solver(Protocol):
    """`f^Y`: solutions of tasks."""

    def solve(self, tasks: Sequence[Task], context: Context, /) -> Sequence[Experience]:
        """Return experiences whose tasks were all given; a failed sample has `solution.error`."""
        ...


@runtime_checkable
class Assessor(Protocol):
    """`f^F`: feedback on solutions. A batch holds all samples of each of its tasks."""

    def assess(self, batch: Sequence[Experience], context: Context, /) -> Sequence[Feedback]:
        """Return one feedback per experience, in order."""
        ...


@runtime_checkable
class Particular(Protocol):
    """What an assessor may also be: able to say before the run that it cannot read a task."""

    def check_tasks(self, tasks: Sequence[Task], /) -> None:
        """Look at all tasks of the run.

        Raises:
            DataError: naming the first task it cannot judge, and what was expected.
        """
        ...


@runtime_checkable
class Filter(Protocol):
    """Refinement: what is worth keeping. The cycle drops; a filter only decides."""

    def select(self, batch: Sequence[Experience], context: Context, /) -> Sequence[Decision]:
        """Return one decision per experience, in order."""
        ...


@runtime_checkable
class Corrector(Protocol):
    """Refinement: better solutions out of worse ones."""

    def correct(self, batch: Sequence[Experience], context: Context, /) -> Sequence[Experience]:
        """Return new experiences only, each naming in `parents` the one it corrects."""
        ...


@runtime_checkable
class Trainer(Protocol):
    """Part of the in-weight updater: turns experiences into an adapter."""

    def check(self) -> None:
        """Build the library's own configuration.

        Raises:
            RecipeError: naming the option that the library refuses.
        """
        ...

    def fit(
        self, rows: Sequence[Experience], start: Learner, folder: Path, context: Context, /
    ) -> None:
        """Train on `rows` from `start` and leave the adapter in `folder`."""
        ...


@runtime_checkable
class Updater(Protocol):
    """`f^U`: M[t] and refined experience give M[t+1]; the old learner stays whole."""

    def update(self, rows: Sequence[Experience], context: Context, /) -> Learner:
        """Return a new learner that names its parent."""
        ...


@runtime_checkable
class Measure(Protocol):
    """Part of the evaluator: one number of one learner on held-out tasks."""

    def measure(self, learner: Learner, tasks: Sequence[Task], context: Context, /) -> Report:
        """Return one or more scores with intervals; same learner and seed, same report."""
        ...


@runtime_checkable
class Gate(Protocol):
    """Decides whether a candidate becomes the current learner, on paired held-out outcomes."""

    def decide(self, current: Report, candidate: Report, context: Context, /) -> Verdict:
        """Return the verdict, always with a reason."""
        ...


@runtime_checkable
class Veto(Protocol):
    """Part of a gate: a reason to refuse a candidate that is better by the gate's own measure."""

    def veto(self, current: Report, candidate: Report, /) -> str | None:
        """Return why the candidate must not be promoted, or None."""
        ...


@runtime_checkable
class Forecast(Protocol):
    """What a gate may also be: able to say before the run what it will be able to see."""

    def before_run(self, tasks: int, iterations: int, /) -> str:
        """Return, in one sentence, the smallest improvement that `tasks` paired tasks can show."""
        ...
