"""An arriving order meets those that rest: price first, then time, chunk by chunk.

A trade is at the price of the order that rested. A member's side of it goes through the same ledger as in the replay
(`lobgym.sim.trades`); the background flow has one account for all that it does with members.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from lobgym.sim.answers import answer, answer_order
from lobgym.sim.exchange.board import (
    FLOW,
    HALTED_PHASE,
    NONE,
    OPEN,
    Board,
    best_at,
    level_at,
    node_at,
    tick_of,
    world_of,
)
from lobgym.sim.exchange.book import drop, next_at, reduce, rest
from lobgym.sim.exchange.calls import call_cross, entry
from lobgym.sim.exchange.feed import say_print, settle_feed
from lobgym.sim.jit import njit_inner, njit_leaf
from lobgym.sim.money import cash_of
from lobgym.sim.records import CANCELLED, DONE, EXPIRED, FILL, LIQUIDATED, REDUCE_ONLY, SELF_TRADE
from lobgym.sim.rng import mix64
from lobgym.sim.trades import book_trade, end_order, fill
from lobgym.sim.world import World, econ_of, lane_at, order_at

__all__ = [
    "VENUE",
    "count_trade",
    "cross",
    "flow_cancel",
    "flow_submit",
    "flow_take",
    "reducible",
    "takeable",
    "trade_at",
]

VENUE: Final = -1  # the slot of what the venue trades for a member: a liquidation
_EXPIRE_TAKER: Final = 1
_EXPIRE_MAKER: Final = 2
_K1: Final = np.uint64(0x9E3779B97F4A7C15)
_K2: Final = np.uint64(0xC2B2AE3D27D4EB4F)
_K3: Final = np.uint64(0x165667B19E3779F9)


@njit_inner
def count_trade(x: Board, side: int, at: int, lots: int) -> None:
    """A trade happened: counters and digest."""
    x["trades"] += 1
    x["traded_lots"] += lots
    x["last_at"] = at
    word = np.uint64(np.int64(x["now_ns"])) * _K1 + np.uint64(np.int64(side * tick_of(x, at))) * _K2
    x["digest"] = mix64(x["digest"] ^ (word + np.uint64(np.int64(lots)) * _K3))


@njit_leaf
def reducible(w: World, lane: int, slot: int) -> int:
    """Lots that a member's order may trade now: what is left of it, or of the position if it only reduces."""
    if slot == VENUE:
        return int(abs(lane_at(w, lane)["position"]))
    order = order_at(w, lane, slot)
    if not order["reduce_only"]:
        return int(order["leaves"])
    return int(min(order["leaves"], max(0, -int(order["side"]) * lane_at(w, lane)["position"])))


@njit_inner
def _expire(w: World, lane: int, slot: int, ns: int, reason: int) -> None:
    """The rest of an order ends."""
    end_order(w, lane, slot)
    answer_order(w, lane, slot, EXPIRED, ns, reason)


@njit_inner
def trade_at(x: Board, side: int, at: int, lots: int, lane: int, slot: int, maker: int, node: int) -> None:
    """`lots` change hands at a price: order (`lane`, `slot`) on `side`, as taker unless `maker`, against a node."""
    w = world_of(x)
    ns = x["now_ns"]
    tick = tick_of(x, at)
    other = node_at(x, node)
    count_trade(x, side, at, lots)
    if lane != FLOW or other["lane"] != FLOW:
        if other["lane"] != FLOW:
            fill(w, other["lane"], other["slot"], ns, tick, lots, 1)
        else:
            x["flow_position"] -= side * lots
            x["flow_cash"] += cash_of(econ_of(w), -side, tick, lots)
        if slot == VENUE:
            cash, fee = book_trade(w, lane, side, tick, lots, 0, w["liquidation_fee_ppb"])
            answer(w, lane, VENUE, side, FILL, ns, tick, lots, cash, fee, 0, LIQUIDATED)
        elif lane != FLOW:
            fill(w, lane, slot, ns, tick, lots, maker)
        else:
            x["flow_position"] += side * lots
            x["flow_cash"] += cash_of(econ_of(w), side, tick, lots)
    say_print(x, side, at, lots)
    gone = other["qty"] == lots
    if not gone and other["lane"] != FLOW:
        gone = order_at(w, other["lane"], other["slot"])["state"] == DONE
    if gone:
        drop(x, node)
    else:
        reduce(x, node, lots)


@njit_inner
def _prevented(x: Board, lane: int, slot: int, node: int) -> bool:
    """Self-trade prevention: the resting order ends, the arriving one, or both. Whether the arriving one did."""
    w = world_of(x)
    own = node_at(x, node)["slot"]
    if w["self_trade"] & _EXPIRE_MAKER:
        end_order(w, lane, own)
        answer_order(w, lane, own, CANCELLED, x["now_ns"], SELF_TRADE)
        drop(x, node)
    if w["self_trade"] & _EXPIRE_TAKER:
        order = order_at(w, lane, slot)
        lane_at(w, lane)["rejects"] += order["leaves"] == order["qty"]
        _expire(w, lane, slot, x["now_ns"], SELF_TRADE)
        return True
    return False


