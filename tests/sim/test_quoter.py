"""The quoter, driven with random codes over a synthetic tape: what must hold of every plan."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lobgym.sim.actions import PAUSED
from lobgym.sim.desk import INTENT_CANCEL, INTENT_SUBMIT, Desk
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.market import Market
from lobgym.sim.quoter import KIND_GRID, QuoterValues, grid_ladders
from lobgym.sim.records import BUY, GTX, IOC, LIVE, OK, SELL, SENT
from lobgym.sim.tape import open_tape

LANES = 3


@pytest.fixture(scope="module")
def market() -> Market:
    return Market.compile(open_tape("synth?seed=5&minutes=3"))


def grid_desk(market: Market, **overrides: object) -> Desk:
    desk = Desk(DeskSpec.for_market(market, "grid", interval_ns=100_000_000, **overrides), market, LANES)
    desk.reset(market.start_ns + np.arange(LANES) * 20_000_000_000)
    return desk


def grid_values(spacing_ticks: np.ndarray, order_lots: int = 1) -> QuoterValues:
    none = np.zeros(1, np.int64)
    return QuoterValues(KIND_GRID, 100, order_lots, 0, spacing_ticks, none, 100, none, 0, none, 1)


def random_codes(desk: Desk, steps: int, seed: int = 0) -> np.ndarray:
    """Codes that dwell: each is held for a few steps, and most of them do not pause."""
    rng = np.random.default_rng(seed)
    codes = np.stack([rng.integers(0, bins, (steps, LANES)) for bins in desk.action.bins], -1)
    if desk.spec.kind == "grid":
        codes[..., 4] = rng.random((steps, LANES)) < 0.1
    return codes[np.arange(steps) // 4 * 4].astype(np.int32)


def open_orders(desk: Desk, lane: int) -> np.ndarray:
    orders = desk.session.orders(lane)
    return orders[np.isin(orders["view_state"], [SENT, LIVE])]


def test_invariants_of_every_plan(market: Market):
    desk = grid_desk(market)
    limit = desk.spec.position_lots_max
    seen = {"submits": 0, "cancels": 0, "kept": 0, "trimmed": 0}
    for codes in random_codes(desk, 300):
        intents, counts = desk.plan(codes)
        for lane in range(LANES):
            plan = intents[lane, : counts[lane]].copy()
            bid, ask = desk.session.bests(lane)
            orders = open_orders(desk, lane)
            staying = orders[orders["cancel_sent"] == 0]
            position = int(desk.session.state.lane["view_position"][lane])
            submits, cancels = plan[plan["kind"] == INTENT_SUBMIT], plan[plan["kind"] == INTENT_CANCEL]
            # Cancels first; each of an order that is open and not yet being cancelled, none twice.
            assert list(plan["kind"]) == [INTENT_CANCEL] * len(cancels) + [INTENT_SUBMIT] * len(submits)
            assert set(cancels["order_id"]) <= set(staying["id"])
            assert len(set(cancels["order_id"])) == len(cancels)
            # Never through the touch, never beyond the limit even if everything fills, cancelled orders included.
            assert (submits["tif"] == GTX).all()
            assert (submits["tick"][submits["side"] == BUY] < ask).all()
            assert (submits["tick"][submits["side"] == SELL] > bid).all()
            assert (submits["reason"] == OK).all()
            for side in (BUY, SELL):
                resting = int(orders["view_leaves"][orders["side"] == side].sum())
                planned = int(submits["qty"][submits["side"] == side].sum())
                assert side * position + resting + planned <= limit
            # What stays and what comes are the wanted ladder: no price twice, no more levels than asked for.
            kept = staying[~np.isin(staying["id"], cancels["order_id"])]
            wanted = [(int(o["side"]), int(o["tick"])) for o in (*kept, *submits)]
            assert len(set(wanted)) == len(wanted)
            levels = 0 if codes[lane, 4] == PAUSED else codes[lane, 1] + 1
            assert sum(side == BUY for side, _ in wanted) <= levels
            assert sum(side == SELL for side, _ in wanted) <= levels
            size = (codes[lane, 3] + 1) * desk.spec.order_lots
            assert (kept["view_leaves"] <= size).all()
            seen["submits"] += len(submits)
            seen["cancels"] += len(cancels)
            seen["kept"] += len(kept)
            seen["trimmed"] += int((submits["qty"] < size).sum())
        desk.commit()
        # The smallest set of messages: with nothing changed, a second plan has nothing to say.
        assert not desk.plan(codes)[1].any()
        desk.advance()
    assert all(count > 50 for count in seen.values()), seen


def test_a_pause_withdraws_everything_once(market: Market):
    desk = grid_desk(market)
    quoting = np.tile(np.array([5, 3, 4, 0, 0], np.int32), (LANES, 1))
    desk.step(quoting)
    paused = quoting.copy()
    paused[:, 4] = PAUSED
    intents, counts = desk.plan(paused)
    for lane in range(LANES):
        orders = open_orders(desk, lane)
        assert 6 <= len(orders) == counts[lane] <= 8  # a quote may have been filled or refused as post-only
        assert set(intents[lane, : counts[lane]]["order_id"]) == set(orders["id"])
    desk.commit()
    assert not desk.plan(paused)[1].any()
    desk.advance()
    assert all(len(desk.session.orders(lane)) == 0 for lane in range(LANES))


@settings(max_examples=400, deadline=None)
@given(
    bid=st.integers(100, 100_000),
    spread=st.integers(1, 300),
    codes=st.tuples(st.integers(0, 14), st.integers(0, 4), st.integers(0, 8), st.integers(0, 4)),
    unit=st.integers(1, 7),
)
def test_ladders_equal_the_written_geometry(bid: int, spread: int, codes: tuple[int, int, int, int], unit: int):
    """Fractions instead of quarter ticks: lattice, skew, outward rounding, and the touch."""
    from lobgym.sim.desk_spec import SPACING_MULTIPLES

    table = np.array([unit * m for m in SPACING_MULTIPLES], np.int64)
    values = grid_values(table, order_lots=3)
    ask = bid + spread
    found = grid_ladders(values, np.array([*codes, 0], np.int32), bid, ask)
    spacing = int(table[codes[0]])
    lattice = Fraction(spacing, 4)
    mid = Fraction(bid + ask, 2)
    centre = floor(mid / lattice + Fraction(spacing // 2, spacing)) * lattice + (codes[2] - 4) * lattice
    assert found.first_bid == min(floor(centre - Fraction(spacing, 2)), ask - 1)
    assert found.first_ask == max(ceil(centre + Fraction(spacing, 2)), bid + 1)
    assert (found.spacing, found.levels, found.qty) == (spacing, codes[1] + 1, (codes[3] + 1) * 3)
    assert found.first_bid < ask
    assert found.first_ask > bid
    assert found.first_bid < found.first_ask


def test_positive_skew_moves_quotes_up():
    values = grid_values(np.full(16, 8, np.int64))
    ladders = [grid_ladders(values, np.array([0, 0, skew, 0, 0], np.int32), 10_000, 10_002) for skew in range(9)]
    assert [one.first_ask - ladders[4].first_ask for one in ladders[4:]] == [0, 2, 4, 6, 8]
    assert [one.first_bid - ladders[4].first_bid for one in ladders[:5]] == [-8, -6, -4, -2, 0]


def test_a_smaller_size_is_respected_and_a_larger_one_keeps_the_queue(market: Market):
    desk = grid_desk(market)
    code = np.tile(np.array([9, 0, 4, 1, 0], np.int32), (LANES, 1))
    desk.step(code)
    larger, smaller = code.copy(), code.copy()
    larger[:, 3] = 3
    smaller[:, 3] = 0
    lane = 0
    bests = desk.session.bests(lane)
    orders = open_orders(desk, lane)
    wanted = grid_ladders(desk.spec.quoter_values, code[lane], *bests)
    if not {wanted.first_bid, wanted.first_ask} <= set(orders["tick"].tolist()):
        pytest.fail("the mid moved: choose another start for this test")
    assert desk.plan(larger)[1][lane] == 0
    intents, counts = desk.plan(smaller)
    assert counts[lane] == 4  # two out, two in
    assert set(intents[lane, 2:4]["qty"]) == {desk.spec.order_lots}


def test_targets_are_reached_by_iocs_and_left_alone_after(market: Market):
    desk = Desk(DeskSpec.for_market(market, "target", interval_ns=100_000_000), market, LANES)
    desk.reset(market.start_ns + np.arange(LANES) * 20_000_000_000)
    limit = desk.spec.position_lots_max
    assert desk.spec.target_lots == (-limit, -limit // 2, 0, limit // 2, limit)
    sent = 0
    for codes in np.repeat(random_codes(desk, 60), 5, axis=0):
        intents, counts = desk.plan(codes)
        for lane in range(LANES):
            position = int(desk.session.state.lane["view_position"][lane])
            target = desk.spec.target_lots[codes[lane, 0]]
            if len(open_orders(desk, lane)) or position == target:
                assert counts[lane] == 0
                continue
            bid, ask = desk.session.bests(lane)
            one = intents[lane, 0]
            assert counts[lane] == 1
            assert (one["tif"], one["reason"], one["side"] * one["qty"]) == (IOC, OK, target - position)
            assert one["tick"] == (ask + desk.spec.sweep_ticks if target > position else bid - desk.spec.sweep_ticks)
            sent += 1
        desk.commit()
        assert not desk.plan(codes)[1].any()
        desk.advance()
    assert sent > 30
    assert (np.abs(desk.session.state.lane["position"]) <= limit).all()


def test_targets_round_towards_zero_as_decimals(market: Market):
    spec = DeskSpec.for_market(market, "target", position_lots_max=100, targets=(-0.29, -0.005, 0.0, 0.29, 0.999))
    assert spec.target_lots == (-29, 0, 0, 29, 99)


def test_refusals_are_recorded_and_not_sent(market: Market):
    plain = grid_desk(market)
    tight = plain.spec.replace(risk=plain.spec.risk.replace(orders_per_step_max=3))
    desk = Desk(tight, market, LANES)
    desk.reset(market.start_ns)
    codes = np.tile(np.array([5, 3, 4, 0, 0], np.int32), (LANES, 1))
    intents, counts = desk.plan(codes)
    assert (counts == 8).all()
    assert ((intents[:, :8]["reason"] == OK).sum(axis=1) == 3).all()
    desk.commit()
    assert (desk.session.state.lane["submits"] == 3).all()
    assert (intents[:, :8]["order_id"][intents[:, :8]["reason"] != OK] == 0).all()
