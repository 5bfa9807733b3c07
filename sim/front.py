"""Queues of own resting orders, brought up to date only when something asks for them.

Where an order stands matters when a print reaches its very price, and hardly any order lives to see one. So an order
only remembers the row up to which its front is right; `sync_front` applies the touches of its level since. Orders
that share a price with another own order are synced together, because the younger one's front is never less than
the older one's (docs/market.md, section 5).
"""

from __future__ import annotations

from typing import Final

from lobgym.sim.book import RESET, ROW_LEVEL, row_flags, row_kind, row_qty
from lobgym.sim.calls import call_sync_front, entry
from lobgym.sim.jit import njit_inner, njit_leaf
from lobgym.sim.queue import FRONT_BITS, L3_FIFO, after_depth
from lobgym.sim.records import BUY, LIVE, QUEUE_FRONT, QUEUE_SYNCED, QUEUE_UNSEEN
from lobgym.sim.view import (
    ask_change,
    best_ask_level,
    best_bid_level,
    bid_change,
    fetch_row,
    find_level_near,
    row_key,
    row_ns,
    row_word,
    touch_at,
    touch_row,
    touch_start,
    touched_qty,
)
from lobgym.sim.world import World, exch_of, lane_at, order_at, queue_entry_at, queue_start

__all__ = ["mark_rivals", "next_at_price", "place_by_orders", "sync_front"]

LAST_RANK: Final = 1 << 62
_AHEAD: Final = 8  # touches
_NEAR_ROWS: Final = 512  # rows that a front is brought forward over by reading them all
_MANY_TOUCHES: Final = 4096  # of a level; no search among fewer waits for memory for long
_BACK_ROWS: Final = 128  # rows in which the level's last touch is looked for


@njit_inner
def next_at_price(w: World, i: int, side: int, tick: int, after_rank: int) -> int:
    """Slot of the first live order at (side, tick) behind `after_rank`, or -1."""
    found = -1
    first = LAST_RANK
    for slot in range(lane_at(w, i)["slot_count"]):
        order = order_at(w, i, slot)
        if order["tick"] == tick and order["state"] == LIVE and order["side"] == side:
            rank = order["rank"]
            if after_rank < rank < first:
                found = slot
                first = rank
    return found


@njit_leaf
def _level_of(w: World, i: int, slot: int) -> int:
    """The level at which an order stands, or -1 where no event ever touched its price."""
    order = order_at(w, i, slot)
    lane = lane_at(w, i)
    book = exch_of(w)
    # Of a best that the lane has just read: any level near the price does.
    if order["side"] == BUY:
        near = bid_change(book, max(lane["bid_at"], 1) - 1)["level"]
    else:
        near = ask_change(book, max(lane["ask_at"], 1) - 1)["level"]
    return find_level_near(book, order["side"], order["tick"], near)


@njit_inner
def _place(w: World, i: int, slot: int, level: int) -> None:
    """Look up an order's place in its level's touches, and what was displayed when it came to stand there."""
    order = order_at(w, i, slot)
    order["level"] = level
    if level >= 0:
        book = exch_of(w)
        at = touch_at(book, level, order["sync"])
        order["touch"] = at
        if order["queue_state"] == QUEUE_UNSEEN:
            shown = touched_qty(book, at - 1) if at > touch_start(book, level) else 0
            order["front"] = shown << FRONT_BITS
    elif order["queue_state"] == QUEUE_UNSEEN:
        order["front"] = 0
    order["queue_state"] = QUEUE_SYNCED


@njit_inner
def _locate(w: World, i: int, slot: int) -> None:
    """Look up an order's level, and its place there."""
    if order_at(w, i, slot)["queue_state"] != QUEUE_SYNCED:
        _place(w, i, slot, _level_of(w, i, slot))


@njit_leaf
def _changed(w: World, i: int, slot: int, prev: int, word: int, floor: int) -> int:
    """Its level went from `prev` lots to what a row says: an order's front, not moved before `floor`."""
    order = order_at(w, i, slot)
    if (row_flags(word) & RESET) == 0:
        lane = lane_at(w, i)
        moved = after_depth(
            order["front"], prev, row_qty(word), order["printed"], lane["queue_model"], lane["queue_power"],
            w["lot_units"],
        )  # fmt: skip
        order["front"] = max(floor, moved)
    order["printed"] = 0
    front: int = order["front"]
    return front


@njit_leaf
def _touch(w: World, i: int, slot: int, at: int, floor: int) -> int:
    """Apply one touch of its level to an order, not moving it before `floor`; returns where it stands."""
    order = order_at(w, i, slot)
    book = exch_of(w)
    prev = touched_qty(book, at - 1) if at > touch_start(book, order["level"]) else 0
    front = _changed(w, i, slot, prev, row_word(book, touch_row(book, at)), floor)
    order["touch"] = at + 1
    return front


@njit_inner
def _sync_by_rows(w: World, i: int, slot: int, level: int, row: int) -> bool:
    """Bring a front up to date by reading the rows themselves, if that is little to read; whether it was.

    On a long tape a level's touches are searched in memory that nothing else has brought near. The rows before a cursor
    are one stretch, and a level near the best was touched not long ago. On a short tape the search is the faster way.
    """
    order = order_at(w, i, slot)
    book = exch_of(w)
    start = order["sync"]
    if row - start > _NEAR_ROWS or touch_start(book, level + 1) - touch_start(book, level) < _MANY_TOUCHES:
        return False
    before = start - 1
    first = max(0, start - _BACK_ROWS)
    while before >= first and not (row_key(book, before) == level and row_kind(row_word(book, before)) == ROW_LEVEL):
        before -= 1
    if before < first:
        return False
    prev = row_qty(row_word(book, before))
    if order["queue_state"] == QUEUE_UNSEEN:
        order["front"] = prev << FRONT_BITS
        order["queue_state"] = QUEUE_FRONT
    for at in range(start, row):
        if row_key(book, at) == level:
            word = row_word(book, at)
            if row_kind(word) == ROW_LEVEL:
                _changed(w, i, slot, prev, word, 0)
                prev = row_qty(word)
    order["sync"] = row
    return True


