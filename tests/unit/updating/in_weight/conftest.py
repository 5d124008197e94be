"""A transformer with random weights and a byte-level tokenizer, trained in a blink."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from instar.events import Event
from instar.protocols import Context
from instar.testing.fakes import context as fake_context
from instar.testing.fakes import experience, tasks
from instar.types import Experience, Learner

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def made_tokenizer(template: str | None = TEMPLATE) -> object:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {c: i for i, c in enumerate(alphabet)}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=made,
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        additional_special_tokens=["<|im_start|>"],
    )
    fast.chat_template = template
    return fast


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a two-layer llama with grouped heads and a window of 192 tokens."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("tiny-llama")
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=258,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=192,
            tie_word_embeddings=True,
            initializer_range=0.2,
        )
    )
    model.save_pretrained(folder)
    made_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def tokenizer() -> Callable[..., object]:
    return made_tokenizer


@pytest.fixture
def heard() -> list[Event]:
    """What the trainer told."""
    return []


@pytest.fixture
def context(tiny: Path, tmp_path: Path, heard: list[Event]) -> Context:
    learner = Learner(base=str(tiny))
    return replace(fake_context(tmp_path), learner=learner, base=learner, emit=heard.append)


@pytest.fixture
def rows() -> tuple[Experience, ...]:
    """Ten right answers of unlike length."""
    return tuple(experience(t, f"It is {t.reference}" + "!" * i) for i, t in enumerate(tasks(10)))


@pytest.fixture
def fast() -> dict[str, object]:
    """Options of a short training in fp32, whatever the machine."""
    return {"learning_rate": 1e-2, "bf16": False, "max_steps": 3, "per_device_train_batch_size": 4}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Two threads on products this small wait for each other longer than they compute."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


Files = Callable[[Path], dict[str, bytes]]


@pytest.fixture
def files() -> Files:
    return lambda folder: {p.name: p.read_bytes() for p in sorted(folder.iterdir())}
