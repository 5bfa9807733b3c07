"""What must hold of lanes whatever the tape and whatever the orders.

Goal: the ledger adds up, nothing is spent twice, nothing is known or filled too early, lanes and copies do not
influence each other, misuse is answered by a typed error. Method: hypothesis makes tiny tapes and scripts of orders;
a synthetic minute serves where length matters more than malice.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lobgym.sim import records as rec
from lobgym.sim.errors import (
    CapacityError,
    LedgerOverflowError,
    ParamsError,
    SessionError,
    TapeExhaustedError,
    TapeFormatError,
    TimeReversedError,
    UnknownOrderError,
)
from lobgym.sim.instrument import SYNTH, find_instrument
from lobgym.sim.market import Market
from lobgym.sim.money import MONEY_MAX, cash_of, economics_of, fee_of, fits, mark_value
from lobgym.sim.params import SimParams
from lobgym.sim.queue import LOTS_MAX
from lobgym.sim.session import Session
from lobgym.sim.synthetic import synthetic_tape
from lobgym.sim.tape import Tape
from lobgym.sim.view import cursor_at, level_qty
from tests.sim.columns import columns_of
from tests.sim.oracle import act, tape_of
from tests.sim.reference import messages_of
from tests.sim.reference_rules import RefMoney
from tests.sim.strategies import START_NS, TICKS, quiet_tapes, scripts, tapes

SPOT = find_instrument("binance-spot", "BTCUSDT")
INVERSE = find_instrument("binance-coinm", "BTCUSD_PERP")
FAST = SimParams(entry_ns=1, response_ns=2)
few = settings(max_examples=60, deadline=None)

Script = list[tuple[int, int, int, int, int, bool]]


def play(session: Session, script: Script, lane: int = 0) -> None:
    """Play a script of (gap, side, tick, qty, tif, cancel the order before it) on one lane, then go to the end."""
    times = np.full(session.lanes, 0)
    sent = 0
    for gap, side, tick, qty, tif, cancel in script:
        times[:] = session.state.lane["t_ns"]
        times[lane] = min(times[lane] + gap, session.end_ns)
        session.advance(times)
        if cancel and any(order["id"] == sent for order in session.orders(lane)):
            session.cancel(lane, sent)
        sent = session.submit(lane, side, tick, qty, tif)
    times[lane] = session.end_ns
    session.advance(times)


def state_of(session: Session, lane: int = 0) -> tuple[Any, ...]:
    """Everything about a lane that a run could depend on."""
    return session.digest(lane), session.state.lane[lane].tolist(), session.orders(lane).tolist()


def meaning_of(session: Session) -> tuple[Any, ...]:
    """What a lane's state says, without its places in the tables of one market, which another market numbers anew."""
    names = ["id", "side", "tick", "qty", "leaves", "front", "state", "view_state", "view_leaves"]
    return session.digest(), session.account(), session.orders()[names].tolist()


# -- the ledger ----------------------------------------------------------------------------------------------------


@few
@given(st.sampled_from((SYNTH, SPOT, INVERSE)).flatmap(tapes), scripts(), st.sampled_from((-70_001, 0, 333_333)))
def test_the_ledger_is_the_sum_of_its_fills(tape: Tape, script: Script, maker_ppb: int) -> None:
    session = Session(Market.compile(tape), FAST.replace(maker_fee_ppb=maker_ppb), log="fills", log_rows=4096)
    play(session, script)
    fills, account = session.drain_fills(), session.account()
    assert account.position_lots == (fills["side"] * fills["qty"]).sum()
    assert account.cash == fills["cash"].sum()
    assert account.fees == fills["fee"].sum()
    money = RefMoney(tape.instrument)
    for fill in fills:
        cash = money.cash(int(fill["side"]), int(fill["tick"]), int(fill["qty"]))
        assert fill["cash"] == cash
        assert fill["fee"] == money.fee(cash, maker_ppb if fill["maker"] else tape.instrument.taker_fee_ppb)
    assert (fills["qty"] > 0).all()
    bests = session.bests()
    if None not in bests:
        assert account.equity == money.equity(account.cash, account.fees, account.position_lots, bests)


