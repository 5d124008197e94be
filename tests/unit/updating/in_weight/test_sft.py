import json
import subprocess
import sys
from dataclasses import replace

import pytest

from instar.errors import ComponentError, RecipeError
from instar.events import Note, Progress
from instar.testing.fakes import experience, experiences, tasks
from instar.updating.in_weight.sft import Sft

LORA = {"r": 4, "lora_alpha": 8}


@pytest.mark.parametrize(
    ("part", "options", "sentence"),
    [
        (
            "trainer",
            {"learning_rat": 1e-3},
            r"^updating.train.trainer.learning_rat: SFTConfig has no option 'learning_rat'; "
            r"did you mean 'learning_rate'\?$",
        ),
        ("trainer", {"learning_rate": "fast"}, r"trainer.learning_rate: .*number.*'fast'"),
        ("trainer", {"learning_rate": "1e-3"}, r"trainer.learning_rate: .*number.*'1e-3'"),
        ("trainer", {"num_train_epochs": True}, r"trainer.num_train_epochs: .*number"),
        ("trainer", {"seed": 3}, r"trainer.seed: .*the run's seed decides"),
        ("trainer", {"save_steps": 3}, r"trainer.save_steps: .*store"),
        ("trainer", {"packing": True}, r"trainer.packing: .*share their prefix"),
        ("trainer", {"bf16": True, "fp16": True}, r"trainer: SFTConfig refuses: .*fp16"),
        ("trainer", {"optim": "adamm"}, r"trainer: SFTConfig refuses: .*adamm"),
        ("lora", {"rank": 8}, r"^updating.train.lora.rank: LoraConfig has no option 'rank'"),
        ("lora", {"r": "8"}, r"lora.r: .*integer.*'8'"),
        ("lora", {"lora_alpha": [8]}, r"lora.lora_alpha: .*\[8\]"),
        ("lora", {"task_type": "SEQ_CLS"}, r"lora.task_type: not an option"),
        ("lora", {"use_dora": True}, r"lora.use_dora: .*the engines serve plain LoRA, by r, "),
        ("lora", {"init_lora_weights": "pissa"}, r"'pissa' changes the base model's weights"),
    ],
)
def test_an_option_the_library_refuses_is_named_before_anything_is_sampled(part, options, sentence):
    with pytest.raises(RecipeError, match=sentence):
        Sft(**{part: options}).check()


def test_settings_the_libraries_accept_pass():
    Sft().check()
    Sft(
        lora={"r": 16, "lora_alpha": 32, "target_modules": "all-linear"},
        trainer={
            "learning_rate": 1e-3,
            "num_train_epochs": 2,
            "warmup_steps": 4,
            "lr_scheduler_type": "cosine_with_min_lr",
            "lr_scheduler_kwargs": {"min_lr_rate": 0.1},
            "optim": "adamw_torch",
            "gradient_checkpointing": True,
        },
    ).check()


@pytest.mark.parametrize(
    ("lora", "named"),
    [
        ({"target_modules": ["q_projection"]}, "q_projection"),
        ({"target_modules": ["embed_tokens"]}, "embed_tokens.lora_embedding_A"),
        ({"r": 0}, "`r`"),
    ],
)
def test_what_the_model_cannot_take_is_the_recipes_mistake(context, rows, fast, lora, named):
    sft = Sft(lora=lora, trainer=fast)
    with pytest.raises(RecipeError, match=rf"updating.train.lora: .*{named}"):
        sft.fit(rows, context.learner, context.scratch / "out", context)


def test_peft_loads_the_adapter_and_the_model_has_learned(context, tiny, tmp_path, fast):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from instar.updating.in_weight.lessons import lessons

    rows = [experience(t, "It is forty-two.") for t in tasks(8)]
    options = fast | {"max_steps": 20, "learning_rate": 3e-2}
    Sft(lora=LORA, trainer=options).fit(rows, context.learner, tmp_path / "out", context)
    model = AutoModelForCausalLM.from_pretrained(tiny).eval()
    made = lessons(rows[:1], context.learner, AutoTokenizer.from_pretrained(tiny), 999)
    batch = {"input_ids": torch.tensor(made.ids), "labels": torch.tensor(made.labels)}
    with torch.no_grad():
        before = float(model(**batch).loss)
        after = float(PeftModel.from_pretrained(model, tmp_path / "out")(**batch).loss)
    assert after < 0.5 * before


def test_the_adapter_is_saved_in_fp32_even_when_trained_in_bf16(context, rows, fast, tmp_path):
    from safetensors.torch import load_file

    sft = Sft(lora=LORA, trainer=fast | {"bf16": True})
    sft.fit(rows, context.learner, tmp_path / "out", context)
    weights = load_file(tmp_path / "out" / "adapter_model.safetensors")
    assert {str(w.dtype) for w in weights.values()} == {"torch.float32"}
    # Steps of 1e-2 that bf16 could hold exactly would leave no fine digits.
    assert any(bool((w != w.bfloat16().float()).any()) for w in weights.values())


def test_progress_counts_every_row_once_and_every_token(context, rows, fast, heard, tmp_path):
    options = {k: v for k, v in fast.items() if k != "max_steps"} | {"num_train_epochs": 2}
    Sft(lora=LORA, trainer=options).fit(rows, context.learner, tmp_path / "out", context)
    told = [e for e in heard if isinstance(e, Progress)]
    assert sum(e.done for e in told) == len(rows)
    from transformers import AutoTokenizer

    from instar.updating.in_weight.lessons import lessons

    tokenizer = AutoTokenizer.from_pretrained(context.learner.base)
    assert sum(e.tokens for e in told) == 2 * lessons(rows, context.learner, tokenizer, 999).tokens


