"""An adapter on disk: attached to the base model to be trained, and saved as content alone."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

from instar.errors import ComponentError, RecipeError

if TYPE_CHECKING:
    from peft import LoraConfig, PeftModel
    from torch import Tensor
    from transformers import PreTrainedModel

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
PLAIN = (".lora_A.weight", ".lora_B.weight")
# Fields of an adapter's configuration that say nothing about what its weights compute.
INCIDENTAL = {
    "base_model_name_or_path",
    "inference_mode",
    "init_lora_weights",
    "lora_dropout",
    "peft_version",
    "revision",
}


def attach(model: PreTrainedModel, lora: LoraConfig, previous: Path | None) -> PeftModel:
    """Wrap `model` with a fresh adapter, or with the weights of the one in `previous`.

    The adapter's parameters are fp32 whatever the base model's type is: steps of AdamW at 1e-3 are
    often smaller than bf16 can add.

    Raises:
        RecipeError: if `target_modules` names no layer of the model, or one that is not linear.
        ComponentError: if `previous` was made with other LoRA settings.
    """
    from peft import get_peft_model  # lazily: loads torch

    try:
        tuned = get_peft_model(model, lora)
    except ValueError as error:
        first = str(error).strip().partition("\n")[0]
        raise RecipeError(f"updating.train.lora: {first}") from error
    odd = next((n for n in weights(tuned) if not n.endswith(PLAIN)), None)
    if odd is not None:
        raise RecipeError(f"updating.train.lora: {odd} is none of plain LoRA, which is served")
    if previous is not None:
        _fill(tuned, previous)
    return tuned


def weights(tuned: PeftModel) -> dict[str, Tensor]:
    """Return a copy of what training changes, in fp32 on the CPU, by the adapter's own names."""
    from peft import get_peft_model_state_dict  # lazily: loads torch

    state = get_peft_model_state_dict(tuned, save_embedding_layers=False)
    return {name: t.detach().float().cpu().clone() for name, t in state.items()}


def check_change(before: dict[str, Tensor], after: dict[str, Tensor]) -> None:
    """See that training did something, and nothing absurd.

    Raises:
        ComponentError: if the weights are what they were, or not finite.
    """
    changes = [float((after[name] - before[name]).abs().max()) for name in before]
    if not all(map(math.isfinite, changes)):
        raise ComponentError("training made weights that are not finite: lower the learning_rate")
    if not any(changes):
        raise ComponentError("training changed no weight: is the learning_rate 0?")


def save(tuned: PeftModel, state: dict[str, Tensor], base: str, folder: Path) -> None:
    """Write the adapter's weights in fp32 and its configuration, nothing else.

    Nothing in the files depends on the place, the time or the order of a set, so that equal
    training gives equal content; fp32, so that training can go on from them without a loss.
    """
    from safetensors.torch import save_file  # lazily: loads torch

    folder.mkdir(parents=True, exist_ok=True)
    whole = {name: t.contiguous() for name, t in state.items()}
    save_file(whole, folder / WEIGHTS, metadata={"format": "pt"})
    config = {**_plain(tuned.peft_config["default"]), "base_model_name_or_path": base}
    config["inference_mode"] = True
    text = json.dumps(config, indent=2, sort_keys=True)
    (folder / CONFIG).write_text(text + "\n", encoding="utf-8")


def _fill(tuned: PeftModel, previous: Path) -> None:
    from peft import set_peft_model_state_dict  # lazily: loads torch
    from safetensors.torch import load_file

    saved = json.loads((previous / CONFIG).read_text(encoding="utf-8"))
    now = _plain(tuned.peft_config["default"])
    for name in sorted(now.keys() & saved.keys() - INCIDENTAL):
        if now[name] != saved[name]:
            raise ComponentError(
                f"the learner's adapter has {name} {saved[name]!r}, the recipe asks for "
                f"{now[name]!r}: keep the setting, or use start_from: base"
            )
    result = set_peft_model_state_dict(tuned, load_file(previous / WEIGHTS))
    if result.unexpected_keys:
        stranger = result.unexpected_keys[0]
        raise ComponentError(f"the learner's adapter does not fit: no place for {stranger}")


def _plain(config: LoraConfig) -> dict[str, object]:
    """Return the configuration as JSON data with sets in a fixed order."""
    data: dict[str, object] = json.loads(json.dumps(config.to_dict(), default=sorted))
    return data
