"""The main job, measured: `instar run demo` over several seeds, with or without the control arm.

    python benchmarks/demo.py --seeds 0 1 2            # the demo as a user runs it
    python benchmarks/demo.py --seeds 0 1 2 --control  # with `--control random`

Writes benchmarks/results/demo.json (or demo_control.json) and, without --control, the picture
docs/demo.svg. Every figure is read from the run's own `--json` verbs and events; the wall clock and
the peak memory are those of the whole process, imports included. Runs of other seeds that are in
the file stay there.
"""

import argparse
import datetime
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
INSTAR = [sys.executable, "-m", "instar"]


def verb(*words: str) -> object:
    done = subprocess.run([*INSTAR, *words, "--json"], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def one(seed: int, control: bool, place: Path) -> dict:
    run = place / f"seed-{seed}"
    words = ["run", "demo", "--seed", str(seed), "--dir", str(run)]
    # The rival takes as long again; the recipe's budget is for the demo alone.
    words += ["--control", "random", "--budget", "30m"] if control else []
    started, at = time.time(), time.monotonic()
    process = subprocess.Popen([*INSTAR, *words], stderr=subprocess.PIPE, text=True)
    _, errors = process.communicate()
    seconds = time.monotonic() - at
    if process.returncode not in (0, 4):
        raise SystemExit(f"instar {' '.join(words)} failed: {errors}")
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    log = verb("log", str(run))
    return {
        "seed": seed,
        "exit_code": process.returncode,
        "seconds": round(seconds, 1),
        "seconds_to_first_promotion": first_promotion(events, started),
        "peak_memory_gb": round(peak(), 2),
        "log": log,
        "base": verb("show", str(run), "base"),
        "head": verb("show", str(run), "head"),
        "measured": [e for e in events if e["event"] == "Measured"],
        "steps": [e for e in events if e["event"] == "StepEnded"],
        "end": events[-1],
    }


def first_promotion(events: list[dict], started: float) -> float | None:
    for event in events:
        if event["event"] == "IterationEnded" and event["verdict"]["accepted"]:
            at = datetime.datetime.fromisoformat(event["time"]).timestamp()
            return round(at - started, 1)
    return None


def peak() -> float:
    import resource

    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20


def outside(run: dict) -> float:
    """Return the share of the run that is neither model compute nor checking."""
    inside = sum(s["seconds"] for s in run["steps"])
    return 1 - inside / run["end"]["seconds"]


def row(run: dict) -> str:
    base = run["log"][0]["accuracy"]
    head = next(e["accuracy"] for e in run["log"] if e["head"])
    sealed = [e for e in run["measured"] if e["report"]["split"] == "sealed"]
    told = " to ".join(f"{100 * e['report']['scores'][0]['value']:.1f}" for e in sealed)
    return (
        f"seed {run['seed']}: gate {100 * base['value']:.1f} to {100 * head['value']:.1f} "
        f"(n = {base['n']}), sealed {told}, {run['seconds']:.0f} s, first promotion after "
        f"{run['seconds_to_first_promotion']} s, peak {run['peak_memory_gb']} GB, "
        f"outside compute {100 * outside(run):.1f}%"
    )


def picture(runs: list[dict], path: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "instar"
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(7, 3.6))
    for run in runs:
        points = [e["accuracy"] for e in run["log"] if e["accuracy"]]
        steps = range(len(points))
        axis.plot(
            steps, [100 * p["value"] for p in points], marker="o", label=f"seed {run['seed']}"
        )
        low, high = ([100 * p[k] for p in points] for k in ("low", "high"))
        axis.fill_between(steps, low, high, alpha=0.12)
    axis.set(xlabel="iteration", ylabel="held-out accuracy, %", ylim=(0, 100))
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.grid(alpha=0.3)
    axis.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def _seed(run: dict) -> int:
    return run["seed"]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options.add_argument("--control", action="store_true")
    options.add_argument("--keep", type=Path, help="leave the run folders here")
    given = options.parse_args()
    place = given.keep or Path(tempfile.mkdtemp(prefix="instar-demo-"))
    runs = []
    for seed in given.seeds:
        runs.append(one(seed, given.control, place))
        print(row(runs[-1]), flush=True)
    name = "demo_control" if given.control else "demo"
    machine = {"processor": platform.processor(), "cores": os.cpu_count()}
    (HERE / "results").mkdir(exist_ok=True)
    path = HERE / "results" / f"{name}.json"
    known = json.loads(path.read_text())["runs"] if path.exists() else []
    runs = sorted([*runs, *(r for r in known if r["seed"] not in given.seeds)], key=_seed)
    path.write_text(json.dumps({"machine": machine, "runs": runs}, indent=1) + "\n")
    if not given.control:
        picture(runs, HERE.parent / "docs" / "demo.svg")
    if given.keep is None:
        shutil.rmtree(place)


if __name__ == "__main__":
    main()
