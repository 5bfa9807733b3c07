"""Goal: whatever a user hands to a session either works or ends in a typed error that says what was expected.

Method: a market of three messages and a synthetic minute, and calls as odd as users make them. Kernels check nothing,
so what must never happen is that one of these numbers reaches a kernel.
"""

from __future__ import annotations

import copy
import gc
import pickle
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from lobgym.sim import handle, kernel
from lobgym.sim.errors import (
    CapacityError,
    LedgerOverflowError,
    ParamsError,
    SessionError,
    TapeExhaustedError,
    TimeReversedError,
    UnknownOrderError,
)
from lobgym.sim.market import Market
from lobgym.sim.params import SimParams
from lobgym.sim.queue import LOTS_MAX
from lobgym.sim.records import BUY, GTC, GTX, IOC, MARKET, REJECTED, SELL, UNKNOWN_LEVEL
from lobgym.sim.session import Session
from lobgym.sim.synthetic import synthetic_tape
from lobgym.sim.tape import Tape

MS = 1_000_000
NAN = float("nan")
Driven = Callable[[Session], Any]


@pytest.fixture(scope="module")
def market() -> Market:
    return Market.compile(synthetic_tape(seed=3, minutes=1))


@pytest.fixture
def session(market: Market) -> Session:
    return Session(market, SimParams(entry_ns=MS, response_ns=MS), lanes=3, log="full", log_rows=64)


def state_of(session: Session) -> list[bytes]:
    return [array.tobytes() for array in session.state] + [session._defaults.tobytes()]


# -- lanes -------------------------------------------------------------------------------------------------------------

USES_OF_A_LANE: dict[str, Callable[[Session, Any], Any]] = {
    "submit": lambda s, lane: s.submit(lane, BUY, 5, 1),
    "cancel": lambda s, lane: s.cancel(lane, 1),
    "modify": lambda s, lane: s.modify(lane, 1, 5, 1),
    "wait": lambda s, lane: s.wait(lane, 1, MS),
    "advance_to_feed": lambda s, lane: s.advance_to_feed(lane),
    "t_ns": lambda s, lane: s.t_ns(lane),
    "orders": lambda s, lane: s.orders(lane),
    "account": lambda s, lane: s.account(lane),
    "bests": lambda s, lane: s.bests(lane),
    "exchange bests": lambda s, lane: s.bests(lane, at_exchange=True),
    "ladder": lambda s, lane: s.ladder(lane, BUY, 3),
    "digest": lambda s, lane: s.digest(lane),
}


@pytest.mark.parametrize("use", USES_OF_A_LANE)
@pytest.mark.parametrize("lane", [-1, 3, 1 << 40, 1 << 70, np.int8(-1), 0.0, NAN, "0", None, [0]], ids=repr)
def test_a_lane_that_is_none(session: Session, use: str, lane: Any) -> None:
    before = state_of(session)
    with pytest.raises(SessionError, match=r"lane must be (from 0 to 2|an integer), got"):
        USES_OF_A_LANE[use](session, lane)
    assert state_of(session) == before


@pytest.mark.parametrize("number", [np.int8, np.uint16, np.int64, np.uint64, int])
def test_any_integer_will_do(session: Session, number: Callable[[int], Any]) -> None:
    bid, _ = session.bests(number(2))
    assert bid is not None
    order = session.submit(number(2), BUY, np.int64(bid), np.int32(7), np.int16(GTX), reduce_only=np.False_)
    assert session.wait(number(2), np.int64(order), np.int64(5 * MS))
    session.advance(np.uint64(max(session.t_ns(lane) for lane in range(3)) + 1))
    assert session.orders(number(2))["leaves"].tolist() == [7]
    assert len(handle.submit.signatures) == 1  # nothing was compiled anew for numpy's integers


# -- orders ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "tick", "qty", "tif"),
    [
        (0, 9, 1, GTC),
        (2, 9, 1, GTC),
        ("buy", 9, 1, GTC),
        (BUY, 0, 1, GTC),
        (BUY, -9, 1, GTC),
        (BUY, 1 << 62, 1, GTC),
        (BUY, 1 << 80, 1, GTC),
        (BUY, 9.0, 1, GTC),
        (BUY, NAN, 1, GTC),
        (BUY, Decimal("9.5"), 1, GTC),
        (BUY, None, 1, GTC),
        (BUY, 9, 0, GTC),
        (BUY, 9, -1, GTC),
        (BUY, 9, 1.5, GTC),
        (BUY, 9, NAN, IOC),
        (BUY, 9, 1, -1),
        (BUY, 9, 1, 5),
        (BUY, 9, 1, 1 << 70),
        (BUY, 9, 1, "GTC"),
        (BUY, NAN, 1, MARKET),
        (BUY, 0, 0, MARKET),
    ],
)
def test_orders_that_are_none(session: Session, side: Any, tick: Any, qty: Any, tif: Any) -> None:
    before = state_of(session)
    with pytest.raises(SessionError, match="an order needs side 1 or -1, tif 0 to 4, tick and qty integers"):
        session.submit(0, side, tick, qty, tif)
    assert state_of(session) == before


