"""The loss of a batch, exactly TRL's, without computing what rows share or nobody scores.

Rows made from one system prompt and one template begin with the same tokens. The prefix runs once,
at batch 1; its keys and values are expanded over the rows, and the gradient flows back through
them. Of the rest, only positions whose next token carries loss reach the output layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from instar.updating.in_weight.lessons import IGNORED

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import DynamicCache, PreTrainedModel

SHORTEST = 8  # tokens of a common prefix that are worth a pass of their own; ours
WHOLE = 2**28  # logits computed at once, 1 GiB in fp32; beyond it TRL's tiled output layer; ours


def common_prefix(ids: Tensor, labels: Tensor) -> int:
    """Return how many tokens begin every row, ending before the position that predicts a label.

    Args:
        ids: tokens of shape (rows, length), padded on the right.
        labels: of the same shape, `IGNORED` where there is no loss.
    """
    same = (ids == ids[:1]).all(dim=0).int().cumprod(dim=0).sum()
    unlabelled = (labels == IGNORED).all(dim=0).int().cumprod(dim=0).sum()
    length = min(int(same), int(unlabelled) - 1)
    return length if length >= SHORTEST else 0


def batch_loss(
    model: PreTrainedModel,
    backbone: PreTrainedModel,
    batch: Mapping[str, Tensor],
    prefix: DynamicCache | None,
) -> tuple[Tensor, int]:
    """Return the summed negative log-likelihood of a batch and the number of its labels.

    Args:
        model: what the trainer runs, ending in logits; it contains `backbone`.
        backbone: the part that ends in hidden states.
        batch: `input_ids`, `labels` and `attention_mask`, padded on the right.
        prefix: keys and values of the rows' common beginning, from `prefix_cache`, or None.
    """
    from torch.nn.functional import pad  # lazily: loads torch

    begin = 0 if prefix is None else prefix.get_seq_length()
    targets = pad(batch["labels"][:, begin + 1 :], (0, 1), value=IGNORED)
    wanted = targets != IGNORED
    inputs = {
        "input_ids": batch["input_ids"][:, begin:],
        "attention_mask": batch["attention_mask"],
        "past_key_values": prefix,
        "use_cache": prefix is not None,
    }
    with only_at(backbone, wanted):
        return summed_loss(model, inputs, targets[wanted]), int(wanted.sum())


def prefix_cache(backbone: PreTrainedModel, ids: Tensor, length: int) -> DynamicCache:
    """Run the first `length` tokens once; return their keys and values for every row of `ids`."""
    from transformers import DynamicCache  # lazily: loads torch

    cache = DynamicCache(config=backbone.config)
    backbone(input_ids=ids[:1, :length], past_key_values=cache, use_cache=True)
    cache.batch_repeat_interleave(len(ids))
    return cache


def can_share(model: PreTrainedModel) -> bool:
    """Tell whether sharing is exact: attention over plain caches only, and no dropout anywhere."""
    from torch.nn import Dropout
    from transformers import DynamicCache  # lazily: loads torch
    from transformers.cache_utils import DynamicLayer

    layers = DynamicCache(config=model.config).layers
    plain = bool(layers) and all(type(layer) is DynamicLayer for layer in layers)
    dropout = any(isinstance(m, Dropout) and m.p > 0 for m in model.modules())
    return plain and not dropout and not model.config.get_text_config().attention_dropout


@contextmanager
def only_at(backbone: PreTrainedModel, wanted: Tensor) -> Iterator[None]:
    """Let the backbone return its states at the `wanted` positions alone, as one row.

    The model's own forward then runs its own output layer on them, with whatever scaling or
    capping that architecture has.
    """

    def pick(module: object, arguments: object, output: object) -> object:
        output.last_hidden_state = output.last_hidden_state[wanted][None]  # type: ignore[attr-defined]
        return output

    handle = backbone.register_forward_hook(pick)
    try:
        yield
    finally:
        handle.remove()


def summed_loss(model: PreTrainedModel, inputs: Mapping[str, object], targets: Tensor) -> Tensor:
    """Return the summed negative log-likelihood of `targets` under the model's output."""
    from torch.nn.functional import cross_entropy  # lazily: loads torch

    if len(targets) * model.config.get_text_config().vocab_size > WHOLE:
        tiled = model(**inputs, shift_labels=targets[None], fused_lm_head=True)
        return -tiled.log_probs.sum()
    logits = model(**inputs).logits[0]
    return cross_entropy(logits.float(), targets, reduction="sum")
