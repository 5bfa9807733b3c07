"""The rules of docs/market.md one by one, on a book small enough to follow with a finger.

Each test states the answers that it expects as (kind, order, tick, lots, reason); the session and the plain reference
must both give them. Bids 10 lots at 99 and 98, asks 10 lots at 101 and 102; requests take 1 ns, answers 1 ns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from lobgym.sim import records as rec
from lobgym.sim.errors import LedgerOverflowError
from lobgym.sim.instrument import SYNTH, find_instrument
from lobgym.sim.latency import LatencyQuantiles, LatencyTable
from lobgym.sim.market import Market
from lobgym.sim.params import SimParams
from lobgym.sim.session import Session
from tests.sim.differential import Pair, compare_answers, reference_lane
from tests.sim.oracle import Message, tape_of
from tests.sim.reference_lane import RefLane

B, S = rec.BUY, rec.SELL
START = 1_000_000_000_000  # a whole second
LEVELS = ((B, 99, 10), (B, 98, 10), (S, 101, 10), (S, 102, 10))
BOOK = [(rec.CLEAR, 0, 0, 0, 1), *((rec.SNAPSHOT, side, tick, qty, 1) for side, tick, qty in LEVELS)]
PLAIN = SimParams(entry_ns=1, response_ns=1, maker_fee_ppb=0, taker_fee_ppb=0)
MONEY = SYNTH.money_per_tick_lot  # of one lot at one tick

Row = tuple[int, int, int, int, int]  # kind, side, tick, qty, seq
Call = Callable[[Pair], Any]
Answer = tuple[int, int, int, int, int]


def submit(side: int, tick: int, qty: int, tif: int = rec.GTC, reduce_only: bool = False) -> Call:
    return lambda pair: pair.submit(side, tick, qty, tif, reduce_only)


def cancel(order_id: int) -> Call:
    return lambda pair: pair.cancel(order_id)


def modify(order_id: int, tick: int, qty: int) -> Call:
    return lambda pair: pair.modify(order_id, tick, qty)


def play(params: SimParams, calls: Sequence[tuple[int, Call]], rows: Sequence[tuple[int, list[Row]]] = ()) -> RefLane:
    """Make calls at times after START, while `rows` happen, on session and reference alike; return the reference."""
    messages: list[Message] = [(START, START, BOOK), *((START + at, START + at, row) for at, row in rows)]
    end = START + 10_000_000_000
    market = Market.compile(tape_of([*messages, (end, end, [(rec.INDEX, 0, 0, 5, 0)])]))
    session = Session(market, params, log="full", log_rows=1000)
    pair = Pair(reference_lane(market, params, START), session, 0)
    for at, call in [*calls, (10_000_000_000, lambda _: None)]:
        session.advance(START + at)
        pair.reference.advance(START + at)
        pair.compare()
        call(pair)
    compare_answers(session.drain_log(), pair.reference.history)
    return pair.reference


def answers(lane: RefLane) -> list[Answer]:
    return [(a.kind, a.order_id, a.tick, a.qty, a.reason) for a in lane.history]


def fill(order_id: int, tick: int, qty: int) -> Answer:
    return rec.FILL, order_id, tick, qty, rec.OK


def ack(order_id: int, tick: int, qty: int) -> Answer:
    return rec.ACK, order_id, tick, qty, rec.OK


def end(kind: int, order_id: int, reason: int = rec.OK) -> Answer:
    return kind, order_id, 0, 0, reason


# -- types -----------------------------------------------------------------------------------------------------------


def test_all_or_nothing() -> None:
    lane = play(PLAIN, [(1, submit(B, 102, 21, rec.FOK)), (2, submit(B, 102, 20, rec.FOK)), (9, submit(B, 102, 1, 3))])
    assert answers(lane) == [
        end(rec.EXPIRED, 1, rec.CANNOT_FILL), fill(2, 101, 10), fill(2, 102, 10), end(rec.EXPIRED, 3, rec.CANNOT_FILL),
    ]  # fmt: skip


def test_a_market_order_stops_at_its_band() -> None:
    # 101 * 9,900 ppm is 0 ticks, 101 * 9,901 ppm is 1.
    narrow = play(PLAIN.replace(market_band_ppm=9_900), [(1, submit(B, 0, 12, rec.MARKET))])
    wide = play(PLAIN.replace(market_band_ppm=9_901), [(1, submit(B, 0, 12, rec.MARKET))])
    assert answers(narrow) == [fill(1, 101, 10), end(rec.EXPIRED, 1, rec.NOTHING_TO_TAKE)]
    assert answers(wide) == [fill(1, 101, 10), fill(1, 102, 2)]


def test_a_market_order_needs_no_price_to_be_affordable() -> None:
    # At one tick, 5,000 inverse contracts would be worth more than the ledger counts; at the market they are not.
    inverse = find_instrument("binance-coinm", "BTCUSD_PERP")
    rows = [(rec.DEPTH, side, 600_000 - side, 10_000, 1) for side in (B, S)]
    end_row = (START + 9, START + 9, [(rec.INDEX, 0, 0, 5, 0)])
    session = Session(Market.compile(tape_of([(START, START, rows), end_row], inverse)), PLAIN)
    session.submit(0, B, 0, 5_000, rec.MARKET)
    session.advance(START + 9)
    assert session.account().position_lots == 5_000
    with pytest.raises(LedgerOverflowError, match="order less"):
        session.submit(0, B, 0, 1 << 42, rec.MARKET)


def test_what_an_older_snapshot_covered_is_not_known_any_more() -> None:
    again = [(rec.CLEAR, 0, 0, 0, 2), (rec.SNAPSHOT, B, 98, 5, 2), (rec.SNAPSHOT, S, 101, 5, 2)]
    lane = play(PLAIN, [(1, submit(B, 98, 1)), (25, submit(S, 102, 1)), (26, submit(S, 101, 1))], [(20, again)])
    assert answers(lane) == [ack(1, 98, 1), end(rec.REJECTED, 2, rec.UNKNOWN_LEVEL), ack(3, 101, 1)]


# -- self-trade prevention ---------------------------------------------------------------------------------------------

OWN = [(1, submit(S, 102, 3)), (2, submit(S, 102, 4)), (3, submit(S, 103, 5))]
OWN_ACKS = [ack(1, 102, 3), ack(2, 102, 4)]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("expire_maker", [
            fill(4, 101, 10), end(3, 1, rec.SELF_TRADE), end(3, 2, rec.SELF_TRADE), fill(4, 102, 10), ack(4, 102, 5),
        ]),
        ("expire_taker", [fill(4, 101, 10), end(rec.EXPIRED, 4, rec.SELF_TRADE)]),
        ("expire_both", [
            fill(4, 101, 10), end(3, 1, rec.SELF_TRADE), end(3, 2, rec.SELF_TRADE), end(4, 4, rec.SELF_TRADE),
        ]),
        ("none", [fill(4, 101, 10), fill(4, 102, 10), ack(4, 102, 5)]),
    ],
)  # fmt: skip
def test_self_trade_prevention(mode: str, expected: list[Answer]) -> None:
    lane = play(PLAIN.replace(self_trade=mode), [*OWN, (4, submit(B, 102, 25))])
    assert answers(lane)[2:] == [end(rec.REJECTED, 3, rec.UNKNOWN_LEVEL), *expected]


def test_better_levels_suffice() -> None:
    lane = play(PLAIN.replace(self_trade="expire_taker"), [*OWN[:2], (4, submit(B, 102, 10, rec.FOK))])
    assert answers(lane) == [*OWN_ACKS, fill(3, 101, 10)]


def test_a_fill_or_kill_looks_only_before_its_own_orders() -> None:
    calls = [*OWN[:2], (4, submit(B, 102, 11, rec.FOK))]
    taker = play(PLAIN.replace(self_trade="expire_both"), calls)
    maker = play(PLAIN, calls)
    assert answers(taker) == [*OWN_ACKS, end(rec.EXPIRED, 3, rec.CANNOT_FILL)]
    cancelled = [end(3, 1, rec.SELF_TRADE), end(3, 2, rec.SELF_TRADE)]
    assert answers(maker) == [*OWN_ACKS, fill(3, 101, 10), *cancelled, fill(3, 102, 1)]


def test_an_own_quote_within_the_spread_is_met() -> None:
    # The buy reaches the own sell at 100, not the market's asks: it rests behind what is displayed at 100, nothing.
    calls = [(1, submit(S, 100, 2)), (2, submit(B, 100, 3)), (9, submit(S, 100, 3, rec.GTX))]
    lane = play(PLAIN, calls)
    assert answers(lane) == [
        ack(1, 100, 2), end(3, 1, rec.SELF_TRADE), ack(2, 100, 3), end(rec.EXPIRED, 3, rec.WOULD_TAKE),
    ]  # fmt: skip


# -- modify ------------------------------------------------------------------------------------------------------------


def test_less_keeps_the_place_and_more_loses_it() -> None:
    shrink = (50, [(rec.DEPTH, B, 99, 4, 2)])
    print_ = (100, [(rec.TRADE, S, 99, 6, 3)])
    calls = [(1, submit(B, 99, 3)), (60, submit(B, 99, 3)), (70, modify(1, 99, 2))]
    kept = play(PLAIN, calls, [shrink, print_])
    lost = play(PLAIN, [*calls[:2], (70, modify(1, 99, 4))], [shrink, print_])
    assert (kept.orders[1].place, lost.orders[1].place) == (1, 3)
    assert answers(kept)[2] == (rec.MODIFIED, 1, 99, 2, rec.OK)
    # 6 lots come: 4 were displayed before either; the last 2 go to whoever stands first.
    assert answers(kept)[3:] == [fill(1, 99, 2)]
    assert answers(lost)[3:] == [fill(2, 99, 2)]


def test_the_quantity_of_a_modify_is_the_total() -> None:
    calls = [(1, submit(B, 101, 12)), (5, modify(1, 101, 15)), (9, modify(1, 101, 10)), (10, cancel(1))]
    lane = play(PLAIN, calls)
    assert answers(lane) == [
        fill(1, 101, 10), ack(1, 101, 2), (rec.MODIFIED, 1, 101, 5, rec.OK), end(rec.CANCELLED, 1),
        end(rec.CANCEL_REJECTED, 1, rec.ALREADY_DONE),
    ]  # fmt: skip


def test_a_modify_takes_or_expires() -> None:
    calls = [(1, submit(B, 98, 12)), (2, submit(B, 98, 1, rec.GTX)), (5, modify(1, 101, 11)), (6, modify(2, 101, 1))]
    lane = play(PLAIN, calls)
    assert answers(lane)[2:] == [
        (rec.MODIFIED, 1, 101, 11, rec.OK), fill(1, 101, 10), (rec.MODIFIED, 2, 101, 1, rec.OK),
        end(rec.EXPIRED, 2, rec.WOULD_TAKE),
    ]  # fmt: skip
    assert (lane.orders[1].state, lane.orders[1].leaves) == (rec.LIVE, 1)  # it rests, without a second ACK


def test_a_modify_to_nowhere_changes_nothing() -> None:
    lane = play(PLAIN, [(1, submit(B, 98, 2)), (5, modify(1, 50, 3))])
    assert answers(lane) == [ack(1, 98, 2), end(rec.MODIFY_REJECTED, 1, rec.UNKNOWN_LEVEL)]
    assert (lane.orders[1].tick, lane.orders[1].qty, lane.orders[1].place) == (98, 2, 1)


# -- reduce-only -------------------------------------------------------------------------------------------------------


def test_reduce_only_at_arrival() -> None:
    calls = [(1, submit(S, 99, 1, 0, True)), (3, submit(B, 101, 4, rec.IOC)), (6, submit(S, 99, 9, rec.IOC, True))]
    lane = play(PLAIN, calls)
    assert answers(lane) == [end(rec.REJECTED, 1, rec.REDUCE_ONLY), fill(2, 101, 4), fill(3, 99, 4)]
    assert (lane.position, lane.orders[3].qty, lane.orders[3].view_state) == (0, 4, rec.DONE)


def test_reduce_only_while_it_rests() -> None:
    calls = [
        (1, submit(B, 101, 4, rec.IOC)), (3, submit(S, 100, 4, rec.GTC, True)), (4, submit(S, 100, 4, rec.GTC, True)),
        (6, submit(S, 99, 3, rec.IOC)),
    ]  # fmt: skip
    lane = play(PLAIN, calls, [(50, [(rec.TRADE, B, 100, 9, 5)])])
    # One lot is left to reduce when the print comes: the first order gets it, and then neither may have more.
    assert answers(lane)[3:] == [
        fill(4, 99, 3), fill(2, 100, 1), end(rec.EXPIRED, 2, rec.REDUCE_ONLY), end(rec.EXPIRED, 3, rec.REDUCE_ONLY),
    ]  # fmt: skip


# -- the venue says no -------------------------------------------------------------------------------------------------


def test_rate_limit() -> None:
    params = PLAIN.replace(rate_limit=2, rate_window_ns=10)
    calls = [(1, submit(B, 98, 1)), (2, cancel(1)), (3, submit(B, 98, 1)), (4, modify(2, 98, 2)), (8, submit(B, 98, 1))]
    lane = play(params, [*calls, (9, submit(B, 98, 1))])
    # The last one arrives at 10, in the next window. START is a multiple of 10.
    assert answers(lane) == [
        ack(1, 98, 1), end(rec.CANCELLED, 1), ack(2, 98, 1), end(rec.MODIFY_REJECTED, 2, rec.RATE_LIMIT),
        end(rec.REJECTED, 3, rec.RATE_LIMIT), ack(4, 98, 1),
    ]  # fmt: skip


def test_halt() -> None:
    rows = [(10, [(rec.STATUS, 0, 0, 1, 0)]), (15, [(rec.TRADE, S, 97, 30, 5)]), (20, [(rec.STATUS, 0, 0, 0, 0)])]
    calls = [
        (1, submit(B, 98, 1)), (2, submit(B, 98, 1)), (9, submit(B, 98, 1)), (11, modify(1, 98, 3)), (12, cancel(1)),
        (19, submit(B, 100, 1)),
    ]  # fmt: skip
    assert answers(play(PLAIN, calls, rows))[2:] == [
        end(rec.REJECTED, 3, rec.HALTED), end(rec.MODIFY_REJECTED, 1, rec.HALTED), end(rec.CANCELLED, 1),
        fill(2, 98, 1), ack(4, 100, 1),
    ]  # fmt: skip


# -- money -----------------------------------------------------------------------------------------------------------


def test_fee_tiers_follow_the_turnover() -> None:
    tiers = ((0, 0, 500_000), (1000 * MONEY, 0, 300_000), (1020 * MONEY, 0, 100_000))
    lane = play(PLAIN.replace(fee_tiers=tiers, prior_turnover=900 * MONEY), [(k, submit(B, 101, 1)) for k in (1, 2, 3)])
    notional = 101 * MONEY
    # 900, then 1001, then 1102.
    assert [a.fee for a in lane.history] == [notional * ppb // 10**9 for ppb in (500_000, 300_000, 100_000)]


def test_funding_is_settled_once_at_the_last_rate() -> None:
    at = START + 5_000_000
    ms = at // 1_000_000
    rows = [
        (10, [(rec.MARK, 0, 0, 1_000_000_001, 0)]), (11, [(rec.FUNDING, 0, 0, 900_000_000, ms)]),
        (12, [(rec.FUNDING, 0, 0, 100_000_000, ms)]), (6_000_000, [(rec.FUNDING, 0, 0, 700_000_000, ms)]),
    ]  # fmt: skip
    long = play(PLAIN, [(1, submit(B, 101, 3, rec.IOC))], rows)
    short = play(PLAIN, [(1, submit(S, 99, 3, rec.IOC))], rows)
    # 3 lots are 0.003 at 10.00000001: 3,000,000.003 units, of which 1e-4 is 300.0000003.
    assert [(a.kind, a.exch_ns, a.cash) for a in long.history[1:]] == [(rec.FUNDED, at, -301)]
    assert [(a.kind, a.exch_ns, a.cash) for a in short.history[1:]] == [(rec.FUNDED, at, 300)]


TIERS = ((0, 100_000, 50_000), (1000 * MONEY, 500_000, 250_000))


def test_margin_counts_what_could_be_filled() -> None:
    # At the mid of 100, 10 lots are 1,000 and need 100; 12 lots are 1,200 and need 100 + 100.
    params = PLAIN.replace(capital=150 * MONEY, margin_tiers=TIERS)
    calls = [(1, submit(B, 98, 10)), (2, submit(B, 98, 2)), (3, submit(S, 102, 11)), (4, submit(S, 102, 12))]
    assert answers(play(params, calls)) == [
        ack(1, 98, 10), end(rec.REJECTED, 2, rec.MARGIN), ack(3, 102, 11), end(rec.REJECTED, 4, rec.MARGIN),
    ]  # fmt: skip


def test_liquidation() -> None:
    # 10 lots bought at 101 with a capital of 170. At a mark of 92, equity is 80 and 46 are needed; at 88, 40 and 44.
    params = PLAIN.replace(capital=170 * MONEY, margin_tiers=TIERS, liquidation_fee_ppb=10_000_000)
    marks = [(at, [(rec.MARK, 0, 0, mark * 10**7, 0)]) for at, mark in ((20, 92), (40, 88), (60, 70), (80, 40))]
    depth = [(at, [(rec.DEPTH, B, 98, qty, at)]) for at, qty in ((31, 4), (50, 7), (70, 20))]
    rows = sorted([*marks, (30, [(rec.DEPTH, B, 99, 0, 30)]), *depth], key=lambda row: row[0])
    lane = play(params, [(1, submit(B, 101, 10, rec.IOC)), (5, submit(B, 98, 1)), (6, submit(S, 102, 1))], rows)
    # 98 displays 4 lots, then 3 more, then enough; each time the mark has fallen further.
    closed = [(rec.FILL, 0, 98, qty, rec.LIQUIDATED) for qty in (4, 3, 3)]
    cancelled = [end(rec.CANCELLED, order, rec.LIQUIDATED) for order in (2, 3)]
    assert answers(lane)[3:] == [*cancelled, *closed]
    assert [a.exch_ns - START for a in lane.history[-3:]] == [40, 60, 80]
    assert [a.fee for a in lane.history[-3:]] == [98 * qty * MONEY // 100 for qty in (4, 3, 3)]
    assert (lane.position, lane.liquidations) == (0, 3)


def test_equity_that_just_suffices_is_left_alone() -> None:
    # 136 - 1,010 + 920 are 46, which is what 920 need.
    params = PLAIN.replace(capital=136 * MONEY, margin_tiers=TIERS)
    for mark, times in ((92 * 10**7, 0), (92 * 10**7 - 1, 1)):
        lane = play(params, [(1, submit(B, 101, 10, rec.IOC))], [(20, [(rec.MARK, 0, 0, mark, 0)])])
        assert lane.liquidations == times


# -- time -----------------------------------------------------------------------------------------------------------


def test_requests_stay_in_order() -> None:
    lane = play(PLAIN.replace(submit_extra_ns=20), [(2, submit(B, 98, 1)), (3, cancel(1))])
    assert answers(lane) == [ack(1, 98, 1), end(rec.CANCELLED, 1)]
    assert [a.exch_ns - START for a in lane.history] == [23, 23]


def table(*triples: tuple[int, int, int]) -> LatencyTable:
    request, exch, response = (tuple(START + at for at in column) for column in zip(*triples, strict=True))
    return LatencyTable(request, exch, response)


def test_recorded_latencies_and_answers_in_order() -> None:
    params = PLAIN.replace(entry_ns=0, response_ns=0, latency=table((0, 30, 90), (10, 31, 61), (20, 32, 42)))
    lane = play(params, [(0, submit(B, 98, 1)), (5, submit(B, 98, 1)), (20, submit(B, 98, 1))])
    # Entry 30, then 30 - 4.5 with the 4.5 cut to 4, then 12. Answers take 60, 30 and 10, and none overtakes another.
    assert [(a.exch_ns - START, a.due_ns - START) for a in lane.history] == [(30, 90), (31, 90), (32, 90)]


def test_lost_requests() -> None:
    params = PLAIN.replace(entry_ns=3, latency=table((0, 3, 4), (10, 4, 6), (20, 34, 35)))
    lane = play(params, [(10, submit(B, 98, 1)), (13, cancel(1)), (30, submit(B, 98, 1))])
    # Entry latencies of -6 (lost), 0 and 14, to which 3 are added.
    assert [(a.exch_ns - START, a.due_ns - START) for a in lane.history[:1]] == [(10, 16)]
    assert [a.exch_ns - START for a in lane.history[1:]] == [16, 47]
    assert answers(lane) == [
        end(rec.REJECTED, 1, rec.LOST), end(rec.CANCEL_REJECTED, 1, rec.ALREADY_DONE), ack(2, 98, 1),
    ]  # fmt: skip


def test_quantiles_lie_between_their_ends() -> None:
    params = PLAIN.replace(latency=LatencyQuantiles((100, 200, 1000), (7, 7)))
    lane = play(params, [(10_000 * k, submit(B, 98, 1)) for k in range(1, 60)])
    waits = [order.arrive_ns - order.submit_ns - 1 for order in lane.orders.values()]
    assert 100 <= min(waits) < 150 < 500 < max(waits) <= 1000
    assert 20 < sum(wait < 200 for wait in waits) < 40
    assert all(a.due_ns - a.exch_ns == 8 for a in lane.history)


def test_the_feed_does_not_depend_on_where_a_lane_stops() -> None:
    rows = [(7_000_000 * k, [(rec.DEPTH, B, 99, k, k + 1)]) for k in range(1, 500)]
    messages = [(START, START, BOOK), *((START + at, START + at, row) for at, row in rows)]
    market = Market.compile(tape_of(messages))
    params = PLAIN.replace(feed_delay_ns=30_000_000, feed_jitter_ns=900_000_000)

    def seen(stop: int, step: int) -> int:
        """Quantity at 99, which counts the rows seen, at `stop` after stops every `step`."""
        session, reference = Session(market, params), reference_lane(market, params, START, seed=0)
        for at in (*range(step, stop, step), stop):
            session.advance(START + at)
            reference.advance(START + at)
            best = reference.local.qty(B, 99)
            assert session.ladder(0, B, 1).tolist() in ([], [[99, best]])
        return best

    stops = range(500_000_000, 3_400_000_000, 83_000_000)
    counts = [seen(stop, stop) for stop in stops]
    assert counts == [seen(stop, 29_000_000) for stop in stops]
    assert counts == sorted(counts)
    lags = {stop // 7_000_000 - count for stop, count in zip(stops, counts, strict=True) if count > 10}
    assert min(lags) >= 4  # 30 ms
    assert max(lags) > 60


# -- queues ------------------------------------------------------------------------------------------------------------

# An order behind 10 lots; 4 more come behind it; then 7 of the 14 are cancelled. f = 10/14, b = 4/14.
SHARES = {
    ("power3", 1): 10 / 14, ("power3", 2): (10 / 14) ** 2, ("power", 2): 100 / 116, ("power2", 2): 1 - (4 / 14) ** 2,
    ("log", 1): None, ("log2", 1): None, ("risk_averse", 1): 0.0, ("optimistic", 1): 1.0,
}  # fmt: skip


@pytest.mark.parametrize(("model", "power"), SHARES)
def test_queue_models(model: str, power: int) -> None:
    rows = [(10, [(rec.DEPTH, B, 99, 14, 2)]), (20, [(rec.DEPTH, B, 99, 7, 3)])]
    lane = play(PLAIN.replace(queue=model, queue_power=power), [(1, submit(B, 99, 1))], rows)
    share = SHARES[model, power]
    if share is None:  # quantities of thousandths: logarithms are nearly their arguments
        share = {"log": 10 / 14, "log2": 10 / 14}[model]
        assert lane.orders[1].front / (1 << 20) == pytest.approx(10 - 7 * share, abs=0.02)
    else:
        assert lane.orders[1].front / (1 << 20) == pytest.approx(min(7, 10 - 7 * share), abs=2e-6)


def test_a_younger_order_is_held_back_by_an_older_one() -> None:
    # 8 and 12 lots stand before the two, 20 are shown, 10 go: the steep model would leave 5.71 and 4.29.
    rows = [(at, [(rec.DEPTH, B, 99, qty, at)]) for at, qty in ((1, 8), (20, 12), (30, 20), (40, 10))]
    params = PLAIN.replace(queue="power", queue_power=3)
    lane = play(params, [(10, submit(B, 99, 1)), (25, submit(B, 99, 1))], rows)
    assert lane.orders[1].front / (1 << 20) == pytest.approx(8 - 10 * 0.064 / 0.28, abs=2e-6)
    assert lane.orders[2].front == lane.orders[1].front