@pytest.mark.parametrize(
    ("tick", "qty", "tif"),
    [(1, LOTS_MAX, GTC), (1, 1 << 80, GTC), (9, LOTS_MAX, MARKET), (1 << 50, 1 << 30, IOC), ((1 << 62) - 1, 9, GTX)],
)
def test_orders_beyond_the_ledger(session: Session, tick: int, qty: int, tif: int) -> None:
    before = state_of(session)
    with pytest.raises(LedgerOverflowError, match="order less"):
        session.submit(0, BUY, tick, qty, tif)
    assert state_of(session) == before


def test_an_order_far_away_is_refused_by_the_market_not_by_python(session: Session) -> None:
    session.submit(0, SELL, (1 << 40), 1)
    session.advance(session.t_ns() + 5 * MS)
    last = session.drain_log()[-1]
    assert (last["kind"], last["reason"]) == (REJECTED, UNKNOWN_LEVEL)


@pytest.mark.parametrize("order_id", [0, -1, 2, 1 << 62])
@pytest.mark.parametrize("ask", ["cancel", "modify", "wait"])
def test_orders_that_never_were(session: Session, ask: str, order_id: int) -> None:
    session.submit(0, BUY, 9, 1)
    calls: dict[str, Driven] = {
        "cancel": lambda s: s.cancel(0, order_id),
        "modify": lambda s: s.modify(0, order_id, 9, 1),
        "wait": lambda s: s.wait(0, order_id, MS),
    }
    with pytest.raises(UnknownOrderError, match=f"lane 0 has no order {order_id}"):
        calls[ask](session)


@pytest.mark.parametrize("order_id", [1.0, NAN, None, "1", 1 << 64])
def test_ids_that_are_none(session: Session, order_id: Any) -> None:
    session.submit(0, BUY, 9, 1)
    with pytest.raises(SessionError, match="order_id must be"):
        session.cancel(0, order_id)


def test_an_order_of_another_lane(session: Session) -> None:
    session.submit(0, BUY, 9, 1)
    order = session.submit(0, BUY, 9, 1)
    with pytest.raises(UnknownOrderError, match="lane 1 has no order 2"):
        session.cancel(1, order)


def test_the_life_of_an_order_and_asking_beyond_it(session: Session) -> None:
    bid, _ = session.bests()
    assert bid is not None
    order = session.submit(0, BUY, bid - 5, 1)
    session.modify(0, order, bid - 6, 1)  # before anything is known of it
    assert session.wait(0, order, 50 * MS)
    session.cancel(0, order)
    session.cancel(0, order)  # under way: sends nothing
    while any(session.orders()["id"] == order):
        session.wait(0, order, 50 * MS)
    for ask in (
        lambda: session.cancel(0, order),
        lambda: session.modify(0, order, bid, 1),
        lambda: session.wait(0, order, MS),
    ):
        with pytest.raises(UnknownOrderError, match="done and forgotten"):
            ask()
    assert session.state.lane["cancels"][0] == 1


@pytest.mark.parametrize(("tick", "qty"), [(0, 1), (9, 0), (9.5, 1), (9, NAN), (None, 1), (1 << 62, 1)])
def test_modifies_that_are_none(session: Session, tick: Any, qty: Any) -> None:
    order = session.submit(0, BUY, 9, 1)
    before = state_of(session)
    with pytest.raises(SessionError, match="an order needs"):
        session.modify(0, order, tick, qty)
    with pytest.raises(LedgerOverflowError):
        session.modify(0, order, 9, LOTS_MAX)
    assert state_of(session) == before


# -- time --------------------------------------------------------------------------------------------------------------


def test_times_that_are_none(session: Session) -> None:
    t_ns = session.t_ns() + 10
    before = state_of(session)
    for wrong in (float(t_ns), NAN, None, "soon", [t_ns], [t_ns] * 4, [[t_ns] * 3], [float(t_ns)] * 3, 1 << 70, []):
        with pytest.raises(SessionError, match="t_ns must"):
            session.advance(wrong)
    with pytest.raises(SessionError, match="t_ns must"):
        session.advance(np.full(3, 1 << 63, np.uint64))
    assert state_of(session) == before
    session.advance(np.array([t_ns + k for k in range(3)])[::-1])
    assert [session.t_ns(lane) - t_ns for lane in range(3)] == [2, 1, 0]


