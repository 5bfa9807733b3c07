"""Means and bootstrap intervals: scipy and the standard library as oracles, and the same digits every time."""

from __future__ import annotations

import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as oracle

from lobgym.experiments.evaluation.stats import bootstrap_interval, fixed_mean, max_drawdown, quantile

FINITE = st.floats(-1e9, 1e9, allow_nan=False, width=64)


@given(st.lists(FINITE, min_size=1, max_size=30))
def test_the_mean_does_not_depend_on_the_order(values: list[float]) -> None:
    mean = fixed_mean(values)
    assert mean == fixed_mean(values[::-1]) == fixed_mean(sorted(values))
    assert mean == pytest.approx(statistics.fmean(values))


@settings(deadline=None, max_examples=30)
@given(st.lists(FINITE, min_size=1, max_size=12), st.integers(0, 2**63 - 1))
def test_the_interval_contains_the_mean_and_repeats(values: list[float], seed: int) -> None:
    first = bootstrap_interval(values, seed=seed, resamples=200)
    assert min(values) - 1e-6 <= first.low <= first.mean <= first.high <= max(values) + 1e-6
    assert first == bootstrap_interval(values, seed=seed, resamples=200)


@pytest.mark.parametrize("count", [5, 10, 40])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_scipy_agrees_within_its_own_noise(count: int, level: float) -> None:
    values = np.random.default_rng(count).normal(3.0, 2.0, count)
    ours = bootstrap_interval(values.tolist(), level=level, resamples=20_000)
    theirs = oracle.bootstrap(
        (values,),
        np.mean,
        confidence_level=level,
        n_resamples=20_000,
        method="percentile",
        rng=np.random.default_rng(1),
    )
    noise = 0.05 * theirs.standard_error
    assert ours.mean == pytest.approx(values.mean(), rel=1e-12)
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=2 * noise)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=2 * noise)


def test_two_values_give_the_exact_distribution() -> None:
    """Means of two draws from {0, 1}: 0, 1/2, 1 with weights 1/4, 1/2, 1/4."""
    assert bootstrap_interval([0.0, 1.0], level=0.4).low == 0.5
    assert bootstrap_interval([0.0, 1.0], level=0.6).low == 0.0


@given(st.lists(FINITE, min_size=1, max_size=30), st.floats(0.0, 1.0))
def test_quantiles_are_numpys(values: list[float], fraction: float) -> None:
    ordered = np.sort(np.array(values))
    wanted = np.quantile(ordered, fraction)
    assert quantile(ordered, fraction) == pytest.approx(wanted, rel=1e-9, abs=1e-9 * max(1.0, np.abs(ordered).max()))
    assert (quantile(ordered, 0.0), quantile(ordered, 1.0)) == (ordered[0], ordered[-1])


def test_one_value_and_equal_values_have_no_width() -> None:
    assert bootstrap_interval([2.5]).low == bootstrap_interval([2.5]).high == 2.5
    same = bootstrap_interval([0.1] * 7)
    assert same.high - same.low < 1e-15


def test_golden_interval() -> None:
    """A change of these digits is a decision: every published table would move."""
    interval = bootstrap_interval([1.0, 2.0, 4.0, 8.0, 16.0], seed=7)
    assert (interval.mean, interval.low, interval.high) == (6.2, 2.0, 11.4)


NONSENSE = [
    ([], {}),
    ([float("nan")], {}),
    ([1.0], {"level": 1.0}),
    ([1.0], {"resamples": 5}),
    ([1.0], {"seed": -1}),
]


@pytest.mark.parametrize(("values", "options"), NONSENSE)
def test_nonsense_is_refused(values: list[float], options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        bootstrap_interval(values, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("path", "worst"), [([], 0), ([1, 2, 3], 0), ([-5], 5), ([10, 4, 12, 3, 11], 9), ([-1, -2, 5, 4], 2)]
)
def test_drawdown(path: list[int], worst: int) -> None:
    assert max_drawdown(path) == worst
