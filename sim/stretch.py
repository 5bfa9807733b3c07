"""A stretch of tape rows, applied to a lane.

Only two kinds of rows can fill a resting order: prints at or beyond its price, and changes of a best that reach it.
The book lists both; `apply_rows` walks the lists. While a best stands at or through an own order every end of a
message can fill it, and rows are looked at one by one.
"""

from __future__ import annotations

from typing import Final

from lobgym.sim.book import MESSAGE_END, ROW_LEVEL, ROW_PRINT, row_flags, row_kind, row_side
from lobgym.sim.calls import call_on_best, call_on_print, call_scan_rows, call_sync_front, entry
from lobgym.sim.jit import njit_inner, njit_leaf
from lobgym.sim.records import LIVE, SELL
from lobgym.sim.view import (
    ask_index,
    ask_row,
    ask_tick,
    best_ask,
    best_bid,
    bid_index,
    bid_row,
    bid_tick,
    known_range,
    level_tick,
    print_index,
    print_of,
    print_row,
    row_key,
    row_word,
)
from lobgym.sim.world import World, exch_of, lane_at, order_at

__all__ = ["apply_rows", "sync_lists"]

_NEAR: Final = 256  # rows that the list cursors are moved by stepping rather than by search


@njit_leaf
def sync_lists(w: World, i: int, cursor: int) -> None:
    """Move the lane's places in the book's lists to row `cursor`."""
    book = exch_of(w)
    lane = lane_at(w, i)
    if cursor > lane["known_until"]:
        lane["known_low"], lane["known_high"], lane["known_until"] = known_range(book, cursor)
    gap = cursor - lane["list_cursor"]
    if gap == 0:
        return
    if 0 < gap <= _NEAR:
        at = lane["bid_at"]
        while at < book["bid_changes"] and bid_row(book, at) < cursor:
            at += 1
        lane["bid_at"] = at
        at = lane["ask_at"]
        while at < book["ask_changes"] and ask_row(book, at) < cursor:
            at += 1
        lane["ask_at"] = at
        at = lane["print_at"]
        while at < book["print_count"] and print_row(book, at) < cursor:
            at += 1
        lane["print_at"] = at
    else:
        lane["bid_at"] = bid_index(book, cursor)
        lane["ask_at"] = ask_index(book, cursor)
        lane["print_at"] = print_index(book, cursor)
    lane["list_cursor"] = cursor


@njit_leaf
def _crossed(w: World, i: int) -> bool:
    """Whether a best stands at or through an own order, at the lane's places in the lists."""
    book = exch_of(w)
    lane = lane_at(w, i)
    return bool(
        ask_tick(book, lane["ask_at"] - 1) <= lane["bid_high"] or bid_tick(book, lane["bid_at"] - 1) >= lane["ask_low"]
    )


@njit_inner
def _sync_touched(w: World, i: int, row: int) -> None:
    """Full scan only: bring every queue at the row's level up to date as soon as the level changes."""
    book = exch_of(w)
    word = row_word(book, row)
    tick = level_tick(book, row_key(book, row))
    for slot in range(lane_at(w, i)["slot_count"]):
        order = order_at(w, i, slot)
        if order["state"] == LIVE and order["side"] == row_side(word) and order["tick"] == tick:
            call_sync_front(w, i, slot, row + 1)


@entry("scan_rows")
def _scan(w: World, i: int, start: int, end: int) -> int:
    """Apply rows one by one until no best stands at an own order any more; return the row that was reached."""
    book = exch_of(w)
    lane = lane_at(w, i)
    row = start
    while row < end and lane["live_orders"] > 0 and lane["error"] == 0:
        word = row_word(book, row)
        kind = row_kind(word)
        if kind == ROW_PRINT:
            at = row_key(book, row)
            tick = print_of(book, at)["tick"]
            if row_side(word) == SELL:
                if tick <= lane["bid_high"]:
                    call_on_print(w, i, at)
            elif tick >= lane["ask_low"]:
                call_on_print(w, i, at)
        elif kind == ROW_LEVEL and w["full_scan"]:
            _sync_touched(w, i, row)
        row += 1
        if row_flags(word) & MESSAGE_END:
            if best_ask(book, row) <= lane["bid_high"] or best_bid(book, row) >= lane["ask_low"]:
                call_on_best(w, i, row - 1)
            if not w["full_scan"] and best_ask(book, row) > lane["bid_high"] and best_bid(book, row) < lane["ask_low"]:
                break
    return row


@njit_leaf
def apply_rows(w: World, i: int, start: int, end: int) -> None:
    """Apply tape rows [start, end) to the resting orders of lane `i`, of which there is at least one."""
    book = exch_of(w)
    lane = lane_at(w, i)
    prints = book["print_count"]
    bids = book["bid_changes"]
    asks = book["ask_changes"]
    sync_lists(w, i, start)
    while start < end and lane["live_orders"] > 0 and lane["error"] == 0:
        if w["full_scan"] or _crossed(w, i):
            start = call_scan_rows(w, i, start, end)
            sync_lists(w, i, start)
            continue
        bid_high = lane["bid_high"]
        ask_low = lane["ask_low"]
        # The next row of each list that can concern an own order; the earliest of them is next.
        row = end
        event = 0
        at = lane["print_at"]
        while at < prints:
            one = print_of(book, at)
            if one["row"] >= row:
                break
            if (one["side"] < 0 and one["tick"] <= bid_high) or (one["side"] > 0 and one["tick"] >= ask_low):
                row = one["row"]
                event = ROW_PRINT
                break
            at += 1
        print_at = at
        ask_at = lane["ask_at"]
        while ask_at < asks and ask_row(book, ask_at) < row:
            if ask_tick(book, ask_at) <= bid_high:
                row = ask_row(book, ask_at)
                event = ROW_LEVEL
                break
            ask_at += 1
        bid_at = lane["bid_at"]
        while bid_at < bids and bid_row(book, bid_at) < row:
            if bid_tick(book, bid_at) >= ask_low:
                row = bid_row(book, bid_at)
                event = ROW_LEVEL
                break
            bid_at += 1
        if event == 0:
            lane["print_at"] = print_at
            lane["ask_at"] = ask_at
            lane["bid_at"] = bid_at
            lane["list_cursor"] = end
            break
        if event == ROW_PRINT:
            call_on_print(w, i, print_at)
        else:
            call_on_best(w, i, row)
        start = row + 1
        sync_lists(w, i, start)
