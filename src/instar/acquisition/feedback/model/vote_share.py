"""What the learner itself says most often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from instar.acquisition.feedback.answer import Extract, number, read
from instar.protocols import Context
from instar.types import Experience, Feedback


@dataclass(frozen=True)
class VoteShare:
    """Score a solution by the share of its task's samples that give the same final answer.

    Self-consistency (Wang et al. 2022, arXiv 2203.11171) as feedback: no labels are read. A sample
    without an answer, or cut off where `finished` asks for an end, has no vote and is "could not
    judge". Assumes that the batch holds all samples of a task, and a learner that is right more
    often than it is consistently wrong.
    """

    extract: Extract = "last_number"
    finished: bool = True

    def assess(self, batch: Sequence[Experience], context: Context, /) -> list[Feedback]:
        """Return one feedback per experience, in order."""
        votes: dict[str, list[str]] = {}
        for experience in batch:
            ballot = votes.setdefault(experience.task.id, [])
            if (answer := self._answer(experience)) is not None:
                ballot.append(_same(answer))
        return [self._one(e, votes[e.task.id]) for e in batch]

    def _one(self, experience: Experience, ballot: Sequence[str]) -> Feedback:
        answer = self._answer(experience)
        if answer is None:
            return Feedback(source="vote_share", score=None, critique="no answer to vote with")
        count = ballot.count(_same(answer))
        critique = f"{count} of {len(ballot)} votes"
        share = count / len(ballot)
        return Feedback(source="vote_share", score=share, critique=critique, answer=answer)

    def _answer(self, experience: Experience) -> str | None:
        solution = experience.solution
        if solution.error is not None or (self.finished and not solution.finished):
            return None
        return read(solution.text, self.extract)


def _same(answer: str) -> str:
    """Return one spelling for all spellings of a number."""
    found = number(answer)
    return str(found) if found is not None else " ".join(answer.casefold().split())
