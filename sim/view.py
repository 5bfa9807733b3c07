"""A compiled `Book` as kernels see it: one record of addresses and sizes, and every question one can ask of it.

A *cursor* c counts rows: the book at c is the state after rows [0, c). `cursor_at(book, t)` is the cursor of everything
stamped at or before t. Rows of one feed message carry one stamp, so a cursor taken from a time never cuts a message in
two; such cursors are called observable, and bests are defined at those only.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np

from lobgym.sim.book import (
    CHANGE_DTYPE,
    EPOCH_DTYPE,
    GROUP_STAMPS,
    LADDER_LEVELS,
    MARK_DTYPE,
    MARK_EVERY,
    NO_ASK,
    NO_BID,
    NO_LEVEL,
    PRINT_DTYPE,
    RESET,
    ROW_DTYPE,
    Book,
    row_flags,
    row_qty,
)
from lobgym.sim.jit import njit_inline, njit_inner, njit_leaf, njit_lean
from lobgym.sim.memory import address_of, column, member, prefetcher, table
from lobgym.sim.records import BUY

__all__ = [
    "VIEW_DTYPE",
    "BookView",
    "ask_change",
    "ask_index",
    "ask_row",
    "ask_tick",
    "best_ask",
    "best_ask_level",
    "best_ask_qty",
    "best_bid",
    "best_bid_level",
    "best_bid_qty",
    "bid_change",
    "bid_index",
    "bid_row",
    "bid_tick",
    "cursor_at",
    "fetch_mark",
    "fetch_print",
    "fetch_row",
    "fetch_stamp",
    "fetch_stamps",
    "find_level",
    "is_known",
    "ladder_count",
    "ladder_level",
    "ladder_qty",
    "last_touch",
    "level_qty",
    "level_qty_by_id",
    "level_tick",
    "make_view",
    "mark_at",
    "next_level",
    "print_index",
    "print_of",
    "print_row",
    "row_key",
    "row_ns",
    "row_word",
    "seek_forward",
    "seek_stamp",
    "stamp_ns",
    "stamp_of",
    "stamp_row",
    "stamps_at",
    "touch_at",
    "touch_row",
    "touch_start",
    "touched_qty",
]

_TABLES: Final = tuple(name for name in Book._fields if name != "bid_levels")
# Addresses of the book's arrays, and how many entries the ones have that something counts.
VIEW_DTYPE: Final = np.dtype(
    [(name, np.int64) for name in _TABLES]
    + [(name, np.int64) for name in ("size", "levels", "bid_levels", "bid_changes", "ask_changes", "print_count")]
    + [("epoch_count", np.int64), ("stamps", np.int64), ("blocks", np.int64), ("ghosts", np.int64)],
    align=True,
)

_BLOCK_STAMPS: Final = GROUP_STAMPS * GROUP_STAMPS
_LINE_ROWS: Final = 5  # of a cache line
_NEAR_BLOCKS: Final = 8  # that a seek looks through before it jumps

BookView: TypeAlias = Any  # a record of VIEW_DTYPE

bid_change = table(VIEW_DTYPE, "bids", CHANGE_DTYPE)  # (book, at): an entry of the list of best bids
ask_change = table(VIEW_DTYPE, "asks", CHANGE_DTYPE)
print_of = table(VIEW_DTYPE, "prints", PRINT_DTYPE)  # (book, at): a print
row_ns = column(VIEW_DTYPE, "ns", np.int64)  # (book, row): stamp
row_word = member(VIEW_DTYPE, "rows", ROW_DTYPE, "word")  # (book, row): the packed word (`lobgym.sim.book`)
row_key = member(VIEW_DTYPE, "rows", ROW_DTYPE, "key")  # (book, row): level id, or number of a print
level_tick = column(VIEW_DTYPE, "level_tick", np.int64)  # (book, level): price
touch_start = column(VIEW_DTYPE, "touch_start", np.int64)  # (book, level): its first touch; that of level + 1 ends it
touch_row = column(VIEW_DTYPE, "touch_row", np.int32)  # (book, at): row of a touch
bid_row = member(VIEW_DTYPE, "bids", CHANGE_DTYPE, "row")  # (book, at), as are the following ones
bid_tick = member(VIEW_DTYPE, "bids", CHANGE_DTYPE, "tick")
ask_row = member(VIEW_DTYPE, "asks", CHANGE_DTYPE, "row")
ask_tick = member(VIEW_DTYPE, "asks", CHANGE_DTYPE, "tick")
print_row = member(VIEW_DTYPE, "prints", PRINT_DTYPE, "row")
fetch_row = prefetcher(VIEW_DTYPE, "rows", ROW_DTYPE)  # (book, row)
fetch_mark = prefetcher(VIEW_DTYPE, "marks", MARK_DTYPE)  # (book, mark)
fetch_print = prefetcher(VIEW_DTYPE, "prints", PRINT_DTYPE)  # (book, at)
_fetch_stamp = prefetcher(VIEW_DTYPE, "stamp_ns", np.int64)
_fetch_stamp_row = prefetcher(VIEW_DTYPE, "stamp_row", np.int32)
_fetch_group_once = prefetcher(VIEW_DTYPE, "group_ns", np.int64, once=True)
_fetch_stamp_once = prefetcher(VIEW_DTYPE, "stamp_ns", np.int64, once=True)
_fetch_stamp_row_once = prefetcher(VIEW_DTYPE, "stamp_row", np.int32, once=True)
mark_at = table(VIEW_DTYPE, "marks", MARK_DTYPE)  # (book, mark)
_epoch = table(VIEW_DTYPE, "epochs", EPOCH_DTYPE)
stamp_row = column(VIEW_DTYPE, "stamp_row", np.int32)  # (book, s): the cursor after s different stamps
stamp_ns = column(VIEW_DTYPE, "stamp_ns", np.int64)  # (book, s): the s-th of its different stamps
_stamp_mark = column(VIEW_DTYPE, "stamp_mark", np.int32)
_group_ns = column(VIEW_DTYPE, "group_ns", np.int64)
_block_ns = column(VIEW_DTYPE, "block_ns", np.int64)
_ladder_level = column(VIEW_DTYPE, "ladder_level", np.int32)
_ladder_qty = column(VIEW_DTYPE, "ladder_qty", np.int64)
_ladder_count = column(VIEW_DTYPE, "ladder_count", np.int8)


def make_view(book: Book, ghosts: bool = False) -> np.ndarray[Any, Any]:
    """VIEW_DTYPE[1] of a book, which must outlive it.

    In one with `ghosts` a level that its best has passed may display something (`lobgym.sim.compile_depth`).
    """
    view = np.zeros(1, VIEW_DTYPE)
    for name in _TABLES:
        view[name] = address_of(getattr(book, name))
    view["size"] = len(book.ns)
    view["levels"] = len(book.level_tick)
    view["bid_levels"] = book.bid_levels
    view["bid_changes"] = len(book.bids)
    view["ask_changes"] = len(book.asks)
    view["print_count"] = len(book.prints)
    view["epoch_count"] = len(book.epochs)
    view["stamps"] = len(book.stamp_row) - 1
    view["blocks"] = len(book.block_ns)
    view["ghosts"] = ghosts
    return view


# -- tables ------------------------------------------------------------------------------------------------------------


@njit_leaf
def touched_qty(book: BookView, at: int) -> int:
    """Lots that a level displays after one of its touches."""
    return row_qty(row_word(book, touch_row(book, at)))


@njit_leaf
def ladder_level(book: BookView, mark: int, side: int, j: int) -> int:
    """Level id of a ladder checkpoint's j-th best; side 0 bids, 1 asks."""
    return _ladder_level(book, (mark * 2 + side) * LADDER_LEVELS + j)


