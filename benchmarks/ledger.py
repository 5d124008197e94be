"""Does the ledger stay fast as it grows? One million experiences through the door a run uses.

    python benchmarks/ledger.py                # a million experiences, some minutes
    python benchmarks/ledger.py --rows 50000   # a quick look, nothing is written

Every batch of 512 samples (64 tasks, 8 each; prompts of 200 and solutions of 100 characters) is
three steps, as the cycle records it: the experiences, their feedback, a filter's decisions. Each is
one durable transaction. Every tenth of the rows is an iteration that ends with a learner, a report
and a verdict. The time is that of `record` alone, not of making the values. Next to it, two numbers
say what the disk can do: a file written and synced as often, with as many bytes, and nothing else.
Writes benchmarks/results/ledger.json.
"""

import argparse
import json
import os
import platform
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from instar.store.ledger import SqliteLedger
from instar.store.queries import funnel, history, trace
from instar.types import (
    Assessed,
    Experience,
    Feedback,
    Learner,
    Message,
    Outcome,
    Placed,
    Report,
    Row,
    Sampling,
    Score,
    Sifted,
    Solution,
    Task,
    Trained,
    Verdict,
)

HERE = Path(__file__).parent
BATCH, SAMPLES, ITERATIONS, HELD_OUT = 512, 8, 10, 400
WORDS = tuple("the sum of first second number then we carry one over so add take away".split())  # noqa: SIM905
SHARE = 10  # the first and the last tenth of the rows are compared


@dataclass(frozen=True)
class Lot:
    """What one batch adds: its three steps."""

    experiences: list[Experience]
    assessed: list[Assessed]
    sifted: list[Sifted]


def words(draw: random.Random, characters: int) -> str:
    """Return a text of that many characters that does not compress to nothing."""
    text = ""
    while len(text) < characters:
        text += f"{draw.choice(WORDS)} {draw.randrange(1000)} "
    return text[:characters]


def make_tasks(draw: random.Random, count: int) -> list[Task]:
    return [
        Task(
            messages=(Message(role="user", content=words(draw, 200)),),
            reference=str(draw.randrange(1000)),
            tags=("benchmark",),
            origin="benchmark",
            name=f"task-{i}",
        )
        for i in range(count)
    ]


def lot(draw: random.Random, tasks: list[Task], iteration: int, learner: Learner) -> Lot:
    sampling = Sampling(temperature=1.0)
    experiences = [
        Experience(
            task=task,
            solution=Solution(
                turns=(Message(role="assistant", content=words(draw, 100)),),
                sampling=sampling,
                sample=sample,
                tokens=25,
                logprob=-10 * draw.random(),
            ),
            made_by="sample",
            iteration=iteration,
            learner=learner.id,
        )
        for task in tasks
        for sample in range(SAMPLES)
    ]
    right = [draw.random() < 0.4 for _ in experiences]
    assessed = [
        Assessed(
            experience=e.id,
            feedback=(Feedback(source="answer_match", score=float(r), answer="417"),),
        )
        for e, r in zip(experiences, right, strict=True)
    ]
    sifted = [
        Sifted(experience=e.id, filter="ScoreAtLeast", keep=r, reason=f"scored {float(r)}")
        for e, r in zip(experiences, right, strict=True)
    ]
    return Lot(experiences, assessed, sifted)


def report(draw: random.Random, learner: Learner, tasks: list[Task]) -> Report:
    score = Score(name="accuracy", value=0.5, low=0.45, high=0.55, n=len(tasks))
    outcomes = tuple(
        Outcome(task=t.id, score=1.0, text=words(draw, 100), answer="417", tokens=25) for t in tasks
    )
    return Report(learner=learner.id, split="gate", scores=(score,), outcomes=outcomes)


class Clock:
    """Records steps and adds up what `record` takes."""

    def __init__(self, ledger: SqliteLedger) -> None:
        self._ledger = ledger
        self.spent = 0.0
        self.steps = 0

    def __call__(self, step: str, iteration: int, rows: list[Row]) -> None:
        began = time.perf_counter()
        self._ledger.record(f"{step} {self.steps}", step, iteration, rows, 1.0)
        self.spent += time.perf_counter() - began
        self.steps += 1


