"""The statistics behind measures and gate, by scipy."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

LEVEL = 0.95


def wilson(successes: int, n: int, level: float = LEVEL) -> tuple[float, float]:
    """Return the Wilson score interval of a share (Wilson 1927)."""
    if n == 0:
        return 0.0, 1.0
    interval = stats.binomtest(successes, n).proportion_ci(level, method="wilson")
    return min(float(interval.low), successes / n), max(float(interval.high), successes / n)


def pass_at_k(n: int, c: int, k: int) -> float:
    """Return the unbiased estimate of pass@k from `c` right of `n` samples.

    1 - C(n-c, k) / C(n, k), as in Chen et al. 2021 (arXiv 2107.03374).

    Raises:
        ValueError: for k above n.
    """
    if k > n:
        raise ValueError(f"pass@{k} needs at least {k} samples of a task, not {n}")
    return 1.0 - math.comb(n - c, k) / math.comb(n, k)


def paired_difference(
    before: Sequence[float], after: Sequence[float], level: float = LEVEL
) -> tuple[float, float, float]:
    """Return the mean of `after - before` on the same tasks, and its interval.

    For 0/1 outcomes, the score interval for paired proportions of Agresti and Min (2005): half a
    success is added to each of the four cells, then Wald; otherwise Student's t over the pairs.
    """
    first, second = np.asarray(before, float), np.asarray(after, float)
    difference = float(np.mean(second - first))
    if not set(np.unique([first, second])) <= {0.0, 1.0}:
        return (difference, *_student(second - first, level))
    n = len(first) + 2
    fixed = float(np.sum(second > first)) + 0.5
    broken = float(np.sum(second < first)) + 0.5
    middle = (fixed - broken) / n
    spread = math.sqrt((fixed + broken) / n - middle**2) / math.sqrt(n)
    half = float(stats.norm.ppf((1 + level) / 2)) * spread
    low, high = max(-1.0, middle - half), min(1.0, middle + half)
    return difference, min(low, difference), max(high, difference)


def _student(differences: np.ndarray, level: float) -> tuple[float, float]:
    n = len(differences)
    middle, spread = float(np.mean(differences)), float(np.std(differences, ddof=1)) / math.sqrt(n)
    if spread == 0:
        return middle, middle
    low, high = stats.t.interval(level, n - 1, loc=middle, scale=spread)
    return float(low), float(high)


def mcnemar(fixed: int, broken: int) -> float:
    """Return the one-sided exact p-value that a candidate fixes no more tasks than it breaks.

    McNemar's test in its exact form: of the tasks on which the two learners differ, the number
    fixed is binomial with probability at most 1/2 under the null.
    """
    if fixed + broken == 0:
        return 1.0
    return float(stats.binomtest(fixed, fixed + broken, 0.5, alternative="greater").pvalue)


def sign_flip(differences: Sequence[float], seed: int) -> float:
    """Return the one-sided p-value that graded scores did not rise, by flipping signs of pairs."""
    found = stats.permutation_test(
        (np.asarray(differences, float),),
        np.mean,
        permutation_type="samples",
        alternative="greater",
        n_resamples=9999,
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)


def power(n: int, gain: float, broken: float, alpha: float) -> float:
    """Return the chance that the exact test sees a gain.

    Args:
        n: paired tasks.
        gain: share fixed minus share broken.
        broken: share of tasks that the candidate breaks.
        alpha: level of this look.
    """
    fixed = gain + broken
    total = fixed + broken
    counts = np.arange(n + 1)
    weight = stats.binom.pmf(counts, n, total)
    # The smallest number fixed, of d discordant pairs, whose p-value is at most alpha.
    needed = stats.binom.isf(alpha, counts, 0.5) + 1
    return float(np.sum(weight * stats.binom.sf(needed - 1, counts, fixed / total)))


def detectable(n: int, alpha: float, broken: float, wanted: float = 0.8) -> float | None:
    """Return the smallest gain, to half a point, seen with chance `wanted`; None if none is."""
    for step in range(1, 200):
        gain = step / 200
        if gain + 2 * broken > 1:
            return None
        if power(n, gain, broken, alpha) >= wanted:
            return gain
    return None