@njit_leaf
def ladder_qty(book: BookView, mark: int, side: int, j: int) -> int:
    """Lots at a ladder checkpoint's j-th best."""
    return _ladder_qty(book, (mark * 2 + side) * LADDER_LEVELS + j)


@njit_leaf
def ladder_count(book: BookView, mark: int, side: int) -> int:
    """How many levels a ladder checkpoint holds."""
    return _ladder_count(book, mark * 2 + side)


# -- cursors -----------------------------------------------------------------------------------------------------


@njit_leaf
def _stamps_in_block(book: BookView, block: int, t_ns: int) -> int:
    """Number of different stamps at or before `t_ns`, where `block` is the first that ends later.

    Counts instead of searching: no step waits for the one before, and nothing is guessed wrong.
    """
    if block >= book["blocks"]:
        return int(book["stamps"])
    group = block * GROUP_STAMPS
    passed = 0
    for j in range(GROUP_STAMPS):
        passed += _group_ns(book, group + j) <= t_ns
    stamp = (group + passed) * GROUP_STAMPS
    passed = 0
    for j in range(GROUP_STAMPS):
        passed += stamp_ns(book, stamp + j) <= t_ns
    return stamp + passed


@njit_inner
def _block_from(book: BookView, low: int, t_ns: int) -> int:
    """The first block from `low` on that ends after `t_ns`."""
    high = int(book["blocks"])
    step = 1
    while low + step < high and _block_ns(book, low + step) <= t_ns:
        low += step + 1
        step *= 4
    high = min(high, low + step)
    while low < high:
        middle = (low + high) >> 1
        if _block_ns(book, middle) <= t_ns:
            low = middle + 1
        else:
            high = middle
    return low


