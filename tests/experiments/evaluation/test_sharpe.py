"""Probabilistic and deflated Sharpe ratios: the papers' formulas again with scipy, their examples, and simulation."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats as oracle

from lobgym.agents.trials import LEDGER_FILE, record_trial, sharpe_ratio
from lobgym.experiments.evaluation.sharpe import (
    Moments,
    counted_as,
    deflate_by_ledger,
    deflated_sharpe,
    expected_best,
    moments_of,
    probabilistic_sharpe,
    returns_needed,
    side_by_side,
)


def straightforward(returns: np.ndarray, trials: int, variance: float) -> tuple[float, float, float]:
    """(PSR, s0, DSR), written down from the two papers with scipy's moments and quantiles."""
    sr = returns.mean() / returns.std(ddof=1)
    g3, g4 = oracle.skew(returns), oracle.kurtosis(returns, fisher=False)
    error = np.sqrt((1 - g3 * sr + (g4 - 1) / 4 * sr**2) / (len(returns) - 1))
    z = oracle.norm.ppf
    s0 = 0.0
    if trials > 1:
        s0 = np.sqrt(variance) * (
            (1 - np.euler_gamma) * z(1 - 1 / trials) + np.euler_gamma * z(1 - 1 / trials / math.e)
        )
    return oracle.norm.cdf(sr / error), s0, oracle.norm.cdf((sr - s0) / error)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("trials", [1, 2, 10, 1000])
def test_the_formulas_written_down_again_agree(seed: int, trials: int) -> None:
    rng = np.random.default_rng(seed)
    returns = rng.gamma(2.0, 1.0, 60 + seed) - 1.7
    sharpes = rng.normal(0.0, 0.2, 25)
    psr, s0, dsr = straightforward(returns, trials, sharpes.var(ddof=1))
    ours = deflated_sharpe(returns.tolist(), trials, sharpes.tolist())
    assert (ours.psr, ours.benchmark, ours.dsr) == pytest.approx((psr, s0, dsr), rel=1e-9, abs=1e-12)
    assert ours.known == 25
    assert ours.moments.skewness == pytest.approx(oracle.skew(returns))
    assert ours.moments.kurtosis == pytest.approx(oracle.kurtosis(returns, fisher=False))
    plain = deflated_sharpe(returns.tolist(), trials)
    assert plain.dsr == pytest.approx(straightforward(returns, trials, 1 / (len(returns) - 1))[2], rel=1e-9)
    assert plain.known == 0


def test_the_papers_example() -> None:
    """2014, section "A numerical example": an annual ratio of 2.5 over 5 years of days, 100 trials of variance 1/2."""
    moments = Moments(0.0, 1.0, 2.5 / math.sqrt(250), -3.0, 10.0, 1250)
    benchmark = expected_best(100, 0.5 / 250)
    assert benchmark == pytest.approx(0.1132, abs=5e-5)
    assert probabilistic_sharpe(moments, benchmark) == pytest.approx(0.9004, abs=5e-5)
    # The same would have been above 95% with fewer trials: 46 in the paper.
    assert probabilistic_sharpe(moments, expected_best(46, 0.5 / 250)) == pytest.approx(0.9505, abs=2e-3)


def test_the_best_of_many_is_as_good_as_expected() -> None:
    rng = np.random.default_rng(3)
    for trials in (10, 200):
        best = rng.normal(0.0, 0.3, (20_000, trials)).max(axis=1)
        assert expected_best(trials, 0.09) == pytest.approx(best.mean(), rel=0.03)  # the formula is a limit for many


def test_of_many_strategies_without_skill_the_best_rarely_passes() -> None:
    """200 times the best of 50 worthless ones: the plain figure calls most of them skilled, the deflated one few."""
    rng = np.random.default_rng(5)
    plain = deflated = 0
    for _ in range(200):
        returns = rng.normal(0.0, 1.0, (50, 100))
        sharpes = returns.mean(axis=1) / returns.std(axis=1, ddof=1)
        verdict = deflated_sharpe(returns[sharpes.argmax()].tolist(), 50, sharpes.tolist())
        plain += verdict.psr > 0.95
        deflated += verdict.dsr > 0.95
    assert plain > 150
    assert deflated < 20


def test_episodes_that_share_their_time_prove_no_more_than_fit_side_by_side() -> None:
    """Long on 400 walks without drift, 80 episodes of a ninth of each: counted each, chance passes often."""
    rng = np.random.default_rng(8)
    each = counted = 0
    for _ in range(400):
        walk = np.concatenate([[0.0], rng.normal(size=900).cumsum()])
        starts = rng.integers(0, 801, 80)
        returns = (walk[starts + 100] - walk[starts]).tolist()
        each += deflated_sharpe(returns, 1).psr > 0.95
        counted += deflated_sharpe(returns, 1, independent=side_by_side(900, 100)).psr > 0.95
    assert each > 80
    assert counted < 40


