"""The code recipes on the embedded model, over a slice of HumanEval: their funnels.

    python benchmarks/code.py                       # all five; writes results/code.json
    python benchmarks/code.py --recipes self_debug

One iteration each. The funnel counts what was proposed, sampled, judged, kept and trained on.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
RECIPES = ("rest_em_code", "code_t", "self_debug", "ldb", "code_llama_self_instruct")
SMALL = (
    "data.splits={train: 24, gate: 24, sealed: 24}",
    "acquisition.solutions.max_tokens=128",
    "iterations=1",
)
MORE = {
    "rest_em_code": ("acquisition.solutions.per_task=8",),
    "code_t": ("acquisition.solutions.per_task=8",),
    "code_llama_self_instruct": ("acquisition.tasks.count=32", "acquisition.solutions.per_task=4"),
}


def one(name: str, place: Path) -> dict:
    """Run a recipe and return its funnel and how it ended."""
    run = place / name
    words = [w for s in (*SMALL, *MORE.get(name, ())) for w in ("--set", s)]
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "instar", "run", name, "--dir", str(run), *words],
        capture_output=True,
        text=True,
    )
    made = {"settings": words[1::2], "exit_code": done.returncode}
    made["seconds"] = round(time.monotonic() - started, 1)
    if done.returncode not in (0, 4):
        return {**made, "error": done.stderr.strip().splitlines()[-1]}
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    made["isolation"] = [f for e in events for f in e.get("facts", ()) if f.startswith("sandbox")]
    # What the learner wrote and was no problem is not in the funnel, which begins with tasks.
    told = [e["text"] for e in events if e.get("text", "").startswith("code_problems: ")]
    made |= {"problems": told} if told else {}
    made["summary"] = next(e["summary"] for e in reversed(events) if "summary" in e)
    for learner in ("1", "base"):
        shown = subprocess.run(
            [sys.executable, "-m", "instar", "show", str(run), learner, "--json"],
            capture_output=True,
            text=True,
        )
        if shown.returncode == 0:
            told = json.loads(shown.stdout)
            made[f"gate_{learner}"] = [s for s in told["scores"] if s["split"] == "gate"][:1]
            made.setdefault("funnel", told["funnel"])
    return made


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES))
    given = options.parse_args()
    path = HERE / "results" / "code.json"
    result = json.loads(path.read_text()) if path.exists() else {}
    with tempfile.TemporaryDirectory(prefix="instar-code-") as place:
        for name in given.recipes:
            result[name] = one(name, Path(place))
            path.write_text(json.dumps(result, indent=1) + "\n")
            print(name, json.dumps(result[name], indent=1), flush=True)


if __name__ == "__main__":
    main()
