"""Columns of an own order's place in its queue, as the lane itself can estimate it.

The simulator knows where an order stands; a trader does not. What a trader can do: the venue's answer says when the
order came to rest, and the feed, as it had arrived by then, says what was displayed at that price. Since then each
print there took its quantity from the front, and the order cannot stand behind more than is displayed. Cancellations
are taken to be behind it, so the estimate is pessimistic; and it comes from the local book alone, so it is late by what
the feed is late. An order that was modified counts from its first arrival.

The estimate is a function of side, price, time of arrival and the rows seen since. It is brought forward from where the
last row's encoding left it, where that was the same order, and made anew otherwise: both give the same.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from lobgym.sim.bars import Bars, stamps_by
from lobgym.sim.book import RESET, row_flags, row_qty
from lobgym.sim.columns.catalog import number_of
from lobgym.sim.columns.header import ENCODER_DTYPE, Encoder, put
from lobgym.sim.jit import njit_inner
from lobgym.sim.memory import table
from lobgym.sim.records import BUY, FREE, LIVE, SELL, SENT
from lobgym.sim.view import (
    BookView,
    best_ask_level,
    best_bid_level,
    find_level_near,
    print_index,
    print_of,
    print_row,
    row_word,
    stamp_row,
    touch_at,
    touch_row,
    touch_start,
    touched_qty,
)
from lobgym.sim.world import World, lane_at, order_at

__all__ = ["QUEUE_DTYPE", "queue_columns"]

QUEUE_DTYPE: Final = np.dtype([
    ("tick", np.int64),  # of the order that was followed last
    ("arrive_ns", np.int64),
    ("delay_ns", np.int64),  # of the lane's feed
    ("cursor", np.int64),  # rows that the estimate contains
    ("front", np.int64),  # lots
    ("level", np.int64),  # -1 where the tape never names its price
    ("touch", np.int64),  # the next of its level's touches
    ("print", np.int64),  # the next print
])  # fmt: skip

_BID_QUEUE: Final = number_of("bid_queue")
_ASK_QUEUE: Final = number_of("ask_queue")
_NO_ROW: Final = 1 << 40

_queue_at = table(ENCODER_DTYPE, "queues", QUEUE_DTYPE)  # (encoder, 2 * lane + side), side 0 bids, 1 asks


@njit_inner
def _oldest_best(w: World, i: int, side: int) -> int:
    """Slot of the first acknowledged order at the lane's best price of a side, -1 where there is none."""
    found = -1
    best = 0
    there = False
    for slot in range(lane_at(w, i)["slot_count"]):
        order = order_at(w, i, slot)
        view = order["view_state"]
        if order["state"] == FREE or order["side"] != side or order["cancel_sent"] != 0:
            continue
        if view != SENT and view != LIVE:
            continue
        tick = side * order["view_tick"]
        if not there or tick > best:
            best = tick
            there = True
            found = -1
        if tick == best and view == LIVE and (found < 0 or order["id"] < order_at(w, i, found)["id"]):
            found = slot
    return found


@njit_inner
def _begin(book: BookView, bars: Bars, encoder: Encoder, place: int, side: int, cursor: int) -> None:
    """What stood before the order when it came to rest, by the feed as it had arrived by then."""
    queue = _queue_at(encoder, place)
    start = min(stamp_row(book, stamps_by(bars, queue["arrive_ns"] - queue["delay_ns"])), cursor)
    near = best_bid_level(book, start) if side == BUY else best_ask_level(book, start)
    level = find_level_near(book, side, queue["tick"], near)
    queue["cursor"] = start
    queue["level"] = level
    queue["print"] = print_index(book, start)
    queue["front"] = 0
    queue["touch"] = 0
    if level >= 0:
        at = touch_at(book, level, start)
        queue["touch"] = at
        queue["front"] = touched_qty(book, at - 1) if at > touch_start(book, level) else 0


@njit_inner
def _bring_forward(book: BookView, encoder: Encoder, place: int, side: int, cursor: int) -> None:
    """Apply prints at the order's price and changes of its level, in their order."""
    queue = _queue_at(encoder, place)
    level = queue["level"]
    touch = queue["touch"]
    end = touch_start(book, level + 1) if level >= 0 else 0
    at = queue["print"]
    front = queue["front"]
    while True:
        changed = touch_row(book, touch) if touch < end else _NO_ROW
        printed = print_row(book, at) if at < book["print_count"] else _NO_ROW
        if min(changed, printed) >= cursor:
            break
        if printed < changed:
            made = print_of(book, at)
            if made["tick"] == queue["tick"] and made["side"] == -side:
                front = max(0, front - made["qty"])
            at += 1
        else:
            word = row_word(book, changed)
            if row_flags(word) & RESET == 0:  # the feed forgot the book; the venue did not
                front = min(front, row_qty(word))
            touch += 1
    queue["touch"] = touch
    queue["print"] = at
    queue["front"] = front
    queue["cursor"] = cursor


@njit_inner
def _queue(book: BookView, bars: Bars, encoder: Encoder, w: World, i: int, side: int) -> float:
    """Share of what is displayed at the price of the own best order that stands before it; 1 where there is none."""
    slot = _oldest_best(w, i, side)
    if slot < 0:
        return 1.0
    lane = lane_at(w, i)
    order = order_at(w, i, slot)
    cursor = lane["local_cursor"]
    place = 2 * i + (0 if side == BUY else 1)
    queue = _queue_at(encoder, place)
    same = queue["tick"] == order["view_tick"] and queue["arrive_ns"] == order["arrive_ns"]
    if not same or queue["delay_ns"] != lane["feed_delay_ns"] or queue["cursor"] > cursor:
        queue["tick"] = order["view_tick"]
        queue["arrive_ns"] = order["arrive_ns"]
        queue["delay_ns"] = lane["feed_delay_ns"]
        _begin(book, bars, encoder, place, side, cursor)
    _bring_forward(book, encoder, place, side, cursor)
    if queue["front"] == 0:
        return 0.0
    level = queue["level"]
    shown = touched_qty(book, queue["touch"] - 1) if queue["touch"] > touch_start(book, level) else 0
    return min(1.0, float(queue["front"]) / float(shown)) if shown > 0 else 1.0


@njit_inner
def queue_columns(book: BookView, bars: Bars, encoder: Encoder, w: World, i: int) -> None:
    """Columns of lane `i`'s own best orders' places in their queues."""
    put(encoder, _BID_QUEUE, _queue(book, bars, encoder, w, i, BUY))
    put(encoder, _ASK_QUEUE, _queue(book, bars, encoder, w, i, SELL))
