import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from instar.evaluation.statistics import (
    detectable,
    mcnemar,
    mean_share,
    paired_difference,
    pass_at_k,
    power,
    sign_flip,
    wilson,
)

COUNTS = st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
BITS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)
SCORES = st.floats(0, 1)


@given(COUNTS)
def test_wilson_holds_the_share_and_stays_within_0_and_1(counted):
    right, n = counted
    low, high = wilson(right, n)
    assert 0 <= low <= right / n <= high <= 1
    assert low < high


def test_wilson_is_wilsons_formula_and_mirrors():
    z, n, p = stats.norm.ppf(0.975), 40, 13 / 40
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    assert wilson(13, 40) == pytest.approx((middle - half, middle + half))
    low, high = wilson(27, 40)
    assert wilson(13, 40) == pytest.approx((1 - high, 1 - low))


def test_wilson_narrows_with_tasks_and_widens_with_the_level_and_says_nothing_of_none():
    widths = [np.ptp(wilson(n // 4, n)) for n in (20, 80, 400)]
    assert widths == sorted(widths, reverse=True)
    assert np.ptp(wilson(5, 20, level=0.8)) < widths[0]
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("n", "k"), [(1, 1), (5, 1), (5, 3), (5, 5), (8, 4)])
def test_pass_at_k_is_the_share_of_the_choices_of_k_samples_that_hold_a_right_one(n, k):
    for c in range(n + 1):
        choices = list(itertools.combinations(range(n), k))
        hits = sum(any(i < c for i in choice) for choice in choices)
        assert pass_at_k(n, c, k) == pytest.approx(hits / len(choices), abs=1e-12)


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n))))
def test_pass_at_k_rises_with_the_samples_that_are_right_and_ends_at_1(sized):
    n, k = sized
    values = [pass_at_k(n, c, k) for c in range(n + 1)]
    assert values[0] == 0
    assert values[-1] == 1
    assert all(a <= b for a, b in itertools.pairwise(values))


def test_pass_at_k_keeps_its_digits_at_sizes_where_floats_have_none():
    assert pass_at_k(10_000, 1, 5_000) == 0.5
    assert pass_at_k(10_000, 1, 1) == 1e-4


@pytest.mark.parametrize(("n", "c", "k"), [(4, 2, 5), (4, 2, 0), (4, 5, 1), (4, -1, 1), (0, 0, 1)])
def test_pass_at_k_refuses_counts_that_cannot_be(n, c, k):
    with pytest.raises(ValueError, match=r"samples"):
        pass_at_k(n, c, k)


@given(st.lists(SCORES, min_size=1, max_size=50))
def test_a_mean_share_lies_in_its_interval_which_is_never_of_no_width(values):
    mean, low, high = mean_share(values)
    assert mean == pytest.approx(sum(values) / len(values))
    assert 0 <= low <= mean <= high <= 1
    assert high - low > 0.01


@pytest.mark.parametrize("values", [[], [1.1], [-0.1], [float("nan")]])
def test_a_mean_share_refuses_what_is_none(values):
    with pytest.raises(ValueError, match="from 0 to 1"):
        mean_share(values)


@pytest.mark.parametrize(("a", "b"), [(0.3, 0.3), (1, 4), (8, 2)])
@pytest.mark.parametrize("n", [20, 100])
def test_the_interval_of_pass_at_k_holds_the_truth_as_often_as_it_says(a, b, n):
    draw, of = np.random.default_rng(7), np.array([pass_at_k(8, c, 4) for c in range(9)])
    truth, held, trials = 1 - _beta_power(a, b, 4), 0, 400
    for _ in range(trials):
        _, low, high = mean_share(of[draw.binomial(8, draw.beta(a, b, n))])
        held += low <= truth <= high
    assert held / trials >= 0.93


def _beta_power(a, b, k):
    """Return the mean of (1 - p)^k over a beta distribution."""
    return math.prod((b + i) / (a + b + i) for i in range(k))


