"""Observations: bounded, causal, the same after a seek as after a replay, and what their descriptions say.

Method: random codes drive a desk over a synthetic tape. For causality the tape is corrupted after some time; for the
meaning of the columns they are computed again in plain Python (`tests/sim/reference_columns.py`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lobgym.sim import records as rec
from lobgym.sim.causality import changed_after
from lobgym.sim.compile_depth import compile_depth_market
from lobgym.sim.desk import Desk
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.errors import LayoutError
from lobgym.sim.market import Market
from lobgym.sim.money import mark_value
from lobgym.sim.observation import (
    COLUMNS,
    DEFAULT_COLUMNS,
    GRID_COLUMNS,
    GROUPS,
    TARGET_COLUMNS,
    ObservationLayout,
)
from lobgym.sim.params import SimParams
from lobgym.sim.tape import Tape, open_tape
from tests.sim.reference_columns import FAR, Reference, squeezed

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
    # The lanes run for less than five minutes, without funding and tasks; an IOC leaves no resting quote behind.
    quiet = {"two_sided", "return_300s", *GROUPS["funding"], *GROUPS["task"]}
    assert set(dead) <= quiet | ({"bid_distance", "ask_distance", *GROUPS["queue"]} if kind == "target" else set()), (
        dead
    )


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


@pytest.mark.parametrize("how", ["cut", "corrupted"])
@pytest.mark.parametrize("kind", ["grid", "target"])
def test_nothing_up_to_t_depends_on_what_comes_after(tape: Tape, market: Market, kind: str, how: str):
    spec = spec_of(market, kind)
    steps = 220
    until = market.start_ns + steps * STEP_NS
    other = Market.compile(changed_after(tape, until, how))
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
    if how == "corrupted":  # the corruption is one that can be seen
        for _ in range(8):
            for desk in desks:
                desk.advance()
        assert (desks[0].observe() != desks[1].observe()).any()


@pytest.fixture(scope="module")
def reference(market: Market) -> Reference:
    return Reference(market)


@pytest.mark.parametrize("delay_ns", [0, 2_300_000_000])
def test_market_columns_are_what_their_descriptions_say(market: Market, reference: Reference, delay_ns: int):
    params = SimParams(feed_delay_ns=delay_ns)
    desk = Desk(spec_of(market).replace(params=params), market, LANES)
    rng = np.random.default_rng(3)
    names = {column.name for column in COLUMNS if not column.own}
    for _ in range(8):
        times = market.start_ns + rng.integers(0, market.end_ns - market.start_ns, LANES)
        desk.reset(times)
        rows = desk.observe()
        for t_ns, values in zip(times.tolist(), rows, strict=True):
            row = dict(zip(ALL.names, values.tolist(), strict=True))
            expected = reference.market_columns(t_ns, delay_ns)
            assert expected.keys() == names
            for name, value in expected.items():
                assert row[name] == pytest.approx(value, abs=1e-6), (name, t_ns)


def own_reference(desk: Desk, lane: int, reference: Reference, fills: np.ndarray) -> dict[str, float]:
    """Columns of the lane's own view, from what it was told: its orders' view, and the fills that it has learned of."""
    limit = desk.spec.position_lots_max
    bids = desk.session.ladder(lane, rec.BUY, 1)
    asks = desk.session.ladder(lane, rec.SELL, 1)
    mid = (bids[0, 0] + asks[0, 0]) / 2
    t_ns = int(desk.t_ns[lane])
    orders = desk.session.orders(lane)
    orders = orders[np.isin(orders["view_state"], [rec.SENT, rec.LIVE])]
    buys, sells = orders[orders["side"] == rec.BUY], orders[orders["side"] == rec.SELL]
    signed = fills["side"].astype(np.int64) * fills["qty"]
    position, cash = int(signed.sum()), int(fills["cash"].sum())
    path = np.append(0, np.cumsum(signed))
    entered = [int(ns) for ns, was, now in zip(fills["seen_ns"], path, path[1:], strict=False) if was * now <= 0]
    units = cash + mark_value(desk.session.econ, position, int(mid * 2)) - int(fills["fee"].sum())
    out = {
        "inventory": position / limit,
        "open_bid_lots": buys["view_leaves"].sum() / limit,
        "open_ask_lots": sells["view_leaves"].sum() / limit,
        "pending": ((orders["view_state"] == rec.SENT) | (orders["cancel_sent"] == 1)).sum(),
        "entry_age": (t_ns - entered[-1]) / 1e9 if position else 0.0,
        "fill_age": (t_ns - int(fills["seen_ns"][-1])) / 1e9 if len(fills) else FAR,
        "episode_pnl": units / abs(mark_value(desk.session.econ, limit, int(mid * 2))) * 1e4,
    }
    for name, side, mine in (("bid", rec.BUY, buys), ("ask", rec.SELL, sells)):
        quoted = mine[mine["cancel_sent"] == 0]
        best = quoted[quoted["tick"] * side == (quoted["tick"] * side).max()] if len(quoted) else quoted
        out[f"{name}_distance"] = side * (mid - best["tick"][0]) / mid * 1e4 if len(best) else FAR
        first = best[best["view_state"] == rec.LIVE]
        first = first[np.argsort(first["id"])][:1]
        out[f"{name}_queue"] = 1.0
        if len(first):
            out[f"{name}_queue"] = reference.queue(t_ns, side, int(first["tick"][0]), int(first["arrive_ns"][0]))
    return squeezed(out | task_reference(desk, lane, position, cash, mid))


def task_reference(desk: Desk, lane: int, position: int, cash: int, mid: float) -> dict[str, float]:
    task = {name: int(desk.tasks[lane][name]) for name in desk.tasks.dtype.names}
    if task["side"] == 0:
        return dict.fromkeys(("task_side", "task_left", "task_time_left", "task_pace", "task_shortfall"), 0.0)
    done = min(max(task["side"] * position, 0), task["lots"]) / task["lots"]
    over = (int(desk.t_ns[lane]) - task["start_ns"]) / (task["end_ns"] - task["start_ns"])
    over = min(max(over, 0.0), 1.0)
    # A linear contract: a lot that is bought at one price and held at another has made their difference.
    unit = mark_value(desk.session.econ, 1, 2)
    arrival = task["arrival2"] / 2
    paper = task["side"] * task["lots"] * (mid - arrival) * unit
    made = cash + position * mid * unit
    return {
        "task_side": task["side"],
        "task_left": 1 - done,
        "task_time_left": 1 - over,
        "task_pace": done - over,
        "task_shortfall": (paper - made) / (task["lots"] * arrival * unit) * 1e4,
    }


@pytest.mark.parametrize("kind", ["grid", "target"])
def test_own_columns_are_what_their_descriptions_say(market: Market, reference: Reference, kind: str):
    desk = Desk(spec_of(market, kind), market, LANES, log="fills", log_rows=10_000)
    desk.reset(starts_of(market))
    lots = desk.spec.position_lots_max // 2
    for lane in range(LANES - 1):  # a desk that trades anyhow does as well as one that works on them
        bid, ask = desk.session.bests(lane)
        start = int(desk.t_ns[lane])
        desk.tasks[lane] = ((-1) ** lane, lots, start, start + 10_000_000_000, bid + ask)
    seen: dict[str, set[float]] = {}
    log = desk.session.drain_fills()
    for codes in codes_of(desk, 80):
        if kind == "grid":
            codes[:, 0] //= 4  # close to the touch, so that quotes are filled
        rows = desk.step(codes)[0]
        log = np.concatenate([log, desk.session.drain_fills()])
        for lane in range(LANES):
            row = dict(zip(ALL.names, rows[lane].tolist(), strict=True))
            learned = log[(log["lane"] == lane) & (log["seen_ns"] <= desk.t_ns[lane])]
            for name, value in own_reference(desk, lane, reference, learned).items():
                assert row[name] == pytest.approx(value, abs=2e-6), (name, lane)
                seen.setdefault(name, set()).add(round(row[name], 3))
    assert seen.keys() == {column.name for column in COLUMNS if column.own}
    quotes = {"bid_distance", "ask_distance", "bid_queue", "ask_queue"} if kind == "target" else set()
    assert {name for name, values in seen.items() if len(values) < 2} <= quotes
    if kind == "grid":
        assert any(0 < value < 1 for value in seen["bid_queue"] | seen["ask_queue"])


def test_a_queue_is_estimated_alike_whatever_was_encoded_before(market: Market):
    """The estimate is brought forward from the last row that was encoded: that must change nothing."""
    spec = spec_of(market).replace(layout=ObservationLayout(("queue",)))
    often, seldom = Desk(spec, market, LANES), Desk(spec, market, LANES)
    for desk in (often, seldom):
        desk.reset(starts_of(market))
    for step, codes in enumerate(codes_of(often, 60)):
        codes[:, 0] //= 4
        rows = often.step(codes)[0]
        seldom.step(codes, observe=False)
        if step % 9 == 8:
            np.testing.assert_array_equal(seldom.observe(), rows)


def test_levels_that_the_best_has_passed_are_no_levels(tape: Tape):
    """In a book made of depth alone such levels still display something: a ladder begins at the best."""
    market = compile_depth_market(tape)
    layout = ObservationLayout(("two_sided", "imbalance_5", "width_5", "book_10"))
    params = SimParams(profile="hftbacktest")
    desk = Desk(DeskSpec.for_market(market, "grid", layout=layout, params=params), market, LANES)
    rng = np.random.default_rng(5)
    for _ in range(10):
        desk.reset(market.start_ns + rng.integers(0, market.end_ns - market.start_ns, LANES))
        for lane, values in enumerate(desk.observe()):
            row = dict(zip(layout.names, values.tolist(), strict=True))
            sides = {"bid": desk.session.ladder(lane, rec.BUY, 10), "ask": desk.session.ladder(lane, rec.SELL, 10)}
            mid = (sides["bid"][0, 0] + sides["ask"][0, 0]) / 2
            lots = {name: side[:5, 1].sum() for name, side in sides.items()}
            mean = sum(lots.values()) / sum(len(side[:5]) for side in sides.values())
            expected = {
                "two_sided": 1.0,
                "imbalance_5": (lots["bid"] - lots["ask"]) / sum(lots.values()),
                "width_5": (sides["ask"][:5][-1, 0] - sides["bid"][:5][-1, 0]) / mid * 1e4,
            }
            for name, side in sides.items():
                for k, (tick, qty) in enumerate(side.tolist(), start=1):
                    expected[f"{name}_gap_{k}"] = abs(tick - mid) / mid * 1e4
                    expected[f"{name}_size_{k}"] = qty / (qty + mean)
            for name, value in squeezed(expected).items():
                assert row[name] == pytest.approx(value, abs=1e-6), (name, lane)


def test_funding_is_known_from_when_it_arrives(market: Market):
    tape = market.tape
    hour = 3600 * 10**9
    extra = np.zeros(2, rec.EVENT_DTYPE)
    for row, (seconds, rate, hours) in zip(extra, [(20, 123_000_000, 3), (50, -50_000_000, 9)], strict=True):
        row["exch_ns"] = tape.start_ns + seconds * 10**9
        row["local_ns"] = row["exch_ns"] + 2_000_000
        row["kind"], row["flags"], row["qty_lots"] = rec.FUNDING, rec.LAST, rate
        row["seq"] = (tape.start_ns + hours * hour) // 10**6
    events = np.concatenate([tape.events, extra])
    events = events[np.argsort(events["exch_ns"], kind="stable")]
    funded = Market.compile(Tape(events, tape.instrument, tape.provenance))
    again = Reference(funded)
    desk = Desk(spec_of(funded).replace(layout=ObservationLayout(("funding",))), funded, 1)
    rates = set()
    for second in (1, 19, 20, 21, 49, 51, 100):
        t_ns = tape.start_ns + second * 10**9 + 1_999_999
        desk.reset(t_ns)
        rate, left = desk.observe()[0].tolist()
        expected = again.market_columns(t_ns)
        assert [rate, left] == pytest.approx([expected["funding_rate"], expected["funding_left"]], abs=1e-6)
        rates.add(round(rate, 4))
    assert len(rates) == 3


def test_layouts_round_trip_and_notice_a_changed_meaning():
    for columns in (GRID_COLUMNS, TARGET_COLUMNS):
        layout = ObservationLayout(columns)
        assert ObservationLayout.from_json(layout.to_json()) == layout
        assert (layout.low == -1).all()
        assert (layout.high == 1).all()
    written = ObservationLayout(GRID_COLUMNS).to_json()
    with pytest.raises(LayoutError, match="retrain"):
        ObservationLayout.from_json({**written, "hash": "0" * 64})
    for bad in ((), ("spread", "spread"), ("sprad",), ("book_2", "bid_gap_1")):
        with pytest.raises(LayoutError):
            ObservationLayout(bad)
    with pytest.raises(LayoutError, match="did you mean 'spread'"):
        ObservationLayout(("sprad",))
    assert ObservationLayout(("spread", "natr_14")).hash != ObservationLayout(("natr_14", "spread")).hash


def test_hashes_of_layouts_that_policies_were_trained_with_stay():
    """Columns that come later must not change what earlier ones are called by."""
    hashes = {name: ObservationLayout(DEFAULT_COLUMNS[name]).hash[:12] for name in ("grid", "target")}
    assert hashes == {"grid": "a58cfdcc95d9", "target": "e34e860e8763"}


def test_a_group_is_its_columns():
    assert ObservationLayout(("spread", "book_2")).names == (
        "spread", "bid_gap_1", "bid_size_1", "ask_gap_1", "ask_size_1",
        "bid_gap_2", "bid_size_2", "ask_gap_2", "ask_size_2",
    )  # fmt: skip
    for group, names in GROUPS.items():
        assert ObservationLayout((group,)).names == names


@pytest.mark.parametrize("kind", list(DEFAULT_COLUMNS))
def test_default_layouts_exist_and_say_how_far_they_look_back(kind: str):
    layout = ObservationLayout(DEFAULT_COLUMNS[kind])
    assert 15 <= layout.size <= 20
    assert 30e9 <= layout.lookback_ns <= 301e9
