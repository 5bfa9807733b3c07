"""Indices into a compiled table: which rows touched a level, and ladder checkpoints every few rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.book import LADDER_EVERY, LADDER_LEVELS
from lobgym.sim.jit import njit

__all__ = ["index_ladders", "index_touches"]


@njit
def index_touches(level: NDArray[np.int32], levels: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Counting sort of the level rows by level id."""
    start = np.zeros(levels + 1, np.int64)
    for row in range(level.shape[0]):
        if level[row] >= 0:
            start[level[row] + 1] += 1
    for k in range(levels):
        start[k + 1] += start[k]
    place = start[:levels].copy()
    out = np.empty(start[levels], np.int32)
    for row in range(level.shape[0]):
        if level[row] >= 0:
            out[place[level[row]]] = row
            place[level[row]] += 1
    return start, out


@njit
def index_ladders(
    level: NDArray[np.int32], qty: NDArray[np.int64], level_tick: NDArray[np.int64], bid_levels: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int8]]:
    """The best LADDER_LEVELS levels a side before every LADDER_EVERY-th row."""
    rows = level.shape[0]
    levels = level_tick.shape[0]
    marks = rows // LADDER_EVERY + 1
    tick_out = np.zeros((marks, 2, LADDER_LEVELS), np.int64)
    qty_out = np.zeros((marks, 2, LADDER_LEVELS), np.int64)
    count_out = np.zeros((marks, 2), np.int8)
    eff = np.zeros(levels, np.int64)
    bid = -1
    ask = levels
    for row in range(rows + 1):
        if row % LADDER_EVERY == 0:
            mark = row // LADDER_EVERY
            k = bid
            n = 0
            while k >= 0 and n < LADDER_LEVELS:
                if eff[k] > 0:
                    tick_out[mark, 0, n] = level_tick[k]
                    qty_out[mark, 0, n] = eff[k]
                    n += 1
                k -= 1
            count_out[mark, 0] = n
            k = ask
            n = 0
            while k < levels and n < LADDER_LEVELS:
                if eff[k] > 0:
                    tick_out[mark, 1, n] = level_tick[k]
                    qty_out[mark, 1, n] = eff[k]
                    n += 1
                k += 1
            count_out[mark, 1] = n
        if row == rows or level[row] < 0:
            continue
        k = level[row]
        eff[k] = qty[row]
        # These bests only bound the walk above, so they need not be tight.
        if qty[row] > 0:
            if k < bid_levels:
                bid = max(bid, k)
            else:
                ask = min(ask, k)
        else:
            while bid >= 0 and eff[bid] == 0:
                bid -= 1
            while ask < levels and eff[ask] == 0:
                ask += 1
    return tick_out, qty_out, count_out
