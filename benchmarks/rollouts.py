"""Rollouts per second: instar's engine against plain `generate`, same prompts, same number format.

Both arms answer the same chain_sum prompts K times at temperature 1 with at most 32 new tokens, in
one process, interleaved; only useful tokens count (up to and including the end of a turn). The
share of the roofline is the engine's arithmetic (two operations per weight and useful token) over
what a bf16 product of the model's largest layer reaches in the same process. The greedy check
compares fp32 token by token with `generate`.

    python benchmarks/rollouts.py            # writes benchmarks/results/rollouts.json
"""

import argparse
import json
import statistics
import time
from dataclasses import replace
from pathlib import Path

import torch

from instar import models
from instar.acquisition.tasks.reasoning_gym import ReasoningGym
from instar.engines.transformers import TransformersEngine
from instar.testing.fakes import context as fake_context
from instar.types import Learner, Request, Sampling

HERE = Path(__file__).parent
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


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--prompts", type=int, default=128)
    options.add_argument("--k", type=int, default=8)
    options.add_argument("--repeat", type=int, default=3)
    given = options.parse_args()
    tasks = list(ReasoningGym(dataset="chain_sum", config=OPTIONS).load(given.prompts, 1))
    model, tokenizer = models.load("smollm2")
    tokenizer.padding_side = "left"
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    engine, context = TransformersEngine(model="smollm2"), on_smollm2()
    part = tasks[: given.prompts // 4]  # the slow arms answer a quarter: the rate is what counts
    arms = {
        "generate, 64 rows": lambda: naive(model, tokenizer, part, given.k, 64),
        "generate, 256 rows": lambda: naive(model, tokenizer, part, given.k, 256),
        "instar": lambda: ours(engine, context, tasks, given.k),
    }
    naive(model, tokenizer, tasks[:8], given.k, 64), ours(engine, context, tasks[:8], given.k)
    rates: dict[str, list[float]] = {name: [] for name in arms}
    peaks = []
    for _ in range(given.repeat):
        peaks.append(ceiling(model))
        for name, call in arms.items():
            rates[name].append(timed(call))
            print(f"{name}: {rates[name][-1]:.0f} tokens/s", flush=True)
    middle = {name: statistics.median(found) for name, found in rates.items()}
    operations = 2 * model.num_parameters()
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
        "greedy_fp32": identical(tasks[:32]),
    }
    (HERE / "results" / "rollouts.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({k: v for k, v in result.items() if k != "tokens_per_second"}, indent=1))


if __name__ == "__main__":
    main()
