"""How a prompt is asked and a completion becomes an experience, in the loop and the evaluator."""

from __future__ import annotations

from instar.protocols import Context
from instar.types import Completion, Experience, Message, Sampling, Solution, Task


def instruct(messages: tuple[Message, ...], instruction: str | None) -> tuple[Message, ...]:
    """Return the conversation with `instruction` as a last paragraph of its last turn."""
    if instruction is None:
        return messages
    last = messages[-1]
    asked = Message(role=last.role, content=f"{last.content}\n\n{instruction}")
    return (*messages[:-1], asked)


def experience(
    task: Task,
    completion: Completion,
    sampling: Sampling,
    sample: int,
    context: Context,
    made_by: tuple[str, ...],
) -> Experience:
    """Return the experience that a completion of `task` is.

    Args:
        task: what was asked.
        completion: the engine's answer.
        sampling: how it was drawn.
        sample: its number among the samples of the task.
        context: the iteration and the learner.
        made_by: the maker's name, then the ids of the experiences it was made from.
    """
    failed = completion.error is not None
    turns = () if failed else (Message(role="assistant", content=completion.text),)
    return Experience(
        task=task,
        solution=Solution(
            turns=turns,
            sampling=sampling,
            sample=sample,
            tokens=completion.tokens,
            finished=completion.finished,
            logprob=completion.logprob,
            error=completion.error,
        ),
        made_by=made_by[0],
        parents=made_by[1:],
        iteration=context.iteration,
        learner=context.learner.id,
    )
