"""`Book`: a compiled table of rows, and the book at any row as a lookup.

A *cursor* c counts rows: the book at c is the state after rows [0, c). `cursor_at(book.ns, t)` is the cursor of
everything stamped at or before t. Rows of one feed message carry one stamp, so a cursor taken from a time never
cuts a message in two; such cursors are called observable, and bests are defined at those only.

A row is twelve bytes: a word that packs quantity, flags, side and kind, and the number of the level or print that it
is about. Everything else is found through indices: the rows of each level, the changes of each best, the prints, and
marks every MARK_EVERY rows that say where in those lists a cursor stands (docs/decisions/0008-packed-book.md).
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.jit import njit_inline, njit_lean
from lobgym.sim.records import BUY, SELL

__all__ = [
    "CHANGE_DTYPE",
    "EPOCH_DTYPE",
    "FLAGS_SHIFT",
    "IMPLIED",
    "LADDER_EVERY",
    "LADDER_LEVELS",
    "MARK_DTYPE",
    "MARK_EVERY",
    "MESSAGE_END",
    "NO_ASK",
    "NO_BID",
    "NO_LEVEL",
    "PRINT_DTYPE",
    "QTY_SHIFT",
    "RESET",
    "ROW_CLEAR",
    "ROW_DTYPE",
    "ROW_LEVEL",
    "ROW_PRINT",
    "SIDE_SHIFT",
    "Book",
    "ask_index",
    "best_ask",
    "best_ask_level",
    "best_ask_qty",
    "best_bid",
    "best_bid_level",
    "best_bid_qty",
    "bid_index",
    "bought_lots",
    "cursor_at",
    "find_level",
    "is_known",
    "last_touch",
    "level_qty",
    "level_qty_by_id",
    "next_level",
    "print_index",
    "row_flags",
    "row_kind",
    "row_qty",
    "row_side",
    "seek_forward",
    "sold_lots",
    "touch_at",
]

# -- a row -------------------------------------------------------------------------------------------------------
ROW_LEVEL: Final = 1  # level `key` now displays `qty` lots
ROW_PRINT: Final = 2  # print `key`: `qty` lots traded, aggressor `side`
ROW_CLEAR: Final = 3  # the feed declared the book void; the rows that empty it follow, and there may be none

MESSAGE_END: Final = 1  # last row of a message: the book is observable after it
IMPLIED: Final = 2  # not in the feed: concluded from a print or a best quote, or the withdrawal of such a conclusion
RESET: Final = 4  # the feed declared the book void: nothing is known about the queue

# word = qty << QTY_SHIFT | flags << FLAGS_SHIFT | (side is BUY) << SIDE_SHIFT | kind
SIDE_SHIFT: Final = 2
FLAGS_SHIFT: Final = 4
QTY_SHIFT: Final = 8

ROW_DTYPE: Final = np.dtype([("word", np.int64), ("key", np.int32)])  # key: level id, print, or -1 of a clear

# -- what the indices are made of --------------------------------------------------------------------------------
NO_BID: Final = -1
NO_ASK: Final = 1 << 62
NO_LEVEL: Final = -1

# A best quote from cursor row + 1 on. The first entry has the row -1 and is the empty book's.
CHANGE_DTYPE: Final = np.dtype([("row", np.int32), ("level", np.int32), ("tick", np.int64)])
PRINT_DTYPE: Final = np.dtype([("row", np.int32), ("side", np.int32), ("tick", np.int64), ("qty", np.int64)])
EPOCH_DTYPE: Final = np.dtype([
    ("row", np.int64),  # first row of an epoch: from one reset of the book to the next
    ("low", np.int64),  # lowest and highest tick that the epoch's snapshot covers
    ("high", np.int64),
])  # fmt: skip

MARK_EVERY: Final = 64
MARK_DTYPE: Final = np.dtype([
    ("bid_at", np.int32),  # entries of `bids` with a row before the mark's
    ("ask_at", np.int32),
    ("print_at", np.int32),
    ("pad", np.int32),
    ("cum_buy", np.int64),  # lots of those prints, by aggressor
    ("cum_sell", np.int64),
])  # fmt: skip

LADDER_EVERY: Final = 64  # rows between two ladder checkpoints
LADDER_LEVELS: Final = 16  # levels a side in a checkpoint


class Book(NamedTuple):
    """Rows in one order (the exchange's, or that of arrival), and indices into them. All arrays are read-only."""

    ns: NDArray[np.int64]  # [R] stamp, non-decreasing
    rows: NDArray[np.void]  # [R] ROW_DTYPE
    level_tick: NDArray[np.int64]  # [L] bids ascending, then asks ascending
    bid_levels: int  # how many of the L levels are bids
    touch_start: NDArray[np.int64]  # [L + 1] into touch_row
    touch_row: NDArray[np.int32]  # [T] level rows of each level, ascending
    bids: NDArray[np.void]  # [B] CHANGE_DTYPE: each observable change of the best bid
    asks: NDArray[np.void]  # [A] CHANGE_DTYPE
    prints: NDArray[np.void]  # [P] PRINT_DTYPE
    marks: NDArray[np.void]  # [R // MARK_EVERY + 1] MARK_DTYPE, of rows 0, MARK_EVERY, ...
    ladder_level: NDArray[np.int32]  # [R // LADDER_EVERY + 1, 2, LADDER_LEVELS] best first; side 0 bids, 1 asks
    ladder_qty: NDArray[np.int64]  # [.., 2, LADDER_LEVELS]
    ladder_count: NDArray[np.int8]  # [.., 2]
    epochs: NDArray[np.void]  # [E] EPOCH_DTYPE


# -- rows --------------------------------------------------------------------------------------------------------


@njit_inline
def row_kind(word: int) -> int:
    """ROW_* of a row's word."""
    return word & 3


@njit_inline
def row_side(word: int) -> int:
    """Side of the level, or of the print's aggressor; SELL for a clear, which has none."""
    return BUY if word & (1 << SIDE_SHIFT) else SELL


@njit_inline
def row_flags(word: int) -> int:
    """MESSAGE_END, IMPLIED, RESET."""
    return (word >> FLAGS_SHIFT) & 15


@njit_inline
def row_qty(word: int) -> int:
    """Lots that the level displays from here on, or that were printed."""
    return word >> QTY_SHIFT


# -- cursors -----------------------------------------------------------------------------------------------------


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


# -- bests and prints --------------------------------------------------------------------------------------------


@njit_inline
def bid_index(book: Book, cursor: int) -> int:
    """Number of entries of `bids` with a row before the cursor; at least 1."""
    at = int(book.marks[cursor // MARK_EVERY]["bid_at"])
    while at < book.bids.shape[0] and book.bids[at]["row"] < cursor:
        at += 1
    return at


@njit_inline
def ask_index(book: Book, cursor: int) -> int:
    """Number of entries of `asks` with a row before the cursor; at least 1."""
    at = int(book.marks[cursor // MARK_EVERY]["ask_at"])
    while at < book.asks.shape[0] and book.asks[at]["row"] < cursor:
        at += 1
    return at


@njit_inline
def print_index(book: Book, cursor: int) -> int:
    """Number of prints before the cursor."""
    at = int(book.marks[cursor // MARK_EVERY]["print_at"])
    while at < book.prints.shape[0] and book.prints[at]["row"] < cursor:
        at += 1
    return at


@njit_inline
def best_bid(book: Book, cursor: int) -> int:
    """Best bid in ticks, or NO_BID."""
    return int(book.bids[bid_index(book, cursor) - 1]["tick"])


@njit_inline
def best_ask(book: Book, cursor: int) -> int:
    """Best ask in ticks, or NO_ASK."""
    return int(book.asks[ask_index(book, cursor) - 1]["tick"])


@njit_inline
def best_bid_level(book: Book, cursor: int) -> int:
    """Level id of the best bid, or NO_LEVEL."""
    return int(book.bids[bid_index(book, cursor) - 1]["level"])


@njit_inline
def best_ask_level(book: Book, cursor: int) -> int:
    """Level id of the best ask, or NO_LEVEL."""
    return int(book.asks[ask_index(book, cursor) - 1]["level"])


@njit_lean
def best_bid_qty(book: Book, cursor: int) -> int:
    """Lots at the best bid, 0 where there is none."""
    level = best_bid_level(book, cursor)
    return level_qty_by_id(book, level, cursor) if level >= 0 else 0


@njit_lean
def best_ask_qty(book: Book, cursor: int) -> int:
    """Lots at the best ask, 0 where there is none."""
    level = best_ask_level(book, cursor)
    return level_qty_by_id(book, level, cursor) if level >= 0 else 0


@njit_lean
def bought_lots(book: Book, cursor: int) -> int:
    """Lots printed by buyers before the cursor."""
    mark = book.marks[cursor // MARK_EVERY]
    lots = int(mark["cum_buy"])
    at = int(mark["print_at"])
    while at < book.prints.shape[0] and book.prints[at]["row"] < cursor:
        if book.prints[at]["side"] == BUY:
            lots += book.prints[at]["qty"]
        at += 1
    return lots


@njit_lean
def sold_lots(book: Book, cursor: int) -> int:
    """Lots printed by sellers before the cursor."""
    mark = book.marks[cursor // MARK_EVERY]
    lots = int(mark["cum_sell"])
    at = int(mark["print_at"])
    while at < book.prints.shape[0] and book.prints[at]["row"] < cursor:
        if book.prints[at]["side"] == SELL:
            lots += book.prints[at]["qty"]
        at += 1
    return lots


# -- levels ------------------------------------------------------------------------------------------------------


@njit_inline
def find_level(book: Book, side: int, tick: int) -> int:
    """Level id of (side, tick), or NO_LEVEL where the tape never mentions it."""
    low, end = (0, book.bid_levels) if side == BUY else (book.bid_levels, book.level_tick.shape[0])
    high = end
    while low < high:
        middle = (low + high) >> 1
        if book.level_tick[middle] < tick:
            low = middle + 1
        else:
            high = middle
    return low if low < end and book.level_tick[low] == tick else NO_LEVEL


@njit_inline
def touch_at(book: Book, level: int, cursor: int) -> int:
    """Index into `touch_row` of the level's first row at or after the cursor; its end where there is none."""
    low = book.touch_start[level]
    high = book.touch_start[level + 1]
    while low < high:
        middle = (low + high) >> 1
        if book.touch_row[middle] < cursor:
            low = middle + 1
        else:
            high = middle
    return int(low)


@njit_inline
def last_touch(book: Book, level: int, cursor: int) -> int:
    """Last row before `cursor` that set this level, or -1."""
    at = touch_at(book, level, cursor)
    return int(book.touch_row[at - 1]) if at > book.touch_start[level] else -1


@njit_inline
def level_qty_by_id(book: Book, level: int, cursor: int) -> int:
    """Lots displayed at a level, at a cursor."""
    row = last_touch(book, level, cursor)
    return row_qty(book.rows[row]["word"]) if row >= 0 else 0


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
    high = book.epochs.shape[0]
    while low < high:
        middle = (low + high) >> 1
        if book.epochs[middle]["row"] < cursor:
            low = middle + 1
        else:
            high = middle
    epoch = low - 1
    if epoch < 0:
        return False
    if book.epochs[epoch]["low"] <= tick <= book.epochs[epoch]["high"]:
        return True
    level = find_level(book, side, tick)
    row = last_touch(book, level, cursor) if level >= 0 else -1
    # The rows by which the reset itself emptied the book tell nothing about it.
    return bool(row >= book.epochs[epoch]["row"] and (row_flags(book.rows[row]["word"]) & RESET) == 0)


@njit_lean
def next_level(book: Book, side: int, level: int, cursor: int) -> int:
    """The next non-empty level of `side` behind `level` (away from the touch), or NO_LEVEL."""
    step = -1 if side == BUY else 1
    end = -1 if side == BUY else book.level_tick.shape[0]
    level += step
    while level != end:
        if level_qty_by_id(book, level, cursor) > 0:
            return level
        level += step
    return NO_LEVEL
