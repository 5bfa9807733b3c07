"""Indices into a compiled table: which rows touched a level, ladder checkpoints and marks every few rows."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.book import (
    GROUP_ROWS,
    LADDER_EVERY,
    LADDER_LEVELS,
    MARK_DTYPE,
    MARK_EVERY,
    NO_LEVEL,
    ROW_LEVEL,
    row_kind,
    row_qty,
)
from lobgym.sim.jit import njit_inline, njit_lean
from lobgym.sim.level_set import flip, highest_bit, new_level_set
from lobgym.sim.records import BUY

__all__ = ["index_ladders", "index_marks", "index_stamps", "index_touches"]

_NEVER: Final = np.iinfo(np.int64).max


def index_touches(rows: NDArray[np.void], touches: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """`touch_start` and `touch_row` of a book: a counting sort, the counts `touches` [L] being known."""
    start = np.zeros(len(touches) + 1, np.int64)
    np.cumsum(touches, out=start[1:])
    out = np.empty(start[-1], np.int32)
    _place(rows, start[:-1].copy(), out)
    return start, out


@njit_lean
def _place(rows: NDArray[np.void], place: NDArray[np.int64], out: NDArray[np.int32]) -> None:
    for row in range(rows.shape[0]):
        if row_kind(rows[row]["word"]) == ROW_LEVEL:
            level = rows[row]["key"]
            out[place[level]] = row
            place[level] += 1


def index_ladders(
    rows: NDArray[np.void], levels: int, bid_levels: int
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int8]]:
    """`ladder_level`, `ladder_qty` and `ladder_count` of a book: before every LADDER_EVERY-th row."""
    points = len(rows) // LADDER_EVERY + 1
    level_out = np.full((points, 2, LADDER_LEVELS), NO_LEVEL, np.int32)
    qty_out = np.zeros((points, 2, LADDER_LEVELS), np.int64)
    count_out = np.zeros((points, 2), np.int8)
    _ladders(rows, bid_levels, np.zeros(levels, np.int64), new_level_set(levels), level_out, qty_out, count_out)
    return level_out, qty_out, count_out


@njit_inline
def _best_bids(
    full: NDArray[np.int64], qty: NDArray[np.int64], end: int, level_out: NDArray[np.int32], qty_out: NDArray[np.int64]
) -> int:
    """The highest members below `end` and their quantities; returns how many."""
    n = 0
    at = end >> 5
    word = full[at] & ((1 << (end & 31)) - 1)
    while n < LADDER_LEVELS:
        while word == 0:
            at -= 1
            if at < 0:
                return n
            word = full[at]
        bit = highest_bit(word)
        word ^= 1 << bit
        level_out[n] = (at << 5) + bit
        qty_out[n] = qty[(at << 5) + bit]
        n += 1
    return n


@njit_inline
def _best_asks(
    full: NDArray[np.int64], qty: NDArray[np.int64], start: int, level_out: NDArray[np.int32],
    qty_out: NDArray[np.int64],
) -> int:  # fmt: skip
    """The lowest members from `start` on and their quantities; returns how many."""
    n = 0
    at = start >> 5
    word = full[at] & (-1 << (start & 31))
    while n < LADDER_LEVELS:
        while word == 0:
            at += 1
            if at == full.shape[0]:
                return n
            word = full[at]
        bit = highest_bit(word & -word)
        word &= word - 1
        level_out[n] = (at << 5) + bit
        qty_out[n] = qty[(at << 5) + bit]
        n += 1
    return n


@njit_lean
def _ladders(
    rows: NDArray[np.void], bid_levels: int, qty: NDArray[np.int64], full: NDArray[np.int64],
    level_out: NDArray[np.int32], qty_out: NDArray[np.int64], count_out: NDArray[np.int8],
) -> None:  # fmt: skip
    for point in range(count_out.shape[0]):
        count_out[point, 0] = _best_bids(full, qty, bid_levels, level_out[point, 0], qty_out[point, 0])
        count_out[point, 1] = _best_asks(full, qty, bid_levels, level_out[point, 1], qty_out[point, 1])
        start = point * LADDER_EVERY
        for row in range(start, min(start + LADDER_EVERY, rows.shape[0])):
            word = rows[row]["word"]
            if row_kind(word) == ROW_LEVEL:
                level = int(rows[row]["key"])
                if (row_qty(word) > 0) != (qty[level] > 0):
                    flip(full, level)
                qty[level] = row_qty(word)


def index_stamps(ns: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """`group_ns` and `block_ns` of a book."""
    blocks = -(-len(ns) // GROUP_ROWS**2)
    groups = np.full(blocks * GROUP_ROWS, _NEVER, np.int64)
    full = ns[GROUP_ROWS - 1 :: GROUP_ROWS]
    groups[: len(full)] = full
    if len(ns) % GROUP_ROWS > 0:
        groups[len(full)] = ns[-1]
    return groups, groups[GROUP_ROWS - 1 :: GROUP_ROWS].copy()


def index_marks(
    rows: int, bids: NDArray[np.void], asks: NDArray[np.void], prints: NDArray[np.void]
) -> NDArray[np.void]:
    """`marks` of a book."""
    marks = np.zeros(rows // MARK_EVERY + 1, MARK_DTYPE)
    _marks(bids, asks, prints, marks)
    return marks


@njit_inline
def _before(entries: NDArray[np.void], at: int, row: int) -> int:
    while at < entries.shape[0] and entries[at]["row"] < row:
        at += 1
    return at


@njit_lean
def _marks(bids: NDArray[np.void], asks: NDArray[np.void], prints: NDArray[np.void], marks: NDArray[np.void]) -> None:
    bid_at = 0
    ask_at = 0
    print_at = 0
    cum_buy = 0
    cum_sell = 0
    for k in range(marks.shape[0]):
        row = k * MARK_EVERY
        bid_at = _before(bids, bid_at, row)
        ask_at = _before(asks, ask_at, row)
        while print_at < prints.shape[0] and prints[print_at]["row"] < row:
            if prints[print_at]["side"] == BUY:
                cum_buy += prints[print_at]["qty"]
            else:
                cum_sell += prints[print_at]["qty"]
            print_at += 1
        mark = marks[k]
        mark["bid_at"] = bid_at
        mark["ask_at"] = ask_at
        mark["print_at"] = print_at
        mark["cum_buy"] = cum_buy
        mark["cum_sell"] = cum_sell
