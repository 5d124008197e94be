"""Learning without labels: what `lmsi` does to the embedded model, and how many of its labels hold.

Four runs: the recipe as it is, the same without a threshold on the votes (as in the paper), and the
recipe on sums of two and of three digits, where the model is mostly and nearly always wrong. The
gate has labels; the model has none. `labels right` is the share of the rows trained on whose answer
was the right one.

    python benchmarks/lmsi.py               # nine minutes; writes benchmarks/results/lmsi.json
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from instar.acquisition.feedback.answer import read, same_number
from instar.store.folder import RunFolder
from instar.store.queries import history, lessons

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


def one(settings: tuple[str, ...], run: Path) -> dict:
    words = [w for s in settings for w in ("--set", s)]
    done = subprocess.run(
        [sys.executable, "-m", "instar", "run", "lmsi", "--dir", str(run), *words],
        capture_output=True,
        text=True,
    )
    said = done.stderr.replace(str(run), "runs/lmsi-1").splitlines()
    with RunFolder(run).open_for_reading() as ledger:
        candidate = history(ledger)[-1]
        trained = right(ledger, candidate.learner)
    return {
        "settings": settings,
        "exit_code": done.returncode,
        "promoted": candidate.accepted,
        **trained,
        "said": said,
    }


def main() -> None:
    result = {}
    with tempfile.TemporaryDirectory(prefix="instar-lmsi-") as place:
        for number, (name, settings) in enumerate(ARMS.items()):
            result[name] = one(settings, Path(place) / str(number))
            shown = {k: v for k, v in result[name].items() if k != "said"}
            print(name, json.dumps(shown), *result[name]["said"][-4:], sep="\n  ", flush=True)
    (HERE / "results" / "lmsi.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
