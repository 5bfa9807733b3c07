"""The efficient price of the reactive flow: jumps, drift, impact, and what they set in motion."""

from __future__ import annotations

from typing import Final

import numpy as np

from lobgym.sim.exchange.board import NONE, Board
from lobgym.sim.exchange.flows import FOREVER
from lobgym.sim.flow.draws import exponential, quantile_place
from lobgym.sim.flow.record import PRICE_BITS, FlowState, drift_of, jump_entry, scale_of
from lobgym.sim.jit import njit_inner, njit_leaf
from lobgym.sim.rng import GOLDEN, mix64

__all__ = ["drift", "fresh_bits", "impact", "jump", "later", "move", "say_value"]

_ONE: Final = np.uint64(1)
_S8: Final = np.uint64(8)
_S16: Final = np.uint64(16)
_M8: Final = np.uint64(255)
_MOVE_MAX: Final = 64 << PRICE_BITS  # by the impact of one trade


@njit_leaf
def fresh_bits(s: FlowState) -> np.uint64:
    """64 fresh random bits."""
    s["count"] += _ONE
    return mix64(s["key"] + s["count"] * GOLDEN)


@njit_leaf
def later(s: FlowState, ns: int, mean: float) -> int:
    """A stamp an exponential time of `mean` ns later, at least one."""
    return int(ns + 1 + int(exponential(fresh_bits(s)) * mean))


@njit_inner
def say_value(x: Board, s: FlowState) -> None:
    """The index price is the efficient one."""
    tick_1e8 = 2 * x["mark_factor"]
    whole = x["base_tick"] + (s["v"] >> PRICE_BITS)
    part = s["v"] & ((1 << PRICE_BITS) - 1)
    x["index_1e8"] = whole * tick_1e8 + (part * tick_1e8 >> PRICE_BITS)


@njit_inner
def move(x: Board, s: FlowState, by: int) -> None:
    """The efficient price moves, reflected at its bounds; what it leaves behind is stale from now on."""
    v = s["v"] + by
    low, high = s["low"], s["high"]
    if v < low:
        v = 2 * low - v
    if v > high:
        v = 2 * high - v
    s["v"] = max(low, min(high, v))
    say_value(x, s)
    reference = s["v"] >> PRICE_BITS
    if (x["best_ask"] != NONE and x["best_ask"] <= reference) or x["best_bid"] > reference:
        if s["stale_ns"] == FOREVER:
            s["stale_ns"] = later(s, x["now_ns"], s["stale_mean"])
        if s["informed_ns"] == FOREVER:
            s["informed_ns"] = s["informed_floor"] + later(s, x["now_ns"], s["informed_mean"])


@njit_inner
def jump(x: Board, s: FlowState) -> None:
    """A jump of the regime's scale, either way."""
    bits = fresh_bits(s)
    k = np.int64((bits >> _S8) & _M8)
    size = quantile_place(jump_entry(s, k), jump_entry(s, k + 1), np.int64(bits & _M8))
    size = size * scale_of(s, s["volatility"]) >> 8
    s["jumps_made"] += 1
    move(x, s, size if (bits >> _S16) & _ONE else -size)


@njit_inner
def drift(x: Board, s: FlowState) -> None:
    """What the trend has made of the time since it was last asked."""
    ns = x["now_ns"]
    by = drift_of(s, s["trend"]) * ((ns - s["moved_ns"]) // 1000) // 1_000_000
    s["moved_ns"] = ns
    if by != 0:
        move(x, s, by)


@njit_inner
def impact(x: Board, s: FlowState, lots: int) -> None:
    """`lots` bought by takers (negative: sold) move the efficient price in proportion."""
    by = lots * s["impact"] >> 8
    move(x, s, max(-_MOVE_MAX, min(_MOVE_MAX, by)))
