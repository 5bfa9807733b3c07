"""Multiply, then divide, with a product of 128 bits: the one step of money that does not fit a machine word.

The product of most amounts fits 63 bits, which a float tells safely (its error is far below the room that is left
above 2^62); the rest goes the long way, in digits of 32 bits. Results are exact either way.

Without compilation (`NUMBA_DISABLE_JIT=1`) call from within `np.errstate(over="ignore")`: the long division wraps.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from lobgym.sim.jit import njit_inline, njit_lean

__all__ = ["OVERFLOW", "mul_div", "product_fits"]

OVERFLOW: Final = -(1 << 62)  # instead of a quotient that does not fit
_SAFE: Final = float(1 << 62)  # a product of floats below it is an integer product below 2^63
_LOW: Final = np.uint64(0xFFFFFFFF)
_S32: Final = np.uint64(32)
_S64: Final = np.uint64(64)
_BASE: Final = np.uint64(1 << 32)
_ONE: Final = np.uint64(1)


@njit_inline
def _divide_digit(high: np.uint64, digit: np.uint64, divisor: np.uint64) -> tuple[np.uint64, np.uint64]:
    """One digit of base 2^32: (high * 2^32 + digit) / divisor, for high < divisor and divisor >= 2^63."""
    top = divisor >> _S32
    low = divisor & _LOW
    quotient = high // top
    rest = high - quotient * top
    while quotient >= _BASE or quotient * low > ((rest << _S32) | digit):
        quotient -= _ONE
        rest += top
        if rest >= _BASE:
            break
    return quotient, ((high << _S32) | digit) - quotient * divisor


@njit_lean
def _divide_wide(high: np.uint64, low: np.uint64, divisor: np.uint64) -> tuple[np.uint64, np.uint64]:
    """Quotient and rest of high * 2^64 + low, for high < divisor < 2^63 (Knuth, TAOCP 2, algorithm 4.3.1 D)."""
    shift = np.uint64(0)
    scaled = divisor
    for step in (32, 16, 8, 4, 2, 1):
        if scaled >> np.uint64(64 - step) == np.uint64(0):
            scaled <<= np.uint64(step)
            shift += np.uint64(step)
    upper = (high << shift) | (low >> (_S64 - shift))
    lower = low << shift
    first, rest = _divide_digit(upper, lower >> _S32, scaled)
    second, rest = _divide_digit(rest, lower & _LOW, scaled)
    return (first << _S32) | second, rest >> shift


@njit_lean
def _mul_div_wide(a: int, b: int, c: int) -> tuple[int, int]:
    """`mul_div` where the product may need more than 63 bits."""
    x, y, divisor = np.uint64(abs(a)), np.uint64(abs(b)), np.uint64(c)
    low_low = (x & _LOW) * (y & _LOW)
    low_high = (x & _LOW) * (y >> _S32)
    high_low = (x >> _S32) * (y & _LOW)
    middle = (low_low >> _S32) + (low_high & _LOW) + (high_low & _LOW)
    high = (x >> _S32) * (y >> _S32) + (low_high >> _S32) + (high_low >> _S32) + (middle >> _S32)
    if high >= divisor:
        return OVERFLOW, 0
    unsigned, left = _divide_wide(high, (middle << _S32) | (low_low & _LOW), divisor)
    if unsigned >= np.uint64(-OVERFLOW):
        return OVERFLOW, 0
    quotient, rest = int(np.int64(unsigned)), int(np.int64(left))
    if (a < 0) != (b < 0):
        quotient = -quotient
        if rest > 0:
            return quotient - 1, c - rest
    return quotient, rest


@njit_inline
def product_fits(a: int, b: int) -> bool:
    """Whether a * b surely fits 64 bits: it is below 2^62, give or take a rounding."""
    return abs(float(a) * float(b)) < _SAFE


@njit_inline
def mul_div(a: int, b: int, c: int) -> tuple[int, int]:
    """Floor of a * b / c and its rest in [0, c); the floor is OVERFLOW if 2^62 or more in size. |a|, |b|, c < 2^63."""
    if product_fits(a, b):
        product = a * b
        quotient = product // c
        return quotient, product - quotient * c
    return _mul_div_wide(a, b, c)
