"""A member's requests reach the exchange: the same rules as in the replay (docs/market.md, section 3), on this book.

What differs: orders outside the book's range are refused as of an unknown level; in an auction orders gather, and what
could not wait (IOC, FOK, market) is refused as in a halt.
"""

from __future__ import annotations

from typing import Final

from lobgym.sim.answers import answer, answer_order
from lobgym.sim.arrival import price_band, refused_at_the_door, reject
from lobgym.sim.exchange.board import (
    AUCTION,
    HALTED_PHASE,
    NONE,
    Board,
    best_at,
    tick_of,
    world_of,
)
from lobgym.sim.exchange.book import drop, reduce, rest
from lobgym.sim.exchange.calls import call_cross, entry
from lobgym.sim.exchange.feed import settle_feed
from lobgym.sim.exchange.trading import takeable
from lobgym.sim.jit import njit_inner
from lobgym.sim.margin import lacks_margin
from lobgym.sim.records import (
    ACK,
    ALREADY_DONE,
    BUY,
    CANCEL_REJECTED,
    CANCELLED,
    CANNOT_FILL,
    DONE,
    EXPIRED,
    FOK,
    GTC,
    GTX,
    HALTED,
    LIVE,
    MARGIN,
    MARKET,
    MODIFIED,
    MODIFY_REJECTED,
    NOTHING_TO_TAKE,
    OK,
    REDUCE_ONLY,
    REJECTED,
    REQ_CANCEL,
    REQ_MODIFY,
    REQ_SUBMIT,
    SENT,
    UNKNOWN_LEVEL,
    WOULD_TAKE,
)
from lobgym.sim.trades import end_order
from lobgym.sim.world import lane_at, order_at, response_at

__all__ = ["arrives", "leave", "rest_order"]

_NO_CURSOR: Final = 0  # the margin's mark comes from the venue, never from a compiled book


@njit_inner
def _door(x: Board, lane: int) -> int:
    """Rate limit, then the phase of trading."""
    reason = refused_at_the_door(world_of(x), lane, x["now_ns"])
    if reason == OK and x["phase"] == HALTED_PHASE:
        reason = HALTED
    return int(reason)


@njit_inner
def rest_order(x: Board, lane: int, slot: int) -> bool:
    """A member's order stands in the book from here on; whether there was room."""
    w = world_of(x)
    order = order_at(w, lane, slot)
    side = int(order["side"])
    node = rest(x, side, order["tick"] - x["base_tick"], order["leaves"], lane, slot)
    if node == 0:
        return False
    made = lane_at(w, lane)
    order["touch"] = node
    order["rank"] = made["next_rank"]
    made["next_rank"] += 1
    order["state"] = LIVE
    made["live_orders"] += 1
    if side == BUY:
        made["open_bid"] += order["leaves"]
    else:
        made["open_ask"] += order["leaves"]
    return True


@njit_inner
def leave(x: Board, lane: int, slot: int) -> None:
    """A member's resting order leaves the book."""
    w = world_of(x)
    drop(x, order_at(w, lane, slot)["touch"])
    end_order(w, lane, slot)


@njit_inner
def _enter(x: Board, lane: int, slot: int, fresh: bool) -> None:
    """An order that may come in meets the book; `fresh` unless it was modified, and is known already."""
    w = world_of(x)
    ns = x["now_ns"]
    order = order_at(w, lane, slot)
    side = int(order["side"])
    tif = int(order["tif"])
    rests = tif == GTC or tif == GTX
    if x["phase"] == AUCTION and not rests:
        reject(w, lane, slot, REJECTED, ns, HALTED)
        return
    opposite = best_at(x, -side)
    if tif == MARKET:
        if opposite == NONE:
            reject(w, lane, slot, EXPIRED, ns, NOTHING_TO_TAKE)
            return
        order["tick"] = price_band(w, tick_of(x, opposite), side)
    limit = order["tick"] - x["base_tick"]
    if rests and not 0 <= limit < x["width"]:
        reject(w, lane, slot, REJECTED, ns, UNKNOWN_LEVEL)
        return
    reaches = opposite != NONE and side * limit >= side * opposite and x["phase"] != AUCTION
    if tif == GTX and reaches:
        reject(w, lane, slot, EXPIRED, ns, WOULD_TAKE)
        return
    if tif == FOK and takeable(x, lane, side, limit, order["leaves"]) < order["leaves"]:
        reject(w, lane, slot, EXPIRED, ns, CANNOT_FILL)
        return
    if reaches:
        call_cross(x, lane, slot, side, limit, order["leaves"])
        if order["state"] == DONE:
            return
    if not rests:
        reject(w, lane, slot, EXPIRED, ns, NOTHING_TO_TAKE)
        return
    if not rest_order(x, lane, slot):
        reject(w, lane, slot, REJECTED, ns, UNKNOWN_LEVEL)
        return
    if fresh:
        answer(w, lane, slot, side, ACK, ns, order["tick"], order["leaves"], 0, 0, 0, 0)


