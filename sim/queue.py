"""Queue position of a resting order: how much displayed quantity stands before it.

Fronts are integers in 2^-20 lots. The only floating-point steps are multiplications, divisions and additions in a
fixed order, which IEEE 754 rounds alike on every processor.
"""

from __future__ import annotations

import math
from typing import Final

from lobgym.sim.jit import njit_inline

__all__ = ["FRONT_BITS", "LOTS_MAX", "after_depth", "after_print", "available"]

FRONT_BITS: Final = 20
LOTS_MAX: Final = 1 << 42  # a tape's quantities stay below it, so that a front fits 64 bits


@njit_inline
def available(front: int, volume: int) -> int:
    """Whole lots of a print of `volume` lots that reach past `front`."""
    past = (volume << FRONT_BITS) - front
    return past >> FRONT_BITS if past > 0 else 0


@njit_inline
def after_print(front: int, volume: int) -> int:
    """The front after `volume` lots were hit at the order's own price."""
    return max(0, front - (volume << FRONT_BITS))


@njit_inline
def after_depth(front: int, prev: int, new: int, printed: int, power: int) -> int:
    """The front after the order's level went from `prev` to `new` lots, `printed` of which were prints.

    What disappeared without a print was cancelled, before or behind the order: behind with probability
    1 - (front / prev)^power (the form is hftbacktest's PowerProbQueueModel3; sources disagree on the power, so it is a
    parameter). The expected loss is taken off the front, rounded against the order.
    A front greater than `prev` is one that a reset of the book left standing: only `new` bounds it.
    """
    limit = new << FRONT_BITS
    cancelled = prev - new - printed
    total = prev << FRONT_BITS
    if cancelled > 0 and 0 < front <= total:
        share = float(front) / float(total)
        before = share
        for _ in range(power - 1):
            before *= share
        front = max(0, math.ceil(float(front) - before * float(cancelled << FRONT_BITS)))
    return min(front, limit)
