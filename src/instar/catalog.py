"""Names to classes, lazily: the one table of what exists, and the one way to look a name up.

`use:` in a recipe takes a built-in name, `package/name` (an entry point of the group
`instar.<kind>`), `module:Class`, or `./file.py:Class` relative to the recipe.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from importlib.metadata import entry_points
from pathlib import Path

from instar.errors import RecipeError, nearest
from instar.protocols import (
    Assessor,
    Corrector,
    Filter,
    Gate,
    Measure,
    Proposer,
    Solver,
    Source,
    Trainer,
    Updater,
    Veto,
)

KINDS: dict[str, type] = {
    "source": Source,
    "proposer": Proposer,
    "solver": Solver,
    "assessor": Assessor,
    "filter": Filter,
    "corrector": Corrector,
    "updater": Updater,
    "trainer": Trainer,
    "measure": Measure,
    "gate": Gate,
    "veto": Veto,
}

BUILT_IN: dict[str, dict[str, str]] = {
    "source": {
        "jsonl": "instar.acquisition.tasks.jsonl:Jsonl",
        "hf_dataset": "instar.acquisition.tasks.hf_dataset:HfDataset",
        "human_eval": "instar.acquisition.tasks.human_eval:HumanEval",
        "reasoning_gym": "instar.acquisition.tasks.reasoning_gym:ReasoningGym",
    },
    "proposer": {
        "fixed_set": "instar.acquisition.tasks.fixed_set:FixedSet",
        "code_problems": "instar.acquisition.tasks.code_problems:CodeProblems",
    },
    "solver": {"sample": "instar.acquisition.solutions.sample:Sample"},
    "assessor": {
        "answer_match": "instar.acquisition.feedback.environment.answer_match:AnswerMatch",
        "reasoning_gym_score": (
            "instar.acquisition.feedback.environment.reasoning_gym:ReasoningGymScore"
        ),
        "block_trace": "instar.acquisition.feedback.environment.block_trace:BlockTrace",
        "exec_agreement": "instar.acquisition.feedback.environment.exec_agreement:ExecAgreement",
        "interpreter_error": (
            "instar.acquisition.feedback.environment.interpreter_error:InterpreterError"
        ),
        "mutants_killed": "instar.acquisition.feedback.environment.mutants_killed:MutantsKilled",
        "unit_tests": "instar.acquisition.feedback.environment.unit_tests:UnitTests",
        "vote_share": "instar.acquisition.feedback.model.vote_share:VoteShare",
    },
    "filter": {
        "score_at_least": "instar.refinement.filtering.metric_based:ScoreAtLeast",
        "cap_per_task": "instar.refinement.filtering.metric_based:CapPerTask",
        "majority": "instar.refinement.filtering.metric_free:Majority",
        "dedup": "instar.refinement.filtering.metric_free:Dedup",
        "no_hint_leak": "instar.refinement.filtering.metric_free:NoHintLeak",
        "random_sample": "instar.refinement.filtering.metric_free:RandomSample",
    },
    "corrector": {
        "rationalise": "instar.refinement.correcting.rationalise:Rationalise",
        "regenerate_from_error": (
            "instar.refinement.correcting.regenerate_from_error:RegenerateFromError"
        ),
    },
    "updater": {"in_weight": "instar.updating.in_weight.updater:InWeight"},
    "trainer": {"sft": "instar.updating.in_weight.sft:Sft"},
    "measure": {
        "accuracy": "instar.evaluation.quantitative.accuracy:Accuracy",
        "pass_at_k": "instar.evaluation.quantitative.pass_at_k:PassAtK",
    },
    "gate": {"better": "instar.evaluation.gate:Better"},
    "veto": {"non_inferior": "instar.evaluation.gate:NonInferior"},
}


def names(kind: str) -> list[str]:
    """Return every name of `kind` that a recipe can use, plug-ins included."""
    plugins = [e.name for e in entry_points(group=f"instar.{kind}")]
    return sorted([*BUILT_IN[kind], *plugins])


def find(kind: str, use: str, where: str, folder: Path) -> type:
    """Return the class that `use` names for a slot of `kind`.

    Args:
        kind: a key of `KINDS`.
        use: what the recipe says.
        where: the recipe path, for the error.
        folder: what a `./file.py` is relative to.

    Raises:
        RecipeError: if the name, file, module or class is not there, or is of another kind.
    """
    if use in BUILT_IN[kind]:
        return _attribute(BUILT_IN[kind][use], where)
    if ":" in use:
        found = _from_file(use, where, folder) if ".py:" in use else _attribute(use, where)
    else:
        found = _plugin(kind, use, where)
    if not _has_method(found, kind):
        method = _method(kind)
        raise RecipeError(f"{where}.use: {use!r} is no {kind}; expected a class with `{method}`")
    return found


def _method(kind: str) -> str:
    """Return the name of the one method that makes a class of `kind`."""
    return next(n for n in vars(KINDS[kind]) if not n.startswith("_"))


def _has_method(found: object, kind: str) -> bool:
    return isinstance(found, type) and callable(getattr(found, _method(kind), None))


def _plugin(kind: str, use: str, where: str) -> type:
    for entry in entry_points(group=f"instar.{kind}"):
        if entry.name == use:
            loaded: type = entry.load()
            return loaded
    raise RecipeError(f"{where}.use: no {kind} is called {use!r}{nearest(use, names(kind))}")


def _attribute(path: str, where: str) -> type:
    module_name, _, class_name = path.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise RecipeError(f"{where}.use: no module {error.name!r} for {path!r}") from error
    return _member(module, class_name, path, where)


def _member(module: object, class_name: str, path: str, where: str) -> type:
    try:
        found: type = vars(module)[class_name]
    except KeyError:
        classes = [n for n, v in vars(module).items() if isinstance(v, type)]
        hint = nearest(class_name, classes)
        raise RecipeError(f"{where}.use: {path!r} has no class {class_name!r}{hint}") from None
    return found


def _from_file(use: str, where: str, folder: Path) -> type:
    """Load a class from a user's file; the module's name holds the hash of the file's text.

    The hash makes the class's identity change when the file changes, so that a resumed run does
    not take an old result for a new filter's.
    """
    name, _, class_name = use.rpartition(":")
    path = (folder / name).resolve()
    if not path.is_file():
        here = nearest(path.name, [p.name for p in path.parent.glob("*.py")])
        raise RecipeError(f"{where}.use: there is no file {path}{here}")
    text = path.read_bytes()
    module_name = f"instar_file_{hashlib.sha256(text).hexdigest()[:16]}"
    if module_name not in sys.modules:
        spec = importlib.util.spec_from_file_location(module_name, path)
        if spec is None or spec.loader is None:
            raise RecipeError(f"{where}.use: {path} cannot be imported as Python")
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:
            del sys.modules[module_name]
            reason = f"{type(error).__name__}: {error}"
            raise RecipeError(f"{where}.use: {path} failed to import: {reason}") from error
    return _member(sys.modules[module_name], class_name, use, where)
