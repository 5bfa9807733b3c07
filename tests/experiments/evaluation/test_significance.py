"""Student's t, Holm's correction and power: scipy, the definition and simulation as oracles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as oracle

from lobgym.experiments.evaluation.significance import (
    holm,
    normal_quantile,
    power_of,
    student_quantile,
    student_tail,
    t_test,
)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 9, 10, 99, 400])
def test_scipy_has_the_same_tails_and_quantiles(freedom: int) -> None:
    for t in (-6.0, -1.3, 0.0, 0.4, 2.0, 3.7, 5.5):
        assert student_tail(t, freedom) == pytest.approx(oracle.t.sf(t, freedom), rel=1e-6, abs=1e-12)
    for p in (0.005, 0.5, 0.9, 0.995, 0.9999):
        assert student_quantile(p, freedom) == pytest.approx(oracle.t.ppf(p, freedom), rel=1e-6, abs=1e-9)
    assert normal_quantile(0.975) == pytest.approx(oracle.norm.ppf(0.975))


@pytest.mark.parametrize("shift", [-1.0, 0.0, 0.3, 2.0])
def test_scipy_has_the_same_test(shift: float) -> None:
    values = np.random.default_rng(7).normal(shift, 2.0, 30)
    ours, theirs = t_test(values.tolist(), 0.99), oracle.ttest_1samp(values, 0.0, alternative="greater")
    both = oracle.ttest_1samp(values, 0.0).confidence_interval(0.99)
    assert ours.t == pytest.approx(theirs.statistic)
    assert ours.p_above == pytest.approx(theirs.pvalue, rel=1e-6)
    assert (ours.low, ours.high) == pytest.approx((both.low, both.high))


def test_equal_values_are_judged_by_their_sign() -> None:
    assert t_test([0.0, 0.0]).p_above == 1.0
    assert t_test([-1.0] * 5).p_above == 1.0
    assert t_test([2.0] * 5).p_above < 1e-9


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=8), st.floats(1e-6, 0.5))
def test_holm_rejects_what_the_step_down_procedure_rejects(p_values: list[float], alpha: float) -> None:
    """The procedure itself: from the smallest on, until one is too large; none behind it is rejected."""
    rejected = set()
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda k: p_values[k])):
        if p_values[index] * (len(p_values) - rank) > alpha:
            break
        rejected.add(index)
    adjusted = holm(p_values)
    assert {index for index, p in enumerate(adjusted) if p <= alpha} == rejected
    assert all(p <= after <= 1.0 for p, after in zip(p_values, adjusted, strict=True)), "they stay probabilities"


def test_power_is_the_share_of_tests_that_find_the_mean() -> None:
    rng = np.random.default_rng(3)
    mean, sd, count, alpha = 0.5, 2.0, 60, 0.01
    found = [t_test(rng.normal(mean, sd, count).tolist()).p_above < alpha for _ in range(2000)]
    assert np.mean(found) == pytest.approx(power_of(mean, sd, count, alpha), abs=0.05)


def test_what_cannot_be_tested_is_refused() -> None:
    for wrong in (lambda: t_test([1.0]), lambda: student_tail(1.0, 0), lambda: student_quantile(1.0, 3)):
        with pytest.raises(ValueError, match="expected"):
            wrong()
    with pytest.raises(ValueError, match="standard deviation"):
        power_of(1.0, 0.0, 10, 0.05)
