"""The end of a call auction: one price at which the most trades, and everything that crosses trades there.

Of the prices with the largest volume, those that leave the smallest surplus; of these the nearest to the last trade,
or, where there was none, the middle one. Orders trade by price, then time; both sides pay the maker's fee, for both
rested. A member's orders that would meet each other do not trade: the younger one ends, unless self-trade prevention is
off. Where orders that ended so left others crossing, those trade in a further round, at a price of its own.
"""

from __future__ import annotations

from lobgym.sim.answers import answer_order
from lobgym.sim.exchange.board import FLOW, NONE, Board, level_at, node_at, tick_of, world_of
from lobgym.sim.exchange.book import drop, reduce
from lobgym.sim.exchange.calls import entry
from lobgym.sim.exchange.feed import say_print
from lobgym.sim.exchange.trading import count_trade, reducible
from lobgym.sim.jit import njit_inner
from lobgym.sim.money import cash_of
from lobgym.sim.records import BUY, CANCELLED, DONE, EXPIRED, REDUCE_ONLY, SELF_TRADE, SELL
from lobgym.sim.trades import end_order, fill
from lobgym.sim.world import econ_of, order_at

__all__ = ["clearing_price", "uncross"]


@njit_inner
def clearing_price(x: Board) -> tuple[int, int]:
    """`at` of the auction's price, or NONE where nothing crosses; and its surplus in lots, above 0 of bids."""
    low, high = int(x["best_ask"]), int(x["best_bid"])
    if low == NONE or high == NONE or low > high:
        return NONE, 0
    demand = 0
    for at in range(low, high + 1):
        demand += level_at(x, BUY, at)["qty"]
    supply = 0
    most = -1
    surplus = 0
    first = NONE
    last = NONE
    nearest = NONE
    for at in range(low, high + 1):
        supply += level_at(x, SELL, at)["qty"]
        volume = min(demand, supply)
        rest = abs(demand - supply)
        if volume > most or (volume == most and rest < abs(surplus)):
            most = volume
            surplus = demand - supply
            first = at
            nearest = at
        if volume == most and rest == abs(surplus):
            last = at
            if abs(at - x["last_at"]) < abs(nearest - x["last_at"]):
                nearest = at
                surplus = demand - supply
        demand -= level_at(x, BUY, at)["qty"]
    if x["last_at"] != NONE or last == nearest:
        return nearest, int(surplus)
    middle = (first + last) // 2
    surplus = 0
    for at in range(middle, high + 1):
        surplus += level_at(x, BUY, at)["qty"]
    for at in range(low, middle + 1):
        surplus -= level_at(x, SELL, at)["qty"]
    return middle, int(surplus)


@njit_inner
def _end(x: Board, node: int, kind: int, reason: int) -> None:
    w = world_of(x)
    order = node_at(x, node)
    lane, slot = int(order["lane"]), int(order["slot"])
    end_order(w, lane, slot)
    answer_order(w, lane, slot, kind, x["now_ns"], reason)
    drop(x, node)


@njit_inner
def _settle(x: Board, node: int, at: int, lots: int, of_members: bool) -> None:
    """One side of an auction's trade; what the flow trades with itself is in no account."""
    w = world_of(x)
    order = node_at(x, node)
    gone = order["qty"] == lots
    if order["lane"] != FLOW:
        fill(w, order["lane"], order["slot"], x["now_ns"], tick_of(x, at), lots, 1)
        gone = gone or order_at(w, order["lane"], order["slot"])["state"] == DONE
    elif of_members:
        side = int(order["side"])
        x["flow_position"] += side * lots
        x["flow_cash"] += cash_of(econ_of(w), side, tick_of(x, at), lots)
    if gone:
        drop(x, node)
    else:
        reduce(x, node, lots)


@njit_inner
def _can_trade(x: Board, node: int) -> int:
    order = node_at(x, node)
    if order["lane"] == FLOW:
        return int(order["qty"])
    return int(reducible(world_of(x), order["lane"], order["slot"]))


@entry("uncross")
def uncross(x: Board) -> int:
    """Trade all that crosses; the lots traded."""
    total = 0
    at, surplus = clearing_price(x)
    while at != NONE:
        total += _trade_all(x, at, surplus)
        at, surplus = clearing_price(x)
    return int(total)


@njit_inner
def _trade_all(x: Board, at: int, surplus: int) -> int:
    """Trade at a clearing price until no bid and ask that take it are left; the lots traded."""
    w = world_of(x)
    aggressor = BUY if surplus >= 0 else SELL
    total = 0
    while x["best_bid"] != NONE and x["best_ask"] != NONE and x["best_bid"] >= at >= x["best_ask"]:
        bid = int(level_at(x, BUY, x["best_bid"])["head"])
        ask = int(level_at(x, SELL, x["best_ask"])["head"])
        if _can_trade(x, bid) == 0:
            _end(x, bid, EXPIRED, REDUCE_ONLY)
            continue
        if _can_trade(x, ask) == 0:
            _end(x, ask, EXPIRED, REDUCE_ONLY)
            continue
        owner = node_at(x, bid)["lane"]
        if owner != FLOW and owner == node_at(x, ask)["lane"] and w["self_trade"] != 0:
            _end(x, bid if node_at(x, bid)["id"] > node_at(x, ask)["id"] else ask, CANCELLED, SELF_TRADE)
            continue
        lots = min(_can_trade(x, bid), _can_trade(x, ask))
        count_trade(x, aggressor, at, lots)
        say_print(x, aggressor, at, lots)
        of_members = owner != FLOW or node_at(x, ask)["lane"] != FLOW
        _settle(x, bid, at, lots, of_members)
        _settle(x, ask, at, lots, of_members)
        total += lots
    return int(total)
