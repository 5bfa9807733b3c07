"""Takers that act on what the book says: on its imbalance, or on a forecast that was fitted to the training part.

| name             | of the forecast f (bps), with the threshold c                                             |
|------------------|--------------------------------------------------------------------------------------------|
| imbalance-taker  | no forecast: in beyond one imbalance, out below another                                     |
| threshold        | f from one column; long where f > c, short where -f > c, else flat                          |
| threshold-band   | the same, but between -c and c it keeps what it holds                                       |
| linear           | f from every column of the layout that looks at the market, as threshold                    |
| linear-band      | the same forecast, as threshold-band                                                        |

The fits are in `lobgym.agents.baselines.fitting`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lobgym.agents.baselines.arrays import Array, Ops, nearest_of
from lobgym.agents.baselines.rule import Column, ObservationRule
from lobgym.agents.columns import require_kind
from lobgym.agents.errors import PolicyError
from lobgym.sim.desk_spec import DeskSpec

__all__ = ["Forecast", "ForecastRule", "ImbalanceTaker"]


@dataclass(frozen=True)
class Forecast:
    """f = intercept + sum of weights * observed columns, in bps of the mid over `horizon_ns`.

    Attributes:
        columns, weights: as they are observed, in [-1, 1].
        enter_bps: the threshold of the rule that goes flat in between; None where no threshold paid in training.
        hold_bps: that of the rule that holds in between, likewise.
        cost_bps: of one trade of the whole position, what the thresholds were chosen with.
        enter_pnl_bps, hold_pnl_bps: what the rules earned in training, for the whole position, all costs paid.
        samples: decisions of the training part. r2: share of the variance explained there.
    """

    columns: tuple[str, ...]
    weights: tuple[float, ...]
    intercept: float
    horizon_ns: int
    enter_bps: float | None
    hold_bps: float | None
    cost_bps: float
    enter_pnl_bps: float
    hold_pnl_bps: float
    samples: int
    r2: float

    def __post_init__(self) -> None:
        if not self.columns or len(self.columns) != len(self.weights):
            raise PolicyError(
                f"a forecast needs one weight for each column, got {len(self.weights)} and {self.columns}"
            )

    def to_json(self) -> dict[str, Any]:
        """The fields as plain data."""
        return asdict(self)


class _Taker(ObservationRule):
    """Codes of a target desk: the largest target, the smallest, the one nearest to flat, the one nearest to held."""

    def __init__(self, spec: DeskSpec, name: str) -> None:
        super().__init__(spec)
        self.name = name
        require_kind(spec, "target", name)
        self._held = Column(spec, "inventory")
        self._nearest = nearest_of(spec.targets)
        self._long = float(np.argmax(np.asarray(spec.targets)))
        self._short = float(np.argmin(np.asarray(spec.targets)))
        self._flat = float(spec.idle_codes[0])

    def _choose(self, up: Array, down: Array, otherwise: Array, ops: Ops) -> Array:
        """Long where up, short where down (never both), else `otherwise`."""
        zero = 0.0 * up
        return ops.pick(up, zero + self._long, ops.pick(down, zero + self._short, otherwise))


class ImbalanceTaker(_Taker):
    """Goes with the queue: in where the best quotes' imbalance is beyond `enter`, out where it falls below `leave`.

    Args:
        enter: |imbalance| of the best quotes from which it takes the whole position in its direction.
        leave: until which it keeps a position of that direction.
    """

    def __init__(self, spec: DeskSpec, enter: float = 0.6, leave: float = 0.1) -> None:
        super().__init__(spec, "imbalance-taker")
        if not 0.0 <= leave <= enter < 1.0:
            raise PolicyError(f"{self.name}: expected 0 <= leave <= enter < 1, got {leave}, {enter}")
        self._imbalance = Column(spec, "imbalance_1")
        self._enter, self._leave = enter, leave

    def codes(self, rows: Array, ops: Ops) -> Array:
        """See `ObservationRule.codes`."""
        imbalance, held = self._imbalance.raw(rows), self._held.raw(rows)
        long = ops.over(held, 0.0) * ops.over(imbalance, self._leave)
        short = ops.over(-held, 0.0) * ops.over(-imbalance, self._leave)
        keep = self._choose(long, short, 0.0 * held + self._flat, ops)
        return self._choose(ops.over(imbalance, self._enter), ops.over(-imbalance, self._enter), keep, ops)


class ForecastRule(_Taker):
    """Trades a forecast by a threshold; where no threshold paid in training it stays flat.

    Args:
        band: keep what is held between the thresholds, instead of going flat.
    """

    def __init__(self, spec: DeskSpec, forecast: Forecast, band: bool, name: str) -> None:
        super().__init__(spec, name)
        self._columns = [Column(spec, column) for column in forecast.columns]
        self._forecast = forecast
        self._band = band
        self._threshold = forecast.hold_bps if band else forecast.enter_bps

    def codes(self, rows: Array, ops: Ops) -> Array:
        """See `ObservationRule.codes`."""
        if self._threshold is None:
            return self.constant(rows, ops, [int(self._flat)])
        expected = self.expected_bps(rows)
        between = ops.steps(self._held.raw(rows), self._nearest) if self._band else 0.0 * expected + self._flat
        return self._choose(ops.over(expected, self._threshold), ops.over(-expected, self._threshold), between, ops)

    def expected_bps(self, rows: Array) -> Array:
        """The forecast, [N, 1]; added in the order of the columns, so that its bits depend on nothing else."""
        total = 0.0 * self._columns[0].raw(rows) + self._forecast.intercept
        for column, weight in zip(self._columns, self._forecast.weights, strict=True):
            total = total + weight * column.raw(rows)
        return total
