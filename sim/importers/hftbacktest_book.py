"""Clears of a part of the book, as hftbacktest knows them, told in the words of a tape.

There a clear may void one side only, or one side only down to a price; on a tape a CLEAR voids everything. So a
message that holds a clear becomes a CLEAR and the whole book as it stands after the message.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from lobgym.sim import records as rec
from lobgym.sim.importers.columns import blank_rows

__all__ = ["restate_clears"]

_LEVELS: Final = (rec.DEPTH, rec.SNAPSHOT)
Levels = dict[tuple[int, int], int]  # (side, tick) -> lots


def restate_clears(events: Any) -> tuple[Any, int]:
    """EVENT_DTYPE[rows] in which every CLEAR voids everything, and how many messages were made so.

    `events` are in exchange order with messages marked; a CLEAR row's side (0: both) and tick (0: no limit) say what
    it voids. SNAPSHOT rows without a clear become DEPTH rows, except on an empty book, where they begin one.
    """
    ends = np.flatnonzero(events["flags"] & rec.LAST) + 1
    starts = np.append(0, ends[:-1])
    clears = np.add.reduceat((events["kind"] == rec.CLEAR).astype(np.int64), starts) > 0
    snapshots = np.add.reduceat((events["kind"] == rec.SNAPSHOT).astype(np.int64), starts) > 0
    if snapshots.any() and not clears[: (first := int(np.argmax(snapshots))) + 1].any():
        before = events[: starts[first]]
        clears[first] = not np.isin(before["kind"], _LEVELS).any()
    book: Levels = {}
    out: list[Any] = []
    done = 0
    for message in np.flatnonzero(clears).tolist():
        start, end = int(starts[message]), int(ends[message])
        out.append(_levels_only(events[done:start]))
        _apply(book, events[done:start])
        _replay(book, events[start:end])
        out.append(_whole_book(book, events[start]))
        done = end
    out.append(_levels_only(events[done:]))
    return np.concatenate(out), int(clears.sum())


def _levels_only(events: Any) -> Any:
    events = events.copy()
    events["kind"][events["kind"] == rec.SNAPSHOT] = rec.DEPTH
    return events


def _apply(book: Levels, events: Any) -> None:
    """Bring the levels of rows without clears into the book: of each level only its last row matters."""
    rows = events[np.isin(events["kind"], _LEVELS)]
    _, newest = np.unique((rows["price_ticks"] * rows["side"])[::-1], return_index=True)
    for row in rows[len(rows) - 1 - newest]:
        book[int(row["side"]), int(row["price_ticks"])] = int(row["qty_lots"])


def _replay(book: Levels, message: Any) -> None:
    """One message, row by row."""
    for row in message:
        side, tick = int(row["side"]), int(row["price_ticks"])
        if row["kind"] != rec.CLEAR:
            book[side, tick] = int(row["qty_lots"])
            continue
        for one, level in list(book):
            if side in (0, one) and (tick == 0 or one * level >= side * tick):
                del book[one, level]


def _whole_book(book: Levels, stamps: Any) -> Any:
    """A CLEAR and all levels, bids first, best first, stamped like the row `stamps`."""
    levels = sorted(
        ((side, tick, qty) for (side, tick), qty in book.items() if qty), key=lambda one: (-one[0], -one[0] * one[1])
    )
    out = blank_rows(len(levels) + 1, rec.SNAPSHOT)
    out["kind"][0] = rec.CLEAR
    out["exch_ns"], out["local_ns"] = stamps["exch_ns"], stamps["local_ns"]
    if levels:
        out["side"][1:], out["price_ticks"][1:], out["qty_lots"][1:] = np.array(levels, dtype=np.int64).T
    out["flags"][-1] = rec.LAST
    return out
