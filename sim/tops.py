"""`tops`: what the best levels of a book hold together, after every stamp.

A list of `lobgym.sim.trail`. Rolling levels forward for one observation costs more than all other
columns together; along the tape it is done once for all of them.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.best_levels import LEVEL_DTYPE, LEVELS_MAX, Scratch, apply_row, level_of, take_levels, walk_levels
from lobgym.sim.book import LADDER_EVERY, LADDER_LEVELS
from lobgym.sim.columns.header import ENCODER_DTYPE, balance
from lobgym.sim.jit import njit_inner, njit_leaf, njit_lean
from lobgym.sim.memory import address_of
from lobgym.sim.view import BookView, level_tick, row_ns

__all__ = ["TOP_DEPTH", "TOP_DTYPE", "fill_tops", "levels_scratch"]

TOP_DEPTH: Final = 5  # levels a side

# Half a cache line. Ratios and the width are 0 where a side is empty. Those that nothing is calculated from are kept as
# they leave.
TOP_DTYPE: Final = np.dtype([
    ("lots", np.float64),  # on the best five levels of both sides
    ("width", np.int64),  # ticks between the outermost of them
    ("imbalance_1", np.float64),  # (bid - ask) / (bid + ask) at the bests
    ("imbalance_5", np.float32),  # of all five
    ("pressure_5", np.float32),  # of all five, level k weighted by 1/k
])  # fmt: skip


Top: TypeAlias = Any  # a record of TOP_DTYPE


def levels_scratch() -> tuple[NDArray[np.void], NDArray[np.void]]:
    """Scratch space for the best levels: ENCODER_DTYPE[1] that leads to it, and the space, which must live as long."""
    levels = np.zeros(2 * LEVELS_MAX, LEVEL_DTYPE)
    header = np.zeros(1, ENCODER_DTYPE)
    header["levels"] = address_of(levels)
    return header, levels


@njit_leaf
def _sums(scratch: Scratch, side: int, count: int) -> tuple[float, float]:
    """Lots on the best levels of a side, and those weighted by 1/k."""
    lots = 0.0
    weighted = 0.0
    for j in range(min(count, TOP_DEPTH)):
        one = float(level_of(scratch, side * LEVELS_MAX + j)["lots"])
        lots += one
        weighted += one / (j + 1)
    return lots, weighted


@njit_inner
def _note(book: BookView, scratch: Scratch, bids: int, asks: int, top: Top) -> None:
    """Sum up the levels in the scratch space. An entry was all 0 before."""
    bid_lots, near_bid = _sums(scratch, 0, bids)
    ask_lots, near_ask = _sums(scratch, 1, asks)
    top["lots"] = bid_lots + ask_lots
    if bids > 0 and asks > 0:
        last_bid = level_tick(book, level_of(scratch, min(bids, TOP_DEPTH) - 1)["level"])
        last_ask = level_tick(book, level_of(scratch, LEVELS_MAX + min(asks, TOP_DEPTH) - 1)["level"])
        top["width"] = last_ask - last_bid
        top["imbalance_1"] = balance(float(level_of(scratch, 0)["lots"]), float(level_of(scratch, LEVELS_MAX)["lots"]))
        top["imbalance_5"] = balance(bid_lots, ask_lots)
        top["pressure_5"] = balance(near_bid, near_ask)


@njit_inner
def _again(book: BookView, scratch: Scratch, side: int, cursor: int) -> tuple[int, int]:
    """Have the levels of a side looked up; returns how many, and the last level that counts."""
    count = walk_levels(book, scratch, side, cursor, TOP_DEPTH)
    if count < TOP_DEPTH and not book["ghosts"]:
        return count, 0 if side == 0 else int(book["levels"]) - 1
    return count, int(level_of(scratch, side * LEVELS_MAX + count - 1)["level"]) if count > 0 else -1


@njit_lean
def fill_tops(book: BookView, scratch: Scratch, out: NDArray[np.void]) -> None:
    """Write what holds after each different stamp, TOP_DTYPE[stamps + 1], which is all 0; entry 0 stays so.

    Every checkpoint is rolled forward to the next one. Where deletions have left fewer levels than are wanted, the
    level index supplies them, and they are rolled on.
    """
    stamp = 0
    size = book["size"]
    ghosts = book["ghosts"]
    for first in range(0, size, LADDER_EVERY):
        mark = first // LADDER_EVERY
        bids, low = take_levels(book, scratch, mark, 0, LADDER_LEVELS)
        asks, high = take_levels(book, scratch, mark, 1, LADDER_LEVELS)
        for row in range(first, min(first + LADDER_EVERY, size)):
            bids, asks = apply_row(book, scratch, row, low, high, bids, asks)
            if row + 1 < size and row_ns(book, row + 1) == row_ns(book, row):
                continue
            if ghosts or (bids < TOP_DEPTH and low > 0):
                bids, low = _again(book, scratch, 0, row + 1)
            if ghosts or (asks < TOP_DEPTH and high < book["levels"] - 1):
                asks, high = _again(book, scratch, 1, row + 1)
            stamp += 1
            _note(book, scratch, bids, asks, out[stamp])
