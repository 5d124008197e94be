"""Projections of one input as one product: narrow ones run at a third of a wide one's rate."""

from __future__ import annotations

from typing import Any

import torch

# The names transformers gives to linear layers that read the same hidden state.
GROUPS = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))


def fuse(model: Any) -> None:
    """Let every group of sibling projections compute one product over their joined weights.

    The weights keep their names and their values, as views of the joined memory: what writes to
    them or reads them does not notice. Groups with an odd member (a quantised layer, biases on
    some only) stay as they are.
    """
    for module in list(model.modules()):
        for names in GROUPS:
            members = [getattr(module, name, None) for name in names]
            if all(type(m) is torch.nn.Linear for m in members) and _alike(members):
                joined = _Joined(members)
                for place, name in enumerate(names):
                    setattr(module, name, _Part(members[place], joined, place))


def _alike(members: list[Any]) -> bool:
    return (
        len({(m.in_features, m.weight.dtype, m.weight.device) for m in members}) == 1
        and len({m.bias is None for m in members}) == 1
    )


class _Joined:
    """The joined weights, and the parts of the last product that were not fetched yet."""

    def __init__(self, members: list[torch.nn.Linear]) -> None:
        self._sizes = [m.out_features for m in members]
        self._weight = _join([m.weight for m in members])
        biases = [m.bias for m in members if m.bias is not None]
        self._bias = _join(biases) if biases else None
        self._input: torch.Tensor | None = None
        self._parts: dict[int, torch.Tensor] = {}

    def part(self, given: torch.Tensor, place: int) -> torch.Tensor:
        """Return one part of the product of `given`, which is computed when its first is asked."""
        if self._input is not given or place not in self._parts:
            product = torch.nn.functional.linear(given, self._weight, self._bias)
            self._input, self._parts = given, dict(enumerate(product.split(self._sizes, -1)))
        found = self._parts.pop(place)
        if not self._parts:
            self._input = None
        return found


class _Part(torch.nn.Module):  # type: ignore[misc]
    """Stands where a linear layer stood, with its parameters."""

    def __init__(self, linear: torch.nn.Linear, joined: _Joined, place: int) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias
        self._joined, self._place = joined, place

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        """Return the layer's output."""
        return self._joined.part(given, self._place)


def _join(parts: list[torch.nn.Parameter]) -> torch.Tensor:
    """Return the rows of all parts in one memory, of which each part becomes a view."""
    joined = torch.cat([p.data for p in parts])
    for part, rows in zip(parts, joined.split([len(p) for p in parts]), strict=True):
        part.data = rows
    return joined