@given(
    st.sampled_from((SYNTH, SPOT, INVERSE)), st.integers(0, 42), st.integers(0, 42), st.integers(1, 1 << 42),
    st.sampled_from((-1, 1)), st.integers(-99_999_999, 99_999_999),
)  # fmt: skip
@settings(deadline=None)
def test_amounts_are_exact_or_refused(instrument: Any, a: int, b: int, salt: int, side: int, ppb: int) -> None:
    tick, qty = 1 + salt % (1 << a), 1 + salt % (1 << b)
    econ = economics_of(instrument)
    if not fits(econ, tick, qty):
        assert abs(RefMoney(instrument).cash(side, tick, qty)) > MONEY_MAX // 4
        return
    cash = int(cash_of(econ, side, tick, qty))
    assert cash == RefMoney(instrument).cash(side, tick, qty)
    assert fee_of(cash, ppb) == RefMoney(instrument).fee(cash, ppb)
    assert mark_value(econ, side * qty, 2 * tick) == RefMoney(instrument).equity(0, 0, side * qty, (tick, tick))


def test_inverse_amounts_whose_products_leave_64_bits_are_exact() -> None:
    econ = economics_of(INVERSE)
    tick, qty = (1 << 35) + 3, (1 << 44) + 1
    assert fits(econ, tick, qty)
    assert cash_of(econ, rec.BUY, tick, qty) == qty * INVERSE.inverse_scale // tick


def test_quantities_that_queues_cannot_count_are_refused() -> None:
    rows = [(rec.DEPTH, rec.BUY, 5, LOTS_MAX, 1), (rec.DEPTH, rec.SELL, 9, 1, 1)]
    with pytest.raises(TapeFormatError, match="coarser lot_size"):
        Market.compile(tape_of([(1, 1, rows)]))


# -- nothing twice -----------------------------------------------------------------------------------------------------


@few
@given(quiet_tapes(), scripts(ticks=(1, TICKS)))
def test_no_print_is_spent_twice(tape: Tape, script: Script) -> None:
    # On these tapes bids stay at or below 5 and asks at or above 9, each message has a stamp of its own, and own
    # orders keep to their half: what fills them is a print.
    session = Session(Market.compile(tape), FAST, log="fills", log_rows=4096)
    play(session, [(gap, 1 if tick <= 7 else -1, tick, *rest) for gap, _, tick, *rest in script])
    fills = session.drain_fills()
    volume: Counter[tuple[int, int]] = Counter()
    for row in tape.events[tape.events["kind"] == rec.TRADE]:
        volume[int(row["exch_ns"]), int(row["side"])] += int(row["qty_lots"])
    filled: Counter[tuple[int, int]] = Counter()
    for fill in fills[fills["maker"] == 1]:
        filled[int(fill["exch_ns"]), -int(fill["side"])] += int(fill["qty"])
    assert all(filled[key] <= volume[key] for key in filled)


@few
@given(tapes(), scripts(tifs=(rec.IOC,)), st.booleans())
def test_no_displayed_quantity_is_spent_twice(tape: Tape, script: Script, implied: bool) -> None:
    market = Market.compile(tape, implied)
    session = Session(market, FAST.replace(print_implied_depth=implied), log="fills", log_rows=4096)
    play(session, script)
    book = market.exch
    view = market.exch_view[0]
    rows = columns_of(book)
    taken: Counter[tuple[int, int]] = Counter()
    for fill in session.drain_fills():
        side, tick, cursor = -int(fill["side"]), int(fill["tick"]), cursor_at(view, fill["exch_ns"])
        assert not fill["maker"]
        assert fill["qty"] <= level_qty(view, side, tick, cursor)
        taken[side, tick] += int(fill["qty"])
        here = (rows.side[:cursor] == side) & (rows.tick[:cursor] == tick) & (rows.level[:cursor] >= 0)
        assert taken[side, tick] <= np.maximum(0, rows.qty[:cursor] - rows.prev[:cursor])[here].sum()


@few
@given(tapes(), scripts(tifs=(rec.GTC, rec.GTX)))
def test_own_orders_at_a_price_fill_in_order(tape: Tape, script: Script) -> None:
    session = Session(Market.compile(tape), SimParams(entry_ns=0, response_ns=0), log="fills", log_rows=4096)
    for gap, side, tick, qty, tif, _ in script:
        for _ in range(gap):
            session.advance(min(session.t_ns() + 1, session.end_ns))
            assert_first_in_first_out(session)
        session.submit(0, side, tick, qty, tif)
    session.advance(session.end_ns)


def assert_first_in_first_out(session: Session) -> None:
    filled = session.drain_fills()
    live = [order for order in session.orders() if order["state"] == rec.LIVE]
    for fill in filled[filled["maker"] == 1]:
        rivals = [o for o in live if (o["side"], o["tick"]) == (fill["side"], fill["tick"])]
        assert all(order["id"] >= fill["order_id"] for order in rivals)
    fronts = defaultdict(list)
    for order in sorted(live, key=lambda order: order["id"]):
        fronts[int(order["side"]), int(order["tick"])].append(int(order["front"]))
    assert all(queue == sorted(queue) and queue[0] >= 0 for queue in fronts.values())


