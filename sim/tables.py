"""What a compilation fills: rows and lists with room to grow, and the two books of a tape that come of them.

The rules of a market are a kernel (`lobgym.sim.compile`, `lobgym.sim.compile_depth`) that applies events to a
workbench (`lobgym.sim.work`); here it is given its memory, called once for each order of the events, and its lists are
cut to their length and indexed. Room costs nothing until something is written to it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.book import (
    CHANGE_DTYPE,
    EPOCH_DTYPE,
    LADDER_EVERY,
    LADDER_LEVELS,
    NO_ASK,
    NO_BID,
    NO_LEVEL,
    PRINT_DTYPE,
    ROW_DTYPE,
    Book,
)
from lobgym.sim.book_index import index_marks, index_stamps, index_touches
from lobgym.sim.errors import TapeFormatError
from lobgym.sim.levels import Levels, number_levels
from lobgym.sim.mids import first_quoted_ns
from lobgym.sim.queue import LOTS_MAX
from lobgym.sim.timeline import Timeline, timeline_of
from lobgym.sim.view import make_view
from lobgym.sim.work import CORRECTION_DTYPE, LEVEL_DTYPE, WORD_BITS, WORK_DTYPE, Work, put_addresses

__all__ = ["Compiled", "compile_events"]

ROWS_MAX: Final = (1 << 31) - 1  # row numbers are 32 bits

_COUNTERS: Final = {"bids": "bid_count", "asks": "ask_count", "prints": "print_count", "epochs": "epoch_count"}
_BY_ROW: Final = ("ns", "twin", "rows")
# Entries of each checkpoint.
_LADDERS: Final = {"ladder_level": (2, LADDER_LEVELS), "ladder_qty": (2, LADDER_LEVELS), "ladder_count": (2,)}


class Compiled(NamedTuple):
    """A tape's books in both orders, and what else there is to know of its events."""

    exch: Book
    local: Book  # shares all but its stamps with `exch` where both orders are one
    start_ns: int  # first time at which both have a bid and an ask
    end_ns: int  # last receive stamp
    timeline: Timeline


def compile_events(events: NDArray[np.void], kernel: Callable[[Work], None], implied: bool) -> Compiled:
    """Compile a tape's events (EVENT_DTYPE[n], checked as `Tape` does) in both orders.

    Args:
        kernel: applies the workbench's events from `next_event` on, to the last or until `row_count` exceeds
            `rows_max`, and then says in `next_event` where to go on.
        implied: what `Work.implied` says.

    Raises:
        TapeFormatError: the tape never shows a bid and an ask at once, has more lots in a row than queues can count, or
            makes more rows than row numbers can count.
    """
    levels = number_levels(events)
    if levels.lots_max >= LOTS_MAX:
        raise TapeFormatError(
            f"a row of this tape has {levels.lots_max} lots, a market counts fewer than {LOTS_MAX}: "
            "give the instrument a coarser lot_size"
        )
    written = _write_rows(events, None, levels, kernel, implied)
    if levels.in_order:
        exch, twin = _finish(written, levels)
        stamps: dict[str, Any] = index_stamps(twin)
        local, last = exch._replace(ns=twin, **stamps), -1
    else:
        exch = _finish(written, levels)[0]
        order = np.argsort(events["local_ns"], kind="stable").astype(np.int32)
        last = int(order[-1])
        written = _write_rows(events, order, levels, kernel, implied)
        # Nobody asks again which level an event is about, or when it came: of a day that is most of a gigabyte, which
        # the indices of the last book need.
        del order
        levels = levels._replace(of_event=levels.of_event[:0].copy())
        local = _finish(written, levels)[0]
    starts = [int(first_quoted_ns(make_view(book)[0])) for book in (exch, local)]
    if min(starts) < 0:
        raise TapeFormatError("a market needs a bid and an ask at once; this tape never shows both")
    timeline = timeline_of(events[levels.others], int(events["local_ns"][last]))
    return Compiled(exch, local, max(starts), int(events["local_ns"][last]), timeline)


class _Written(NamedTuple):
    """What one run of the kernel leaves behind."""

    work: NDArray[np.void]  # WORK_DTYPE[1]
    lists: dict[str, NDArray[Any]]
    touches: NDArray[np.int32]  # [L] rows of each level


