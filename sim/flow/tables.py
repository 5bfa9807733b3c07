"""From a flow's parameters to the tables that its kernel reads. Plain arithmetic: the same bits on every machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.flow.draws import QUANTILES
from lobgym.sim.flow.record import (
    ACCEPT_BITS,
    ALIAS_BITS,
    BUCKETS_MAX,
    CELL_CANCEL,
    CELL_JUMP,
    CELL_TRIM,
    CELLS,
    QUEUE_BUCKETS,
    START_ORDERS,
)

__all__ = ["alias_table", "bucket_width", "mean_of", "spread_quantiles", "standing_law", "thinning"]

Table = NDArray[np.float64]
_QUEUE_OF: Final = (0, 2, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 5, 5, 5, 5, 6)  # bucket of n mean orders


def bucket_width(b: int) -> int:
    """Ticks of a distance bucket: 1, 1, 2, 4, 8, ..."""
    return max(1, (1 << b) >> 1)


def spread_quantiles(values: Sequence[float]) -> Table:
    """float64[QUANTILES + 1]: quantiles at equal steps, of which `values` are some, straight lines between."""
    steps = len(values) - 1
    out = np.zeros(QUANTILES + 1)
    for k in range(QUANTILES + 1):
        place = k * steps / QUANTILES
        low = min(int(place), steps - 1)
        out[k] = values[low] + (place - low) * (values[low + 1] - values[low])
    return out


def mean_of(quantiles: Table) -> float:
    """Mean of the distribution with these quantiles."""
    total = 0.0
    for low, high in zip(quantiles[:-1].tolist(), quantiles[1:].tolist(), strict=True):
        total += (low + high) / 2.0
    return total / (len(quantiles) - 1)


def alias_table(rates: Sequence[float]) -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
    """Walker's alias table of CELLS rates: entry k is kept with chance cut[k] / 2**20, else to[k] is taken."""
    total = sum(rates)
    share = [rate * CELLS / total for rate in rates]
    cut, to = np.zeros(CELLS, np.uint32), np.arange(CELLS, dtype=np.uint8)
    small = [k for k in range(CELLS) if share[k] < 1.0]
    large = [k for k in range(CELLS) if share[k] >= 1.0]
    while small and large:
        k, donor = small.pop(), large[-1]
        cut[k], to[k] = int(share[k] * (1 << ALIAS_BITS) + 0.5), donor
        share[donor] -= 1.0 - share[k]
        if share[donor] < 1.0:
            small.append(large.pop())
    for k in small + large:
        cut[k] = 1 << ALIAS_BITS
    return cut, to


def thinning(
    limit: Table, cancel: Table, by_volatility: Sequence[float], by_liquidity: Sequence[float], near: int,
    jump_per_s: float, trim_per_s: float,
) -> tuple[NDArray[np.uint32], list[float]]:  # fmt: skip
    """Chances of acceptance, uint32[3, 3, 2, BUCKETS_MAX, QUEUE_BUCKETS] of 2**22, and the rate of each cell.

    Args:
        limit, cancel: float64[B, QUEUE_BUCKETS], a tick, side and second.
        by_volatility, by_liquidity: factors of the limit rates in each regime; the former up to bucket `near` only.
    """
    accept = np.zeros((3, 3, 2, BUCKETS_MAX, QUEUE_BUCKETS), np.uint32)
    rates = [0.0] * CELLS
    for b in range(len(limit)):
        factors = [[(by_volatility[v] if b <= near else 1.0) * by_liquidity[q] for q in range(3)] for v in range(3)]
        most = (float(limit[b].max()) * max(max(row) for row in factors), float(cancel[b].max()))
        for kind, table in enumerate((limit, cancel)):
            rates[b + kind * CELL_CANCEL] = 2.0 * bucket_width(b) * most[kind]
            for v in range(3):
                for q in range(3):
                    factor = factors[v][q] if kind == 0 else 1.0
                    for k in range(QUEUE_BUCKETS):
                        share = float(table[b, k]) * factor / most[kind] if most[kind] > 0.0 else 0.0
                        accept[v, q, kind, b, k] = int(share * (1 << ACCEPT_BITS) + 0.5)
    rates[CELL_JUMP] = jump_per_s
    rates[CELL_TRIM] = trim_per_s
    return accept, rates


def standing_law(limit: Table, cancel: Table) -> NDArray[Any]:
    """uint32[BUCKETS_MAX, START_ORDERS], cumulative chances of 2**32: orders of a queue left to itself.

    A birth-death chain of mean orders: p(n + 1) / p(n) = limit rate at n over cancel rate at n + 1.
    """
    out = np.full((BUCKETS_MAX, START_ORDERS), 0xFFFFFFFF, np.uint32)
    for b in range(len(limit)):
        weight = [1.0]
        for n in range(START_ORDERS - 1):
            leaves = float(cancel[b, _QUEUE_OF[n + 1]])
            weight.append(weight[-1] * float(limit[b, _QUEUE_OF[n]]) / leaves if leaves > 0.0 else 0.0)
        total, reached = sum(weight), 0.0
        for n in range(START_ORDERS):
            reached += weight[n] / total
            out[b, n] = min(0xFFFFFFFF, int(reached * (1 << 32)))
    return out
