"""The interquartile mean against scipy's trimmed mean, its interval against scipy's bootstrap and exact enumeration."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as oracle

from lobgym.experiments.evaluation.intervals import IqmInterval, apart, iqm, iqm_difference, iqm_interval

FINITE = st.floats(-1e9, 1e9, allow_nan=False, width=64)


@given(st.lists(FINITE, min_size=1, max_size=40))
def test_it_is_scipys_trimmed_mean(values: list[float]) -> None:
    assert iqm(values) == pytest.approx(oracle.trim_mean(values, 0.25), rel=1e-9, abs=1e-6)
    assert iqm(values) == iqm(values[::-1]) == iqm(sorted(values))


def test_outliers_do_not_move_it() -> None:
    assert iqm([1.0, 2.0, 3.0, 4.0]) == iqm([-1e9, 2.0, 3.0, 1e9]) == 2.5
    assert iqm([1.0, 2.0, 6.0]) == 3.0


@settings(deadline=None, max_examples=30)
@given(st.lists(st.lists(FINITE, min_size=1, max_size=6), min_size=1, max_size=4), st.integers(0, 2**63 - 1))
def test_the_interval_contains_it_and_repeats(parts: list[list[float]], seed: int) -> None:
    strata = dict(enumerate(parts))
    found = iqm_interval(strata, seed=seed, resamples=200)
    assert found.low <= found.iqm <= found.high
    assert (found.count, found.strata) == (sum(map(len, parts)), len(parts))
    assert found == iqm_interval(strata, seed=seed, resamples=200)


@pytest.mark.parametrize("count", [8, 30])
def test_scipy_has_the_same_interval_within_its_noise(count: int) -> None:
    values = np.random.default_rng(count).standard_t(3, count)
    ours = iqm_interval(values.tolist(), resamples=20_000)
    theirs = oracle.bootstrap(
        (values,),
        lambda sample, axis: oracle.trim_mean(sample, 0.25, axis=axis),
        n_resamples=20_000,
        method="percentile",
        rng=np.random.default_rng(1),
    )
    noise = 0.1 * theirs.standard_error
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=noise)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=noise)


def test_resamples_stay_within_their_strata() -> None:
    """Two strata of two values: all 16 resamples enumerated. Drawing across strata would reach 0 and 100."""
    strata = {"a": [0.0, 1.0], "b": [99.0, 100.0]}
    exact = sorted(
        float(oracle.trim_mean([a1, a2, b1, b2], 0.25))
        for a1, a2, b1, b2 in product((0.0, 1.0), (0.0, 1.0), (99.0, 100.0), (99.0, 100.0))
    )
    found = iqm_interval(strata, level=0.999, resamples=20_000)
    assert (found.low, found.high) == (exact[0], exact[-1]) == (49.5, 50.5)
    pooled = iqm_interval([0.0, 1.0, 99.0, 100.0], level=0.999, resamples=20_000)
    assert pooled.low < 1.0 < 99.0 < pooled.high
    weights = np.quantile(exact, [0.3, 0.7])  # of the exact distribution: 16 equally likely resamples
    inner = iqm_interval(strata, level=0.4, resamples=20_000)
    assert (inner.low, inner.high) == pytest.approx(tuple(weights), abs=1e-9)


def test_pairs_are_compared_as_pairs() -> None:
    base = [10.0, -50.0, 300.0, 7.0, 0.0, 90.0, -20.0, 4.0]
    better = [value + 1.0 + 0.1 * k for k, value in enumerate(base)]
    difference = iqm_difference(better, base)
    assert difference.low >= 1.0
    assert not apart(iqm_interval(better), iqm_interval(base))
    assert apart(difference, iqm_interval([0.0, 0.5]))
    assert not apart(difference, difference)


def test_only_intervals_that_do_not_touch_are_apart() -> None:
    below = IqmInterval(0.0, -1.0, 1.0, 0.95, 8, 1)
    for low, wanted in ((0.9, False), (1.0, False), (1.1, True)):
        assert apart(IqmInterval(2.0, low, 3.0, 0.95, 8, 1), below) is wanted


def test_golden_interval() -> None:
    """A change of these digits is a decision: every published table would move."""
    found = iqm_interval({"x": [1.0, 2.0, 4.0, 8.0, 16.0], "y": [-3.0, 5.0]}, seed=7)
    assert (found.iqm, found.low, found.high) == (4.0, 0.8, 9.2)


@pytest.mark.parametrize(
    ("strata", "options"),
    [([], {}), ({}, {}), ({"a": [1.0], "b": []}, {}), ([float("inf")], {}), ([1.0], {"level": 0.0}),
     ([1.0], {"resamples": 99}), ([1.0], {"seed": -1})],
)  # fmt: skip
def test_nonsense_is_refused(strata: object, options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        iqm_interval(strata, **options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="pairs"):
        iqm_difference([1.0], [1.0, 2.0])
