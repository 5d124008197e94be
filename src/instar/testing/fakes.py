"""Real code in place of a model, for tests of components and recipes: scripted, exact, instant."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from instar.events import Progress
from instar.protocols import Context, Engine, Sandbox
from instar.types import (
    Completion,
    Experience,
    Feedback,
    Learner,
    Message,
    Objective,
    Outcome,
    Report,
    Request,
    Sampling,
    Score,
    Solution,
    Task,
    digest,
)

Script = Callable[[Request, int, Learner], str | Completion]


def right_or_wrong(request: Request, sample: int, learner: Learner) -> str:
    """Add up the numbers of the prompt's first paragraph: even samples rightly, odd ones not."""
    asked = request.messages[-1].content.partition("\n\n")[0]
    numbers = re.findall(r"(-?) ?\b([0-9]{1,18})\b", asked)
    total = sum(int(sign + size) for sign, size in numbers)
    return f"The answer is {total + sample % 2}"


def said(answers: Mapping[str, str]) -> Script:
    """Return the script that answers a prompt, the text of the last turn, as `answers` has it.

    What is not in it fails, as a request can fail.
    """

    def script(request: Request, sample: int, learner: Learner) -> str | Completion:
        prompt = request.messages[-1].content
        if prompt in answers:
            return answers[prompt]
        return Completion(text="", tokens=0, finished=False, error=f"nothing to say to {prompt!r}")

    return script


@dataclass
class ScriptedEngine:
    """An engine that answers from a script; `calls` counts the requests it served.

    A text is a finished completion of as many tokens as it has words; a script that returns a
    `Completion` says it all, a failure too.
    """

    script: Script = right_or_wrong
    calls: int = 0

    def generate(
        self, requests: Sequence[Request], learner: Learner, context: Context, /
    ) -> list[tuple[Completion, ...]]:
        """Complete each request `n` times with what the script says."""
        self.calls += len(requests)
        made = [
            tuple(self._one(request, i, learner) for i in range(request.n)) for request in requests
        ]
        tokens = sum(c.tokens for group in made for c in group)
        context.emit(Progress(done=len(requests), tokens=tokens))
        return made

    def fingerprint(self, learner: Learner, context: Context, /) -> str:
        """Return a hash that changes with the learner."""
        return digest("scripted", learner.id)

    def facts(self) -> tuple[str, ...]:
        """Say what this is."""
        return ("a scripted engine, no model",)

    def _one(self, request: Request, sample: int, learner: Learner) -> Completion:
        said = self.script(request, sample, learner)
        if isinstance(said, Completion):
            return said
        return Completion(text=said, tokens=len(said.split()), finished=True, logprob=-1.0)


@dataclass
class FolderOfArtefacts:
    """Artefacts in a plain folder, named by the hash of their files."""

    root: Path = field(default_factory=lambda: _place())

    def path(self, artefact: str, /) -> Path:
        """Return the folder of `artefact`."""
        return self.root / artefact

    def add(self, folder: Path, /) -> str:
        """Take a copy of `folder` in and return its id."""
        found = hashlib.sha256()
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            found.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
        name = found.hexdigest()[:20]
        shutil.copytree(folder, self.root / name, dirs_exist_ok=True)
        return name


def tasks(count: int = 4, first: int = 1) -> tuple[Task, ...]:
    """Return sums with their answers, also as reasoning-gym would write them down."""
    return tuple(
        Task(
            messages=(Message(role="user", content=f"What is {n} + {n + 1} = "),),
            reference=str(2 * n + 1),
            material=json.dumps({"dataset": "chain_sum", "answer": str(2 * n + 1)}),
            tags=("digits:1",),
            origin="fakes",
        )
        for n in range(first, first + count)
    )


def experience(task: Task, text: str, sample: int = 0, score: float | None = None) -> Experience:
    """Return a solution of `task` in the words `text`, judged if `score` is given."""
    judged = () if score is None else (Feedback(source="answer_match", score=score, answer=text),)
    return Experience(
        task=task,
        solution=Solution(
            turns=(Message(role="assistant", content=text),),
            sampling=Sampling(temperature=0.7),
            sample=sample,
            tokens=len(text.split()),
        ),
        made_by="sample",
        iteration=1,
        learner="learner",
        feedback=judged,
    )


def experiences() -> tuple[Experience, ...]:
    """Return right, wrong, empty, hostile and failed solutions, with and without feedback."""
    one, two, three, _ = tasks()
    hostile = "\x1b[2J\u202e" + "9" * 10_000 + "\ud800"
    failed = experience(three, "")
    return (
        experience(one, "The answer is 3", 0, 1.0),
        experience(one, "1 + 2 = 3", 1, 1.0),
        experience(one, "4", 2, 0.0),
        experience(two, "", 0, 0.0),
        experience(two, hostile, 1),
        Experience(
            task=failed.task,
            solution=Solution(turns=(), sampling=Sampling(), finished=False, error="timed out"),
            made_by="sample",
            iteration=1,
            learner="learner",
        ),
    )


def reports(context: Context, n: int = 200) -> tuple[Report, Report]:
    """Return the report of a poor learner and of a clearly better one, on the same `n` tasks."""
    return _report("poor", 0.2, n), _report("good", 0.8, n)


def _report(learner: str, share: float, n: int) -> Report:
    outcomes = tuple(
        Outcome(task=f"t{i}", score=float(i < share * n), text="", answer="1") for i in range(n)
    )
    score = Score(name="accuracy", value=share, low=share - 0.06, high=share + 0.06, n=n)
    return Report(learner=learner, split="gate", scores=(score,), outcomes=outcomes)


@cache
def _temporary() -> tempfile.TemporaryDirectory[str]:
    """Return the folder of this process, which is removed when the process ends."""
    return tempfile.TemporaryDirectory(prefix="instar-fake-")


def _place() -> Path:
    return Path(tempfile.mkdtemp(dir=_temporary().name))


def context(
    scratch: Path | None = None, engine: Engine | None = None, sandbox: Sandbox | None = None
) -> Context:
    """Return a context with twelve training and twelve gate tasks and a scripted engine.

    Without `scratch`, files go to a folder that is removed when the process ends.
    """
    base = Learner(base="scripted")
    place = scratch or _place()
    return Context(
        objective=Objective(ability="math", direction="improving performance"),
        learner=base,
        base=base,
        engine=engine or ScriptedEngine(),
        artefacts=FolderOfArtefacts(place / "artefacts"),
        emit=lambda event: None,
        scratch=place,
        sandbox=sandbox,
        train=tasks(12),
        gate=tasks(12, first=100),
        iterations=3,
    )
