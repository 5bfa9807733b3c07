"""`ArenaReward`: from a step's exact money to the float that an agent learns from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from lobgym.sim.errors import ParamsError

__all__ = ["ArenaReward"]


@dataclass(frozen=True)
class ArenaReward:
    """reward = scale * (pnl * P - shortfall * S - inventory_penalty * |position| / position limit), a step at a time.

    P is the change of equity in quote units, fees included and the position marked at the exchange's mid; S the change
    of a parent order's implementation shortfall (Perold 1988): what was paid beyond the mid at its arrival, what is
    unfilled marked at the mid. Agents without a parent order have S = 0.

    Attributes:
        pnl, shortfall: weights of P and S.
        inventory_penalty: quote units a step at the position limit.
        scale: of the sum.

    Raises:
        ParamsError: a term that is not finite, or a negative penalty.
    """

    pnl: float = 1.0
    shortfall: float = 0.0
    inventory_penalty: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                raise ParamsError(f"reward term {name} must be a finite number, got {value!r}")
        if self.inventory_penalty < 0:
            raise ParamsError(f"inventory_penalty must not be negative, got {self.inventory_penalty}")

    def to_json(self) -> dict[str, Any]:
        """The terms as plain data."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}
