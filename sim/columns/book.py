"""Columns that read the best levels of the local book.

Both sides are rolled forward from the nearest checkpoint in one pass over its rows. Of the checkpoint only so many
levels are taken as are wanted, and a few more; where deletions eat those up, it is done again with all that there are,
and if that is not enough the level index supplies the rest. In a book with ghosts it supplies all.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from lobgym.sim.book import LADDER_EVERY, LADDER_LEVELS, ROW_LEVEL, row_kind, row_qty
from lobgym.sim.columns.catalog import BOOK_LEVELS, number_of, part
from lobgym.sim.columns.header import ENCODER_DTYPE, FAR, Encoder, balance, put
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
    level_tick,
    next_level,
    row_key,
    row_word,
)

__all__ = ["LEVELS_MAX", "LEVEL_DTYPE", "fetch_levels", "level_columns"]

LEVELS_MAX: Final = LADDER_LEVELS + LADDER_EVERY + 1  # that a side can have while its checkpoint is rolled forward
LEVEL_DTYPE: Final = np.dtype([("level", np.int64), ("lots", np.int64)])
_DEPTH: Final = 5
_LINE_ROWS: Final = 5  # rows of a cache line
_SPARE: Final = 3  # levels taken of a checkpoint beyond those that are wanted

_DEEP: Final = part("deep")
_TICKS: Final = part("ticks")
_EACH: Final = part("each")
_IMBALANCE_1: Final = number_of("imbalance_1")
_IMBALANCE_5: Final = number_of("imbalance_5")
_PRESSURE_5: Final = number_of("pressure_5")
_MICROPRICE: Final = number_of("microprice")
_WIDTH_5: Final = number_of("width_5")
# Levels have four columns each, in the order of _LEVEL_FIELDS.
_LEVEL_1: Final = number_of("bid_gap_1")
_LEVEL_FIELDS: Final = 4
assert [number_of(name) - _LEVEL_1 for name in ("bid_size_1", "ask_gap_1", "ask_size_1", "bid_gap_2")] == [1, 2, 3, 4]

_levels = table(ENCODER_DTYPE, "levels", LEVEL_DTYPE)
_fetch_level = prefetcher(VIEW_DTYPE, "ladder_level", np.int32)
_fetch_qty = prefetcher(VIEW_DTYPE, "ladder_qty", np.int64)
_fetch_count = prefetcher(VIEW_DTYPE, "ladder_count", np.int8)


@njit_leaf
def _take(book: BookView, encoder: Encoder, mark: int, side: int, wanted: int) -> tuple[int, int]:
    """Copy the best levels of a checkpoint; side 0 bids, 1 asks. Returns how many, and the last level that counts."""
    there = ladder_count(book, mark, side)
    count = min(there, wanted)
    for j in range(count):
        one = _levels(encoder, side * LEVELS_MAX + j)
        one["level"] = ladder_level(book, mark, side, j)
        one["lots"] = ladder_qty(book, mark, side, j)
    if there < LADDER_LEVELS and count == there:  # the side has no others
        return count, 0 if side == 0 else int(book["levels"]) - 1
    return count, int(_levels(encoder, side * LEVELS_MAX + count - 1)["level"])


@njit_inner
def _change(encoder: Encoder, side: int, count: int, level: int, lots: int) -> int:
    """Give a level a quantity, 0 to take it out; returns how many the side has then."""
    first = side * LEVELS_MAX
    sign = 1 if side == 1 else -1  # sign * level ascends from the best outwards
    j = 0
    while j < count and sign * _levels(encoder, first + j)["level"] < sign * level:
        j += 1
    if j < count and _levels(encoder, first + j)["level"] == level:
        if lots > 0:
            _levels(encoder, first + j)["lots"] = lots
            return count
        for k in range(first + j, first + count - 1):
            _levels(encoder, k)["level"] = _levels(encoder, k + 1)["level"]
            _levels(encoder, k)["lots"] = _levels(encoder, k + 1)["lots"]
        return count - 1
    if lots > 0:
        for k in range(first + count, first + j, -1):
            _levels(encoder, k)["level"] = _levels(encoder, k - 1)["level"]
            _levels(encoder, k)["lots"] = _levels(encoder, k - 1)["lots"]
        _levels(encoder, first + j)["level"] = level
        _levels(encoder, first + j)["lots"] = lots
        return count + 1
    return count


@njit_inner
def _walk(book: BookView, encoder: Encoder, side: int, cursor: int, depth: int) -> int:
    """The best levels of a side one by one, for books where a checkpoint does not tell; returns how many."""
    level = best_bid_level(book, cursor) if side == 0 else best_ask_level(book, cursor)
    count = 0
    while level >= 0 and count < depth:
        one = _levels(encoder, side * LEVELS_MAX + count)
        one["level"] = level
        one["lots"] = level_qty_by_id(book, level, cursor)
        count += 1
        level = next_level(book, BUY if side == 0 else SELL, level, cursor)
    return count


@njit_leaf
def _roll(book: BookView, encoder: Encoder, cursor: int, wanted: int, depth: int) -> tuple[int, int]:
    """Roll `wanted` levels a side forward; how many there are of each, -1 where fewer than `depth` are certain."""
    mark = cursor // LADDER_EVERY
    bids, low = _take(book, encoder, mark, 0, wanted)
    asks, high = _take(book, encoder, mark, 1, wanted)
    first_ask = book["bid_levels"]
    # Level ids ascend by price, bids before asks: what matters lies between the two last ones.
    for row in range(mark * LADDER_EVERY, cursor):
        level = row_key(book, row)
        if low <= level <= high:
            word = row_word(book, row)
            if row_kind(word) == ROW_LEVEL:
                if level < first_ask:
                    bids = _change(encoder, 0, bids, level, row_qty(word))
                else:
                    asks = _change(encoder, 1, asks, level, row_qty(word))
    if bids < depth and low > 0:
        bids = -1
    if asks < depth and high < book["levels"] - 1:
        asks = -1
    return bids, asks


@njit_inner
def _best_levels_slowly(book: BookView, encoder: Encoder, cursor: int, depth: int) -> tuple[int, int]:
    bids = -1
    asks = -1
    if not book["ghosts"]:
        bids, asks = _roll(book, encoder, cursor, LADDER_LEVELS, depth)
    if bids < 0:
        bids = _walk(book, encoder, 0, cursor, depth)
    if asks < 0:
        asks = _walk(book, encoder, 1, cursor, depth)
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
def best_levels(book: BookView, encoder: Encoder, cursor: int, depth: int) -> tuple[int, int]:
    """Write the best levels of both sides, best first; returns how many there are of each, at least `depth` or all."""
    if not book["ghosts"]:
        bids, asks = _roll(book, encoder, cursor, depth + _SPARE, depth)
        if bids >= 0 and asks >= 0:
            return bids, asks
    return _best_levels_slowly(book, encoder, cursor, depth)


@njit_leaf
def _sums(encoder: Encoder, side: int, count: int) -> tuple[float, float]:
    """Lots on the best five levels of a side, and those weighted by 1/k."""
    lots = 0.0
    weighted = 0.0
    for j in range(min(count, _DEPTH)):
        one = float(_levels(encoder, side * LEVELS_MAX + j)["lots"])
        lots += one
        weighted += one / (j + 1)
    return lots, weighted


@njit_inner
def _each_level(book: BookView, encoder: Encoder, side: int, count: int, depth: int, mean: float, mid2: int) -> None:
    """Distance and quantity of each level of a side, as far as there are levels."""
    sign = 2 if side == 1 else -2
    for j in range(depth):
        number = _LEVEL_1 + _LEVEL_FIELDS * j + 2 * side
        put(encoder, number, FAR)
        put(encoder, number + 1, 0.0)
        if j < count:
            one = _levels(encoder, side * LEVELS_MAX + j)
            lots = float(one["lots"])
            put(encoder, number, (sign * level_tick(book, one["level"]) - sign // 2 * mid2) * 1e4 / mid2)
            put(encoder, number + 1, lots / (lots + mean))


@njit_leaf
def level_columns(book: BookView, encoder: Encoder, cursor: int, mid2: int, spread_bps: float) -> float:
    """Columns over the best levels; returns the lots that the best five a side display together."""
    deep = encoder["needs"] & _DEEP != 0
    depth = BOOK_LEVELS if deep else _DEPTH
    bids, asks = best_levels(book, encoder, cursor, depth)
    bid_lots, near_bid = _sums(encoder, 0, bids)
    ask_lots, near_ask = _sums(encoder, 1, asks)
    if mid2 > 0 and bids > 0 and asks > 0:
        top = balance(float(_levels(encoder, 0)["lots"]), float(_levels(encoder, LEVELS_MAX)["lots"]))
        put(encoder, _IMBALANCE_1, top)
        put(encoder, _MICROPRICE, 0.5 * spread_bps * top)
        put(encoder, _IMBALANCE_5, balance(bid_lots, ask_lots))
        put(encoder, _PRESSURE_5, balance(near_bid, near_ask))
        if encoder["needs"] & _TICKS:
            last_bid = level_tick(book, _levels(encoder, min(bids, _DEPTH) - 1)["level"])
            last_ask = level_tick(book, _levels(encoder, LEVELS_MAX + min(asks, _DEPTH) - 1)["level"])
            put(encoder, _WIDTH_5, (last_ask - last_bid) * 2e4 / mid2)
        if encoder["needs"] & _EACH:
            mean = (bid_lots + ask_lots) / (min(bids, _DEPTH) + min(asks, _DEPTH))
            _each_level(book, encoder, 0, bids, depth, mean, mid2)
            _each_level(book, encoder, 1, asks, depth, mean, mid2)
    return bid_lots + ask_lots
