"""The gate's promise, measured: how often worthless candidates are promoted, and its power.

    python benchmarks/gate.py            # 2,000 runs of 5 iterations per scenario, 15 minutes
    python benchmarks/gate.py --runs 50  # a quick look, nothing is written

Every decision is `Better.decide` on real reports; only the outcomes are drawn. A run promotes
falsely if it ever promotes a candidate that in truth is no better than the current learner. Next to
the gate stand two rules on the same outcomes: `higher accuracy` promotes whatever scored more, and
`alpha each look` tests every look at alpha, as if it were the only one. Writes
benchmarks/results/gate.json.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from instar.evaluation.gate import Better
from instar.evaluation.statistics import power, wilson
from instar.protocols import Context
from instar.testing.fakes import context as fake
from instar.types import Outcome, Report, Score, Verdict, digest

HERE = Path(__file__).parent
ALPHA, LOOKS = 0.05, 5
BROKEN = 0.05  # share of tasks that a better candidate breaks, where power is measured
GRADED_RUNS = 1000  # a permutation test takes a hundred times longer than a binomial one
UNTIL = 2  # iteration up to which the candidates of `better first` are better


@dataclass(frozen=True)
class Null:
    """Worthless candidates: each task's answer is the base's, or with chance `redrawn` a new one.

    A task is solved with its own probability, from a beta distribution of mean `accuracy` and
    `spread` pseudo-tasks; without `spread`, all tasks are alike.
    """

    accuracy: float
    redrawn: float
    spread: float | None = None

    def run(self, draw: np.random.Generator, n: int) -> Iterator[np.ndarray]:
        """Yield the outcomes of the base, then of one candidate after another."""
        if self.spread is None:
            chance = np.full(n, self.accuracy)
        else:
            chance = draw.beta(self.spread * self.accuracy, self.spread * (1 - self.accuracy), n)
        base = (draw.random(n) < chance).astype(float)
        yield base
        while True:
            fresh = (draw.random(n) < chance).astype(float)
            yield np.where(draw.random(n) < self.redrawn, fresh, base)


@dataclass(frozen=True)
class GradedNull:
    """Worthless candidates under graded scores; `skewed`: many small losses, a few large gains."""

    skewed: bool

    def run(self, draw: np.random.Generator, n: int) -> Iterator[np.ndarray]:
        """Yield the scores of the base, then of one candidate after another; mean change 0."""
        base = draw.uniform(0.3, 0.7, n)
        yield base
        while True:
            change = draw.exponential(0.05, n) - 0.05 if self.skewed else draw.normal(0, 0.1, n)
            yield base + change


NULLS: dict[str, tuple[Null | GradedNull, int]] = {
    **{
        f"base {p:.0%}, independent, n = 200": (Null(accuracy=p, redrawn=1.0), 200)
        for p in (0.2, 0.5, 0.8)
    },
    "base 50%, 30% of answers redrawn, n = 200": (Null(accuracy=0.5, redrawn=0.3), 200),
    "base 50%, 5% of answers redrawn, n = 200": (Null(accuracy=0.5, redrawn=0.05), 200),
    "base 50%, tasks hard or easy, n = 200": (Null(accuracy=0.5, redrawn=1.0, spread=0.5), 200),
    "base 50%, independent, n = 1000": (Null(accuracy=0.5, redrawn=1.0), 1000),
    "graded, symmetric, n = 50": (GradedNull(skewed=False), 50),
    "graded, skewed, n = 50": (GradedNull(skewed=True), 50),
}


def drawn(*purpose: object) -> np.random.Generator:
    return np.random.default_rng(int(digest(*purpose), 16))


def report(learner: str, scores: np.ndarray) -> Report:
    outcomes = tuple(Outcome(task=f"t{i}", score=s, text="") for i, s in enumerate(scores.tolist()))
    mean = float(np.mean(scores))
    score = Score(name="accuracy", value=mean, low=mean, high=mean, n=len(outcomes))
    return Report(learner=learner, split="gate", scores=(score,), outcomes=outcomes)


def false_promotions(
    scenario: Null | GradedNull, n: int, runs: int, context: Context, gate: Better
) -> dict[str, int]:
    """Count the runs with a false promotion, by the gate and by the two other rules.

    Until the first false promotion the current learner is the base, so all are compared with it.
    """
    found = dict.fromkeys(("gate", "alpha each look", "higher accuracy"), 0)
    for number in range(runs):
        outcomes = scenario.run(drawn(repr(scenario), n, number), n)
        base = report("base", next(outcomes))
        verdicts = [
            gate.decide(base, report(f"candidate {t}", next(outcomes)), context)
            for t in range(context.iterations)
        ]
        seen = [dict(v.evidence) for v in verdicts]
        found["gate"] += any(v.accepted for v in verdicts)
        found["alpha each look"] += any(e["difference"] > 0 and e["p"] <= gate.alpha for e in seen)
        found["higher accuracy"] += any(e["difference"] > 0 for e in seen)
    return found


def better_first(
    gain: float, redrawn: float, n: int, runs: int, context: Context, gate: Better
) -> dict[str, int]:
    """Count false promotions where the first candidates are better, and what is promoted stays.

    The base solves half the tasks; up to iteration `UNTIL` the candidates solve `gain` more, from
    then on they are as good as the current learner, of which they redraw a share of the answers.
    All are measured on the same gate tasks, so a promoted learner was chosen for its luck on them.
    """
    found = {"promoted a better one": 0, "promoted a worthless one": 0}
    for number in range(runs):
        draw = drawn("better first", gain, redrawn, n, number)
        now, able = (draw.random(n) < 0.5).astype(float), 0.5
        current, rightly, falsely = report("base", now), False, False
        for t in range(1, context.iterations + 1):
            ability = 0.5 + gain if t <= UNTIL else able
            fresh = (draw.random(n) < ability).astype(float)
            kept = now if ability == able else fresh
            scores = np.where(draw.random(n) < redrawn, fresh, kept)
            candidate = report(f"candidate {t}", scores)
            if gate.decide(current, candidate, context).accepted:
                rightly, falsely = rightly or ability > able, falsely or ability <= able
                current, now, able = candidate, scores, ability
        found["promoted a better one"] += rightly
        found["promoted a worthless one"] += falsely
    return found


def seen(gain: float, n: int, looks: int, context: Context, gate: Better) -> int:
    """Count the looks that promote a candidate which breaks `BROKEN` and fixes `gain` more."""
    return sum(_look(gain, n, number, context, gate).accepted for number in range(looks))


def _look(gain: float, n: int, number: int, context: Context, gate: Better) -> Verdict:
    draw = drawn("power", gain, n, number)
    cells = draw.choice(4, size=n, p=[gain + BROKEN, BROKEN, 0.45, 0.5 - gain - BROKEN])
    before, after = np.isin(cells, (1, 2)), np.isin(cells, (0, 2))
    return gate.decide(
        report("base", before.astype(float)), report("candidate", after.astype(float)), context
    )


def share(count: int, n: int) -> dict[str, float]:
    low, high = wilson(count, n)
    return {"count": count, "n": n, "share": count / n, "low": low, "high": high}


def told(name: str, s: dict[str, float]) -> str:
    return f"{name} {s['share']:.1%} ({s['low']:.1%} to {s['high']:.1%})"


def nulls(runs: int, context: Context, gate: Better) -> list[dict]:
    rows = []
    for name, (scenario, n) in NULLS.items():
        many = min(runs, GRADED_RUNS) if isinstance(scenario, GradedNull) else runs
        counts = false_promotions(scenario, n, many, context, gate)
        rules = {rule: share(c, many) for rule, c in counts.items()}
        rows.append({"scenario": name, "runs": many, "false_promotion": rules})
        print(f"{name}, {many} runs:", "; ".join(told(r, s) for r, s in rules.items()), flush=True)
    return rows


def adaptive(runs: int, context: Context, gate: Better) -> list[dict]:
    rows = []
    for redrawn in (1.0, 0.3):
        counts = better_first(0.15, redrawn, 200, runs, context, gate)
        rules = {k: share(c, runs) for k, c in counts.items()}
        name = f"better by 15 points until iteration {UNTIL}, then {redrawn:.0%} redrawn, n = 200"
        rows.append({"scenario": name, "runs": runs, "shares": rules})
        print(f"{name}:", "; ".join(told(r, s) for r, s in rules.items()), flush=True)
    return rows


def powers(looks: int, context: Context, gate: Better) -> list[dict]:
    rows = []
    for n in (200, 400):
        for gain in (0.05, 0.1, 0.2):
            found = share(seen(gain, n, looks, context, gate), looks)
            exact = power(n, gain, BROKEN, gate.alpha / context.iterations)
            rows.append({"n": n, "gain": gain, "broken": BROKEN, "seen": found, "computed": exact})
            print(f"gain {gain:.0%}, n = {n}:", told("seen", found), f"computed {exact:.1%}")
    return rows


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=2000)
    given = options.parse_args()
    gate, context = Better(alpha=ALPHA), replace(fake(), iterations=LOOKS)
    began = time.monotonic()
    result = {
        "alpha": ALPHA,
        "iterations": LOOKS,
        "nulls": nulls(given.runs, context, gate),
        "adaptive": adaptive(given.runs, context, gate),
        "power": powers(given.runs, context, gate),
        "machine": {"processor": platform.processor(), "cores": os.cpu_count()},
        "seconds": round(time.monotonic() - began),
    }
    if given.runs >= 2000:
        text = json.dumps(result, indent=1) + "\n"
        (HERE / "results" / "gate.json").write_text(text)


if __name__ == "__main__":
    main()
