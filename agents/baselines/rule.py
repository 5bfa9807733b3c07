"""`ObservationRule`: a policy written by hand that is a function of the observation and of nothing else."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lobgym.agents.baselines.arrays import NUMPY, Array, Ops
from lobgym.agents.columns import column_of
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.observation import ObservationLayout

__all__ = ["Column", "ObservationRule"]

_CUT: Final = 0.999  # of an observation v / (scale + v): larger ones count as 999 scales


class Column:
    """One column of the layout, read in its own unit.

    Args:
        desk: or its layout.
        names: columns that will do; the first that the layout has is read.
    """

    def __init__(self, desk: DeskSpec | ObservationLayout, *names: str) -> None:
        self.index, self.scale = column_of(desk, *names)
        self.name = (desk.layout if isinstance(desk, DeskSpec) else desk).names[self.index]

    def raw(self, rows: Array) -> Array:
        """As observed, float64[N, 1] in [-1, 1]."""
        return rows[:, self.index : self.index + 1]

    def size(self, rows: Array, ops: Ops) -> Array:
        """The quantity v >= 0 behind v / (scale + v), in the column's unit, at most 999 scales."""
        scaled = ops.minimum(ops.maximum(self.raw(rows), 0.0), _CUT)
        return self.scale * scaled / (1.0 - scaled)

    def signed(self, rows: Array, ops: Ops) -> Array:
        """The quantity v of either sign behind v / (scale + |v|), in the column's unit."""
        scaled = ops.minimum(ops.maximum(self.raw(rows), -_CUT), _CUT)
        return self.scale * scaled / (1.0 - ops.absolute(scaled))


class ObservationRule(ABC):
    """A `Policy` without memory. Its arithmetic is the same for one row and for many, bit for bit."""

    name: str

    def __init__(self, spec: DeskSpec) -> None:
        self.spec = spec

    def reset(self, lanes: int, seed: int = 0) -> None:  # noqa: B027
        """Nothing to forget."""

    def act(self, observations: NDArray[np.float32]) -> NDArray[Any]:
        """See `lobgym.agents.policy.Policy.act`."""
        codes = self.codes(np.asarray(observations, np.float64), NUMPY)
        return self.spec.action.encode(codes.astype(np.int32))

    @abstractmethod
    def codes(self, rows: Array, ops: Ops) -> Array:
        """Observations float64[N, D] -> the desk's codes [N, A], whole numbers in float64."""

    def constant(self, rows: Array, ops: Ops, codes: Sequence[int]) -> Array:
        """The same codes in every row."""
        return ops.constant(rows, [float(code) for code in codes])
