"""The user's options for PEFT and TRL become those libraries' own configurations, checked."""

from __future__ import annotations

import math
import typing
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import TypeAdapter, ValidationError

from instar.errors import MissingExtra, RecipeError, nearest
from instar.models import hardware

if TYPE_CHECKING:
    from peft import LoraConfig
    from trl import SFTConfig

C = TypeVar("C")

LORA = "updating.train.lora"
TRAINER = "updating.train.trainer"

# What an update decides itself and why: names of options, or beginnings of names, ending in "_".
ROWS = "sft prepares the rows itself: prompt, completion, loss on the completion alone"
STORE = "the adapter goes to the run's store"
SEED = "the run's seed decides"
TOLD = "progress goes to the run's events"
JUDGED = "the recipe's `evaluation` measures the learner"
PREFIX = "the rows of a batch share their prefix instead"
MODEL = "the recipe's `model` is tuned"
OWN_TRAINER = {
    STORE: "output_dir save_ hub_ push_to_ resume_from_ load_best_ restore_ enable_jit_",
    SEED: "seed data_seed",
    TOLD: "report_to run_name project trackio_ logging_ log_ disable_tqdm",
    JUDGED: "eval_ do_ per_device_eval_ prediction_ metric_ greater_ batch_eval_ include_for_",
    ROWS: "dataset_ shuffle_ truncation_ remove_ completion_only_ assistant_only_ label_names "
    "chat_template_ eos_token pad_token",
    PREFIX: "packing packing_ padding_free",
    MODEL: "model_init_kwargs trust_remote_code",
}
# The engines serve base + scale * B A: PEFT's other options would be trained, but not served.
PLAIN_LORA = (
    "r",
    "lora_alpha",
    "lora_dropout",
    "use_rslora",
    "init_lora_weights",
    "target_modules",
    "exclude_modules",
    "layers_to_transform",
    "layers_pattern",
)
# Starts that leave the base model's weights as they are; the others (PiSSA, OLoRA ...) change
# them, and the adapter would be wrong on the base model that the engine serves.
STARTS = (True, False, "gaussian", "orthogonal")


NEEDS = "training needs {}: pip install 'instar[train]'"


def lora_config(options: Mapping[str, object]) -> LoraConfig:
    """Build PEFT's configuration; where no layers are named, all linear ones are tuned.

    All linear layers: QLoRA, arXiv 2305.14314, section 4, and because PEFT knows no default for
    many architectures.

    Raises:
        RecipeError: naming the option that is unknown, of a wrong type, or not the user's.
        MissingExtra: if PEFT is not installed.
    """
    try:
        from peft import LoraConfig  # lazily: loads torch
    except ModuleNotFoundError as error:
        raise MissingExtra(NEEDS.format(error.name)) from error

    others = {f.name for f in fields(LoraConfig)} - set(PLAIN_LORA)
    why = f"the engines serve plain LoRA, by {', '.join(PLAIN_LORA)}"
    _checked(options, LoraConfig, LORA, {why: " ".join(others)})
    start = options.get("init_lora_weights", True)
    if start not in STARTS:
        raise RecipeError(
            f"{LORA}.init_lora_weights: {start!r} changes the base model's weights, which the "
            f"engine serves as they are; choose from {', '.join(map(repr, STARTS))}"
        )
    values = {"target_modules": "all-linear", **options, "task_type": "CAUSAL_LM"}
    return _built(LoraConfig, values, LORA)


def trainer_config(options: Mapping[str, object], folder: Path, seed: int) -> SFTConfig:
    """Build TRL's configuration from our few defaults, the user's options and the run's decisions.

    Raises:
        RecipeError: naming the option that is unknown, of a wrong type, or not the user's.
        MissingExtra: if TRL is not installed.
    """
    try:
        from trl import SFTConfig  # lazily: loads torch
    except ModuleNotFoundError as error:
        raise MissingExtra(NEEDS.format(error.name)) from error

    _checked(options, SFTConfig, TRAINER, OWN_TRAINER)
    decided: dict[str, object] = {
        "output_dir": str(folder),
        "seed": seed,
        "report_to": "none",
        "save_strategy": "no",
        "logging_strategy": "no",
        "disable_tqdm": True,
        "dataset_kwargs": {"skip_prepare_dataset": True},
    }
    config = _built(SFTConfig, {**_defaults(options), **options, **decided}, TRAINER)
    # Of several GPUs in sight one is used: transformers would copy the model by DataParallel,
    # which TRL refuses.
    config._n_gpu = min(config.n_gpu, 1)
    return config


def _defaults(options: Mapping[str, object]) -> dict[str, object]:
    """Return what is used where the user says nothing.

    No checkpointing of activations, which TRL turns on: an adapter's fit, and computing them again
    costs a third of the time. No `max_length`, where TRL would cut a row at 1024 tokens: a row
    longer than the model's window is left out instead. Rows of like length in a batch: a seventh
    fewer tokens of padding and prompt are computed on short answers.
    """
    machine = hardware()
    given = {"gradient_checkpointing", "activation_checkpointing"} & options.keys()
    return {
        "bf16": machine.dtype == "bfloat16" and not options.get("fp16"),
        "use_cpu": machine.device == "cpu",
        "max_length": None,
        "train_sampling_strategy": "group_by_length",
        **({} if given else {"activation_checkpointing": False}),
    }


def _checked(
    options: Mapping[str, object], config: type, where: str, own: Mapping[str, str]
) -> None:
    """Refuse options that the library does not have, that are of a wrong type, or the run's."""
    known = {f.name for f in fields(config) if f.init}
    hints = typing.get_type_hints(config)
    for name, value in options.items():
        if name not in known:
            hint = nearest(name, known)
            raise RecipeError(f"{where}.{name}: {config.__name__} has no option {name!r}{hint}")
        for why, names in own.items():
            if any(name == n or (n[-1] == "_" and name.startswith(n)) for n in names.split()):
                raise RecipeError(f"{where}.{name}: not an option of a recipe: {why}")
        if isinstance(value, float) and not math.isfinite(value):
            raise RecipeError(f"{where}.{name}: expected a finite number, found {value}")
        try:
            TypeAdapter(hints[name]).validate_python(value, strict=True)
        except ValidationError as error:
            message = error.errors()[0]["msg"]
            sentence = message[0].lower() + message[1:]
            raise RecipeError(f"{where}.{name}: {sentence}, found {value!r:.60}") from error


def _built(config: type[C], values: Mapping[str, object], where: str) -> C:
    """Let the library build its configuration; its refusal is the user's to read."""
    try:
        return config(**values)
    except (TypeError, ValueError, ImportError) as error:
        first = str(error).strip().partition("\n")[0]
        raise RecipeError(f"{where}: {config.__name__} refuses: {first}") from error
