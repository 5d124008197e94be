"""Experiences become token rows: the conversation the learner was shown, then what it wrote."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import TYPE_CHECKING

from instar.errors import ComponentError
from instar.models import chat_tokens, defused
from instar.types import Experience, Learner, Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORED = -100  # the label of a token without loss, in torch, transformers and TRL


@dataclass(frozen=True, slots=True)
class Lessons:
    """Token rows with their labels, and how many experiences were left out for which reason."""

    ids: list[list[int]] = field(default_factory=list)
    labels: list[list[int]] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    @property
    def tokens(self) -> int:
        """The number of tokens of all rows."""
        return sum(map(len, self.ids))

    @property
    def learned(self) -> int:
        """The number of tokens that carry loss."""
        return sum(label != IGNORED for row in self.labels for label in row)


def lessons(
    rows: Sequence[Experience], start: Learner, tokenizer: PreTrainedTokenizerBase, window: int
) -> Lessons:
    """Tokenize `rows` as TRL does for its prompt-completion format; only completions carry loss.

    The prompt is what `start` is shown for the task, so that a hint or an example that helped
    while sampling is not part of what is learned; earlier turns of the solution belong to it too.
    A row that cannot be learned from is left out and counted.

    Raises:
        ComponentError: if no row is left.
    """
    made = Lessons()
    for row in rows:
        reason = _unusable(row) or _add(row, start, tokenizer, window, made)
        if reason:
            made.left_out[reason] += 1
    if rows and not made.learned:
        reasons = said(made.left_out)
        raise ComponentError(f"none of {len(rows)} rows can be learned from: {reasons}")
    return made


def said(left_out: Mapping[str, int]) -> str:
    """Return the counts in words."""
    return ", ".join(f"{n} {reason}" for reason, n in left_out.items())


def _unusable(row: Experience) -> str | None:
    text = row.solution.text
    if row.solution.error is not None:
        return "failed when sampled"
    if not text:
        return "without text"
    if text.encode("utf-8", "replace").decode("utf-8") != text:
        return "with text that is not valid Unicode"
    return None


def _add(
    row: Experience,
    start: Learner,
    tokenizer: PreTrainedTokenizerBase,
    window: int,
    made: Lessons,
) -> str | None:
    """Add `row` to `made`, or return why not."""
    turns = row.solution.turns
    last = max(i for i, m in enumerate(turns) if m.role == "assistant")
    shown = (*start.render(row.task), *turns[:last])
    prompt = chat_tokens(tokenizer, shown)
    ids = _answered(tokenizer, shown, turns[last], prompt)
    if len(ids) > window:
        return f"longer than the window of {window} tokens"
    # A template may render the prompt alone otherwise than before an answer; the completion
    # begins where they part.
    both = zip(prompt, ids, strict=False)
    begin = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], both))
    made.ids.append(ids)
    made.labels.append([IGNORED] * begin + ids[begin:])
    return None


def _answered(
    tokenizer: PreTrainedTokenizerBase,
    shown: Sequence[Message],
    answer: Message,
    prompt: Sequence[int],
) -> list[int]:
    """Return the tokens of the conversation with its answer and the end of that turn.

    What `models.chat_tokens` does to a prompt is done to the answer: the same template or lines,
    and no special token spelt out in the text.
    """
    specials = sorted(tokenizer.all_special_tokens, key=len, reverse=True)
    if tokenizer.chat_template:
        turns = (*shown, answer)
        chat = [{"role": m.role, "content": defused(m.content, specials)} for m in turns]
        whole: list[int] = tokenizer.apply_chat_template(chat, tokenize=True, return_dict=False)
        return whole
    text = " " + defused(answer.content, specials).strip()
    written = tokenizer(text, add_special_tokens=False)["input_ids"]
    return [*prompt, *written, tokenizer.eos_token_id]
