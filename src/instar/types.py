"""The vocabulary: every value that passes between rooms, frozen, picklable and equal by content.

A learner `M` faces tasks `T`, writes solutions `Y`, receives feedback `F`; a task with its solution
and feedback is an `Experience` (symbols of the survey arXiv 2404.14387, section 2).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass

ID_LENGTH = 20  # hex digits, 80 bits: a million rows collide with probability below 1e-12


def plain(value: object) -> object:
    """Return `value` as JSON-ready data: dataclasses become mappings, tuples become lists.

    Raises:
        TypeError: for a value that has no canonical form (a function, an open file).
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    raise TypeError(f"a {type(value).__name__} has no canonical form")


def digest(*parts: object) -> str:
    """Return the content hash of `parts`: SHA-256 of canonical JSON, cut to `ID_LENGTH` digits."""
    text = json.dumps([plain(p) for p in parts], sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:ID_LENGTH]


class Identified:
    """A value with a content hash, which is made once: values never change."""

    __slots__ = ("_id",)
    _id: str

    @property
    def id(self) -> str:
        """The content hash."""
        try:
            return self._id
        except AttributeError:
            object.__setattr__(self, "_id", digest(*self._content()))
            return self._id

    def _content(self) -> tuple[object, ...]:
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of a conversation, in the chat format of Hugging Face and OpenAI."""

    role: str
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """`E = (A, D)`: which ability to evolve and in which direction; `focus` weighs task tags."""

    ability: str
    direction: str
    focus: tuple[tuple[str, float], ...] = ()
    parent: str | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task(Identified):
    """`T`: something to solve.

    `reference` is the known answer, if any; `material` is JSON text that a checker needs beyond it;
    `name` is the user's own id. `id` covers what is asked and what is right, nothing else.
    """

    messages: tuple[Message, ...]
    reference: str | None = None
    material: str | None = None
    tags: tuple[str, ...] = ()
    origin: str = ""
    name: str = ""
    parents: tuple[str, ...] = ()

    def _content(self) -> tuple[object, ...]:
        return ("task", self.messages, self.reference, self.material)

    @property
    def prompt(self) -> str:
        """The text of the last user turn."""
        return next((m.content for m in reversed(self.messages) if m.role == "user"), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How a completion is drawn. `temperature` 0 is greedy; `max_tokens` counts new tokens."""

    temperature: float = 0.0
    max_tokens: int = 256
    top_p: float = 1.0

    def __post_init__(self) -> None:
        """Refuse numbers that no engine can honour."""
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise ValueError(f"temperature is {self.temperature}; expected a number of at least 0")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p is {self.top_p}; expected a number above 0 and at most 1")
        if self.max_tokens < 1:
            raise ValueError(f"max_tokens is {self.max_tokens}; expected at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """`Y`: what the learner wrote. A failed sample is data: `error` says why, `text` is empty.

    `logprob` is the sum over the sampled tokens of their log-probability in nats at the sampling
    temperature, or None where the engine cannot give it; `finished` means that the model ended the
    text itself; `sample` is the number of this sample among those of its task.
    """

    turns: tuple[Message, ...]
    sampling: Sampling
    sample: int = 0
    tokens: int = 0
    finished: bool = True
    logprob: float | None = None
    polarity: str = "positive"
    error: str | None = None

    @property
    def text(self) -> str:
        """The last assistant turn, or the empty string."""
        return next((m.content for m in reversed(self.turns) if m.role == "assistant"), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """`F`: what one source says of one solution. `score` None means "could not judge", never 0.

    `answer` is the final answer the source read out of the solution; None if it found none.
    """

    source: str
    score: float | None
    critique: str | None = None
    answer: str | None = None

    def __post_init__(self) -> None:
        """Refuse a score that is not a finite number: it would compare false with everything."""
        if self.score is not None and not math.isfinite(self.score):
            raise ValueError(f"{self.source} scored {self.score}; expected a finite number or None")


@dataclass(frozen=True, slots=True, kw_only=True)
class Experience(Identified):
    """A task, one solution of it and the feedback on it: the ledger's row.

    `learner` is the id of the learner that wrote the solution. `id` leaves the feedback out, so
    that judging a solution does not make it another one.
    """

    task: Task
    solution: Solution
    made_by: str
    iteration: int
    learner: str
    feedback: tuple[Feedback, ...] = ()
    parents: tuple[str, ...] = ()

    def _content(self) -> tuple[object, ...]:
        made = (self.made_by, self.iteration, self.learner, self.parents)
        return ("experience", self.task.id, self.solution, made)

    def score(self, source: str = "") -> float | None:
        """Return the score given by `source`; without a name, by the recipe's first assessor."""
        named = (f.score for f in self.feedback if source in ("", f.source))
        return next(named, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Learner:
    """`M`: weights and context. `adapter` and `memory` are ids of immutable artefacts.

    `base` is the model's name as the user gave it; `prompt` is the standing system message. Two
    learners of equal content are one learner, whoever made them.
    """

    base: str
    adapter: str | None = None
    memory: str | None = None
    prompt: str | None = None
    parents: tuple[str, ...] = ()
    made_by: str = "base"

    @property
    def id(self) -> str:
        """The content hash of weights and context."""
        return digest("learner", self.base, self.adapter, self.memory, self.prompt)

    def render(self, task: Task) -> tuple[Message, ...]:
        """Return the conversation this learner is shown for `task`."""
        if self.prompt is None:
            return task.messages
        return (Message(role="system", content=self.prompt), *task.messages)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the learner did on one held-out task; `score` None means "could not judge".

    `answer` is the final answer that was read out of `text`, None where there was none.
    """

    task: str
    score: float | None
    text: str
    answer: str | None = None
    sample: int = 0
    tokens: int = 0
    finished: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One measure with its interval: `low <= value <= high`, at `level` (0.95 unless said)."""

    name: str
    value: float
    low: float
    high: float
    n: int
    level: float = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """`S`: measures of one learner on one split. The first score is the one the gate reads."""

    learner: str
    split: str
    scores: tuple[Score, ...]
    outcomes: tuple[Outcome, ...]
    findings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The gate's word on a candidate, with the numbers it rests on."""

    candidate: str
    current: str
    accepted: bool
    reason: str
    evidence: tuple[tuple[str, float], ...] = ()
    next_objective: Objective | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """A filter's word on one experience."""

    keep: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A conversation to complete `n` times. `key` seeds the draws, whatever else is in a batch."""

    messages: tuple[Message, ...]
    sampling: Sampling
    n: int = 1
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """One answer of an engine; the fields mean what they mean in `Solution`."""

    text: str
    tokens: int
    finished: bool
    logprob: float | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """Ledger row: the split a task was put in (`train`, `gate`, `sealed`), or why none."""

    task: Task
    split: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessed:
    """Ledger row: all feedback on one experience, in the order of the recipe's assessors."""

    experience: str
    feedback: tuple[Feedback, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sifted:
    """Ledger row: one filter's decision on one experience."""

    experience: str
    filter: str
    keep: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """Ledger row: a learner an updater made, the experiences it learned from, and their tokens."""

    learner: Learner
    rows: tuple[str, ...]
    arm: str = "method"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """Ledger row: the sealed split was opened, for which learner and why."""

    learner: str
    reason: str


Row = (
    Placed | Task | Experience | Assessed | Sifted | Trained | Report | Verdict | Opening
)  # everything a ledger can hold


def tokens_of(row: Row) -> int:
    """Return the tokens that were sampled to make `row`."""
    if isinstance(row, Experience):
        return row.solution.tokens
    return sum(o.tokens for o in row.outcomes) if isinstance(row, Report) else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a program may use; `wall` and `cpu` in seconds, `memory`, `output` and `disk` in bytes.

    `memory` is beyond what the interpreter itself has mapped; `output` is that of each standard
    stream; `disk` bounds the scratch folder and any file in it, `files` how many are in it;
    `handles` how many files are open at once. There is always one process, with threads.
    """

    wall: float = 10.0
    cpu: int = 5
    memory: int = 256 * 2**20
    output: int = 2**20
    disk: int = 64 * 2**20
    files: int = 256
    handles: int = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """How a program ended, and what it wrote.

    `ended` is `exit` (by itself, with `code`), `signal` (`code` is its negative number), `timeout`,
    or `output` or `disk` (killed for too much of it).
    What it wrote is bytes of hostile make; `seconds` is wall-clock time, `cpu` processor time.
    """

    ended: str
    code: int
    stdout: bytes
    stderr: bytes
    seconds: float
    cpu: float
    memory: int = 0
