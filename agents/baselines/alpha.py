"""Policies that trade one feature by a table: what an optimal programme says, or a plain threshold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from lobgym.agents.baselines.arrays import Array, Ops, rounded
from lobgym.agents.baselines.rule import Column, ObservationRule
from lobgym.agents.errors import PolicyError
from lobgym.sim.desk_spec import DeskSpec

__all__ = ["FOLLOW", "TARGETS", "SignalTable"]

TARGETS: Final = (-1.0, 0.0, 1.0)  # of a desk that such a policy can act at
FOLLOW: Final = ((-1, -1, -1), (0, 0, 0), (1, 1, 1))  # the table of the threshold rule: hold what the signal says


class SignalTable(ObservationRule):
    """Position by (signal, position), each -1, 0 or 1, the signal read from `imbalance_1`.

    Args:
        spec: a target desk with the targets -1, 0 and 1, whose layout has `imbalance_1` and `inventory`.
        table: table[signal + 1][position + 1] is the position to hold.
        threshold: the signal is the imbalance's sign where it is larger than this, else 0.
    """

    def __init__(self, spec: DeskSpec, table: Sequence[Sequence[int]], threshold: float, name: str) -> None:
        wanted = ("imbalance_1", "inventory")
        if spec.kind != "target" or spec.targets != TARGETS or not set(wanted) <= set(spec.layout.names):
            raise PolicyError(
                f"{name} needs a target desk with the targets {TARGETS} and the columns {wanted}; it has "
                f"{spec.targets} and {spec.layout.names}"
            )
        self._table = np.array(table, np.int64)
        if self._table.shape != (3, 3) or np.abs(self._table).max() > 1 or not 0.0 <= threshold < 1.0:
            raise PolicyError(
                f"{name}: expected 3 x 3 positions from -1 to 1 and a threshold in [0, 1), got {table}, {threshold}"
            )
        super().__init__(spec)
        self.name = name
        self._threshold = threshold
        self._imbalance, self._inventory = Column(spec, "imbalance_1"), Column(spec, "inventory")
        self._position = rounded(-1, 1)

    def codes(self, rows: Array, ops: Ops) -> Array:
        """See `ObservationRule.codes`."""
        imbalance = self._imbalance.raw(rows)
        position = ops.steps(self._inventory.raw(rows), self._position)
        long, short = ops.over(position, 0.5), ops.over(-position, 0.5)
        down, quiet, up = (
            ops.pick(short, low + 0.0 * position, ops.pick(long, high + 0.0 * position, middle + 0.0 * position))
            for low, middle, high in (self._table.astype(np.float64) + 1.0).tolist()
        )
        over, under = ops.over(imbalance, self._threshold), ops.over(-imbalance, self._threshold)
        return ops.pick(over, up, ops.pick(under, down, quiet))