def _cells(n):
    fixed, broken = np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij")
    possible = fixed + broken <= n
    return fixed[possible], broken[possible]


@pytest.mark.parametrize("n", [10, 20, 40])
def test_the_paired_interval_holds_the_truth_and_seldom_excludes_no_change(n):
    """Exactly, over every possible outcome; worst where hardly a task is expected to differ."""
    fixed, broken = _cells(n)
    intervals = np.array([_interval(f, b, n) for f, b in zip(fixed, broken, strict=True)])
    low, high = intervals[:, 0], intervals[:, 1]
    held = []
    for rate, gain in itertools.product((0.02, 0.05, 0.1, 0.2, 0.3), (0, 0.05, 0.1, 0.2, 0.4)):
        chance = stats.multinomial.pmf(
            np.stack([fixed, broken, n - fixed - broken], axis=1),
            n,
            [rate + gain, rate, 1 - 2 * rate - gain],
        )
        held.append(float(chance[(low <= gain) & (gain <= high)].sum()))
        if gain == 0:
            assert chance[low > 0].sum() <= 0.025
    assert min(held) > 0.91
    assert np.mean(held) > 0.955


def _interval(fixed, broken, n):
    before = [0.0] * fixed + [1.0] * broken + [1.0] * (n - fixed - broken)
    after = [1.0] * fixed + [0.0] * broken + [1.0] * (n - fixed - broken)
    return paired_difference(before, after)[1:]


@given(BITS)
def test_the_paired_interval_holds_the_difference_and_mirrors(bits):
    before, after = ([float(b) for b in column] for column in zip(*bits, strict=True))
    difference, low, high = paired_difference(before, after)
    assert -1 <= low <= difference <= high <= 1
    assert low < high
    assert paired_difference(after, before) == pytest.approx((-difference, -high, -low))


@pytest.mark.parametrize("kind", ["normal", "skewed", "mostly ties"])
def test_the_paired_interval_of_graded_scores_holds_the_truth_as_often_as_it_says(kind):
    draw, held, trials, n = np.random.default_rng(11), 0, 400, 60
    for _ in range(trials):
        before = draw.uniform(0.2, 0.6, n)
        change = {
            "normal": draw.normal(0.05, 0.05, n),
            "skewed": draw.exponential(0.05, n),
            "mostly ties": draw.choice([0.0, 0.2], size=n, p=[0.75, 0.25]),
        }[kind]
        _, low, high = paired_difference(before, np.clip(before + change, 0, 1))
        held += low <= 0.05 <= high
    assert held / trials >= 0.93


def test_a_few_equal_changes_prove_nothing():
    _, low, high = paired_difference([0.2, 0.0], [0.6, 0.4])
    assert low < 0 < high
    assert paired_difference([0.0], [1.0])[1] < 0


def test_the_paired_interval_is_in_the_unit_of_the_scores():
    before, after = np.array([1.0, 5.0, 3.0, 2.0]), np.array([3.0, 5.5, 4.0, 4.0])
    small, large = paired_difference(before, after), paired_difference(10 * before, 10 * after)
    assert large == pytest.approx([10 * v for v in small])
    assert small[2] - small[1] > 1


@pytest.mark.parametrize(("before", "after"), [([], []), ([1.0], []), ([1.0], [1.0, 0.0])])
def test_the_paired_interval_refuses_what_is_no_pair(before, after):
    with pytest.raises(ValueError, match="expected pairs"):
        paired_difference(before, after)


@given(st.integers(0, 20), st.integers(0, 20))
def test_mcnemar_is_the_binomial_tail_and_falls_with_every_task_fixed(fixed, broken):
    p, total = mcnemar(fixed, broken), fixed + broken
    tail = sum(math.comb(total, i) for i in range(fixed, total + 1)) / 2**total
    assert p == pytest.approx(tail)
    assert mcnemar(fixed + 1, broken) < p
    assert mcnemar(fixed, broken + 1) > p or fixed == 0


