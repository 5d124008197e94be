"""From a recipe and a folder to a run with all its services; the one place that wires them."""

from __future__ import annotations

import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType

from instar import preflight, yaml
from instar.engines.openai import OpenAIEngine
from instar.engines.transformers import TransformersEngine
from instar.environments.sandbox.sandbox import IsolatedSandbox
from instar.errors import ComponentError, InstarError, Interrupted, UsageError
from instar.events import Event, Note, RunEnded
from instar.models import ENDPOINT
from instar.protocols import Engine
from instar.recipe import Plan, Recipe, plan, read
from instar.recorder import Recorder
from instar.run import Result, Services, prepare, prove, run
from instar.store.folder import RunFolder
from instar.telemetry.jsonl import JsonLines


def engine_for(model: str, base_url: str | None) -> Engine:
    """Return the engine that serves `model`: an endpoint for `openai:NAME`, else transformers."""
    if model.startswith(ENDPOINT):
        return OpenAIEngine(model=model.removeprefix(ENDPOINT), base_url=base_url)
    if base_url is not None:
        raise UsageError(f"--base-url goes with --model openai:NAME, not with {model!r}")
    return TransformersEngine(model=model)


def start(
    recipe: Recipe,
    directory: Path,
    emit: Callable[[Event], None],
    sandbox: str | None = None,
    train_unprotected: bool = False,
) -> Result:
    """Make the run folder and run the recipe in it.

    Args:
        recipe: what to run.
        directory: the run folder, which must not be there.
        emit: told what happens.
        sandbox: the one isolation to use for code a model wrote, `none` for no isolation;
            without it, the strongest that holds.
        train_unprotected: train on what was judged without isolation.

    Raises:
        InstarError: after the end was told to `emit`; the folder stays if anything was sampled.
    """
    # A recipe that cannot be built, or has no sandbox it needs, leaves no folder behind.
    made = plan(recipe)
    with closing(_sandbox(sandbox)) as isolation:
        if preflight.executes_code(made):
            isolation.facts()
        folder = _created(recipe, directory, sandbox, train_unprotected)
        try:
            return _go_on(directory, emit, isolation)
        except Interrupted:
            raise
        except InstarError as error:
            # A wrong model, file or option: corrected, the same command must find the folder free.
            if not folder.removed_if_unused():
                error.add_note(f"when that is mended, go on with: instar resume {directory}")
            raise


def _created(
    recipe: Recipe, directory: Path, sandbox: str | None, train_unprotected: bool
) -> RunFolder:
    """Return a new run folder that holds what `resume` needs."""
    folder = RunFolder.create(directory)
    folder.recipe.write_text(yaml.dump(dict(recipe.data)), encoding="utf-8")
    with folder.open_for_writing() as ledger:
        ledger.set_meta("recipe_folder", str(recipe.folder))
        if sandbox is not None:
            ledger.set_meta("sandbox_asked", sandbox)
        if train_unprotected:
            ledger.set_meta("train_unprotected", "yes")
    return folder


def resume(directory: Path, emit: Callable[[Event], None]) -> Result:
    """Go on with the run in `directory` where it stopped, or tell again how it ended."""
    return _go_on(directory, emit, None)


def _go_on(
    directory: Path, emit: Callable[[Event], None], isolation: IsolatedSandbox | None
) -> Result:
    folder = RunFolder(directory)
    with folder.open_for_writing() as ledger:
        recipe = recorded(folder, ledger.get_meta("recipe_folder"))
        steps = JsonLines(folder.events, warn=lambda text: emit(Note(text=text, level="warning")))

        def tell(event: Event) -> None:
            steps(event)
            emit(event)

        made = plan(recipe)
        spent = ledger.seconds()
        with closing(isolation or _sandbox(ledger.get_meta("sandbox_asked"))) as sandbox:
            if preflight.executes_code(made):
                # A run that goes on on another machine may reach another level: all are kept.
                reached = (ledger.get_meta("sandbox") or "").split()
                ledger.set_meta("sandbox", " ".join(dict.fromkeys([*reached, sandbox.level])))
            services = Services(
                ledger=ledger,
                artefacts=folder.artefacts,
                engine=engine_for(made.model, made.base_url),
                emit=tell,
                directory=directory,
                scratch=folder.scratch,
                sandbox=sandbox,
                train_unprotected=ledger.get_meta("train_unprotected") is not None,
                spent=spent,
                resumed=spent > 0,
            )
            return _finish(made, services)


def _sandbox(asked: str | None) -> IsolatedSandbox:
    return IsolatedSandbox() if asked is None else IsolatedSandbox((asked,))


def recorded(folder: RunFolder, recipe_folder: str | None) -> Recipe:
    """Return the recipe that the run in `folder` was made with."""
    if not folder.recipe.is_file():
        raise UsageError(f"{folder.path}: the run stopped before it began; delete it and run again")
    return read(folder.recipe, Path(recipe_folder or folder.path))


def preflight_only(made: Plan, emit: Callable[[Event], None]) -> tuple[str, ...]:
    """Prove the parts of a plan in a folder that is thrown away; return what was found."""
    with tempfile.TemporaryDirectory(prefix="instar-check-") as place:
        folder = RunFolder.create(Path(place) / "run")
        with folder.open_for_writing() as ledger, closing(IsolatedSandbox()) as sandbox:
            services = Services(
                ledger=ledger,
                artefacts=folder.artefacts,
                engine=engine_for(made.model, made.base_url),
                emit=emit,
                directory=folder.path,
                scratch=folder.scratch,
                sandbox=sandbox,
            )
            once = Recorder(ledger, services.emit, None, 0.0)
            guarded, context, _ = prepare(made, services, once)
            isolation = context.sandbox.facts() if context.sandbox else ()
            return (*services.engine.facts(), *isolation, *prove(guarded, context, once))


def _finish(made: Plan, services: Services) -> Result:
    """Run, and tell the end whatever it is."""
    started = time.monotonic()

    def end(outcome: str, summary: str) -> None:
        seconds = time.monotonic() - started
        services.emit(RunEnded(outcome=outcome, summary=summary, seconds=seconds))

    try:
        with _terminable():
            result = run(made, services)
    except KeyboardInterrupt:
        end("interrupted", "stopped; nothing that was finished is lost")
        raise Interrupted(
            "interrupted; nothing that was finished is lost, "
            f"go on with: instar resume {services.directory}"
        ) from None
    except InstarError as error:
        end("failed", str(error))
        raise
    except OSError as error:
        end("failed", str(error))
        raise ComponentError(f"the run stopped: {error}") from error
    end("improved" if result.improved else "no improvement", result.summary)
    return result


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM stop the run like Ctrl-C; every step is crash-safe, so it may come any time."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
