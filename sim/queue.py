"""Queue position of a resting order: how much displayed quantity stands before it.

Fronts are integers in 2^-20 lots. The only floating-point steps are multiplications, divisions and additions in a
fixed order, which IEEE 754 rounds alike on every processor; logarithms come from a table made with exact decimals.
"""

from __future__ import annotations

import math
from decimal import Context, Decimal
from typing import Final

import numpy as np

from lobgym.sim.jit import njit_inner, njit_leaf

__all__ = [
    "FRONT_BITS",
    "L3_FIFO",
    "LOTS_MAX",
    "QUEUE_MODELS",
    "after_depth",
    "after_print",
    "available",
    "ln1p",
    "stood_before",
]

FRONT_BITS: Final = 20
LOTS_MAX: Final = 1 << 42  # a tape's quantities stay below it, so that a front fits 64 bits

# What a cancellation at the order's level was: behind it with a probability p.
RISK_AVERSE: Final = 0  # p = 1: nobody before it ever cancels. The pessimistic bound
OPTIMISTIC: Final = 1  # p = 0: everybody who cancels stood before it
POWER: Final = 2  # p = b^n / (b^n + f^n), b and f being what stands behind and before it
POWER2: Final = 3  # p = b^n / (b + f)^n
POWER3: Final = 4  # p = 1 - (f / (b + f))^n
LOG: Final = 5  # p = ln(1+b) / (ln(1+b) + ln(1+f)), b and f in base units
LOG2: Final = 6  # p = ln(1+b) / ln(1+b+f)
L3_FIFO: Final = 7  # nothing is guessed: the market was compiled with its single orders (`lobgym.sim.order_queues`)

QUEUE_MODELS: Final = {
    "risk_averse": RISK_AVERSE,
    "optimistic": OPTIMISTIC,
    "power": POWER,
    "power2": POWER2,
    "power3": POWER3,
    "log": LOG,
    "log2": LOG2,
    "l3_fifo": L3_FIFO,
}

# -- logarithms --------------------------------------------------------------------------------------------------------

_LN_STEPS: Final = 1024
_ONE_LOT: Final = float(1 << FRONT_BITS)
_EXACT: Final = Context(prec=40)
# ln(1 + k/1024), each the float64 nearest to the true value, on every machine.
_LN_TABLE: Final = np.array(
    [float(_EXACT.ln(1 + Decimal(k) / _LN_STEPS)) for k in range(_LN_STEPS + 1)], dtype=np.float64
)
_LN2: Final = float(_EXACT.ln(Decimal(2)))


@njit_inner
def ln1p(x: float) -> float:
    """ln(1 + x) for x >= 0, to about 1e-7: 1 + x is m * 2^e with m in [1, 2), and ln m is read off a table."""
    half, exponent = math.frexp(1.0 + x)
    place = (2.0 * half - 1.0) * _LN_STEPS
    k = int(place)
    low = _LN_TABLE[k]
    return float(exponent - 1) * _LN2 + (low + (place - k) * (_LN_TABLE[k + 1] - low))


# -- positions ---------------------------------------------------------------------------------------------------------


@njit_leaf
def available(front: int, volume: int) -> int:
    """Whole lots of a print of `volume` lots that reach past `front`."""
    past = (volume << FRONT_BITS) - front
    return past >> FRONT_BITS if past > 0 else 0


@njit_leaf
def after_print(front: int, volume: int) -> int:
    """The front after `volume` lots were hit at the order's own price."""
    return max(0, front - (volume << FRONT_BITS))


@njit_leaf
def _power(x: float, n: int) -> float:
    product = x
    for _ in range(n - 1):
        product *= x
    return product


@njit_inner
def stood_before(model: int, power: int, front: float, back: float, total: float, lot_units: float) -> float:
    """Share of what was cancelled that stood before the order, 1 - p; front, back and their sum in 2^-20 lots."""
    if model == POWER3:
        return _power(front / total, power)
    if model == RISK_AVERSE:
        return 0.0
    if model == OPTIMISTIC:
        return 1.0
    if model == POWER:
        before = _power(front / total, power)
        return before / (_power(back / total, power) + before)
    if model == POWER2:
        return 1.0 - _power(back / total, power)
    behind = ln1p(back / _ONE_LOT * lot_units)
    if model == LOG:
        before = ln1p(front / _ONE_LOT * lot_units)
        return before / (behind + before) if behind + before > 0.0 else 0.0
    whole = ln1p(total / _ONE_LOT * lot_units)
    return 1.0 - behind / whole if whole > 0.0 else 0.0


@njit_inner
def after_depth(front: int, prev: int, new: int, printed: int, model: int, power: int, lot_units: float) -> int:
    """The front after the order's level went from `prev` to `new` lots, `printed` of which were prints.

    What disappeared without a print was cancelled, before or behind the order (hftbacktest's probabilities have these
    forms). The expected loss is taken off the front, rounded against the order. A front greater than `prev` is one
    that a reset of the book left standing: only `new` bounds it.

    Args:
        front: 2^-20 lots, before.
        lot_units: what one lot is in the venue's units of quantity, for the logarithmic models.
    """
    limit = new << FRONT_BITS
    cancelled = prev - new - printed
    total = prev << FRONT_BITS
    if cancelled > 0 and 0 < front <= total:
        before = stood_before(model, power, float(front), float(total - front), float(total), lot_units)
        front = max(0, math.ceil(float(front) - before * float(cancelled << FRONT_BITS)))
    return min(front, limit)
