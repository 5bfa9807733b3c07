"""The compiler's workbench: one record that all kernels of a compilation take.

It holds the addresses of the tables that are read and written, their sizes, how far the work has come, the bests of
the effective book, and the evidence at hand (`lobgym.sim.compile`).
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.book import CHANGE_DTYPE, EPOCH_DTYPE, PRINT_DTYPE, ROW_DTYPE
from lobgym.sim.jit import njit_leaf
from lobgym.sim.memory import address_of, column, table
from lobgym.sim.records import EVENT_DTYPE

__all__ = [
    "CORRECTION_DTYPE",
    "LEVEL_DTYPE",
    "WORD_BITS",
    "WORK_DTYPE",
    "Work",
    "ask_at",
    "bid_at",
    "correction_at",
    "epoch_at",
    "event_at",
    "first_above",
    "flip_if",
    "highest_bit",
    "ladder_count_at",
    "ladder_level_at",
    "ladder_qty_at",
    "last_below",
    "level_at",
    "level_of_event",
    "order_of",
    "print_at",
    "put_addresses",
    "row_at",
    "stamp_at",
    "tick_of",
    "twin_stamp_at",
    "word_at",
]

# What is known about a level. Its evidence is void where `place` lies before the last clear.
LEVEL_DTYPE: Final = np.dtype([
    ("qty", np.int64),  # lots of the effective book
    ("stamp", np.int64),  # exchange stamp of the newest evidence
    ("place", np.int32),  # its place in the order of processing
    ("touches", np.int32),  # rows written
    ("correction", np.int32),  # 1 + its entry in the list of corrections, 0 where depth is right about it
    ("by_print", np.int32),  # whether the evidence is a print
])  # fmt: skip

# A level that is corrected. The entry is given up where the level does not point back to it.
CORRECTION_DTYPE: Final = np.dtype([
    ("level", np.int64),
    ("shown", np.int64),  # lots that depth shows
    ("seq", np.int64),  # update id of the evidence if it is a best quote, else 0
])  # fmt: skip

_INT8_DTYPE: Final = np.dtype([("is", np.int8)])  # numbers that can be written
_INT32_DTYPE: Final = np.dtype([("is", np.int32)])
_INT64_DTYPE: Final = np.dtype([("is", np.int64)])

_READ: Final = ("events", "order", "level_of_event", "level_tick")
_WRITTEN: Final = ("ns", "twin", "rows", "bids", "asks", "prints", "epochs")
_LADDERS: Final = ("ladder_level", "ladder_qty", "ladder_count")
_INSIDE: Final = ("levels", "full", "corrections")
_SIZES: Final = ("event_count", "level_count", "bid_levels", "word_count", "rows_max", "arrival", "implied", "has_twin")
_COUNTERS: Final = (
    "next_event",
    "row_count",
    "bid_count",
    "ask_count",
    "print_count",
    "epoch_count",
    "correction_count",
)
_BOOK: Final = (
    "bid",  # level id of the best bid, -1
    "ask",  # level id of the best ask, level_count
    "depth_seq",  # greatest update id of a depth message since the last clear
    "cleared",  # place of the last clear
    "message",  # first row of the present message
    "low",  # bounds of the search for a best in `lobgym.sim.compile_depth`
    "high",
)
_EVIDENCE: Final = (
    "now_ns",  # stamp of the rows that it causes
    "twin_ns",  # their stamp in the order of arrival, where that order is the same
    "exch_ns",
    "seq",  # update id of a best quote, else 0
    "place",
    "by_print",
)
WORK_DTYPE: Final = np.dtype(
    [(name, np.int64) for name in (*_READ, *_WRITTEN, *_LADDERS, *_INSIDE, *_SIZES, *_COUNTERS, *_BOOK, *_EVIDENCE)]
)

Work: TypeAlias = Any  # a record of WORK_DTYPE

event_at = table(WORK_DTYPE, "events", EVENT_DTYPE)  # (w, number in the exchange's order)
order_of = column(WORK_DTYPE, "order", np.int32)  # (w, place): number of an event
level_of_event = column(WORK_DTYPE, "level_of_event", np.int32)  # (w, number of an event)
tick_of = column(WORK_DTYPE, "level_tick", np.int64)  # (w, level)
stamp_at = table(WORK_DTYPE, "ns", _INT64_DTYPE)  # (w, row)
twin_stamp_at = table(WORK_DTYPE, "twin", _INT64_DTYPE)
row_at = table(WORK_DTYPE, "rows", ROW_DTYPE)
bid_at = table(WORK_DTYPE, "bids", CHANGE_DTYPE)
ask_at = table(WORK_DTYPE, "asks", CHANGE_DTYPE)
print_at = table(WORK_DTYPE, "prints", PRINT_DTYPE)
epoch_at = table(WORK_DTYPE, "epochs", EPOCH_DTYPE)
ladder_level_at = table(WORK_DTYPE, "ladder_level", _INT32_DTYPE)  # (w, (checkpoint * 2 + side) * LADDER_LEVELS + j)
ladder_qty_at = table(WORK_DTYPE, "ladder_qty", _INT64_DTYPE)
ladder_count_at = table(WORK_DTYPE, "ladder_count", _INT8_DTYPE)  # (w, checkpoint * 2 + side)
level_at = table(WORK_DTYPE, "levels", LEVEL_DTYPE)
correction_at = table(WORK_DTYPE, "corrections", CORRECTION_DTYPE)
word_at = table(WORK_DTYPE, "full", _INT64_DTYPE)  # (w, number of a word): see below


# Arrays of numbers that are written.
_NUMBERS: Final = {
    "ns": _INT64_DTYPE, "twin": _INT64_DTYPE, "full": _INT64_DTYPE,
    "ladder_level": _INT32_DTYPE, "ladder_qty": _INT64_DTYPE, "ladder_count": _INT8_DTYPE,
}  # fmt: skip


def put_addresses(work: NDArray[np.void], **arrays: NDArray[Any]) -> None:
    """Tell WORK_DTYPE[1] where arrays are. They must outlive it."""
    for name, array in arrays.items():
        work[name] = address_of(array.view(_NUMBERS.get(name, array.dtype)))


# -- the levels that display something ---------------------------------------------------------------------------
# A set of level ids as bits: the neighbour of a level is found without looking at the empty ones between. A tape names
# tens of thousands of levels, of which a few hundred display something at any time.

WORD_BITS: Final = 32  # of 64, so that no sign is in the way
_SHIFT: Final = 5
_MASK: Final = WORD_BITS - 1


@njit_leaf
def flip_if(w: Work, level: int, changes: bool) -> None:
    """Put a level in or take it out, if it changes at all."""
    word_at(w, level >> _SHIFT)["is"] ^= int(changes) << (level & _MASK)


@njit_leaf
def highest_bit(word: int) -> int:
    """Number of the highest set bit of a word, -1 for none; the code generator knows this loop as one instruction."""
    word &= (1 << WORD_BITS) - 1
    bit = -1
    while word > 0:
        word >>= 1
        bit += 1
    return bit


@njit_leaf
def last_below(w: Work, level: int) -> int:
    """The greatest member below `level`, or -1."""
    at = level >> _SHIFT
    word = word_at(w, at)["is"] & ((1 << (level & _MASK)) - 1)
    while word == 0:
        at -= 1
        if at < 0:
            return -1
        word = word_at(w, at)["is"]
    return int((at << _SHIFT) + highest_bit(word))


@njit_leaf
def first_above(w: Work, level: int) -> int:
    """The smallest member above `level`, or the number of levels."""
    at = (level + 1) >> _SHIFT
    if at >= w["word_count"]:
        return int(w["level_count"])
    word = word_at(w, at)["is"] & (-1 << ((level + 1) & _MASK))
    while word == 0:
        at += 1
        if at >= w["word_count"]:
            return int(w["level_count"])
        word = word_at(w, at)["is"]
    return int((at << _SHIFT) + highest_bit(word & -word))