def append(ledger: SqliteLedger, rows: int, fresh: bool) -> Iterator[tuple[int, float]]:
    """Append a run; yield (experiences so far, seconds of `record` so far) after each batch."""
    draw, clock = random.Random(1), Clock(ledger)
    per_iteration = rows // ITERATIONS
    pool = make_tasks(draw, per_iteration // SAMPLES)
    held_out = make_tasks(draw, HELD_OUT)
    clock("split", 0, [Placed(task=t, split="train") for t in pool])
    clock("split", 0, [Placed(task=t, split="gate") for t in held_out])
    base = learner = Learner(base="benchmark")
    clock("begin", 0, [Trained(learner=base, rows=(), arm="base")])
    done, clock.spent = 0, 0.0
    for iteration in range(1, ITERATIONS + 1):
        kept: list[str] = []
        for start in range(0, len(pool), BATCH // SAMPLES):
            count = len(pool[start : start + BATCH // SAMPLES])
            chosen = make_tasks(draw, count) if fresh else pool[start : start + count]
            made = lot(draw, chosen, iteration, learner)
            clock("solve", iteration, list(made.experiences))
            clock("assess", iteration, list(made.assessed))
            clock("filter", iteration, list(made.sifted))
            kept += [r.experience for r in made.sifted if r.keep]
            done += len(made.experiences)
            yield done, clock.spent
        candidate = Learner(base="benchmark", adapter=f"{iteration:020x}", parents=(learner.id,))
        clock("update", iteration, [Trained(learner=candidate, rows=tuple(kept))])
        clock("evaluate", iteration, [report(draw, candidate, held_out)])
        verdict = Verdict(
            candidate=candidate.id, current=learner.id, accepted=True, reason="better"
        )
        clock("decide", iteration, [verdict])
        learner = candidate


def rate(marks: list[tuple[int, float]], low: float, high: float) -> float:
    """Return experiences per second between two shares of the whole."""
    last = marks[-1][0]
    part = [m for m in marks if low * last <= m[0] <= high * last]
    return (part[-1][0] - part[0][0]) / (part[-1][1] - part[0][1])


def timed(what, repeats: int = 3) -> float:
    """Return the median seconds of a call."""
    spent = []
    for _ in range(repeats):
        began = time.perf_counter()
        what()
        spent.append(time.perf_counter() - began)
    return statistics.median(spent)


def plain_file(place: Path, size: int, times: int) -> float:
    """Return seconds to write `size` bytes in `times` parts, each synced: what the disk can do."""
    part = os.urandom(size // times)
    began = time.perf_counter()
    with (place / "plain").open("wb", buffering=0) as file:
        for _ in range(times):
            file.write(part)
            os.fsync(file.fileno())
    return time.perf_counter() - began


def read(path: Path, rows: int) -> dict[str, float]:
    """Return the seconds of the reading verbs, each on a ledger opened for it."""

    def asking(question):
        def ask() -> None:
            ledger = SqliteLedger(path, writable=False)
            question(ledger)
            ledger.close()

        return ask

    probe = SqliteLedger(path, writable=False)
    sample = probe.ask("SELECT hash FROM experience WHERE row = ?", rows // 2)[0][0]
    key = probe.ask("SELECT key FROM steps WHERE kind = 'Experience' ORDER BY number DESC")[0][0]
    task = probe.ask("SELECT hash FROM task WHERE id = 7")[0][0]
    probe.close()
    return {
        "history": timed(asking(history)),
        "funnel of an iteration": timed(asking(lambda ledger: funnel(ledger, ITERATIONS))),
        "trace of a task": timed(asking(lambda ledger: trace(ledger, task))),
        "trace of a sample": timed(asking(lambda ledger: trace(ledger, sample))),
        "recall of a batch": timed(asking(lambda ledger: ledger.recall(key, Experience))),
    }


def measure(place: Path, rows: int, fresh: bool) -> dict[str, object]:
    path = place / ("fresh.sqlite" if fresh else "ledger.sqlite")
    ledger = SqliteLedger(path)
    marks = list(append(ledger, rows, fresh))
    ledger.close()
    first, last = rate(marks, 0, 1 / SHARE), rate(marks, 1 - 1 / SHARE, 1)
    size = path.stat().st_size
    batches = len(marks)
    disk = plain_file(place, size, 3 * batches)
    return {
        "experiences": marks[-1][0],
        "tasks": "new ones in every batch" if fresh else "the same in every iteration",
        "seconds": round(marks[-1][1], 1),
        "first tenth, per second": round(first),
        "last tenth, per second": round(last),
        "last / first": round(last / first, 3),
        "megabytes": round(size / 1e6),
        "bytes per experience": round(size / marks[-1][0]),
        "plain synced file, per second": round(marks[-1][0] / disk),
        "reading, seconds": {k: round(v, 3) for k, v in read(path, rows).items()},
    }


def show(results: list[dict[str, object]]) -> None:
    table = Table(title="The ledger", title_justify="left")
    table.add_column("")
    flat = []
    for result in results:
        reading = result["reading, seconds"]
        assert isinstance(reading, dict)
        row = {k: v for k, v in result.items() if k != "reading, seconds"}
        flat.append(row | {f"{k}, seconds": v for k, v in reading.items()})
        table.add_column("", justify="right")
    for name in flat[0]:
        cells = [f"{r[name]:,}" if isinstance(r[name], int) else str(r[name]) for r in flat]
        table.add_row(name, *cells)
    Console().print(table)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=1_000_000)
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="instar-ledger-") as name:
        results = [measure(Path(name), given.rows, fresh) for fresh in (False, True)]
    show(results)
    if given.rows >= 1_000_000:
        machine = {
            "processor": platform.processor(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "sqlite": sqlite3.sqlite_version,
        }
        text = json.dumps({"results": results, "machine": machine}, indent=1) + "\n"
        (HERE / "results").mkdir(exist_ok=True)
        (HERE / "results" / "ledger.json").write_text(text)


if __name__ == "__main__":
    main()