@njit_inner
def _submit_arrives(x: Board, lane: int, slot: int) -> None:
    w = world_of(x)
    ns = x["now_ns"]
    order = order_at(w, lane, slot)
    order["arrive_ns"] = ns
    reason = _door(x, lane)
    if reason == OK and order["reduce_only"]:
        reducible = max(0, -int(order["side"]) * lane_at(w, lane)["position"])
        if reducible == 0:
            reason = REDUCE_ONLY
        order["qty"] = min(order["qty"], reducible)
        order["leaves"] = order["qty"]
    if reason == OK and lacks_margin(w, lane, order["side"], order["leaves"], 0, ns, _NO_CURSOR):
        reason = MARGIN
    if reason != OK:
        reject(w, lane, slot, REJECTED, ns, reason)
        return
    _enter(x, lane, slot, True)


@njit_inner
def _modify_arrives(x: Board, lane: int, slot: int, tick: int, qty: int) -> None:
    w = world_of(x)
    ns = x["now_ns"]
    order = order_at(w, lane, slot)
    made = lane_at(w, lane)
    reason = _door(x, lane)
    if reason == OK and order["state"] != LIVE:
        reason = ALREADY_DONE
    if reason != OK:
        answer_order(w, lane, slot, MODIFY_REJECTED, ns, reason)
        return
    leaves = qty - (order["qty"] - order["leaves"])
    if leaves <= 0:
        leave(x, lane, slot)
        answer_order(w, lane, slot, CANCELLED, ns, 0)
        size = w["max_responses"]
        response_at(w, lane, (made["response_head"] + made["response_count"] - 1) % size)["request"] = REQ_MODIFY
        return
    side = int(order["side"])
    if tick == order["tick"] and leaves <= order["leaves"]:
        less = order["leaves"] - leaves
        if side == BUY:
            made["open_bid"] -= less
        else:
            made["open_ask"] -= less
        order["qty"] = qty
        order["leaves"] = leaves
        if less > 0:
            reduce(x, order["touch"], less)
        answer(w, lane, slot, side, MODIFIED, ns, tick, leaves, 0, 0, 0, 0)
        return
    if order["reduce_only"]:
        reducible = max(0, -side * made["position"])
        if reducible == 0:
            reason = REDUCE_ONLY
        qty -= leaves - min(leaves, reducible)
        leaves = min(leaves, reducible)
    if reason == OK and lacks_margin(w, lane, side, leaves, order["leaves"], ns, _NO_CURSOR):
        reason = MARGIN
    if reason == OK and not 0 <= tick - x["base_tick"] < x["width"]:
        reason = UNKNOWN_LEVEL
    if reason != OK:
        answer_order(w, lane, slot, MODIFY_REJECTED, ns, reason)
        return
    leave(x, lane, slot)
    order["state"] = SENT
    order["tick"] = tick
    order["qty"] = qty
    order["leaves"] = leaves
    answer(w, lane, slot, side, MODIFIED, ns, tick, leaves, 0, 0, 0, 0)
    _enter(x, lane, slot, False)


@njit_inner
def _cancel_arrives(x: Board, lane: int, slot: int) -> None:
    w = world_of(x)
    if order_at(w, lane, slot)["state"] == LIVE:
        leave(x, lane, slot)
        answer_order(w, lane, slot, CANCELLED, x["now_ns"], 0)
    else:
        answer_order(w, lane, slot, CANCEL_REJECTED, x["now_ns"], ALREADY_DONE)


@entry("arrives")
def arrives(x: Board, lane: int, slot: int, kind: int, tick: int, qty: int) -> int:
    """One request of a member."""
    x["messages"] += 1
    if kind == REQ_SUBMIT:
        _submit_arrives(x, lane, slot)
    elif kind == REQ_CANCEL:
        _cancel_arrives(x, lane, slot)
    else:
        _modify_arrives(x, lane, slot, tick, qty)
    settle_feed(x)
    return 0
