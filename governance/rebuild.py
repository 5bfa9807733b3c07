"""The book of a tape, rebuilt by plain application of its depth messages.

This is not the compiler of the market (`lobgym.sim.compile`) on purpose: a gate that shared its code would share its
mistakes.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.jit import njit
from lobgym.sim.records import BUY, CLEAR, DEPTH, LAST, SNAPSHOT

__all__ = ["NO_TICK", "BookStates", "rebuild"]

NO_TICK: Final = -1


class BookStates(NamedTuple):
    """The best levels after each of S messages that touch the book; `NO_TICK` and 0 lots where a side is empty."""

    ns: NDArray[np.int64]  # [S] exchange stamp
    seq: NDArray[np.int64]  # [S] update id of the message
    bid: NDArray[np.int64]  # [S] ticks
    bid_qty: NDArray[np.int64]  # [S] lots
    ask: NDArray[np.int64]
    ask_qty: NDArray[np.int64]

    @property
    def two_sided(self) -> NDArray[np.bool_]:
        """Whether both sides hold something: bool[S]."""
        both: NDArray[np.bool_] = (self.bid != NO_TICK) & (self.ask != NO_TICK)
        return both


def rebuild(events: NDArray[np.void]) -> BookStates:
    """Every observable state of the book of an event table in exchange order (EVENT_DTYPE[rows])."""
    rows = events[np.isin(events["kind"], (DEPTH, SNAPSHOT, CLEAR))]
    ticks, level = np.unique(rows["price_ticks"], return_inverse=True)
    kind, side, qty = (np.ascontiguousarray(rows[name]) for name in ("kind", "side", "qty_lots"))
    best = np.empty((len(rows), 4), np.int64)
    _apply(kind, side, qty, level.astype(np.int64), ticks, best)
    end = (rows["flags"] & LAST) != 0
    bid, bid_qty, ask, ask_qty = (np.ascontiguousarray(best[end, column]) for column in range(4))
    return BookStates(rows["exch_ns"][end], rows["seq"][end], bid, bid_qty, ask, ask_qty)


@njit
def _apply(
    kind: NDArray[np.uint8],
    side: NDArray[np.int8],
    qty: NDArray[np.int64],
    level: NDArray[np.int64],
    ticks: NDArray[np.int64],
    best: NDArray[np.int64],
) -> None:
    levels = ticks.shape[0]
    bids, asks = np.zeros(levels, np.int64), np.zeros(levels, np.int64)
    bid, ask = -1, levels
    for row in range(kind.shape[0]):
        at = level[row]
        if kind[row] == CLEAR:
            bids[:] = 0
            asks[:] = 0
            bid, ask = -1, levels
        elif side[row] == BUY:
            bids[at] = qty[row]
            bid = max(bid, at)
            while bid >= 0 and bids[bid] == 0:
                bid -= 1
        else:
            asks[at] = qty[row]
            ask = min(ask, at)
            while ask < levels and asks[ask] == 0:
                ask += 1
        best[row, 0] = ticks[bid] if bid >= 0 else NO_TICK
        best[row, 1] = bids[bid] if bid >= 0 else 0
        best[row, 2] = ticks[ask] if ask < levels else NO_TICK
        best[row, 3] = asks[ask] if ask < levels else 0
