"""The few operations that rules are written in, on numpy arrays and on torch tensors alike.

A rule that is a function of the observation is written once, over `Ops`: numpy runs it, torch traces it into an ONNX
graph (`lobgym.agents.onnx.mirrors`). Only what a runtime accepts in a graph is used: sums, products, clipping, casts
and one matrix product. Everything is float64 and each operation is rounded once, so both sides give the same bits.

Codes are small integers, so every code is a step function of a quantity: `Ops.steps`. The functions below make its
edges; they reproduce numpy's rounding, ties included.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["NUMPY", "Array", "Ops", "Steps", "at_least", "floored", "nearest_of", "rounded"]

Array: TypeAlias = Any  # float64 [N, 1] or [N, K], numpy's or torch's


class Steps:
    """A step function: values[j] where j edges lie strictly below x.

    Attributes:
        edges: float64[E], ascending. values: float64[E + 1], whole numbers or anything else.
    """

    def __init__(self, edges: Sequence[float] | NDArray[Any], values: Sequence[float] | NDArray[Any]) -> None:
        self.edges: NDArray[np.float64] = np.asarray(edges, np.float64)
        self.values: NDArray[np.float64] = np.asarray(values, np.float64)
        if len(self.values) != len(self.edges) + 1 or np.any(np.diff(self.edges) < 0.0):
            raise ValueError(f"expected ascending edges and one value more, got {self.edges} and {self.values}")


class Ops(Protocol):
    """What a rule may do with its columns."""

    def over(self, a: Array, b: Array) -> Array:
        """1.0 where a > b, else 0.0."""

    def pick(self, mask: Array, a: Array, b: Array) -> Array:
        """`a` where the mask is 1.0, `b` where it is 0.0; both finite."""

    def steps(self, x: Array, steps: Steps) -> Array:
        """The step function of x [N, 1]."""

    def maximum(self, a: Array, b: Array) -> Array:
        """The larger of two."""

    def minimum(self, a: Array, b: Array) -> Array:
        """The smaller of two."""

    def absolute(self, a: Array) -> Array:
        """Its absolute value."""

    def constant(self, like: Array, values: Sequence[float]) -> Array:
        """One row of values, repeated for each row of `like`."""

    def join(self, columns: Sequence[Array]) -> Array:
        """Columns side by side."""


class _NumpyOps:
    """`Ops` on numpy arrays."""

    def over(self, a: Array, b: Array) -> Array:
        return (a > b).astype(np.float64)

    def pick(self, mask: Array, a: Array, b: Array) -> Array:
        return np.where(mask > 0.5, a, b)

    def steps(self, x: Array, steps: Steps) -> Array:
        return steps.values[np.searchsorted(steps.edges, x, side="left")]

    def maximum(self, a: Array, b: Array) -> Array:
        return np.maximum(a, b)

    def minimum(self, a: Array, b: Array) -> Array:
        return np.minimum(a, b)

    def absolute(self, a: Array) -> Array:
        return np.abs(a)

    def constant(self, like: Array, values: Sequence[float]) -> Array:
        return np.tile(np.asarray(values, np.float64), (len(like), 1))

    def join(self, columns: Sequence[Array]) -> Array:
        return np.concatenate(columns, axis=1)


NUMPY: Final[Ops] = _NumpyOps()


# -- edges -------------------------------------------------------------------------------------------------------------


def at_least(edge: float) -> float:
    """The edge that x lies over where x >= `edge`: the largest number below it."""
    return float(np.nextafter(edge, -np.inf))


def floored(high: int, low: int = 0) -> Steps:
    """floor(x), not below `low` and not above `high`."""
    return Steps([at_least(float(k)) for k in range(low + 1, high + 1)], range(low, high + 1))


def rounded(low: int, high: int) -> Steps:
    """rint(x) between `low` and `high`: halves go to the even neighbour."""
    edges = [at_least(k - 0.5) if k % 2 == 0 else k - 0.5 for k in range(low + 1, high + 1)]
    return Steps(edges, range(low, high + 1))


def nearest_of(table: Sequence[float] | NDArray[Any]) -> Steps:
    """Index of the entry of a table that is nearest to x; of two equally near the one that is smaller in value."""
    entries = np.asarray(table, np.float64)
    order = np.argsort(entries, kind="stable")
    rising = entries[order]
    kept = np.concatenate([[True], np.diff(rising) > 0.0])  # of equal entries the first
    order, rising = order[kept], rising[kept]
    return Steps((rising[1:] + rising[:-1]) / 2.0, order.astype(np.float64))