@njit_lean
def stamps_at(book: BookView, t_ns: int) -> int:
    """Number of different stamps at or before `t_ns`."""
    low = 0
    high = int(book["blocks"])
    while low < high:
        middle = (low + high) >> 1
        if _block_ns(book, middle) <= t_ns:
            low = middle + 1
        else:
            high = middle
    return _stamps_in_block(book, low, t_ns)


@njit_lean
def cursor_at(book: BookView, t_ns: int) -> int:
    """Number of rows stamped at or before `t_ns`."""
    return stamp_row(book, stamps_at(book, t_ns))


@njit_leaf
def seek_stamp(book: BookView, start: int, t_ns: int) -> int:
    """`stamps_at`, knowing that it is at least `start`: short moves cost little, long ones no more than they must."""
    if start >= book["stamps"] or stamp_ns(book, start) > t_ns:
        return start
    blocks = int(book["blocks"])
    block = start // _BLOCK_STAMPS
    end = min(block + _NEAR_BLOCKS, blocks)
    while block < end and _block_ns(book, block) <= t_ns:
        block += 1
    if block == end and block < blocks:
        block = _block_from(book, block, t_ns)
    return _stamps_in_block(book, block, t_ns)


@njit_leaf
def stamp_of(book: BookView, cursor: int) -> int:
    """Number of different stamps whose rows begin before the cursor."""
    stamp = int(_stamp_mark(book, cursor // MARK_EVERY))
    while stamp < book["stamps"] and stamp_row(book, stamp) < cursor:
        stamp += 1
    return stamp


@njit_leaf
def seek_forward(book: BookView, start: int, t_ns: int) -> int:
    """`cursor_at`, knowing that it is at least `start`."""
    if start >= book["size"] or row_ns(book, start) > t_ns:
        return start
    return stamp_row(book, seek_stamp(book, stamp_of(book, start), t_ns))


@njit_leaf
def fetch_stamp(book: BookView, stamp: int) -> None:
    """Ask for what a search reads that ends near a stamp and comes soon."""
    _fetch_group_once(book, stamp // GROUP_STAMPS)
    _fetch_stamp_once(book, stamp)
    _fetch_stamp_row_once(book, stamp)


@njit_leaf
def fetch_stamps(book: BookView, stamp: int) -> None:
    """Ask for what a search from a stamp on reads; it is no search itself, and waits for nothing."""
    _fetch_stamp(book, stamp + GROUP_STAMPS)
    _fetch_stamp(book, stamp + 2 * GROUP_STAMPS)
    _fetch_stamp_row(book, stamp + GROUP_STAMPS)


# -- bests and prints --------------------------------------------------------------------------------------------


@njit_leaf
def bid_index(book: BookView, cursor: int) -> int:
    """Number of entries of the best bids with a row before the cursor; at least 1."""
    at = int(mark_at(book, cursor // MARK_EVERY)["bid_at"])
    while at < book["bid_changes"] and bid_row(book, at) < cursor:
        at += 1
    return at


@njit_leaf
def ask_index(book: BookView, cursor: int) -> int:
    """Number of entries of the best asks with a row before the cursor; at least 1."""
    at = int(mark_at(book, cursor // MARK_EVERY)["ask_at"])
    while at < book["ask_changes"] and ask_row(book, at) < cursor:
        at += 1
    return at


@njit_leaf
def print_index(book: BookView, cursor: int) -> int:
    """Number of prints before the cursor."""
    at = int(mark_at(book, cursor // MARK_EVERY)["print_at"])
    while at < book["print_count"] and print_row(book, at) < cursor:
        at += 1
    return at


@njit_inline
def best_bid(book: BookView, cursor: int) -> int:
    """Best bid in ticks, or NO_BID."""
    return bid_tick(book, bid_index(book, cursor) - 1)


@njit_inline
def best_ask(book: BookView, cursor: int) -> int:
    """Best ask in ticks, or NO_ASK."""
    return ask_tick(book, ask_index(book, cursor) - 1)


@njit_leaf
def best_bid_level(book: BookView, cursor: int) -> int:
    """Level id of the best bid, or NO_LEVEL."""
    return int(bid_change(book, bid_index(book, cursor) - 1)["level"])


@njit_leaf
def best_ask_level(book: BookView, cursor: int) -> int:
    """Level id of the best ask, or NO_LEVEL."""
    return int(ask_change(book, ask_index(book, cursor) - 1)["level"])


@njit_lean
def best_bid_qty(book: BookView, cursor: int) -> int:
    """Lots at the best bid, 0 where there is none."""
    level = best_bid_level(book, cursor)
    return level_qty_by_id(book, level, cursor) if level >= 0 else 0


@njit_lean
def best_ask_qty(book: BookView, cursor: int) -> int:
    """Lots at the best ask, 0 where there is none."""
    level = best_ask_level(book, cursor)
    return level_qty_by_id(book, level, cursor) if level >= 0 else 0


# -- levels ------------------------------------------------------------------------------------------------------


@njit_lean
def find_level(book: BookView, side: int, tick: int) -> int:
    """Level id of (side, tick), or NO_LEVEL where the tape never mentions it."""
    low = 0 if side == BUY else int(book["bid_levels"])
    end = int(book["bid_levels"]) if side == BUY else int(book["levels"])
    high = end
    while low < high:
        middle = (low + high) >> 1
        if level_tick(book, middle) < tick:
            low = middle + 1
        else:
            high = middle
    return low if low < end and level_tick(book, low) == tick else NO_LEVEL


@njit_lean
def touch_at(book: BookView, level: int, cursor: int) -> int:
    """Index of the level's first touch at or after the cursor; its end where there is none."""
    low = touch_start(book, level)
    high = touch_start(book, level + 1)
    while low < high:
        middle = (low + high) >> 1
        if touch_row(book, middle) < cursor:
            low = middle + 1
        else:
            high = middle
    return int(low)


@njit_leaf
def last_touch(book: BookView, level: int, cursor: int) -> int:
    """Last row before `cursor` that set this level, or -1."""
    at = touch_at(book, level, cursor)
    return int(touch_row(book, at - 1)) if at > touch_start(book, level) else -1


@njit_leaf
def level_qty_by_id(book: BookView, level: int, cursor: int) -> int:
    """Lots displayed at a level, at a cursor."""
    row = last_touch(book, level, cursor)
    return row_qty(row_word(book, row)) if row >= 0 else 0


@njit_lean
def level_qty(book: BookView, side: int, tick: int, cursor: int) -> int:
    """Lots displayed at (side, tick), at a cursor; 0 where there are none, or none that the tape knows of."""
    level = find_level(book, side, tick)
    return level_qty_by_id(book, level, cursor) if level >= 0 else 0


@njit_inner
def _first_word(book: BookView, level: int, epoch_row: int) -> int:
    """The first row of an epoch that says what stands at a level; beyond all rows where none does.

    The rows by which a reset itself empties the book tell nothing about it. They come first, one a level at most.
    """
    at = touch_start(book, level)
    end = touch_start(book, level + 1)
    if at < end and touch_row(book, at) < epoch_row:
        at = touch_at(book, level, epoch_row)
    if at < end and row_flags(row_word(book, touch_row(book, at))) & RESET:
        at += 1
    return touch_row(book, at) if at < end else int(book["size"])


@njit_lean
def is_known(book: BookView, side: int, tick: int, cursor: int) -> bool:
    """Whether the tape tells what stands at (side, tick): the snapshot covered it, or a message touched it since.

    Outside the recorded depth a level is unknown, not empty; between the two bests it is known to be empty.
    """
    bid = best_bid(book, cursor)
    ask = best_ask(book, cursor)
    if bid < tick < ask and bid != NO_BID and ask != NO_ASK:
        return True
    low = 0
    high = int(book["epoch_count"])
    while low < high:
        middle = (low + high) >> 1
        if _epoch(book, middle)["row"] < cursor:
            low = middle + 1
        else:
            high = middle
    if low == 0:
        return False
    epoch = _epoch(book, low - 1)
    if epoch["low"] <= tick <= epoch["high"]:
        return True
    level = find_level(book, side, tick)
    return level >= 0 and _first_word(book, level, epoch["row"]) < cursor


@njit_inner
def known_range(book: BookView, cursor: int) -> tuple[int, int, int]:
    """Lowest and highest tick that the snapshot of the current epoch covers, and the last cursor of that epoch."""
    low = 0
    high = int(book["epoch_count"])
    while low < high:
        middle = (low + high) >> 1
        if _epoch(book, middle)["row"] < cursor:
            low = middle + 1
        else:
            high = middle
    until = int(_epoch(book, low)["row"]) if low < book["epoch_count"] else 1 << 40
    if low == 0:
        return NO_ASK, NO_BID, until
    return int(_epoch(book, low - 1)["low"]), int(_epoch(book, low - 1)["high"]), until


@njit_inner
def find_level_near(book: BookView, side: int, tick: int, level: int) -> int:
    """`find_level`, for a price that lies close to that of `level`: steps first, and searches only then."""
    if level >= 0:
        low = 0 if side == BUY else int(book["bid_levels"])
        end = int(book["bid_levels"]) if side == BUY else int(book["levels"])
        for _ in range(8):
            price = level_tick(book, level)
            if price == tick:
                return level
            level += 1 if price < tick else -1
            if level < low or level >= end:
                break
    return find_level(book, side, tick)


@njit_lean
def next_level(book: BookView, side: int, level: int, cursor: int) -> int:
    """The next non-empty level of `side` behind `level` (away from the touch), or NO_LEVEL."""
    step = -1 if side == BUY else 1
    end = -1 if side == BUY else int(book["levels"])
    level += step
    while level != end:
        if level_qty_by_id(book, level, cursor) > 0:
            return level
        level += step
    return NO_LEVEL