# -- nothing too early -------------------------------------------------------------------------------------------------


@few
@given(tapes(), scripts(), st.integers(0, 4), st.integers(0, 4))
def test_clock_of_fills_and_of_knowledge(tape: Tape, script: Script, entry: int, response: int) -> None:
    params = SimParams(entry_ns=entry, response_ns=response)
    session, fills = Session(Market.compile(tape), params, log="fills", log_rows=4096), []
    for gap, side, tick, qty, tif, _ in script:
        for _ in range(gap):
            session.advance(min(session.t_ns() + 1, session.end_ns))
            fills += list(session.drain_fills())
            now, account = session.t_ns(), session.account()
            assert all(fill["exch_ns"] <= now for fill in fills)
            assert account.position_lots == sum(int(fill["side"] * fill["qty"]) for fill in fills)
            seen = [fill for fill in fills if fill["seen_ns"] <= now]
            assert account.view_position_lots == sum(int(fill["side"] * fill["qty"]) for fill in seen)
            assert account.view_cash == sum(int(fill["cash"]) for fill in seen)
        session.submit(0, side, tick, qty, tif)
    assert all(fill["exch_ns"] >= fill["submit_ns"] + entry for fill in fills)
    assert all(fill["seen_ns"] == fill["exch_ns"] + response for fill in fills)


@few
@given(tapes(), scripts(tifs=(rec.IOC,)))
def test_no_fill_at_a_quote_that_a_print_has_passed(tape: Tape, script: Script) -> None:
    session = Session(Market.compile(tape), FAST, log="fills", log_rows=4096)
    play(session, script)
    messages = messages_of(tape.events)
    for fill in session.drain_fills():
        side, tick = int(fill["side"]), int(fill["tick"])
        past = [rows for rows in messages if rows[0].exch_ns <= fill["exch_ns"]]
        passed = False
        for stamp, rows in ((rows[0].exch_ns, rows) for rows in past):
            for row in rows:
                if row.kind == rec.TRADE and row.side == side and side * row.tick > side * tick:
                    # Depth or a quote of the same millisecond already contains the print.
                    passed = passed or all(r[0].exch_ns < stamp for r in past[: past.index(rows)] if r[0].kind != 2)
                elif row.kind in (rec.DEPTH, rec.CLEAR, rec.SNAPSHOT, rec.BBO):
                    passed = False
        assert not passed


def test_stale_quotes_are_there_only_without_the_switch() -> None:
    corrected, shown = snipe(implied=True), snipe(implied=False)
    assert shown > 100
    assert corrected < shown // 10  # a best quote between the print and the order may have brought the price back


def snipe(implied: bool) -> int:
    """Fills of orders that come 1 ms after a print, before the next depth message, for what the print has passed."""
    tape = synthetic_tape(seed=4, minutes=2)
    session = Session(
        Market.compile(tape, implied), SimParams(entry_ns=0, print_implied_depth=implied), log="fills", log_rows=9999
    )
    events = tape.events
    for k in np.flatnonzero(events["kind"] == rec.TRADE):
        row = events[k]
        due = int(row["exch_ns"]) + 1_000_000
        news = events["exch_ns"][k + 1 :][events["kind"][k + 1 :] == rec.DEPTH][:1]
        if session.market.start_ns < due < news.sum() and due >= session.t_ns():
            session.advance(due - 1)
            session.submit(0, int(row["side"]), int(row["price_ticks"] - row["side"]), 1, rec.IOC)
    session.advance(session.end_ns)
    return len(session.drain_fills())


@few
@given(tapes(), scripts(), st.integers(0, 40), st.integers(1, 5))
def test_the_future_changes_nothing(tape: Tape, script: Script, after: int, shift: int) -> None:
    cut = START_NS + after
    exchange, arrival = corrupted(tape, "exch_ns", cut, shift), corrupted(tape, "local_ns", cut, shift)
    sessions = [Session(Market.compile(one), FAST) for one in (tape, exchange, arrival)]
    for gap, side, tick, qty, tif, _ in script:
        if sessions[0].t_ns() + gap > min(cut, *(one.end_ns for one in sessions)):
            break
        for session in sessions:
            session.advance(session.t_ns() + gap)
            session.submit(0, side, tick, qty, tif)
        assert meaning_of(sessions[0]) == meaning_of(sessions[1])
        for session in sessions[1:]:
            assert session.bests() == sessions[0].bests()
            for book_side in (rec.BUY, rec.SELL):
                assert (session.ladder(0, book_side, 20) == sessions[0].ladder(0, book_side, 20)).all()


