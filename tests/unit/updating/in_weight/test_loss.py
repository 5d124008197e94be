from types import SimpleNamespace

import pytest

from instar.updating.in_weight import loss
from instar.updating.in_weight.adapter import attach
from instar.updating.in_weight.lessons import IGNORED, lessons
from instar.updating.in_weight.options import lora_config


def padded(made):
    import torch
    from torch.nn.utils.rnn import pad_sequence

    ids = [torch.tensor(row) for row in made.ids]
    labels = [torch.tensor(row) for row in made.labels]
    return {
        "input_ids": pad_sequence(ids, batch_first=True, padding_value=0),
        "labels": pad_sequence(labels, batch_first=True, padding_value=IGNORED),
        "attention_mask": pad_sequence([torch.ones_like(i) for i in ids], batch_first=True),
    }


@pytest.fixture
def tuned(tiny):
    """The tiny model with an adapter that already does something, in fp32."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    lora = lora_config({"r": 4, "init_lora_weights": False})
    return attach(AutoModelForCausalLM.from_pretrained(tiny), lora, None)


@pytest.fixture
def batch(rows, tiny, context):
    from transformers import AutoTokenizer

    return padded(lessons(rows, context.learner, AutoTokenizer.from_pretrained(tiny), 999))


def gradients(tuned, value):
    tuned.zero_grad()
    value.backward()
    return {n: p.grad.clone() for n, p in tuned.named_parameters() if p.requires_grad}


def plain(tuned, batch):
    """The sum of the negative log-likelihood as the model's own forward gives its mean."""
    labels = int((batch["labels"] != IGNORED).sum())
    return tuned(**batch).loss * labels


def same(ours, theirs):
    scale = max(float(g.abs().max()) for g in theirs.values())
    assert scale > 0.01
    assert max(float((ours[n] - theirs[n]).abs().max()) for n in theirs) < 1e-5 * max(scale, 1)


def test_sharing_the_prefix_changes_neither_loss_nor_gradient(tuned, batch):
    backbone = tuned.get_base_model().base_model
    length = loss.common_prefix(batch["input_ids"], batch["labels"])
    assert length >= loss.SHORTEST
    prefix = loss.prefix_cache(backbone, batch["input_ids"], length)
    ours, labels = loss.batch_loss(tuned, backbone, batch, prefix)
    theirs = plain(tuned, batch)
    assert labels == int((batch["labels"] != IGNORED).sum())
    assert float(ours) == pytest.approx(float(theirs), rel=1e-5)
    same(gradients(tuned, ours), gradients(tuned, theirs))


def test_without_a_prefix_only_the_output_layer_is_spared(tuned, batch):
    backbone = tuned.get_base_model().base_model
    ours, _ = loss.batch_loss(tuned, backbone, batch, None)
    theirs = plain(tuned, batch)
    same(gradients(tuned, ours), gradients(tuned, theirs))
    assert tuned(**batch).logits.shape[:2] == batch["input_ids"].shape  # the hook is gone


def test_large_batches_go_through_trls_tiled_output_layer(tuned, batch, monkeypatch):
    from trl.trainer.utils import add_fused_lm_head

    theirs = gradients(tuned, plain(tuned, batch))
    add_fused_lm_head(tuned.get_base_model())  # as SFTTrainer does
    monkeypatch.setattr(loss, "WHOLE", 0)
    backbone = tuned.get_base_model().base_model
    length = loss.common_prefix(batch["input_ids"], batch["labels"])
    prefix = loss.prefix_cache(backbone, batch["input_ids"], length)
    ours, _ = loss.batch_loss(tuned, backbone, batch, prefix)
    same(gradients(tuned, ours), theirs)


@pytest.mark.parametrize(
    ("ids", "begin", "expected"),
    [
        ([[*range(20), 1], [*range(20), 2]], 20, 19),  # the position that predicts label 20 stays
        ([[*range(20), 1], [*range(20), 2]], 15, 14),
        ([[*range(10), 5, 1], [*range(10), 6, 2]], 11, 10),
        ([[*range(10), 5, 1], [*range(10), 6, 2]], 9, 8),
        ([[*range(10), 5, 1], [*range(10), 6, 2]], 8, 0),  # too short to be worth a pass
        ([[1, *range(20)], [2, *range(20)]], 20, 0),
    ],
)
def test_the_prefix_ends_before_rows_differ_and_before_a_label_is_predicted(ids, begin, expected):
    import torch

    tokens = torch.tensor(ids)
    labels = tokens.clone()
    labels[:, :begin] = IGNORED
    assert loss.common_prefix(tokens, labels) == expected


def test_the_prefix_is_not_shared_where_that_would_not_be_exact(tiny):
    from transformers import (
        AutoModelForCausalLM,
        LlamaConfig,
        LlamaForCausalLM,
        MistralConfig,
        MistralForCausalLM,
    )

    assert loss.can_share(AutoModelForCausalLM.from_pretrained(tiny))
    small = {
        "vocab_size": 16,
        "hidden_size": 8,
        "intermediate_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "num_key_value_heads": 1,
    }
    assert not loss.can_share(LlamaForCausalLM(LlamaConfig(**small, attention_dropout=0.1)))
    assert not loss.can_share(MistralForCausalLM(MistralConfig(**small, sliding_window=4)))
    dropping = lora_config({"r": 2, "lora_dropout": 0.1})
    model = attach(AutoModelForCausalLM.from_pretrained(tiny), dropping, None)
    assert not loss.can_share(model)


def test_a_batch_of_equal_rows_still_has_something_left_to_run(tuned, batch):
    one = {k: v[:1].repeat(3, 1) for k, v in batch.items()}
    backbone = tuned.get_base_model().base_model
    length = loss.common_prefix(one["input_ids"], one["labels"])
    prefix = loss.prefix_cache(backbone, one["input_ids"], length)
    ours, _ = loss.batch_loss(tuned, backbone, one, prefix)
    assert float(ours) == pytest.approx(float(plain(tuned, one)), rel=1e-5)


def test_the_hook_goes_even_when_the_forward_fails(tuned, batch):
    backbone = tuned.get_base_model().base_model
    wanted = SimpleNamespace(shape=())
    with pytest.raises(RuntimeError, match="broken"), loss.only_at(backbone, wanted):
        raise RuntimeError("broken")
    assert not backbone._forward_hooks
