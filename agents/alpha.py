"""Policies that trade one feature by a table: what an optimal programme says, or a plain threshold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lobgym.agents.errors import PolicyError
from lobgym.sim.desk_spec import DeskSpec

__all__ = ["FOLLOW", "TARGETS", "SignalTable"]

TARGETS: Final = (-1.0, 0.0, 1.0)  # of a desk that such a policy can act at
FOLLOW: Final = ((-1, -1, -1), (0, 0, 0), (1, 1, 1))  # the table of the threshold rule: hold what the signal says


class SignalTable:
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
        self.name = name
        self._spec = spec
        self._threshold = threshold
        self._columns = [spec.layout.names.index(column) for column in wanted]

    def reset(self, lanes: int, seed: int = 0) -> None:
        """Nothing to forget: the position is observed."""

    def act(self, observations: NDArray[np.float32]) -> NDArray[Any]:
        """See `lobgym.agents.policy.Policy.act`."""
        imbalance, inventory = (observations[:, column].astype(np.float64) for column in self._columns)
        signal = (imbalance > self._threshold).astype(np.int64) - (imbalance < -self._threshold)
        position = np.rint(inventory).astype(np.int64)
        codes = (self._table[signal + 1, position + 1] + 1)[:, None].astype(np.int32)
        return self._spec.action.encode(codes)
