"""Every kind of quoter against its restatement in plain Python, and what must hold of a parent order's life.

Method: desks on a synthetic tape with random codes that dwell, under several latencies; each plan of each lane is
compared intent by intent with `tests.sim.reference_quoter`.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lobgym.sim.actions import CODE_LEAN, NO_QUOTE
from lobgym.sim.desk import INTENT_CANCEL, INTENT_SUBMIT, Desk
from lobgym.sim.desk_spec import OFFSET_MULTIPLES, DeskSpec
from lobgym.sim.errors import ParamsError
from lobgym.sim.market import Market
from lobgym.sim.params import SimParams
from lobgym.sim.quoter import KIND_MAKER, QuoterValues, maker_quotes
from lobgym.sim.quotes.execution import SLICE_ALL, slice_lots
from lobgym.sim.records import BUY, GTX, IOC, OK, SELL
from lobgym.sim.tape import open_tape
from tests.sim import reference_quoter

LANES = 4
KINDS = ["grid", "target", "maker", "execution"]
PARAMS = {
    "default": {},
    "instant": {"params": SimParams(entry_ns=0, response_ns=0)},
    "slow": {"params": SimParams(entry_ns=150_000_000, response_ns=170_000_000)},
}
SIDES = np.array([BUY, SELL, BUY, SELL])


@pytest.fixture(scope="module")
def market() -> Market:
    return Market.compile(open_tape("synth:volatile?seed=4&minutes=3"))


def desk_of(market: Market, kind: str, lanes: int = LANES, **overrides: Any) -> Desk:
    spec = DeskSpec.for_market(market, kind, **{"interval_ns": 100_000_000} | overrides)
    desk = Desk(spec, market, lanes)
    desk.reset(market.start_ns + np.arange(lanes) * 15_000_000_000)
    return desk


def random_codes(desk: Desk, steps: int, seed: int = 0) -> np.ndarray:
    """Codes that dwell for a few steps; makers and grids close to the touch most of the time, so that quotes fill."""
    rng = np.random.default_rng(seed)
    codes = np.stack([rng.integers(0, bins, (steps, LANES)) for bins in desk.action.bins], -1)
    near = rng.random((steps, LANES)) < 0.8
    if desk.spec.kind in ("grid", "maker"):
        codes[..., 0] //= np.where(near, 4, 1)
    if desk.spec.kind == "maker":
        codes[..., 1] //= np.where(near, 4, 1)
    if desk.spec.kind == "grid":
        codes[..., 4] = ~near
    return codes[np.arange(steps) // 4 * 4].astype(np.int32)


def give_tasks(desk: Desk, seconds: int = 10, lots: int | None = None) -> int:
    """Everyone a parent order; returns its lots."""
    lots = desk.spec.position_lots_max if lots is None else lots
    desk.assign(SIDES[: desk.lanes], lots, desk.t_ns + seconds * 1_000_000_000)
    return lots


@pytest.mark.parametrize("venue", PARAMS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_plan_equals_the_restatement(market: Market, kind: str, venue: str):
    desk = desk_of(market, kind, **PARAMS[venue])
    seen = {"submits": 0, "cancels": 0, "idle": 0, "refused": 0}
    for number, codes in enumerate(random_codes(desk, 240, seed=1)):
        if kind == "execution" and number % 120 == 0:  # the second half of each round lies behind the deadline
            desk.reset(market.start_ns + (np.arange(LANES) + number // 120) * 15_000_000_000)
            give_tasks(desk)
        intents, counts = desk.plan(codes)
        for lane in range(LANES):
            found = intents[lane, : counts[lane]]
            rows = [
                tuple(int(one[name]) for name in ("kind", "order_id", "side", "tick", "qty", "tif", "reason"))
                for one in found
            ]
            assert rows == reference_quoter.plan_of(desk, lane, codes[lane].tolist()), (number, lane)
            seen["submits"] += int((found["kind"] == INTENT_SUBMIT).sum())
            seen["cancels"] += int((found["kind"] == INTENT_CANCEL).sum())
            seen["refused"] += int((found["reason"] != OK).sum())
            seen["idle"] += len(found) == 0
        desk.commit()
        desk.advance()
    assert seen["submits"] > 100
    assert seen["idle"] > 50
    assert kind == "target" or seen["cancels"] > 100
    assert desk.session.state.lane["fills"].sum() > 20


# -- the maker ---------------------------------------------------------------------------------------------------------


@settings(max_examples=600, deadline=None)
@given(
    bid=st.integers(100, 100_000),
    spread=st.integers(1, 300),
    codes=st.tuples(st.integers(0, 14), st.integers(0, 14), st.integers(0, 4), st.integers(0, 8)),
    position=st.integers(-90, 90),
    unit=st.integers(1, 7),
    lean=st.integers(0, 50),
)
def test_quotes_equal_the_written_geometry(
    bid: int, spread: int, codes: tuple[int, int, int, int], position: int, unit: int, lean: int
):
    table = tuple(unit * multiple for multiple in OFFSET_MULTIPLES)
    none = np.zeros(1, np.int64)
    values = QuoterValues(KIND_MAKER, 90, 3, 0, none, none, 90, np.array(table, np.int64), lean, none, 1)
    ask = bid + spread
    found = maker_quotes(values, np.array(codes, np.int32), position, bid, ask)
    spec = SimpleNamespace(offset_ticks=table, lean_ticks=lean, position_lots_max=90, order_lots=3)
    sheet: Any = SimpleNamespace(
        desk=SimpleNamespace(spec=spec), seen=SimpleNamespace(bid=bid, ask=ask, position=position)
    )
    wanted, qty = reference_quoter._maker(sheet, *codes)
    assert found.qty == qty
    assert found.bid == (max(0, wanted[BUY][0]) if wanted[BUY] else 0)
    assert found.ask == (wanted[SELL][0] if wanted[SELL] else 0)
    assert found.bid < ask
    assert found.ask > bid or found.ask == 0
    assert found.bid < found.ask or found.ask == 0  # own orders never meet
    if codes[0] == NO_QUOTE:
        assert found.bid == 0


def test_the_centre_leans_against_the_inventory(market: Market):
    spec = DeskSpec.for_market(market, "maker", offset_ticks=(1000,) * 14, lean_ticks=100)
    limit = spec.position_lots_max
    asks = {}
    for position in (-limit, 0, limit):
        for lean in range(9):
            codes = np.array([0, 0, 0, 0], np.int32)
            codes[CODE_LEAN] = lean
            asks[position, lean] = maker_quotes(spec.quoter_values, codes, position, 50_000, 50_000 + 8).ask
    assert len({asks[0, lean] for lean in range(9)}) == 1
    assert asks[limit, 8] < asks[0, 0] < asks[-limit, 8]
    assert asks[limit, 0] == asks[0, 0] == asks[-limit, 0]


def test_a_second_maker_plan_has_nothing_to_say_and_one_order_stands_a_side(market: Market):
    desk = desk_of(market, "maker")
    for codes in random_codes(desk, 120, seed=3):
        desk.plan(codes)
        desk.commit()
        assert not desk.plan(codes)[1].any()
        for lane in range(LANES):
            own = [one for one in reference_quoter.seen_by(desk, lane).own if not one.leaving]
            for side, code in ((BUY, codes[lane, 0]), (SELL, codes[lane, 1])):
                count = sum(one.side == side for one in own)
                assert count <= (0 if code == NO_QUOTE else 1)
        desk.advance()
    assert (np.abs(desk.session.state.lane["position"]) <= desk.spec.position_lots_max).all()


# -- the parent order --------------------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(
    pace=st.sampled_from([0, 2, 4, 6, 8, 10, 12, 16, 32]),
    pool=st.integers(0, 1 << 36),
    length=st.integers(1, 90_000_000_000_000),
    share=st.floats(0, 1),
    interval=st.integers(1000, 3_600_000_000_000),
)
def test_slices_equal_the_written_rule(pace: int, pool: int, length: int, share: float, interval: int):
    start = 1_700_000_000_000_000_000
    t_ns = start + int(share * (length - 1))
    task = {"start_ns": start, "end_ns": start + length}
    expected = reference_quoter.slice_lots(reference_quoter.Fraction(pace, 8), pool, task, t_ns, interval)
    assert slice_lots(pace, pool, start, start + length, t_ns, interval) == expected
    assert slice_lots(SLICE_ALL, pool, start, start + length, t_ns, interval) == pool


@pytest.mark.parametrize("lots", [1, 7, 50, 480, 600, 601, 5_000, 1_000_003])
def test_the_even_pace_is_even_and_ends_on_time(lots: int):
    interval, steps = 500_000_000, 600
    end = steps * interval
    done = 0
    for number in range(steps):
        done += slice_lots(8, lots - done, 0, end, number * interval, interval)
        # A share of the time is a whole number of 2^-20: of 1/600 that is right to 6 in 10,000.
        assert abs(done - lots * (number + 1) / steps) <= 3 + lots * 6e-4, number
    assert done == lots


def test_half_and_double_pace_fall_behind_and_run_ahead():
    interval, steps, lots = 500_000_000, 600, 10_000
    sent = {}
    for eighths in (0, 4, 8, 16):
        done = 0
        for number in range(steps // 2):
            done += slice_lots(eighths, lots - done, 0, steps * interval, number * interval, interval)
        sent[eighths] = done / lots
    assert sent[0] == 0
    # The pool follows (1 - time)^pace: at half time 1 - 0.5 ** pace is sent.
    for eighths, share in ((4, 1 - 0.5**0.5), (8, 0.5), (16, 0.75)):
        assert sent[eighths] == pytest.approx(share, abs=0.03)


@pytest.mark.parametrize("venue", PARAMS)
def test_a_parent_is_never_overfilled_whatever_the_codes(market: Market, venue: str):
    desk = desk_of(market, "execution", **PARAMS[venue])
    completed = 0
    for seed in range(3):
        desk.reset(market.start_ns + (np.arange(LANES) + 2 * seed) * 15_000_000_000)
        lots = give_tasks(desk, lots=40)
        for codes in random_codes(desk, 100, seed=seed):
            desk.step(codes)
            done = SIDES * desk.session.state.lane["position"]
            assert (done >= 0).all()
            assert (done <= lots).all()
        completed += int((done == lots).sum())
    assert completed >= 6


def test_the_even_pace_that_takes_is_done_at_the_deadline_and_not_before(market: Market):
    desk = desk_of(market, "execution")
    lots = give_tasks(desk, seconds=10)
    codes = np.tile(np.array([5, 5], np.int32), (LANES, 1))
    done = []
    for _ in range(100):
        desk.step(codes)
        done.append(SIDES * desk.session.state.lane["position"])
    shares = np.array(done) / lots
    even = (np.arange(100)[:, None] + 1) / 100
    assert np.abs(shares - even).max() < 0.1
    assert shares[-1] == pytest.approx(np.ones(LANES), abs=0.02)


def test_resting_children_keep_their_place_while_the_best_stays(market: Market):
    desk = desk_of(market, "execution", behind_ticks=(40, 30), position_lots_max=5_000)
    desk.reset(market.start_ns + (np.arange(LANES) + 1) * 15_000_000_000)  # the first book is a shallow one
    give_tasks(desk)
    codes = np.tile(np.array([5, 0], np.int32), (LANES, 1))
    desk.step(codes)
    first = {lane: desk.session.orders(lane)["id"][0] for lane in range(LANES)}
    bests = [desk.session.bests(lane) for lane in range(LANES)]
    desk.step(codes)
    stayed = 0
    for lane in range(LANES):
        ids = desk.session.orders(lane)
        if bests[lane] == desk.session.bests(lane):
            assert first[lane] in ids["id"]
            assert len(ids) == 2
            assert (ids["tif"] == GTX).all()
            stayed += 1
    desk.step(np.tile(np.array([0, 0], np.int32), (LANES, 1)))
    assert all(len(desk.session.orders(lane)) == 0 for lane in range(LANES))
    assert stayed > 0


def test_nothing_is_sent_without_a_task_or_after_the_deadline(market: Market):
    desk = desk_of(market, "execution")
    eager = np.tile(np.array([10, 5], np.int32), (LANES, 1))
    assert not desk.plan(eager)[1].any()
    give_tasks(desk, seconds=1)
    intents, counts = desk.plan(eager)
    assert (counts == 1).all()
    assert (intents[:, 0]["tif"] == IOC).all()
    desk.session.advance(desk.t_ns + 1_000_000_000)
    assert not desk.plan(eager)[1].any()
    desk.reset(market.start_ns)
    assert not desk.tasks["lots"].any()


def test_tasks_that_make_no_sense_are_refused(market: Market):
    desk = desk_of(market, "execution")
    limit, later = desk.spec.position_lots_max, desk.t_ns + 1
    for side, lots, end in ((0, 1, later), (BUY, 0, later), (BUY, limit + 1, later), (SELL, 1, desk.t_ns)):
        with pytest.raises(ParamsError, match="task"):
            desk.assign(side, lots, end)
    with pytest.raises(ParamsError, match="integer"):
        desk.assign(BUY, 1.5, later)
    with pytest.raises(ParamsError, match="kind 'execution'"):
        desk_of(market, "maker").assign(BUY, 1, later)
    mask = np.array([True, False, False, False])
    desk.assign(SELL, limit, later, mask)
    assert desk.tasks["side"].tolist() == [SELL, 0, 0, 0]
    assert desk.tasks["arrival2"][0] == desk.mid2(0)
    holding = desk.spec.risk.replace(short=False)
    long_only = desk.spec.replace(risk=holding, targets=(0.0, 1.0))
    with pytest.raises(ParamsError, match="nothing to sell"):
        Desk(long_only, market, LANES).assign(SELL, 1, market.end_ns)
