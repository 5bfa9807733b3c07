"""Indices into a compiled table: which rows touched a level, and marks every few rows."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.book import GROUP_ROWS, MARK_DTYPE, MARK_EVERY, ROW_LEVEL, row_kind
from lobgym.sim.jit import njit_leaf, njit_lean
from lobgym.sim.records import BUY

__all__ = ["index_marks", "index_stamps", "index_touches"]

_NEVER: Final = np.iinfo(np.int64).max


def index_touches(rows: NDArray[np.void], touches: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """`touch_start` and `touch_row` of a book: ROW_DTYPE[R] sorted by level, `touches` [L] rows each."""
    start = np.zeros(len(touches) + 1, np.int64)
    np.cumsum(touches, out=start[1:])
    out = np.empty(start[-1], np.int32)
    _place(rows, start[:-1].astype(np.int32), out)
    return start, out


@njit_lean
def _place(rows: NDArray[np.void], place: NDArray[np.int32], out: NDArray[np.int32]) -> None:
    for row in range(rows.shape[0]):
        if row_kind(rows[row]["word"]) == ROW_LEVEL:
            level = rows[row]["key"]
            out[place[level]] = row
            place[level] += 1


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


@njit_leaf
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
