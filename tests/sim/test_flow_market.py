"""The reactive flow as a market: members in it, halts and auctions, and an hour of it left to itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lobgym.sim.exchange import START_NS, Exchange
from lobgym.sim.exchange.board import AUCTION, DO_PHASE, HALTED_PHASE, OPEN
from lobgym.sim.flow import ReactiveFlow
from lobgym.sim.instrument import SYNTH
from lobgym.sim.records import BUY, IOC, SELL, TRADE
from tests.sim.test_flow import CREATED, SECOND, narrow, still


def market(flow: ReactiveFlow, seed: int = 1, members: int = 1, **arguments: object) -> Exchange:
    """A market that has run for a second."""
    exchange = Exchange(SYNTH, members=members, flow=flow, seed=seed, **arguments)  # type: ignore[arg-type]
    exchange.advance(START_NS + SECOND)
    return exchange


def ladder(exchange: Exchange, side: int) -> tuple[int, int]:
    tick, lots = exchange.ladder(side, 1)[0].tolist()
    return tick, lots


def test_members_orders_count_in_the_queues_that_the_flow_reacts_to() -> None:
    """Limit orders come to empty prices only: where a member stands, none comes."""
    quiet = still(narrow(ReactiveFlow(), 6))
    rates = tuple((5.0,) + (0.0,) * 7 for _ in range(6))
    leaves = tuple((0.0,) + (5.0,) * 7 for _ in range(6))
    exchange = market(replace(quiet, limit_per_s=rates, cancel_per_s=leaves), record="orders")
    mine = 599_995
    exchange.submit(0, BUY, mine, 5)
    exchange.advance(START_NS + 3 * SECOND)
    exchange.advance(START_NS + 43 * SECOND)
    events = exchange.order_tape().events
    late = events[(events["exch_ns"] > START_NS + 3 * SECOND) & (events["action"] == CREATED)]
    by_price = {tick: int((late["price_ticks"] == tick).sum()) for tick in (mine - 1, mine, mine + 1)}
    assert by_price[mine] == 0
    assert min(by_price[mine - 1], by_price[mine + 1]) > 50


def test_members_who_do_nothing_leave_no_trace() -> None:
    def digest(members: int) -> str:
        made = Exchange(flow=ReactiveFlow(), members=members, seed=3, record="levels")
        made.advance(made.now_ns + 20 * SECOND)
        return made.tape().digest

    assert digest(0) == digest(1) == digest(7)


def test_a_quote_that_value_has_left_behind_is_taken() -> None:
    exchange = market(still(ReactiveFlow()))
    best, _ = ladder(exchange, BUY)
    exchange.submit(0, SELL, best + 1, 2)
    exchange.advance(exchange.now_ns + SECOND)
    state = exchange._arrays.flow[0]
    assert exchange.account(0).position_lots == 0
    state["v"] += 40 << 16  # value jumps over the member's quote
    state["stale_ns"] = state["informed_ns"] = exchange.now_ns + 1_000_000
    exchange.board["flow_due"] = exchange.now_ns + 1
    exchange.advance(exchange.now_ns + SECOND)
    assert exchange.account(0).position_lots == -2
    bid, _ = ladder(exchange, BUY)
    ask, _ = ladder(exchange, SELL)
    reference = int(state["v"]) // 65536 + int(exchange.board["base_tick"])
    assert bid <= reference < ask
    assert ask - bid < 5


def test_what_members_take_moves_value_by_the_impact() -> None:
    flow = still(ReactiveFlow(), impact_ticks_per_lot=0.002)
    exchange = market(flow)
    before = int(exchange._arrays.flow[0]["v"])
    ask, lots = ladder(exchange, SELL)
    exchange.submit(0, BUY, ask, lots, IOC)
    exchange.advance(exchange.now_ns + SECOND)
    bought = exchange.account(0).position_lots
    assert bought > 0
    moved = int(exchange._arrays.flow[0]["v"]) - before
    assert moved == bought * int(0.002 * 65536 * 256 + 0.5) >> 8
    assert exchange.board["index_1e8"] > 0


def test_in_a_halt_nothing_trades_and_nothing_new_comes() -> None:
    halt, resume = START_NS + 2 * SECOND, START_NS + 4 * SECOND
    plan = ((halt, DO_PHASE, HALTED_PHASE, 0), (resume, DO_PHASE, OPEN, 0))
    exchange = Exchange(SYNTH, flow=ReactiveFlow(), seed=5, record="all", schedule=plan)
    exchange.advance(START_NS + 8 * SECOND)
    events, orders = exchange.events(), exchange.order_tape().events
    during = (orders["exch_ns"] > halt) & (orders["exch_ns"] < resume)
    assert during.sum() > 50
    assert not (orders["action"][during] == CREATED).any()
    prints = events["exch_ns"][events["kind"] == TRADE]
    assert not ((prints > halt) & (prints < resume)).any()
    assert (prints > resume).any()


def test_in_an_auction_orders_gather_and_trade_when_it_ends() -> None:
    begin, end = START_NS + 2 * SECOND, START_NS + 5 * SECOND
    plan = ((begin, DO_PHASE, AUCTION, 0), (end, DO_PHASE, OPEN, 0))
    flow = replace(ReactiveFlow(), jump_per_s=5.0)
    exchange = Exchange(SYNTH, flow=flow, seed=6, record="all", schedule=plan)
    exchange.advance(START_NS + 10 * SECOND)
    events, orders = exchange.events(), exchange.order_tape().events
    during = (orders["exch_ns"] > begin) & (orders["exch_ns"] < end)
    assert (orders["action"][during] == CREATED).sum() > 500
    prints = events["exch_ns"][events["kind"] == TRADE]
    assert not ((prints > begin) & (prints < end)).any()
    assert (prints > end).any()
    (bid, _), (ask, _) = ladder(exchange, BUY), ladder(exchange, SELL)
    assert bid < ask


@pytest.mark.parametrize("seed", [1, 2])
def test_an_hour_stays_sane(seed: int) -> None:
    """Neither dies out nor runs away: spread, depth, resting orders and price, first half against second."""
    exchange = Exchange(SYNTH, flow=ReactiveFlow(), seed=seed)
    board, levels = exchange.board, exchange._arrays.levels["qty"]
    rows = []
    for step in range(1, 3_601):
        exchange.advance(START_NS + step * SECOND)
        bid, ask = int(board["best_bid"]), int(board["best_ask"])
        top = int(levels[0, bid] + levels[1, ask]) / 2 if bid >= 0 and ask >= 0 else 0
        rows.append((bid, ask, top, int(board["resting"]), int(board["messages"])))
    made = np.array(rows, np.float64)
    two_sided = (made[:, 0] >= 0) & (made[:, 1] >= 0)
    assert two_sided.mean() > 0.999
    spread = made[two_sided, 1] - made[two_sided, 0]
    assert 1.0 <= spread.mean() < 1.5
    assert np.quantile(spread, 0.99) <= 2
    halves = [half.mean(axis=0) for half in np.array_split(made, 2)]
    assert 0.5 < halves[1][2] / halves[0][2] < 2.0
    assert 0.5 < halves[1][3] / halves[0][3] < 2.0
    assert 3_000 < made[-1, 3] < 40_000
    assert 500 < made[-1, 4] / 3_600 < 2_000
    move = np.diff(made[two_sided, 0])
    assert 5 < move.std() < 100
    assert abs(made[-1, 0] - made[0, 0]) < 40_000
    assert int(board["refused"]) == 0


def test_the_price_is_reflected_before_the_book_ends() -> None:
    flow = narrow(ReactiveFlow(), 8, drift_ticks_per_s=20_000.0, trend_hold_s=5.0)
    exchange = Exchange(SYNTH, flow=flow, seed=3, width=1 << 14)
    low, high = exchange.board["width"], 0
    for step in range(1, 601):
        exchange.advance(START_NS + step * SECOND // 10)
        value = int(exchange._arrays.flow[0]["v"]) >> 16
        low, high = min(low, value), max(high, value)
    width = int(exchange.board["width"])
    assert high - low > width // 4
    assert width // 8 <= low
    assert high <= width - width // 8
    assert int(exchange.board["refused"]) == 0


def test_nodes_that_the_price_leaves_behind_are_given_back() -> None:
    flow = narrow(ReactiveFlow(), 8, drift_ticks_per_s=100.0, trend_hold_s=1000.0, trim_per_s=500.0)
    exchange = Exchange(SYNTH, flow=flow, seed=3)
    exchange._arrays.flow["trend"] = 2
    exchange.advance(START_NS + 20 * SECOND)
    early = int(exchange.board["resting"])
    exchange.advance(START_NS + 120 * SECOND)
    assert int(exchange._arrays.flow[0]["v"]) >> 16 > 131_072 + 5_000
    assert int(exchange.board["resting"]) < 2 * early + 500
