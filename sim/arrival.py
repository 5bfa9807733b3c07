"""What arrives at the exchange: new orders, modifies, cancels (docs/market.md, section 3)."""

from __future__ import annotations

from typing import Final

import numpy as np

from lobgym.sim.answers import answer, answer_order, give_answer
from lobgym.sim.book import NO_ASK, NO_BID
from lobgym.sim.calls import call_mark_rivals, call_submit_arrives, call_sync_front, entry
from lobgym.sim.front import next_at_price, place_by_orders
from lobgym.sim.jit import njit_inner, njit_leaf
from lobgym.sim.margin import lacks_margin
from lobgym.sim.matching import next_resting, rebound, takeable, walk
from lobgym.sim.queue import L3_FIFO
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
    QUEUE_FRONT,
    QUEUE_UNSEEN,
    RATE_LIMIT,
    REDUCE_ONLY,
    REJECTED,
    REQ_MODIFY,
    SELF_TRADE,
    SENT,
    UNKNOWN_LEVEL,
    WOULD_TAKE,
)
from lobgym.sim.stretch import sync_lists
from lobgym.sim.timeline import is_halted
from lobgym.sim.trades import end_order
from lobgym.sim.view import ask_tick, best_ask, best_bid, bid_tick, is_known
from lobgym.sim.world import World, exch_of, lane_at, order_at, response_at

__all__ = ["cancel_arrives", "modify_arrives", "price_band", "refused_at_the_door", "reject", "rest", "submit_arrives"]

_ONE: Final = np.uint64(1)
_BITS: Final = np.int64(63)
_PPM: Final = 1_000_000
_NO_TICK: Final = -1
_EXPIRE_TAKER: Final = 1
_EXPIRE_MAKER: Final = 2


# -- may it come in? ---------------------------------------------------------------------------------------------------


@njit_inner
def refused_at_the_door(w: World, i: int, ns: int) -> int:
    """Rate limit and halt, which submits and modifies meet alike; the reason, or OK."""
    lane = lane_at(w, i)
    if w["rate_limit"] > 0:
        window = ns // w["rate_window_ns"]
        if lane["rate_window"] != window:
            lane["rate_window"] = window
            lane["rate_count"] = 0
        lane["rate_count"] += 1
        if lane["rate_count"] > w["rate_limit"]:
            return RATE_LIMIT
    if w["status_count"] > 0 and is_halted(w, ns):
        return HALTED
    return OK


@njit_inner
def reject(w: World, i: int, slot: int, kind: int, ns: int, reason: int) -> None:
    """An order that came ends where it came in."""
    order = order_at(w, i, slot)
    order["state"] = DONE
    lane_at(w, i)["rejects"] += order["leaves"] == order["qty"]
    answer_order(w, i, slot, kind, ns, reason)


# -- it meets the book -------------------------------------------------------------------------------------------------


@njit_inner
def _own_within(w: World, i: int, side: int, limit: int) -> int:
    """The best own resting order opposite to `side` that a limit reaches, or -1."""
    slot = next_resting(w, i, -side, _NO_TICK, 0)
    if slot >= 0 and side * order_at(w, i, slot)["tick"] > side * limit:
        return -1
    return slot


@njit_inner
def _take(
    w: World, i: int, slot: int, ns: int, cursor: int
) -> None:  # fmt: skip
    """Walk the book up to the order's limit, meeting own orders as the venue's self-trade rule says."""
    order = order_at(w, i, slot)
    side = int(order["side"])
    while w["self_trade"] != 0 and order["state"] != DONE:
        own = _own_within(w, i, side, order["tick"])
        if own < 0:
            break
        price = order_at(w, i, own)["tick"]
        walk(w, i, slot, ns, cursor, price - side, False)
        if order["state"] == DONE or lane_at(w, i)["error"] != 0:
            return
        if w["self_trade"] & _EXPIRE_MAKER:
            while own >= 0:
                end_order(w, i, own)
                answer_order(w, i, own, CANCELLED, ns, SELF_TRADE)
                own = next_at_price(w, i, -side, price, 0)
            rebound(w, i)
        if w["self_trade"] & _EXPIRE_TAKER:
            lane_at(w, i)["rejects"] += order["leaves"] == order["qty"]
            order["state"] = DONE
            answer_order(w, i, slot, EXPIRED, ns, SELF_TRADE)
            return
    walk(w, i, slot, ns, cursor, order["tick"], False)


@njit_inner
def _fills_at_once(w: World, i: int, slot: int, cursor: int) -> bool:
    """Whether all of an order can be taken within its limit, short of own orders that would stop it."""
    order = order_at(w, i, slot)
    side = int(order["side"])
    limit = order["tick"]
    if w["self_trade"] & _EXPIRE_TAKER:
        own = _own_within(w, i, side, limit)
        if own >= 0:
            limit = order_at(w, i, own)["tick"] - side
    return bool(takeable(w, i, side, cursor, limit, order["leaves"]) >= order["leaves"])