@entry("cross")
def cross(x: Board, lane: int, slot: int, side: int, limit: int, qty: int) -> int:
    """Trade up to `qty` lots with what rests on the other side within `limit` (an `at`); the lots left.

    0 also where the order has ended on the way: by self-trade prevention, or because it may only reduce.
    """
    w = world_of(x)
    while qty > 0:
        at = best_at(x, -side)
        if at == NONE or side * at > side * limit:
            break
        node = int(level_at(x, -side, at)["head"])
        other = node_at(x, node)
        owner = int(other["lane"])
        lots = min(qty, other["qty"])
        if lane != FLOW:
            if owner == lane and w["self_trade"] != 0:
                if _prevented(x, lane, slot, node):
                    return 0
                continue
            lots = min(lots, reducible(w, lane, slot))
            if lots == 0:
                _expire(w, lane, slot, x["now_ns"], REDUCE_ONLY)
                return 0
        if owner != FLOW:
            lots = min(lots, reducible(w, owner, other["slot"]))
            if lots == 0:
                _expire(w, owner, other["slot"], x["now_ns"], REDUCE_ONLY)
                drop(x, node)
                continue
        trade_at(x, side, at, lots, lane, slot, 0, node)
        qty -= lots
        if lane != FLOW:
            if lane_at(w, lane)["error"] != 0:
                return 0
            if slot != VENUE and order_at(w, lane, slot)["state"] == DONE:
                return 0
    return qty


@njit_inner
def _sold_before(x: Board, owner: int, side: int, stop: int) -> int:
    """Lots that an order on `side` would trade with a member's orders before it comes to one of them, node `stop`."""
    w = world_of(x)
    room = side * lane_at(w, owner)["position"]
    sold = 0
    at = best_at(x, -side)
    while at != NONE:
        node = int(level_at(x, -side, at)["head"])
        while node != 0:
            if node == stop:
                return int(sold)
            other = node_at(x, node)
            if other["lane"] == owner:
                only_reduces = order_at(w, owner, other["slot"])["reduce_only"]
                sold += max(0, min(other["qty"], room - sold)) if only_reduces else other["qty"]
            node = int(other["next"])
        at = next_at(x, -side, at)
    return int(sold)


@njit_inner
def _would_trade(x: Board, lane: int, side: int, node: int, before: int) -> int:
    """Lots that would be left for an order of `lane` at a node, having traded `before` lots on the way to it.

    What only reduces has the position that the trades on the way would leave its owner. In a trade with itself a
    member's position stays; all that it takes from others adds to it.
    """
    other = node_at(x, node)
    owner = int(other["lane"])
    lots = int(other["qty"])
    if owner == FLOW or not order_at(world_of(x), owner, other["slot"])["reduce_only"]:
        return lots
    room = side * lane_at(world_of(x), owner)["position"]
    room += before if owner == lane else -_sold_before(x, owner, side, node)
    return int(max(0, min(lots, room)))


@njit_inner
def takeable(x: Board, lane: int, side: int, limit: int, wanted: int) -> int:
    """Lots within `limit` that an order could trade at once, counted up to `wanted`.

    Own orders do not count, and end the count where self-trade prevention would end the order.
    """
    w = world_of(x)
    total = 0
    taken = 0  # of others
    at = best_at(x, -side)
    while at != NONE and side * at <= side * limit and total < wanted:
        node = int(level_at(x, -side, at)["head"])
        while node != 0 and total < wanted:
            other = node_at(x, node)
            owner = int(other["lane"])
            if owner == lane and w["self_trade"] != 0:
                if w["self_trade"] & _EXPIRE_TAKER:
                    return total
            else:
                lots = _would_trade(x, lane, side, node, taken)
                total += lots
                taken += 0 if owner == lane else lots
            node = int(other["next"])
        at = next_at(x, -side, at)
    return int(total)


# -- what the background flow can do -----------------------------------------------------------------------------------


@njit_inner
def flow_submit(x: Board, side: int, at: int, qty: int) -> int:
    """A limit order of the flow: it takes what it can and rests with what is left; its node, 0 if nothing rests.

    In an auction it rests without taking; in a halt it is refused, as it is outside the book's prices.
    """
    x["messages"] += 1
    if at < 0 or at >= x["width"] or x["phase"] == HALTED_PHASE:
        x["refused"] += 1
        return 0
    left = qty
    best = best_at(x, -side)
    if best != NONE and side * at >= side * best and x["phase"] == OPEN:
        left = call_cross(x, FLOW, 0, side, at, qty)
    node = 0
    if left > 0:
        node = rest(x, side, at, left, FLOW, 0)
        x["refused"] += node == 0
    settle_feed(x)
    return int(node)


@njit_inner
def flow_take(x: Board, side: int, limit: int, qty: int) -> int:
    """An immediate-or-cancel order of the flow; the lots that it traded. Without continuous trading it is refused."""
    x["messages"] += 1
    if x["phase"] != OPEN:
        x["refused"] += 1
        return 0
    left = call_cross(x, FLOW, 0, side, limit, qty)
    settle_feed(x)
    return int(qty - left)


@njit_inner
def flow_cancel(x: Board, node: int, lots: int) -> None:
    """Take `lots` off an order of the flow, or all of it if it has no more."""
    x["messages"] += 1
    if node_at(x, node)["qty"] <= lots:
        drop(x, node)
    else:
        reduce(x, node, lots)
    settle_feed(x)
