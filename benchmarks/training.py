"""Tokens per second of one update: `sft` against TRL's SFTTrainer with PEFT, on the same rows.

    python benchmarks/training.py           # three rounds of 192 rows, a quarter of an hour
    python benchmarks/training.py --quick   # one round of 48 rows, nothing is written

Arms, interleaved: `trl` is SFTTrainer with PEFT as its documentation begins, `trl_tuned` the same
without activation checkpointing and with the base model in bf16, `instar` is `sft`, and
`instar_batches` the same without grouping rows by length: it sees the very batches that TRL's arms
see, so that its loss can be compared. All have the model, the rows, the LoRA settings, the learning
rate, the batch size and the seed in common, so that the adapter starts from the same numbers. An
arm is timed as a whole, from the model's name and the conversations to the saved adapter; `steps`
is the part in the training loop. Tokens are those of prompts and completions, without padding. The
loss is that of the trained adapters on 48 of the rows and on 48 that none was trained on, computed
alike for all.
"""

import argparse
import contextlib
import io
import json
import os
import platform
import random
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

HERE = Path(__file__).parent
BATCH, RATE = 16, 1e-3
SHOWN = 48  # rows that the loss is measured on, trained and unseen
LORA = {"r": 16, "lora_alpha": 32, "target_modules": "all-linear"}
FORMS = ("{answer}", "The answer is {answer}.", "{sum} = {answer}", "The sum is {answer}.")


def experiences(count: int) -> list:
    """Return sums of two terms with short right answers, as a model writes them."""
    import reasoning_gym

    from instar.testing.fakes import experience
    from instar.types import Message, Task

    data = reasoning_gym.create_dataset(
        "chain_sum", min_terms=2, max_terms=2, min_digits=1, max_digits=2, size=count, seed=7
    )
    draw, rows = random.Random(7), []
    for item in data:
        task = Task(messages=(Message(role="user", content=item["question"]),))
        terms = item["question"].partition(":")[2].strip(" =")
        form = draw.choice(FORMS)
        rows.append(experience(task, form.format(answer=item["answer"], sum=terms)))
    return rows


def context(place: Path):
    from instar.testing.fakes import context as made
    from instar.types import Learner

    base = Learner(base="smollm2")
    return replace(made(place), base=base, learner=base)


def trl(rows: list, place: Path, tuned: bool) -> float:
    """Train as TRL's documentation begins; return the seconds of the training loop."""
    from datasets import Dataset
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    from instar.models import hardware, resolve

    chats = [
        {
            "prompt": [{"role": "user", "content": e.task.prompt}],
            "completion": [{"role": "assistant", "content": e.solution.text}],
        }
        for e in rows
    ]
    faster = {"gradient_checkpointing": False, "model_init_kwargs": {"dtype": "bfloat16"}}
    trainer = SFTTrainer(
        resolve("smollm2"),
        args=SFTConfig(
            str(place),
            per_device_train_batch_size=BATCH,
            learning_rate=RATE,
            num_train_epochs=1,
            seed=int(context(place).rng("train").integers(2**31)),
            use_cpu=hardware().device == "cpu",
            report_to="none",
            **(faster if tuned else {}),
        ),
        train_dataset=Dataset.from_list(chats),
        peft_config=LoraConfig(**LORA, task_type="CAUSAL_LM"),
    )
    started = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - started
    trainer.save_model(str(place / "adapter"))
    return seconds


def instar(rows: list, place: Path, grouped: bool) -> float:
    """Train with `sft`; return the seconds from the first step's end to the last's, over all."""
    from instar.events import Progress
    from instar.updating.in_weight.sft import Sft

    at = []
    made = context(place)
    told = replace(
        made, emit=lambda e: at.append(time.perf_counter()) if isinstance(e, Progress) else None
    )
    options = {"per_device_train_batch_size": BATCH, "learning_rate": RATE, "num_train_epochs": 1}
    if not grouped:
        options["train_sampling_strategy"] = "random"
    Sft(lora=LORA, trainer=options).fit(rows, made.learner, place / "adapter", told)
    return (at[-1] - at[0]) * len(at) / (len(at) - 1)


ARMS = {
    "trl": lambda rows, place: trl(rows, place, tuned=False),
    "trl_tuned": lambda rows, place: trl(rows, place, tuned=True),
    "instar": lambda rows, place: instar(rows, place, grouped=True),
    "instar_batches": lambda rows, place: instar(rows, place, grouped=False),
}


