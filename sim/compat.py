"""The compatibility profiles `hftbacktest` and `hftbacktest-partial`: what rows and requests do to orders there.

These kernels stand behind the same entries as those of `conservative` (`lobgym.sim.matching`, `.arrival`, `.front`);
clock, latency, ledger and answers are shared. The rules, and where the engine that they are taken from goes wrong, are
in docs/hftbacktest.md. In short: what an order takes comes back at once, every own order sees every print, own orders
ignore each other, no price is unknown, and a resting order that the opposite best reaches fills in full.
"""

from __future__ import annotations

from typing import Final

from lobgym.sim.answers import answer, answer_order
from lobgym.sim.arrival import rest
from lobgym.sim.book import NO_ASK, NO_BID, RESET, row_flags, row_qty
from lobgym.sim.calls import call_sync_front, entry
from lobgym.sim.compat_queue import base_units, front_after_depth, lots_past
from lobgym.sim.jit import njit_inner, njit_leaf
from lobgym.sim.matching import rebound
from lobgym.sim.queue import RISK_AVERSE
from lobgym.sim.records import (
    ACK,
    ALREADY_DONE,
    BUY,
    CANNOT_FILL,
    DONE,
    EXPIRED,
    FOK,
    GTC,
    GTX,
    LIVE,
    MARKET,
    MODIFIED,
    MODIFY_REJECTED,
    NOTHING_TO_TAKE,
    QUEUE_SYNCED,
    SENT,
    WOULD_TAKE,
)
from lobgym.sim.trades import end_order, fill
from lobgym.sim.view import (
    best_ask,
    best_bid,
    find_level,
    level_qty_by_id,
    level_tick,
    next_level,
    print_of,
    row_ns,
    row_word,
    touch_at,
    touch_row,
    touch_start,
    touched_qty,
)
from lobgym.sim.world import World, exch_of, lane_at, order_at

__all__ = ["on_best", "on_print", "submit_arrives", "sync_front"]

PARTIAL: Final = 2  # the profile's number (`lobgym.sim.params.PROFILES`)
_MARKET_BUYS_WALK: Final = 99  # ticks behind the best that a market order reaches, with partial fills
_MARKET_SELLS_WALK: Final = 100


@njit_leaf
def _units(w: World, lots: int) -> float:
    return base_units(lots, w["lot_numerator"], w["lot_denominator"])


# -- queues ------------------------------------------------------------------------------------------------------------


@njit_inner
def _locate(w: World, i: int, slot: int) -> None:
    """Look up an order's level, and what it displayed when the order came to stand there."""
    order = order_at(w, i, slot)
    book = exch_of(w)
    level = find_level(book, order["side"], order["tick"])
    shown = 0
    order["level"] = level
    if level >= 0:
        at = touch_at(book, level, order["sync"])
        order["touch"] = at
        shown = touched_qty(book, at - 1) if at > touch_start(book, level) else 0
    order["front_units"] = _units(w, shown)
    order["printed_units"] = 0.0
    order["queue_state"] = QUEUE_SYNCED


@entry("sync_front", compat=True)
def sync_front(w: World, i: int, slot: int, row: int) -> int:
    """Bring an order's front to the state after rows [0, row). A reset of the book does not concern it."""
    order = order_at(w, i, slot)
    if order["queue_state"] != QUEUE_SYNCED:
        _locate(w, i, slot)
    level = order["level"]
    if level >= 0:
        book = exch_of(w)
        lane = lane_at(w, i)
        at = order["touch"]
        end = touch_start(book, level + 1)
        while at < end and touch_row(book, at) < row:
            word = row_word(book, touch_row(book, at))
            if (row_flags(word) & RESET) == 0:
                prev = touched_qty(book, at - 1) if at > touch_start(book, level) else 0
                order["front_units"] = front_after_depth(
                    lane["queue_model"], float(lane["queue_power"]), order["front_units"], order["printed_units"],
                    _units(w, prev), _units(w, row_qty(word)),
                )  # fmt: skip
                order["printed_units"] = 0.0
            at += 1
        order["touch"] = at
    order["sync"] = row
    return 0


