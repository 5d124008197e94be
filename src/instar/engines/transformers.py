"""Generation with transformers: the fast rollout loop, the learner's weights, and their proof."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from instar import models
from instar.events import Progress
from instar.protocols import Context
from instar.types import Completion, Learner, Request, Sampling, digest

if TYPE_CHECKING:
    from instar.engines.adapters import Weights

MEMORY = 2_000_000_000  # bytes of keys and values in one batch; ours
TELL = 0.1  # seconds between progress events
SPINS = "1000"  # ours, by hand: a little slower when idle, faster in a crowd


@dataclass
class TransformersEngine:
    """An `Engine` over a causal language model of transformers; loaded when first used.

    It serves one thread at a time: an assessor that asks the learner waits for the solver.

    Args:
        model: `smollm2`, a local folder or a hub name.
        dtype: `bfloat16`, `float32`, or `auto` for what the hardware does best.
        max_rows: completions decoded at once; fewer where memory asks for it.
    """

    model: str
    dtype: str = "auto"
    max_rows: int = 1024
    _loaded: _Loaded | None = field(default=None, repr=False)
    _serves: Lock = field(default_factory=Lock, repr=False)

    def __post_init__(self) -> None:
        """Let threads that wait for each other sleep soon, unless the user said otherwise.

        GNU OpenMP's spin 300,000 times by default, and where another program wants a core they
        spin in the way of the one they wait for (benchmarks/crowded.py). The library reads this
        once, when torch is loaded.
        """
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)

    def generate(
        self, requests: Sequence[Request], learner: Learner, context: Context, /
    ) -> list[tuple[Completion, ...]]:
        """Complete each request `n` times; see `protocols.Engine`."""
        with self._serves:
            return self._generate(requests, learner, context)

    def _generate(
        self, requests: Sequence[Request], learner: Learner, context: Context
    ) -> list[tuple[Completion, ...]]:
        loaded = self._serving(learner, context)
        prompts = [models.chat_tokens(loaded.tokenizer, r.messages) for r in requests]
        found: dict[int, tuple[Completion, ...]] = {}
        fitting: list[int] = []
        for i, (request, prompt) in enumerate(zip(requests, prompts, strict=True)):
            total = len(prompt) + request.sampling.max_tokens
            if total > loaded.window:
                told = (
                    f"the prompt has {len(prompt)} tokens, and with {request.sampling.max_tokens} "
                    f"new ones that is more than the model's window of {loaded.window}"
                )
                failed = Completion(text="", tokens=0, finished=False, error=told)
                found[i] = (failed,) * request.n
            else:
                fitting.append(i)
        rows = sum(requests[i].n for i in fitting)
        tick = _ticker(context, len(fitting) / max(1, rows))
        for chunk in self._chunks(fitting, requests, prompts, loaded):
            made = self._decode(chunk, requests, prompts, loaded, context.seed, tick)
            for i, completion in made:
                found[i] = (*found.get(i, ()), completion)
        tick(0, 0, True)
        return [found[i] for i in range(len(requests))]

    def fingerprint(self, learner: Learner, context: Context, /) -> str:
        """Return the hash of all weights served for `learner`, read from the model in use."""
        return self._serving(learner, context).weights.fingerprint()

    def facts(self) -> tuple[str, ...]:
        """Say which model runs where, in which number format and why."""
        loaded = self._load()
        size = loaded.model.num_parameters() / 1e6
        chosen = models.hardware()
        dtype = str(loaded.model.dtype).removeprefix("torch.")
        facts = [
            f"model: {self.model}, {size:.0f}M parameters, window {loaded.window} tokens",
            f"engine: transformers on {loaded.model.device}, {dtype} ({chosen.reason})",
        ]
        if not loaded.tokenizer.chat_template:
            facts.append("the tokenizer has no chat template: turns are written as 'User: ...'")
        return tuple(facts)

    def _serving(self, learner: Learner, context: Context) -> _Loaded:
        """Return the model with the learner's weights in it."""
        loaded = self._load()
        folder = context.artefacts.path(learner.adapter) if learner.adapter else None
        loaded.weights.switch(learner.adapter, folder)
        return loaded

    def _load(self) -> _Loaded:
        if self._loaded is None:
            # Imported here: torch and transformers take seconds, and building an engine is free.
            from instar.engines.adapters import Weights
            from instar.engines.cache import ATTENTION
            from instar.engines.fused import fuse

            model, tokenizer = models.load(self.model, None if self.dtype == "auto" else self.dtype)
            model.set_attn_implementation(ATTENTION)
            fuse(model)
            self._loaded = _Loaded(
                model=model,
                tokenizer=tokenizer,
                weights=Weights(model),
                window=models.window(model),
                ends=_ends(model, tokenizer),
            )
        return self._loaded

    def _chunks(
        self,
        fitting: Sequence[int],
        requests: Sequence[Request],
        prompts: Sequence[Sequence[int]],
        loaded: _Loaded,
    ) -> list[list[tuple[int, int, int]]]:
        """Group requests of equal sampling and like length into batches that fit the memory.

        Returns:
            Lists of (request, first sample, samples).
        """
        # Imported here: see `_load`.
        from instar.engines.decoding import shared_length

        chunks: list[list[tuple[int, int, int]]] = []
        by_sampling: dict[Sampling, list[int]] = {}
        for i in fitting:
            by_sampling.setdefault(requests[i].sampling, []).append(i)
        for sampling, members in by_sampling.items():
            members.sort(key=lambda i: len(prompts[i]))
            shared = shared_length([prompts[i] for i in members])
            longest = len(prompts[members[-1]]) - shared + sampling.max_tokens
            room = max(1, min(self.max_rows, MEMORY // (loaded.bytes_per_token * longest)))
            chunk: list[tuple[int, int, int]] = []
            free = room
            for i in members:
                first = 0
                while first < requests[i].n:
                    count = min(free, requests[i].n - first)
                    chunk.append((i, first, count))
                    first, free = first + count, free - count
                    if free == 0:
                        chunks.append(chunk)
                        chunk, free = [], room
            if chunk:
                chunks.append(chunk)
        return chunks

    def _decode(
        self,
        chunk: Sequence[tuple[int, int, int]],
        requests: Sequence[Request],
        prompts: Sequence[Sequence[int]],
        loaded: _Loaded,
        seed: int,
        tick: Callable[[int, int], None],
    ) -> list[tuple[int, Completion]]:
        # Imported here: see `_load`.
        import torch

        from instar.engines.decoding import decode

        sampling = requests[chunk[0][0]].sampling
        owners = [(i, s) for i, first, n in chunk for s in range(first, first + n)]
        uniforms = np.stack(
            [_uniforms(seed, requests[i].key, s, sampling.max_tokens) for i, s in owners]
        )
        rows = decode(
            loaded.model,
            [prompts[i] for i, _, _ in chunk],
            [n for _, _, n in chunk],
            sampling,
            torch.from_numpy(uniforms).to(loaded.model.device),
            loaded.ends,
            tick,
        )
        texts = loaded.tokenizer.batch_decode(rows.tokens, skip_special_tokens=True)
        return [
            (
                i,
                Completion(
                    text=text,
                    tokens=len(tokens),
                    finished=finished,
                    logprob=logprob,
                ),
            )
            for (i, _), text, tokens, finished, logprob in zip(
                owners, texts, rows.tokens, rows.finished, rows.logprobs, strict=True
            )
        ]


@dataclass(kw_only=True)
class _Loaded:
    """A model in memory with what is known of it."""

    model: Any
    tokenizer: Any
    weights: Weights
    window: int
    ends: tuple[int, ...]

    @property
    def bytes_per_token(self) -> int:
        """Keys and values of one token in all layers."""
        config = self.model.config
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        return int(2 * config.num_hidden_layers * heads * size * self.model.dtype.itemsize)


def _uniforms(seed: int, key: str, sample: int, count: int) -> np.ndarray:
    """Return the numbers that decide one sample's draws, whatever else is in its batch."""
    philox = np.random.Philox(key=int(digest("draw", seed, key, sample), 16))
    return np.random.Generator(philox).random(count, dtype=np.float32)


def _ends(model: Any, tokenizer: Any) -> tuple[int, ...]:
    """Return the tokens that end a turn: those of the generation config and the tokenizer."""
    listed = model.generation_config.eos_token_id
    ends = set(listed if isinstance(listed, list) else [listed])
    ends.add(tokenizer.eos_token_id)
    return tuple(sorted(e for e in ends if e is not None))


def _ticker(context: Context, share: float) -> Callable[..., None]:
    """Return a counter that emits `Progress` ten times a second at most.

    Args:
        context: whom to tell.
        share: what a completion is of a request.
    """
    told, done, tokens = time.monotonic(), 0.0, 0

    def tick(more_done: int, more_tokens: int, flush: bool = False) -> None:
        nonlocal told, done, tokens
        done, tokens = done + share * more_done, tokens + more_tokens
        if (done or tokens) and (flush or time.monotonic() - told > TELL):
            context.emit(Progress(done=done, tokens=tokens))
            told, done, tokens = time.monotonic(), 0.0, 0

    return tick
