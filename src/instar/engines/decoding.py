"""The rollout loop: what all prompts share is computed once, a prompt once for all its samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from instar.engines.cache import buffered, grow, keep_rows
from instar.engines.sampler import draw
from instar.types import Sampling

LEAST_SHARED = 8  # tokens of common prefix that are worth a pass of their own; ours
DROP = 0.08  # share of finished rows at which they leave the batch; ours
ROOM = 32  # positions by which the buffers grow; ours
PREFILL = 4096  # tokens in one prefill pass, which bounds its memory; ours


@dataclass(frozen=True, kw_only=True)
class Rows:
    """What was sampled for each row: its tokens (the end included), log-probability and end."""

    tokens: list[list[int]]
    logprobs: list[float]
    finished: list[bool]


def shared_length(prompts: Sequence[Sequence[int]]) -> int:
    """Return how many leading tokens all prompts share, leaving each at least one of its own."""
    if len(prompts) < 2:
        return 0
    first, last = min(map(list, prompts)), max(map(list, prompts))
    most = min(len(p) for p in prompts) - 1
    same = next((i for i in range(most) if first[i] != last[i]), max(most, 0))
    return same if same >= LEAST_SHARED else 0


def decode(
    model: Any,
    prompts: Sequence[Sequence[int]],
    repeats: Sequence[int],
    sampling: Sampling,
    uniforms: torch.Tensor,
    ends: Sequence[int],
    tick: Callable[[int, int], None],
) -> Rows:
    """Sample `repeats[i]` completions of `prompts[i]`, all rows in one batch.

    Args:
        model: a causal language model of transformers, in evaluation mode.
        prompts: token ids; any order and lengths.
        repeats: samples per prompt.
        sampling: the same for all rows.
        uniforms: [rows, max_tokens] numbers in [0, 1) that decide every draw.
        ends: token ids that end a completion.
        tick: told (rows finished, tokens sampled) after every step.

    Returns:
        Rows in the order of the prompts, the samples of one prompt together.
    """
    with torch.inference_mode():
        return _decode(_Batch(model, prompts, repeats, sampling), uniforms, ends, tick)


def _decode(
    batch: _Batch, uniforms: torch.Tensor, ends: Sequence[int], tick: Callable[[int, int], None]
) -> Rows:
    sampling, rows = batch.sampling, len(uniforms)
    logits = batch.prefill()
    device = logits.device
    tokens = torch.zeros((rows, sampling.max_tokens), dtype=torch.long, device=device)
    logprobs = torch.zeros(rows, device=device)
    lengths = torch.zeros(rows, dtype=torch.long, device=device)
    done = torch.zeros(rows, dtype=torch.bool, device=device)
    end = torch.tensor(sorted(ends), device=device)
    alive = torch.arange(rows, device=device)
    for step in range(sampling.max_tokens):
        chosen, scores = draw(logits, uniforms[alive, step], sampling.temperature, sampling.top_p)
        open_ = ~done[alive]
        live = alive[open_]
        tokens[live, step] = chosen[open_]
        logprobs[live] += scores[open_]
        lengths[live] = step + 1
        done[live] = torch.isin(chosen[open_], end)
        left = int((~done[alive]).sum())
        tick(len(live) - left, len(live))
        if left == 0 or step + 1 == sampling.max_tokens:
            break
        if left <= (1 - DROP) * len(alive):
            stay = (~done[alive]).nonzero()[:, 0]
            batch.keep(stay)
            alive, chosen = alive[stay], chosen[stay]
        logits = batch.step(chosen)
    return Rows(
        tokens=[t[:n] for t, n in zip(tokens.tolist(), lengths.tolist(), strict=True)],
        logprobs=logprobs.tolist(),
        finished=done.tolist(),
    )


class _Batch:
    """The keys and values of all rows, left-padded to one length, and where each row stands."""

    def __init__(
        self,
        model: Any,
        prompts: Sequence[Sequence[int]],
        repeats: Sequence[int],
        sampling: Sampling,
    ) -> None:
        self._model, self._prompts, self._repeats = model, prompts, repeats
        self.sampling = sampling
        self._shared = shared_length(prompts)
        self._prefix: list[tuple[torch.Tensor, torch.Tensor]] | None = None
        self._longest = max(len(p) for p in prompts) - self._shared
        self._capacity = self._longest + min(sampling.max_tokens, ROOM)
        self._device = model.device

    def prefill(self) -> torch.Tensor:
        """Run all prompts; return the logits after each row's last token."""
        if self._shared:
            first = torch.tensor([self._prompts[0][: self._shared]], device=self._device)
            cache = self._model(first, use_cache=True, logits_to_keep=1).past_key_values
            self._prefix = [(layer.keys, layer.values) for layer in cache.layers]
        groups: dict[int, list[int]] = {}
        for i, prompt in enumerate(self._prompts):
            groups.setdefault(len(prompt), []).append(i)
        logits: torch.Tensor | None = None
        buffers: list[tuple[torch.Tensor, torch.Tensor]] = []
        starts = _starts(self._repeats)
        for length, members in groups.items():
            size = max(1, PREFILL // length)
            for at in range(0, len(members), size):
                part = members[at : at + size]
                out = self._run(part)
                if logits is None:
                    rows = sum(self._repeats)
                    buffers = [self._buffer(rows, layer) for layer in out.past_key_values.layers]
                    logits = out.logits.new_empty((rows, out.logits.shape[-1]))
                self._spread(out, part, starts, buffers, logits)
        assert logits is not None  # there is at least one prompt
        self._cache = buffered(buffers, self._longest)
        lengths = torch.tensor([len(p) for p in self._prompts], device=self._device)
        self._position = torch.repeat_interleave(
            lengths, torch.tensor(self._repeats, device=self._device)
        )
        filled = torch.arange(self._capacity, device=self._device)
        padding = (self._shared + self._longest - self._position)[:, None]
        self._mask = torch.full(
            (len(self._position), 1, 1, self._capacity),
            torch.finfo(self._model.dtype).min,
            dtype=self._model.dtype,
            device=self._device,
        )
        self._mask[((filled >= padding) & (filled < self._longest))[:, None, None]] = 0
        self._mask = torch.nn.functional.pad(self._mask, (self._shared, 0))
        return logits

    def step(self, chosen: torch.Tensor) -> torch.Tensor:
        """Append one token to every row; return the logits after it."""
        length = self._cache.get_seq_length()
        if length == self._capacity:
            grow(self._cache, ROOM)
            hidden = torch.finfo(self._model.dtype).min
            self._mask = torch.nn.functional.pad(self._mask, (0, ROOM), value=hidden)
            self._capacity += ROOM
        self._mask[..., self._shared + length] = 0
        out = self._model(
            chosen[:, None],
            attention_mask=self._mask,
            position_ids=self._position[:, None],
            past_key_values=self._cache,
            use_cache=True,
            prefix=self._prefix,
        )
        self._position = self._position + 1
        logits: torch.Tensor = out.logits[:, -1]
        return logits

    def keep(self, rows: torch.Tensor) -> None:
        """Drop all other rows."""
        keep_rows(self._cache, rows)
        self._position, self._mask = self._position[rows], self._mask[rows]

    def _run(self, members: Sequence[int]) -> Any:
        """Run the own parts of prompts of equal length over the shared keys and values."""
        own = [self._prompts[i][self._shared :] for i in members]
        ids = torch.tensor(own, device=self._device)
        past = None
        if self._prefix is not None:
            # Room for the own part behind the shared one, so that nothing is concatenated.
            past = buffered([(_room(k, ids), _room(v, ids)) for k, v in self._prefix], self._shared)
        return self._model(ids, past_key_values=past, use_cache=True, logits_to_keep=1)

    def _buffer(self, rows: int, layer: Any) -> tuple[torch.Tensor, torch.Tensor]:
        shapes = [
            (rows, t.shape[1], self._capacity, t.shape[3]) for t in (layer.keys, layer.values)
        ]
        return layer.keys.new_zeros(shapes[0]), layer.values.new_zeros(shapes[1])

    def _spread(
        self,
        out: Any,
        members: Sequence[int],
        starts: Sequence[int],
        buffers: list[tuple[torch.Tensor, torch.Tensor]],
        logits: torch.Tensor,
    ) -> None:
        """Copy each prompt's own keys, values and logits to all of its rows, right-aligned."""
        counts = torch.tensor([self._repeats[i] for i in members], device=self._device)
        source = torch.repeat_interleave(torch.arange(len(members), device=self._device), counts)
        rows = torch.cat(
            [
                torch.arange(starts[i], starts[i] + self._repeats[i], device=self._device)
                for i in members
            ]
        )
        length = len(self._prompts[members[0]])
        own = slice(self._shared, length)
        place = slice(self._shared + self._longest - length, self._longest)
        logits[rows] = out.logits[:, -1][source]
        for (keys, values), layer in zip(buffers, out.past_key_values.layers, strict=True):
            keys[rows, :, place] = layer.keys[:, :, own][source]
            values[rows, :, place] = layer.values[:, :, own][source]


def _room(shared: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """Return [rows, heads, shared + own, size] with the shared positions filled in."""
    rows, own = ids.shape
    made = shared.new_empty((rows, shared.shape[1], shared.shape[2] + own, shared.shape[3]))
    made[:, :, : shared.shape[2]] = shared
    return made


def _starts(repeats: Sequence[int]) -> list[int]:
    """Return the first row of each prompt."""
    starts, at = [], 0
    for n in repeats:
        starts.append(at)
        at += n
    return starts
