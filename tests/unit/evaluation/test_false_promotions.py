"""The promise of the gate, on the simulation that `benchmarks/gate.py` runs at length."""

import runpy
from dataclasses import replace
from pathlib import Path

import pytest
from scipy import stats

from instar.evaluation.gate import Better
from instar.evaluation.statistics import power
from instar.testing.fakes import context as fake

BENCH = runpy.run_path(str(Path(__file__).parents[3] / "benchmarks" / "gate.py"))
RUNS, LOOKS = 400, 5
CONTEXT = replace(fake(), iterations=LOOKS)


def most(runs, share):
    """Return the count that a share this large exceeds in one simulation of a thousand."""
    return stats.binom.isf(1e-3, runs, share)


@pytest.mark.slow
@pytest.mark.parametrize("accuracy", [0.2, 0.5, 0.8])
def test_a_run_of_worthless_candidates_promotes_one_with_probability_alpha_at_most(accuracy):
    scenario = BENCH["Null"](accuracy=accuracy, redrawn=1.0)
    found = BENCH["false_promotions"](scenario, 200, RUNS, CONTEXT, Better())
    assert found["gate"] <= most(RUNS, 0.05)
    # The simulation could have shown it: without sharing alpha among the looks, it is broken.
    assert found["alpha each look"] > most(RUNS, 0.05)
    assert found["higher accuracy"] > 0.7 * RUNS


def test_graded_scores_keep_the_promise_too():
    scenario, runs = BENCH["GradedNull"](skewed=True), 40
    found = BENCH["false_promotions"](scenario, 10, runs, CONTEXT, Better())
    assert found["gate"] <= most(runs, 0.05)
    assert found["higher accuracy"] > 0.7 * runs


def test_a_promoted_learner_is_not_replaced_by_one_that_is_no_better():
    runs = 100
    found = BENCH["better_first"](0.15, 0.3, 200, runs, CONTEXT, Better())
    assert found["promoted a better one"] > 0.8 * runs
    assert found["promoted a worthless one"] <= most(runs, 0.05)


def test_a_real_gain_is_promoted_as_often_as_the_forecast_computes():
    looks = 200
    found = BENCH["seen"](0.1, 200, looks, CONTEXT, Better())
    expected = power(200, 0.1, 0.05, 0.05 / LOOKS)
    low, high = stats.binom.interval(0.998, looks, expected)
    assert low <= found <= high