# -- where the single orders are known -----------------------------------------------------------------------------


@njit_inner
def place_by_orders(w: World, i: int, slot: int, ns: int, cursor: int, alone: bool) -> None:
    """An order comes to rest at `ns`, behind all that the order tape has at its price by then."""
    order = order_at(w, i, slot)
    book = exch_of(w)
    near = best_bid_level(book, cursor) if order["side"] == BUY else best_ask_level(book, cursor)
    level = find_level_near(book, order["side"], order["tick"], near)
    order["level"] = level
    order["queue_state"] = QUEUE_SYNCED
    if level < 0:
        return
    start = queue_start(w, level)
    low = start
    high = queue_start(w, level + 1)
    while low < high:
        middle = (low + high) >> 1
        if queue_entry_at(w, middle)["ns"] <= ns:
            low = middle + 1
        else:
            high = middle
    order["sync"] = low
    order["touch"] = low
    if low > start and not alone:
        order["front"] = max(0, queue_entry_at(w, low - 1)["total"])


@njit_inner
def _sync_by_orders(w: World, i: int, slot: int, row: int) -> None:
    """Bring a front to the state after rows [0, row), by what became of the orders that came before.

    What happened at the stamp of row `row` is left out: it may be what that row, a print, says, which takes its share
    off the front itself. The entries that tell of it later find it in `printed`.
    """
    order = order_at(w, i, slot)
    level = order["level"]
    if level < 0 or row == 0:
        return
    book = exch_of(w)
    until = row_ns(book, row - 1)
    if row < book["size"]:
        until = min(until, row_ns(book, row) - 1)
    at = order["touch"]
    end = queue_start(w, level + 1)
    while at < end:
        change = queue_entry_at(w, at)
        if change["ns"] > until:
            break
        if change["born"] < order["sync"]:
            moved = change["change"]
            told = min(-moved, order["printed"] << FRONT_BITS) if moved < 0 else 0
            order["printed"] -= told >> FRONT_BITS
            order["front"] = max(0, order["front"] + moved + told)
        at += 1
    order["touch"] = at


@entry("sync_front")
def sync_front(w: World, i: int, slot: int, row: int) -> int:
    """Bring an order's front to the state after rows [0, row), and those of all own orders that share its price."""
    order = order_at(w, i, slot)
    if lane_at(w, i)["queue_model"] == L3_FIFO:
        _sync_by_orders(w, i, slot, row)
        return 0
    if order["shared"]:
        _sync_shared(w, i, order["side"], order["tick"], row)
        return 0
    if order["queue_state"] != QUEUE_SYNCED:
        level = _level_of(w, i, slot)
        if level >= 0 and _sync_by_rows(w, i, slot, level, row):
            return 0
        _place(w, i, slot, level)
    level = order["level"]
    if level >= 0:
        book = exch_of(w)
        at = order["touch"]
        end = touch_start(book, level + 1)
        # Each touch is a row somewhere else: have several on their way at a time, those of the next call among them.
        for ahead in range(at, min(at + _AHEAD, end)):
            fetch_row(book, touch_row(book, ahead))
        while at < end and touch_row(book, at) < row:
            if at + _AHEAD < end:
                fetch_row(book, touch_row(book, at + _AHEAD))
            _touch(w, i, slot, at, 0)
            at += 1
    order["sync"] = row
    return 0


@njit_inner
def _sync_shared(w: World, i: int, side: int, tick: int, row: int) -> None:
    """Touch by touch, oldest order first. Their places in the list of touches agree: each came to stand in sync."""
    first = next_at_price(w, i, side, tick, 0)
    slot = first
    while slot >= 0:
        _locate(w, i, slot)
        slot = next_at_price(w, i, side, tick, order_at(w, i, slot)["rank"])
    level = order_at(w, i, first)["level"]
    if level >= 0:
        book = exch_of(w)
        at = order_at(w, i, first)["touch"]
        end = touch_start(book, level + 1)
        while at < end and touch_row(book, at) < row:
            floor = 0
            slot = first
            while slot >= 0:
                floor = _touch(w, i, slot, at, floor)
                slot = next_at_price(w, i, side, tick, order_at(w, i, slot)["rank"])
            at += 1
    slot = first
    while slot >= 0:
        order_at(w, i, slot)["sync"] = row
        slot = next_at_price(w, i, side, tick, order_at(w, i, slot)["rank"])


@entry("mark_rivals")
def mark_rivals(w: World, i: int, slot: int, row: int) -> int:
    """An order, not LIVE yet, comes to rest where own orders may be: sync them, and place it not before any of them.

    A reset of the book may have left an older own order with a front that nothing displays any more.
    """
    order = order_at(w, i, slot)
    rival = next_at_price(w, i, order["side"], order["tick"], 0)
    if rival < 0 or lane_at(w, i)["queue_model"] == L3_FIFO:  # whose places are in order by themselves
        return 0
    call_sync_front(w, i, rival, row)
    _locate(w, i, slot)
    order["shared"] = 1
    while rival >= 0:
        one = order_at(w, i, rival)
        one["shared"] = 1
        order["front"] = max(order["front"], one["front"])
        rival = next_at_price(w, i, order["side"], order["tick"], one["rank"])
    return 0
