"""The laws of every kind, over every name in the catalogue: a new component cannot dodge."""

import subprocess
import sys
from pathlib import Path

import pytest

from instar.build import component
from instar.catalog import BUILT_IN
from instar.environments.sandbox.sandbox import IsolatedSandbox
from instar.testing.checks import check
from instar.testing.fakes import context

# What a component cannot be built without; everything else is built from its defaults.
NEEDED = {
    "jsonl": {"path": "tasks.jsonl"},
    "hf_dataset": {"path": "folder"},
    "reasoning_gym": {"dataset": "chain_sum"},
    "cap_per_task": {"n": 1},
    "random_sample": {"count": 2},
    "in_weight": {"start_from": "base", "train": {"use": "sft"}},
    "accuracy": {"checker": {"use": "answer_match"}},
    "pass_at_k": {"checker": {"use": "answer_match"}},
    "regenerate_from_error": {"checker": {"use": "answer_match"}},
    "non_inferior": {"score": "form", "margin": 0.05},
}
ALL = [(kind, name) for kind, entries in BUILT_IN.items() for name in entries]


@pytest.mark.parametrize(("kind", "name"), ALL, ids=[n for _, n in ALL])
def test_every_built_in_keeps_the_laws_of_its_kind(kind, name, tmp_path):
    made = component(kind, {"use": name, **NEEDED.get(name, {})}, "here", Path())
    sandbox = IsolatedSandbox()
    check(kind, made, context(scratch=tmp_path, sandbox=sandbox))
    sandbox.close()


def test_building_everything_loads_no_torch():
    code = (
        "import sys\n"
        "from instar.catalog import BUILT_IN, find\n"
        "from pathlib import Path\n"
        "[find(k, n, 'x', Path()) for k, e in BUILT_IN.items() for n in e]\n"
        "import instar.cli.app, instar.session\n"
        "print(sorted({'torch', 'transformers', 'trl', 'peft', 'ray'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
