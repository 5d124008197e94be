"""Wall time to the same held-out accuracy: the demo against two ways people do it by hand.

(a) a loop written by hand: `model.generate(num_return_sequences=K)`, keep the correct, TRL's
    SFTTrainer with PEFT, repeat;
(b) TRL's GRPOTrainer with the checker as its reward.

The same embedded model, tasks, splits, checker, prompts, LoRA and sampling numbers; every arm is a
process of its own and is timed from its first line, imports included. An arm stops at the target
accuracy on the gate split or at the time limit.

    python benchmarks/baselines.py --target 0.50 --limit 1500
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STARTED = time.monotonic()
HERE = Path(__file__).parent
K, PER_ITERATION, MAX_TOKENS, BATCH = 4, 448, 20, 64


def splits(seed: int):
    """Return the train and gate tasks of the demo recipe."""
    from instar.acquisition.tasks.splits import split
    from instar.recipe import load, plan

    made = plan(load("demo"))
    sizes = made.splits
    placed = split(made.source.load(sum(sizes.values()), seed), sizes, seed)
    return [[p.task for p in placed if p.split == name] for name in ("train", "gate")]


def correct(text: str, reference: str) -> bool:
    """The demo's check: the last integer of the text is the answer."""
    import re

    numbers = re.findall(r"-?\d+", text.replace(",", ""))
    return bool(numbers) and numbers[-1] == reference


