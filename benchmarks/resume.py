"""Kill -9 at random instants: does every run, resumed, end as the uninterrupted one does?

A two-iteration run on a random llama of two layers that really samples and trains. Each trial is
killed at an instant drawn evenly from the whole run, and resumed until it ends by itself. Compared
are the hash of all that the ledger holds (without wall-clock times) and the learners. `again` is
how many more completions the engine was asked for, in all sessions, than in the uninterrupted run;
`batch` is the most it is asked for at once. A second uninterrupted run says whether the same seed
gives the same ledger at all.

    python benchmarks/resume.py             # 50 trials; writes benchmarks/results/resume.json
    python benchmarks/resume.py --trials 3  # a quick look, nothing is written
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from instar.store.folder import RunFolder
from instar.store.queries import history

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))
import tiny  # noqa: E402

NOT_IMPROVED = 4


COUNTED = """
from instar.cli.app import main
from instar.engines.transformers import TransformersEngine

generate = TransformersEngine.generate

def counted(self, requests, learner, context):
    with open({path!r}, "a") as file:  # before it is sampled, so that a kill hides nothing
        print(sum(r.n for r in requests), file=file)
    return generate(self, requests, learner, context)

TransformersEngine.generate = counted
main()
"""


def asked(path: Path) -> Path:
    return path.with_name(f"{path.name}.asked")


def instar(verb: str, target: Path, path: Path) -> subprocess.Popen:
    """Start a run of the recipe `target` in `path`, or resume the run `target`."""
    where = [] if verb == "resume" else ["--dir", str(path)]
    return subprocess.Popen(
        [sys.executable, "-c", COUNTED.format(path=str(asked(path))), verb, str(target), *where],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def whole(verb: str, target: Path, path: Path) -> None:
    code = instar(verb, target, path).wait()
    assert code == NOT_IMPROVED, f"instar {verb} ended with {code}"


def found(path: Path) -> dict:
    """Return what the run says of itself."""
    calls = [int(line) for line in asked(path).read_text().splitlines()]
    with RunFolder(path).open_for_reading() as ledger:
        return {
            "content": ledger.content(),
            "learners": [e.learner for e in history(ledger)],
            "asked": sum(calls),
            "batch": max(calls),
        }


def trial(recipe: Path, path: Path, instant: float) -> dict:
    """Kill a run after `instant` seconds, resume it, and return what it ended with."""
    process = instar("run", recipe, path)
    time.sleep(instant)
    process.kill()
    process.wait()
    if (path / "recipe.yaml").is_file():
        steps = 0
        if (path / "ledger.sqlite").is_file():
            with RunFolder(path).open_for_reading() as ledger:
                steps = ledger.ask("SELECT count(*) FROM steps")[0][0]
        whole("resume", path, path)
        return {"killed_after": round(instant, 2), "steps_done": steps, **found(path)}
    again = path.with_name(f"{path.name}-again")  # it died before it had begun
    whole("run", recipe, again)
    return {"killed_after": round(instant, 2), "steps_done": None, **found(again)}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--trials", type=int, default=50)
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="instar-resume-") as name:
        place = Path(name)
        recipe = tiny.write(place)
        started = time.monotonic()
        whole("run", recipe, place / "whole")
        took = time.monotonic() - started
        expected = found(place / "whole")
        whole("run", recipe, place / "second")
        second = found(place / "second")
        draw = random.Random(0)
        instants = [draw.uniform(0, took) for _ in range(given.trials)]

        def one(number: int) -> dict:
            made = trial(recipe, place / f"killed-{number}", instants[number])
            made["same"] = made["content"] == expected["content"] and (
                made["learners"] == expected["learners"]
            )
            made["again"] = made["asked"] - expected["asked"]
            print(f"{number}: {made}", flush=True)
            return made

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            trials = list(pool.map(one, range(given.trials)))
    result = {
        "uninterrupted": {"seconds": round(took, 1), **expected},
        "second_run_same": second["content"] == expected["content"],
        "same": sum(t["same"] for t in trials),
        "of": len(trials),
        "most_asked_again": max(t["again"] for t in trials),
        "trials": trials,
    }
    print(json.dumps({k: v for k, v in result.items() if k != "trials"}, indent=1))
    if given.trials >= 50:
        (HERE / "results" / "resume.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
