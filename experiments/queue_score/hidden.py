"""Markets in which one real order is missing, so that a probe can stand in its place and not behind it.

Its lots are taken off the rows of its level. Prints stay as they are, those that filled it included: they are what the
probe is to be filled by. Rows that then say nothing new stay too, since a row that names a level ends the count of
lots printed there (docs/market.md, section 5).

Nothing else changes with the order gone. That is true of the orders that the probe meets at its own price, and an
assumption about everybody who would have acted otherwise.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from lobgym.experiments.queue_score.probes import Probe, ProbeError
from lobgym.sim import records as rec
from lobgym.sim.market import Market
from lobgym.sim.tape import Tape

__all__ = ["HiddenMarkets"]

# The slice begins a few messages before the order, so that what prints said of levels is known when it comes.
_MESSAGES_BEFORE: Final = 8


class HiddenMarkets:
    """Cuts out of one tape, per probe, the stretch of its life without it.

    Raises `ProbeError` where two messages with level rows share a stamp.
    """

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        events = self._events = tape.events
        self._level = np.isin(events["kind"], (rec.DEPTH, rec.SNAPSHOT))
        first = np.append(True, (events["flags"][:-1] & rec.LAST) != 0)
        self._starts = np.flatnonzero(first)
        stamps = events["exch_ns"][first & (self._level | (events["kind"] == rec.CLEAR))]
        if (np.diff(stamps) <= 0).any():
            raise ProbeError(f"two messages of levels share the stamp {stamps[1:][np.diff(stamps) <= 0][0]}")
        self._until = self._overruled()

    def _overruled(self) -> Any:
        """int64[rows]: the row that overrules a level row, by naming its level or clearing all; -1 for other rows."""
        events = self._events
        size = len(events)
        until = np.full(size, -1)
        rows = np.flatnonzero(self._level)
        key = events["price_ticks"][rows] * events["side"][rows]
        order = np.lexsort((rows, key))
        rows, key = rows[order], key[order]
        after = np.append(rows[1:], size)
        after[np.append(key[1:] != key[:-1], True)] = size
        clears = np.append(np.flatnonzero(events["kind"] == rec.CLEAR), size)
        until[rows] = np.minimum(after, clears[np.searchsorted(clears, rows)])
        return until

    def without(self, probe: Probe, until_ns: int) -> Market:
        """The market from just before the order came to `until_ns`, without it.

        Raises `ProbeError` where the tape displays less at its price than was left of it.
        """
        events = self._events
        first = int(np.searchsorted(events["exch_ns"], probe.entry_ns, side="left"))
        last = int(np.searchsorted(events["exch_ns"], until_ns, side="right"))
        message = int(np.searchsorted(self._starts, first, side="right")) - 1
        begin = int(self._starts[max(0, message - _MESSAGES_BEFORE)])
        body = events[begin:last].copy()
        own = (body["side"] == probe.side) & (body["price_ticks"] == probe.tick) & self._level[begin:last]
        others = body["qty_lots"][own] - probe.left_at(body["exch_ns"][own])
        if len(others) == 0 or (others < 0).any():
            raise ProbeError(f"order {probe.id}: the tape displays less than it at {probe.tick}, or never names it")
        body["qty_lots"][own] = others
        rows = np.concatenate([self._standing(begin), body]) if begin else body
        return Market.compile(Tape(rows, self._tape.instrument))

    def _standing(self, begin: int) -> Any:
        """The book after rows [0, begin), as one message of the stamp before them."""
        rows = np.flatnonzero(self._until[:begin] >= begin)
        rows = rows[self._events["qty_lots"][rows] > 0]
        out = np.zeros(len(rows) + 1, rec.EVENT_DTYPE)
        out[1:] = self._events[rows]
        out["kind"] = rec.SNAPSHOT
        out["kind"][0] = rec.CLEAR
        out["exch_ns"] = out["local_ns"] = self._events["exch_ns"][begin - 1]
        out["flags"] = 0
        out["flags"][-1] = rec.LAST
        return out
