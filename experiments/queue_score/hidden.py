"""Markets in which one real order is missing, so that a probe can stand in its place and not behind it.

Its lots are taken off the rows of its level. Prints stay as they are, those that filled it included: they are what the
probe is to be filled by. Rows that then say nothing new stay too, since a row that names a level ends the count of
lots printed there (docs/market.md, section 5).

Where depth comes in batches, a row says what was left of all orders at its stamp, whatever happened since the batch
before; an order that came and went between two batches is in none. Best quotes are those of the levels without it.

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
_BEST: Final = [1, 2, 5, 6]  # columns of quotes: best bid, its lots, best ask, its lots


class HiddenMarkets:
    """Cuts out of one tape, per probe, the stretch of its life without it.

    Args:
        tape: levels and prints; best quotes are told by `quotes` alone.
        batched: level rows come later than what they tell of.
        quotes: as `lobgym.experiments.queue_score.exchange_fate.Fates` has them: best quotes are published too.

    Raises `ProbeError` where two messages with level rows share a stamp, or the tape has best quotes.
    """

    def __init__(self, tape: Tape, batched: bool = False, quotes: Any | None = None) -> None:
        if (tape.events["kind"] == rec.BBO).any():
            raise ProbeError("the tape has rows of best quotes, which would show the order; give them as `quotes`")
        self._tape = tape
        self._batched = batched
        self._quotes = quotes
        events = self._events = tape.events
        self._level = np.isin(events["kind"], (rec.DEPTH, rec.SNAPSHOT))
        first = np.append(True, (events["flags"][:-1] & rec.LAST) != 0)
        of_levels = self._level | (events["kind"] == rec.CLEAR)
        self._starts = np.flatnonzero(first & of_levels if batched else first)
        stamps = events["exch_ns"][first & of_levels]
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
        if (others < 0).any() or (len(others) == 0 and not self._batched):
            raise ProbeError(f"order {probe.id}: the tape displays less than it at {probe.tick}, or never names it")
        body["qty_lots"][own] = others
        if self._quotes is not None and len(body):
            body = _merged(body, _quoted(self._quotes, probe, int(body["exch_ns"][0]), until_ns))
        rows = np.concatenate([self._standing(begin), body]) if begin else body
        if self._batched:
            rows = np.append(rows, _nothing_more(until_ns))
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


def _quoted(quotes: Any, probe: Probe, begin_ns: int, until_ns: int) -> Any:
    """Messages of best quotes as they would be without the order: where they change, or did with it.

    For the second reason see the rows that say nothing new, above; they also say that a print took the order's.
    """
    first, last = np.searchsorted(quotes[:, 0], [begin_ns, until_ns + 1])
    quotes = quotes[first:last].copy()
    real = quotes[:, _BEST]
    own = quotes[:, 1:5] if probe.side == rec.BUY else quotes[:, 5:9]
    own[:, 1] -= np.where(own[:, 0] == probe.tick, probe.left_at(quotes[:, 0]), 0)
    if (own[:, 1] < 0).any():
        raise ProbeError(f"order {probe.id}: a best quote at {probe.tick} shows less than it")
    own[:, :2] = np.where((own[:, 1] == 0)[:, None], own[:, 2:], own[:, :2])
    shown = quotes[:, _BEST]
    new = np.append(True, (np.diff(np.hstack([real, shown]), axis=0) != 0).any(axis=1))[: len(quotes)]
    out = np.zeros((int(new.sum()), 2), rec.EVENT_DTYPE)
    out["exch_ns"] = out["local_ns"] = quotes[new, :1]
    out["kind"], out["side"] = rec.BBO, (rec.BUY, rec.SELL)
    out["price_ticks"], out["qty_lots"] = shown[new][:, ::2], shown[new][:, 1::2]
    out["flags"][:, 1] = rec.LAST
    return out.reshape(-1)


def _merged(body: Any, quoted: Any) -> Any:
    """Rows of both by stamp; where stamps are equal prints, best quotes, levels, as an exchange tells them."""
    rows = np.concatenate([body, quoted])
    rank = np.select([rows["kind"] == rec.TRADE, rows["kind"] == rec.BBO], [0, 1], 2)
    return rows[np.lexsort((rank, rows["exch_ns"]))]


def _nothing_more(ns: int) -> Any:
    """A row that changes nothing, trading going on: the market is known until then, whenever the last batch was."""
    row = np.zeros(1, rec.EVENT_DTYPE)
    row["exch_ns"] = row["local_ns"] = ns
    row["kind"], row["flags"] = rec.STATUS, rec.LAST
    return row