def corrupted(tape: Tape, stamps: str, cut: int, shift: int) -> Tape:
    """The tape with everything stamped after `cut` made wrong."""
    events = tape.events.copy()
    late = (events[stamps] > cut) & (events["side"] != 0)
    events["price_ticks"][late] += shift
    events["qty_lots"][late] += shift
    events["seq"][late] += shift
    return Tape(events, tape.instrument)


# -- lanes, copies, resets -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def market() -> Market:
    return Market.compile(synthetic_tape(seed=2, minutes=1))


def trade(session: Session, seeds: list[int], steps: int) -> None:
    """Every lane acts on what it sees, by chances of its own."""
    chances = [Random(seed) for seed in seeds]
    for _ in range(steps):
        session.advance(session.state.lane["t_ns"] + [chance.randrange(200_000_000) for chance in chances])
        for lane, chance in enumerate(chances):
            act(chance, session, lane)


def test_a_lane_does_not_notice_the_others(market: Market) -> None:
    seeds = [11, 12, 13, 14, 15]
    together, reversed_ = (Session(market, lanes=5, log="fills", log_rows=9999) for _ in range(2))
    together.reset(seed=seeds)
    reversed_.reset(seed=seeds[::-1])
    trade(together, seeds, 150)
    trade(reversed_, seeds[::-1], 150)
    fills = together.drain_fills()
    assert len(fills) > 100
    for lane, seed in enumerate(seeds):
        alone = Session(market, log="fills", log_rows=9999)
        alone.reset(seed=seed)
        trade(alone, [seed], 150)
        assert state_of(alone) == state_of(together, lane) == state_of(reversed_, 4 - lane)
        log, mine = alone.drain_fills(), fills[fills["lane"] == lane].copy()
        mine["lane"] = 0
        assert (log == mine).all()


def test_copies_go_on_alike(market: Market) -> None:
    session = Session(market, lanes=2, log="fills", log_rows=9999)
    trade(session, [1, 2], 60)
    saved, twin = session.snapshot(), session.clone()
    trade(session, [3, 4], 60)
    end = [state_of(session, lane) for lane in (0, 1)], session.run_digest(), session.drain_fills().tolist()
    trade(twin, [3, 4], 60)
    assert ([state_of(twin, lane) for lane in (0, 1)], twin.run_digest(), twin.drain_fills().tolist()) == end
    session.restore(saved)
    trade(session, [3, 4], 60)
    assert ([state_of(session, lane) for lane in (0, 1)], session.run_digest(), session.drain_fills().tolist()) == end


def test_a_reset_lane_is_a_new_one(market: Market) -> None:
    middle = (market.start_ns + market.end_ns) // 2
    used, fresh, idle = (Session(market, lanes=2) for _ in range(3))
    trade(used, [5, 6], 80)
    used.reset(middle, seed=40)
    fresh.reset(middle, seed=40)
    idle.reset(seed=40)
    idle.advance(middle)  # going there must equal being put there
    for session in (used, fresh, idle):
        trade(session, [7, 8], 60)
    assert used.run_digest() == fresh.run_digest() == idle.run_digest()
    assert state_of(used, 1) == state_of(fresh, 1) == state_of(idle, 1)


def test_reset_with_a_mask_leaves_the_others(market: Market) -> None:
    session = Session(market, lanes=2)
    trade(session, [1, 2], 40)
    before = state_of(session, 0)
    session.reset(seed=9, mask=np.array([False, True]))
    assert state_of(session, 0) == before
    assert session.t_ns(1) == market.start_ns
    assert session.digest(1) == f"{10:016x}"


def test_cancelling_twice_sends_one_request(market: Market) -> None:
    session = Session(market)
    order = session.submit(0, rec.BUY, session.bests()[0] - 3, 1)
    session.advance(session.t_ns() + 30_000_000)
    session.cancel(0, order)
    session.cancel(0, order)
    session.advance(session.t_ns() + 30_000_000)
    assert session.state.lane["cancels"][0] == 1
    assert len(session.orders()) == 0


# -- misuse, and bounds ------------------------------------------------------------------------------------------------

THIN = [(rec.DEPTH, side, tick, 4, 1) for side, tick in ((1, 8), (1, 9), (-1, 11), (-1, 12))]
END = (1000, 1000, [(rec.MARK, 0, 0, 5, 0)])


def thin_session(**params: int) -> Session:
    market = Market.compile(tape_of([(1, 1, THIN), END]))
    return Session(market, SimParams(entry_ns=1, response_ns=50).replace(**params), log="fills", log_rows=9)


