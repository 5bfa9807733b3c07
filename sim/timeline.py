"""What a venue does beside the book, in the exchange's order: mark and index prices, funding settlements, halts.

`compile_timeline` takes the rows that are no book rows off a tape. State (the mark price, a halt) is looked up at a
stamp; what happens to accounts (settlements, margin checks) is one sorted list that a lane walks with a cursor. At
equal stamps: status, mark, settlement, margin check, and all of them after the book's rows and before the requests that
arrive then. Of several rows of one kind and stamp the last one counts.

A margin check follows every mark price. Where the tape has none, it falls on each whole second of exchange time;
those are not stored but computed (`first_check`, `upcoming`, `step_over`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lobgym.sim import records as rec
from lobgym.sim.jit import njit_inline, njit_lean

if TYPE_CHECKING:
    from lobgym.sim.tape import Tape

__all__ = [
    "FOREVER",
    "MARGIN_CHECK",
    "MARK_CHANGE",
    "SETTLEMENT",
    "STATUS_CHANGE",
    "Timeline",
    "compile_timeline",
    "event_cursor_at",
    "first_check",
    "index_at",
    "is_halted",
    "mark_at",
    "step_over",
    "upcoming",
]

FOREVER: Final = 2**63 - 1
CHECK_EVERY_NS: Final = 1_000_000_000  # between margin checks where there are no mark prices
_NS_PER_MS: Final = 1_000_000

# Kinds of EVENT_DTYPE, numbered in their order at equal stamps.
STATUS_CHANGE: Final = 1  # value 1: halted from here on, 0: trading goes on
MARK_CHANGE: Final = 2  # value: mark price in 1e-8 quote units
SETTLEMENT: Final = 3  # value: funding rate in 1e-12
MARGIN_CHECK: Final = 4  # value: the mark price, 0 where there are none

STAMPED_DTYPE: Final = np.dtype([("ns", np.int64), ("value", np.int64)])
EVENT_DTYPE: Final = np.dtype([("ns", np.int64), ("value", np.int64), ("kind", np.int32), ("pad", np.int32)])


class Timeline(NamedTuple):
    """Arrays sorted by stamp; stamps are distinct except in `events`. Times are the exchange's, in nanoseconds."""

    marks: NDArray[np.void]  # STAMPED[M]: mark prices above 0, 1e-8 quote units
    indexes: NDArray[np.void]  # STAMPED[I]: index prices, likewise
    statuses: NDArray[np.void]  # STAMPED[H]: 1 halted, 0 trading
    settlements: NDArray[np.void]  # STAMPED[S]: funding rates, 1e-12
    events: NDArray[np.void]  # EVENT[E]: statuses, marks, settlements, and a margin check after each mark


def compile_timeline(tape: Tape) -> Timeline:
    """The timeline of a tape, up to its end.

    Funding settles at each time T that a FUNDING row names (its `seq`, milliseconds), at the rate of the last row
    that names T and is not stamped after it. A T beyond the end of the tape is left out.
    """
    events = tape.events
    marks = _stamped(events, rec.MARK)
    indexes = _stamped(events, rec.INDEX)
    statuses = _stamped(events, rec.STATUS)
    settlements = _settlements(events[events["kind"] == rec.FUNDING], tape.end_ns)
    parts = ((STATUS_CHANGE, statuses), (MARK_CHANGE, marks), (SETTLEMENT, settlements), (MARGIN_CHECK, marks))
    merged = np.zeros(sum(len(part) for _, part in parts), EVENT_DTYPE)
    merged["ns"] = np.concatenate([part["ns"] for _, part in parts])
    merged["value"] = np.concatenate([part["value"] for _, part in parts])
    merged["kind"] = np.concatenate([np.full(len(part), kind, np.int32) for kind, part in parts])
    merged = merged[np.lexsort((merged["kind"], merged["ns"]))]
    made = Timeline(marks, indexes, statuses, settlements, merged)
    for array in made:
        array.setflags(write=False)
    return made


