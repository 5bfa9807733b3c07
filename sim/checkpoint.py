"""Ladder checkpoints: the best levels of both sides, written down every LADDER_EVERY rows while a book is compiled."""

from __future__ import annotations

from lobgym.sim.book import LADDER_EVERY, LADDER_LEVELS, NO_LEVEL
from lobgym.sim.jit import njit_inner, njit_leaf
from lobgym.sim.work import (
    WORD_BITS,
    Work,
    highest_bit,
    ladder_count_at,
    ladder_level_at,
    ladder_qty_at,
    level_at,
    word_of,
)

__all__ = ["checkpoint"]


@njit_inner
def checkpoint(w: Work) -> None:
    """Write both ladders as they stand before the row that is written next, which a checkpoint belongs to."""
    at = 2 * (w["row_count"] // LADDER_EVERY)
    _close(w, at, _best_bids(w, at * LADDER_LEVELS))
    _close(w, at + 1, _best_asks(w, (at + 1) * LADDER_LEVELS))


@njit_leaf
def _best_bids(w: Work, at: int) -> int:
    """Write the highest full levels of the bids from entry `at` on; returns how many."""
    index = w["bid_levels"] // WORD_BITS
    word = word_of(w, index) & ((1 << (w["bid_levels"] % WORD_BITS)) - 1)
    for n in range(LADDER_LEVELS):
        while word == 0:
            index -= 1
            if index < 0:
                return n
            word = word_of(w, index)
        bit = highest_bit(word)
        word ^= 1 << bit
        _write(w, at + n, index * WORD_BITS + bit)
    return LADDER_LEVELS


@njit_leaf
def _best_asks(w: Work, at: int) -> int:
    """Write the lowest full levels of the asks from entry `at` on; returns how many."""
    index = w["bid_levels"] // WORD_BITS
    word = word_of(w, index) & (-1 << (w["bid_levels"] % WORD_BITS))
    for n in range(LADDER_LEVELS):
        while word == 0:
            index += 1
            if index == w["word_count"]:
                return n
            word = word_of(w, index)
        bit = highest_bit(word & -word)
        word &= word - 1
        _write(w, at + n, index * WORD_BITS + bit)
    return LADDER_LEVELS


@njit_leaf
def _write(w: Work, at: int, level: int) -> None:
    ladder_level_at(w, at)["is"] = level
    ladder_qty_at(w, at)["is"] = level_at(w, level)["qty"]


@njit_leaf
def _close(w: Work, at: int, count: int) -> None:
    """Note a ladder's length, and say that nothing is behind it."""
    ladder_count_at(w, at)["is"] = count
    for j in range(count, LADDER_LEVELS):
        ladder_level_at(w, at * LADDER_LEVELS + j)["is"] = NO_LEVEL
        ladder_qty_at(w, at * LADDER_LEVELS + j)["is"] = 0
