"""Matching at the exchange: what prints and bests do to the resting orders of a lane, and what an arriving order takes.

The `conservative` profile. A lane sees the recorded market plus its own orders; the recorded market never sees the
lane, except that depth which the lane took stays taken (`lobgym.sim.spent`) and that a print's volume is spent once.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from lobgym.sim.book import NO_ASK, NO_BID
from lobgym.sim.calls import call_sync_front, entry
from lobgym.sim.jit import njit_inner, njit_leaf
from lobgym.sim.queue import after_print, available
from lobgym.sim.records import BUY, DONE, LIVE, SELL
from lobgym.sim.spent import left_of, spend
from lobgym.sim.trades import fill
from lobgym.sim.view import best_ask, best_bid, find_level, level_tick, next_level, print_of, row_ns
from lobgym.sim.world import World, exch_of, lane_at, order_at

__all__ = ["next_resting", "rebound", "takeable", "walk"]

_NO_TICK: Final = -1
_ONE: Final = np.uint64(1)
_BITS: Final = np.int64(63)


# -- displayed depth ---------------------------------------------------------------------------------------------------


@njit_inner
def walk(
    w: World, i: int, slot: int, exch_ns: int, cursor: int, limit: int,
    own_price: bool,
) -> None:  # fmt: skip
    """Fill an order against displayed depth, best level first, as far as `limit` reaches.

    At the levels' prices as a taker; at its own price as a maker where the opposite side moved into it.
    """
    book = exch_of(w)
    order = order_at(w, i, slot)
    side = int(order["side"])
    best = best_ask(book, cursor) if side == BUY else best_bid(book, cursor)
    if best == NO_ASK or best == NO_BID:
        return
    level = find_level(book, -side, best)
    while level >= 0 and order["state"] != DONE and lane_at(w, i)["error"] == 0:
        tick = level_tick(book, level)
        if side * tick > side * limit:
            return
        qty = min(order["leaves"], left_of(w, i, level, cursor))
        if qty > 0:
            price = order["tick"] if own_price else tick
            traded = fill(w, i, slot, exch_ns, price, qty, 1 if own_price else 0)
            spend(w, i, level, traded, cursor)
        level = next_level(book, -side, level, cursor)


@njit_inner
def takeable(w: World, i: int, side: int, cursor: int, limit: int, wanted: int) -> int:
    """Lots that an order of `side` could take up to `limit`, counted no further than `wanted`."""
    book = exch_of(w)
    best = best_ask(book, cursor) if side == BUY else best_bid(book, cursor)
    total = 0
    if best == NO_ASK or best == NO_BID:
        return total
    level = find_level(book, -side, best)
    while level >= 0 and total < wanted and side * level_tick(book, level) <= side * limit:
        total += left_of(w, i, level, cursor)
        level = next_level(book, -side, level, cursor)
    return min(total, wanted)


# -- resting orders ----------------------------------------------------------------------------------------------------


@njit_inner
def rebound(w: World, i: int) -> None:
    """Make the lane's bounds on its resting orders tight again."""
    lane = lane_at(w, i)
    bid_high = NO_BID
    ask_low = NO_ASK
    bid_mask = np.uint64(0)
    ask_mask = np.uint64(0)
    for slot in range(lane["slot_count"]):
        order = order_at(w, i, slot)
        if order["state"] == LIVE:
            tick = order["tick"]
            bit = _ONE << np.uint64(tick & _BITS)
            if order["side"] == BUY:
                bid_high = max(bid_high, tick)
                bid_mask |= bit
            else:
                ask_low = min(ask_low, tick)
                ask_mask |= bit
    lane["bid_high"] = bid_high
    lane["ask_low"] = ask_low
    lane["bid_mask"] = bid_mask
    lane["ask_mask"] = ask_mask


