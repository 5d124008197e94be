"""One product instead of three: the same numbers, and weights that are still the model's own."""

import copy

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from instar.engines.fused import fuse

SIZES = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2,
}  # fmt: skip
IDS = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8]])


@pytest.fixture(params=["llama", "qwen2, with biases"])
def model(request):
    torch.manual_seed(0)
    if request.param == "llama":
        return LlamaForCausalLM(LlamaConfig(**SIZES)).eval()
    made = Qwen2ForCausalLM(Qwen2Config(**SIZES)).eval()
    for name, weight in made.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(weight)
    return made


def logits(model):
    with torch.inference_mode():
        return model(IDS).logits


def test_it_computes_the_same_with_fewer_products(model):
    plain = copy.deepcopy(model)
    fuse(model)
    calls = []
    linear = torch.nn.functional.linear

    def counted(*given):
        calls.append(given)
        return linear(*given)

    torch.nn.functional.linear = counted
    try:
        found = logits(model)
    finally:
        torch.nn.functional.linear = linear
    assert len(calls) == 2 * (2 + 2) + 1
    torch.testing.assert_close(found, logits(plain), rtol=1e-4, atol=1e-5)


def test_weights_keep_their_names_and_what_is_written_to_them_counts(model):
    plain = copy.deepcopy(model)
    fuse(model)
    assert [n for n, _ in model.named_parameters()] == [n for n, _ in plain.named_parameters()]
    before = logits(model)
    for changed in (model, plain):
        layer = changed.model.layers[1]
        with torch.no_grad():
            layer.self_attn.v_proj.weight.mul_(-2)
            layer.mlp.up_proj.weight.add_(0.1)
    assert not torch.allclose(logits(model), before)
    torch.testing.assert_close(logits(model), logits(plain), rtol=1e-4, atol=1e-5)


def test_siblings_that_are_not_alike_stay_as_they_are(model):
    layer = model.model.layers[0].mlp
    layer.up_proj = torch.nn.Sequential(layer.up_proj)
    plain = logits(model)
    fuse(model)
    assert type(layer.gate_proj) is torch.nn.Linear
    torch.testing.assert_close(logits(model), plain, rtol=1e-4, atol=1e-5)
