"""What a venue does beside the book, in the exchange's order: mark and index prices, funding settlements, halts.

`compile_timeline` takes the rows that are no book rows off a tape. A world holds the marks, statuses and settlements as
one table, and every question about them is a search in it: the mark price and a halt are state at a stamp; settlements
and margin checks are what a lane must stop for (`next_due`). Of several rows of one kind and stamp the last one counts.

A margin check follows every mark price. Where the tape has none, it falls on each whole second of exchange time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lobgym.sim import records as rec
from lobgym.sim.jit import njit_inner, njit_lean
from lobgym.sim.memory import member
from lobgym.sim.world import WORLD_DTYPE, World

if TYPE_CHECKING:
    from lobgym.sim.tape import Tape

__all__ = [
    "CHECK_EVERY_NS",
    "FOREVER",
    "Timeline",
    "bind_timeline",
    "compile_timeline",
    "index_at",
    "is_check",
    "is_halted",
    "mark_at",
    "next_due",
    "settlement_at",
    "settlement_rate",
    "timeline_of",
]

FOREVER: Final = 2**63 - 1
CHECK_EVERY_NS: Final = 1_000_000_000  # between margin checks where there are no mark prices
_NS_PER_MS: Final = 1_000_000

# Values of `World.margin_checks`.
_NO_CHECKS: Final = 0
_CHECKS_AT_MARKS: Final = 1
_CHECKS_EACH_SECOND: Final = 2

STAMPED_DTYPE: Final = np.dtype([("ns", np.int64), ("value", np.int64)])

_ns = member(WORLD_DTYPE, "stamped", STAMPED_DTYPE, "ns")
_value = member(WORLD_DTYPE, "stamped", STAMPED_DTYPE, "value")


class Timeline(NamedTuple):
    """Arrays sorted by stamp; the stamps of each are distinct. Times are the exchange's, in nanoseconds."""

    marks: NDArray[np.void]  # STAMPED[M]: mark prices above 0, 1e-8 quote units
    indexes: NDArray[np.void]  # STAMPED[I]: index prices, likewise
    statuses: NDArray[np.void]  # STAMPED[H]: 1 halted, 0 trading
    settlements: NDArray[np.void]  # STAMPED[S]: funding rates, 1e-12


def compile_timeline(tape: Tape) -> Timeline:
    """The timeline of a tape, up to its end."""
    return timeline_of(tape.events[tape.events["kind"] > rec.BBO], tape.end_ns)


def timeline_of(events: NDArray[np.void], end_ns: int) -> Timeline:
    """The timeline that EVENT_DTYPE[n] make on a tape which ends at `end_ns`; rows of the book are overlooked.

    Funding settles at each time T that a FUNDING row names (its `seq`, milliseconds), at the rate of the last row
    that names T and is not stamped after it. A T beyond the end of the tape is left out.
    """
    made = Timeline(
        _stamped(events, rec.MARK),
        _stamped(events, rec.INDEX),
        _stamped(events, rec.STATUS),
        _settlements(events[events["kind"] == rec.FUNDING], end_ns),
    )
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


def index_at(timeline: Timeline, ns: int) -> int:
    """Index price in 1e-8 quote units of the last one at or before `ns`; 0 before the first."""
    count = int(np.searchsorted(timeline.indexes["ns"], ns, "right"))
    return int(timeline.indexes["value"][count - 1]) if count > 0 else 0


def bind_timeline(timeline: Timeline, settles: bool, checks: bool) -> tuple[NDArray[np.void], dict[str, int]]:
    """The table that a world looks into, and the world's figures about it; the table must outlive the world.

    Args:
        settles: whether positions pay funding.
        checks: whether there are margin checks.

    Returns:
        STAMPED[marks, then statuses, then settlements], and values by field of WORLD_DTYPE without the address.
    """
    settlements = timeline.settlements if settles else timeline.settlements[:0]
    stamped = np.concatenate([timeline.marks, timeline.statuses, settlements])
    every = _CHECKS_AT_MARKS if len(timeline.marks) > 0 else _CHECKS_EACH_SECOND
    return stamped, {
        "mark_count": len(timeline.marks),
        "status_count": len(timeline.statuses),
        "settlement_count": len(settlements),
        "margin_checks": every if checks else _NO_CHECKS,
    }


# -- state at a stamp --------------------------------------------------------------------------------------------------


@njit_inner
def _first_after(w: World, low: int, high: int, ns: int) -> int:
    """The first entry of [low, high) that is stamped after `ns`, or `high`."""
    while low < high:
        middle = (low + high) >> 1
        if _ns(w, middle) <= ns:
            low = middle + 1
        else:
            high = middle
    return low


@njit_lean
def mark_at(w: World, ns: int) -> int:
    """Mark price in 1e-8 quote units of the last mark at or before `ns`; 0 before the first."""
    after = _first_after(w, 0, w["mark_count"], ns)
    return _value(w, after - 1) if after > 0 else 0


@njit_lean
def is_halted(w: World, ns: int) -> bool:
    """Whether the last status at or before `ns` says that trading is halted."""
    first = w["mark_count"]
    after = _first_after(w, first, first + w["status_count"], ns)
    return bool(after > first and _value(w, after - 1) != 0)


# -- what is due -------------------------------------------------------------------------------------------------------


@njit_lean
def next_due(w: World, ns: int) -> int:
    """The first stamp after `ns` at which something happens to accounts; FOREVER where nothing does any more."""
    due = FOREVER
    first = w["mark_count"] + w["status_count"]
    end = first + w["settlement_count"]
    after = _first_after(w, first, end, ns)
    if after < end:
        due = _ns(w, after)
    if w["margin_checks"] == _CHECKS_AT_MARKS:
        after = _first_after(w, 0, w["mark_count"], ns)
        if after < w["mark_count"]:
            due = min(due, _ns(w, after))
    elif w["margin_checks"] == _CHECKS_EACH_SECOND:
        due = min(due, (ns // CHECK_EVERY_NS + 1) * CHECK_EVERY_NS)
    return due


@njit_lean
def settlement_at(w: World, ns: int) -> int:
    """The settlement that falls on `ns` exactly, or -1."""
    first = w["mark_count"] + w["status_count"]
    after = _first_after(w, first, first + w["settlement_count"], ns)
    return after - 1 if after > first and _ns(w, after - 1) == ns else -1


settlement_rate = _value  # (w, settlement): funding rate in 1e-12


@njit_lean
def is_check(w: World, ns: int) -> bool:
    """Whether positions are checked for margin at `ns`."""
    if w["margin_checks"] == _CHECKS_AT_MARKS:
        after = _first_after(w, 0, w["mark_count"], ns)
        return bool(after > 0 and _ns(w, after - 1) == ns)
    return bool(w["margin_checks"] == _CHECKS_EACH_SECOND and ns % CHECK_EVERY_NS == 0)