@given(st.integers(0, 200), st.integers(0, 200))
def test_mcnemar_cannot_favour_both_learners_and_favours_none_in_a_tie(fixed, broken):
    assert mcnemar(fixed, broken) + mcnemar(broken, fixed) >= 1
    assert fixed > broken or mcnemar(fixed, broken) >= 0.5


@settings(deadline=None)
@given(st.lists(st.integers(-4, 4), max_size=9))
def test_sign_flip_is_exact_for_few_pairs(changes):
    flips = [
        sum(s * d for s, d in zip(signs, changes, strict=True))
        for signs in itertools.product((1, -1), repeat=len(changes))
    ]
    exact = sum(f >= sum(changes) for f in flips) / len(flips)
    assert sign_flip(changes, 0.01, 0) == pytest.approx(exact if any(changes) else 1.0)


@pytest.mark.parametrize(("fixed", "broken"), [(9, 2), (3, 5), (12, 0), (0, 4)])
def test_sign_flip_of_right_and_wrong_is_mcnemar_whatever_the_ties(fixed, broken):
    changes = [1.0] * fixed + [-1.0] * broken + [0.0] * 50
    assert sign_flip(changes, 0.01, 0) == pytest.approx(mcnemar(fixed, broken))


def test_sign_flip_of_many_pairs_is_near_the_normal_and_follows_its_seed():
    changes = np.random.default_rng(0).normal(0.2, 1, 150)
    near = stats.norm.sf(np.sum(changes) / math.sqrt(np.sum(changes**2)))
    assert sign_flip(changes, 0.01, 1) == pytest.approx(near, rel=0.25)
    assert sign_flip(changes, 0.01, 1) == sign_flip(changes, 0.01, 1)
    assert sign_flip(changes, 0.01, 1) != sign_flip(changes, 0.01, 2)


def test_sign_flip_can_show_a_p_value_below_any_level_it_is_asked_for():
    assert sign_flip([0.1 + 0.01 * i for i in range(20)], 5e-5, 0) <= 5e-5


@pytest.mark.parametrize(("gain", "broken"), [(0.2, 0.05), (0.0, 0.3), (0.5, 0.0), (-0.1, 0.2)])
def test_power_is_the_chance_of_the_outcomes_that_the_test_promotes(gain, broken):
    n, alpha = 24, 0.0125
    shares = [gain + broken, broken, 1 - gain - 2 * broken]
    expected = sum(
        stats.multinomial.pmf([f, b, n - f - b], n, shares)
        for f, b in zip(*_cells(n), strict=True)
        if mcnemar(f, b) <= alpha
    )
    assert power(n, gain, broken, alpha) == pytest.approx(expected)


@given(st.integers(5, 300), st.integers(0, 50), st.floats(0.001, 0.2))
def test_no_gain_is_seen_more_often_than_the_level_allows(n, broken, alpha):
    assert power(n, 0.0, broken / 100, alpha) <= alpha * (1 + 1e-9)


@pytest.mark.parametrize(("gain", "broken"), [(0.9, 0.1), (-0.2, 0.1), (0.1, -0.05)])
def test_power_refuses_shares_that_no_candidate_can_have(gain, broken):
    with pytest.raises(ValueError, match="no shares"):
        power(100, gain, broken, 0.05)


@pytest.mark.parametrize("n", [50, 200, 400])
@pytest.mark.parametrize("broken", [0.0, 0.05, 0.15])
def test_the_detectable_gain_is_the_first_that_is_seen_with_the_wanted_chance(n, broken):
    gain = detectable(n, 0.0125, broken)
    assert power(n, gain, broken, 0.0125) >= 0.8 > power(n, gain - 0.005, broken, 0.0125)


def test_the_detectable_gain_shrinks_with_tasks_and_is_none_where_none_is_seen():
    gains = [detectable(n, 0.01, 0.05) for n in (50, 100, 400, 1600)]
    assert gains == sorted(gains, reverse=True)
    assert len(set(gains)) == len(gains)
    assert detectable(6, 0.01, 0.05) is None
    assert detectable(100, 0.01, 0.5) is None