def test_what_shares_its_time_is_counted_once() -> None:
    assert [side_by_side(span, 100) for span in (50, 100, 199, 200, 950)] == [1, 1, 1, 2, 9]
    returns = np.random.default_rng(4).normal(0.2, 1.0, 40).tolist()
    moments = moments_of(returns)
    assert counted_as(moments, 40) == counted_as(moments, 41) == moments
    assert counted_as(moments, 9).count == 9
    assert counted_as(moments, 1).count == 2
    assert counted_as(moments, 9).sharpe == moments.sharpe
    with pytest.raises(ValueError, match="at least 1 independent"):
        counted_as(moments, 0)
    few, all_ = (deflated_sharpe(returns, 5, independent=count) for count in (9, None))
    assert (few.variance, all_.variance) == (1 / 8, 1 / 39)
    assert few.dsr < all_.dsr
    psr, s0, dsr = straightforward(np.array(returns), 5, 1 / 39)
    assert (all_.psr, all_.benchmark, all_.dsr) == pytest.approx((psr, s0, dsr), rel=1e-9)


def test_the_ledger_says_how_many_were_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOBGYM_TRIALS", raising=False)
    returns = [0.3, -0.1, 0.5, 0.2, -0.2, 0.4, 0.1]
    ledger = tmp_path / LEDGER_FILE
    assert deflate_by_ledger(returns, ledger) == deflated_sharpe(returns, 1)
    for k in range(40):
        record_trial(
            tmp_path / "run", "tune", "a" if k % 2 else "b", "grid", str(k), sharpe=0.05 * k if k < 4 else None
        )
    on_a = deflate_by_ledger(returns, ledger, "a")
    assert on_a == deflated_sharpe(returns, 20, [0.05, 0.05 * 3])
    assert deflate_by_ledger(returns, ledger, "a", 3) == deflated_sharpe(returns, 20, [0.05, 0.05 * 3], independent=3)
    everywhere = deflate_by_ledger(returns, ledger)
    assert everywhere.trials == 40
    assert everywhere.known == 4
    with ledger.open("ab") as file:  # a line that a crash tore: of which tape it was is lost, so it counts on each
        file.write(b'{"kind":"tune"')
    assert [deflate_by_ledger(returns, ledger, tape).trials for tape in ("a", "b", None)] == [21, 21, 41]
    assert deflated_sharpe(returns, 40).dsr < deflated_sharpe(returns, 20).dsr < deflated_sharpe(returns, 1).dsr


def test_two_known_ratios_have_a_variance_and_one_has_none() -> None:
    returns = [0.3, -0.1, 0.5, 0.2, -0.2]
    assert deflated_sharpe(returns, 5, [0.1, 0.3]).variance == pytest.approx(0.02)
    assert deflated_sharpe(returns, 5, [0.1, 0.3]).known == 2
    one = deflated_sharpe(returns, 5, [0.1])
    assert (one.variance, one.known) == (1 / 4, 0)
    assert deflated_sharpe(returns, 5, [0.1, 0.3], variance=0.5).variance == 0.5


def test_a_ratio_without_an_error_is_above_or_below_for_certain() -> None:
    moments = Moments(1.0, 1.0, 1.0, 2.0, 5.0, 30)  # 1 - 2 * 1 + 4 / 4 * 1 = 0
    assert moments.spread == 0.0
    assert [probabilistic_sharpe(moments, benchmark) for benchmark in (0.5, 1.0, 1.5)] == [1.0, 0.5, 0.0]


def test_the_record_that_is_long_enough_has_the_wanted_probability() -> None:
    moments = moments_of(np.random.default_rng(1).normal(0.2, 1.0, 80).tolist())
    needed = returns_needed(moments, 0.05, 0.95)
    long = Moments(moments.mean, moments.sd, moments.sharpe, moments.skewness, moments.kurtosis, math.ceil(needed))
    short = Moments(moments.mean, moments.sd, moments.sharpe, moments.skewness, moments.kurtosis, math.floor(needed))
    assert probabilistic_sharpe(long, 0.05) >= 0.95 > probabilistic_sharpe(short, 0.05)
    assert returns_needed(moments, moments.sharpe) == math.inf


def test_order_does_not_matter_and_nonsense_is_refused() -> None:
    values = np.random.default_rng(2).normal(1e3, 1.0, 50).tolist()
    assert moments_of(values) == moments_of(values[::-1]) == moments_of(sorted(values))
    assert deflated_sharpe([0.0] * 5, 9).psr == 0.5
    for returns in ([1.0, 2.0], [1.0, 1.0, 1.0], [1.0, 2.0, math.nan]):
        with pytest.raises(ValueError, match="expected"):
            moments_of(returns)
    for trials, variance in ((0, 1.0), (3, -1.0), (3, math.nan)):
        with pytest.raises(ValueError, match="at least 1 trial"):
            expected_best(trials, variance)


def test_the_ledger_and_the_verdict_mean_the_same_ratio() -> None:
    rng = np.random.default_rng(3)
    for returns in (rng.normal(0.1, 1.0, 3).tolist(), rng.gamma(2.0, 1e4, 40).tolist(), [0.0] * 4, [1.0, 1.0, 1.5]):
        assert sharpe_ratio(returns) == moments_of(returns).sharpe
    for returns in ([1.0, 2.0], [2.0, 2.0, 2.0]):
        assert sharpe_ratio(returns) is None
        with pytest.raises(ValueError, match="returns"):
            moments_of(returns)
