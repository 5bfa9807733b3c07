"""Writing a book: its rows, and every LADDER_EVERY of them the best levels of both sides.

Whoever changes a level calls `begin_row` first, because a checkpoint shows the levels before its row.
"""

from __future__ import annotations

from lobgym.sim.book import (
    FLAGS_SHIFT,
    LADDER_EVERY,
    LADDER_LEVELS,
    NO_ASK,
    NO_LEVEL,
    QTY_SHIFT,
    ROW_CLEAR,
    ROW_PRINT,
    SIDE_SHIFT,
)
from lobgym.sim.jit import njit_inner, njit_leaf
from lobgym.sim.records import BUY
from lobgym.sim.work import (
    WORD_BITS,
    Work,
    epoch_at,
    event_at,
    highest_bit,
    ladder_count_at,
    ladder_level_at,
    ladder_qty_at,
    level_at,
    order_of,
    print_at,
    row_at,
    stamp_at,
    twin_stamp_at,
    word_at,
)

__all__ = ["append", "begin_epoch", "begin_row", "end_rows", "take_event", "widen_epoch", "write_print"]


@njit_leaf
def take_event(w: Work, place: int) -> int:
    """The number of the event that comes `place`-th in the order compiled; rows bear its stamps from here on."""
    number = order_of(w, place) if w["arrival"] else place
    event = event_at(w, number)
    w["now_ns"] = event["local_ns"] if w["arrival"] else event["exch_ns"]
    w["twin_ns"] = event["local_ns"]
    return int(number)


@njit_leaf
def begin_row(w: Work) -> None:
    """To be called before a row changes anything."""
    if w["row_count"] % LADDER_EVERY == 0:
        _checkpoint(w)


@njit_leaf
def append(w: Work, word: int, key: int) -> None:
    """Write a row, stamped `now_ns`."""
    row = w["row_count"]
    stamp_at(w, row)["is"] = w["now_ns"]
    if w["has_twin"]:
        twin_stamp_at(w, row)["is"] = w["twin_ns"]
    one = row_at(w, row)
    one["word"] = word
    one["key"] = key
    w["row_count"] = row + 1


@njit_leaf
def write_print(w: Work, event: Work, flags: int) -> None:
    """List a print, and write its row."""
    begin_row(w)
    at = w["print_count"]
    one = print_at(w, at)
    one["row"] = w["row_count"]
    one["side"] = event["side"]
    one["tick"] = event["price_ticks"]
    one["qty"] = event["qty_lots"]
    w["print_count"] = at + 1
    side = 1 << SIDE_SHIFT if event["side"] == BUY else 0
    append(w, event["qty_lots"] << QTY_SHIFT | flags << FLAGS_SHIFT | side | ROW_PRINT, at)


@njit_leaf
def begin_epoch(w: Work, flags: int) -> None:
    """Write the row of a reset, with which an epoch begins that no snapshot covers yet."""
    begin_row(w)
    epoch = epoch_at(w, w["epoch_count"])
    epoch["row"] = w["row_count"]
    epoch["low"] = NO_ASK
    epoch["high"] = -NO_ASK
    w["epoch_count"] += 1
    append(w, flags << FLAGS_SHIFT | ROW_CLEAR, -1)


@njit_leaf
def widen_epoch(w: Work, tick: int) -> None:
    """The snapshot of the current epoch covers a price."""
    epoch = epoch_at(w, w["epoch_count"] - 1)
    epoch["low"] = min(epoch["low"], tick)
    epoch["high"] = max(epoch["high"], tick)


@njit_leaf
def end_rows(w: Work) -> None:
    """All rows are written: there may be a checkpoint of the one that would come next."""
    begin_row(w)


@njit_inner
def _checkpoint(w: Work) -> None:
    """Write both ladders as they stand before the row that is written next, which a checkpoint belongs to."""
    at = 2 * (w["row_count"] // LADDER_EVERY)
    _close(w, at, _best_bids(w, at * LADDER_LEVELS))
    _close(w, at + 1, _best_asks(w, (at + 1) * LADDER_LEVELS))


@njit_leaf
def _best_bids(w: Work, at: int) -> int:
    """Write the highest full levels of the bids from entry `at` on; returns how many."""
    index = w["bid_levels"] // WORD_BITS
    word = word_at(w, index)["is"] & ((1 << (w["bid_levels"] % WORD_BITS)) - 1)
    for n in range(LADDER_LEVELS):
        while word == 0:
            index -= 1
            if index < 0:
                return n
            word = word_at(w, index)["is"]
        bit = highest_bit(word)
        word ^= 1 << bit
        _write(w, at + n, index * WORD_BITS + bit)
    return LADDER_LEVELS


@njit_leaf
def _best_asks(w: Work, at: int) -> int:
    """Write the lowest full levels of the asks from entry `at` on; returns how many."""
    index = w["bid_levels"] // WORD_BITS
    word = word_at(w, index)["is"] & (-1 << (w["bid_levels"] % WORD_BITS))
    for n in range(LADDER_LEVELS):
        while word == 0:
            index += 1
            if index == w["word_count"]:
                return n
            word = word_at(w, index)["is"]
        bit = highest_bit(word & -word)
        word &= word - 1
        _write(w, at + n, index * WORD_BITS + bit)
    return LADDER_LEVELS


@njit_leaf
def _write(w: Work, at: int, level: int) -> None:
    ladder_level_at(w, at)["is"] = level
    ladder_qty_at(w, at)["is"] = level_at(w, level)["qty"]


@njit_leaf
def _close(w: Work, at: int, count: int) -> None:
    """Note a ladder's length, and say that nothing is behind it."""
    ladder_count_at(w, at)["is"] = count
    for j in range(count, LADDER_LEVELS):
        ladder_level_at(w, at * LADDER_LEVELS + j)["is"] = NO_LEVEL
        ladder_qty_at(w, at * LADDER_LEVELS + j)["is"] = 0
