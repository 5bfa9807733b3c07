"""Queue position as hftbacktest counts it: float64 in base units, for the two compatibility profiles only.

A front is the quantity thought to stand before an order; it may become negative, and then the next print at the
order's price fills it, however small. Each expression keeps the engine's order of operations, because its fills depend
on the last bit; powers and logarithms are the C library's, as its are. The `conservative` profile has queues of its
own (`lobgym.sim.queue`), in integers.

Formulas: hftbacktest 2.4.4, read in its source and compared by `tests/oracle`.
"""

from __future__ import annotations

import math

from lobgym.sim.jit import njit_inline, njit_lean
from lobgym.sim.queue import LOG, OPTIMISTIC, POWER, POWER2, POWER3, RISK_AVERSE

__all__ = ["base_units", "front_after_depth", "lots_past", "probability_behind"]


@njit_inline
def base_units(lots: int, numerator: float, denominator: float) -> float:
    """Base units of lots, with lot_size = numerator / denominator in lowest terms: the decimal's nearest float64."""
    return float(lots) * numerator / denominator


@njit_inline
def _lesser(a: float, b: float) -> float:
    """The smaller of two; a NaN loses."""
    if math.isnan(a):
        return b
    return a if math.isnan(b) or a < b else b


@njit_inline
def _over(a: float, b: float) -> float:
    """A quotient as the processor has it, also where no compiler is."""
    if b != 0.0:
        return a / b
    return math.nan if a == 0.0 or math.isnan(a) else math.copysign(math.inf, a) * math.copysign(1.0, b)


@njit_inline
def _ln(x: float) -> float:
    """A logarithm likewise."""
    if x > 0.0:
        return math.log(x)
    return -math.inf if x == 0.0 else math.nan


@njit_lean
def probability_behind(model: int, power: float, front: float, back: float) -> float:
    """Probability that a cancellation was behind the order; NaN or infinite where the engine's is. `power`: 1, 2 or 3.

    The engine has no optimistic model; here it is the probability 0.
    """
    if model == OPTIMISTIC:
        return 0.0
    if model == POWER:
        behind = math.pow(back, power)
        return _over(behind, behind + math.pow(front, power))
    if model == POWER2:
        return _over(math.pow(back, power), math.pow(back + front, power))
    if model == POWER3:
        return 1.0 - math.pow(_over(front, front + back), power)
    if model == LOG:
        behind = _ln(1.0 + back)
        return _over(behind, behind + _ln(1.0 + front))
    return _over(_ln(1.0 + back), _ln(1.0 + (back + front)))


@njit_lean
def front_after_depth(model: int, power: float, front: float, printed: float, prev: float, new: float) -> float:
    """The front after the order's level went from `prev` to `new`, `printed` of which were prints since its last row.

    What was cancelled beyond the prints leaves the front by the expected share. A level that grew only bounds the
    front; so does one whose probability is NaN.
    """
    if model == RISK_AVERSE:
        return _lesser(front, new)
    change = prev - new
    change -= printed
    if change < 0.0:
        return _lesser(front, new)
    back = prev - front
    p = probability_behind(model, power, front, back)
    if math.isinf(p):
        p = 1.0
    return _lesser(front - (1.0 - p) * change + _lesser(back - p * change, 0.0), new)


@njit_inline
def lots_past(front: float, lot: float) -> int:
    """Whole lots of the prints so far that reached past the order; halves count up."""
    past = -front / lot
    whole = int(past)
    return whole + 1 if past - whole >= 0.5 else whole
