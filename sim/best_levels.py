"""The best levels of both sides at a cursor: the nearest checkpoint, rolled forward row by row in one pass.

Of the checkpoint only so many levels are taken as are wanted, and a few more; where deletions eat those up, it is done
again with all that there are, and if that is not enough the level index supplies the rest. In a book with ghosts it
supplies all.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np

from lobgym.sim.book import LADDER_EVERY, LADDER_LEVELS, ROW_LEVEL, row_kind, row_qty
from lobgym.sim.columns.header import ENCODER_DTYPE
from lobgym.sim.jit import njit_inner, njit_leaf
from lobgym.sim.memory import prefetcher, table
from lobgym.sim.records import BUY, SELL
from lobgym.sim.view import (
    VIEW_DTYPE,
    BookView,
    best_ask_level,
    best_bid_level,
    fetch_row,
    ladder_count,
    ladder_level,
    ladder_qty,
    level_qty_by_id,
    next_level,
    row_key,
    row_word,
)

__all__ = [
    "LEVELS_MAX",
    "LEVEL_DTYPE",
    "Scratch",
    "apply_row",
    "best_levels",
    "fetch_levels",
    "level_of",
    "take_levels",
    "walk_levels",
]

LEVELS_MAX: Final = LADDER_LEVELS + LADDER_EVERY + 1  # that a side can have while its checkpoint is rolled forward
LEVEL_DTYPE: Final = np.dtype([("level", np.int64), ("lots", np.int64)])
_LINE_ROWS: Final = 5  # rows of a cache line
_SPARE: Final = 3  # levels taken of a checkpoint beyond those that are wanted

Scratch: TypeAlias = Any  # a record of ENCODER_DTYPE, of which only `levels` is used

level_of = table(ENCODER_DTYPE, "levels", LEVEL_DTYPE)  # (scratch, side * LEVELS_MAX + place); side 0 bids, 1 asks
_fetch_level = prefetcher(VIEW_DTYPE, "ladder_level", np.int32)
_fetch_qty = prefetcher(VIEW_DTYPE, "ladder_qty", np.int64)
_fetch_count = prefetcher(VIEW_DTYPE, "ladder_count", np.int8)


@njit_leaf
def take_levels(book: BookView, scratch: Scratch, mark: int, side: int, wanted: int) -> tuple[int, int]:
    """Copy the best levels of a checkpoint; side 0 bids, 1 asks. Returns how many, and the last level that counts."""
    there = ladder_count(book, mark, side)
    count = min(there, wanted)
    for j in range(count):
        one = level_of(scratch, side * LEVELS_MAX + j)
        one["level"] = ladder_level(book, mark, side, j)
        one["lots"] = ladder_qty(book, mark, side, j)
    if there < LADDER_LEVELS and count == there:  # the side has no others
        return count, 0 if side == 0 else int(book["levels"]) - 1
    return count, int(level_of(scratch, side * LEVELS_MAX + count - 1)["level"])


@njit_inner
def _change(scratch: Scratch, side: int, count: int, level: int, lots: int) -> int:
    """Give a level a quantity, 0 to take it out; returns how many the side has then."""
    first = side * LEVELS_MAX
    sign = 1 if side == 1 else -1  # sign * level ascends from the best outwards
    j = 0
    while j < count and sign * level_of(scratch, first + j)["level"] < sign * level:
        j += 1
    if j < count and level_of(scratch, first + j)["level"] == level:
        if lots > 0:
            level_of(scratch, first + j)["lots"] = lots
            return count
        for k in range(first + j, first + count - 1):
            level_of(scratch, k)["level"] = level_of(scratch, k + 1)["level"]
            level_of(scratch, k)["lots"] = level_of(scratch, k + 1)["lots"]
        return count - 1
    if lots > 0:
        for k in range(first + count, first + j, -1):
            level_of(scratch, k)["level"] = level_of(scratch, k - 1)["level"]
            level_of(scratch, k)["lots"] = level_of(scratch, k - 1)["lots"]
        level_of(scratch, first + j)["level"] = level
        level_of(scratch, first + j)["lots"] = lots
        return count + 1
    return count


@njit_inner
def walk_levels(book: BookView, scratch: Scratch, side: int, cursor: int, depth: int) -> int:
    """The best levels of a side one by one, for books where a checkpoint does not tell; returns how many."""
    level = best_bid_level(book, cursor) if side == 0 else best_ask_level(book, cursor)
    count = 0
    while level >= 0 and count < depth:
        one = level_of(scratch, side * LEVELS_MAX + count)
        one["level"] = level
        one["lots"] = level_qty_by_id(book, level, cursor)
        count += 1
        level = next_level(book, BUY if side == 0 else SELL, level, cursor)
    return count


@njit_leaf
def apply_row(book: BookView, scratch: Scratch, row: int, low: int, high: int, bids: int, asks: int) -> tuple[int, int]:
    """Let a row change the levels, if it is about one between `low` and `high`; returns how many there are of each."""
    # Level ids ascend by price, bids before asks: what matters lies between the two last ones.
    level = row_key(book, row)
    if low <= level <= high:
        word = row_word(book, row)
        if row_kind(word) == ROW_LEVEL:
            if level < book["bid_levels"]:
                bids = _change(scratch, 0, bids, level, row_qty(word))
            else:
                asks = _change(scratch, 1, asks, level, row_qty(word))
    return bids, asks


@njit_leaf
def _roll(book: BookView, scratch: Scratch, cursor: int, wanted: int, depth: int) -> tuple[int, int]:
    """Roll `wanted` levels a side forward; how many there are of each, -1 where fewer than `depth` are certain."""
    mark = cursor // LADDER_EVERY
    bids, low = take_levels(book, scratch, mark, 0, wanted)
    asks, high = take_levels(book, scratch, mark, 1, wanted)
    for row in range(mark * LADDER_EVERY, cursor):
        bids, asks = apply_row(book, scratch, row, low, high, bids, asks)
    if bids < depth and low > 0:
        bids = -1
    if asks < depth and high < book["levels"] - 1:
        asks = -1
    return bids, asks


@njit_inner
def _best_levels_slowly(book: BookView, scratch: Scratch, cursor: int, depth: int) -> tuple[int, int]:
    bids = -1
    asks = -1
    if not book["ghosts"]:
        bids, asks = _roll(book, scratch, cursor, LADDER_LEVELS, depth)
    if bids < 0:
        bids = walk_levels(book, scratch, 0, cursor, depth)
    if asks < 0:
        asks = walk_levels(book, scratch, 1, cursor, depth)
    return bids, asks


@njit_leaf
def fetch_levels(book: BookView, cursor: int) -> None:
    """Have brought into the cache what `best_levels` will read: a checkpoint, and the rows from there to `cursor`."""
    mark = cursor // LADDER_EVERY
    first = mark * 2 * LADDER_LEVELS
    _fetch_count(book, mark * 2)
    _fetch_level(book, first)
    _fetch_level(book, first + LADDER_LEVELS)
    _fetch_qty(book, first)
    _fetch_qty(book, first + LADDER_LEVELS)
    for row in range(mark * LADDER_EVERY, cursor, _LINE_ROWS):
        fetch_row(book, row)


@njit_leaf
def best_levels(book: BookView, scratch: Scratch, cursor: int, depth: int) -> tuple[int, int]:
    """Write the best levels of both sides, best first; returns how many there are of each, at least `depth` or all."""
    if not book["ghosts"]:
        bids, asks = _roll(book, scratch, cursor, depth + _SPARE, depth)
        if bids >= 0 and asks >= 0:
            return bids, asks
    return _best_levels_slowly(book, scratch, cursor, depth)
