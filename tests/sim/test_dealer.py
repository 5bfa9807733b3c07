"""Goal: in the dealer's martingale no fill is better than the value; what is planted elsewhere is what is said.

Method: the tape is read back by plain Python and held against the law; orders of every type, price and latency meet it
in a session, and each fill is held against the value just after it, in whole ticks.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from fractions import Fraction
from itertools import pairwise, product

import numpy as np
import pytest

from lobgym.sim import records as rec
from lobgym.sim.desk import Desk
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.errors import CapacityError, ParamsError
from lobgym.sim.exchange.board import AUCTION, DO_PHASE, HALTED_PHASE, OPEN
from lobgym.sim.exchange.exchange import START_NS, Exchange
from lobgym.sim.flow.dealer import (
    REACTION_NS,
    START_TICK,
    STRENGTHS,
    DealerFlow,
    dealer_tape,
    martingale_tape,
    planted_alpha_tape,
)
from lobgym.sim.flow.dealer_kernel import REGIME_DOWN, REGIME_NONE, REGIME_UP
from lobgym.sim.instrument import SYNTH
from lobgym.sim.market import Market
from lobgym.sim.params import SimParams
from lobgym.sim.session import Session
from lobgym.sim.tape import Tape
from tests.project import ROOT

H = DealerFlow.martingale().half_spread_ticks
SECOND = 1_000_000_000


def values(tape: Tape) -> tuple[np.ndarray, np.ndarray]:
    """Stamps, and the dealer's value from each on: the mid after the last best quotes of the stamp."""
    quotes = tape.events[tape.events["kind"] == rec.BBO]
    bids, asks = quotes[quotes["side"] == rec.BUY], quotes[quotes["side"] == rec.SELL]
    twice = bids["price_ticks"] + asks["price_ticks"]
    assert (twice % 2 == 0).all()
    last = np.append(np.diff(bids["exch_ns"]) > 0, True)
    return bids["exch_ns"][last], twice[last] // 2


def prints(tape: Tape) -> np.ndarray:
    return tape.events[tape.events["kind"] == rec.TRADE]


@pytest.fixture(scope="module")
def tape() -> Tape:
    return martingale_tape(seed=11, hours=2.0, news_spreads_max=3)


# -- the law of the martingale -----------------------------------------------------------------------------------------


def test_after_each_trade_the_value_is_the_price_just_paid(tape: Tape) -> None:
    stamps, mids = values(tape)
    trades = prints(tape)
    assert len(trades) > 3000
    after = mids[np.searchsorted(stamps, trades["exch_ns"], side="right") - 1]
    before = mids[np.searchsorted(stamps, trades["exch_ns"], side="left") - 1]
    assert (after == trades["price_ticks"]).all()
    assert (after - before == H * trades["side"]).all()


def test_what_moves_the_value_without_a_trade_is_news_of_a_multiple_of_the_half_spread(tape: Tape) -> None:
    stamps, mids = values(tape)
    moves = np.diff(mids)[~np.isin(stamps[1:], prints(tape)["exch_ns"])]
    moves = moves[moves != 0]  # new sizes
    counts = Counter(moves.tolist())
    assert set(counts) == {sign * k * H for sign in (-1, 1) for k in (1, 2, 3)}
    assert min(counts.values()) > 0.6 * len(moves) / 6


def test_signs_are_fair_and_forget_the_past(tape: Tape) -> None:
    """Among all histories of three trades, a buy follows as often as a sale: each within 4 standard errors."""
    signs = prints(tape)["side"]
    for history in product((-1, 1), repeat=3):
        match = np.ones(len(signs) - 3, bool)
        for back, sign in enumerate(history):
            match &= signs[back : len(signs) - 3 + back] == sign
        following = signs[3:][match]
        assert abs(following.sum()) < 4 * np.sqrt(len(following))


def test_gaps_are_exponential(tape: Tape) -> None:
    """Quantiles of the gaps between trades: ln 2, and the tails, within 4 standard errors."""
    flow = DealerFlow.martingale()
    gaps = np.diff(prints(tape)["exch_ns"]) / flow.trade_gap_ns
    for bound in (0.05, 0.5, 1.0, 2.0, 4.0):
        chance = np.exp(-bound)
        share = (gaps > bound).mean()
        assert abs(share - chance) < 4 * np.sqrt(chance * (1 - chance) / len(gaps)), bound