@njit_inner
def next_resting(w: World, i: int, side: int, after_tick: int, after_rank: int) -> int:
    """The live order of `side` that follows (after_tick, after_rank) in price-time order, or -1."""
    found = -1
    for slot in range(lane_at(w, i)["slot_count"]):
        order = order_at(w, i, slot)
        if order["state"] != LIVE or order["side"] != side:
            continue
        tick = order["tick"]
        if after_tick != _NO_TICK and (
            side * tick > side * after_tick or (tick == after_tick and order["rank"] <= after_rank)
        ):
            continue
        if found >= 0:
            best = order_at(w, i, found)
            if side * tick < side * best["tick"] or (tick == best["tick"] and order["rank"] > best["rank"]):
                continue
        found = slot
    return found


@njit_leaf
def _reach_of(w: World, i: int, side: int, price: int) -> tuple[int, int]:
    """How many resting orders of `side` a print at `price` reaches, and one of them."""
    count = 0
    found = -1
    for slot in range(lane_at(w, i)["slot_count"]):
        order = order_at(w, i, slot)
        if order["state"] == LIVE and order["side"] == side and side * order["tick"] >= side * price:
            found = slot
            count += 1
    return count, found


@entry("on_print")
def _on_print(w: World, i: int, at: int) -> int:
    """A print meets own orders: better-priced first, then those at its price behind their queues.

    No more is filled than was printed. What better-priced own orders took no longer reaches the queue at the price.
    """
    lane = lane_at(w, i)
    printed = print_of(exch_of(w), at)
    side = -int(printed["side"])  # of the resting orders
    price = printed["tick"]
    live = lane["live_orders"]
    count, slot = _reach_of(w, i, side, price)
    if count == 1:
        _print_meets(w, i, slot, printed, printed["qty"], 0, 0)
    elif count > 1:
        volume = printed["qty"]
        taken = 0  # by own orders at this very price
        queue_floor = 0
        slot = next_resting(w, i, side, _NO_TICK, 0)
        while slot >= 0:
            order = order_at(w, i, slot)
            tick = order["tick"]
            if side * tick < side * price:
                break
            rank = order["rank"]
            traded, queue_floor = _print_meets(w, i, slot, printed, volume, taken, queue_floor)
            if tick == price:
                taken += traded
            else:
                volume -= traded
            slot = next_resting(w, i, side, tick, rank)
    if count == 0 or lane["live_orders"] != live:
        rebound(w, i)
    return 0


@njit_inner
def _print_meets(w: World, i: int, slot: int, printed: Any, volume: int, taken: int, floor: int) -> tuple[int, int]:
    """One order that a print reaches; returns the lots that it traded, and the front that the next one cannot pass."""
    order = order_at(w, i, slot)
    row = printed["row"]
    if order["tick"] != printed["tick"]:
        if volume == 0:
            return 0, floor
        return fill(w, i, slot, row_ns(exch_of(w), row), order["tick"], min(order["leaves"], volume), 1), floor
    call_sync_front(w, i, slot, row)
    front = max(order["front"], floor)
    qty = max(0, min(order["leaves"], available(front, volume) - taken))
    order["front"] = after_print(front, volume)
    order["printed"] += printed["qty"]
    if qty == 0:
        return 0, front
    return fill(w, i, slot, row_ns(exch_of(w), row), order["tick"], qty, 1), front


@njit_inner
def _reached(w: World, i: int, side: int, row: int) -> None:
    """The opposite best stands at or through own orders of `side`: they trade with what is displayed there."""
    book = exch_of(w)
    opposite = best_ask(book, row + 1) if side == BUY else best_bid(book, row + 1)
    slot = next_resting(w, i, side, _NO_TICK, 0)
    while slot >= 0:
        tick = order_at(w, i, slot)["tick"]
        rank = order_at(w, i, slot)["rank"]
        if side * tick < side * opposite:
            break
        walk(w, i, slot, row_ns(book, row), row + 1, tick, True)
        slot = next_resting(w, i, side, tick, rank)


@entry("on_best")
def _on_best(w: World, i: int, row: int) -> int:
    """A message ended with row `row`: own bids that the best ask has reached trade, then own asks."""
    book = exch_of(w)
    lane = lane_at(w, i)
    if best_ask(book, row + 1) <= lane["bid_high"]:
        _reached(w, i, BUY, row)
    if best_bid(book, row + 1) >= lane["ask_low"]:
        _reached(w, i, SELL, row)
    rebound(w, i)
    return 0