@pytest.mark.parametrize(
    ("side", "tick", "qty", "tif"),
    [(0, 9, 1, 0), (2, 9, 1, 0), (1, 0, 1, 0), (1, 9, 0, 0), (1, 9, -1, 0), (1, 9, 1, 5)],
)
def test_malformed_orders(side: int, tick: int, qty: int, tif: int) -> None:
    with pytest.raises(SessionError, match="an order needs side"):
        thin_session().submit(0, side, tick, qty, tif)


def test_time_goes_forward_within_the_tape() -> None:
    session = thin_session()
    session.advance(10)
    with pytest.raises(TimeReversedError, match="lane 0 is at 10 and cannot go back to 9"):
        session.advance(9)
    with pytest.raises(TapeExhaustedError, match="the tape ends at 1000, 1001 lies beyond"):
        session.advance(1001)
    with pytest.raises(TapeExhaustedError, match="lane 0 cannot start at 0"):
        session.reset(0)
    with pytest.raises(TapeExhaustedError, match="cannot start at 1001"):
        session.reset(1001)
    assert session.t_ns() == 10


def test_unknown_orders() -> None:
    session = thin_session()
    with pytest.raises(UnknownOrderError, match="lane 0 has no order 1"):
        session.cancel(0, 1)
    session.submit(0, rec.BUY, 11, 1, rec.IOC)
    session.advance(500)
    with pytest.raises(UnknownOrderError, match="done and forgotten"):
        session.cancel(0, 1)


def test_sessions_that_cannot_be() -> None:
    market = thin_session().market
    with pytest.raises(ParamsError, match="lanes must be from 1"):
        Session(market, lanes=0)
    with pytest.raises(ParamsError, match="log_rows must be from 0"):
        Session(market, log="fills", log_rows=-1)
    with pytest.raises(ParamsError, match="compile it with the same switch"):
        Session(market, SimParams(print_implied_depth=False))
    with pytest.raises(SessionError, match="taken on another market"):
        Session(market, lanes=2).restore(Session(market).snapshot())


def test_order_slots_are_bounded() -> None:
    session = thin_session(max_orders=2)
    session.submit(0, rec.BUY, 8, 1)
    session.submit(0, rec.BUY, 8, 1)
    with pytest.raises(CapacityError, match="all 2 order slots"):
        session.submit(0, rec.BUY, 8, 1)
    session.cancel(0, 1)
    session.advance(200)
    assert session.submit(0, rec.BUY, 8, 1) == 3


@pytest.mark.parametrize(
    ("params", "what"),
    [
        ({"max_requests": 1}, "requests in flight"),
        ({"max_responses": 1}, "unread answers"),
        ({"max_spent": 1}, "levels it has taken from"),
    ],
)
def test_tables_are_bounded(params: dict[str, int], what: str) -> None:
    session = thin_session(**params)
    with pytest.raises(CapacityError, match=f"lane 0 is out of room for {what}"):
        two_fills(session)
    session.reset()
    session.advance(3)


def two_fills(session: Session) -> None:
    session.submit(0, rec.BUY, 12, 5)
    session.advance(session.t_ns() + (0 if session.params.max_requests == 1 else 1))
    session.submit(0, rec.BUY, 12, 2)
    session.advance(session.t_ns() + 1)


def test_the_event_log_is_bounded() -> None:
    session = Session(thin_session().market, SimParams(entry_ns=1), log="fills", log_rows=1)
    with pytest.raises(CapacityError, match="rows of the event log"):
        two_fills(session)


def test_amounts_beyond_the_ledger() -> None:
    high = 1 << 30
    rows = [(rec.DEPTH, 1, high - 1, 1 << 20, 1), (rec.DEPTH, -1, high, 1 << 20, 1)]
    session = Session(Market.compile(tape_of([(1, 1, rows), END])), SimParams(entry_ns=1))
    with pytest.raises(LedgerOverflowError, match="order less"):
        session.submit(0, rec.BUY, high, 1 << 40)
    # A position may be worth an eighth of the largest amount: room for the price to move.
    qty = (MONEY_MAX // 8 - 1) // (high * SYNTH.money_per_tick_lot)
    session.submit(0, rec.BUY, high, qty, rec.IOC)
    session.advance(5)
    assert session.account().cash == -high * qty * SYNTH.money_per_tick_lot
    session.submit(0, rec.BUY, high, qty, rec.IOC)
    with pytest.raises(LedgerOverflowError, match="lane 0: an amount exceeds"):
        session.advance(10)