def test_time_goes_forward_within_the_tape(session: Session) -> None:
    start = session.t_ns()
    session.advance(start + 10)
    before = state_of(session)
    with pytest.raises(TimeReversedError, match="lane 1 is at"):
        session.advance([start + 10, start + 9, start + 10])
    with pytest.raises(TapeExhaustedError, match="the tape ends at"):
        session.advance([start + 10, start + 10, session.end_ns + 1])
    assert state_of(session) == before
    session.advance(session.end_ns)
    session.advance(session.end_ns)
    for _ in range(len(session.market.local.ns) - int(session.state.lane["local_cursor"][0])):
        session.advance_to_feed(0)
    with pytest.raises(TapeExhaustedError, match="seen the whole feed"):
        session.advance_to_feed(0)


@pytest.mark.parametrize("timeout", [-1, 1.0, NAN, None, 1 << 63])
def test_timeouts_that_are_none(session: Session, timeout: Any) -> None:
    order = session.submit(0, BUY, 9, 1)
    with pytest.raises(SessionError, match="timeout_ns must be"):
        session.wait(0, order, timeout)


def test_waiting_ends_with_the_tape(session: Session) -> None:
    bid, _ = session.bests()
    assert bid is not None
    session.reset(session.end_ns - MS // 2)
    order = session.submit(0, BUY, bid - 50, 1)
    assert not session.wait(0, order, (1 << 63) - 1)
    assert session.t_ns() == session.end_ns


# -- resets ------------------------------------------------------------------------------------------------------------


def test_resets_that_are_none(session: Session) -> None:
    before = state_of(session)
    start = session.market.start_ns
    for starts in (float(start), NAN, [start], [start] * 4, "now"):
        with pytest.raises(SessionError, match="start_ns must"):
            session.reset(starts)
    for seed in (-1, 1.5, [1, 2], [-1, 0, 0], 1 << 64, "7"):
        with pytest.raises(SessionError, match="seed must"):
            session.reset(seed=seed)
    for mask in (np.ones(2, bool), np.ones(4, bool), True, [1, 0, 1], np.ones((3, 1), bool)):
        with pytest.raises(SessionError, match="mask must be bool"):
            session.reset(mask=mask)
    with pytest.raises(TapeExhaustedError, match="lane 2 cannot start"):
        session.reset([start, start, session.end_ns + 1])
    assert state_of(session) == before


def test_resets_that_work(session: Session) -> None:
    session.reset(seed=(1 << 64) - 1)
    assert [session.digest(lane) for lane in range(3)] == ["f" * 16, f"{0:016x}", f"{1:016x}"]
    session.reset(seed=np.array([5, (1 << 64) - 1, 7], np.uint64))
    assert session.digest(1) == "f" * 16
    session.reset(seed=[9, 8, 7], mask=[False, True, False])
    assert session.digest(1) == f"{8:016x}"
    session.reset(session.end_ns, mask=np.array([True, False, True, False, True, False])[::2])
    assert session.t_ns(2) == session.end_ns


# -- shapes, parameters of lanes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("lanes", [0, -1, 1.0, NAN, None, "2", 1 << 40])
def test_numbers_of_lanes_that_are_none(market: Market, lanes: Any) -> None:
    with pytest.raises(ParamsError, match="lanes must be"):
        Session(market, lanes=lanes)


def test_sessions_that_cannot_be(market: Market, small_tape: Tape) -> None:
    with pytest.raises(SessionError, match=r"Market\.compile\(tape\); got Tape"):
        Session(small_tape)  # type: ignore[arg-type]
    with pytest.raises(ParamsError, match="params must be a SimParams, got dict"):
        Session(market, {"entry_ns": 5})  # type: ignore[arg-type]
    for log, rows in (("fills", 0), ("off", 5), ("all", 5)):
        with pytest.raises(ParamsError, match="log must be one of off, fills, full, with log_rows unless off"):
            Session(market, log=log, log_rows=rows)
    with pytest.raises(ParamsError, match="log_rows must be"):
        Session(market, log="fills", log_rows=1.5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("entry_ns", 0.5),
        ("entry_ns", NAN),
        ("entry_ns", -1),
        ("response_ns", [1, 2]),
        ("feed_delay_ns", 1 << 62),
        ("queue_model", 99),
        ("queue_power", "3"),
        ("colour", 1),
        ("capital", 5),  # no margin is asked for here
    ],
)
def test_parameters_that_lanes_cannot_have(session: Session, name: str, value: Any) -> None:
    before = state_of(session)
    with pytest.raises(ParamsError, match=name):
        session.vary(**{"entry_ns": 7, name: value})
    assert state_of(session) == before


