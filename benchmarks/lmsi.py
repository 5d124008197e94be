"""Learning without labels: what `lmsi` does to the embedded model, and how many of its labels hold.

Four runs: the recipe as it is, the same without a threshold on the votes (as in the paper), and the
recipe on sums of two and of three digits, where the model is mostly and nearly always wrong. The
gate has labels; the model has none. `labels right` is the share of the rows trained on whose answer
was the right one; `answers` counts the answers on the gate split that restate the sum ("18 + 29 =
37") and the others, with the share of each that is right, for the base and for the candidate.

    python benchmarks/lmsi.py               # nine minutes; writes benchmarks/results/lmsi.json
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from instar.acquisition.feedback.answer import read, same_number
from instar.store.folder import RunFolder
from instar.store.queries import history, lessons, report

HERE = Path(__file__).parent
ARMS = {
    "the recipe: half of the votes": (),
    "every majority": ("refinement.filtering.0.at_least=0.0",),
    "sums of two digits": ("data.source.config.min_digits=2",),
    "sums of three digits": (
        "data.source.config.min_digits=3",
        "data.source.config.max_digits=3",
    ),
}


def right(ledger, learner: str) -> dict[str, float]:
    """Count the rows a learner was trained on, and those whose answer is the reference."""
    rows = [s.experience for s in lessons(ledger, learner)]
    answers = [(read(e.solution.text, "last_number"), e.task.reference) for e in rows]
    hits = sum(a is not None and same_number(a, r) for a, r in answers)
    return {"rows": len(rows), "labels right": hits / len(rows)}


def answers(ledger, learner: str) -> dict[str, dict[str, float]]:
    """Count the answers that restate the sum, and the others, with the share that is right."""
    outcomes = report(ledger, learner, "gate").outcomes
    parts = {
        "restate the sum": [o.score for o in outcomes if "=" in o.text],
        "others": [o.score for o in outcomes if "=" not in o.text],
    }
    return {
        name: {"n": len(scores), "right": sum(scores) / max(1, len(scores))}
        for name, scores in parts.items()
    }


def one(settings: tuple[str, ...], run: Path) -> dict:
    words = [w for s in settings for w in ("--set", s)]
    done = subprocess.run(
        [sys.executable, "-m", "instar", "run", "lmsi", "--dir", str(run), *words],
        capture_output=True,
        text=True,
    )
    said = done.stderr.replace(str(run), "runs/lmsi-1").splitlines()
    with RunFolder(run).open_for_reading() as ledger:
        base, candidate = history(ledger)[0], history(ledger)[-1]
        said_how = {
            name: answers(ledger, e.learner)
            for name, e in (("base", base), ("candidate", candidate))
        }
        trained = right(ledger, candidate.learner)
    return {
        "settings": settings,
        "exit_code": done.returncode,
        "promoted": candidate.accepted,
        **trained,
        "answers": said_how,
        "said": said,
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    given = options.parse_args()
    path = HERE / "results" / "lmsi.json"
    result = json.loads(path.read_text()) if path.exists() else {}
    with tempfile.TemporaryDirectory(prefix="instar-lmsi-") as place:
        for number, name in enumerate(given.arms):
            result[name] = one(ARMS[name], Path(place) / str(number))
            shown = {k: v for k, v in result[name].items() if k != "said"}
            print(name, json.dumps(shown), *result[name]["said"][-4:], sep="\n  ", flush=True)
    path.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
