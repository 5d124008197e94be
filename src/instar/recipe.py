"""YAML to `Recipe` (read and checked, no torch) to `Plan` (objects)."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import TypeVar, cast

from instar import yaml
from instar.budget import Budget
from instar.budget import parse as parse_budget
from instar.build import check, component
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
    Updater,
)
from instar.types import Objective, digest

T = TypeVar("T")

# Every key a recipe may have; a section's keys are listed under it.
KEYS: dict[str, tuple[str, ...]] = {
    "recipe": (),
    "about": (),
    "paper": (),
    "objective": ("ability", "direction"),
    "model": (),
    "prompt": (),
    "data": ("source", "splits"),
    "acquisition": ("tasks", "solutions", "feedback", "batch", "max_failures"),
    "refinement": ("correcting", "filtering"),
    "updating": (),
    "evaluation": ("measures", "gate"),
    "iterations": (),
    "seed": (),
    "control": (),
    "budget": (),
    "base_url": (),
}
REQUIRED = ("recipe", "data", "acquisition", "updating", "evaluation")
BATCH = 64  # tasks per committed batch: what a crash can cost; ours
MAX_FAILURES = 0.5  # share of failed samples in a batch that stops the run; ours


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A recipe as read: `data` is its YAML, `folder` what its relative paths are relative to."""

    data: Mapping[str, object]
    folder: Path

    @property
    def name(self) -> str:
        """The recipe's own name."""
        return str(self.data["recipe"])

    @property
    def fingerprint(self) -> str:
        """A hash of what the recipe says."""
        return digest(self.data)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A recipe as objects: one component for every slot of the cycle."""

    name: str
    objective: Objective
    model: str
    prompt: str | None
    source: Source
    splits: Mapping[str, int | None]
    proposer: Proposer
    solver: Solver
    assessors: tuple[Assessor, ...]
    correctors: tuple[Corrector, ...]
    filters: tuple[Filter, ...]
    updater: Updater
    measures: tuple[Measure, ...]
    gate: Gate
    batch: int
    max_failures: float
    iterations: int
    seed: int
    control: bool = False
    budget: Budget | None = None
    base_url: str | None = None
    arm: str = "method"


def built_in() -> list[str]:
    """Return the names of the recipes that come with instar."""
    files = resources.files("instar").joinpath("recipes").iterdir()
    return sorted(f.name.removesuffix(".yaml") for f in files if f.name.endswith(".yaml"))


def path_of(name: str) -> Path:
    """Return the file of a built-in recipe, or of a path.

    Raises:
        RecipeError: if there is neither.
    """
    if name in built_in():
        return Path(str(resources.files("instar").joinpath("recipes", f"{name}.yaml")))
    if not Path(name).is_file():
        raise RecipeError(f"no recipe is called {name!r}{nearest(name, built_in())}")
    return Path(name)


def load(name: str, settings: Iterable[str] = ()) -> Recipe:
    """Read a recipe by built-in name or path, and apply `a.b.c=value` settings.

    Raises:
        RecipeError: if there is no such recipe, or it has a key nobody reads.
    """
    path = path_of(name)
    return changed(read(path, path.resolve().parent), settings)


def read(path: Path, folder: Path) -> Recipe:
    """Read a recipe whose relative paths are relative to `folder`.

    Raises:
        RecipeError: if it is no recipe, or has a key nobody reads.
    """
    data = yaml.read(path)
    if not isinstance(data, dict):
        raise RecipeError(f"{path}: expected a mapping at the top, found {type(data).__name__}")
    _check_keys(data, str(path))
    return Recipe(data=data, folder=folder)


def changed(recipe: Recipe, settings: Iterable[str]) -> Recipe:
    """Return the recipe with `a.b.c=value` settings applied.

    Raises:
        RecipeError: if a setting leads to a key nobody reads.
    """
    data = copy.deepcopy(dict(recipe.data))
    for setting in settings:
        _apply(data, setting)
    _check_keys(data, recipe.name)
    return replace(recipe, data=data)


def plan(recipe: Recipe) -> Plan:
    """Build every component of `recipe`.

    Raises:
        RecipeError: at the first entry that cannot be built.
    """
    data, folder = recipe.data, recipe.folder

    def section(name: str) -> Mapping[str, object]:
        return cast("Mapping[str, object]", data.get(name) or {})

    def one(kind: str, where: str, entry: object) -> object:
        if entry is None:
            raise RecipeError(f"{where}: the recipe needs this entry")
        return component(kind, entry, where, folder)

    def many(kind: str, where: str, entries: object) -> tuple[object, ...]:
        listed = check(list[object], [] if entries is None else entries, where)
        found = cast("list[object]", listed)
        return tuple(one(kind, f"{where}[{i}]", e) for i, e in enumerate(found))

    acquire, refine, assess = section("acquisition"), section("refinement"), section("evaluation")
    made = Plan(
        name=recipe.name,
        objective=_objective(section("objective")),
        model=_typed(str, data.get("model", "smollm2"), "model"),
        prompt=_typed(str, data["prompt"], "prompt") if data.get("prompt") is not None else None,
        source=cast("Source", one("source", "data.source", section("data").get("source"))),
        splits=_splits(section("data").get("splits")),
        proposer=cast("Proposer", one("proposer", "acquisition.tasks", acquire.get("tasks"))),
        solver=cast("Solver", one("solver", "acquisition.solutions", acquire.get("solutions"))),
        assessors=cast(
            "tuple[Assessor, ...]",
            many("assessor", "acquisition.feedback", acquire.get("feedback")),
        ),
        correctors=cast(
            "tuple[Corrector, ...]",
            many("corrector", "refinement.correcting", refine.get("correcting")),
        ),
        filters=cast(
            "tuple[Filter, ...]", many("filter", "refinement.filtering", refine.get("filtering"))
        ),
        updater=cast("Updater", one("updater", "updating", data.get("updating"))),
        measures=cast(
            "tuple[Measure, ...]", many("measure", "evaluation.measures", assess.get("measures"))
        ),
        gate=cast("Gate", one("gate", "evaluation.gate", assess.get("gate"))),
        batch=_at_least(1, acquire.get("batch", BATCH), "acquisition.batch"),
        max_failures=_share(acquire.get("max_failures", MAX_FAILURES), "acquisition.max_failures"),
        iterations=_at_least(1, data.get("iterations", 3), "iterations"),
        seed=_at_least(0, data.get("seed", 0), "seed"),
        control=_typed(str, data.get("control", "none"), "control") == "random",
        budget=parse_budget(_typed(str, data["budget"], "budget")) if "budget" in data else None,
        base_url=_typed(str, data["base_url"], "base_url") if "base_url" in data else None,
    )
    if not made.measures:
        raise RecipeError("evaluation.measures: the gate needs at least one measure")
    return made


def _objective(entry: Mapping[str, object]) -> Objective:
    return Objective(
        ability=_typed(str, entry.get("ability", "reasoning"), "objective.ability"),
        direction=_typed(
            str, entry.get("direction", "improving performance"), "objective.direction"
        ),
    )


def _splits(entry: object) -> Mapping[str, int | None]:
    """Read the sizes of the three splits; `train: null` takes all the rest."""
    sizes = cast("dict[str, int | None]", check(dict[str, int | None], entry, "data.splits"))
    for name in sizes:
        if name not in ("train", "gate", "sealed"):
            hint = nearest(name, ("train", "gate", "sealed"))
            raise RecipeError(f"data.splits.{name}: there is no such split{hint}")
    for name in ("gate", "sealed"):
        _at_least(1, sizes.get(name), f"data.splits.{name}")
    return {"train": None, **sizes}


def _typed(hint: type[T], value: object, where: str) -> T:
    return cast("T", check(hint, value, where))


def _at_least(least: int, value: object, where: str) -> int:
    number = _typed(int, value, where)
    if number < least:
        raise RecipeError(f"{where}: expected a whole number of at least {least}, found {number}")
    return number


def _share(value: object, where: str) -> float:
    share = _typed(float, value, where)
    if not 0 <= share <= 1:
        raise RecipeError(f"{where}: expected a share from 0 to 1, found {share}")
    return share


def _check_keys(data: Mapping[str, object], where: str) -> None:
    for key, value in data.items():
        if key not in KEYS:
            raise RecipeError(f"{where}: {key}: a recipe has no such key{nearest(key, KEYS)}")
        inside = KEYS[key]
        if inside and not isinstance(value, Mapping):
            raise RecipeError(f"{where}: {key}: expected a mapping with {', '.join(inside)}")
        for name in cast("Mapping[str, object]", value) if inside else ():
            if name not in inside:
                raise RecipeError(f"{where}: {key}.{name}: no such key{nearest(name, inside)}")
    if data.get("control", "none") not in ("none", "random"):
        raise RecipeError(
            f"{where}: control: expected 'none' or 'random', found {data['control']!r}"
        )
    for key in REQUIRED:
        if key not in data:
            raise RecipeError(f"{where}: {key}: the recipe needs this key")


def _apply(data: dict[str, object], setting: str) -> None:
    """Set `a.b.0.c=value` in place; the value is YAML. New keys are checked with the rest."""
    path, equals, text = setting.partition("=")
    if not equals or not path:
        raise RecipeError(f"--set {setting}: expected PATH=VALUE")
    value = yaml.parse(text, f"--set {path}")
    *parents, last = path.split(".")
    here: object = data
    for part in parents:
        here = _step(here, part, path)
    if isinstance(here, dict):
        here[last] = value
    elif isinstance(here, list) and last.isdigit() and int(last) < len(here):
        here[int(last)] = value
    else:
        raise RecipeError(f"--set {path}: there is no {last!r} to set")


def _step(here: object, part: str, path: str) -> object:
    if isinstance(here, dict):
        if part not in here:
            here[part] = {}
        return here[part]
    if isinstance(here, list) and part.isdigit() and int(part) < len(here):
        return here[int(part)]
    raise RecipeError(f"--set {path}: there is no {part!r} in the recipe")