@njit_inner
def price_band(w: World, opposite: int, side: int) -> int:
    """Limit of a market order: as far from the opposite best as the venue lets it walk."""
    width = opposite // _PPM * w["market_band_ppm"] + opposite % _PPM * w["market_band_ppm"] // _PPM
    return int(max(1, opposite + side * width))


@njit_leaf
def rest(w: World, i: int, slot: int, ns: int, cursor: int, alone: bool) -> None:
    """The order stands in the book from here on; with nothing before it if it is `alone` at its price."""
    lane = lane_at(w, i)
    order = order_at(w, i, slot)
    tick = order["tick"]
    order["rank"] = lane["next_rank"]
    lane["next_rank"] += 1
    order["front"] = 0
    order["printed"] = 0
    order["shared"] = 0
    order["sync"] = cursor
    order["queue_state"] = QUEUE_FRONT if alone else QUEUE_UNSEEN
    if lane["queue_model"] == L3_FIFO:
        place_by_orders(w, i, slot, ns, cursor, alone)
    bit = _ONE << np.uint64(tick & _BITS)
    if order["side"] == BUY:
        if lane["bid_mask"] & bit:
            call_mark_rivals(w, i, slot, cursor)
        lane["bid_mask"] |= bit
        lane["bid_high"] = max(lane["bid_high"], tick)
        lane["open_bid"] += order["leaves"]
    else:
        if lane["ask_mask"] & bit:
            call_mark_rivals(w, i, slot, cursor)
        lane["ask_mask"] |= bit
        lane["ask_low"] = min(lane["ask_low"], tick)
        lane["open_ask"] += order["leaves"]
    order["state"] = LIVE
    lane["live_orders"] += 1


@njit_inner
def _enter(
    w: World, i: int, slot: int, ns: int, cursor: int, opposite: int,
    fresh: bool,
) -> None:  # fmt: skip
    """An order that may come in meets the book; `fresh` unless it was modified, and is known already."""
    order = order_at(w, i, slot)
    lane = lane_at(w, i)
    side = int(order["side"])
    exists = opposite != NO_ASK and opposite != NO_BID
    if order["tif"] == MARKET:
        if not exists:
            reject(w, i, slot, EXPIRED, ns, NOTHING_TO_TAKE)
            return
        order["tick"] = price_band(w, opposite, side)
    tick = order["tick"]
    reaches = exists and side * tick >= side * opposite
    meets_own = False
    if w["self_trade"] != 0 and (tick >= lane["ask_low"] if side == BUY else tick <= lane["bid_high"]):
        meets_own = _own_within(w, i, side, tick) >= 0
    rests = order["tif"] == GTC or order["tif"] == GTX
    if rests and fresh and not reaches and not is_known(exch_of(w), side, tick, cursor):
        reject(w, i, slot, REJECTED, ns, UNKNOWN_LEVEL)
        return
    if order["tif"] == GTX and (reaches or meets_own):
        reject(w, i, slot, EXPIRED, ns, WOULD_TAKE)
        return
    if order["tif"] == FOK and not _fills_at_once(w, i, slot, cursor):
        reject(w, i, slot, EXPIRED, ns, CANNOT_FILL)
        return
    if reaches or meets_own:
        _take(w, i, slot, ns, cursor)
        if order["state"] == DONE:
            return
    if not rests:
        lane["rejects"] += order["leaves"] == order["qty"]
        order["state"] = DONE
        answer_order(w, i, slot, EXPIRED, ns, NOTHING_TO_TAKE)
        return
    rest(w, i, slot, ns, cursor, reaches)
    if fresh:
        answer(w, i, slot, side, ACK, ns, tick, order["leaves"], 0, 0, 0, 0)


# -- requests ----------------------------------------------------------------------------------------------------------


@entry("submit_arrives")
def _submit_with_checks(w: World, i: int, slot: int, ns: int, cursor: int) -> int:
    order = order_at(w, i, slot)
    opposite = best_ask(exch_of(w), cursor) if order["side"] == BUY else best_bid(exch_of(w), cursor)
    reason = refused_at_the_door(w, i, ns)
    if reason == OK and order["reduce_only"]:
        reducible = max(0, -int(order["side"]) * lane_at(w, i)["position"])
        if reducible == 0:
            reason = REDUCE_ONLY
        order["qty"] = min(order["qty"], reducible)
        order["leaves"] = order["qty"]
    if reason == OK and lacks_margin(w, i, order["side"], order["leaves"], 0, ns, cursor):
        reason = MARGIN
    if reason != OK:
        reject(w, i, slot, REJECTED, ns, reason)
        return 0
    _enter(w, i, slot, ns, cursor, opposite, True)
    return 0


