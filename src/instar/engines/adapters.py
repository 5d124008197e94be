"""The weights of a learner in the rollout model: base + scale * B A, written in place."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from instar.errors import EngineError

PREFIX = "base_model.model."
# What is refused rather than served wrongly: PEFT can train these, this merge cannot express them.
REFUSED = ("use_dora", "modules_to_save", "rank_pattern", "alpha_pattern", "fan_in_fan_out")


class Weights:
    """The rollout model's weights, switched between learners in a tenth of a second."""

    def __init__(self, model: Any) -> None:
        self._parameters: dict[str, torch.Tensor] = dict(model.named_parameters())
        self._base: dict[str, torch.Tensor] = {}
        self.current: str | None = None

    def switch(self, artefact: str | None, folder: Path | None) -> None:
        """Serve the adapter in `folder`, or without one the base.

        Raises:
            EngineError: for an adapter that is not plain LoRA over this model.
        """
        if artefact == self.current:
            return
        changes = _changes(folder) if folder is not None else {}
        unknown = next((n for n in changes if n not in self._parameters), None)
        if unknown is not None:
            raise EngineError(f"adapter {artefact}: the model has no weight {unknown}")
        with torch.no_grad():
            for name in {*self._base, *changes}:
                weight = self._parameters[name]
                base = self._base.setdefault(name, weight.clone())
                change = changes.get(name)
                weight.copy_(base if change is None else base.float() + change.to(weight.device))
        self.current = artefact

    def fingerprint(self) -> str:
        """Return the hash of every weight now in use, read from memory."""
        found = hashlib.sha256()
        for name in sorted(self._parameters):
            weight = self._parameters[name].detach().contiguous().cpu()
            found.update(name.encode())
            found.update(weight.view(torch.uint8).numpy().data)
        return found.hexdigest()


def _changes(folder: Path) -> dict[str, torch.Tensor]:
    """Return weight name -> scale * B A, in fp32."""
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    odd = [name for name in REFUSED if config.get(name)]
    if config.get("peft_type") != "LORA" or odd or config.get("bias", "none") != "none":
        raise EngineError(f"{folder}: only plain LoRA is served, not {odd or config['peft_type']}")
    rank = config["r"]
    scale = config["lora_alpha"] / (rank**0.5 if config.get("use_rslora") else rank)
    tensors = load_file(folder / "adapter_model.safetensors")
    made = {}
    for name, down in tensors.items():
        if ".lora_A." in name:
            up = tensors[name.replace(".lora_A.", ".lora_B.")]
            target = name.removeprefix(PREFIX).replace(".lora_A.weight", ".weight")
            made[target] = scale * (up.float() @ down.float())
    return made