def test_fees_that_follow_tiers_cannot_vary(market: Market) -> None:
    session = Session(market, SimParams(fee_tiers=((0, 100, 200), (10**12, 50, 100))))
    with pytest.raises(ParamsError, match="follows fee tiers"):
        session.vary(maker_fee_ppb=1)


def test_lanes_have_parameters_of_their_own(session: Session) -> None:
    session.vary(entry_ns=[MS, 2 * MS, 3 * MS], maker_fee_ppb=np.int32(5))
    assert (session.state.lane["entry_ns"] == MS).all()  # from the next reset on
    session.reset()
    assert session.state.lane["entry_ns"].tolist() == [MS, 2 * MS, 3 * MS]
    assert session.clone().state.lane["maker_fee_ppb"].tolist() == [5, 5, 5]


# -- books, log, errors of lanes ---------------------------------------------------------------------------------------


def test_ladders(session: Session) -> None:
    for side in (0, 2, 1.0, NAN):
        with pytest.raises(SessionError, match="side must be"):
            session.ladder(0, side, 3)  # type: ignore[arg-type]
    for depth in (-1, 2.0, NAN):
        with pytest.raises(SessionError, match="depth must be"):
            session.ladder(0, BUY, depth)  # type: ignore[arg-type]
    assert session.ladder(0, SELL, 0).shape == (0, 2)
    session.advance(session.t_ns() + 10_000 * MS)
    whole = session.ladder(0, SELL, 1 << 60)
    assert len(whole) > 20
    assert (session.ladder(0, SELL, 5) == whole[:5]).all()


def test_a_session_without_a_log_says_so(market: Market) -> None:
    for drain in (Session.drain_log, Session.drain_fills):
        with pytest.raises(SessionError, match="keeps no log"):
            drain(Session(market))


def test_a_full_log_stops_its_lane_and_no_other(market: Market) -> None:
    session = Session(market, SimParams(entry_ns=MS, response_ns=MS), lanes=2, log="full", log_rows=3)
    order = session.submit(1, BUY, 9, 1)
    for _ in range(2):
        session.submit(0, BUY, 9, 1)
    with pytest.raises(CapacityError, match=r"lane 0 is out of room for rows of the event log \(raise log_rows"):
        session.submit(0, BUY, 9, 1)
    for stopped in (lambda: session.submit(0, BUY, 9, 1), session.check, lambda: session.advance(session.t_ns())):
        with pytest.raises(CapacityError, match="lane 0"):
            stopped()
    assert len(session.drain_log()) == 3
    assert session.wait(1, order, 5 * MS)  # the other lane goes on
    session.reset(session.t_ns(1), mask=[True, False])
    session.advance(session.t_ns(1) + MS)
    session.check()


def test_bounded_tables(market: Market) -> None:
    session = Session(market, SimParams(max_orders=2, max_requests=3))
    order = session.submit(0, BUY, 9, 1)
    session.submit(0, BUY, 9, 1)
    with pytest.raises(CapacityError, match="all 2 order slots"):
        session.submit(0, BUY, 9, 1)
    session.cancel(0, order)
    with pytest.raises(CapacityError, match="requests in flight"):
        session.modify(0, order, 9, 1)


def test_an_amount_beyond_the_ledger_stops_the_lane(market: Market) -> None:
    session = Session(market)
    session.state.lane["position"] = 1 << 61
    with pytest.raises(LedgerOverflowError, match="worth more"):
        session.account()


# -- copies, and who keeps what alive ----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s)), Session.clone])
def test_a_copy_drives_lanes_of_its_own(session: Session, how: Callable[[Session], Session]) -> None:
    session.vary(entry_ns=[5, 6, 7])
    session.submit(0, BUY, 9, 1)
    before = state_of(session)
    twin = how(session)
    assert state_of(twin) == before
    twin.advance(twin.end_ns)
    twin.submit(1, SELL, 9, 1)
    assert state_of(session) == before


def test_snapshots_of_something_else(session: Session, market: Market) -> None:
    for other in (Session(market), Session(market, SimParams(max_orders=9), 3, "full", 64)):
        with pytest.raises(SessionError, match="another market, or with other lanes"):
            session.restore(other.snapshot())
    with pytest.raises(SessionError, match="what snapshot"):
        session.restore(b"")  # type: ignore[arg-type]


def test_a_world_keeps_its_arrays(market: Market) -> None:
    def made() -> Any:
        return Session(market, lanes=1000).world

    world = made()
    gc.collect()
    filler = [np.full(1 << 20, 7, np.int64) for _ in range(8)]
    kernel.advance(world, 999, market.end_ns)
    assert kernel.submit(world, 999, BUY, 9, 1, GTC, 0) == 1
    assert all((array == 7).all() for array in filler)
