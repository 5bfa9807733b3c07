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

from lobgym.sim.jit import njit_leaf
from lobgym.sim.records import BUY, SELL

__all__ = [
    "CHANGE_DTYPE",
    "EPOCH_DTYPE",
    "FLAGS_SHIFT",
    "GROUP_STAMPS",
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
    "row_flags",
    "row_kind",
    "row_qty",
    "row_side",
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

GROUP_STAMPS: Final = 8  # stamps of one entry of `group_ns`, and of those again one of `block_ns`

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
    # The S different stamps, several times fewer than rows, as a tree: a search reads one cache line of each of its
    # levels, where a plain one reads one a step.
    stamp_ns: NDArray[np.int64]  # [whole blocks] ascending, then the greatest number
    stamp_row: NDArray[np.int32]  # [S + 1] first row of each stamp, then R
    stamp_mark: NDArray[np.int32]  # [R // MARK_EVERY + 1] stamps whose first row lies before rows 0, MARK_EVERY, ...
    group_ns: NDArray[np.int64]  # last one of each GROUP_STAMPS stamps
    block_ns: NDArray[np.int64]  # last one of each GROUP_STAMPS of those


# -- rows --------------------------------------------------------------------------------------------------------


@njit_leaf
def row_kind(word: int) -> int:
    """ROW_* of a row's word."""
    return word & 3


@njit_leaf
def row_side(word: int) -> int:
    """Side of the level, or of the print's aggressor; SELL for a clear, which has none."""
    return BUY if word & (1 << SIDE_SHIFT) else SELL


@njit_leaf
def row_flags(word: int) -> int:
    """MESSAGE_END, IMPLIED, RESET."""
    return (word >> FLAGS_SHIFT) & 15


@njit_leaf
def row_qty(word: int) -> int:
    """Lots that the level displays from here on, or that were printed."""
    return word >> QTY_SHIFT
