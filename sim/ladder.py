"""The best levels of a side at any cursor: the nearest checkpoint, rolled forward over a few rows.

A ladder begins at the best price: levels that a depth book's best has passed (`lobgym.sim.compile_depth`) are left out.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.book import (
    LADDER_EVERY,
    LADDER_LEVELS,
    QTY_SHIFT,
    ROW_LEVEL,
    SIDE_SHIFT,
)
from lobgym.sim.jit import njit, njit_lean
from lobgym.sim.records import BUY
from lobgym.sim.view import (
    BookView,
    best_ask_level,
    best_bid_level,
    ladder_count,
    ladder_level,
    ladder_qty,
    level_qty_by_id,
    level_tick,
    next_level,
    row_key,
    row_word,
)

__all__ = ["LADDER_SCRATCH", "ladder", "ladder_with"]

LADDER_SCRATCH: Final = LADDER_LEVELS + LADDER_EVERY + 1  # levels that a roll can ever hold
_KIND_AND_SIDE: Final = (1 << SIDE_SHIFT) | 3


@njit
def ladder(
    book: BookView, side: int, cursor: int, depth: int, out_tick: NDArray[np.int64], out_qty: NDArray[np.int64]
) -> int:
    """Write the best `depth` levels of `side`, best first; return how many there are."""
    return ladder_with(book, side, cursor, depth, out_tick, out_qty, np.empty((2, LADDER_SCRATCH), np.int64))


@njit_lean
def ladder_with(
    book: BookView, side: int, cursor: int, depth: int, out_tick: NDArray[np.int64], out_qty: NDArray[np.int64],
    scratch: NDArray[np.int64],
) -> int:  # fmt: skip
    """`ladder` with the caller's scratch space [2, LADDER_SCRATCH], for kernels that do not allocate.

    Rolls the nearest checkpoint forward, at most LADDER_EVERY rows. A checkpoint that was full says nothing about
    the levels behind its last one; if deletions eat it up, the level index supplies the rest.
    """
    which = 0 if side == BUY else 1
    sign = -1 if side == BUY else 1  # sign * level ascends from the best outwards
    mark = cursor // LADDER_EVERY
    count = int(ladder_count(book, mark, which))
    full = count == LADDER_LEVELS
    for j in range(count):
        scratch[0, j] = sign * ladder_level(book, mark, which, j)
        scratch[1, j] = ladder_qty(book, mark, which, j)
    edge = scratch[0, count - 1] if full else int(book["levels"])
    wanted = ROW_LEVEL | (1 << SIDE_SHIFT if side == BUY else 0)
    for row in range(mark * LADDER_EVERY, cursor):
        word = row_word(book, row)
        key = sign * row_key(book, row)
        if word & _KIND_AND_SIDE == wanted and key <= edge:
            count = _put(scratch, count, key, word >> QTY_SHIFT)
    passed = 0
    if book["ghosts"]:
        best = best_bid_level(book, cursor) if side == BUY else best_ask_level(book, cursor)
        if best < 0:
            return 0
        while passed < count and scratch[0, passed] < sign * best:
            passed += 1
        edge = max(edge, sign * best - 1)
    found = min(count - passed, depth)
    for j in range(found):
        out_tick[j] = level_tick(book, sign * scratch[0, passed + j])
        out_qty[j] = scratch[1, passed + j]
    if found < depth and full:
        level = sign * edge
        while found < depth:
            level = next_level(book, side, level, cursor)
            if level < 0:
                break
            out_tick[found] = level_tick(book, level)
            out_qty[found] = level_qty_by_id(book, level, cursor)
            found += 1
    return found


@njit_lean
def _put(scratch: NDArray[np.int64], count: int, key: int, qty: int) -> int:
    """Give the level `key` of the sorted scratch a quantity, 0 to take it out; returns how many levels there are."""
    j = 0
    while j < count and scratch[0, j] < key:
        j += 1
    if j < count and scratch[0, j] == key:
        if qty > 0:
            scratch[1, j] = qty
            return count
        for k in range(j, count - 1):
            scratch[0, k] = scratch[0, k + 1]
            scratch[1, k] = scratch[1, k + 1]
        return count - 1
    if qty > 0:
        for k in range(count, j, -1):
            scratch[0, k] = scratch[0, k - 1]
            scratch[1, k] = scratch[1, k - 1]
        scratch[0, j] = key
        scratch[1, j] = qty
        return count + 1
    return count
