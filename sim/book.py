"""`Book`: a compiled table of rows, and the book at any row as a lookup.

A *cursor* c counts rows: the book at c is the state after rows [0, c). `cursor_at(book.ns, t)` is the cursor of
everything stamped at or before t. Rows of one feed message carry one stamp, so a cursor taken from a time never
cuts a message in two.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.jit import njit, njit_inline, njit_lean
from lobgym.sim.records import BUY

__all__ = [
    "IMPLIED",
    "LADDER_EVERY",
    "LADDER_LEVELS",
    "LADDER_SCRATCH",
    "MESSAGE_END",
    "NO_ASK",
    "NO_BID",
    "RESET",
    "ROW_CLEAR",
    "ROW_LEVEL",
    "ROW_PRINT",
    "Book",
    "best_ask",
    "best_bid",
    "cursor_at",
    "find_level",
    "is_known",
    "ladder",
    "ladder_with",
    "level_qty",
    "level_qty_by_id",
    "seek_forward",
]

ROW_LEVEL: Final = 1  # level (side, tick) goes from `prev` to `qty`
ROW_PRINT: Final = 2  # `qty` lots traded at `tick`, aggressor `side`
ROW_CLEAR: Final = 3  # the feed declared the book void; the rows that empty it follow, and there may be none

MESSAGE_END: Final = 1  # last row of a message: the book is observable after it
IMPLIED: Final = 2  # not in the feed: concluded from a print or a best quote, or the withdrawal of such a conclusion
RESET: Final = 4  # the feed declared the book void: nothing is known about the queue

NO_BID: Final = -1
NO_ASK: Final = 1 << 62

LADDER_EVERY: Final = 64  # rows between two ladder checkpoints
LADDER_LEVELS: Final = 16  # levels a side in a checkpoint
LADDER_SCRATCH: Final = LADDER_LEVELS + LADDER_EVERY + 1  # levels that a roll can ever hold


class Book(NamedTuple):
    """Rows in one order (the exchange's, or that of arrival), and indices into them. All arrays are read-only."""

    ns: NDArray[np.int64]  # [R] stamp, non-decreasing
    kind: NDArray[np.uint8]  # [R] ROW_*
    side: NDArray[np.int8]  # [R] of the level, or the aggressor of the print
    flags: NDArray[np.uint8]  # [R]
    tick: NDArray[np.int64]  # [R]
    qty: NDArray[np.int64]  # [R]
    prev: NDArray[np.int64]  # [R] level rows: quantity before
    level: NDArray[np.int32]  # [R] level id, -1 for prints and clears
    bid: NDArray[np.int64]  # [R] best bid after the row, NO_BID
    ask: NDArray[np.int64]  # [R] best ask after the row, NO_ASK
    bid_qty: NDArray[np.int64]  # [R] lots at the best bid
    ask_qty: NDArray[np.int64]  # [R]
    cum_buy: NDArray[np.int64]  # [R] lots printed by buyers so far, this row included
    cum_sell: NDArray[np.int64]  # [R]
    level_tick: NDArray[np.int64]  # [L] bids ascending, then asks ascending
    bid_levels: int  # how many of the L levels are bids
    touch_start: NDArray[np.int64]  # [L + 1] into touch_row
    touch_row: NDArray[np.int32]  # [sum] level rows of each level, ascending
    ladder_tick: NDArray[np.int64]  # [C, 2, LADDER_LEVELS] best first; side 0 bids, 1 asks
    ladder_qty: NDArray[np.int64]  # [C, 2, LADDER_LEVELS]
    ladder_count: NDArray[np.int8]  # [C, 2]
    epoch_row: NDArray[np.int64]  # [E] first row of each epoch: from one reset of the book to the next
    epoch_low: NDArray[np.int64]  # [E] lowest and highest tick that the epoch's snapshot covers
    epoch_high: NDArray[np.int64]  # [E]


@njit_lean
def cursor_at(ns: NDArray[np.int64], t_ns: int) -> int:
    """Number of rows stamped at or before `t_ns`."""
    return seek_forward(ns, 0, t_ns)


@njit_inline
def seek_forward(ns: NDArray[np.int64], start: int, t_ns: int) -> int:
    """`cursor_at`, knowing that it is at least `start`: gallops, so that short moves cost little."""
    size = ns.shape[0]
    low = start
    step = 16
    high = low + step
    while high < size and ns[high] <= t_ns:
        low = high + 1
        step *= 4
        high = low + step
    if high > size:
        high = size
    while low < high:
        middle = (low + high) >> 1
        if ns[middle] <= t_ns:
            low = middle + 1
        else:
            high = middle
    return low


@njit_inline
def best_bid(book: Book, cursor: int) -> int:
    """Best bid in ticks, or NO_BID."""
    return book.bid[cursor - 1] if cursor > 0 else NO_BID


@njit_inline
def best_ask(book: Book, cursor: int) -> int:
    """Best ask in ticks, or NO_ASK."""
    return book.ask[cursor - 1] if cursor > 0 else NO_ASK


@njit_inline
def lower_level(book: Book, side: int, tick: int) -> int:
    """Id of the first level of `side` at or above `tick` (one past the side's last where there is none)."""
    low, high = (0, book.bid_levels) if side == BUY else (book.bid_levels, book.level_tick.shape[0])
    while low < high:
        middle = (low + high) >> 1
        if book.level_tick[middle] < tick:
            low = middle + 1
        else:
            high = middle
    return low


@njit_inline
def find_level(book: Book, side: int, tick: int) -> int:
    """Level id of (side, tick), or -1 where the tape never mentions it."""
    level = lower_level(book, side, tick)
    end = book.bid_levels if side == BUY else book.level_tick.shape[0]
    if level < end and book.level_tick[level] == tick:
        return level
    return -1


@njit_inline
def last_touch(book: Book, level: int, cursor: int) -> int:
    """Last row before `cursor` that set this level, or -1."""
    first = book.touch_start[level]
    low = first
    high = book.touch_start[level + 1]
    while low < high:
        middle = (low + high) >> 1
        if book.touch_row[middle] < cursor:
            low = middle + 1
        else:
            high = middle
    return book.touch_row[low - 1] if low > first else -1


@njit_inline
def level_qty_by_id(book: Book, level: int, cursor: int) -> int:
    """Lots displayed at a level, at a cursor."""
    row = last_touch(book, level, cursor)
    return book.qty[row] if row >= 0 else 0


@njit_inline
def level_qty(book: Book, side: int, tick: int, cursor: int) -> int:
    """Lots displayed at (side, tick), at a cursor; 0 where there are none, or none that the tape knows of."""
    level = find_level(book, side, tick)
    return level_qty_by_id(book, level, cursor) if level >= 0 else 0


@njit_inline
def is_known(book: Book, side: int, tick: int, cursor: int) -> bool:
    """Whether the tape tells what stands at (side, tick): the snapshot covered it, or a message touched it since.

    Outside the recorded depth a level is unknown, not empty; between the two bests it is known to be empty.
    """
    bid = best_bid(book, cursor)
    ask = best_ask(book, cursor)
    if bid < tick < ask and bid != NO_BID and ask != NO_ASK:
        return True
    low = 0
    high = book.epoch_row.shape[0]
    while low < high:
        middle = (low + high) >> 1
        if book.epoch_row[middle] < cursor:
            low = middle + 1
        else:
            high = middle
    epoch = low - 1
    if epoch < 0:
        return False
    if book.epoch_low[epoch] <= tick <= book.epoch_high[epoch]:
        return True
    level = find_level(book, side, tick)
    row = last_touch(book, level, cursor) if level >= 0 else -1
    # The rows by which the reset itself emptied the book tell nothing about it.
    return bool(row >= book.epoch_row[epoch] and (book.flags[row] & RESET) == 0)


@njit_lean
def next_level(book: Book, side: int, level: int, cursor: int) -> int:
    """The next non-empty level of `side` behind `level` (away from the touch), or -1."""
    step = -1 if side == BUY else 1
    end = -1 if side == BUY else book.level_tick.shape[0]
    level += step
    while level != end:
        if level_qty_by_id(book, level, cursor) > 0:
            return level
        level += step
    return -1


@njit
def ladder(
    book: Book, side: int, cursor: int, depth: int, out_tick: NDArray[np.int64], out_qty: NDArray[np.int64]
) -> int:
    """Write the best `depth` levels of `side`, best first; return how many there are."""
    return ladder_with(book, side, cursor, depth, out_tick, out_qty, np.empty((2, LADDER_SCRATCH), np.int64))


@njit_lean
def ladder_with(
    book: Book, side: int, cursor: int, depth: int, out_tick: NDArray[np.int64], out_qty: NDArray[np.int64],
    scratch: NDArray[np.int64],
) -> int:  # fmt: skip
    """`ladder` with the caller's scratch space [2, LADDER_SCRATCH], for kernels that do not allocate.

    Rolls the nearest checkpoint forward, at most LADDER_EVERY rows. A checkpoint that was full says nothing about
    the levels behind its last one; if deletions eat it up, the level index supplies the rest.
    """
    if cursor == 0:
        return 0
    which = 0 if side == BUY else 1
    sign = -1 if side == BUY else 1  # sign * tick ascends from the best outwards
    mark = cursor // LADDER_EVERY
    count = int(book.ladder_count[mark, which])
    full = count == LADDER_LEVELS
    ticks = scratch[0]
    qtys = scratch[1]
    for j in range(count):
        ticks[j] = book.ladder_tick[mark, which, j]
        qtys[j] = book.ladder_qty[mark, which, j]
    edge = sign * ticks[count - 1] if full else NO_ASK
    for row in range(mark * LADDER_EVERY, cursor):
        if book.kind[row] != ROW_LEVEL or book.side[row] != side or sign * book.tick[row] > edge:
            continue
        tick = book.tick[row]
        qty = book.qty[row]
        j = 0
        while j < count and sign * ticks[j] < sign * tick:
            j += 1
        if j < count and ticks[j] == tick:
            if qty > 0:
                qtys[j] = qty
            else:
                count -= 1
                for k in range(j, count):
                    ticks[k] = ticks[k + 1]
                    qtys[k] = qtys[k + 1]
        elif qty > 0:
            for k in range(count, j, -1):
                ticks[k] = ticks[k - 1]
                qtys[k] = qtys[k - 1]
            ticks[j] = tick
            qtys[j] = qty
            count += 1
    found = min(count, depth)
    for j in range(found):
        out_tick[j] = ticks[j]
        out_qty[j] = qtys[j]
    if found < depth and full:
        level = find_level(book, side, sign * edge)
        while found < depth:
            level = next_level(book, side, level, cursor)
            if level < 0:
                break
            out_tick[found] = book.level_tick[level]
            out_qty[found] = level_qty_by_id(book, level, cursor)
            found += 1
    return found
