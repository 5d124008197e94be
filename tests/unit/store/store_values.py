"""Values for the tests of this room: arbitrary rows, and a whole small run."""

from hypothesis import strategies as st

from instar.store.ledger import SqliteLedger
from instar.types import (
    Assessed,
    Experience,
    Feedback,
    Learner,
    Message,
    Objective,
    Opening,
    Outcome,
    Placed,
    Report,
    Sampling,
    Score,
    Sifted,
    Solution,
    Task,
    Trained,
    Verdict,
)

# All of Unicode: control characters, NUL, and surrogates that stand alone.
TEXT = st.one_of(
    st.text(st.characters(exclude_categories=()), max_size=20),
    st.sampled_from(['\\ud800"', "\\", '\\"', "\ud800", "\x00a", "é" * 3, "null", "9" * 6000]),
)
MAYBE = st.none() | TEXT
TEXTS = st.lists(TEXT, max_size=3).map(tuple)
COUNT = st.integers(0, 2**40)
NUMBER = st.floats(allow_nan=False) | st.integers(-5, 5)
FINITE = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-5, 5)
MESSAGES = st.lists(st.builds(Message, role=TEXT, content=TEXT), max_size=3).map(tuple)
SAMPLINGS = st.builds(
    Sampling,
    temperature=st.floats(0, 2) | st.integers(0, 2),
    max_tokens=st.integers(1, 2**40),
    top_p=st.just(1) | st.floats(0.1, 1),
)
TASKS = st.builds(
    Task,
    messages=MESSAGES,
    reference=MAYBE,
    material=MAYBE,
    tags=TEXTS,
    origin=TEXT,
    name=TEXT,
    parents=TEXTS,
)
SOLUTIONS = st.builds(
    Solution,
    turns=MESSAGES,
    sampling=SAMPLINGS,
    sample=COUNT,
    tokens=COUNT,
    finished=st.booleans(),
    logprob=st.none() | NUMBER,
    polarity=TEXT,
    error=MAYBE,
)
FEEDBACK = st.builds(Feedback, source=TEXT, score=st.none() | FINITE, critique=MAYBE, answer=MAYBE)
EXPERIENCES = st.builds(
    Experience,
    task=TASKS,
    solution=SOLUTIONS,
    made_by=TEXT,
    iteration=COUNT,
    learner=TEXT,
    parents=TEXTS,
)
LEARNERS = st.builds(
    Learner, base=TEXT, adapter=MAYBE, memory=MAYBE, prompt=MAYBE, parents=TEXTS, made_by=TEXT
)
OUTCOMES = st.builds(
    Outcome,
    task=TEXT,
    score=st.none() | NUMBER,
    text=TEXT,
    answer=MAYBE,
    sample=COUNT,
    tokens=COUNT,
    finished=st.booleans(),
)
SCORES = st.builds(Score, name=TEXT, value=NUMBER, low=NUMBER, high=NUMBER, n=COUNT, level=NUMBER)
PAIRS = st.lists(st.tuples(TEXT, NUMBER), max_size=3).map(tuple)
OBJECTIVES = st.builds(
    Objective, ability=TEXT, direction=TEXT, focus=PAIRS, parent=MAYBE, note=TEXT
)
ROWS = {
    Placed: st.builds(Placed, task=TASKS, split=TEXT, reason=TEXT),
    Task: TASKS,
    Experience: EXPERIENCES,
    Assessed: st.builds(
        Assessed, experience=TEXT, feedback=st.lists(FEEDBACK, max_size=3).map(tuple)
    ),
    Sifted: st.builds(Sifted, experience=TEXT, filter=TEXT, keep=st.booleans(), reason=TEXT),
    Trained: st.builds(Trained, learner=LEARNERS, rows=TEXTS, arm=TEXT),
    Report: st.builds(
        Report,
        learner=TEXT,
        split=TEXT,
        scores=st.lists(SCORES, max_size=3).map(tuple),
        outcomes=st.lists(OUTCOMES, max_size=3).map(tuple),
        findings=TEXTS,
    ),
    Verdict: st.builds(
        Verdict,
        candidate=TEXT,
        current=TEXT,
        accepted=st.booleans(),
        reason=TEXT,
        evidence=PAIRS,
        next_objective=st.none() | OBJECTIVES,
    ),
    Opening: st.builds(Opening, learner=TEXT, reason=TEXT),
}

BASE = Learner(base="base-model")
FIRST = Learner(base="base-model", adapter="a" * 20, parents=(BASE.id,), made_by="in_weight")
SECOND = Learner(base="base-model", adapter="b" * 20, parents=(FIRST.id,), made_by="in_weight")
RIVAL = Learner(base="base-model", adapter="c" * 20, parents=(BASE.id,), made_by="in_weight")


def task(n: int) -> Task:
    return Task(
        messages=(Message(role="user", content=f"What is {n} + {n}?"),),
        reference=str(2 * n),
        tags=("sum",),
        origin="test",
        name=f"sum-{n}",
    )


