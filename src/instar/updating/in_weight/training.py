"""TRL's SFTTrainer, told where to report, how to count the loss and when to warm up."""

from __future__ import annotations

import gc
import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from instar.events import Event, Note, Progress
from instar.updating.in_weight.lessons import Lessons
from instar.updating.in_weight.loss import batch_loss, can_share, common_prefix, prefix_cache

if TYPE_CHECKING:
    from peft import PeftModel
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase
    from trl import SFTConfig


# Up to this many tokens a row attends faster on a CPU by plain products than by torch's fused
# kernel, with its backward pass: 3.4 times at 60 tokens, 2.2 at 200, 0.6 at 500 (measured); and
# the probabilities that plain products keep for it stay small.
PLAIN_ATTENTION = 128


@dataclass(frozen=True)
class Setting:
    """How to train: TRL's configuration, whether rows share their prefix, and who is told."""

    config: SFTConfig
    share: bool
    emit: Callable[[Event], None]


def train(
    tuned: PeftModel, tokenizer: PreTrainedTokenizerBase, made: Lessons, setting: Setting
) -> None:
    """Run TRL's trainer over the lessons; the model's adapter holds the result."""
    import torch  # lazily, as all of these: they load torch
    from datasets import Dataset
    from peft.helpers import disable_input_dtype_casting
    from transformers import PrinterCallback

    config = setting.config
    if tuned.device.type == "cpu" and max(map(len, made.ids)) <= PLAIN_ATTENTION:
        tuned.get_base_model().set_attn_implementation("eager")
    data = Dataset.from_dict({"input_ids": made.ids, "labels": made.labels})
    # Under autocast every product is in the lower precision anyway; PEFT's own cast of each input
    # to the adapter's fp32 would only be undone.
    mixed = config.bf16 or config.fp16
    with disable_input_dtype_casting(tuned) if mixed else nullcontext():
        trainer = trainer_class(setting)(
            tuned, args=config, train_dataset=data, processing_class=tokenizer
        )
        trainer.remove_callback(PrinterCallback)  # it prints
        trainer.shares_prefix = _may_share(trainer, tuned)
        trainer.train()
    del trainer
    gc.collect()  # the trainer's cycles hold the model and the optimizer's state
    if torch.cuda.is_available():
        torch.cuda.empty_cache()  # the engine may live in the same memory


def trainer_class(setting: Setting) -> type[Any]:
    """Return the subclass of TRL's trainer; made in a function, because its base loads torch."""
    from trl import SFTTrainer

    class QuietTrainer(SFTTrainer):  # type: ignore[misc]  # TRL has no types
        """SFTTrainer that reports to the run alone and computes no token twice."""

        done = 0
        shares_prefix = False

        def training_step(self, model: Any, inputs: Any, *count: Any) -> Any:
            loss = super().training_step(model, inputs, *count)
            done = len(self.train_dataset) * (self.state.global_step + 1) // self.state.max_steps
            tokens = int(inputs["attention_mask"].sum())
            setting.emit(Progress(done=done - self.done, tokens=tokens))
            self.done = done
            return loss

        def compute_loss(
            self,
            model: Any,
            inputs: Any,
            return_outputs: bool = False,
            num_items_in_batch: Any = None,
        ) -> Any:
            if setting.share and _is_plain(self) and not return_outputs:
                return _loss(self, model, inputs, num_items_in_batch)
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)

        def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
            steps = num_training_steps
            warmup = self.args.get_warmup_steps(steps)
            if warmup >= steps:  # the rate would never be reached; at one step it would be 0
                self.args.warmup_steps = steps // 2
                said = (
                    f"only {steps} training steps: the warm-up of {warmup} is cut to {steps // 2}"
                )
                setting.emit(Note(text=said))
            return super().create_scheduler(steps, optimizer)

        def _send_telemetry(self) -> None:
            """Send nothing: TRL reports every training to its makers."""

    return QuietTrainer


@contextmanager
def own_randomness(seed: int) -> Iterator[None]:
    """Seed the global generators that PEFT and TRL draw from, and put them back afterwards."""
    import torch  # lazily: heavy

    python, numbers = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numbers)


@contextmanager
def own_warnings() -> Iterator[None]:
    """Keep to the libraries what one of them has to say to another of its deprecations."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def _is_plain(trainer: Any) -> bool:
    """Tell whether the loss is the plain mean negative log-likelihood of one forward pass."""
    args = trainer.args
    special = args.loss_type != "nll" or args.label_smoothing_factor or args.torch_compile
    return not (special or trainer.aux_loss_enabled)


def _loss(trainer: Any, model: Any, inputs: Any, count: Any) -> Tensor:
    """Return the batch's loss, normalised as TRL does, with the common prefix run once."""
    tuned = trainer.accelerator.unwrap_model(model)
    backbone = tuned.get_base_model().base_model
    length = common_prefix(inputs["input_ids"], inputs["labels"])
    prefix = None
    if length and trainer.shares_prefix:
        with trainer.accelerator.autocast():
            prefix = prefix_cache(backbone, inputs["input_ids"], length)
    total, labels = batch_loss(model, backbone, inputs, prefix)
    if count is None:
        return total / max(labels, 1)
    many = trainer.accelerator.num_processes if trainer.args.average_tokens_across_devices else 1
    return total / count * many


def _may_share(trainer: Any, tuned: Any) -> bool:
    """Tell whether a pass over the prefix alone is exact and possible in this setting."""
    args = trainer.args
    random_or_sharded = (
        args.gradient_checkpointing  # recomputes without the cache
        or args.neftune_noise_alpha  # one draw of noise would serve all rows
        or trainer.is_fsdp_enabled
        or trainer.is_deepspeed_enabled
    )
    return not random_or_sharded and can_share(tuned)