@entry("mark_rivals", compat=True)
def mark_rivals(w: World, i: int, slot: int, row: int) -> int:
    """Own orders of one price do not know of each other."""
    return 0


# -- rows meet resting orders ------------------------------------------------------------------------------------------


@njit_inner
def _next_met(w: World, i: int, side: int, price: int, after_rank: int) -> int:
    """The live order of `side` at or better than `price` that came next after `after_rank`, or -1."""
    found = -1
    first = 1 << 62
    for slot in range(lane_at(w, i)["slot_count"]):
        order = order_at(w, i, slot)
        if order["state"] == LIVE and order["side"] == side and side * order["tick"] >= side * price:
            rank = order["rank"]
            if after_rank < rank < first:
                found = slot
                first = rank
    return found


@entry("on_print", compat=True)
def on_print(w: World, i: int, at: int) -> int:
    """A print fills what it passes, and moves the queues at its price."""
    book = exch_of(w)
    printed = print_of(book, at)
    row = printed["row"]
    side = -int(printed["side"])  # of the resting orders
    price = printed["tick"]
    lot = _units(w, 1)
    slot = _next_met(w, i, side, price, 0)
    while slot >= 0:
        order = order_at(w, i, slot)
        rank = order["rank"]
        lots = order["leaves"]
        if order["tick"] == price:
            call_sync_front(w, i, slot, row)
            volume = _units(w, printed["qty"])
            order["front_units"] -= volume
            if lane_at(w, i)["queue_model"] != RISK_AVERSE:
                order["printed_units"] += volume
            past = lots_past(order["front_units"], lot)
            if past > 0:
                order["front_units"] = 0.0
            lots = max(0, min(past, lots) if w["profile"] == PARTIAL or past <= 0 else lots)
        if lots > 0:
            fill(w, i, slot, row_ns(book, row), order["tick"], lots, 1)
        slot = _next_met(w, i, side, price, rank)
    rebound(w, i)
    return 0


@njit_inner
def _reached(w: World, i: int, side: int, best: int, ns: int) -> None:
    slot = _next_met(w, i, side, best, 0)
    while slot >= 0:
        order = order_at(w, i, slot)
        rank = order["rank"]
        fill(w, i, slot, ns, order["tick"], order["leaves"], 1)
        slot = _next_met(w, i, side, best, rank)


@entry("on_best", compat=True)
def on_best(w: World, i: int, row: int) -> int:
    """Own bids that the best ask has reached with row `row` fill, then own asks that the best bid has."""
    book = exch_of(w)
    ask = best_ask(book, row + 1)
    bid = best_bid(book, row + 1)
    if ask <= lane_at(w, i)["bid_high"]:
        _reached(w, i, BUY, ask, row_ns(book, row))
    if bid >= lane_at(w, i)["ask_low"]:
        _reached(w, i, -BUY, bid, row_ns(book, row))
    rebound(w, i)
    return 0


# -- requests ----------------------------------------------------------------------------------------------------------


@njit_inner
def _expire(w: World, i: int, slot: int, ns: int, reason: int) -> None:
    order = order_at(w, i, slot)
    order["state"] = DONE
    lane_at(w, i)["rejects"] += order["leaves"] == order["qty"]
    answer_order(w, i, slot, EXPIRED, ns, reason)


@njit_inner
def _walk(w: World, i: int, slot: int, ns: int, cursor: int, best: int, last: int) -> None:
    """Fill an order level by level, from `best` to `last`, with what each displays."""
    book = exch_of(w)
    order = order_at(w, i, slot)
    side = int(order["side"])
    level = find_level(book, -side, best)
    while level >= 0 and order["leaves"] > 0 and side * level_tick(book, level) <= side * last:
        shown = level_qty_by_id(book, level, cursor)
        if fill(w, i, slot, ns, level_tick(book, level), min(order["leaves"], shown), 0) == 0:
            return
        level = next_level(book, -side, level, cursor)