def test_sizes_know_nothing_of_what_follows(tape: Tape) -> None:
    """Imbalance of the best quotes and lots of the last trade, against the next change of the value: no correlation."""
    quotes = tape.events[tape.events["kind"] == rec.BBO]
    bids, asks = quotes[quotes["side"] == rec.BUY], quotes[quotes["side"] == rec.SELL]
    imbalance = (bids["qty_lots"] - asks["qty_lots"]) / (bids["qty_lots"] + asks["qty_lots"])
    step = np.diff((bids["price_ticks"] + asks["price_ticks"]) / 2)
    imbalance, step = np.append(imbalance[:-1][step != 0], 0), step[step != 0]
    assert abs(np.corrcoef(imbalance[:-1], step)[0, 1]) < 4 / np.sqrt(len(step))
    trades = prints(tape)
    signed = (trades["side"] * trades["qty_lots"])[:-1]
    assert abs(np.corrcoef(signed, trades["side"][1:])[0, 1]) < 4 / np.sqrt(len(signed))


def test_the_model_is_a_martingale_exactly() -> None:
    """All paths of five events of the law, with their probabilities: the expected next value is the value, always."""
    steps = {sign * k * H: Fraction(1, 6) for sign in (-1, 1) for k in (1, 2, 3)}  # news
    trade = {H: Fraction(1, 2), -H: Fraction(1, 2)}
    flow = DealerFlow.martingale()
    news_share = Fraction(flow.trade_gap_ns, flow.trade_gap_ns + flow.news_gap_ns)
    law = {move: news_share * steps.get(move, 0) + (1 - news_share) * trade.get(move, 0) for move in {*steps, *trade}}
    assert sum(law.values()) == 1
    for path in product(law, repeat=4):
        assert sum(chance * (sum(path) + move) for move, chance in law.items()) == sum(path)
    # A buyer pays what the value is after a buy; a resting seller is paid that.
    assert all(sum(path) + H == sum(path) + next(m for m in trade if m > 0) for path in product(trade, repeat=4))


def test_observers_see_whole_re_quotes_only(tape: Tape) -> None:
    """At every receive stamp the local book shows best quotes 2 h apart, and best sizes as they were drawn."""
    market = Market.compile(tape)
    session = Session(market)
    flow = DealerFlow.martingale()
    for stamp in np.unique(tape.events["local_ns"])[1:600]:
        session.advance(int(stamp))
        bid, ask = session.bests()
        assert bid is not None
        assert ask == bid + 2 * H
        for side in (rec.BUY, rec.SELL):
            ladder = session.ladder(0, side, flow.levels)
            assert (np.abs(np.diff(ladder[:, 0])) == H).all()
            assert ((flow.lots_min <= ladder[:, 1]) & (ladder[:, 1] <= flow.lots_max)).all()


# -- what a trader gets there ------------------------------------------------------------------------------------------

LATENCIES = (0, 1_000_000, 10_000_000, 400_000_000)


def run_orders(market: Market, params: SimParams, seed: int, steps: int, lanes: int = 16) -> np.ndarray:
    """Fills of lanes that send orders of every type at prices around the mid, at their own latencies."""
    rng = np.random.default_rng(seed)
    session = Session(market, params, lanes, log="fills", log_rows=1 << 16)
    session.vary(entry_ns=[LATENCIES[lane % len(LATENCIES)] for lane in range(lanes)])
    session.reset(seed=0)
    for _ in range(steps):
        session.advance(session.t_ns() + int(rng.integers(1, 2 * SECOND)))
        for lane in range(lanes):
            bid, ask = session.bests(lane)
            orders = session.orders(lane)
            if len(orders) > 6:
                session.cancel(lane, int(orders["id"][rng.integers(len(orders))]))
            side = int(rng.choice([rec.BUY, rec.SELL]))
            tif = int(rng.choice([rec.GTC, rec.GTX, rec.IOC, rec.FOK, rec.MARKET], p=[0.3, 0.4, 0.1, 0.1, 0.1]))
            near = bid if side == rec.BUY else ask
            on_grid = int(rng.integers(0, 4)) * H  # where the dealer may come to stand
            tick = near - side * on_grid if rng.random() < 0.6 else near + side * int(rng.integers(-2 * H, 2 * H + 1))
            session.submit(lane, side, tick, int(rng.integers(1, 400)), tif)
    return session.drain_fills()


