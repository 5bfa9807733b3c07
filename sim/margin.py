"""Margin: how much equity a position of some size needs, and when it is no longer enough.

Rates grow with the size in brackets. Margin is piecewise linear and continuous: a larger rate is asked for only from
the part of the notional that lies in its bracket. Tables are `Instrument.margin_table`; amounts are money.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.jit import njit_inline

__all__ = ["fee_ppb", "initial_margin", "liquidatable", "maintenance_margin", "tier_margin"]

_PPM: Final = 1_000_000
_FROM: Final = 0  # columns of a margin table and of a fee table
_INITIAL: Final = 1
_MAINTENANCE: Final = 4
_MAKER: Final = 1
_TAKER: Final = 2


@njit_inline
def tier_margin(notional: int, ppm: int, deduction: int, millionths: int) -> int:
    """notional * ppm / 1e6 - (deduction + millionths / 1e6), rounded up; in 64 bits, because ppm is at most 1e6."""
    whole = notional // _PPM
    rest = notional - whole * _PPM
    return int(whole * ppm - deduction + -((millionths - rest * ppm) // _PPM))


@njit_inline
def _margin(notional: int, tiers: NDArray[np.int64], column: int) -> int:
    if tiers.shape[0] == 0:
        return 0
    row = tiers.shape[0] - 1
    while row > 0 and tiers[row, _FROM] > notional:
        row -= 1
    return tier_margin(notional, tiers[row, column], tiers[row, column + 1], tiers[row, column + 2])


@njit_inline
def initial_margin(notional: int, tiers: NDArray[np.int64]) -> int:
    """Equity that opening up to a notional (at least 0, at most 2^62) asks for, rounded up; 0 without tiers."""
    return _margin(notional, tiers, _INITIAL)


@njit_inline
def maintenance_margin(notional: int, tiers: NDArray[np.int64]) -> int:
    """Equity below which a position of that notional (at least 0, at most 2^62) is closed, rounded up."""
    return _margin(notional, tiers, _MAINTENANCE)


@njit_inline
def liquidatable(equity: int, notional: int, tiers: NDArray[np.int64]) -> bool:
    """Whether a position's equity has fallen below its maintenance margin. Never without a position or tiers."""
    return tiers.shape[0] > 0 and notional > 0 and equity < maintenance_margin(notional, tiers)


@njit_inline
def fee_ppb(turnover: int, maker: int, tiers: NDArray[np.int64]) -> int:
    """Maker (1) or taker (0) fee after `turnover` money, in parts per billion; `tiers` is `Instrument.fee_table`."""
    row = tiers.shape[0] - 1
    while row > 0 and tiers[row, _FROM] > turnover:
        row -= 1
    return int(tiers[row, _MAKER] if maker else tiers[row, _TAKER])
