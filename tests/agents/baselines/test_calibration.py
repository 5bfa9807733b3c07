"""Goal: A, k and sigma of a market where they are known come out, and nothing but the training part is read.

Method: a tape on which market orders arrive at a known rate and reach to depths with a known exponential law, while
the mid stands still; a dealer's tape whose volatility follows from its parameters; a plain loop over windows as oracle.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from lobgym.agents.baselines.calibration import calibrate, fit_intensity, mids2_at, sigma_of, times_waited
from lobgym.agents.errors import CalibrationError
from lobgym.sim.flow.dealer import DealerFlow, dealer_tape
from lobgym.sim.instrument import SYNTH
from lobgym.sim.market import Market
from lobgym.sim.records import BUY, DEPTH, EVENT_DTYPE, LAST, SELL, TRADE
from lobgym.sim.tape import Tape, open_tape

SECOND = 1_000_000_000
BID, DEEP, LOTS = 600_000, 60, 1_000
RATE, DECAY = 1.5, 0.1  # market orders a second and side, and how fast their reach falls with each tick


def known_tape(seed: int, seconds: int) -> Tape:
    """Poisson market orders on both sides of a book that is made whole after each.

    One that reaches j ticks beyond the touch, j = floor(Exp(k)), prints there. The touch is half a tick from the mid,
    so a quote d = j + 1/2 ticks away is met at the rate RATE exp(-k j) = RATE exp(k / 2) exp(-k d).
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    rows = []
    for j in range(DEEP):
        last = LAST if j == DEEP - 1 else 0
        rows.append((SECOND, SECOND, 0, BID - j, LOTS, DEPTH, BUY, 0))
        rows.append((SECOND, SECOND, 0, BID + 1 + j, LOTS, DEPTH, SELL, last))
    now = SECOND
    while True:
        now += max(2, int(rng.exponential(1.0 / (2.0 * RATE)) * SECOND))
        if now > seconds * SECOND:
            return Tape(np.array(rows, EVENT_DTYPE), SYNTH)
        side = BUY if rng.random() < 0.5 else SELL
        j = min(int(rng.exponential(1.0 / DECAY)), DEEP - 1)
        rows.append((now, now, 0, BID + 1 + j if side == BUY else BID - j, LOTS, TRADE, side, LAST))
        for back in range(j + 1):
            tick = BID + 1 + back if side == BUY else BID - back
            rows.append((now + 1, now + 1, 0, tick, LOTS, DEPTH, -side, LAST if back == j else 0))


def test_the_rate_and_the_decay_of_a_known_market_come_out() -> None:
    market = Market.compile(known_tape(1, 2_000))
    found = calibrate(market, market.start_ns, market.end_ns)
    assert found.half_spread_ticks == 0.5
    assert found.sigma_ticks == 0.0
    # About 6,000 orders: the rate is known to 1.3% and the decay to 2%, both tested to three times that.
    assert found.intensity.decay_per_tick == pytest.approx(DECAY, rel=0.06)
    assert found.intensity.rate_per_s == pytest.approx(RATE * math.exp(DECAY / 2.0), rel=0.05)
    assert found.intensity.r2 > 0.98
    assert found.intensity.at(10.5) == pytest.approx(RATE * math.exp(-DECAY * 10.0), rel=0.06)


def test_short_windows_give_the_same_rates() -> None:
    """The waiting time is exponential, so how long a quote stands does not matter."""
    market = Market.compile(known_tape(2, 1_500))
    for window_ns in (200_000_000, 5 * SECOND):
        found = calibrate(market, market.start_ns, market.end_ns, window_ns=window_ns).intensity
        assert found.decay_per_tick == pytest.approx(DECAY, rel=0.09)
        assert found.rate_per_s == pytest.approx(RATE * math.exp(DECAY / 2.0), rel=0.07)


def test_the_dealers_volatility_comes_out() -> None:
    """Its value moves by h at each trade (every 2 s) and at each piece of news (every 10 s)."""
    flow = DealerFlow.martingale()
    market = Market.compile(dealer_tape(flow, 3, 1.0))
    per_s = 1e9 / flow.trade_gap_ns + 1e9 / flow.news_gap_ns
    seconds = np.arange(market.start_ns, market.end_ns, SECOND, dtype=np.int64)
    # 3,600 seconds: the standard error of a root mean square of jumps this rare is near 3%.
    assert sigma_of(mids2_at(market, seconds)) == pytest.approx(flow.half_spread_ticks * math.sqrt(per_s), rel=0.08)


def test_waiting_times_are_those_of_a_plain_loop() -> None:
    rng = np.random.Generator(np.random.PCG64(4))
    quote = np.sort(rng.integers(0, 40, 300))
    waits, depth = rng.random(300) * 2.0, rng.normal(3.0, 4.0, 300)
    depths = np.array([-1.0, 0.0, 2.5, 6.0, 30.0])
    hits, waited = times_waited(quote, waits, depth, depths, 50, 2.0)
    for k, wanted in enumerate(depths):
        met, total = 0, 0.0
        for number in range(50):
            mine = [w for q, w, d in zip(quote, waits, depth, strict=True) if q == number and d >= wanted]
            met += bool(mine)
            total += min(mine, default=2.0)
        assert hits[k] == met
        assert waited[k] == pytest.approx(total, abs=1e-9)


def test_a_straight_line_is_found_whatever_its_weights() -> None:
    depths = np.array([1.0, 2.0, 4.0, 7.0])
    hits = np.array([4_000, 900, 700, 31])
    waited = hits / (3.0 * np.exp(-0.25 * depths))
    found = fit_intensity(depths, hits, waited)
    assert found.rate_per_s == pytest.approx(3.0)
    assert found.decay_per_tick == pytest.approx(0.25)
    assert found.r2 == pytest.approx(1.0)
    with pytest.raises(CalibrationError, match="a line needs 3"):
        fit_intensity(depths, np.array([4_000, 900, 19, 3]), waited)
    with pytest.raises(CalibrationError, match="there is no k"):
        fit_intensity(depths, hits, hits / np.exp(depths))


def test_what_comes_after_the_training_part_changes_nothing() -> None:
    tape = open_tape("synth:volatile?seed=5&minutes=4")
    whole = Market.compile(tape)
    cut = whole.start_ns + 120 * SECOND
    events = tape.events[tape.events["local_ns"] <= cut + SECOND]
    part = Market.compile(Tape(events, tape.instrument, tape.provenance))
    assert calibrate(whole, whole.start_ns, cut) == calibrate(part, whole.start_ns, cut)


def test_what_cannot_be_calibrated_says_why() -> None:
    market = Market.compile(open_tape("synth?seed=5&minutes=1"))
    with pytest.raises(CalibrationError, match="at least 30 windows"):
        calibrate(market, market.start_ns, market.start_ns + 10 * SECOND)
    with pytest.raises(CalibrationError, match="prints"):
        calibrate(market, market.start_ns, market.start_ns + SECOND, window_ns=1_000_000)
