"""Made-up tapes for the comparison: books that cross, levels that are left behind, resets, prints anywhere."""

from __future__ import annotations

import numpy as np

from lobgym.sim import records as rec
from lobgym.sim.instrument import BUILTIN, Instrument
from lobgym.sim.tape import Tape

__all__ = ["thin_tape", "wild_tape"]


def wild_tape(seed: int, rows: int = 20_000, instrument: Instrument | None = None, middle: int = 1000) -> Tape:
    """A random tape that breaks the habits of a recorded one.

    Quantities and prices jump, bests cross in about a tenth of the rows, stamps repeat, receive order differs from the
    exchange's, now and then the book is reset with a snapshot that names only part of it.
    """
    rng = np.random.default_rng([77, seed])
    instrument = instrument or BUILTIN["synthetic", "SYNTH"]
    events = np.zeros(rows, rec.EVENT_DTYPE)
    mid = middle + np.cumsum(rng.choice([-1, 0, 0, 0, 1], rows) * (rng.random(rows) < 0.2))
    mid = np.maximum(mid, 50)
    side = rng.choice([rec.BUY, rec.SELL], rows)
    reach = np.minimum(rng.geometric(0.25, rows), 12) - 1 - (rng.random(rows) < 0.1) * rng.integers(1, 4, rows)
    printed = rng.random(rows) < 0.2
    events["kind"] = np.where(printed, rec.TRADE, rec.DEPTH)
    events["side"] = side
    events["price_ticks"] = np.where(printed, mid + side * rng.integers(-1, 3, rows), mid - side * (1 + reach))
    sizes = np.where(rng.random(rows) < 0.5, rng.integers(1, 6, rows), rng.geometric(0.02, rows))
    events["qty_lots"] = np.where(~printed & (rng.random(rows) < 0.35), 0, sizes)
    events["exch_ns"] = 10**9 + np.cumsum(rng.choice([0, 0, 1, 1000, 400_000], rows))
    events["local_ns"] = events["exch_ns"] + rng.integers(0, 3_000_000, rows)
    events["flags"] = rec.LAST
    for at in rng.choice(np.arange(100, rows - 100, 50), max(1, rows // 2000), replace=False):
        events["kind"][at : at + 12] = rec.SNAPSHOT
        events["qty_lots"][at + 1 : at + 12] = rng.integers(1, 9, 11)
        events["kind"][at], events["side"][at], events["qty_lots"][at], events["price_ticks"][at] = rec.CLEAR, 0, 0, 0
        events["side"][at + 1 : at + 12] = np.repeat([rec.BUY, rec.SELL], [6, 5])
        steps = np.r_[1 + np.arange(6), 1 + np.arange(5)] + rng.integers(0, 2, 11)
        events["price_ticks"][at + 1 : at + 12] = mid[at] - events["side"][at + 1 : at + 12] * steps
        for name in ("exch_ns", "local_ns"):
            events[name][at : at + 12] = events[name][at]
        events["flags"][at : at + 11] = 0
    events["local_ns"] = np.maximum(events["local_ns"], events["exch_ns"])
    return Tape(events, instrument)


def thin_tape(seed: int, rows: int = 20_000, instrument: Instrument | None = None, middle: int = 1000) -> Tape:
    """A random tape of few levels, whose sides often become empty, and which cross in every third row or so.

    There the hash map book forgets its bounds, and finds levels no more that were left behind.
    """
    rng = np.random.default_rng([78, seed])
    events = np.zeros(rows, rec.EVENT_DTYPE)
    side = rng.choice([rec.BUY, rec.SELL], rows)
    printed = rng.random(rows) < 0.2
    mid = middle + np.cumsum(rng.choice([-1, 0, 1], rows) * (rng.random(rows) < 0.02))
    events["kind"] = np.where(printed, rec.TRADE, rec.DEPTH)
    events["side"] = side
    events["price_ticks"] = np.maximum(mid, 50) - np.where(printed, -side, side) * rng.integers(-1, 3, rows)
    events["qty_lots"] = np.where(~printed & (rng.random(rows) < 0.6), 0, rng.integers(1, 6, rows))
    events["exch_ns"] = 10**9 + np.cumsum(rng.choice([0, 1, 1000, 400_000], rows))
    events["local_ns"] = events["exch_ns"] + rng.integers(0, 3_000_000, rows)
    events["flags"] = rec.LAST
    return Tape(events, instrument or BUILTIN["synthetic", "SYNTH"])
