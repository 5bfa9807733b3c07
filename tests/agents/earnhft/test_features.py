"""The published choice of features finds its leak; the leak is one; corrected, nothing is chosen by looking."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from lobgym.agents.earnhft.config import Corrections, EarnHftConfig
from lobgym.agents.earnhft.features import AHEAD_NS, LEAK, choose_features, information_coefficients
from lobgym.agents.errors import TrainError
from lobgym.sim.causality import check_causal
from lobgym.sim.desk import Desk
from lobgym.sim.errors import LayoutError
from lobgym.sim.flow.dealer import martingale_tape
from lobgym.sim.market import Market

COLUMNS = ("spread", "imbalance_1", "return_5s")


@pytest.fixture(scope="module")
def market() -> Market:
    return Market.compile(martingale_tape(seed=5, hours=0.4))


def config(corrected: bool) -> EarnHftConfig:
    corrections = Corrections() if corrected else Corrections().without("causal_features")
    return EarnHftConfig(columns=COLUMNS, targets=(-1.0, 0.0, 1.0), corrections=corrections)


def test_coefficients_are_scipys() -> None:
    rng = np.random.Generator(np.random.PCG64(0))
    returns = rng.standard_normal(300)
    values = np.stack([returns + rng.standard_normal(300), np.round(rng.standard_normal(300)), np.ones(300)], axis=1)
    found = information_coefficients(values, returns)
    expected = [spearmanr(values[:, k], returns).statistic for k in range(2)]
    assert np.allclose(found[:2], expected, atol=1e-12)
    assert found[2] == 0.0
    with pytest.raises(TrainError, match="as many returns"):
        information_coefficients(values, returns[:-1])


def test_uncorrected_the_leak_takes_a_features_place(market: Market) -> None:
    chosen = choose_features(config(False), market)
    assert LEAK in chosen.columns
    assert len(chosen.columns) == len(COLUMNS)
    assert choose_features(chosen, market) == chosen
    assert EarnHftConfig.from_json(chosen.to_json()) == chosen


def test_corrected_the_features_are_the_configs(market: Market) -> None:
    assert choose_features(config(True), market).columns == COLUMNS


def test_the_leak_is_the_next_minutes_return(market: Market) -> None:
    spec = config(False).spec_of(market, (LEAK,))
    desk = Desk(spec, market)
    for k in range(5):
        start = market.start_ns + (10 + 100 * k) * 1_000_000_000
        desk.reset(start, 0)
        seen, now = float(desk.observe()[0, 0]), desk.mid2()
        desk.reset(start + AHEAD_NS, 0)
        bps = 1e4 * (desk.mid2() - now) / now
        assert seen == pytest.approx(bps / (10.0 + abs(bps)), abs=1e-6)


def test_the_check_for_causality_refuses_the_leak() -> None:
    with pytest.raises(LayoutError, match=LEAK):
        check_causal((LEAK,))
    check_causal(COLUMNS)
