"""Grids written by hand, one for each of the specifications v1.0 to v1.2 (docs/smart-grid/).

| name          | specification | what decides                                                            |
|---------------|---------------|-------------------------------------------------------------------------|
| static-grid   | v1.0          | nothing                                                                 |
| regime-grid   | v1.0          | spread and past returns, from the best quotes: quiet, trend, stress     |
| natr-grid     | v1.1          | NATR: spacing; inventory: skew, size                                    |
| adaptive-grid | v1.2          | NATR: spacing and size; inventory: skew, size, levels; trend: skew;     |
|               |               | spread, age of the book: pause                                          |

None has a rule that closes everything: what is held is worked off by skewed quotes.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from lobgym.agents.baselines.arrays import Array, Ops, Steps, at_least, floored, nearest_of, rounded
from lobgym.agents.baselines.rule import Column, ObservationRule
from lobgym.agents.columns import require_kind
from lobgym.agents.errors import PolicyError
from lobgym.sim.actions import CODE_SIZE, GRID_BINS, PAUSED, SKEW_ZERO
from lobgym.sim.desk_spec import DeskSpec

__all__ = ["AdaptiveGrid", "NatrGrid", "RegimeGrid", "StaticGrid", "spacing_code"]

_BPS: Final = 1e-4
_SIZE_MAX: Final = GRID_BINS[CODE_SIZE]  # order sizes
_FLOOR_BPS: Final = 4.8  # the narrowest at which a round trip between the innermost quotes covers two fees of 2 bps


def spacing_code(spec: DeskSpec, mid_ticks: float, bps: float) -> int:
    """Code of the spacing nearest to `bps` at a price of `mid_ticks`."""
    return int(np.argmin(np.abs(np.asarray(spec.spacing_ticks, np.float64) - bps * _BPS * mid_ticks)))


class StaticGrid(ObservationRule):
    """A grid of constant spacing and size around the mid, whatever the market does (v1.0's ladder).

    Args:
        spacing: code of the spacing, i.e. row of `DeskSpec.spacing_ticks`; by default 4.8 bps, the narrowest at which
            a round trip between the innermost quotes covers two maker fees of 2 bps.
        levels: orders a side, 1 to 4.
        size: code of the size: (size + 1) times the desk's order size.
    """

    name = "static-grid"

    def __init__(self, spec: DeskSpec, spacing: int = 10, levels: int = 2, size: int = 0) -> None:
        super().__init__(spec)
        require_kind(spec, "grid", self.name)
        self._row = np.array([spacing, levels - 1, SKEW_ZERO, size, 0], np.int32)
        spec.action.encode(self._row[None, :])

    def codes(self, rows: Array, ops: Ops) -> Array:
        """See `ObservationRule.codes`."""
        return self.constant(rows, ops, self._row.tolist())


class RegimeGrid(ObservationRule):
    """Specification v1.0: three regimes read off the best quotes alone, each with a ladder of its own.

    | regime | when                                         | ladder                                                 |
    |--------|----------------------------------------------|--------------------------------------------------------|
    | stress | spread >= `stress_bps`                       | paused                                                 |
    | trend  | else, the return of 30 s is >= `trend_bps`   | twice the spacing, its centre moved a quarter spacing  |
    |        | either way                                   | in the direction of the return                         |
    | quiet  | else                                         | `spacing_bps`, two levels, not skewed                  |

    Args:
        mid_ticks: price level at which bps are turned into ticks.
    """

    name = "regime-grid"

    def __init__(
        self,
        spec: DeskSpec,
        mid_ticks: float,
        spacing_bps: float = _FLOOR_BPS,
        trend_bps: float = 5.0,
        stress_bps: float = 4.0,
    ) -> None:
        super().__init__(spec)
        require_kind(spec, "grid", self.name)
        self._spread = Column(spec, "spread")
        self._return = Column(spec, "return_30s")
        self._near = float(spacing_code(spec, mid_ticks, spacing_bps))
        self._far = float(spacing_code(spec, mid_ticks, 2.0 * spacing_bps))
        self._trend, self._stress = at_least(trend_bps), at_least(stress_bps)

    def codes(self, rows: Array, ops: Ops) -> Array:
        """See `ObservationRule.codes`."""
        moved = self._return.signed(rows, ops)
        up, down = ops.over(moved, self._trend), ops.over(-moved, self._trend)
        stress = ops.over(self._spread.size(rows, ops), self._stress)
        spacing = self._near + (up + down) * (self._far - self._near)
        zero = 0.0 * stress
        return ops.join([spacing, zero + 1.0, SKEW_ZERO + up - down, zero, PAUSED * stress])


class NatrGrid(ObservationRule):
    """Specification v1.1: a grid that breathes with volatility and leans against its inventory.

    Spacing is `width` times the normalised average true range; the centre moves against the inventory by up to a whole
    spacing; from half the limit on it quotes one level of the smallest size, below that two of twice that size.

    Args:
        mid_ticks: price level at which NATR (bps) is turned into ticks; within a session it moves too little to matter.
        width: spacing in units of NATR.
    """

    name = "natr-grid"

    def __init__(self, spec: DeskSpec, mid_ticks: float, width: float = 4.0) -> None:
        super().__init__(spec)
        require_kind(spec, "grid", self.name)
        self._natr = Column(spec, "natr_14")
        self._inventory = Column(spec, "inventory")
        self._spacing = nearest_of(spec.spacing_ticks)
        self._ticks_per_bps = mid_ticks * _BPS * width
        self._skew = rounded(-SKEW_ZERO, SKEW_ZERO)
        self._size = floored(1)
        self._levels = Steps([0.5], [0.0, 1.0])

    def codes(self, rows: Array, ops: Ops) -> Array:
        """See `ObservationRule.codes`."""
        wanted_ticks = self._natr.size(rows, ops) * self._ticks_per_bps
        inventory = ops.minimum(ops.maximum(self._inventory.raw(rows), -1.0), 1.0)
        room = 1.0 - ops.absolute(inventory)
        return ops.join([
            ops.steps(wanted_ticks, self._spacing),
            ops.steps(room, self._levels),
            SKEW_ZERO - ops.steps(SKEW_ZERO * inventory, self._skew),
            ops.steps(1.999 * room, self._size),
            0.0 * room,
        ])  # fmt: skip


class AdaptiveGrid(ObservationRule):
    """Specification v1.2: the adaptive grid with dynamic sizing.

    With n the NATR of 14 bars in bps, i the inventory as a share of the limit, room = 1 - |i| and r the return of the
    last 30 s in bps:

        spacing = the nearest to max(floor_bps, width * n)
        size    = floor(room * min(5, max(1, risk_bps / n))) orders, at least one: a ladder risks about the same
        levels  = 1 + floor(2.999 * room)
        skew    = rint(-4 i + clip(r / (trend_natrs * n), -1, 1)) quarters of the spacing, from -4 to 4
        pause   where the spread is at least `spread_stop_bps`, or the book older than `age_stop_s`

    Args:
        mid_ticks: price level at which bps are turned into ticks.
        width: spacing in units of NATR.
        floor_bps: the narrowest spacing.
        risk_bps: NATR at which one order is quoted per level; at half of it two.
        trend_natrs: how many NATR a return must have to move the centre a quarter spacing with it.
        spread_stop_bps, age_stop_s: where it pauses. Its orders are withdrawn; its position stays.
    """

    name = "adaptive-grid"

    def __init__(
        self,
        spec: DeskSpec,
        mid_ticks: float,
        width: float = 4.0,
        floor_bps: float = _FLOOR_BPS,
        risk_bps: float = 3.0,
        trend_natrs: float = 8.0,
        spread_stop_bps: float = 8.0,
        age_stop_s: float = 5.0,
    ) -> None:
        super().__init__(spec)
        require_kind(spec, "grid", self.name)
        if not min(width, floor_bps, risk_bps, trend_natrs, spread_stop_bps, age_stop_s) > 0.0:
            raise PolicyError(f"{self.name}: every parameter must be positive")
        self._natr, self._inventory = Column(spec, "natr_14"), Column(spec, "inventory")
        self._return, self._spread = Column(spec, "return_30s"), Column(spec, "spread")
        self._age = Column(spec, "book_age")
        self._ticks_per_bps = mid_ticks * _BPS
        self._width, self._floor, self._risk, self._trend = width, floor_bps, risk_bps, trend_natrs
        self._spread_stop, self._age_stop = at_least(spread_stop_bps), at_least(age_stop_s)
        self._spacing = nearest_of(spec.spacing_ticks)
        self._skew = rounded(-SKEW_ZERO, SKEW_ZERO)
        self._levels = floored(2)
        self._size = floored(_SIZE_MAX, 1)

    def codes(self, rows: Array, ops: Ops) -> Array:
        """See `ObservationRule.codes`."""
        natr = ops.maximum(self._natr.size(rows, ops), 1e-3)
        inventory = ops.minimum(ops.maximum(self._inventory.raw(rows), -1.0), 1.0)
        room = 1.0 - ops.absolute(inventory)
        # A constant column: torch would divide a number by a column as a product with the column's reciprocal.
        risk = ops.constant(rows, [self._risk])
        orders = ops.minimum(ops.maximum(risk / natr, 1.0), float(_SIZE_MAX))
        trend = ops.minimum(ops.maximum(self._return.signed(rows, ops) / (self._trend * natr), -1.0), 1.0)
        stop = ops.maximum(
            ops.over(self._spread.size(rows, ops), self._spread_stop),
            ops.over(self._age.size(rows, ops), self._age_stop),
        )
        return ops.join([
            ops.steps(ops.maximum(self._width * natr, self._floor) * self._ticks_per_bps, self._spacing),
            ops.steps(2.999 * room, self._levels),
            SKEW_ZERO + ops.steps(trend - SKEW_ZERO * inventory, self._skew),
            ops.steps(room * orders, self._size) - 1.0,
            PAUSED * stop,
        ])  # fmt: skip
