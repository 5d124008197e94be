"""The sandbox: what a run costs, how many there are a second, and ten thousand of them.

    python benchmarks/sandbox.py                    # some minutes; writes results/sandbox.json
    python benchmarks/sandbox.py --executions 500   # a quick look, nothing is written

Latency: a program that does nothing, next to `python -I -c pass` started bare, in turns, median of
100. Throughput: programs with 50 asserts, judged by `unit_tests` (program and tests apart, both in
the sandbox), next to the same programs started bare, two at a time, in turns. Endurance: canonical
solutions of HumanEval and broken copies of them; what is right is known from running each bare once
with the data set's own tests. Copies that do not end within a second bare are left out.
"""

import argparse
import ast
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from instar.acquisition.feedback.environment.mutants_killed import mutated
from instar.acquisition.feedback.environment.programs import checks_of
from instar.acquisition.feedback.environment.running import judged, judged_all
from instar.acquisition.tasks.human_eval import HumanEval
from instar.environments.sandbox.backends import ORDER
from instar.environments.sandbox.sandbox import IsolatedSandbox
from instar.errors import ComponentError
from instar.types import Limits, Message, Task

HERE = Path(__file__).parent
BARE = [sys.executable, "-I"]
AT_ONCE = os.cpu_count() or 1
LIMITS = Limits(wall=10.0, cpu=5)


def timed(call) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def latency(sandbox: IsolatedSandbox, runs: int = 100) -> dict:
    """Return median milliseconds of a trivial program here and bare."""
    ours, bare = [], []
    for _ in range(runs):
        bare.append(timed(lambda: subprocess.run([*BARE, "-c", "pass"], check=True)))
        ours.append(timed(lambda: sandbox.run("pass", {}, LIMITS)))
    middle = [1000 * statistics.median(v) for v in (ours, bare)]
    return {"sandbox_ms": middle[0], "bare_ms": middle[1], "over_bare_ms": middle[0] - middle[1]}


def throughput(sandbox: IsolatedSandbox, programs: int = 200, rounds: int = 3) -> dict:
    """Return programs per second here and bare."""
    codes = [f"def f(x):\n    return x * x + {i}\n" for i in range(programs)]
    tests = ["\n".join(f"assert f({x}) == {x * x + i}" for x in range(50)) for i in range(programs)]
    tasks = [
        Task(
            messages=(Message(role="user", content="Write f."),),
            material=json.dumps({"entry_point": "f", "test": t}),
        )
        for t in tests
    ]
    work = [(code, checks_of(task)) for code, task in zip(codes, tasks, strict=True)]

    def here() -> None:
        assert all(j.share == 1 for j in judged_all(sandbox, work, LIMITS))

    def bare() -> None:
        with tempfile.TemporaryDirectory() as place:
            paths = []
            for i, (code, test) in enumerate(zip(codes, tests, strict=True)):
                paths.append(Path(place) / f"{i}.py")
                paths[-1].write_text(f"{code}\n{test}\n")
            with ThreadPoolExecutor(AT_ONCE) as pool:
                list(pool.map(lambda p: subprocess.run([*BARE, str(p)], check=True), paths))

    here()
    ours, theirs = [], []
    for _ in range(rounds):
        theirs.append(programs / timed(bare))
        ours.append(programs / timed(here))
    middle = statistics.median(ours), statistics.median(theirs)
    return {
        "at_once": AT_ONCE,
        "sandbox_per_second": middle[0],
        "bare_per_second": middle[1],
        "share_of_bare": middle[0] / middle[1],
        "rounds": {"sandbox": ours, "bare": theirs},
    }


def truth(program: str) -> bool | None:
    """Run a program with its tests bare; None if it does not end."""
    try:
        done = subprocess.run([*BARE, "-c", program], capture_output=True, timeout=1.0)
    except subprocess.TimeoutExpired:
        return None
    return done.returncode == 0


