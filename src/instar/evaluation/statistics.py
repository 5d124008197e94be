"""The statistics behind measures and gate, by scipy."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

LEVEL = 0.95
POWER = 0.8  # the chance at which a gain is called detectable: the custom of planning trials
STEP = 200  # gains are looked for in steps of half a point; ours
FLIPS = 9_999  # sign flips drawn where there are too many to try all: scipy's own default
PER_LEVEL = 20  # flips drawn for each 1/level, so that so small a p-value can be seen; ours
BATCH = 4_000_000  # numbers held at once while flipping: 32 MB; ours

Numbers = NDArray[np.float64]


def wilson(successes: int, n: int, level: float = LEVEL) -> tuple[float, float]:
    """Return the score interval of a share (Wilson 1927); without a trial, from 0 to 1."""
    if n == 0:
        return 0.0, 1.0
    interval = stats.binomtest(successes, n).proportion_ci(level, method="wilson")
    return float(interval.low), float(interval.high)


def pass_at_k(n: int, c: int, k: int) -> float:
    """Return the unbiased estimate of pass@k from `c` right of `n` samples.

    1 - C(n-c, k) / C(n, k), as in Chen et al. 2021 (arXiv 2107.03374); in whole numbers, so that
    no `n` is too large.

    Raises:
        ValueError: unless 1 <= k <= n and 0 <= c <= n.
    """
    if not 1 <= k <= n:
        raise ValueError(f"pass@{k} needs at least {max(k, 1)} samples of a task, not {n}")
    if not 0 <= c <= n:
        raise ValueError(f"{c} of {n} samples cannot be right")
    every, wrong = math.comb(n, k), math.comb(n - c, k)
    return (every - wrong) / every


def mean_share(values: Sequence[float], level: float = LEVEL) -> tuple[float, float, float]:
    """Return the mean of numbers between 0 and 1, and its interval.

    Two zeros and two ones are added, as Agresti and Coull (1998) do for shares, then Student's t:
    without them, numbers that are all alike would have an interval of no width.

    Raises:
        ValueError: for no number, or one outside 0 to 1.
    """
    seen = np.asarray(values, float)
    if not len(seen) or not np.all((seen >= 0) & (seen <= 1)):
        raise ValueError("a mean share needs at least one number, all of them from 0 to 1")
    mean, padded = float(np.mean(seen)), np.append(seen, [0, 0, 1, 1])
    half = _student(len(padded) - 1, level) * float(stats.sem(padded))
    middle = float(np.mean(padded))
    return mean, min(mean, max(0.0, middle - half)), max(mean, min(1.0, middle + half))


def paired_difference(
    before: Sequence[float], after: Sequence[float], level: float = LEVEL
) -> tuple[float, float, float]:
    """Return the mean of `after - before` on the same tasks, and its interval.

    For 0/1 outcomes, Agresti and Min (2005): half a task is added to each of the four cells (fixed,
    broken, right twice, wrong twice), then Wald's interval. It is taken with Student's quantile, so
    that zero is wrongly excluded on one side at most 2.5% of the time (with theirs, 3.2% at 20
    tasks). Graded scores get the same half tasks, risen or fallen by the whole scale: 1 if all are
    between 0 and 1, otherwise the range seen.

    Raises:
        ValueError: for no pair.
    """
    first, second = np.asarray(before, float), np.asarray(after, float)
    if not len(first) or len(first) != len(second):
        raise ValueError(f"expected pairs, found {len(first)} scores before, {len(second)} after")
    every = np.concatenate([first, second])
    shares = bool(np.all((every >= 0) & (every <= 1)))
    scale = 1.0 if shares else float(np.ptp(every))
    n, change = len(first) + 2, second - first
    difference, middle = float(np.mean(change)), float(np.sum(change)) / n
    variance = (float(np.sum(change**2)) + scale**2) / n - middle**2
    half = _student(n - 1, level) * math.sqrt(variance / n)
    low, high = middle - half, middle + half
    if shares:
        low, high = max(-1.0, low), min(1.0, high)
    return difference, min(low, difference), max(high, difference)


def mcnemar(fixed: int, broken: int) -> float:
    """Return the one-sided exact p-value that a candidate fixes no more tasks than it breaks.

    McNemar's test in its exact form: of the tasks on which the two learners differ, the number
    fixed is binomial with probability at most 1/2 under the null.
    """
    if fixed + broken == 0:
        return 1.0
    return float(stats.binomtest(fixed, fixed + broken, 0.5, alternative="greater").pvalue)


def sign_flip(differences: Sequence[float], level: float, seed: int) -> float:
    """Return the one-sided p-value that graded scores did not rise, by flipping signs of pairs.

    Exact where all flips can be tried, otherwise from a sample of them, drawn by `seed` and large
    enough for a p-value well below `level`. It takes differences to be symmetric under the null;
    for skewed ones it holds approximately, at tens of tasks and more.
    """
    moved = np.asarray([d for d in differences if d != 0], float)
    if len(moved) < 2:  # too few for scipy; a tie has no sign to flip
        return 0.5 if np.sum(moved) > 0 else 1.0
    flips = max(FLIPS, math.ceil(PER_LEVEL / level))
    found = stats.permutation_test(
        (moved,),
        np.mean,
        permutation_type="samples",
        alternative="greater",
        n_resamples=flips,
        batch=max(1, BATCH // len(moved)),
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)


def power(n: int, gain: float, broken: float, alpha: float) -> float:
    """Return the chance that the exact McNemar test sees a gain; computed, not simulated.

    Args:
        n: paired tasks.
        gain: share fixed minus share broken.
        broken: share of tasks that the candidate breaks.
        alpha: level of this look.

    Raises:
        ValueError: for shares that no candidate can have.
    """
    fixed = gain + broken
    if min(fixed, broken) < 0 or fixed + broken > 1 + 1e-9:
        raise ValueError(f"{fixed:g} fixed and {broken:g} broken are no shares of the same tasks")
    differ = min(1.0, fixed + broken)
    if differ == 0:
        return 0.0
    counts = np.arange(n + 1)
    # The smallest number fixed, of so many that differ, whose p-value is at most alpha.
    needed = stats.binom.isf(alpha, counts, 0.5) + 1
    seen = stats.binom.sf(needed - 1, counts, fixed / differ)
    return float(np.sum(stats.binom.pmf(counts, n, differ) * seen))


def detectable(n: int, alpha: float, broken: float, wanted: float = POWER) -> float | None:
    """Return the smallest gain, to half a point, seen with chance `wanted`; None if none is.

    Args:
        n: paired tasks.
        alpha: level of this look.
        broken: share of tasks that the candidate breaks.
        wanted: the chance.
    """
    steps = range(1, math.floor(STEP * (1 - 2 * broken) + 1e-9) + 1)
    # The chance rises with the gain: one more task fixed never turns a promotion into a refusal.
    place = bisect_left(steps, wanted, key=lambda s: power(n, s / STEP, broken, alpha))
    return steps[place] / STEP if place < len(steps) else None


def _student(freedom: int, level: float) -> float:
    return float(stats.t.ppf((1 + level) / 2, freedom))
