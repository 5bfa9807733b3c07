"""Columns of the best levels of the local book: of all together, looked up, and of each, rolled forward."""

from __future__ import annotations

from typing import Final

from lobgym.sim.bars import Bars, top_at
from lobgym.sim.best_levels import LEVELS_MAX, best_levels, level_of
from lobgym.sim.columns.catalog import BOOK_LEVELS, number_of, part
from lobgym.sim.columns.header import FAR, Encoder, put
from lobgym.sim.jit import njit_inner, njit_leaf
from lobgym.sim.tops import TOP_DEPTH
from lobgym.sim.view import BookView, level_tick

__all__ = ["level_columns", "top_columns"]

_DEEP: Final = part("deep")
_IMBALANCE_1: Final = number_of("imbalance_1")
_IMBALANCE_5: Final = number_of("imbalance_5")
_PRESSURE_5: Final = number_of("pressure_5")
_MICROPRICE: Final = number_of("microprice")
_WIDTH_5: Final = number_of("width_5")
# Levels have four columns each, in the order of _LEVEL_FIELDS.
_LEVEL_1: Final = number_of("bid_gap_1")
_LEVEL_FIELDS: Final = 4
assert [number_of(name) - _LEVEL_1 for name in ("bid_size_1", "ask_gap_1", "ask_size_1", "bid_gap_2")] == [1, 2, 3, 4]


@njit_leaf
def top_columns(bars: Bars, encoder: Encoder, seen: int, mid2: int, spread_bps: float) -> float:
    """Columns over the best five levels a side together, after `seen` stamps; returns the lots that they display."""
    top = top_at(bars, seen)
    if mid2 > 0:
        put(encoder, _IMBALANCE_1, top["imbalance_1"])
        put(encoder, _MICROPRICE, 0.5 * spread_bps * top["imbalance_1"])
        put(encoder, _IMBALANCE_5, top["imbalance_5"])
        put(encoder, _PRESSURE_5, top["pressure_5"])
        put(encoder, _WIDTH_5, top["width"] * 2e4 / mid2)
    return float(top["lots"])


@njit_inner
def _each_level(book: BookView, encoder: Encoder, side: int, count: int, depth: int, mean: float, mid2: int) -> None:
    """Distance and quantity of each level of a side, as far as there are levels."""
    sign = 2 if side == 1 else -2
    for j in range(depth):
        number = _LEVEL_1 + _LEVEL_FIELDS * j + 2 * side
        put(encoder, number, FAR)
        put(encoder, number + 1, 0.0)
        if j < count:
            one = level_of(encoder, side * LEVELS_MAX + j)
            lots = float(one["lots"])
            put(encoder, number, (sign * level_tick(book, one["level"]) - sign // 2 * mid2) * 1e4 / mid2)
            put(encoder, number + 1, lots / (lots + mean))


@njit_inner
def level_columns(book: BookView, encoder: Encoder, cursor: int, mid2: int, lots: float) -> None:
    """Columns of each of the best levels, of whose first five a side all together display `lots`."""
    if mid2 == 0:
        return
    depth = BOOK_LEVELS if encoder["needs"] & _DEEP else TOP_DEPTH
    bids, asks = best_levels(book, encoder, cursor, depth)
    if bids > 0 and asks > 0:
        mean = lots / (min(bids, TOP_DEPTH) + min(asks, TOP_DEPTH))
        _each_level(book, encoder, 0, bids, depth, mean, mid2)
        _each_level(book, encoder, 1, asks, depth, mean, mid2)
