"""`RewardTerms`: from a step's exact change of equity to the float that a learner sees."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.errors import ParamsError

__all__ = ["RewardTerms"]


@dataclass(frozen=True)
class RewardTerms:
    """reward = scale * (pnl * P - inventory_penalty * |position| / position limit), a step at a time.

    P is the change of equity in quote units (inverse contracts: base units): fees included, the position marked at
    the local mid. The account is the exchange's, so a fill counts in the step in which it happens, not when the lane
    learns of it.

    Attributes:
        pnl: weight of P.
        inventory_penalty: quote units a step at the position limit.
        scale: of the sum.

    Raises:
        ParamsError: a term that is not finite, or a negative penalty.
    """

    pnl: float = 1.0
    inventory_penalty: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        for name in ("pnl", "inventory_penalty", "scale"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                raise ParamsError(f"reward term {name} must be a finite number, got {value!r}")
        if self.inventory_penalty < 0:
            raise ParamsError(f"inventory_penalty must not be negative, got {self.inventory_penalty}")

    def compute(
        self, pnl_units: NDArray[np.int64], position_lots: NDArray[np.int64], unit: float, position_lots_max: int
    ) -> NDArray[np.float64]:
        """float64[N]: the rewards of N lanes; `unit` is the worth of one money unit in quote units."""
        reward = self.pnl * (pnl_units * unit)
        if self.inventory_penalty:
            reward = reward - self.inventory_penalty * (np.abs(position_lots) / position_lots_max)
        return np.asarray(self.scale * reward, np.float64)

    def to_json(self) -> dict[str, Any]:
        """The terms as plain data."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}