def _write_rows(
    events: NDArray[np.void], order: NDArray[np.int32] | None, levels: Levels, kernel: Callable[[Work], None],
    implied: bool,
) -> _Written:  # fmt: skip
    """Run the kernel over all events, in the given order or in their own."""
    count = len(levels.tick)
    has_twin = order is None and levels.in_order
    read = {
        "events": events, "level_of_event": levels.of_event, "level_tick": levels.tick,
        "order": np.empty(0, np.int32) if order is None else np.asarray(order, np.int32),
    }  # fmt: skip
    levels_now: NDArray[np.void] = np.zeros(count, LEVEL_DTYPE)
    inside: dict[str, NDArray[Any]] = {
        "levels": levels_now,
        "full": np.zeros(count // WORD_BITS + 1, np.int64),
        "corrections": np.empty(count, CORRECTION_DTYPE),
    }
    lists = _new_lists(len(events), levels, has_twin)
    work = np.zeros(1, WORK_DTYPE)
    put_addresses(work, **read, **inside, **lists)
    work["event_count"], work["level_count"], work["bid_levels"] = len(events), count, levels.bids
    work["word_count"], work["arrival"], work["implied"] = len(inside["full"]), order is not None, implied
    work["has_twin"], work["bid"], work["ask"] = has_twin, -1, count
    work["low"], work["high"] = count, -1
    work["bid_count"] = work["ask_count"] = work["epoch_count"] = 1
    slack = 3 * count + 8  # the most rows that one event can cause
    while work["next_event"][0] < len(events):
        _make_room(work, lists, int(work["row_count"][0]) + slack, has_twin)
        work["rows_max"] = len(lists["rows"]) - slack
        kernel(work[0])
    return _Written(work, lists, levels_now["touches"].copy())


def _new_lists(count: int, levels: Levels, has_twin: bool) -> dict[str, NDArray[Any]]:
    """Room for the rows of most tapes, and for all that the other lists can hold."""
    size = count + (count >> 2)
    points = size // LADDER_EVERY + 1
    lists: dict[str, NDArray[Any]] = {
        "ns": np.empty(size, np.int64),
        "twin": np.empty(size if has_twin else 0, np.int64),
        "rows": np.empty(size, ROW_DTYPE),
        "bids": np.empty(count + 1, CHANGE_DTYPE),
        "asks": np.empty(count + 1, CHANGE_DTYPE),
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


def _make_room(work: NDArray[np.void], lists: dict[str, NDArray[Any]], rows: int, has_twin: bool) -> None:
    if rows > ROWS_MAX:
        raise TapeFormatError(f"a book holds at most {ROWS_MAX} rows, this tape may make more: slice it by time")
    if rows > len(lists["rows"]):
        _resize(lists, min(ROWS_MAX, rows + (rows >> 1)), has_twin)
        put_addresses(work, **lists)


def _resize(lists: dict[str, NDArray[Any]], rows: int, has_twin: bool) -> None:
    """Change the length of what goes with the rows, in place: a list that shrinks is not copied."""
    for name in _BY_ROW:
        lists[name].resize(rows if has_twin or name != "twin" else 0, refcheck=False)
    for name, shape in _LADDERS.items():
        lists[name].resize((rows // LADDER_EVERY + 1, *shape), refcheck=False)


def _finish(written: _Written, levels: Levels) -> tuple[Book, NDArray[np.int64]]:
    """A book, and its rows' stamps in the order of arrival where that is the exchange's (else none)."""
    work, lists, touches = written
    rows = int(work["row_count"][0])
    _resize(lists, rows, bool(work["has_twin"][0]))
    for name, counter in _COUNTERS.items():
        lists[name].resize(work[counter][0], refcheck=False)
    touch_start, touch_row = index_touches(lists["rows"], touches)
    marks = index_marks(rows, lists["bids"], lists["asks"], lists["prints"])
    twin = lists.pop("twin")
    book = Book(
        level_tick=levels.tick, bid_levels=levels.bids, touch_start=touch_start, touch_row=touch_row, marks=marks,
        **index_stamps(lists["ns"]), **lists,
    )  # fmt: skip
    for field in (*book, twin):
        if isinstance(field, np.ndarray):
            field.setflags(write=False)
    return book, twin
