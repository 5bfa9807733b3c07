"""Funding, halts, margin and liquidation as lanes meet them.

Goal: each payment to the unit, each check at its stamp and on its side of the limit. Method: calendars written by hand
(`tests/sim/calendars.py`); amounts are restated as fractions.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor

import pytest

from lobgym.sim import records as rec
from lobgym.sim.instrument import SYNTH, Instrument
from lobgym.sim.params import SimParams
from lobgym.sim.tiers import FeeTier, MarginTier
from tests.sim.calendars import (
    ASK,
    AT_ONCE,
    BASE,
    BID,
    KINDS,
    LOTS,
    MS,
    SECOND,
    SIDES,
    SPOT,
    Rows,
    answers,
    depth,
    mark,
    market_of,
    needed,
    notional,
    open_session,
    said,
    settlement,
    status,
    take,
    value,
)

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
