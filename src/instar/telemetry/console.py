"""What a person sees while a run works: phase, bar, tokens a second, and a line per iteration."""

from __future__ import annotations

import time
from collections import deque
from types import TracebackType

from rich.console import Console as RichConsole
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from instar import events
from instar.telemetry.text import terminal_safe
from instar.types import Score

WINDOW = 10.0  # seconds over which tokens per second are counted
LINE = 600  # characters of one line; longer ones are cut, and that is said
NEXT = {
    "improved": "instar log {0}   instar diff {0} base head   instar export {0} --to DIR",
    "no improvement": "instar log {0}",
}  # how a run failed, or that it was interrupted, is the error's to say, and not to be said twice


class Console:
    """A sink for events on standard error; live bars on a terminal, plain lines elsewhere."""

    def __init__(self, console: RichConsole | None = None) -> None:
        self._console = console or RichConsole(stderr=True)
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._tokens: deque[tuple[float, int]] = deque()
        self._directory = ""

    def __enter__(self) -> Console:
        if self._console.is_terminal:
            self._bar = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(bar_width=28),
                MofNCompleteColumn(),
                TextColumn("{task.fields[unit]}"),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(compact=True),
                console=self._console,
                transient=True,
            )
            self._bar.start()
            self._begin(events.StepStarted(step="loading model and tasks", unit=""))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, event: events.Event) -> None:
        """Show the event."""
        match event:
            case events.Progress() | events.StepStarted() | events.StepEnded():
                self.live(event)
            case events.RunStarted():
                self._end()
                self._header(event)
            case events.Measured():
                self._measured(event)
            case events.IterationStarted():
                arm = "" if event.arm == "method" else f", {event.arm}"
                self._line(f"iteration {event.iteration}/{event.iterations}{arm}", "dim")
            case events.IterationEnded():
                self._iteration(event)
            case events.Note():
                style = "yellow" if event.level == "warning" else "dim"
                self._line(event.text, style)
            case events.RunEnded():
                self._over(event)

    def live(self, event: events.Event) -> None:
        """Show how far a step is, and nothing else."""
        match event:
            case events.Progress():
                self._progress(event)
            case events.StepStarted():
                self._begin(event)
            case events.StepEnded():
                self._end()

    def _line(self, text: str, style: str = "") -> None:
        shown = Text(terminal_safe(text, LINE, newlines=False), style=style)
        self._console.print(shown, soft_wrap=True)

    def _begin(self, event: events.StepStarted) -> None:
        self._tokens.clear()
        if self._bar is None:
            return
        self._end()
        self._task = self._bar.add_task(event.step, total=event.total, unit=event.unit, rate="")

    def _end(self) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.remove_task(self._task)
        self._task = None

    def _progress(self, event: events.Progress) -> None:
        if self._bar is None or self._task is None:
            return
        now = time.monotonic()
        self._tokens.append((now, event.tokens))
        while self._tokens and now - self._tokens[0][0] > WINDOW:
            self._tokens.popleft()
        span = now - self._tokens[0][0] if self._tokens else 0.0
        rate = f"{sum(n for _, n in self._tokens) / span:,.0f} tokens/s" if span > 0.5 else ""
        self._bar.update(self._task, advance=event.done, rate=rate)

    def _header(self, event: events.RunStarted) -> None:
        self._directory = event.directory
        again = "resumed, " if event.resumed else ""
        self._line(
            f"{event.recipe} on {event.model}, {again}{event.iterations} iterations, "
            f"in {event.directory}",
            "bold",
        )
        for fact in event.facts:
            self._line(f"  {fact}", "dim")

    def _measured(self, event: events.Measured) -> None:
        name = f"after iteration {event.iteration}" if event.iteration else "base"
        if event.report.split != "gate":
            name = f"{event.report.split} split, {'base' if event.arm == 'base' else 'final'}"
        elif event.arm == "control":
            name = f"control {name}"
        self._line(f"{name}: {_score(event.report.scores[0])}")
        for finding in event.report.findings:
            self._line(f"  {finding}", "yellow")

    def _iteration(self, event: events.IterationEnded) -> None:
        left = ""
        if event.seconds_left:
            left = f", about {_duration(event.seconds_left)} left"
        self._line(
            f"iteration {event.iteration}/{event.iterations} {event.verdict.reason}; "
            f"{event.rows_trained} rows trained, {event.tokens:,} tokens, "
            f"{_duration(event.seconds)}{left}",
            "green" if event.verdict.accepted else "red",
        )

    def _over(self, event: events.RunEnded) -> None:
        self._end()
        if event.outcome not in NEXT:
            return
        style = "bold green" if event.outcome == "improved" else "bold"
        self._line(f"{event.summary} ({_duration(event.seconds)})", style)
        if self._directory:
            self._line(f"next: {NEXT[event.outcome].format(self._directory)}", "dim")


def _score(score: Score) -> str:
    return (
        f"{score.name} {100 * score.value:.1f}% "
        f"({100 * score.low:.1f} to {100 * score.high:.1f}, n = {score.n})"
    )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