def sample(
    of: Task, number: int, by: Learner = BASE, iteration: int = 1, text: str = ""
) -> Experience:
    error = None if number != 3 else "the request timed out"
    words = text or f"I think it is {number}"
    return Experience(
        task=of,
        solution=Solution(
            turns=() if error else (Message(role="assistant", content=words),),
            sampling=Sampling(temperature=1),
            sample=number,
            tokens=0 if error else 5,
            error=error,
        ),
        made_by="sample",
        iteration=iteration,
        learner=by.id,
    )


def report(of: Learner, value: float, split: str = "gate") -> Report:
    accuracy = Score(name="accuracy", value=value, low=value - 0.1, high=value + 0.1, n=2)
    length = Score(name="length", value=7, low=5, high=9, n=2)
    outcomes = tuple(
        Outcome(task=task(n).id, score=1.0, text=str(2 * n), answer=str(2 * n), tokens=3)
        for n in (8, 9)
    )
    return Report(learner=of.id, split=split, scores=(accuracy, length), outcomes=outcomes)


def batch(by: Learner, iteration: int) -> list[Experience]:
    """Four samples of each of four tasks; number 3 of each failed."""
    return [sample(task(n), s, by, iteration) for n in range(4) for s in range(4)]


class Writer:
    """Records a run as the cycle does; `seconds` of each step as given."""

    def __init__(self, ledger: SqliteLedger, seconds: float = 1.0) -> None:
        self.ledger, self.seconds = ledger, seconds

    def __call__(self, key: str, step: str, iteration: int, *rows) -> None:
        self.ledger.record(key, step, iteration, rows, self.seconds)

    def begin(self) -> None:
        placed = [Placed(task=task(n), split="train") for n in range(4)]
        held = [Placed(task=task(n), split="gate") for n in (8, 9)]
        left = Placed(task=task(1), split="duplicate", reason="as sum-1")
        self("split", "split", 0, left, *placed, *held)
        self("begin", "begin", 0, Trained(learner=BASE, rows=(), arm="base"))
        self("preflight", "preflight", 0)
        self("gate base", "evaluate", 0, report(BASE, 0.2))

    def turn(self, iteration: int, by: Learner, made: Learner, accepted: bool) -> None:
        """One iteration of the method: two of sixteen samples are kept."""
        key = f"{iteration} "
        self(f"{key}propose", "propose", iteration, *(task(n) for n in range(4)))
        drawn = batch(by, iteration)
        self(f"{key}solve", "solve", iteration, *drawn)
        self(f"{key}assess", "assess", iteration, *(assessed(e) for e in drawn))
        right = [e for e in drawn if e.solution.sample < 2]
        self(f"{key}score", "filter", iteration, *(sifted(e, "Score", e in right) for e in drawn))
        kept = right[:2]
        self(f"{key}two", "filter", iteration, *(sifted(e, "Two", e in kept) for e in right))
        trained = Trained(learner=made, rows=tuple(e.id for e in kept))
        self(f"{key}update", "update", iteration, trained)
        self(f"{key}gate", "evaluate", iteration, report(made, 0.2 + iteration / 10))
        self(f"{key}decide", "decide", iteration, verdict(made, by, accepted, iteration))

    def control(self, iteration: int) -> None:
        """The control's turn: it is trained on one sample of its own choice."""
        drawn = batch(RIVAL, iteration)
        key = f"control {iteration} "
        self(f"{key}propose", "propose", iteration, *(task(n) for n in range(4)))
        self(f"{key}solve", "solve", iteration, *drawn)
        self(f"{key}filter", "filter", iteration, *(sifted(e, "Any", True) for e in drawn[:1]))
        rows = (drawn[0].id,)
        self(f"{key}update", "update", iteration, Trained(learner=RIVAL, rows=rows, arm="control"))
        self(f"{key}gate", "evaluate", iteration, report(RIVAL, 0.1))

    def end(self, iteration: int, final: Learner) -> None:
        self("open", "open", iteration, Opening(learner=final.id, reason="the end"))
        self("sealed", "evaluate", iteration, report(final, 0.5, "sealed"))


def assessed(e: Experience) -> Assessed:
    score = None if e.solution.error else float(e.solution.sample < 2)
    return Assessed(experience=e.id, feedback=(Feedback(source="match", score=score),))


def sifted(e: Experience, name: str, keep: bool) -> Sifted:
    return Sifted(experience=e.id, filter=name, keep=keep, reason=f"sample {e.solution.sample}")


def verdict(made: Learner, by: Learner, accepted: bool, iteration: int) -> Verdict:
    return Verdict(
        candidate=made.id,
        current=by.id,
        accepted=accepted,
        reason=f"{'better' if accepted else 'not better'} in {iteration}",
        evidence=(("e-value", 21.5),),
    )


def whole_run(ledger: SqliteLedger, seconds: float = 1.0) -> None:
    """Iteration 1 is promoted, 2 is not; a control in both; the sealed split is opened."""
    writer = Writer(ledger, seconds)
    writer.begin()
    writer.turn(1, BASE, FIRST, accepted=True)
    writer.control(1)
    writer.turn(2, FIRST, SECOND, accepted=False)
    writer.control(2)
    writer.end(2, FIRST)
