"""Parent orders of an execution environment: drawn for each episode, a function of (seed, episode).

    task={"side": "buy", "notional": (5_000, 20_000)}

`side` is "buy", "sell" or "random"; the size is given by `lots` or by `notional` (quote units at the tape's first mid;
inverse contracts: contract value), a number or a pair of the least and the greatest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lobgym.envs.arguments import first_mid2
from lobgym.envs.spans import draw_integers
from lobgym.sim.actions import EXECUTION
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.errors import ParamsError
from lobgym.sim.market import Market
from lobgym.sim.records import BUY, SELL
from lobgym.sim.task import TASK_LOTS_MAX

__all__ = ["SIDES", "TaskPlan"]

SIDES: Final = ("random", "buy", "sell")
_SIDE_STREAM: Final = 201
_LOTS_STREAM: Final = 202
_KEYS: Final = ("side", "lots", "notional")


@dataclass(frozen=True)
class TaskPlan:
    """Sides and sizes to draw from.

    Attributes:
        side: one of SIDES.
        lots_low, lots_high: the least and the greatest size, both included.
    """

    side: str
    lots_low: int
    lots_high: int

    @classmethod
    def of(cls, given: Mapping[str, Any] | None, spec: DeskSpec, market: Market) -> TaskPlan | None:
        """What an environment's `task=` means; None where the desk works no parent orders.

        By default either side, a quarter of the position limit to all of it; on a spot market only purchases.

        Raises:
            ParamsError: a task for another kind of desk, an unknown key or side, or a size outside 1 to the limit.
        """
        if spec.kind != EXECUTION:
            if given is not None:
                raise ParamsError(f"task= is for environments of kind 'execution', this one is of kind {spec.kind!r}")
            return None
        given = dict(given or {})
        unknown = sorted(set(given) - set(_KEYS))
        if unknown or ("lots" in given and "notional" in given):
            raise ParamsError(f"task takes side, and lots or notional; got {sorted(given)}")
        side = given.get("side", "random" if spec.risk.short else "buy")
        if side not in SIDES:
            raise ParamsError(f"task side must be one of {', '.join(SIDES)}, got {side!r}")
        if side != "buy" and not spec.risk.short:
            raise ParamsError("on a spot market nothing is held at first, and nothing can be sold: task side 'buy'")
        limit = min(spec.position_lots_max, TASK_LOTS_MAX)
        if "notional" in given:
            low, high = (_lots_worth(market, first_mid2(market), one) for one in _pair("notional", given["notional"]))
        else:
            low, high = _pair("lots", given.get("lots", (max(1, limit // 4), limit)))
        if not all(isinstance(x, (int, np.integer)) for x in (low, high)) or not 1 <= low <= high <= limit:
            raise ParamsError(
                f"a task's size must be 1 to {limit} lots, the position limit of this desk, got {low} to {high}: "
                "choose a smaller task, or raise spec={'position_lots_max': ...}"
            )
        return cls(side, int(low), int(high))

    def draw(
        self, seeds: NDArray[np.uint64], episodes: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """int64[N] sides (BUY, SELL) and int64[N] lots."""
        if self.side == "random":
            coins = draw_integers(_SIDE_STREAM, seeds, episodes, 0, 1)
            sides = np.where(coins == 1, BUY, SELL).astype(np.int64)
        else:
            sides = np.full(len(seeds), BUY if self.side == "buy" else SELL, np.int64)
        return sides, draw_integers(_LOTS_STREAM, seeds, episodes, self.lots_low, self.lots_high)


def _pair(name: str, given: Any) -> tuple[Any, Any]:
    pair = given if isinstance(given, (tuple, list)) else (given, given)
    if len(pair) != 2 or any(isinstance(x, bool) for x in pair):
        raise ParamsError(f"task {name} must be a number or a pair (low, high), got {given!r}")
    return pair[0], pair[1]


def _lots_worth(market: Market, mid2: int, notional: Any) -> int:
    made = market.instrument
    worth = made.contract_size * made.lot_size
    if not made.is_inverse:
        worth = worth * made.tick_size * mid2 / 2
    try:
        return int(Decimal(str(notional)) / worth)
    except (InvalidOperation, ValueError, OverflowError):
        raise ParamsError(f"task notional must be a number of quote units, got {notional!r}") from None
