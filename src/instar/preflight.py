"""Proof, before compute is spent, that the parts of the loop work.

The checker tells right from wrong, the updater changes the learner, the engine serves the change.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import cast

from instar.build import fingerprint
from instar.errors import PreflightError, RecipeError
from instar.judging import judge
from instar.models import ENDPOINT
from instar.protocols import Assessor, Context, Particular, Trainer
from instar.recipe import Plan
from instar.steps import ask, learned
from instar.types import Experience, Message, Sampling, Solution, Task

# How an answer may be written so that a checker reads it; one of these must be recognised.
FORMS = (
    "{answer}",
    "The answer is {answer}.",
    "#### {answer}",
    "\\boxed{{{answer}}}",
    "<answer>{answer}</answer>",
)
ROWS = 8  # experiences for the trial update; ours
WORTHLESS = ("", "None", "null")
IDLE = "    return None\n"  # the body of a function that solves nothing


def executes_code(plan: Plan) -> bool:
    """Say whether a component of the plan runs code that a model wrote."""
    parts = (
        plan.source,
        plan.proposer,
        plan.solver,
        *plan.assessors,
        *plan.correctors,
        *plan.filters,
    )
    inner = (p for part in (*parts, *plan.measures) for p in (part, *_parts(part, object)))
    return any(getattr(p, "executes_code", False) for p in inner)


def check_settings(plan: Plan) -> None:
    """Let every trainer build its library's configuration.

    Raises:
        RecipeError: naming the option that the library refuses; or for weights behind an endpoint.
    """
    trainers = cast("list[Trainer]", _parts(plan.updater, Trainer))
    if trainers and plan.model.startswith(ENDPOINT):
        raise RecipeError(
            f"updating: {type(trainers[0]).__name__} trains weights, and those of {plan.model} are "
            "behind an endpoint; give a local model, or an updater that changes the prompt"
        )
    for trainer in trainers:
        trainer.check()


def check_tasks(plan: Plan, tasks: Sequence[Task]) -> None:
    """Let every assessor that can say so refuse a task, before anything is sampled.

    Raises:
        DataError: naming the task.
        ComponentError: if an assessor raises anything else.
    """
    for part in (*plan.assessors, *plan.correctors, *plan.measures):
        for reader in (part, *_parts(part, Particular)):
            if isinstance(reader, Particular):
                ask(reader, lambda r=reader: r.check_tasks(tasks))  # type: ignore[misc]


def check_feedback(plan: Plan, context: Context) -> tuple[str, ...]:
    """Show every assessor a right, a wrong, an empty and a null answer; return what it found.

    The right and the wrong answer are those of training tasks with a known reference, the wrong
    one being another task's. Without a single reference the assessors cannot be probed, and that
    is said.

    Raises:
        PreflightError: if an assessor cannot tell them apart.
    """
    checkers = [a for m in plan.measures for a in _parts(m, Assessor)]
    assessors = {fingerprint(a): a for a in (*plan.assessors, *checkers)}
    known = [t for t in context.train if t.reference]
    if not known and (solved := next(filter(_solution, context.train), None)):
        # Only the first one's score counts; others may see no more than that a program runs.
        deciding = {fingerprint(a): a for a in (*plan.assessors[:1], *checkers)}
        return tuple(_probe_code(cast("Assessor", a), solved, context) for a in deciding.values())
    if not known:
        return ("no training task has an answer, so the feedback was not probed",)
    right = known[0]
    wrong = next((t.reference for t in known if t.reference != right.reference), None)
    if wrong is None:
        return (f"every task has the answer {right.reference!r}: the feedback was not probed",)
    return tuple(_probe(cast("Assessor", a), right, wrong, context) for a in assessors.values())


def _probe(assessor: Assessor, task: Task, wrong: str, context: Context) -> str:
    """Judge one batch: the right answer three times, so that a vote has a majority too."""
    name = type(assessor).__name__
    for form in FORMS:
        good, bad = (form.format(answer=a) for a in (task.reference, wrong))
        batch = _experiences(task, (good, good, good, bad, *WORTHLESS), context)
        scores = [f.score for f in judge(assessor, batch, context)]
        if scores[0] is None or scores[0] <= (scores[3] or 0):
            continue
        for text, score in zip(WORTHLESS, scores[4:], strict=True):
            if score is not None and score >= scores[0]:
                raise PreflightError(
                    f"{name} gives the answer {text!r} the score {score}, as much as a right one"
                )
        return f"{name} tells {good!r} from {bad!r} and from nothing"
    raise PreflightError(
        f"{name} cannot tell the right answer {task.reference!r} from the wrong {wrong!r} "
        f"for the task {task.prompt[:80]!r}"
    )


def _solution(task: Task) -> str | None:
    """Return the known solution of a code task, where it brings one as HumanEval does."""
    fields = json.loads(task.material) if task.material else {}
    found = fields.get("canonical_solution") if isinstance(fields, dict) else None
    return found if isinstance(found, str) else None


def _probe_code(assessor: Assessor, task: Task, context: Context) -> str:
    """Judge the known solution of a task and a function that does nothing."""
    name = type(assessor).__name__
    if getattr(assessor, "asks_learner", False):
        return f"{name} asks the learner, so it was not probed"
    batch = _experiences(task, (f"{task.prompt}{_solution(task)}", f"{task.prompt}{IDLE}"), context)
    good, bad = (f.score for f in judge(assessor, batch, context))
    if good is None or good <= (bad or 0):
        raise PreflightError(
            f"{name} gives the known solution of {task.name or task.id} the score {good}, and a "
            f"function that does nothing {bad}"
        )
    return f"{name} tells the known solution of {task.name or task.id} from one that does nothing"


def check_update(plan: Plan, context: Context) -> str:
    """Learn from a few right answers and see that the learner, and what is served, changed.

    Raises:
        PreflightError: if the update is inert or the engine does not serve it.
    """
    tasks = [t for t in context.train if t.reference][:ROWS] or list(context.train[:ROWS])
    rows = [e for t in tasks for e in _experiences(t, (t.reference or t.prompt,), context)]
    before = context.engine.fingerprint(context.learner, context)
    candidate = learned(plan, rows, replace(context, iteration=0))
    name = type(plan.updater).__name__
    if candidate.id == context.learner.id:
        raise PreflightError(f"{name} learned from {len(rows)} rows and changed nothing")
    if candidate.adapter == context.learner.adapter:
        return f"{name} changes what the learner is told, not its weights"
    after = context.engine.fingerprint(candidate, context)
    if after == before:
        raise PreflightError(
            f"{name} made the adapter {candidate.adapter}, but the engine serves the old weights"
        )
    if context.engine.fingerprint(context.learner, context) != before:
        raise PreflightError("the engine does not return to the old weights after a new adapter")
    return f"{name} changes the learner, and the engine serves it ({before[:8]} to {after[:8]})"


def _experiences(task: Task, texts: Iterable[str], context: Context) -> list[Experience]:
    return [
        Experience(
            task=task,
            solution=Solution(
                turns=(Message(role="assistant", content=text),),
                sampling=Sampling(),
                sample=i,
                tokens=len(text),
            ),
            made_by="preflight",
            iteration=0,
            learner=context.learner.id,
        )
        for i, text in enumerate(texts)
    ]


def _parts(component: object, protocol: type) -> list[object]:
    """Return the parts of `component`, at any depth, that fulfil `protocol`."""
    if not is_dataclass(component):
        return []
    values = [getattr(component, f.name) for f in fields(component)]
    listed = [v for value in values for v in (value if isinstance(value, tuple) else (value,))]
    own = [v for v in listed if isinstance(v, protocol)]
    return [*own, *(p for v in listed if not isinstance(v, protocol) for p in _parts(v, protocol))]
