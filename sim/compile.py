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

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.book import IMPLIED
from lobgym.sim.effective import clear, correct, depth_level, empty, end_depth, end_message, end_snapshot
from lobgym.sim.jit import njit_leaf, njit_lean
from lobgym.sim.records import BBO, CLEAR, DEPTH, LAST, SNAPSHOT, TRADE
from lobgym.sim.rows import end_rows, take_event, widen_epoch, write_print
from lobgym.sim.tables import Compiled, compile_events
from lobgym.sim.work import Work, event_at, level_at, level_of_event

__all__ = ["compile_effective"]


def compile_effective(events: NDArray[np.void], print_implied_depth: bool) -> Compiled:
    """Compile the effective book of a tape's events in both orders. Raises as `compile_events` does."""
    return compile_events(events, _run, print_implied_depth)


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
        write_print(w, event, 0)
        if w["implied"]:
            _imply(w, event, level)
    elif kind == CLEAR:
        clear(w)
    elif kind == SNAPSHOT:
        depth_level(w, level, event["qty_lots"], event["seq"])
        widen_epoch(w, event["price_ticks"])


@njit_lean
def _run(w: Work) -> None:
    """Apply events from the next one on, to the last or until there may be no room for the rows of one more."""
    for place in range(w["next_event"], w["event_count"]):
        if w["row_count"] > w["rows_max"]:
            w["next_event"] = place
            return
        number = take_event(w, place)
        event = event_at(w, number)
        kind = event["kind"]
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
    end_rows(w)
