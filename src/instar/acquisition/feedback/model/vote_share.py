"""What the learner itself says most often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from instar.acquisition.feedback.answer import Extract, read, spelling
from instar.protocols import Context
from instar.types import Experience, Feedback

SOURCE = "vote_share"


@dataclass(frozen=True)
class VoteShare:
    """Score a solution by the share of its task's votes that are for the same final answer.

    Self-consistency (Wang et al. 2022, arXiv 2203.11171) as feedback: no labels are read. Spellings
    of one number are one answer, given as it was first spelt. A sample without an answer, or cut
    off where `finished` asks for an end, has no vote and is "could not judge". Assumes that the
    batch holds all samples of a task, and a learner that is right more often than it is
    consistently wrong.
    """

    extract: Extract = "last_number"
    finished: bool = True

    def assess(self, batch: Sequence[Experience], context: Context, /) -> list[Feedback]:
        """Return one feedback per experience, in order."""
        votes: dict[str, dict[str, list[str]]] = {}
        mine = [votes.setdefault(e.task.id, {}) for e in batch]
        answers = [self._answer(e) for e in batch]
        for ballot, answer in zip(mine, answers, strict=True):
            if answer is not None:
                ballot.setdefault(spelling(answer), []).append(answer)
        return [_counted(b, a) for b, a in zip(mine, answers, strict=True)]

    def _answer(self, experience: Experience) -> str | None:
        solution = experience.solution
        if solution.error is not None or (self.finished and not solution.finished):
            return None
        return read(solution.text, self.extract)


def _counted(ballot: dict[str, list[str]], answer: str | None) -> Feedback:
    if answer is None:
        return Feedback(source=SOURCE, score=None, critique="no answer to vote with")
    same = ballot[spelling(answer)]
    total = sum(map(len, ballot.values()))
    critique = f"{len(same)} of {total} votes"
    return Feedback(source=SOURCE, score=len(same) / total, critique=critique, answer=same[0])
