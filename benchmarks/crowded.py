"""Sampling beside other programs: threads that soon sleep while they wait, or spin on.

instar lets the threads of GNU OpenMP spin 1,000 times for each other before they sleep; the
library's own default is 300,000 (`GOMP_SPINCOUNT`). Two engines that differ in nothing else answer
the same prompts in turn, on an idle machine and beside busy programs, one in all or one per core.

    python benchmarks/crowded.py            # writes benchmarks/results/crowded.json
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import rollouts

from instar.engines.transformers import SPINS

HERE = Path(__file__).parent
# Set for the process: `rollouts` loads torch before there is an engine.
ARMS = {"instar": {"GOMP_SPINCOUNT": SPINS}, "spinning": {"GOMP_SPINCOUNT": "300000"}}
PROMPTS, K = 16, 8


def serve() -> None:
    """Be one arm: answer each line of standard input with one rate."""
    tasks = list(
        rollouts.ReasoningGym(dataset="chain_sum", config=rollouts.OPTIONS).load(PROMPTS, 1)
    )
    engine = rollouts.TransformersEngine(model="smollm2")
    context = rollouts.on_smollm2()
    rollouts.ours(engine, context, tasks[:16], K)
    for _ in sys.stdin:
        print(rollouts.timed(lambda: rollouts.ours(engine, context, tasks, K)), flush=True)


def busy(count: int) -> list[subprocess.Popen]:
    return [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]


def rates(arms: dict[str, subprocess.Popen], crowd: int, repeat: int) -> dict[str, list[float]]:
    """Return useful tokens per second of both arms beside `crowd` busy programs."""
    found: dict[str, list[float]] = {arm: [] for arm in arms}
    others = busy(crowd)
    time.sleep(1)
    for _ in range(repeat):
        for arm, process in arms.items():
            print("go", file=process.stdin, flush=True)
            found[arm].append(float(process.stdout.readline()))
    for other in others:
        other.kill()
        other.wait()
    return found


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--repeat", type=int, default=5)
    options.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.serve:
        serve()
        return
    arms = {
        arm: subprocess.Popen(
            [sys.executable, __file__, "--serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **more},
        )
        for arm, more in ARMS.items()
    }
    result = []
    for crowd in (0, 1, os.cpu_count() or 1):
        found = rates(arms, crowd, given.repeat)
        middle = {arm: statistics.median(values) for arm, values in found.items()}
        ratio = middle["instar"] / middle["spinning"]
        result.append({"busy programs": crowd, "tokens/s": found, "median": middle, "ratio": ratio})
        print(f"beside {crowd} busy programs: {middle}, ratio {ratio:.2f}", flush=True)
    for process in arms.values():
        process.stdin.close()
        process.wait()
    path = HERE / "results" / "crowded.json"
    path.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