def edges(fills: np.ndarray, tape: Tape) -> np.ndarray:
    """Ticks that each fill is better than the value just after it."""
    stamps, mids = values(tape)
    after = mids[np.searchsorted(stamps, fills["exch_ns"], side="right") - 1]
    return fills["side"] * (after - fills["tick"])


@pytest.mark.parametrize(
    "params",
    [
        SimParams(), SimParams(queue="optimistic", response_ns=0), SimParams(queue="risk_averse"),
        SimParams(print_implied_depth=False), SimParams(self_trade="none", feed_delay_ns=300_000_000),
    ],
    ids=["default", "optimistic queue", "risk averse queue", "shown depth only", "late feed"],
)  # fmt: skip
def test_no_fill_is_better_than_the_value(tape: Tape, params: SimParams) -> None:
    fills = run_orders(Market.compile(tape, params.print_implied_depth), params, 3, 1200)
    edge, maker = edges(fills, tape), fills["maker"] == 1
    assert min(maker.sum(), (~maker).sum()) > 1000
    assert (edge <= 0).all()
    assert (edge[~maker] <= -H).all()
    assert (edge[maker] == 0).sum() > 100  # orders that stood in the dealer's queue
    assert (edge[maker] < 0).sum() > 100  # and orders that the value passed


def test_a_dealer_that_learns_too_little_pays_the_makers() -> None:
    """The same orders where trades move the value by half of h: some fills are better than it, so the test can fail."""
    planted = martingale_tape(seed=11, hours=1.0, impact_ticks=H // 2)
    edge = edges(run_orders(Market.compile(planted), SimParams(), 3, 600), planted)
    assert edge.max() == H // 2
    assert (edge > 0).sum() > 100


def test_a_member_of_the_exchange_gets_no_better_fills() -> None:
    """The same in the market that reacts: one member improves, joins, is left behind and takes, event by event."""
    flow = DealerFlow.martingale(lots_min=20, lots_max=60, take_lots_max=90)
    params = SimParams(entry_ns=0, response_ns=0)
    made = Exchange(SYNTH, 1, flow, params, seed=5, depth_every_ns=0, log="fills", log_rows=1 << 14)
    rng, base = np.random.default_rng(1), int(made.board["base_tick"])
    found = []
    for _ in range(3000):
        made.advance(int(made.board["flow_due"]))  # one event of the dealer's market
        mid = base + int(made._arrays.flow["mid"][0])
        side = int(rng.choice([rec.BUY, rec.SELL]))
        tick = mid - side * int(rng.choice([-H, -5, 0, 11, H, H, H, 2 * H]))
        made.submit(0, side, tick, int(rng.integers(1, 40)))
        made.advance(made.now_ns)
        found += [
            (side * (mid - tick), maker) for side, tick, maker in made.drain_log()[["side", "tick", "maker"]].tolist()
        ]
        resting = made.orders(0)
        if len(resting) > 5:
            made.cancel(0, int(resting["id"][0]))
    makers = [edge for edge, maker in found if maker]
    takers = [edge for edge, maker in found if not maker]
    assert len(makers) > 500
    assert len(takers) > 200
    assert max(makers) == 0
    assert min(makers) < 0
    assert max(takers) <= -H


# -- the planted signal ------------------------------------------------------------------------------------------------


def signals(tape: Tape) -> tuple[np.ndarray, np.ndarray]:
    """Stamps of the hidden signal's changes, and what it is from each on: -1, 0 or 1."""
    rows = tape.events[tape.events["kind"] == rec.REGIME]
    states = rows["qty_lots"]
    assert set(np.unique(states)) <= {REGIME_NONE, REGIME_UP, REGIME_DOWN}
    return rows["exch_ns"], np.where(states == REGIME_UP, 1, np.where(states == REGIME_DOWN, -1, 0))


@pytest.fixture(scope="module")
def planted() -> Tape:
    return planted_alpha_tape(seed=4, hours=12.0, strength=0.5)


def test_the_signal_turns_as_the_law_says(planted: Tape) -> None:
    flow = DealerFlow.planted_alpha(0.5)
    stamps, states = signals(planted)
    assert states[0] == 0
    assert all((a == 0) != (b == 0) for a, b in pairwise(states.tolist()))
    lengths = np.diff(stamps)
    for mean_ns, some in ((flow.stay_ns, lengths[states[:-1] != 0]), (flow.rest_ns, lengths[states[:-1] == 0])):
        assert abs(some.mean() - mean_ns) < 4 * mean_ns / np.sqrt(len(some))  # exponential: sd = mean
        assert abs((some > mean_ns).mean() - np.exp(-1)) < 4 * np.sqrt(0.233 / len(some))
    ups = (states == 1).sum()
    assert abs(ups - (states != 0).sum() / 2) < 4 * np.sqrt((states != 0).sum()) / 2
    assert len(stamps) > 1000


def test_the_best_sizes_show_the_signal(planted: Tape) -> None:
    flow = DealerFlow.planted_alpha(0.5)
    stamps, states = signals(planted)
    quotes = planted.events[planted.events["kind"] == rec.BBO]
    bids, asks = quotes[quotes["side"] == rec.BUY], quotes[quotes["side"] == rec.SELL]
    imbalance = (bids["qty_lots"] - asks["qty_lots"]) / (bids["qty_lots"] + asks["qty_lots"])
    hidden = states[np.searchsorted(stamps, bids["exch_ns"], side="right") - 1]
    assert (np.abs(imbalance[hidden == 0]) <= flow.imbalance_quiet).all()
    assert (imbalance[hidden == 1] >= flow.imbalance_signal).all()
    assert (imbalance[hidden == -1] <= -flow.imbalance_signal).all()
    assert flow.imbalance_quiet < flow.imbalance_threshold < flow.imbalance_signal


@pytest.mark.parametrize("strength", STRENGTHS)
def test_the_drift_of_the_mid_is_the_stated_one(strength: float) -> None:
    """Change of the value over all signals, in their direction: what the strength says, within 4 standard errors."""
    tape, flow = planted_alpha_tape(seed=9, hours=12.0, strength=strength), DealerFlow.planted_alpha(strength)
    stamps, states = signals(tape)
    times, mids = values(tape)
    at = mids[np.searchsorted(times, stamps, side="right") - 1]
    moves = np.diff(at)
    gains = (moves * states[:-1])[states[:-1] != 0]
    seconds = (np.diff(stamps)[states[:-1] != 0]).sum() / 1e9
    drift = gains.sum() / seconds
    # Per second: trades and news of the martingale, and the steps of the drift, all independent.
    trade = H**2 / (flow.trade_gap_ns / 1e9)
    news = H**2 / (flow.news_gap_ns / 1e9)
    steps = flow.drift_ticks**2 / (flow.drift_gap_ns / 1e9)
    assert abs(drift - flow.drift_ticks_per_s) < 4 * np.sqrt((trade + news + steps) / seconds)
    quiet = moves[states[:-1] == 0]
    assert abs(quiet.sum()) < 4 * np.sqrt((trade + news) * np.diff(stamps)[states[:-1] == 0].sum() / 1e9)


@pytest.mark.parametrize("strength", STRENGTHS)
def test_the_strength_is_the_net_edge_of_a_signal_in_round_trips(strength: float) -> None:
    flow = DealerFlow.planted_alpha(strength)
    round_trip = 2 * H + 2 * START_TICK * SYNTH.taker_fee_ppb / 1e9
    late = REACTION_NS / flow.stay_ns
    caught = flow.drift_ticks_per_s * flow.stay_ns / 1e9 * np.exp(-late)
    assert round_trip == 648
    assert (caught - round_trip) / round_trip == pytest.approx(strength, abs=1e-6)


def test_the_observation_shows_the_feature(planted: Tape) -> None:
    """`imbalance_1` of the desk's own observation is on the right side of the threshold for the state at its feed."""
    market = Market.compile(planted)
    spec = DeskSpec.for_market(market, "target")
    desk = Desk(spec, market)
    desk.reset(market.start_ns)
    column = spec.layout.names.index("imbalance_1")
    threshold = DealerFlow.planted_alpha(0.5).imbalance_threshold
    stamps, states = signals(planted)
    hold = np.full((1, 1), len(spec.targets) // 2, np.int32)
    for _ in range(2000):
        row, _ = desk.step(hold)
        seen = float(row[0, column])
        feed_ns = int(desk.t_ns[0]) - 2_000_000
        state = int(states[np.searchsorted(stamps, feed_ns, side="right") - 1])
        assert (seen > threshold) - (seen < -threshold) == state


# -- the flow itself ---------------------------------------------------------------------------------------------------


def test_the_end_of_the_price_range_is_an_error() -> None:
    made = Exchange(SYNTH, flow=DealerFlow.martingale(), seed=0, width=4096, depth_every_ns=0)
    with pytest.raises(CapacityError, match="4096 ticks"):
        made.advance(START_NS + 24 * 3600 * SECOND)


def test_nothing_happens_while_trading_halts() -> None:
    """A halt and an auction of a minute each: no trade, no other quote; afterwards the market goes on."""
    stops = [(60, HALTED_PHASE), (120, OPEN), (180, AUCTION), (240, OPEN)]
    schedule = [(START_NS + at * SECOND, DO_PHASE, phase, 0) for at, phase in stops]
    made = Exchange(
        SYNTH, flow=DealerFlow.planted_alpha(stay_ns=SECOND, rest_ns=SECOND), seed=1, record="levels",
        depth_every_ns=0, mark_every_ns=0, schedule=schedule,
    )  # fmt: skip
    made.advance(START_NS + 300 * SECOND)
    rows = made.tape().events
    rows = rows[~np.isin(rows["kind"], (rec.STATUS, rec.REGIME))]
    at = (rows["exch_ns"] - START_NS) / SECOND
    for low, high, still in ((0, 60, False), (60, 120, True), (120, 180, False), (180, 240, True), (240, 300, False)):
        assert ((low < at) & (at < high)).any() != still


@pytest.mark.parametrize(
    "changes",
    [
        {"half_spread_ticks": 0}, {"levels": 65}, {"lots_min": 3000}, {"trade_gap_ns": 0}, {"stay_ns": SECOND},
        {"news_spreads_max": True}, {"news_gap_ns": 5},
        {"thin_max": 1_900, "stay_ns": SECOND, "rest_ns": SECOND, "drift_gap_ns": SECOND},
    ],
    ids=str,
)  # fmt: skip
def test_impossible_parameters_are_refused(changes: dict[str, int]) -> None:
    with pytest.raises(ParamsError):
        DealerFlow(**changes)


def test_parameters_make_the_round_trip_and_the_digest() -> None:
    flow = DealerFlow.planted_alpha(1.0)
    assert DealerFlow.from_json(json.loads(json.dumps(flow.to_json()))) == flow
    assert flow.digest != DealerFlow.planted_alpha(0.5).digest != DealerFlow.martingale().digest
    with pytest.raises(ParamsError, match="unknown dealer parameter"):
        DealerFlow.from_json({"spread": 1})
    with pytest.raises(ParamsError, match="hours"):
        dealer_tape(flow, 0, 0)
    with pytest.raises(ParamsError, match="strength"):
        DealerFlow.planted_alpha(-1.0)


DIGESTS = """
from lobgym.sim.flow.dealer import martingale_tape, planted_alpha_tape
print(martingale_tape(2, 0.01).digest, planted_alpha_tape(2, 0.03, 1.0).digest)
"""


@pytest.mark.parametrize("setting", [{}, {"NUMBA_DISABLE_JIT": "1"}], ids=["fresh", "not compiled"])
def test_any_process_gives_the_same_tapes(setting: dict[str, str]) -> None:
    run = subprocess.run(
        [sys.executable, "-c", DIGESTS], cwd=ROOT, env={**os.environ, **setting}, capture_output=True, text=True,
        timeout=300,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == [martingale_tape(2, 0.01).digest, planted_alpha_tape(2, 0.03, 1.0).digest]
