"""Funding, halts, margin and liquidation as lanes meet them.

Goal: each payment to the unit, each check at its stamp and on its side of the limit, and books that balance after every
step. Method: a market made by hand, three levels a side, whose calendar each test writes; amounts are restated as
fractions. Hypothesis then draws markets and orders where everything happens at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lobgym.sim import records as rec
from lobgym.sim.instrument import SYNTH, Instrument, find_instrument
from lobgym.sim.market import Market
from lobgym.sim.params import SimParams
from lobgym.sim.session import Session
from lobgym.sim.tape import Tape
from lobgym.sim.tiers import FeeTier, MarginTier

MS = 1_000_000
SECOND = 1000 * MS
BASE = 1000 * SECOND + MS // 2  # no whole second
INVERSE = find_instrument("binance-coinm", "BTCUSD_PERP")
SPOT = find_instrument("binance-spot", "BTCUSDT")
KINDS = pytest.mark.parametrize("instrument", [SYNTH, INVERSE], ids=["linear", "inverse"])
SIDES = pytest.mark.parametrize("side", [rec.BUY, rec.SELL], ids=["long", "short"])

BID, ASK, LOTS = 1000, 1001, 10
TIERS = ((0, 100_000, 50_000),)
AT_ONCE = SimParams(entry_ns=0, response_ns=0, margin_tiers=TIERS, liquidation_fee_ppb=3_000_000)
RICH = 1 << 58

Rows = Sequence[tuple[int, int, int, int, int]]  # kind, side, tick, qty, seq


def market_of(later: Iterable[tuple[int, Rows]], instrument: Instrument = SYNTH, end: int = 20 * SECOND) -> Market:
    """Three levels a side at BASE, then messages at (ns after BASE, rows), and a last row of no meaning at `end`."""
    book = [(rec.SNAPSHOT, rec.BUY, BID - k, LOTS, 1) for k in range(3)]
    book += [(rec.SNAPSHOT, rec.SELL, ASK + k, LOTS, 1) for k in range(3)]
    rows = []
    for after, message in [(0, [(rec.CLEAR, 0, 0, 0, 1), *book]), *later, (end, [(rec.INDEX, 0, 0, 1, 0)])]:
        for k, (kind, side, tick, qty, seq) in enumerate(message):
            last = rec.LAST if k + 1 == len(message) else 0
            rows.append((BASE + after, BASE + after, seq, tick, qty, kind, side, last))
    return Market.compile(Tape(np.array(rows, rec.EVENT_DTYPE), instrument))


def at_ms(after: int) -> int:
    """The settlement time, in milliseconds, that lies `after` ns behind BASE - MS / 2."""
    return (BASE - MS // 2 + after) // MS


def settlement(after: int, rate: int, told: int = 1) -> tuple[int, Rows]:
    return told, [(rec.FUNDING, 0, 0, rate, at_ms(after))]


def mark(after: int, ticks: Fraction | int, instrument: Instrument = SYNTH) -> tuple[int, Rows]:
    return after, [(rec.MARK, 0, 0, floor(ticks * Fraction(instrument.tick_size) * 10**8), 0)]


def depth(after: int, side: int, tick: int, qty: int, seq: int) -> tuple[int, Rows]:
    return after, [(rec.DEPTH, side, tick, qty, seq)]


def status(after: int, halted: int) -> tuple[int, Rows]:
    return after, [(rec.STATUS, 0, 0, halted, 0)]


def open_session(market: Market, params: SimParams = AT_ONCE, lanes: int = 1) -> Session:
    session = Session(market, params, lanes, log="full", log_rows=4096)
    session.reset(BASE)
    return session


def take(session: Session, side: int, qty: int) -> None:
    """Hold a position of `qty` lots at once."""
    session.submit(0, side, 1, qty, rec.MARKET)
    session.advance(session.t_ns())
    assert session.account().position_lots == side * qty


def answers(session: Session) -> list[Any]:
    log = session.drain_log()
    return [row for row in log if row["kind"] < rec.SENT_SUBMIT]


def said(rows: Iterable[Any]) -> list[tuple[int, int]]:
    return [(int(row["kind"]), int(row["reason"])) for row in rows]


def notional(instrument: Instrument, position: int, ticks: Fraction | int) -> Fraction:
    """Exact and signed, in money units, at a price of `ticks` (cut to 1e-8, as marks are)."""
    price = Fraction(floor(ticks * Fraction(instrument.tick_size) * 10**8), 10**8)
    size = position * Fraction(instrument.lot_size) * Fraction(instrument.contract_size)
    return (size / price if instrument.is_inverse else size * price) / Fraction(instrument.money_unit)


def value(instrument: Instrument, position: int, ticks: Fraction | int) -> int:
    exact = notional(instrument, position, ticks)
    return floor(-exact if instrument.is_inverse else exact)


def needed(instrument: Instrument, position: int, ticks: Fraction | int, ppm: int) -> int:
    return ceil(Fraction(ceil(abs(notional(instrument, position, ticks))) * ppm, 10**6))


# -- funding -----------------------------------------------------------------------------------------------------------


@KINDS
@SIDES
@pytest.mark.parametrize("rate", [123_456_789, -98_765_432, 1, -1, 0])
@pytest.mark.parametrize("marked", [True, False])
def test_funding_is_paid_at_the_mark(instrument: Instrument, side: int, rate: int, marked: bool) -> None:
    ticks = Fraction(99_733, 100) if marked else Fraction(BID + ASK, 2)
    rows = [settlement(5 * SECOND, rate), *([mark(SECOND, ticks, instrument)] if marked else [])]
    session = open_session(market_of(rows, instrument))
    take(session, side, 7)
    answers(session)
    session.advance(BASE + 5 * SECOND - MS // 2 - 1)
    assert session.account().funding == 0
    session.advance(session.t_ns() + 1)
    payment = ceil(notional(instrument, side * 7, ticks) * rate / 10**12)
    account = session.account()
    assert (account.funding, account.view_funding) == (payment, payment)
    (row,) = answers(session)
    assert (row["kind"], row["order_id"], row["side"], row["qty"]) == (rec.FUNDED, 0, 0, 0)
    assert (row["cash"], row["fee"], row["ns"]) == (-payment, 0, session.t_ns())
    cash = account.cash - account.fees - payment
    assert account.equity == cash + value(instrument, side * 7, Fraction(BID + ASK, 2))
    session.advance(session.end_ns)
    assert answers(session) == []


def test_who_holds_nothing_pays_nothing() -> None:
    market = market_of([settlement(5 * SECOND, 10**9)])
    session = open_session(market)
    session.submit(0, rec.BUY, BID, 5)
    session.advance(session.end_ns)
    assert said(answers(session)) == [(rec.ACK, rec.OK)]


def test_the_rate_is_the_last_one_told_before() -> None:
    rows = [settlement(5 * SECOND, 10**9, told=1), settlement(5 * SECOND, 2 * 10**9, told=2)]
    session = open_session(market_of([*rows, settlement(5 * SECOND, 7 * 10**9, told=6 * SECOND)]))
    take(session, rec.BUY, 3)
    session.advance(session.end_ns)
    assert session.account().funding == ceil(notional(SYNTH, 3, Fraction(BID + ASK, 2)) * 2 / 1000)


def test_spot_has_neither_funding_nor_margin() -> None:
    rows = [settlement(5 * SECOND, 10**9), mark(SECOND, 1, SPOT)]
    session = open_session(market_of(rows, SPOT), AT_ONCE.replace(capital=0))
    take(session, rec.BUY, 3)
    session.advance(session.end_ns)
    account = session.account()
    assert (account.funding, account.liquidations, account.position_lots) == (0, 0, 3)


# -- order at one stamp ------------------------------------------------------------------------------------------------


def test_at_one_stamp() -> None:
    """Rows fill first; then the halt, the mark and the funding at it hold; then what arrives is refused."""
    now = 5 * SECOND - MS // 2
    rows = [
        settlement(5 * SECOND, 10**9),
        mark(now, 1100),
        (now, [(rec.TRADE, rec.SELL, BID, LOTS + 4, 5)]),
        status(now, 1),
        mark(now, 1200),
    ]
    session = open_session(market_of(rows), AT_ONCE.replace(entry_ns=1))
    session.submit(0, rec.BUY, BID, 9)
    session.advance(BASE + now - 1)
    session.submit(0, rec.BUY, BID, 1)
    session.advance(BASE + now)
    got = answers(session)
    assert said(got) == [(rec.ACK, rec.OK), (rec.FILL, rec.OK), (rec.FUNDED, rec.OK), (rec.REJECTED, rec.HALTED)]
    assert [int(row["ns"]) for row in got[1:]] == [BASE + now] * 3
    assert session.account().position_lots == 4
    assert session.account().funding == ceil(notional(SYNTH, 4, 1200) / 1000)


def test_funding_can_be_what_is_too_much() -> None:
    """The check of the same stamp sees the payment: with a unit more of capital nothing happens."""
    now = 5 * SECOND - MS // 2
    market = market_of([settlement(5 * SECOND, 10**10), mark(1, 1000), mark(now, 1000)])
    probe = open_session(market)
    take(probe, rec.BUY, 8)
    probe.advance(BASE + now)
    account = probe.account()
    assert account.funding == ceil(notional(SYNTH, 8, 1000) / 100)
    spare = account.cash - account.fees - account.funding + value(SYNTH, 8, 1000)
    limit = needed(SYNTH, 8, 1000, 50_000) - spare
    for capital, liquidations in ((limit, 0), (limit - 1, 1)):
        session = open_session(market, AT_ONCE.replace(margin_tiers=((0, 50_000, 50_000),), capital=capital))
        take(session, rec.BUY, 8)
        session.advance(BASE + now)
        assert session.account().liquidations == liquidations


# -- halts -------------------------------------------------------------------------------------------------------------


def test_a_halt_refuses_orders_and_lets_cancels_pass() -> None:
    session = open_session(market_of([status(SECOND, 1), status(2 * SECOND, 1), status(3 * SECOND, 0)]))
    first = session.submit(0, rec.BUY, BID, 5)
    second = session.submit(0, rec.BUY, BID - 1, 5)
    session.advance(BASE + SECOND)
    for tif in (rec.GTC, rec.GTX, rec.IOC, rec.FOK, rec.MARKET):
        session.submit(0, rec.BUY, BID, 1, tif)
    session.modify(0, first, BID, 3)
    session.cancel(0, second)
    session.advance(BASE + 2 * SECOND)
    refused = [(rec.REJECTED, rec.HALTED)] * 5 + [(rec.MODIFY_REJECTED, rec.HALTED), (rec.CANCELLED, rec.OK)]
    assert said(answers(session))[2:] == refused
    session.advance(BASE + 3 * SECOND)
    session.modify(0, first, BID, 3)
    session.submit(0, rec.BUY, BID, 1)
    session.advance(session.end_ns)
    assert said(answers(session)) == [(rec.MODIFIED, rec.OK), (rec.ACK, rec.OK)]


def test_what_rests_trades_on_in_a_halt() -> None:
    session = open_session(market_of([status(SECOND, 1), (2 * SECOND, [(rec.TRADE, rec.SELL, BID, 12, 5)])]))
    session.submit(0, rec.BUY, BID, 5)
    session.advance(session.end_ns)
    assert session.account().position_lots == 2


# -- margin of an order ------------------------------------------------------------------------------------------------


@KINDS
@SIDES
def test_an_order_needs_its_initial_margin(instrument: Instrument, side: int) -> None:
    mid = Fraction(BID + ASK, 2)
    tick = BID if side == rec.BUY else ASK
    need = needed(instrument, 12, mid, 100_000)
    for capital, kind in ((need, rec.ACK), (need - 1, rec.REJECTED)):
        session = open_session(market_of([], instrument), AT_ONCE.replace(capital=capital))
        session.submit(0, side, tick, 5)
        session.submit(0, -side, ASK + BID - tick, 11)  # the other side is smaller: it asks for nothing more
        session.submit(0, side, tick - side, 7)
        session.advance(BASE)
        assert said(answers(session))[2] == (kind, rec.OK if kind == rec.ACK else rec.MARGIN)


def withdrawn(after: int, side: int, far: int) -> tuple[int, Rows]:
    """All that stood on a side goes, and 50 lots at `far` remain."""
    best = BID if side == rec.BUY else ASK
    return after, [*((rec.DEPTH, side, best - side * k, 0, 2) for k in range(3)), (rec.DEPTH, side, far, 50, 2)]


@SIDES
def test_what_only_reduces_needs_none(side: int) -> None:
    """Between two checks the mid moves so far that no equity is left."""
    market = market_of([withdrawn(SECOND // 2, side, BID - side * 400)])
    for qty, answer in ((9, (rec.FILL, rec.OK)), (10, (rec.REJECTED, rec.MARGIN))):
        session = open_session(market, AT_ONCE.replace(capital=10**7))
        take(session, side, 9)
        session.advance(BASE + SECOND // 2)
        answers(session)
        session.submit(0, -side, 1, qty, rec.MARKET)
        session.advance(session.t_ns())
        assert session.account().liquidations == 0
        assert said(answers(session))[0] == answer


def test_a_modify_needs_margin_without_what_it_replaces() -> None:
    need = needed(SYNTH, 9, Fraction(BID + ASK, 2), 100_000)
    session = open_session(market_of([]), AT_ONCE.replace(capital=need))
    first = session.submit(0, rec.BUY, BID, 4)
    second = session.submit(0, rec.BUY, BID, 5)
    session.modify(0, first, BID - 1, 4)
    session.modify(0, second, BID - 1, 6)
    session.modify(0, second, BID, 2)
    session.modify(0, first, BID, 7)
    session.advance(BASE)
    got = answers(session)
    changes = [(rec.MODIFIED, rec.OK), (rec.MODIFY_REJECTED, rec.MARGIN), (rec.MODIFIED, rec.OK)]
    assert said(got)[2:] == [*changes, (rec.MODIFIED, rec.OK)]
    orders = session.orders()
    assert [(int(o["tick"]), int(o["leaves"])) for o in orders] == [(BID, 7), (BID, 2)]


# -- liquidation -------------------------------------------------------------------------------------------------------


@KINDS
@SIDES
def test_liquidation_begins_below_the_maintenance_margin(instrument: Instrument, side: int) -> None:
    ticks = Fraction(BID) - side * 37
    market = market_of([mark(1, BID, instrument), mark(3 * SECOND, ticks, instrument)], instrument)
    probe = open_session(market)
    take(probe, side, 13)
    account = probe.account()
    limit = needed(instrument, side * 13, ticks, 50_000) - (
        account.cash - account.fees + value(instrument, side * 13, ticks)
    )
    assert limit > 0
    tiers = ((0, 50_000, 50_000),)
    safe = open_session(market, AT_ONCE.replace(margin_tiers=tiers, capital=limit))
    take(safe, side, 13)
    safe.advance(safe.end_ns)
    assert (safe.account().liquidations, safe.account().position_lots) == (0, side * 13)

    session = open_session(market, AT_ONCE.replace(margin_tiers=tiers, capital=limit - 1))
    take(session, side, 13)
    second = session.submit(0, side, BID if side == rec.BUY else ASK, 1, reduce_only=False)
    first = session.submit(0, -side, ASK + 1 if side == rec.BUY else BID - 1, 1)
    session.advance(BASE + 3 * SECOND - 1)
    before = session.account()
    answers(session)
    session.advance(BASE + 3 * SECOND)
    got = answers(session)
    assert said(got) == [(rec.CANCELLED, rec.LIQUIDATED)] * 2 + [(rec.FILL, rec.LIQUIDATED)] * 2
    assert [int(row["order_id"]) for row in got] == [second, first, 0, 0]
    best = BID if side == rec.BUY else ASK
    cash = fees = 0
    for row, tick, qty in zip(got[2:], (best, best - side), (LOTS, 3), strict=True):
        moved = floor(notional(instrument, -side * qty, tick) * (1 if instrument.is_inverse else -1))
        fee = ceil(Fraction(abs(moved) * (instrument.taker_fee_ppb + 3_000_000), 10**9))
        assert (row["tick"], row["qty"], row["side"], row["maker"]) == (tick, qty, -side, 0)
        assert (row["cash"], row["fee"]) == (moved, fee)
        cash, fees = cash + moved, fees + fee
    account = session.account()
    assert (account.cash - before.cash, account.fees - before.fees) == (cash, fees)
    assert (account.position_lots, account.liquidations, account.realised) == (0, 1, account.cash)
    assert (account.view_position_lots, account.view_cash, account.view_fees) == (0, account.cash, account.fees)
    assert len(session.orders()) == 0
    session.advance(session.end_ns)
    assert answers(session) == []


def test_what_the_book_cannot_take_stays_and_is_tried_again() -> None:
    rows = [
        mark(1, BID),
        (2 * SECOND, [(rec.DEPTH, rec.BUY, BID - k, 0, 2) for k in (1, 2)]),
        mark(3 * SECOND, BID - 500),
        mark(4 * SECOND, BID - 500),
        depth(5 * SECOND, rec.BUY, BID, LOTS + 1, 3),  # one lot comes back
        mark(6 * SECOND, BID - 500),
    ]
    capital = needed(SYNTH, 15, BID, 110_000)
    session = open_session(market_of(rows), AT_ONCE.replace(capital=capital))
    take(session, rec.BUY, 15)
    session.submit(0, rec.SELL, ASK + 2, 1)
    left = []
    for k in (3, 4, 6):
        session.advance(BASE + k * SECOND)
        left.append((session.account().position_lots, session.account().liquidations))
    assert left == [(5, 1), (5, 2), (4, 3)]
    fills = [row for row in answers(session) if row["reason"] == rec.LIQUIDATED and row["kind"] == rec.FILL]
    assert [(int(row["tick"]), int(row["qty"])) for row in fills] == [(BID, LOTS), (BID, 1)]


@KINDS
@SIDES
def test_a_loss_beyond_the_capital_stays(instrument: Instrument, side: int) -> None:
    far = BID - side * 400
    rows = [
        mark(1, BID, instrument),
        withdrawn(SECOND, side, far),
        mark(2 * SECOND, BID - side * 300, instrument),
    ]
    capital = needed(instrument, 20, BID, 130_000)
    session = open_session(market_of(rows, instrument), AT_ONCE.replace(capital=capital))
    take(session, side, 20)
    session.advance(session.end_ns)
    account = session.account()
    assert (account.position_lots, account.liquidations) == (0, 1)
    assert account.equity + capital < 0
    assert session.state.lane[0]["deficit"] == -(account.equity + capital)
    session.submit(0, side, far + side, 1)
    session.advance(session.end_ns)
    assert said(answers(session))[-1] == (rec.REJECTED, rec.MARGIN)


def test_without_marks_each_whole_second_is_checked_at_the_mid() -> None:
    rows = withdrawn(3 * SECOND // 2, rec.BUY, BID - 150)
    session = open_session(market_of([rows]), AT_ONCE.replace(capital=needed(SYNTH, 9, BID, 110_000)))
    take(session, rec.BUY, 9)
    session.advance(session.end_ns)
    (row,) = [row for row in answers(session) if row["reason"] == rec.LIQUIDATED]
    assert row["ns"] == BASE - MS // 2 + 2 * SECOND
    assert session.account().liquidations == 1


def test_no_tiers_no_liquidation() -> None:
    market = market_of([mark(SECOND, BID), mark(2 * SECOND, BID - 500)])
    session = open_session(market, AT_ONCE.replace(margin_tiers=None, capital=10**7))
    take(session, rec.BUY, 9)
    session.advance(BASE + 2 * SECOND)
    assert session.account().liquidations == 0
    session.submit(0, rec.BUY, BID, 1)
    session.advance(session.end_ns)
    assert said(answers(session))[-1] == (rec.REJECTED, rec.MARGIN)


def test_the_instruments_figures_hold_where_none_are_given() -> None:
    instrument = replace(
        SYNTH,
        margin_tiers=(MarginTier(Decimal(0), 100_000, 50_000), MarginTier(Decimal("0.5"), 200_000, 60_000)),
        fee_tiers=(FeeTier(Decimal("0.5"), 100_000, 300_000),),
        liquidation_fee_ppb=3_000_000,
    )
    rows = [mark(1, BID), mark(3 * SECOND, BID - 150)]
    own = SimParams(entry_ns=0, response_ns=0, capital=15 * 10**6)
    given = own.replace(
        margin_tiers=((0, 100_000, 50_000), (5 * 10**7, 200_000, 60_000)),
        fee_tiers=((0, SYNTH.maker_fee_ppb, SYNTH.taker_fee_ppb), (5 * 10**7, 100_000, 300_000)),
        liquidation_fee_ppb=3_000_000,
    )
    digests = []
    for one, params in ((instrument, own), (SYNTH, given), (SYNTH, own)):
        session = open_session(market_of(rows, one), params)
        for qty in (3, 4, 2):
            session.submit(0, rec.BUY, 1, qty, rec.MARKET)
        session.advance(session.end_ns)
        digests.append((session.digest(), session.account()))
    assert digests[0] == digests[1] != digests[2]
    assert digests[0][1].liquidations == 1


# -- books that balance ------------------------------------------------------------------------------------------------

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
