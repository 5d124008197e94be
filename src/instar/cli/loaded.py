"""A learner of a run with the engine that serves it, for verbs that generate outside the loop."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from instar.environments.sandbox.sandbox import IsolatedSandbox
from instar.events import Event
from instar.preflight import executes_code
from instar.protocols import Context
from instar.recipe import Plan, Recipe, plan
from instar.session import engine_for, recorded
from instar.store.artefacts import FolderArtefacts
from instar.store.folder import RunFolder
from instar.store.queries import find_learner
from instar.types import Learner


def silent(event: Event) -> None:
    """Tell nobody."""


@contextmanager
def opened(
    directory: Path, learner: str, emit: Callable[[Event], None] = silent
) -> Iterator[Context]:
    """Give a context in which a learner of a run is served; the run is only read."""
    folder = RunFolder(directory)
    with folder.open_for_reading() as ledger:
        found = find_learner(ledger, learner)
    with bare(plan(recipe_of(directory)), emit) as context:
        yield replace(context, learner=found, artefacts=folder.artefacts)


def recipe_of(directory: Path) -> Recipe:
    """Return the recipe of the run in `directory`."""
    folder = RunFolder(directory)
    with folder.open_for_reading() as ledger:
        return recorded(folder, ledger.get_meta("recipe_folder"))


@contextmanager
def bare(made: Plan, emit: Callable[[Event], None] = silent) -> Iterator[Context]:
    """Give a context for the plan's own model, with a scratch folder that is thrown away."""
    with (
        tempfile.TemporaryDirectory(prefix="instar-") as place,
        closing(IsolatedSandbox()) as sandbox,
    ):
        scratch = Path(place)
        base = Learner(base=made.model, prompt=made.prompt)
        yield Context(
            objective=made.objective,
            learner=base,
            base=base,
            engine=engine_for(made.model, made.base_url),
            artefacts=FolderArtefacts(scratch / "artefacts"),
            emit=emit,
            scratch=scratch,
            sandbox=sandbox if executes_code(made) else None,
            seed=made.seed,
        )
