"""Supervised fine-tuning of an adapter on the experience that was kept."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from instar.events import Note
from instar.models import load, window
from instar.protocols import Context
from instar.types import Experience, Learner
from instar.updating.in_weight.adapter import attach, check_change, save, weights
from instar.updating.in_weight.lessons import lessons, said
from instar.updating.in_weight.options import lora_config, trainer_config
from instar.updating.in_weight.training import Setting, own_randomness, own_warnings, train

if TYPE_CHECKING:
    from trl import SFTConfig


@dataclass(frozen=True)
class Sft:
    """Fine-tune a LoRA adapter (arXiv 2106.09685) on kept solutions, loss on the completion alone.

    `lora` goes to `peft.LoraConfig` and `trainer` to `trl.SFTConfig` as they are; what those
    libraries do not know is refused before anything is sampled. Where they say nothing: all linear
    layers, bf16 where the hardware has it, rows of like length together, and no activation
    checkpointing. The adapter's own weights are fp32. `shared_prefix` runs what all rows of a
    batch begin with once, with the same gradients; `false` takes TRL's loss as it is. A row longer
    than the model's window, or than `max_length`, is left out, and the run says so. Equal rows and
    seed give an equal adapter, bit by bit, on one kind of CPU; a GPU may round otherwise.
    """

    lora: Mapping[str, object] = field(default_factory=dict)
    trainer: Mapping[str, object] = field(default_factory=dict)
    shared_prefix: bool = True

    def check(self) -> None:
        """Build PEFT's and TRL's configurations.

        Raises:
            RecipeError: naming the option that the library refuses.
        """
        lora_config(self.lora)
        with tempfile.TemporaryDirectory(prefix="instar-check-") as place:
            trainer_config(self.trainer, Path(place), seed=0)

    def fit(
        self, rows: Sequence[Experience], start: Learner, folder: Path, context: Context, /
    ) -> None:
        """Train on `rows` from `start` and leave the adapter in `folder`.

        Raises:
            ComponentError: if no row can be learned from, the start's adapter was made with other
                settings, or training changes nothing or breaks the weights.
        """
        seed = int(context.rng("train").integers(2**31))
        lora, config = lora_config(self.lora), trainer_config(self.trainer, folder, seed)
        model, tokenizer = load(start.base, _dtype(config))
        limit = min(window(model), config.max_length or window(model))
        made = lessons(rows, start, tokenizer, limit)
        if made.left_out:
            kept = f"{len(made.ids)} of {len(rows)} rows are learned from"
            context.emit(Note(text=f"{kept}; left out: {said(made.left_out)}", level="warning"))
        previous = context.artefacts.path(start.adapter) if start.adapter else None
        with own_randomness(seed), own_warnings():
            tuned = attach(model, lora, previous)
            before = weights(tuned)
            train(tuned, tokenizer, made, Setting(config, self.shared_prefix, context.emit))
        after = weights(tuned)
        check_change(before, after)
        save(tuned, after, start.base, folder)


def _dtype(config: SFTConfig) -> str:
    """Return the type of the base model's weights that goes with the trainer's precision."""
    if config.bf16:
        return "bfloat16"
    return "float16" if config.fp16 else "float32"
