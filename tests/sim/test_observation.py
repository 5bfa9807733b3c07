"""Observations: bounded, causal, the same after a seek as after a replay, and what their descriptions say.

Method: random codes drive a desk over a synthetic tape. For causality the tape is corrupted after some time; for the
meaning of the columns they are computed again with plain numpy from the rows of the compiled book.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lobgym.sim import records as rec
from lobgym.sim.book import NO_ASK, NO_BID, ROW_PRINT
from lobgym.sim.desk import Desk
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.errors import LayoutError
from lobgym.sim.market import Market
from lobgym.sim.observation import COLUMNS, GRID_COLUMNS, TARGET_COLUMNS, ObservationLayout
from lobgym.sim.params import SimParams
from lobgym.sim.tape import Tape, open_tape
from lobgym.sim.view import best_ask_qty, best_bid_qty
from tests.sim.columns import columns_of

ALL = ObservationLayout(tuple(column.name for column in COLUMNS))
LANES = 4
STEP_NS = 250_000_000
# Latencies so long that some answers are still missing when the next decision is made.
CHANGES: dict[str, Any] = {
    "interval_ns": STEP_NS,
    "layout": ALL,
    "params": SimParams(entry_ns=150_000_000, response_ns=120_000_000),
}


@pytest.fixture(scope="module")
def tape() -> Tape:
    return open_tape("synth?seed=7&minutes=3")


@pytest.fixture(scope="module")
def market(tape: Tape) -> Market:
    return Market.compile(tape)


def spec_of(market: Market, kind: str = "grid") -> DeskSpec:
    return DeskSpec.for_market(market, kind, **CHANGES)


def starts_of(market: Market) -> np.ndarray:
    return market.start_ns + np.arange(LANES) * 15_000_000_000


def codes_of(desk: Desk, steps: int) -> np.ndarray:
    rng = np.random.default_rng(11)
    return np.stack([rng.integers(0, bins, (steps, desk.lanes)) for bins in desk.action.bins], -1).astype(np.int32)


@pytest.mark.parametrize("kind", ["grid", "target"])
def test_every_value_is_finite_and_within_bounds(market: Market, kind: str):
    desk = Desk(spec_of(market, kind), market, LANES)
    desk.reset(starts_of(market))
    rows = [desk.observe()] + [desk.step(codes)[0] for codes in codes_of(desk, 400)]
    seen = np.concatenate(rows)
    assert seen.dtype == np.float32
    assert np.isfinite(seen).all()
    assert np.abs(seen).max() <= 1
    dead = [name for name, column in zip(ALL.names, seen.T, strict=True) if column.min() == column.max()]
    # The lanes run for less than five minutes, and an IOC leaves no resting quote behind.
    expected = {"two_sided", "return_300s"} | ({"bid_distance", "ask_distance"} if kind == "target" else set())
    assert set(dead) <= expected, dead


def test_market_columns_after_a_seek_equal_those_after_a_replay(market: Market):
    walker = Desk(spec_of(market), market, 1)
    walker.reset(market.start_ns)
    market_columns = [k for k, column in enumerate(ALL.specs) if not column.own]
    jumper = Desk(spec_of(market), market, 1)
    for step, codes in enumerate(codes_of(walker, 320)):
        row = walker.step(codes)[0]
        if step % 7 == 0:
            jumper.reset(walker.t_ns)
            np.testing.assert_array_equal(jumper.observe()[:, market_columns], row[:, market_columns])


def corrupted(tape: Tape, after_ns: int, how: str) -> Tape:
    """The tape with everything stamped after `after_ns` at the exchange changed, or gone."""
    events = tape.events.copy()
    late = events["exch_ns"] > after_ns
    if how == "cut":
        return Tape(events[~late], tape.instrument, tape.provenance)
    sized = late & (events["qty_lots"] > 0)
    events["qty_lots"][sized] = events["qty_lots"][sized] * 7 + 13
    events["price_ticks"][late] += 5_000
    return Tape(events, tape.instrument, tape.provenance)


@pytest.mark.parametrize("how", ["cut", "corrupt"])
@pytest.mark.parametrize("kind", ["grid", "target"])
def test_nothing_up_to_t_depends_on_what_comes_after(tape: Tape, market: Market, kind: str, how: str):
    spec = spec_of(market, kind)
    steps = 220
    until = market.start_ns + steps * STEP_NS
    other = Market.compile(corrupted(tape, until, how))
    assert DeskSpec.for_market(other, kind, **CHANGES) == spec
    desks = [Desk(spec, one, 1) for one in (market, other)]
    for desk in desks:
        desk.reset(market.start_ns)
    np.testing.assert_array_equal(desks[0].observe(), desks[1].observe())
    for codes in codes_of(desks[0], steps):
        plans = [desk.plan(codes) for desk in desks]
        np.testing.assert_array_equal(*(plan[0][0, : plan[1][0]] for plan in plans))
        for desk in desks:
            desk.commit()
            desk.advance() if desk.t_ns[0] + STEP_NS <= desk.end_ns else pytest.fail("the cut tape ended early")
        np.testing.assert_array_equal(desks[0].observe(), desks[1].observe())
        assert desks[0].equity() == desks[1].equity()
        if desks[1].t_ns[0] + STEP_NS > desks[1].end_ns:
            break
    assert desks[0].session.digest() == desks[1].session.digest()
    assert desks[0].t_ns[0] >= until - 2 * STEP_NS
    if how == "corrupt":  # the corruption is one that can be seen
        for _ in range(8):
            for desk in desks:
                desk.advance()
        assert (desks[0].observe() != desks[1].observe()).any()


def unscaled(values: dict[str, float]) -> dict[str, float]:
    scales = {column.name: column.scale for column in COLUMNS}
    return {name: v / (scales[name] + abs(v)) if scales[name] else v for name, v in values.items()}


def restated(market: Market, t_ns: int) -> dict[str, float]:
    """Market columns from the rows stamped by `t_ns`, read off their descriptions."""
    book = columns_of(market.local)
    c = int(np.searchsorted(book.ns, t_ns, side="right"))
    bid, ask = int(book.bid[c - 1]), int(book.ask[c - 1])
    mid = (bid + ask) / 2
    bq, aq = int(best_bid_qty(market.local_view[0], c)), int(best_ask_qty(market.local_view[0], c))
    out = {
        "two_sided": 1.0,
        "spread": (ask - bid) / mid * 1e4,
        "book_age": (t_ns - int(book.ns[c - 1])) / 1e9,
        "imbalance_1": (bq - aq) / (bq + aq),
        "microprice": ((bid * aq + ask * bq) / (bq + aq) - mid) / mid * 1e4,
    }
    volume = {}
    for seconds in (1, 5, 30):
        back = int(np.searchsorted(book.ns, t_ns - seconds * 10**9, side="right"))
        then = (int(book.bid[back - 1]) + int(book.ask[back - 1])) / 2 if back else 0.0
        out[f"return_{seconds}s"] = (mid - then) / then * 1e4 if then > 0 else 0.0
        prints = slice(back, c)
        is_print = book.kind[prints] == ROW_PRINT
        bought = int(book.qty[prints][is_print & (book.side[prints] == rec.BUY)].sum())
        sold = int(book.qty[prints][is_print & (book.side[prints] == rec.SELL)].sum())
        volume[seconds] = bought + sold
        if seconds < 30:
            out[f"trade_flow_{seconds}s"] = (bought - sold) / (bought + sold) if bought + sold else 0.0
    out["activity"] = volume[1] / (volume[1] + volume[30] / 30) if volume[30] else 0.0

    # Bars of whole seconds of the local clock, from the mids after each stamp.
    last_of_stamp = np.append(book.ns[1:] != book.ns[:-1], True) & (book.bid != NO_BID) & (book.ask != NO_ASK)
    second = book.ns // 10**9
    mids = (book.bid + book.ask) / 2
    now = t_ns // 10**9
    close, ranges = None, []
    for s in range(int(second[0]), now):
        of_bar = mids[last_of_stamp & (second == s)]
        points = of_bar if close is None else np.append(of_bar, close)
        ranges.append(points.max() - points.min() if len(points) else 0.0)
        close = of_bar[-1] if len(of_bar) else close
    out["natr_14"] = float(np.mean(ranges[-14:])) / close * 1e4 if ranges else 0.0
    return unscaled(out)


def test_market_columns_are_what_their_descriptions_say(market: Market):
    desk = Desk(spec_of(market), market, 1)
    rng = np.random.default_rng(3)
    for t_ns in (market.start_ns + rng.integers(0, market.end_ns - market.start_ns, 60)).tolist():
        desk.reset(t_ns)
        row = dict(zip(ALL.names, desk.observe()[0].tolist(), strict=True))
        for name, value in restated(market, t_ns).items():
            assert row[name] == pytest.approx(value, abs=1e-6), name


def test_depth_and_own_columns_are_what_their_descriptions_say(market: Market):
    spec = spec_of(market)
    desk = Desk(spec, market, LANES)
    desk.reset(starts_of(market))
    limit = spec.position_lots_max
    for codes in codes_of(desk, 60):
        rows = desk.step(codes)[0]
        for lane in range(LANES):
            row = dict(zip(ALL.names, rows[lane].tolist(), strict=True))
            bids = desk.session.ladder(lane, rec.BUY, 5)
            asks = desk.session.ladder(lane, rec.SELL, 5)
            mid = (bids[0, 0] + asks[0, 0]) / 2
            rank = 1 / np.arange(1, 6)
            near, far = (bids[:, 1] @ rank[: len(bids)], asks[:, 1] @ rank[: len(asks)])
            orders = desk.session.orders(lane)
            orders = orders[np.isin(orders["view_state"], [rec.SENT, rec.LIVE])]
            buys, sells = orders[orders["side"] == rec.BUY], orders[orders["side"] == rec.SELL]
            best = {side: of[of["cancel_sent"] == 0]["tick"] for side, of in ((1, buys), (-1, sells))}
            expected = unscaled(
                {
                    "imbalance_5": (bids[:, 1].sum() - asks[:, 1].sum()) / (bids[:, 1].sum() + asks[:, 1].sum()),
                    "pressure_5": (near - far) / (near + far),
                    "width_5": (asks[-1, 0] - bids[-1, 0]) / mid * 1e4,
                    "inventory": desk.session.account(lane).view_position_lots / limit,
                    "open_bid_lots": buys["view_leaves"].sum() / limit,
                    "open_ask_lots": sells["view_leaves"].sum() / limit,
                    "pending": ((orders["view_state"] == rec.SENT) | (orders["cancel_sent"] == 1)).sum(),
                    "bid_distance": (mid - best[1].max()) / mid * 1e4 if len(best[1]) else 1e18,
                    "ask_distance": (best[-1].min() - mid) / mid * 1e4 if len(best[-1]) else 1e18,
                }
            )
            for name, value in expected.items():
                assert row[name] == pytest.approx(value, abs=1e-6), name


def test_layouts_round_trip_and_notice_a_changed_meaning():
    for columns in (GRID_COLUMNS, TARGET_COLUMNS):
        layout = ObservationLayout(columns)
        assert ObservationLayout.from_json(layout.to_json()) == layout
        assert 15 <= layout.size <= 20
        assert (layout.low == -1).all()
        assert (layout.high == 1).all()
    written = ObservationLayout(GRID_COLUMNS).to_json()
    with pytest.raises(LayoutError, match="retrain"):
        ObservationLayout.from_json({**written, "hash": "0" * 64})
    for bad in ((), ("spread", "spread"), ("sprad",)):
        with pytest.raises(LayoutError):
            ObservationLayout(bad)
    assert ObservationLayout(("spread", "natr_14")).hash != ObservationLayout(("natr_14", "spread")).hash
