"""What the flows draw: exponential times, decays, quantiles, all with + - * / and tables made of exact decimals.

No function of the system's mathematics library decides anything here, so that the same numbers come out on every
machine. Tables that belong to a flow lie inside its state, one record; `cells` reads them there.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Context, Decimal
from typing import Any, Final

import numba
import numpy as np
from numba.core import cgutils, config, types
from numba.extending import intrinsic

from lobgym.sim.exchange.bits import highest_bit
from lobgym.sim.jit import njit_leaf

__all__ = ["LN2", "QUANTILES", "bit_length", "cells", "exponential", "faded", "quantile_place"]

_CGUTILS: Any = cgutils  # untyped
_CONFIG: Any = config
_EXACT: Final = Context(prec=40)
_LN_STEPS: Final = 1024
# ln(1 + k/1024), each the float64 nearest to the true value.
_LN_TABLE: Final = np.array([float(_EXACT.ln(1 + Decimal(k) / _LN_STEPS)) for k in range(_LN_STEPS + 1)])
LN2: Final = float(_EXACT.ln(Decimal(2)))
_PER_LN2: Final = float(1 / _EXACT.ln(Decimal(2)))
_HALVES_MAX: Final = 62
_HALVES: Final = np.array([1.0 / (1 << k) for k in range(_HALVES_MAX + 1)])
_ONE: Final = np.uint64(1)
_S11: Final = np.uint64(11)
_HIDDEN: Final = 1 << 52
_TO_PLACE: Final = 1.0 / (1 << 42)  # from 52 bits after the leading one to steps of the table

QUANTILES: Final = 256  # steps of a quantile table, which has one entry more


def cells(header: np.dtype[Any], field: str, scalar: Any) -> Callable[..., Any]:
    """`at(record, index)`: a number of the array that lies inside a record; signed integers come as int64."""
    kind: np.dtype[Any] = np.dtype(scalar)
    signed = np.issubdtype(kind, np.integer)
    if _CONFIG.DISABLE_JIT:
        if signed:
            return lambda h, index: int(h[field].reshape(-1)[index])
        return lambda h, index: float(h[field].reshape(-1)[index])
    fields: Any = header.fields
    offset = int(fields[field][1])
    value = numba.from_dtype(kind)
    wide: Any = types.int64 if signed else value

    @intrinsic
    def at(typing: Any, h: Any, index: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            byte = builder.bitcast(args[0], context.get_data_type(types.voidptr))
            shift = builder.add(builder.mul(args[1], args[1].type(kind.itemsize)), args[1].type(offset))
            pointer = _CGUTILS.pointer_add(builder, byte, shift, context.get_data_type(value).as_pointer())
            return context.cast(builder, builder.load(pointer, align=1), value, wide)

        return wide(h, types.int64), generate

    return at


@njit_leaf
def bit_length(n: int) -> int:
    """Bits of n >= 0: 0 for 0, 1 for 1, 2 for 2 and 3, 3 for 4 to 7."""
    if n == 0:
        return 0
    return int(highest_bit(np.uint64(n)) + 1)


@njit_leaf
def exponential(bits: np.uint64) -> float:
    """-ln(u) for the uniform u = bits / 2**64: an exponential variate of mean 1, to about 1e-7."""
    kept = bits | _ONE
    top = highest_bit(kept)
    mantissa = np.int64((kept << np.uint64(63 - top)) >> _S11)
    place = np.float64(mantissa - _HIDDEN) * _TO_PLACE
    k = int(place)
    low = _LN_TABLE[k]
    return float((64 - top) * LN2 - (low + (place - k) * (_LN_TABLE[k + 1] - low)))


@njit_leaf
def faded(x: float) -> float:
    """exp(-x) for x >= 0, to about 1e-12; 0 once it is below 2**-62."""
    n = int(x * _PER_LN2)
    if n > _HALVES_MAX:
        return 0.0
    r = x - n * LN2
    total = 1.0
    for k in range(12, 0, -1):
        total = 1.0 - total * r / k
    return float(total * _HALVES[n])


@njit_leaf
def quantile_place(low: int, high: int, part: int | np.int64) -> int:
    """Between two neighbouring entries of a quantile table, `part` of 256 of the way."""
    return int(low + ((high - low) * part >> 8))
