"""Whole numbers that come from outside, checked before they reach a kernel: kernels check nothing.

Numpy's integers are welcome, floats are not: half a nanosecond or half a lot would be cut off without a word, and NaN
would become some number.
"""

from __future__ import annotations

from operator import index
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lobgym.sim.errors import LobgymError, SessionError
from lobgym.sim.instrument import INT_MAX
from lobgym.sim.records import BUY, GTC, MARKET, SELL

__all__ = ["array_of", "flags", "integers", "order_numbers", "whole"]

_MIN = -(1 << 63)
_MAX = (1 << 63) - 1


def whole(name: str, value: Any, low: int, high: int, error: type[LobgymError] = SessionError) -> int:
    """`value` as an int from `low` to `high`; raises `error` for anything else."""
    if type(value) is int and low <= value <= high:
        return value
    try:
        number = index(value)
    except TypeError:
        raise error(f"{name} must be an integer, got {value!r}; convert it first: int(...)") from None
    if not low <= number <= high:
        raise error(f"{name} must be from {low} to {high}, got {number}")
    return number


def integers(
    name: str, value: ArrayLike | int, lanes: int, low: int = _MIN, high: int = _MAX,
    error: type[LobgymError] = SessionError,
) -> NDArray[np.int64]:  # fmt: skip
    """int64[lanes], a fresh array, of an integer for all lanes or one for each; raises `error` for anything else."""
    made = np.empty(lanes, np.int64)
    if isinstance(value, int):
        made[:] = whole(name, value, low, high, error)
        return made
    given = array_of(name, value, error)
    if given.dtype.kind not in "iu":
        # Numpy makes objects, or floats, of integers that no int64 holds.
        raise error(f"{name} must be integers of 64 bits, got {_short(value)} ({given.dtype}); convert them first")
    if given.shape not in ((), (lanes,)):
        raise error(f"{name} must be one integer, or one for each of {lanes} lanes; got the shape {given.shape}")
    if given.size and not (low <= int(given.min()) and int(given.max()) <= high):
        raise error(f"{name} must lie from {low} to {high}, got {int(given.min())} to {int(given.max())}")
    made[:] = given
    return made


def array_of(name: str, value: ArrayLike, error: type[LobgymError] = SessionError) -> NDArray[Any]:
    """`value` as numpy understands it; raises `error` where it does not."""
    try:
        return np.asarray(value)
    except (ValueError, OverflowError) as problem:  # a ragged list
        raise error(f"{name} must be one value, or one for each lane: {problem}") from None


def flags(name: str, value: ArrayLike, lanes: int) -> NDArray[np.bool_]:
    """bool[lanes], a fresh array, of one bool for each lane; raises SessionError for anything else."""
    given = array_of(name, value)
    if given.dtype != np.bool_ or given.shape != (lanes,):
        raise SessionError(f"{name} must be bool[{lanes}], one for each lane; got {given.dtype} {given.shape}")
    return given.copy()


def order_numbers(side: Any, tick: Any, qty: Any, tif: Any) -> tuple[int, int, int, int]:
    """An order's numbers as ints; raises SessionError unless it is well-formed."""
    try:
        made = index(side), index(tick), index(qty), index(tif)
    except TypeError:
        made = 0, 0, 0, 0
    if made[3] == MARKET and made[1] < 1:
        made = made[0], 1, made[2], MARKET
    if made[0] not in (BUY, SELL) or not GTC <= made[3] <= MARKET or not 1 <= made[1] < INT_MAX or made[2] < 1:
        raise SessionError(
            f"an order needs side 1 or -1, tif 0 to 4, tick and qty integers of at least 1; got side {side!r}, tif "
            f"{tif!r}, tick {tick!r}, qty {qty!r}"
        )
    return made


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
