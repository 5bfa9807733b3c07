"""Preference weights against scipy's density, and a ring of transitions against a list."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import gaussian_kde

from lobgym.agents.earnhft.preference import density, preference_weights
from lobgym.agents.earnhft.replay import Batch, Replay
from lobgym.agents.errors import TrainError


def some_returns(size: int = 60, seed: int = 0) -> np.ndarray:
    return np.random.Generator(np.random.PCG64(seed)).standard_t(4, size) * 0.01


def test_the_density_is_scipys_of_standardised_returns() -> None:
    returns = some_returns()
    standard = (returns - returns.mean()) / returns.std(ddof=1)
    assert np.allclose(density(returns), gaussian_kde(standard)(standard), rtol=1e-10)


def test_the_unit_of_time_or_money_changes_nothing() -> None:
    assert np.allclose(preference_weights(some_returns(), 0.0), preference_weights(100.0 * some_returns(), 0.0))


@pytest.mark.parametrize("beta", [100.0, 30.0, -10.0, -90.0])
def test_weights_are_the_formula(beta: float) -> None:
    returns = some_returns()
    low, high = np.quantile(returns, [0.05, 0.95])
    standard = returns / returns.std(ddof=1)
    expected = np.exp(beta * returns)
    for i, one in enumerate(returns):
        if low <= one <= high:
            expected[i] /= gaussian_kde(standard)(standard[i])[0]
    assert np.allclose(preference_weights(returns, beta), expected / expected.sum(), rtol=1e-9)


def test_a_return_on_the_outermost_quantile_is_still_a_common_one() -> None:
    """Of 21 returns the 2nd and the 20th are the quantiles themselves."""
    returns = np.sort(some_returns()[:21])
    weights = preference_weights(returns, 0.0)
    shares = weights * density(returns)
    assert np.allclose(shares[1:20], shares[1], rtol=1e-9)
    assert np.allclose(weights[[0, 20]], shares[1], rtol=1e-9), "the outermost have 1 in place of 1 / density"
    assert not np.allclose(shares[[0, 20]], shares[1], rtol=1e-3)


def test_beta_prefers_rising_or_falling_markets() -> None:
    returns = some_returns()
    means = [float((preference_weights(returns, beta) * returns).sum()) for beta in (-90.0, -10.0, 30.0, 100.0)]
    assert means == sorted(means)
    assert means[0] < returns.mean() < means[-1]


def test_equal_or_single_returns_are_drawn_evenly_and_nothing_is_refused() -> None:
    assert np.allclose(preference_weights(np.full(5, 0.01), 100.0), 0.2)
    assert preference_weights(np.array([-0.5]), -90.0).tolist() == [1.0]
    assert np.isfinite(preference_weights(np.array([-9.0, 9.0]), 100.0)).all()
    with pytest.raises(TrainError, match="finite return"):
        preference_weights(np.array([]), 1.0)
    with pytest.raises(TrainError, match="finite return"):
        preference_weights(np.array([0.0, np.nan]), 1.0)


def transitions(count: int, first: int) -> Batch:
    """Transition n holds n everywhere, in values that tell the fields apart."""
    n = np.arange(first, first + count, dtype=np.float32)
    return Batch(
        np.stack([n, n + 0.1], axis=1), n + 0.2, n.astype(np.int64), n + 0.3, np.stack([n + 0.4, n + 0.5], axis=1),
        n + 0.6, np.stack([n + 0.7, n + 0.8, n + 0.9], axis=1),
    )  # fmt: skip


def test_a_ring_keeps_the_last_ones_whole() -> None:
    ring = Replay(10, 2, 3)
    added = 0
    for count in (4, 4, 7, 10, 1, 3):
        ring.add(transitions(count, added))
        added += count
        assert len(ring) == min(added, 10)
        kept = ring.unpack(ring.rows[: len(ring)])
        assert sorted(kept.action.tolist()) == list(range(max(0, added - 10), added))
        for k, number in enumerate(kept.action.tolist()):
            expected = transitions(1, number)
            for name in Batch._fields:
                assert np.allclose(getattr(kept, name)[k], getattr(expected, name)[0]), name
    with pytest.raises(TrainError, match="do not fit"):
        ring.add(transitions(11, 0))


def test_draws_come_from_what_was_added_and_repeat_with_the_seed() -> None:
    ring = Replay(100, 2, 3)
    ring.add(transitions(20, 1))  # room that nothing was put into holds zeros
    drawn = [ring.unpack(ring.draw(500, np.random.Generator(np.random.PCG64(1)))).action for _ in range(2)]
    assert np.array_equal(drawn[0], drawn[1])
    assert set(drawn[0].tolist()) == set(range(1, 21))
