"""A set of level ids as bits, 32 to a word: the neighbour of a level is found without looking at the empty ones.

A book names tens of thousands of levels, of which a few hundred display something at any time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.jit import njit_inline

__all__ = ["first_above", "flip", "highest_bit", "last_below", "new_level_set"]


def new_level_set(levels: int) -> NDArray[np.int64]:
    """Bits for level ids [0, levels), all clear; only the low 32 of each word are used."""
    return np.zeros((levels >> 5) + 1, np.int64)


@njit_inline
def flip(bits: NDArray[np.int64], level: int) -> None:
    """Put a level in, or take it out."""
    bits[level >> 5] ^= 1 << (int(level) & 31)


@njit_inline
def highest_bit(word: int) -> int:
    """Number of the highest set bit of a positive word; the code generator knows this loop as one instruction."""
    word &= 0xFFFFFFFF
    bit = -1
    while word > 0:
        word >>= 1
        bit += 1
    return bit


@njit_inline
def last_below(bits: NDArray[np.int64], level: int) -> int:
    """The greatest member below `level`, or -1."""
    at = level >> 5
    word = bits[at] & ((1 << (int(level) & 31)) - 1)
    while word == 0:
        at -= 1
        if at < 0:
            return -1
        word = bits[at]
    return int((at << 5) + highest_bit(word))


@njit_inline
def first_above(bits: NDArray[np.int64], level: int, end: int) -> int:
    """The smallest member above `level`, or `end`: one past the last level."""
    at = (level + 1) >> 5
    last = bits.shape[0]
    if at >= last:
        return end
    word = bits[at] & (-1 << (int(level + 1) & 31))
    while word == 0:
        at += 1
        if at >= last:
            return end
        word = bits[at]
    return int((at << 5) + highest_bit(word & -word))
