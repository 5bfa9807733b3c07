"""Compiling events into a `Book`: the whole history of the book, computed once.

The feed tells the same book three times, at different speeds: depth messages (complete, in batches of 50 to 100 ms),
best quotes, and prints. Between two depth messages the levels that a print or a best quote has already passed are
gone, although the last depth message still shows them. The compiler keeps two books:

- `shown`: what the depth messages say;
- the effective book: `shown`, corrected by everything newer than the last depth message. Only this one is compiled,
  and only against this one do orders trade.

A correction is evidence with a stamp. A print at p empties the levels that it must have walked through, and takes its
quantity from p; a best quote sets its level and empties what lies before it; both empty what they would cross on the
other side. A depth message ends every correction of an earlier stamp, because it describes the whole book as of its
own. Where stamps are equal only the levels that it names are corrected, since a print of the same millisecond may be
missing from it. Rows that no feed message contains carry the flag IMPLIED.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.book import (
    CHANGE_DTYPE,
    EPOCH_DTYPE,
    IMPLIED,
    LADDER_EVERY,
    LADDER_LEVELS,
    NO_ASK,
    NO_BID,
    NO_LEVEL,
    PRINT_DTYPE,
    ROW_DTYPE,
    Book,
)
from lobgym.sim.book_index import index_marks, index_touches
from lobgym.sim.checkpoint import checkpoint
from lobgym.sim.effective import (
    clear,
    correct,
    depth_level,
    empty,
    end_depth,
    end_message,
    end_snapshot,
    write_print,
)
from lobgym.sim.errors import TapeFormatError
from lobgym.sim.jit import njit_leaf, njit_lean
from lobgym.sim.levels import Levels
from lobgym.sim.records import BBO, CLEAR, DEPTH, LAST, SNAPSHOT, TRADE
from lobgym.sim.work import (
    CORRECTION_DTYPE,
    LEVEL_DTYPE,
    WORD_BITS,
    WORK_DTYPE,
    Work,
    epoch_at,
    event_at,
    level_at,
    level_of_event,
    order_of,
    put_addresses,
)

__all__ = ["compile_book"]

ROWS_MAX: Final = (1 << 31) - 1  # row numbers are 32 bits
_LISTS: Final = {  # what grows with the rows, and the counter of its entries
    "ns": "row_count", "rows": "row_count", "bids": "bid_count", "asks": "ask_count", "prints": "print_count",
    "epochs": "epoch_count",
}  # fmt: skip
_LADDERS: Final = {"ladder_level": (2, LADDER_LEVELS), "ladder_qty": (2, LADDER_LEVELS), "ladder_count": (2,)}


def compile_book(
    events: NDArray[np.void], order: NDArray[np.int64] | None, levels: Levels, print_implied_depth: bool
) -> Book:
    """Compile events into a read-only Book.

    Arguments: `events`, EVENT_DTYPE[n] in the exchange's order; `order`, int64[n]: the order of arrival, None for the
    exchange's, which also says by which stamp the book's rows go; `levels`, of the same events.

    Raises:
        TapeFormatError: more rows than row numbers can count.
    """
    count = len(levels.tick)
    work = np.zeros(1, WORK_DTYPE)
    inside = {
        "levels": np.zeros(count, LEVEL_DTYPE),
        "full": np.zeros(count // WORD_BITS + 1, np.int64),
        "corrections": np.empty(count, CORRECTION_DTYPE),
        "order": np.empty(0, np.int64) if order is None else order,
    }
    put_addresses(work, events=events, level_of_event=levels.of_event, level_tick=levels.tick, **inside)
    lists = _new_lists(len(events), levels)
    put_addresses(work, **lists)
    work["event_count"], work["level_count"], work["bid_levels"] = len(events), count, levels.bids
    work["word_count"], work["arrival"], work["implied"] = len(inside["full"]), order is not None, print_implied_depth
    work["bid"], work["ask"] = -1, count
    work["bid_count"] = work["ask_count"] = work["epoch_count"] = 1
    slack = 3 * count + 8  # the most rows that one event can cause
    while work["next_event"][0] < len(events):
        _make_room(work, lists, int(work["row_count"][0]) + slack)
        work["rows_max"] = len(lists["rows"]) - slack
        _run(work[0])
    for name, counter in _LISTS.items():
        lists[name].resize(work[counter][0], refcheck=False)
    rows = len(lists["rows"])
    for name, shape in _LADDERS.items():
        lists[name].resize((rows // LADDER_EVERY + 1, *shape), refcheck=False)
    touch_start, touch_row = index_touches(lists["rows"], inside["levels"]["touches"])
    marks = index_marks(rows, lists["bids"], lists["asks"], lists["prints"])
    book = Book(
        lists["ns"], lists["rows"], levels.tick, levels.bids, touch_start, touch_row,
        lists["bids"], lists["asks"], lists["prints"], marks, *(lists[name] for name in _LADDERS), lists["epochs"],
    )  # fmt: skip
    for field in book:
        if isinstance(field, np.ndarray):
            field.setflags(write=False)
    return book


def _new_lists(count: int, levels: Levels) -> dict[str, NDArray[Any]]:
    """Room for the rows of most tapes, and for all that the other lists can hold.

    Memory costs nothing until something is written to it, and lists are cut to their length in the end.
    """
    size = count + (count >> 2)
    points = size // LADDER_EVERY + 1
    lists: dict[str, NDArray[Any]] = {
        "ns": np.empty(size, np.int64),
        "rows": np.empty(size, ROW_DTYPE),
        "bids": np.empty(levels.messages + 1, CHANGE_DTYPE),
        "asks": np.empty(levels.messages + 1, CHANGE_DTYPE),
        "prints": np.empty(levels.prints, PRINT_DTYPE),
        "epochs": np.empty(levels.clears + 1, EPOCH_DTYPE),
        "ladder_level": np.empty((points, *_LADDERS["ladder_level"]), np.int32),
        "ladder_qty": np.empty((points, *_LADDERS["ladder_qty"]), np.int64),
        "ladder_count": np.empty((points, *_LADDERS["ladder_count"]), np.int8),
    }
    lists["bids"][0] = (-1, NO_LEVEL, NO_BID)
    lists["asks"][0] = (-1, NO_LEVEL, NO_ASK)
    # A tape that begins without a reset has an epoch of its own, of which nothing is known but what is touched.
    lists["epochs"][0] = (0, NO_ASK, -NO_ASK)
    return lists


def _make_room(work: NDArray[np.void], lists: dict[str, NDArray[Any]], rows: int) -> None:
    if rows > ROWS_MAX:
        raise TapeFormatError(f"a book holds at most {ROWS_MAX} rows, this tape may make more: slice it by time")
    if rows > len(lists["rows"]):
        size = min(ROWS_MAX, rows + (rows >> 1))
        for name in ("ns", "rows"):
            lists[name].resize(size, refcheck=False)
        for name, shape in _LADDERS.items():
            lists[name].resize((size // LADDER_EVERY + 1, *shape), refcheck=False)
        put_addresses(work, **lists)


@njit_leaf
def _imply(w: Work, event: Work, level: int) -> None:
    """What a print or a best quote says about the book; `level` is the one that it hit or quotes."""
    by_print = event["kind"] == TRADE
    w["by_print"] = by_print
    w["seq"] = 0 if by_print else event["seq"]
    empty(w, -event["side"] if by_print else event["side"], event["price_ticks"])
    if not by_print:
        correct(w, level, event["qty_lots"], 0)
    elif level >= 0 and level_at(w, level)["qty"] > 0:
        correct(w, level, max(0, level_at(w, level)["qty"] - event["qty_lots"]), IMPLIED)


@njit_leaf
def _apply(w: Work, event: Work, kind: int, level: int) -> None:
    """One event: the rules 1, 3, 4 and 5."""
    if kind == DEPTH:
        depth_level(w, level, event["qty_lots"], event["seq"])
    elif kind == BBO:
        # A best quote that arrives after a depth message which already contains it says nothing new.
        if w["implied"] and event["qty_lots"] > 0 and not 0 < event["seq"] <= w["depth_seq"]:
            _imply(w, event, level)
    elif kind == TRADE:
        write_print(w, event["side"], event["price_ticks"], event["qty_lots"])
        if w["implied"]:
            _imply(w, event, level)
    elif kind == CLEAR:
        clear(w)
    elif kind == SNAPSHOT:
        depth_level(w, level, event["qty_lots"], event["seq"])
        epoch = epoch_at(w, w["epoch_count"] - 1)
        epoch["low"] = min(epoch["low"], event["price_ticks"])
        epoch["high"] = max(epoch["high"], event["price_ticks"])


@njit_lean
def _run(w: Work) -> None:
    """Apply events from the next one on, to the last or until there may be no room for the rows of one more."""
    for place in range(w["next_event"], w["event_count"]):
        if w["row_count"] > w["rows_max"]:
            w["next_event"] = place
            return
        number = order_of(w, place) if w["arrival"] else place
        event = event_at(w, number)
        kind = event["kind"]
        w["now_ns"] = event["local_ns"] if w["arrival"] else event["exch_ns"]
        w["exch_ns"] = event["exch_ns"]
        w["place"] = place
        _apply(w, event, kind, level_of_event(w, number))
        if event["flags"] & LAST:
            if kind == DEPTH or kind == SNAPSHOT:  # the rows of a message are of one family
                end_depth(w, event["seq"])
                if kind == SNAPSHOT:
                    end_snapshot(w)
            if w["row_count"] > w["message"]:
                end_message(w)
    w["next_event"] = w["event_count"]
    if w["row_count"] % LADDER_EVERY == 0:
        checkpoint(w)  # of the row that would come next
