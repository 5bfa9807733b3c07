"""The teacher against brute force over all sequences, and its prices against the desk's own trades.

Oracles: every sequence of positions of a short window, tried one by one on hindsight prices; and a real desk that goes
through a sequence, whose change of equity is the sum of the rewards to the last unit.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from lobgym.agents.earnhft.prices import NEVER, HindsightPrices
from lobgym.agents.earnhft.teacher import clairvoyant, rewards_of, teach
from lobgym.agents.errors import TrainError
from lobgym.sim.desk import Desk
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.flow.dealer import planted_alpha_tape
from lobgym.sim.market import Market
from lobgym.sim.params import SimParams
from lobgym.sim.tape import open_tape

SECOND = 1_000_000_000


@pytest.fixture(scope="module")
def planted() -> Market:
    return Market.compile(planted_alpha_tape(seed=3, hours=0.2))


@pytest.fixture(scope="module")
def synthetic() -> Market:
    return Market.compile(open_tape("synth:volatile"))


def desk_spec(market: Market, targets: tuple[float, ...] = (-1.0, 0.0, 1.0), **changes: object) -> DeskSpec:
    return DeskSpec.for_market(market, "target", targets=targets, **{"position_lots_max": 100} | changes)


def all_sequences(rewards: np.ndarray, gamma: float) -> np.ndarray:
    """Q* at the first decision, by trying every sequence of actions."""
    steps, positions, actions = rewards.shape
    found = np.full((positions, actions), -np.inf)
    for start in range(positions):
        for sequence in itertools.product(range(actions), repeat=steps):
            held, total = start, 0.0
            for t, action in enumerate(sequence):
                total += gamma**t * rewards[t, held, action]
                held = action
            found[start, sequence[0]] = max(found[start, sequence[0]], total)
    return found


@pytest.mark.parametrize(("targets", "steps"), [((-1.0, 0.0, 1.0), 7), ((-1.0, -0.5, 0.0, 0.5, 1.0), 5)])
@pytest.mark.parametrize("gamma", [1.0, 0.9])
def test_the_teacher_equals_every_sequence_tried(
    planted: Market, targets: tuple[float, ...], steps: int, gamma: float
) -> None:
    spec = desk_spec(planted, targets, interval_ns=20 * SECOND)
    turned = 0
    for k in range(4):
        start = planted.start_ns + (60 + 120 * k) * SECOND
        prices = HindsightPrices.of(planted, spec, start, steps)
        scale = 1e-6
        expected = all_sequences(rewards_of(prices, scale), gamma)
        assert np.abs(teach(prices, gamma, scale)[0] - expected).max() < 1e-4 * np.abs(expected).max()
        best = clairvoyant(planted, spec, start, steps)
        undiscounted = all_sequences(rewards_of(prices, 1.0), 1.0)
        assert best.pnl_units == undiscounted[targets.index(0.0)].max()
        turned += len(set(best.codes.tolist())) > 1
    assert turned > 0  # some of these windows are worth a trade


def test_forbidden_trades_are_left_out_of_every_sequence(planted: Market) -> None:
    spec = desk_spec(planted, interval_ns=20 * SECOND)
    prices = HindsightPrices.of(planted, spec, planted.start_ns + 60 * SECOND, 6)
    trades = prices.trades.copy()
    trades[2, :, 2] = NEVER
    trades[2, 2, 2] = 0
    poor = HindsightPrices(prices.times, prices.lots, prices.values, trades)
    taught = teach(poor, 1.0, 1e-6)
    assert np.isneginf(taught[2, :2, 2]).all()
    assert np.isfinite(taught[2, 2, 2])
    expected = all_sequences(rewards_of(poor, 1e-6), 1.0)
    assert np.allclose(taught[0], expected, rtol=1e-4)


@pytest.mark.parametrize("name", ["planted", "synthetic"])
def test_rewards_are_what_a_desk_earns(name: str, request: pytest.FixtureRequest) -> None:
    """A trade every fifth decision, so that no own trade meets what the last one left of a level."""
    market: Market = request.getfixturevalue(name)
    spec = desk_spec(market, (-1.0, -0.5, 0.0, 0.5, 1.0), position_lots_max=40)
    start = market.start_ns + 20 * SECOND
    steps = 100
    prices = HindsightPrices.of(market, spec, start, steps)
    rewards = rewards_of(prices, 1.0)
    rng = np.random.Generator(np.random.PCG64(5))
    chosen = rng.integers(0, 5, (16, steps // 5)).repeat(5, axis=1)
    desk = Desk(spec, market, len(chosen))
    desk.reset(start, 0)
    held = np.full(len(chosen), 2)
    for t in range(steps):
        _, result = desk.step(chosen[:, t : t + 1].astype(np.int32))
        expected = rewards[t, held, chosen[:, t]]
        assert np.abs(result.pnl - expected).max() <= 1.0  # half a unit of the mark's rounding on each side
        held = chosen[:, t]
    assert (desk.session.state.lane["fills"] > 10).all()


def test_a_sweep_pays_each_level_and_reaches_no_further_than_the_desk(synthetic: Market) -> None:
    """Sizes beyond the best quote cost more a lot, and more than the visible book is never to be had."""
    small = HindsightPrices.of(synthetic, desk_spec(synthetic, position_lots_max=10), synthetic.start_ns, 50)
    large = HindsightPrices.of(synthetic, desk_spec(synthetic, position_lots_max=4_000), synthetic.start_ns, 50)
    huge = HindsightPrices.of(synthetic, desk_spec(synthetic, position_lots_max=10**8), synthetic.start_ns, 50)
    assert (huge.trades[:, 1, 2] == NEVER).all()
    assert (huge.trades[:, 1, 1] == 0).all()
    had = large.trades[:, 1, 2] != NEVER
    assert had.any()
    assert (large.trades[had, 1, 2] / 4_000 <= small.trades[had, 1, 2] / 10).all()
    assert (large.trades[had, 1, 2] / 4_000 < small.trades[had, 1, 2] / 10).any()


def test_latency_is_paid_for(planted: Market) -> None:
    """With the price of later, another price; at once and with the same fee, the best quote of now."""
    at_once = desk_spec(planted, params=SimParams(entry_ns=0))
    late = desk_spec(planted, params=SimParams(entry_ns=2 * SECOND))
    start = planted.start_ns + 60 * SECOND
    now = HindsightPrices.of(planted, at_once, start, 200)
    then = HindsightPrices.of(planted, late, start, 200)
    shifted = HindsightPrices.of(planted, at_once, start + 2 * SECOND, 200)
    assert np.array_equal(now.values, then.values)
    same = then.trades[:, 1, 2] == shifted.trades[:, 1, 2]
    assert same.mean() > 0.8  # elsewhere the price left the sweep's reach
    assert (then.trades[~same, 1, 2] == NEVER).all()
    assert (then.trades[:, 1, 2] != now.trades[:, 1, 2]).any()


def test_a_lesson_longer_than_what_is_kept_tells_the_same_of_it(planted: Market) -> None:
    spec = desk_spec(planted)
    prices = HindsightPrices.of(planted, spec, planted.start_ns, 300)
    assert np.array_equal(teach(prices, 0.99, 1e-6, 100), teach(prices, 0.99, 1e-6)[:100])


def test_what_does_not_fit_is_refused(planted: Market) -> None:
    spec = desk_spec(planted)
    with pytest.raises(TrainError, match="do not fit"):
        HindsightPrices.of(planted, spec, planted.end_ns, 10)
    with pytest.raises(TrainError, match="kind"):
        HindsightPrices.of(planted, DeskSpec.for_market(planted, "grid"), planted.start_ns, 10)
    with pytest.raises(TrainError, match="keep"):
        teach(HindsightPrices.of(planted, spec, planted.start_ns, 10), 1.0, 1.0, 11)
