"""Passes over what the feed said: the gaps between rows, the depth rows' own bests, prints and trade events."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.jit import njit_leaf, njit_lean
from lobgym.sim.measures.bins import BIN_COUNT, bin_of
from lobgym.sim.measures.book import base_qty, whole_qty
from lobgym.sim.records import BBO, BUY, CLEAR, DEPTH, SELL, SNAPSHOT
from lobgym.sim.view import BookView, find_level_near, level_tick, print_of, row_ns

__all__ = ["FeedSums", "PrintSums", "new_feed_sums", "new_print_sums", "walk_feed", "walk_prints"]


class FeedSums(NamedTuple):
    """What `walk_feed` adds to."""

    row_gaps: NDArray[np.int64]  # [BIN_COUNT] nanoseconds between rows
    stamp_gaps: NDArray[np.int64]  # [BIN_COUNT] nanoseconds between stamps
    totals: NDArray[np.int64]  # [5] rows, depth rows, stamps, crossed nanoseconds, nanoseconds from first to last row
    full: NDArray[np.uint8]  # [levels] whether depth rows show something there


def new_feed_sums(levels: int) -> FeedSums:
    """Zeroed."""
    return FeedSums(
        np.zeros(BIN_COUNT, np.int64), np.zeros(BIN_COUNT, np.int64), np.zeros(5, np.int64), np.zeros(levels, np.uint8)
    )


@njit_leaf
def _crosses(book: BookView, bid: int, ask: int) -> bool:
    """Whether a best bid stands at or above a best ask; level ids, with -1 and the number of levels for none."""
    return bid >= 0 and ask < book["levels"] and level_tick(book, bid) >= level_tick(book, ask)


@njit_lean
def walk_feed(book: BookView, events: NDArray[np.void], start_ns: int, end_ns: int, sums: FeedSums) -> None:
    """Gaps between rows stamped after `start_ns`, and for how long until `end_ns` the depth rows' own book crossed.

    Args:
        book: the compiled book, for its numbering of prices.
        events: EVENT_DTYPE[rows] that it was compiled from; rows that are not about the book or prints do not count.
    """
    levels = int(book["levels"])
    bid, ask = -1, levels  # the best ones shown
    near_bid, near_ask = -1, -1  # where the last rows were: the next ones are close
    first = last = -1  # stamps of rows that count
    now = start_ns
    for n in range(events.shape[0]):
        kind = events[n]["kind"]
        if kind > BBO:
            continue
        ns = events[n]["exch_ns"]
        if ns > now:
            if _crosses(book, bid, ask):
                sums.totals[3] += min(ns, end_ns) - now
            now = ns
        if ns > start_ns:
            if last < 0:
                first = ns
                sums.totals[2] += 1
            else:
                sums.row_gaps[bin_of(ns - last)] += 1
                if ns > last:
                    sums.stamp_gaps[bin_of(ns - last)] += 1
                    sums.totals[2] += 1
            last = ns
            sums.totals[0] += 1
            sums.totals[1] += kind == DEPTH
        if kind == DEPTH or kind == SNAPSHOT:
            shows = events[n]["qty_lots"] > 0
            if events[n]["side"] == BUY:
                near_bid = find_level_near(book, BUY, events[n]["price_ticks"], near_bid)
                sums.full[near_bid] = shows
                bid = max(bid, near_bid) if shows else bid
                while bid >= 0 and sums.full[bid] == 0:
                    bid -= 1
            else:
                near_ask = find_level_near(book, SELL, events[n]["price_ticks"], near_ask)
                sums.full[near_ask] = shows
                ask = min(ask, near_ask) if shows else ask
                while ask < levels and sums.full[ask] == 0:
                    ask += 1
        elif kind == CLEAR:
            for level in range(levels):
                sums.full[level] = 0
            bid, ask = -1, levels
    if _crosses(book, bid, ask):
        sums.totals[3] += max(0, end_ns - now)
    sums.totals[4] = last - first


class PrintSums(NamedTuple):
    """What `walk_prints` fills."""

    sizes: NDArray[np.int64]  # [BIN_COUNT] lots of prints
    quantities: NDArray[np.int64]  # [BIN_COUNT] the same as `whole_qty` has them
    print_gaps: NDArray[np.int64]  # [BIN_COUNT] nanoseconds
    trade_gaps: NDArray[np.int64]  # [BIN_COUNT] nanoseconds
    qty_sum: NDArray[np.float64]  # [2] base units, lots
    ns: NDArray[np.int64]  # [prints] stamps of trade events
    sign: NDArray[np.int64]  # [prints] their sides
    totals: NDArray[np.int64]  # [2] prints, trade events


def new_print_sums(prints: int) -> PrintSums:
    """Zeroed, for at most so many prints."""
    gaps = (np.zeros(BIN_COUNT, np.int64), np.zeros(BIN_COUNT, np.int64))
    return PrintSums(
        np.zeros(BIN_COUNT, np.int64), np.zeros(BIN_COUNT, np.int64), *gaps, np.zeros(2),
        np.zeros(prints, np.int64), np.zeros(prints, np.int64), np.zeros(2, np.int64),
    )  # fmt: skip


@njit_lean
def walk_prints(book: BookView, start_ns: int, unit: float, per_tick: float, sums: PrintSums) -> None:
    """Sizes of the prints stamped after `start_ns`, gaps between them, and the trade events that they make.

    All prints of one stamp and side are one trade event; of two at one stamp, that whose print comes first is first.
    `unit` and `per_tick` as `lobgym.sim.measures.book.base_qty` takes them.
    """
    count = 0
    events = 0
    last = -1
    for n in range(book["print_count"]):
        one = print_of(book, n)
        ns = row_ns(book, one["row"])
        if ns <= start_ns:
            continue
        qty = base_qty(one["qty"], one["tick"], unit, per_tick)
        sums.sizes[bin_of(one["qty"])] += 1
        sums.quantities[bin_of(whole_qty(one["qty"], qty, per_tick))] += 1
        sums.qty_sum[0] += qty
        sums.qty_sum[1] += one["qty"]
        if last >= 0:
            sums.print_gaps[bin_of(ns - last)] += 1
        count += 1
        last = ns
        known = False
        for back in range(1, min(events, 2) + 1):
            known |= sums.ns[events - back] == ns and sums.sign[events - back] == one["side"]
        if known:
            continue
        if events > 0:
            sums.trade_gaps[bin_of(ns - sums.ns[events - 1])] += 1
        sums.ns[events] = ns
        sums.sign[events] = one["side"]
        events += 1
    sums.totals[0] = count
    sums.totals[1] = events
