"""Counting integers of any size in bins that are exact where values are small and 0.2% wide where they are large.

A value below 2^bits has a bin of its own. A larger one is cut to its `bits` leading binary digits, as floating-point
numbers are, so every octave has 2^(bits - 1) bins. Histograms are counted in fine bins and compared in coarse ones.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.jit import njit_leaf, njit_lean
from lobgym.sim.work import WORD_BITS, highest_bit

__all__ = ["BIN_COUNT", "COARSE_BITS", "FINE_BITS", "bin_of", "bounds", "coarse_bins", "count_bins"]

FINE_BITS: Final = 10
COARSE_BITS: Final = 4
_VALUE_MAX: Final = (1 << 62) - 1
_FINE: Final = 1 << FINE_BITS
_HALF: Final = _FINE >> 1
BIN_COUNT: Final = (62 - FINE_BITS) * _HALF + _FINE


@njit_leaf
def bin_of(value: int) -> int:
    """Number of the fine bin of an integer; what is below 0 counts as 0, what is above 2^62 - 1 as that."""
    value = min(max(value, 0), _VALUE_MAX)
    if value < _FINE:
        return value
    high = value >> WORD_BITS
    bit = highest_bit(high) + WORD_BITS if high > 0 else highest_bit(value)
    shift = bit - (FINE_BITS - 1)
    return int(shift * _HALF + (value >> shift))


@njit_lean
def count_bins(values: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
    """Add int64[n] values to int64[BIN_COUNT] counts, one each."""
    for n in range(values.shape[0]):
        counts[bin_of(values[n])] += 1


def bounds(bins: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Smallest and largest integer of fine bins."""
    shift = np.maximum(bins // _HALF - 1, 0)
    low = (bins - shift * _HALF) << shift
    return low, low + (np.int64(1) << shift) - 1


def coarse_bins(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Numbers of the coarse bins of whole numbers below 2^53."""
    shift = np.maximum(np.frexp(values)[1].astype(np.int64) - COARSE_BITS, 0)
    return shift * (1 << (COARSE_BITS - 1)) + (values.astype(np.int64) >> shift)