@njit_leaf
def submit_arrives(w: World, i: int, slot: int, ns: int, cursor: int) -> None:
    """A new order meets the exchange. What most orders are, a quote that rests, is decided right here."""
    order = order_at(w, i, slot)
    lane = lane_at(w, i)
    order["arrive_ns"] = ns
    side = int(order["side"])
    tick = order["tick"]
    sync_lists(w, i, cursor)
    book = exch_of(w)
    bid = bid_tick(book, lane["bid_at"] - 1)
    ask = ask_tick(book, lane["ask_at"] - 1)
    if side == BUY:
        clear = tick < ask and tick < lane["ask_low"]
    else:
        clear = tick > bid and tick > lane["bid_high"]
    inside = bid < tick < ask and bid != NO_BID and ask != NO_ASK
    known = inside or lane["known_low"] <= tick <= lane["known_high"] or w["profile"] != 0
    if order["tif"] <= GTX and clear and known and not w["gated"] and not order["reduce_only"]:
        rest(w, i, slot, ns, cursor, False)
        give_answer(w, i, slot, side, ACK, ns, tick, order["leaves"], 0, 0, 0, 0)
        return
    call_submit_arrives(w, i, slot, ns, cursor)


@entry("modify_arrives")
def modify_arrives(w: World, i: int, slot: int, ns: int, cursor: int, tick: int, qty: int, believed: int) -> int:
    """Change an order's price and total quantity; it keeps its place if only the quantity shrinks.

    What its sender `believed` to be left of it does not matter here (`lobgym.sim.compat`).
    """
    order = order_at(w, i, slot)
    lane = lane_at(w, i)
    reason = refused_at_the_door(w, i, ns)
    if reason == OK and order["state"] != LIVE:
        reason = ALREADY_DONE
    if reason != OK:
        answer_order(w, i, slot, MODIFY_REJECTED, ns, reason)
        return 0
    leaves = qty - (order["qty"] - order["leaves"])
    if leaves <= 0:
        _leave(w, i, slot, cursor)
        answer_order(w, i, slot, CANCELLED, ns, 0)
        size = w["max_responses"]
        response_at(w, i, (lane["response_head"] + lane["response_count"] - 1) % size)["request"] = REQ_MODIFY
        return 0
    side = int(order["side"])
    if tick == order["tick"] and leaves <= order["leaves"]:
        if side == BUY:
            lane["open_bid"] += leaves - order["leaves"]
        else:
            lane["open_ask"] += leaves - order["leaves"]
        order["qty"] = qty
        order["leaves"] = leaves
        answer(w, i, slot, side, MODIFIED, ns, tick, leaves, 0, 0, 0, 0)
        return 0
    if order["reduce_only"]:
        reducible = max(0, -side * lane["position"])
        if reducible == 0:
            reason = REDUCE_ONLY
        qty -= leaves - min(leaves, reducible)
        leaves = min(leaves, reducible)
    if reason == OK and lacks_margin(w, i, side, leaves, order["leaves"], ns, cursor):
        reason = MARGIN
    opposite = best_ask(exch_of(w), cursor) if side == BUY else best_bid(exch_of(w), cursor)
    reaches = opposite != NO_ASK and opposite != NO_BID and side * tick >= side * opposite
    if reason == OK and not reaches and not is_known(exch_of(w), side, tick, cursor):
        reason = UNKNOWN_LEVEL
    if reason != OK:
        answer_order(w, i, slot, MODIFY_REJECTED, ns, reason)
        return 0
    _leave(w, i, slot, cursor)
    order["state"] = SENT
    order["tick"] = tick
    order["qty"] = qty
    order["leaves"] = leaves
    answer(w, i, slot, side, MODIFIED, ns, tick, leaves, 0, 0, 0, 0)
    _enter(w, i, slot, ns, cursor, opposite, False)
    return 0


@njit_leaf
def _leave(w: World, i: int, slot: int, cursor: int) -> None:
    """Take an order out of the book; what shares its price has felt it until now."""
    if order_at(w, i, slot)["shared"]:
        call_sync_front(w, i, slot, cursor)
    end_order(w, i, slot)


@njit_leaf
def cancel_arrives(w: World, i: int, slot: int, ns: int, cursor: int) -> None:
    """Take a resting order out of the book; an order that does not rest cannot be cancelled."""
    order = order_at(w, i, slot)
    if order["state"] == LIVE:
        _leave(w, i, slot, cursor)
        give_answer(w, i, slot, order["side"], CANCELLED, ns, 0, 0, 0, 0, 0, 0)
    else:
        answer_order(w, i, slot, CANCEL_REJECTED, ns, ALREADY_DONE)