class Player:
    """Greedy and sampled answers by plain `generate`."""

    def __init__(self, model, tokenizer):
        self.model, self.tokenizer = model, tokenizer
        tokenizer.padding_side = "left"
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token

    def answers(self, tasks, n=1, temperature=0.0):
        import torch

        found = []
        step = max(1, BATCH // n)
        for start in range(0, len(tasks), step):
            chats = [
                [{"role": m.role, "content": m.content} for m in t.messages]
                for t in tasks[start : start + step]
            ]
            batch = self.tokenizer.apply_chat_template(
                chats,
                add_generation_prompt=True,
                padding=True,
                return_tensors="pt",
                return_dict=True,
            )
            sampling = (
                {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
                if temperature
                else {"do_sample": False}
            )
            with torch.inference_mode():
                out = self.model.generate(
                    **batch, max_new_tokens=MAX_TOKENS, num_return_sequences=n, **sampling
                )
            new = out[:, batch["input_ids"].shape[1] :]
            ended = (new == self.tokenizer.eos_token_id).any(1).tolist()
            texts = self.tokenizer.batch_decode(new, skip_special_tokens=True)
            found += [texts[i : i + n] for i in range(0, len(texts), n)]
            for i, done in enumerate(ended):
                if not done:
                    found[start + i // n][i % n] = ""
        return found

    def accuracy(self, tasks) -> float:
        self.model.eval()
        texts = self.answers(tasks)
        hits = (correct(t[0], task.reference) for t, task in zip(texts, tasks, strict=True))
        return sum(hits) / len(tasks)


def lora():
    from peft import LoraConfig

    return LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")


def loaded():
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from instar.models import resolve

    folder = resolve("smollm2")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    return model, AutoTokenizer.from_pretrained(folder)


def note(record: list, accuracy: float) -> None:
    record.append({"seconds": round(time.monotonic() - STARTED, 1), "accuracy": accuracy})
    print(record[-1], file=sys.stderr, flush=True)


def done(record: list, given) -> bool:
    return record[-1]["accuracy"] >= given.target or record[-1]["seconds"] >= given.limit


def by_hand(given) -> list:
    import torch
    from datasets import Dataset
    from peft import get_peft_model
    from trl import SFTConfig, SFTTrainer

    train, gate = splits(given.seed)
    model, tokenizer = loaded()
    model = get_peft_model(model, lora())
    player, record = Player(model, tokenizer), []
    note(record, player.accuracy(gate))
    iteration = 0
    while not done(record, given):
        start = iteration * PER_ITERATION % len(train)
        tasks = train[start : start + PER_ITERATION]
        texts = player.answers(tasks, K, 0.7 if iteration == 0 else 1.0)
        rows = []
        for task, samples in zip(tasks, texts, strict=True):
            right = sorted((t for t in samples if correct(t, task.reference)), key=len)
            if right:
                prompt = [{"role": m.role, "content": m.content} for m in task.messages]
                rows.append(
                    {"prompt": prompt, "completion": [{"role": "assistant", "content": right[0]}]}
                )
        with tempfile.TemporaryDirectory() as place:
            config = SFTConfig(
                output_dir=place,
                per_device_train_batch_size=16,
                num_train_epochs=2,
                learning_rate=1e-3,
                warmup_steps=4,
                save_strategy="no",
                use_cpu=not torch.cuda.is_available(),
                report_to="none",
                seed=given.seed,
            )
            SFTTrainer(
                model=model,
                args=config,
                train_dataset=Dataset.from_list(rows),
                processing_class=tokenizer,
            ).train()
        note(record, player.accuracy(gate))
        iteration += 1
    return record


def grpo(given) -> list:
    import torch
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    train, gate = splits(given.seed)
    model, tokenizer = loaded()
    player, record = Player(model, tokenizer), []
    note(record, player.accuracy(gate))
    rows = [
        {
            "prompt": [{"role": m.role, "content": m.content} for m in t.messages],
            "reference": t.reference,
        }
        for t in train
    ]

    def reward(completions, reference, **rest):
        texts = [c[0]["content"] for c in completions]
        return [float(correct(t, r)) for t, r in zip(texts, reference, strict=True)]

    class Watch(TrainerCallback):
        def on_step_end(self, args, state, control, model=None, **rest):
            if state.global_step % given.every == 0:
                player.model = model
                note(record, player.accuracy(gate))
                model.train()
                control.should_training_stop = done(record, given)

    with tempfile.TemporaryDirectory() as place:
        config = GRPOConfig(
            output_dir=place,
            per_device_train_batch_size=64,
            num_generations=8,
            max_completion_length=MAX_TOKENS,
            learning_rate=given.grpo_rate,
            temperature=1.0,
            num_train_epochs=20,
            save_strategy="no",
            use_cpu=not torch.cuda.is_available(),
            report_to="none",
            seed=given.seed,
        )
        GRPOTrainer(
            model=model,
            reward_funcs=reward,
            args=config,
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
            peft_config=lora(),
            callbacks=[Watch()],
        ).train()
    return record


def demo(given) -> list:
    """The demo as a user runs it, without the sealed split's say: when was the target reached."""
    with tempfile.TemporaryDirectory() as place:
        run = Path(place) / "run"
        words = ["run", "demo", "--seed", str(given.seed), "--dir", str(run)]
        started = time.time()
        subprocess.run([sys.executable, "-m", "instar", *words], stderr=subprocess.DEVNULL)
        import datetime

        record = []
        for line in (run / "events.jsonl").read_text().splitlines():
            event = json.loads(line)
            if event["event"] == "Measured" and event["report"]["split"] == "gate":
                at = datetime.datetime.fromisoformat(event["time"]).timestamp() - started
                value = event["report"]["scores"][0]["value"]
                record.append({"seconds": round(at, 1), "accuracy": value})
    return record


ARMS = {"demo": demo, "by_hand": by_hand, "grpo": grpo}


def reached(record: list, target: float) -> float | None:
    return next((r["seconds"] for r in record if r["accuracy"] >= target), None)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--arm", choices=ARMS, help="run this arm here and print its record")
    options.add_argument("--arms", nargs="+", default=list(ARMS))
    options.add_argument("--target", type=float, default=0.50)
    options.add_argument("--limit", type=float, default=1500, help="seconds for one arm")
    options.add_argument("--every", type=int, default=10, help="GRPO steps between measurements")
    options.add_argument("--grpo-rate", type=float, default=1e-4, help="GRPO learning rate")
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    if given.arm:
        print(json.dumps(ARMS[given.arm](given)))
        return
    path = HERE / "results" / "baselines.json"
    result = json.loads(path.read_text()) if path.exists() else {}
    for arm in given.arms:
        words = [w for w in sys.argv[1:] if w not in ("--arms", *given.arms)]
        child = [sys.executable, __file__, "--arm", arm, *words]
        made = subprocess.run(child, stdout=subprocess.PIPE, text=True, check=True)
        record = json.loads(made.stdout.splitlines()[-1])
        result[arm] = {"command": words, "target": given.target, "record": record}
        path.write_text(json.dumps(result, indent=1) + "\n")
        print(f"{arm}: {given.target:.0%} after {reached(record, given.target)} s", flush=True)


if __name__ == "__main__":
    main()
