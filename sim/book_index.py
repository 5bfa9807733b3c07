"""Indices into a compiled table: which rows touched a level, and marks every few rows."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.book import GROUP_STAMPS, MARK_DTYPE, MARK_EVERY, ROW_LEVEL, row_kind
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


def index_stamps(ns: NDArray[np.int64]) -> dict[str, Any]:
    """The fields of a book that lead from stamps to rows, for the stamps of its rows."""
    mark = np.zeros(len(ns) // MARK_EVERY + 1, np.int32)
    count = _count_stamps(ns, mark)
    blocks = -(-count // GROUP_STAMPS**2)
    stamps = np.full(blocks * GROUP_STAMPS**2, _NEVER, np.int64)
    row = np.zeros(count + 1, np.int32)
    _list_stamps(ns, stamps, row[1:])
    groups = stamps[GROUP_STAMPS - 1 :: GROUP_STAMPS].copy()
    block = groups[GROUP_STAMPS - 1 :: GROUP_STAMPS].copy()
    return {"stamp_ns": stamps, "stamp_row": row, "stamp_mark": mark, "group_ns": groups, "block_ns": block}


@njit_lean
def _count_stamps(ns: NDArray[np.int64], mark: NDArray[np.int32]) -> int:
    """How many different stamps there are; sets how many of them begin before each mark.

    Unsigned indices: others might count from the end, and the code generator would compare one stamp at a time.
    """
    count = 0
    for k in range(mark.shape[0]):
        mark[k] = count
        first = k * MARK_EVERY
        here = ns[first:]
        changes = int(first < ns.shape[0] and (first == 0 or ns[first] != ns[first - 1]))
        if here.shape[0] >= MARK_EVERY:
            for j in range(1, MARK_EVERY):
                changes += here[np.uint64(j)] != here[np.uint64(j - 1)]
        else:
            for j in range(1, here.shape[0]):
                changes += here[j] != here[j - 1]
        count += changes
    return count


@njit_lean
def _list_stamps(ns: NDArray[np.int64], stamps: NDArray[np.int64], ends: NDArray[np.int32]) -> None:
    """Write each stamp and where it ends. Whether a row begins another is a toss: all write, the last one stays."""
    at = 0
    before = ns[0] if ns.shape[0] > 0 else 0
    for row in range(ns.shape[0]):
        at += ns[row] != before
        before = ns[row]
        stamps[at] = before
        ends[at] = row + 1


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
