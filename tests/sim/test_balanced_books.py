"""Books that balance after every step: hypothesis draws markets and orders where everything happens at once."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from lobgym.sim import records as rec
from lobgym.sim.instrument import SYNTH
from lobgym.sim.market import Market
from lobgym.sim.params import SimParams
from lobgym.sim.session import Session
from tests.sim.calendars import (
    ASK,
    AT_ONCE,
    BASE,
    BID,
    INVERSE,
    MS,
    RICH,
    answers,
    depth,
    mark,
    market_of,
    open_session,
    settlement,
    status,
    value,
)

PRICES = st.integers(BID - 3, ASK + 3)
STEPS = st.sampled_from((0, MS // 2, MS // 2, MS, 3 * MS))
MESSAGE = st.one_of(
    st.tuples(st.just(rec.DEPTH), st.sampled_from((1, -1)), st.integers(0, 3), st.integers(0, 9)),
    st.tuples(st.just(rec.TRADE), st.sampled_from((1, -1)), PRICES, st.integers(1, 25)),
    st.tuples(st.just(rec.MARK), st.just(0), st.integers(BID - 150, BID + 150), st.just(0)),
    st.tuples(st.just(rec.FUNDING), st.just(0), st.integers(-(10**11), 10**11), st.integers(0, 8)),
    st.tuples(st.just(rec.STATUS), st.just(0), st.integers(0, 1), st.just(0)),
)
ORDER = st.tuples(
    STEPS, st.sampled_from((1, -1)), PRICES, st.integers(1, 15),
    st.sampled_from((rec.GTC, rec.GTC, rec.GTX, rec.IOC, rec.FOK, rec.MARKET)), st.booleans(), st.integers(0, 5),
)  # fmt: skip
ORDERS = st.lists(ORDER, min_size=3, max_size=20)


@st.composite
def markets(draw: st.DrawFn) -> Market:
    instrument = draw(st.sampled_from((SYNTH, INVERSE)))
    after, rows = 0, []
    for k, (step, (kind, side, a, b)) in enumerate(draw(st.lists(st.tuples(STEPS, MESSAGE), min_size=5, max_size=40))):
        after += step
        if kind == rec.DEPTH:
            rows.append(depth(after, side, (BID if side == rec.BUY else ASK) - side * a, b, k + 2))
        elif kind == rec.TRADE:
            rows.append((after, [(kind, side, a, b, k)]))
        elif kind == rec.MARK:
            rows.append(mark(after, a, instrument))
        elif kind == rec.FUNDING:
            rows.append(settlement(after + b * MS, a, told=after))
        else:
            rows.append(status(after, a))
    return market_of(rows, instrument, after + 30 * MS)


VENUES = st.builds(
    lambda capital, maker, jitter: AT_ONCE.replace(
        entry_ns=jitter, response_ns=2 * jitter, capital=capital, maker_fee_ppb=maker,
        fee_tiers=None if maker is None else ((0, maker, 500_001), (10**8, -10_001, 300_003)),
        margin_tiers=((0, 50_000, 25_000), (5 * 10**7, 100_000, 75_000)),
    ),
    st.sampled_from((None, RICH, 10**7, 5 * 10**6)),
    st.sampled_from((None, 77_777)),
    st.sampled_from((0, 1, MS)),
)  # fmt: skip


def act(session: Session, order: tuple[int, int, int, int, int, bool, int]) -> None:
    _, side, tick, qty, tif, reduce_only, which = order
    known = [int(one["id"]) for one in session.orders() if not one["cancel_sent"]]
    if which == 0 and known:
        session.cancel(0, known[0])
    elif which == 1 and known:
        session.modify(0, known[-1], tick, qty)
    else:
        session.submit(0, side, tick, qty, tif, reduce_only)


@given(markets(), VENUES, ORDERS)
@settings(max_examples=150, deadline=None)
def test_books_balance_after_every_step(market: Market, params: SimParams, orders: list[Any]) -> None:
    session = open_session(market, params)
    mid = Fraction(BID + ASK, 2)
    rows: list[Any] = []
    for order in [*orders, None, None]:
        step = order[0] if order else 20 * MS
        session.advance(min(session.t_ns() + step, session.end_ns))
        rows += answers(session)
        fills = [row for row in rows if row["kind"] == rec.FILL]
        account = session.account()
        assert account.position_lots == sum(int(row["side"]) * int(row["qty"]) for row in fills)
        assert account.cash == sum(int(row["cash"]) for row in fills)
        assert account.fees == sum(int(row["fee"]) for row in fills)
        assert account.funding == -sum(int(row["cash"]) for row in rows if row["kind"] == rec.FUNDED)
        worth = value(market.instrument, account.position_lots, mid)
        lane = session.state.lane[0]
        unrealised = worth - int(lane["open_cost"])
        assert account.cash + worth == account.realised + unrealised
        assert account.position_lots != 0 or lane["open_cost"] == 0
        assert lane["turnover"] == sum(abs(int(row["cash"])) for row in fills)
        live = session.orders()[session.orders()["state"] == rec.LIVE]
        for side, name in ((rec.BUY, "open_bid"), (rec.SELL, "open_ask")):
            assert lane[name] == live["leaves"][live["side"] == side].sum()
        if order:
            act(session, order)
    if not session.state.lane[0]["response_count"]:
        account = session.account()
        seen = account.view_position_lots, account.view_cash, account.view_fees, account.view_funding
        assert seen == (account.position_lots, account.cash, account.fees, account.funding)


@given(markets(), VENUES, ORDERS)
@settings(max_examples=80, deadline=None)
def test_small_steps_and_large_ones_a_full_scan_and_a_copy_agree(
    market: Market, params: SimParams, orders: list[Any]
) -> None:  # fmt: skip
    plain = open_session(market, params)
    scanned = Session(market, params, 1, log="full", log_rows=4096, full_scan=True)
    scanned.reset(BASE)
    sessions = [plain, open_session(market, params), scanned]
    for k, order in enumerate(orders):
        target = min(plain.t_ns() + order[0], plain.end_ns)
        for ns in range(plain.t_ns() + MS // 4, target, MS // 4):
            sessions[1].advance(ns)
        if k == len(orders) // 2:
            sessions.append(plain.clone())
        for session in sessions:
            session.advance(target)
            act(session, order)
    for session in sessions:
        session.advance(session.end_ns)
    assert len({(session.digest(), session.account()) for session in sessions}) == 1


@given(markets(), VENUES, ORDERS, st.integers(0, 30))
@settings(max_examples=80, deadline=None)
def test_starting_there_is_going_there(market: Market, params: SimParams, orders: list[Any], after: int) -> None:
    start = min(BASE + after * MS // 2, market.end_ns)
    there = open_session(market, params)
    there.reset(start)
    gone = open_session(market, params)
    gone.advance(start)
    for session in (there, gone):
        for order in orders:
            session.advance(min(session.t_ns() + order[0], session.end_ns))
            act(session, order)
        session.advance(session.end_ns)
    assert (there.digest(), there.account()) == (gone.digest(), gone.account())