def helpers(program: str, entry: str) -> list[str]:
    """Return what a program defines besides the function `entry`."""
    body = ast.parse(program).body
    return [ast.dump(n) for n in body if getattr(n, "name", None) != entry]


def known(copies: int) -> list[tuple[str, object, bool]]:
    """Return (program, checks, does it pass) of solutions and broken copies."""
    asked = []
    for task in HumanEval().load(None, 0):
        fields, checks = json.loads(task.material), checks_of(task)
        whole = task.prompt + fields["canonical_solution"]
        entry = fields["entry_point"]
        broken = [b for b in mutated(whole) if helpers(b, entry) == helpers(whole, entry)]
        step = max(1.0, len(broken) / copies)
        chosen = [broken[int(i * step)] for i in range(min(copies, len(broken)))]
        end = f"\n{fields['test']}\ncheck({entry})\n"
        asked += [(code, checks, code + end) for code in (whole, *chosen)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(lambda a: truth(a[2]), asked))
    return [(a[0], a[1], f) for a, f in zip(asked, found, strict=True) if f is not None]


def left() -> dict:
    """Return what would grow if runs left something behind."""
    status = Path("/proc/self/status").read_text()
    children = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children += fields[1] == str(os.getpid())
    folders = list(Path(tempfile.gettempdir()).glob("instar-sandbox-*"))
    return {
        "memory_mb": int(status.split("VmRSS:")[1].split()[0]) // 1024,
        "handles": len(os.listdir("/proc/self/fd")),
        "children": children,
        "folders": len(folders),
        "mounts": len(Path("/proc/self/mountinfo").read_text().splitlines()),
    }


def endurance(sandbox: IsolatedSandbox, executions: int) -> dict:
    """Judge that many programs; return how many verdicts were wrong, and what was left behind."""
    programs = known(copies=6)
    work = [programs[i % len(programs)] for i in range(executions)]
    wrong: list[dict] = []
    marks = []
    started = time.perf_counter()

    def one(item) -> None:
        code, checks, passes = item
        made = judged(sandbox, code, checks, LIMITS)
        if (made.share == 1) != passes:
            failed = [r.failed for r in made.results if r.failed]
            wrong.append({"code": code, "passes": passes, "share": made.share, "why": failed[:2]})

    with ThreadPoolExecutor(max(1, sandbox.workers // 2)) as pool:
        for first in range(0, executions, max(1, executions // 10)):
            list(pool.map(one, work[first : first + max(1, executions // 10)]))
            marks.append({"executions": min(executions, first + executions // 10), **left()})
            print(marks[-1], flush=True)
    return {
        "executions": executions,
        "programs": len(programs),
        "of_them_right": sum(p for _, _, p in programs),
        "wrong_verdicts": len(wrong),
        "wrong": wrong[:20],
        "seconds": time.perf_counter() - started,
        "left": marks,
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--executions", type=int, default=10_000)
    given = options.parse_args()
    result: dict = {
        "machine": {
            "cores": os.cpu_count(),
            "kernel": platform.release().partition("-")[0],
            "python": platform.python_version(),
        }
    }
    for backend in ORDER:
        sandbox = IsolatedSandbox([backend])
        try:
            sandbox.facts()
        except ComponentError as error:
            print(error)
            continue
        result[backend] = {"latency": latency(sandbox)}
        if backend != "wasi":  # it begins every program anew, and is there for where all else fails
            result[backend]["throughput"] = throughput(sandbox)
        print(backend, json.dumps(result[backend], indent=1), flush=True)
        sandbox.close()
    sandbox = IsolatedSandbox()
    result["endurance"] = {"isolation": sandbox.level, **endurance(sandbox, given.executions)}
    sandbox.close()
    print(json.dumps({k: v for k, v in result["endurance"].items() if k != "left"}, indent=1))
    if given.executions >= 10_000:
        (HERE / "results" / "sandbox.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