def test_rows_that_cannot_be_learned_from_are_left_out_and_the_run_says_so(
    context, rows, fast, heard, tmp_path
):
    batch = (*rows, *experiences(), experience(tasks(1)[0], "and so on " * 40))
    Sft(lora=LORA, trainer=fast).fit(batch, context.learner, tmp_path / "out", context)
    (note,) = [e for e in heard if isinstance(e, Note)]
    assert "13 of 17 rows" in note.text
    for reason in (
        "1 with text that is not valid Unicode",
        "1 without text",
        "1 failed when sampled",
        "1 longer than the window of 192 tokens",
    ):
        assert reason in note.text


def test_max_length_makes_the_window_smaller(context, rows, fast, tmp_path):
    sft = Sft(lora=LORA, trainer=fast | {"max_length": 20})
    with pytest.raises(ComponentError, match="10 longer than the window of 20 tokens"):
        sft.fit(rows, context.learner, tmp_path / "out", context)


def test_a_training_that_changes_nothing_is_an_error(context, rows, fast, tmp_path):
    sft = Sft(lora=LORA, trainer=fast | {"learning_rate": 0.0})
    with pytest.raises(ComponentError, match="changed no weight"):
        sft.fit(rows, context.learner, tmp_path / "out", context)


def test_weights_that_are_not_finite_are_an_error(context, rows, fast, tmp_path):
    sft = Sft(lora=LORA, trainer=fast | {"learning_rate": 1e38, "max_grad_norm": 0.0})
    with pytest.raises(ComponentError, match="not finite"):
        sft.fit(rows, context.learner, tmp_path / "out", context)


def test_a_warm_up_longer_than_the_training_is_shortened_and_said(
    context, rows, fast, heard, tmp_path
):
    sft = Sft(lora=LORA, trainer=fast | {"max_steps": 1, "warmup_steps": 10})
    sft.fit(rows, context.learner, tmp_path / "out", context)
    assert any("warm-up of 10" in e.text for e in heard if isinstance(e, Note))


def test_nothing_is_printed(context, rows, fast, tmp_path, capfd):
    Sft(lora=LORA, trainer=fast).fit(rows, context.learner, tmp_path / "out", context)
    out, err = capfd.readouterr()
    assert out == ""
    assert err == ""


def test_the_global_generators_are_left_as_they_were(context, rows, fast, tmp_path):
    import random

    import numpy as np
    import torch

    def states() -> tuple[object, ...]:
        numbers = np.random.get_state()
        return random.getstate(), numbers[1].tolist(), torch.get_rng_state().tolist()

    before = states()
    Sft(lora=LORA, trainer=fast).fit(rows, context.learner, tmp_path / "out", context)
    assert states() == before


def test_trl_computes_the_same_adapter_up_to_rounding(context, rows, fast, tmp_path):
    from safetensors.torch import load_file

    made = []
    for shared in (True, False):
        sft = Sft(lora=LORA, trainer=fast, shared_prefix=shared)
        sft.fit(rows, context.learner, tmp_path / str(shared), context)
        made.append(load_file(tmp_path / str(shared) / "adapter_model.safetensors"))
    ours, plain = made
    assert max(float((ours[n] - plain[n]).abs().mean()) for n in ours) < 1e-4  # of steps of 1e-2


@pytest.mark.gpu
def test_a_gpu_trains_what_a_cpu_trains_up_to_rounding(context, rows, fast, tmp_path):
    import torch
    from safetensors.torch import load_file

    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    made = []
    for use_cpu in (False, True):
        sft = Sft(lora=LORA, trainer=fast | {"use_cpu": use_cpu})
        sft.fit(rows, context.learner, tmp_path / str(use_cpu), context)
        made.append(load_file(tmp_path / str(use_cpu) / "adapter_model.safetensors"))
    there, here = made
    assert max(float((there[n] - here[n]).abs().mean()) for n in here) < 1e-3  # of steps of 1e-2


def test_importing_the_room_loads_no_torch():
    code = (
        "import sys, pkgutil, importlib, instar.updating.in_weight as room\n"
        "for m in pkgutil.iter_modules(room.__path__):\n"
        "    importlib.import_module(f'{room.__name__}.{m.name}')\n"
        "print([m for m in ('torch', 'transformers', 'trl', 'peft') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


OFFLINE = """
import json, sys, tempfile
from dataclasses import replace
from pathlib import Path
tried = []
def hook(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        tried.append(event + repr(arguments))
sys.addaudithook(hook)
from instar.testing.fakes import context, experience, tasks
from instar.types import Learner
from instar.updating.in_weight.sft import Sft
place = Path(tempfile.mkdtemp())
base = Learner(base=sys.argv[1])
made = replace(context(place), base=base, learner=base)
rows = [experience(t, "It is " + t.reference) for t in tasks(8)]
Sft(lora={"r": 4}, trainer=json.loads(sys.argv[2])).fit(rows, base, place / "out", made)
import time; time.sleep(1)
print(json.dumps(tried))
"""


@pytest.mark.slow
def test_training_speaks_to_no_network(tiny, fast, tmp_path):
    # Without the variables that keep the libraries offline: a user's machine does not set them.
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE, str(tiny), json.dumps(fast)],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        cwd=tmp_path,
    )
    assert json.loads(done.stdout) == []


def test_a_row_is_shown_with_the_learners_prompt(context, rows, fast, heard, tmp_path):
    sft = Sft(lora=LORA, trainer=fast)
    sft.fit(rows, context.learner, tmp_path / "a", context)
    plain = sum(e.tokens for e in heard if isinstance(e, Progress))
    prompted = replace(context.learner, prompt="Be brief.")
    sft.fit(rows, prompted, tmp_path / "b", context)
    assert sum(e.tokens for e in heard if isinstance(e, Progress)) > 2 * plain