@njit_inner
def _shown(w: World, side: int, cursor: int, best: int, last: int, wanted: int) -> int:
    """Lots on the other side of `side` from `best` to `last`, counted no further than `wanted`."""
    book = exch_of(w)
    total = 0
    level = find_level(book, -side, best)
    while level >= 0 and total < wanted and side * level_tick(book, level) <= side * last:
        total += level_qty_by_id(book, level, cursor)
        level = next_level(book, -side, level, cursor)
    return total


@njit_inner
def _take(w: World, i: int, slot: int, ns: int, cursor: int, best: int) -> None:
    """An order that takes, with partial fills."""
    order = order_at(w, i, slot)
    side = int(order["side"])
    last = order["tick"]
    if order["tif"] == MARKET:
        last = best + _MARKET_BUYS_WALK if side == BUY else best - _MARKET_SELLS_WALK
    elif order["tif"] == GTC and side == BUY:
        last -= 1
    elif order["tif"] == FOK and _shown(w, side, cursor, best, last, order["leaves"]) < order["leaves"]:
        _expire(w, i, slot, ns, CANNOT_FILL)
        return
    _walk(w, i, slot, ns, cursor, best, last)
    if order["leaves"] > 0:
        if order["tif"] == GTC:
            fill(w, i, slot, ns, order["tick"], order["leaves"], 0)
        else:
            _expire(w, i, slot, ns, NOTHING_TO_TAKE)


@njit_inner
def _enter(w: World, i: int, slot: int, ns: int, cursor: int, fresh: bool) -> None:
    """An order meets the book; `fresh` unless it was modified, and is known already."""
    book = exch_of(w)
    order = order_at(w, i, slot)
    side = int(order["side"])
    tick = order["tick"]
    tif = order["tif"]
    best = best_ask(book, cursor) if side == BUY else best_bid(book, cursor)
    exists = best != NO_ASK and best != NO_BID
    if not (exists and (tif == MARKET or side * tick >= side * best)):
        if tif != GTC and tif != GTX:
            _expire(w, i, slot, ns, NOTHING_TO_TAKE)
            return
        rest(w, i, slot, ns, cursor, False)
        if fresh:
            answer(w, i, slot, side, ACK, ns, tick, order["leaves"], 0, 0, 0, 0)
    elif tif == GTX:
        _expire(w, i, slot, ns, WOULD_TAKE)
    elif w["profile"] == PARTIAL:
        _take(w, i, slot, ns, cursor, best)
    else:
        fill(w, i, slot, ns, best, order["leaves"], 0)


@entry("submit_arrives", compat=True)
def submit_arrives(w: World, i: int, slot: int, ns: int, cursor: int) -> int:
    """A new order meets the exchange."""
    _enter(w, i, slot, ns, cursor, True)
    return 0


@entry("modify_arrives", compat=True)
def modify_arrives(w: World, i: int, slot: int, ns: int, cursor: int, tick: int, qty: int, believed: int) -> int:
    """Change an order's price, or what is left of it: in place, or by entering anew.

    An order that enters anew has what its sender `believed` to be left when it asked, whatever `qty` says.
    """
    order = order_at(w, i, slot)
    lane = lane_at(w, i)
    if order["state"] != LIVE:
        answer_order(w, i, slot, MODIFY_REJECTED, ns, ALREADY_DONE)
        return 0
    filled = order["qty"] - order["leaves"]
    if tick == order["tick"] and qty <= order["leaves"]:
        if order["side"] == BUY:
            lane["open_bid"] += qty - order["leaves"]
        else:
            lane["open_ask"] += qty - order["leaves"]
        order["qty"] = filled + qty
        order["leaves"] = qty
        answer(w, i, slot, order["side"], MODIFIED, ns, tick, qty, 0, 0, 0, 0)
        return 0
    end_order(w, i, slot)
    order["state"] = SENT
    order["tick"] = tick
    order["leaves"] = believed
    order["qty"] = filled + believed
    answer(w, i, slot, order["side"], MODIFIED, ns, tick, believed, 0, 0, 0, 0)
    _enter(w, i, slot, ns, cursor, False)
    return 0