def _stamped(events: NDArray[Any], kind: int) -> NDArray[np.void]:
    """The last row of each stamp of one kind. A price of 0 says nothing and is left out."""
    rows = events[events["kind"] == kind]
    if kind != rec.STATUS:
        rows = rows[rows["qty_lots"] > 0]
    rows = rows[np.append(rows["exch_ns"][1:] != rows["exch_ns"][:-1], True)[: len(rows)]]
    out = np.zeros(len(rows), STAMPED_DTYPE)
    out["ns"], out["value"] = rows["exch_ns"], rows["qty_lots"]
    return out


def _settlements(rows: NDArray[Any], end_ns: int) -> NDArray[np.void]:
    rows = rows[(rows["seq"] >= 0) & (rows["seq"] <= end_ns // _NS_PER_MS)]
    rows = rows[rows["exch_ns"] <= rows["seq"] * _NS_PER_MS][::-1]
    times, newest = np.unique(rows["seq"], return_index=True)
    out = np.zeros(len(times), STAMPED_DTYPE)
    out["ns"], out["value"] = times * _NS_PER_MS, rows["qty_lots"][newest]
    return out


# -- state at a stamp --------------------------------------------------------------------------------------------------


@njit_lean
def _count_up_to(stamped: NDArray[np.void], ns: int) -> int:
    """How many entries are stamped at or before `ns`."""
    low = 0
    high = stamped.shape[0]
    while low < high:
        middle = (low + high) >> 1
        if stamped[middle]["ns"] <= ns:
            low = middle + 1
        else:
            high = middle
    return low


@njit_inline
def _value_at(stamped: NDArray[np.void], ns: int) -> int:
    if stamped.shape[0] == 0:  # most tapes: spares the call
        return 0
    count = _count_up_to(stamped, ns)
    return int(stamped[count - 1]["value"]) if count > 0 else 0


@njit_inline
def mark_at(timeline: Timeline, ns: int) -> int:
    """Mark price in 1e-8 quote units of the last mark at or before `ns`; 0 before the first."""
    return _value_at(timeline.marks, ns)


@njit_inline
def index_at(timeline: Timeline, ns: int) -> int:
    """Index price, likewise."""
    return _value_at(timeline.indexes, ns)


@njit_inline
def is_halted(timeline: Timeline, ns: int) -> bool:
    """Whether the last status at or before `ns` says that trading is halted."""
    return _value_at(timeline.statuses, ns) != 0


# -- what happens next -------------------------------------------------------------------------------------------------


@njit_inline
def event_cursor_at(timeline: Timeline, ns: int) -> int:
    """Cursor of a lane that starts at `ns`: the events at or before it are past."""
    return _count_up_to(timeline.events, ns)


@njit_inline
def first_check(timeline: Timeline, ns: int) -> int:
    """Stamp of the first margin check after `ns` that is not in the list: the next whole second, or FOREVER."""
    if timeline.marks.shape[0] > 0:
        return FOREVER
    return (ns // CHECK_EVERY_NS + 1) * CHECK_EVERY_NS


@njit_inline
def upcoming(timeline: Timeline, cursor: int, check_ns: int) -> tuple[int, int, int]:
    """(stamp, kind, value) of what comes next at an event cursor and a computed check; stamp FOREVER: nothing."""
    if cursor < timeline.events.shape[0]:
        event = timeline.events[cursor]
        if event["ns"] <= check_ns:
            return event["ns"], event["kind"], event["value"]
    return check_ns, MARGIN_CHECK, 0


@njit_inline
def step_over(timeline: Timeline, cursor: int, check_ns: int) -> tuple[int, int]:
    """The cursor and the computed check after what `upcoming` gave for these two has been dealt with."""
    if cursor < timeline.events.shape[0] and timeline.events[cursor]["ns"] <= check_ns:
        return cursor + 1, check_ns
    return cursor, check_ns + CHECK_EVERY_NS if check_ns != FOREVER else FOREVER
