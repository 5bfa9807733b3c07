"""Columns of the clock and of funding.

Waves are made of parabolas, because no library's sine has the same last bit everywhere: they meet the sine at its
zeros and extremes, and are within 0.06 of it elsewhere.
"""

from __future__ import annotations

from typing import Final

from lobgym.sim.bars import Bars, funding_at, funding_before
from lobgym.sim.columns.catalog import number_of, part
from lobgym.sim.columns.header import Encoder, put
from lobgym.sim.jit import njit_inner, njit_leaf
from lobgym.sim.world import World, lane_at

__all__ = ["clock_columns"]

_HOUR_NS: Final = 3_600_000_000_000
_DAY_NS: Final = 24 * _HOUR_NS
_WEEK_NS: Final = 7 * _DAY_NS
_MONDAY_NS: Final = 4 * _DAY_NS  # the first Monday after the epoch, a Thursday
_FUNDING_NS: Final = 8 * _HOUR_NS

_HOUR_LEFT: Final = number_of("hour_left")
_HOUR_SIN: Final = number_of("hour_sin")
_HOUR_COS: Final = number_of("hour_cos")
_DAY_SIN: Final = number_of("day_sin")
_DAY_COS: Final = number_of("day_cos")
_WEEK_SIN: Final = number_of("week_sin")
_WEEK_COS: Final = number_of("week_cos")
_FUNDING_RATE: Final = number_of("funding_rate")
_FUNDING_LEFT: Final = number_of("funding_left")

_FUNDING: Final = part("funding")


@njit_leaf
def _wave(ns: int, period_ns: int) -> float:
    """A sine of that period made of parabolas; 0 and rising where `ns` is a multiple of it."""
    half = period_ns // 2
    into = ns % period_ns
    x = float(into % half) / float(half)
    y = 4.0 * x * (1.0 - x)
    return y if into < half else -y


@njit_inner
def clock_columns(bars: Bars, encoder: Encoder, w: World, i: int) -> None:
    """Columns of lane `i`'s clock, in UTC, and of the funding that it has heard of."""
    lane = lane_at(w, i)
    t_ns = lane["t_ns"]
    put(encoder, _HOUR_LEFT, 1.0 - float(t_ns % _HOUR_NS) / float(_HOUR_NS))
    put(encoder, _HOUR_SIN, _wave(t_ns, _HOUR_NS))
    put(encoder, _HOUR_COS, _wave(t_ns + _HOUR_NS // 4, _HOUR_NS))
    put(encoder, _DAY_SIN, _wave(t_ns, _DAY_NS))
    put(encoder, _DAY_COS, _wave(t_ns + _DAY_NS // 4, _DAY_NS))
    put(encoder, _WEEK_SIN, _wave(t_ns - _MONDAY_NS, _WEEK_NS))
    put(encoder, _WEEK_COS, _wave(t_ns - _MONDAY_NS + _WEEK_NS // 4, _WEEK_NS))
    if encoder["needs"] & _FUNDING:
        # A feed whose delay varies is taken at its slowest: less than the lane has seen, never more.
        known = funding_at(bars, funding_before(bars, t_ns - lane["feed_delay_ns"] - lane["feed_jitter_ns"]))
        put(encoder, _FUNDING_RATE, float(known["rate"]) * 1e-8)
        left = float(known["next_ns"] - t_ns) / float(_FUNDING_NS)
        put(encoder, _FUNDING_LEFT, max(left, 0.0) if known["next_ns"] > 0 else 0.0)