def loss(place: Path, rows: list) -> float:
    """Return the mean negative log-likelihood of the completions' tokens, in nats, in fp32."""
    import torch
    from peft import PeftModel
    from torch.nn.utils.rnn import pad_sequence

    from instar.models import load
    from instar.updating.in_weight.lessons import IGNORED, lessons

    model, tokenizer = load("smollm2", "float32")
    if place.is_dir():
        model = PeftModel.from_pretrained(model, place).eval()
    made = lessons(rows, context(place.parent).learner, tokenizer, 10**6)
    total = 0.0
    for first in range(0, len(rows), BATCH):
        part = slice(first, first + BATCH)
        ids, labels = (
            pad_sequence([torch.tensor(row) for row in column[part]], True, filler)
            for column, filler in ((made.ids, 0), (made.labels, IGNORED))
        )  # padded on the right, after the labels: no mask is needed
        with torch.no_grad():
            mean = model(input_ids=ids.to(model.device), labels=labels.to(model.device)).loss
        total += float(mean) * int((labels[:, 1:] != IGNORED).sum())
    return total / made.learned


def once(arm: str, rows: list, unseen: list, tokens: int) -> dict:
    with tempfile.TemporaryDirectory(prefix="instar-benchmark-") as folder:
        place = Path(folder)
        quiet = io.StringIO()
        started = time.perf_counter()
        with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
            steps = ARMS[arm](rows, place)
        whole = time.perf_counter() - started
        return {
            "arm": arm,
            "seconds": round(whole, 2),
            "tokens_per_second": round(tokens / whole, 1),
            "steps_seconds": round(steps, 2),
            "steps_tokens_per_second": round(tokens / steps, 1),
            "loss_trained_rows": round(loss(place / "adapter", rows[:SHOWN]), 4),
            "loss_unseen_rows": round(loss(place / "adapter", unseen), 4),
        }


def table(runs: list[dict], base: dict) -> list[dict]:
    """Return the medians per arm, and print them."""
    lines = []
    for arm in ARMS:
        mine = [r for r in runs if r["arm"] == arm]
        numbers = {k: statistics.median(r[k] for r in mine) for k in mine[0] if k != "arm"}
        lines.append({"arm": arm, "rounds": len(mine), **numbers})
    first = lines[0]
    print(f"before training: loss {base['loss_trained_rows']}, unseen {base['loss_unseen_rows']}")
    names = ("arm", "tokens/s", "ratio", "in steps", "ratio", "loss", "unseen")
    print("{:14} {:>9} {:>6} {:>9} {:>6} {:>7} {:>7}".format(*names))
    for line in lines:
        line["ratio"] = round(line["tokens_per_second"] / first["tokens_per_second"], 2)
        steps = line["steps_tokens_per_second"]
        line["steps_ratio"] = round(steps / first["steps_tokens_per_second"], 2)
        print(
            f"{line['arm']:14} {line['tokens_per_second']:9.0f} {line['ratio']:6.2f} {steps:9.0f} "
            f"{line['steps_ratio']:6.2f} {line['loss_trained_rows']:7.4f} "
            f"{line['loss_unseen_rows']:7.4f}"
        )
    return lines


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--rows", type=int, default=192)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--quick", action="store_true", help="one round of 48 rows, not written")
    given = options.parse_args()
    count, rounds = (48, 1) if given.quick else (given.rows, given.rounds)
    everything = experiences(count + SHOWN)
    rows, unseen = everything[:count], everything[count:]

    from instar.models import hardware, load
    from instar.updating.in_weight.lessons import lessons

    nowhere = Path(tempfile.mkdtemp(prefix="instar-benchmark-"))
    made = lessons(rows, context(nowhere).learner, load("smollm2")[1], 10**6)
    base = {"loss_trained_rows": round(loss(nowhere / "none", rows[:SHOWN]), 4)}
    base["loss_unseen_rows"] = round(loss(nowhere / "none", unseen), 4)
    runs = []
    for round_ in range(rounds):
        for arm in ARMS:
            runs.append({"round": round_, **once(arm, rows, unseen, made.tokens)})
            print(runs[-1], flush=True)
    lines = table(runs, base)
    if given.quick:
        return
    import torch

    machine = {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "hardware": vars(hardware()),
        "torch": torch.__version__,
    }
    facts = {"rows": len(rows), "tokens": made.tokens, "tokens_with_loss": made.learned}
    result = {"machine": machine, **facts, "base": base, "medians": lines, "runs": runs}
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / "training.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
