"""A tape, in the tables that hftbacktest reads."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lobgym.sim import records as rec
from lobgym.sim.instrument import Instrument
from lobgym.sim.tape import Tape

__all__ = ["PEER_EVENT", "base_qty", "peer_events", "spread_stamps"]

# The layout and the bits of hftbacktest's event table.
PEER_EVENT = np.dtype(
    [("ev", "u8"), ("exch_ts", "i8"), ("local_ts", "i8"), ("px", "f8"), ("qty", "f8"), ("order_id", "u8"),
     ("ival", "i8"), ("fval", "f8")], align=True,
)  # fmt: skip
AT_EXCHANGE, AT_LOCAL, BUYER, SELLER = 1 << 31, 1 << 30, 1 << 29, 1 << 28
_KINDS = {rec.DEPTH: 1, rec.TRADE: 2, rec.CLEAR: 3, rec.SNAPSHOT: 4}


def base_qty(lots: Any, instrument: Instrument) -> Any:
    """Base units of lots, as float64, correctly rounded: what parsing the recorded decimal gives."""
    lot = Fraction(instrument.lot_size)
    return np.asarray(lots, np.float64) * float(lot.numerator) / float(lot.denominator)


def peer_events(tape: Tape, local: bool = True) -> NDArray[Any]:
    """PEER_EVENT rows of a tape.

    The exchange side reads the rows marked AT_EXCHANGE and needs them by exchange stamp, the local side those marked
    AT_LOCAL, by receive stamp. Where one order serves both every row has both marks, otherwise each row stands twice.
    `local=False` leaves out the local side's. Kinds that the engine ignores are left out.
    """
    events = tape.events[np.isin(tape.events["kind"], list(_KINDS))]
    rows = np.zeros(len(events), PEER_EVENT)
    for ours, theirs in _KINDS.items():
        rows["ev"][events["kind"] == ours] = theirs
    rows["ev"] |= np.array([0, BUYER, SELLER], "u8")[events["side"]]  # side 0, 1, -1
    rows["exch_ts"], rows["local_ts"] = events["exch_ns"], events["local_ns"]
    rows["px"] = events["price_ticks"] * float(tape.instrument.tick_size)
    rows["qty"] = base_qty(events["qty_lots"], tape.instrument)
    if not local:
        rows["ev"] |= np.uint64(AT_EXCHANGE)
        return rows
    order = np.argsort(rows["local_ts"], kind="stable")
    if (order == np.arange(len(rows))).all():
        rows["ev"] |= np.uint64(AT_EXCHANGE | AT_LOCAL)
        return rows
    seen = rows[order]
    rows["ev"] |= np.uint64(AT_EXCHANGE)
    seen["ev"] |= np.uint64(AT_LOCAL)
    return np.concatenate([rows, seen])


def spread_stamps(tape: Tape) -> Tape:
    """The tape with an exchange stamp of its own for each message, as near as possible to the recorded one.

    Of several answers for one order at one stamp hftbacktest shows only the last; on such a tape nothing is hidden.
    """
    events = tape.events.copy()
    message = np.cumsum(np.r_[0, (events["flags"][:-1] & rec.LAST) != 0])
    first = np.flatnonzero(np.r_[True, np.diff(message) > 0])
    step = np.arange(len(first))
    stamps = step + np.maximum.accumulate(events["exch_ns"][first] - step)
    delay = events["local_ns"] - events["exch_ns"]
    events["exch_ns"] = stamps[message]
    events["local_ns"] = events["exch_ns"] + delay
    return Tape(events, tape.instrument, {"spread": tape.digest})
