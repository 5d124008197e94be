"""The rollout loop against transformers' own `generate`, on a tiny llama."""

import math
from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from instar import models
from instar.engines.cache import ATTENTION
from instar.engines.decoding import decode, shared_length
from instar.engines.export import export
from instar.engines.sampler import draw
from instar.engines.transformers import TransformersEngine
from instar.errors import EngineError, UsageError
from instar.testing.fakes import context as fake_context
from instar.types import Learner, Message, Request, Sampling


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """The folder of a two-layer llama with a byte-level tokenizer."""
    from tokenizers import Tokenizer, decoders, pre_tokenizers
    from tokenizers import models as kinds
    from transformers import PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(kinds.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<end>", pad_token="<end>")
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=260,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=160,
        initializer_range=0.3,
        eos_token_id=fast.eos_token_id,
        bos_token_id=None,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture
def engine(tiny):
    return TransformersEngine(model=str(tiny), dtype="float32")


@pytest.fixture
def context(tmp_path, tiny):
    learner = Learner(base=str(tiny))
    return replace(fake_context(tmp_path), learner=learner, base=learner)


def request(text, n=1, temperature=0.0, max_tokens=12, key=""):
    return Request(
        messages=(Message(role="user", content=text),),
        sampling=Sampling(temperature=temperature, max_tokens=max_tokens),
        n=n,
        key=key or text,
    )


PROMPTS = ["What is 1 + 1?", "What is 10 + 12?", "What is 3?", "Why?", "What is 100 + 100 + 100?"]


def test_greedy_tokens_are_those_of_generate(tiny, engine, context):
    model = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    made = engine.generate([request(p, max_tokens=40) for p in PROMPTS], context.learner, context)
    for prompt, (completion,) in zip(PROMPTS, made, strict=True):
        ids = models.chat_tokens(tokenizer, (Message(role="user", content=prompt),))
        out = model.generate(
            torch.tensor([ids]), do_sample=False, max_new_tokens=40, pad_token_id=0
        )[0, len(ids) :]
        assert completion.text == tokenizer.decode(out, skip_special_tokens=True)


def test_log_probabilities_are_those_of_a_plain_forward_pass(tiny):
    model = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32).eval()
    model.set_attn_implementation(ATTENTION)
    prompts = [[5, 6, 7, 8, 9, 10, 11, 12, 13], [5, 6, 7, 8, 9, 10, 11, 12, 40, 41, 42]]
    sampling = Sampling(temperature=0.7, max_tokens=8)
    uniforms = torch.rand(6, 8, generator=torch.Generator().manual_seed(0))
    rows = decode(model, prompts, [3, 3], sampling, uniforms, [259], lambda done, tokens: None)
    for i, (tokens, logprob) in enumerate(zip(rows.tokens, rows.logprobs, strict=True)):
        ids = torch.tensor([[*prompts[i // 3], *tokens]])
        logits = model(ids).logits[0, len(prompts[i // 3]) - 1 : -1] / 0.7
        expected = logits.log_softmax(-1).gather(1, torch.tensor(tokens)[:, None]).sum()
        assert logprob == pytest.approx(expected.item(), abs=1e-3)


def test_a_sample_depends_on_its_key_and_number_not_on_its_batch(engine, context):
    asked = [request(p, n=3, temperature=1.0) for p in PROMPTS]
    together = engine.generate(asked, context.learner, context)
    alone = [engine.generate([r], context.learner, context)[0] for r in reversed(asked)][::-1]
    assert [[c.text for c in group] for group in together] == [
        [c.text for c in group] for group in alone
    ]
    assert len({c.text for group in together for c in group}) > len(PROMPTS)


def test_another_seed_or_key_draws_otherwise(engine, context):
    def texts(c, key):
        made = engine.generate([request("Why?", 4, 1.0, key=key)], c.learner, c)[0]
        return [m.text for m in made]

    assert texts(context, "a") == texts(context, "a")
    assert texts(context, "a") != texts(context, "b")
    assert texts(context, "a") != texts(replace(context, seed=1), "a")


def test_many_rows_in_small_batches_are_the_same_rows(tiny, engine, context):
    asked = [request(p, n=5, temperature=1.0) for p in PROMPTS]
    small = TransformersEngine(model=str(tiny), dtype="float32", max_rows=4)
    assert [[c.text for c in g] for g in small.generate(asked, context.learner, context)] == [
        [c.text for c in g] for g in engine.generate(asked, context.learner, context)
    ]


def test_a_prompt_beyond_the_window_fails_alone(engine, context):
    made = engine.generate([request("x" * 500), request("Why?")], context.learner, context)
    assert "more than the model's window of 160" in made[0][0].error
    assert made[1][0].error is None


def adapter(folder, scale):
    from peft import LoraConfig, get_peft_model

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tuned = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules="all-linear"))
    torch.manual_seed(1)
    for name, weight in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=scale)
    return tuned


def test_the_adapter_is_served_proved_and_taken_back(tiny, engine, context, tmp_path):
    tuned = adapter(tiny, 0.5)
    tuned.save_pretrained(tmp_path / "new")
    artefact = context.artefacts.add(tmp_path / "new")
    learner = replace(context.learner, adapter=artefact)
    before = engine.fingerprint(context.learner, context)
    assert engine.fingerprint(learner, context) != before
    made = engine.generate([request("Why?", max_tokens=20)], learner, context)[0][0]
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    ids = models.chat_tokens(tokenizer, (Message(role="user", content="Why?"),))
    merged = tuned.merge_and_unload().eval()
    out = merged.generate(torch.tensor([ids]), do_sample=False, max_new_tokens=20, pad_token_id=0)
    assert made.text == tokenizer.decode(out[0, len(ids) :], skip_special_tokens=True)
    assert engine.fingerprint(context.learner, context) == before


def test_an_adapter_that_cannot_be_merged_is_refused(tiny, engine, context, tmp_path):
    from peft import LoraConfig, get_peft_model

    model = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32)
    get_peft_model(
        model, LoraConfig(r=4, use_dora=True, target_modules=["q_proj"])
    ).save_pretrained(tmp_path / "dora")
    learner = replace(context.learner, adapter=context.artefacts.add(tmp_path / "dora"))
    with pytest.raises(EngineError, match="only plain LoRA is served"):
        engine.fingerprint(learner, context)


def test_what_is_exported_loads_in_plain_libraries_and_says_the_same(tiny, context, tmp_path):
    from peft import PeftModel

    tuned = adapter(tiny, 0.5).eval()
    tuned.save_pretrained(tmp_path / "new")
    learner = replace(context.learner, adapter=context.artefacts.add(tmp_path / "new"))
    export(learner, context.artefacts, tmp_path / "adapter", merged=False)
    export(learner, context.artefacts, tmp_path / "whole", merged=True)
    ids = torch.tensor([[1, 2, 3, 4]])
    base = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32)
    loaded = PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    whole = AutoModelForCausalLM.from_pretrained(tmp_path / "whole", dtype=torch.float32).eval()
    assert AutoTokenizer.from_pretrained(tmp_path / "whole").eos_token == "<end>"
    expected = tuned(ids).logits
    assert torch.allclose(loaded(ids).logits, expected, atol=1e-5)
    # The whole model is written in the machine's own format: bf16 has eight bits.
    assert (whole(ids).logits - expected).norm() < 2**-5 * expected.norm()
    engines = [TransformersEngine(model=str(m)) for m in (tiny, tmp_path / "whole")]
    served = engines[0].fingerprint(learner, context)
    assert engines[1].fingerprint(context.learner, context) == served
    assert engines[0].fingerprint(context.learner, context) != served
    with pytest.raises(UsageError, match="is not empty"):
        export(learner, context.artefacts, tmp_path / "whole", merged=True)


def test_draws_follow_the_distribution():
    logits = torch.randn(1, 300, generator=torch.Generator().manual_seed(0)) * 2
    n = 20_000
    uniforms = (torch.arange(n) + 0.5) / n
    tokens, logprobs = draw(logits.expand(n, -1), uniforms, 0.8, 1.0)
    expected = (logits[0] / 0.8).softmax(-1)
    found = torch.bincount(tokens, minlength=300) / n
    assert (found - expected).abs().max() < 2 / n
    assert logprobs[0] == pytest.approx(math.log(expected[tokens[0]]), abs=1e-4)


def test_a_nucleus_holds_the_likeliest_tokens_only():
    logits = torch.tensor([[3.0, 2.0, 1.0, -5.0]])
    uniforms = (torch.arange(1000) + 0.5) / 1000
    tokens, _ = draw(logits.expand(1000, -1), uniforms, 1.0, 0.7)
    assert set(tokens.tolist()) == {0, 1}


def test_prompts_share_what_they_begin_with_and_keep_a_token_each():
    long = list(range(20))
    assert shared_length([long, [*long[:15], 99]]) == 15
    assert shared_length([long, long]) == 19
    assert shared_length([long, long[:5]]) == 0
    assert shared_length([long]) == 0


def test_text_that_spells_a_special_token_is_only_text(tiny):
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    ids = models.chat_tokens(tokenizer, (Message(role="user", content="a<end>b"),))
    assert tokenizer.eos_token_id not in ids


@pytest.mark.parametrize(
    ("base", "message"),
    [("nowhere", "expected smollm2, a local folder"), ("tests", "no config.json in this folder")],
)
def test_a_model_that_is_none_is_one_sentence(base, message, tmp_path, monkeypatch):
    (tmp_path / "tests").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message):
        models.resolve(base)


def test_a_broken_model_folder_is_an_engine_error(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(EngineError, match="transformers cannot load it"):
        models.load(str(tmp_path))
