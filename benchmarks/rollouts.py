"""Rollouts per second: instar's engine against plain `generate`, same prompts, same number format.

All arms answer the same chain_sum prompts K times at temperature 1 with at most 32 new tokens, in
processes that take turns (instar's changes how memory is allocated, and must not do so for the
others); only useful tokens count (up to and including the end of a turn).
The share of the roofline is the engine's arithmetic (two operations per weight and useful token)
over what a bf16 product of the model's largest layer reaches between the turns. The greedy check
compares fp32 token by token with `generate`.

    python benchmarks/rollouts.py            # writes benchmarks/results/rollouts.json
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from instar import models
from instar.acquisition.tasks.reasoning_gym import ReasoningGym
from instar.engines.transformers import TransformersEngine
from instar.testing.fakes import context as fake_context
from instar.types import Learner, Request, Sampling

HERE = Path(__file__).parent
ARMS = {"generate, 64 rows": 64, "generate, 256 rows": 256, "instar": None}  # rows in a batch
NEW = 32
OPTIONS = {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 2}


def naive(model, tokenizer, tasks, k, rows) -> int:
    """Answer by `generate(num_return_sequences=k)` in batches of `rows`; return useful tokens."""
    end, total, step = tokenizer.eos_token_id, 0, rows // k
    for start in range(0, len(tasks), step):
        chats = [[{"role": "user", "content": t.prompt}] for t in tasks[start : start + step]]
        batch = tokenizer.apply_chat_template(
            chats, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
        )
        with torch.inference_mode():
            out = model.generate(
                **batch,
                do_sample=True,
                temperature=1.0,
                top_k=0,
                top_p=1.0,
                max_new_tokens=NEW,
                num_return_sequences=k,
            )
        for row in out[:, batch["input_ids"].shape[1] :].tolist():
            total += row.index(end) + 1 if end in row else len(row)
    return total


def ours(engine, context, tasks, k) -> int:
    sampling = Sampling(temperature=1.0, max_tokens=NEW)
    asked = [Request(messages=t.messages, sampling=sampling, n=k, key=t.id) for t in tasks]
    made = engine.generate(asked, context.learner, context)
    return sum(c.tokens for group in made for c in group)


def timed(call) -> float:
    """Return useful tokens per second."""
    started = time.perf_counter()
    tokens = call()
    return tokens / (time.perf_counter() - started)


def ceiling(model) -> float:
    """Return the operations per second of a bf16 product as wide as the model's feed-forward."""
    config = model.config
    a = torch.randn(1024, config.hidden_size, dtype=torch.bfloat16)
    w = torch.randn(config.intermediate_size, config.hidden_size, dtype=torch.bfloat16)
    best = 0.0
    for _ in range(5):
        started = time.perf_counter()
        for _ in range(30):
            torch.nn.functional.linear(a, w)
        spent = time.perf_counter() - started
        best = max(best, 30 * 2 * 1024 * w.numel() / spent)
    return best


def identical(tasks) -> dict:
    """Compare greedy fp32 answers with `generate`, one prompt at a time."""
    model, tokenizer = models.load("smollm2", "float32")
    engine = TransformersEngine(model="smollm2", dtype="float32")
    context = on_smollm2()
    sampling = Sampling(temperature=0.0, max_tokens=NEW)
    asked = [Request(messages=t.messages, sampling=sampling, key=t.id) for t in tasks]
    made = engine.generate(asked, context.learner, context)
    same = 0
    for task, (completion,) in zip(tasks, made, strict=True):
        ids = torch.tensor([models.chat_tokens(tokenizer, task.messages)])
        with torch.inference_mode():
            out = model.generate(
                ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=NEW
            )[0, ids.shape[1] :]
        same += tokenizer.decode(out, skip_special_tokens=True) == completion.text
    return {"prompts": len(tasks), "identical": same}


def on_smollm2():
    learner = Learner(base="smollm2")
    return replace(fake_context(), learner=learner, base=learner)


def serve(arm: str, prompts: int, k: int) -> None:
    """Be one arm: answer each line of standard input with one measurement."""
    tasks = list(ReasoningGym(dataset="chain_sum", config=OPTIONS).load(prompts, 1))
    if arm == "instar":
        engine, context = TransformersEngine(model="smollm2"), on_smollm2()

        def call(tasks) -> int:
            return ours(engine, context, tasks, k)
    else:
        # Not by `models.load`, which changes how memory is allocated.
        folder = models.resolve("smollm2")
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).eval()
        tokenizer = AutoTokenizer.from_pretrained(folder)
        tokenizer.padding_side = "left"
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token

        def call(tasks) -> int:
            return naive(model, tokenizer, tasks, k, ARMS[arm])

        tasks = tasks[: prompts // 4]  # the slow arms answer a quarter: the rate is what counts
    call(tasks[:16])
    for _ in sys.stdin:
        print(timed(lambda: call(tasks)), flush=True)


def measured(given) -> tuple[dict[str, list[float]], list[float], object]:
    """Return the rates of each arm, the product's rates, and the model."""
    words = ["--prompts", str(given.prompts), "--k", str(given.k)]
    arms = {
        arm: subprocess.Popen(
            [sys.executable, __file__, "--arm", arm, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for arm in ARMS
    }
    model, _ = models.load("smollm2")
    rates: dict[str, list[float]] = {arm: [] for arm in ARMS}
    peaks = []
    for turn in range(given.repeat + 1):  # the first waits for the others' warm-up: not counted
        peaks.append(ceiling(model))
        for arm, process in arms.items():
            print("go", file=process.stdin, flush=True)
            rates[arm].append(float(process.stdout.readline()))
            print(f"{turn} {arm}: {rates[arm][-1]:.0f} tokens/s", flush=True)
    for process in arms.values():
        process.stdin.close()
        process.wait()
    return {arm: found[1:] for arm, found in rates.items()}, peaks[1:], model


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--prompts", type=int, default=128)
    options.add_argument("--k", type=int, default=8)
    options.add_argument("--repeat", type=int, default=3)
    options.add_argument("--arm", choices=ARMS, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.arm:
        serve(given.arm, given.prompts, given.k)
        return
    rates, peaks, model = measured(given)
    middle = {name: statistics.median(found) for name, found in rates.items()}
    operations = 2 * model.num_parameters()
    tasks = list(ReasoningGym(dataset="chain_sum", config=OPTIONS).load(32, 1))
    result = {
        "prompts": given.prompts,
        "k": given.k,
        "dtype": str(model.dtype),
        "threads": torch.get_num_threads(),
        "tokens_per_second": rates,
        "median": middle,
        "times_generate_64": middle["instar"] / middle["generate, 64 rows"],
        "times_generate_256": middle["instar"] / middle["generate, 256 rows"],
        "product_gflops": [p / 1e9 for p in peaks],
        "share_of_roofline": middle["instar"] * operations / statistics.median(peaks),
        "greedy_fp32": identical(tasks),
    }
    (HERE / "results" / "rollouts.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({k: v for k, v in result.items() if k != "tokens_per_second"}, indent=1))


if __name__ == "__main__":
    main()
