"""`DeskSpec`: everything that turns a policy's code into orders, as one frozen, hashed value.

A policy is served with the spec that it was trained with; its digest is what a bundle pins.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final

import msgspec
import numpy as np

from lobgym.sim.actions import (
    CODE_ASK_OFFSET,
    CODE_BID_OFFSET,
    CODE_PAUSE,
    CODE_SKEW,
    EXECUTION,
    GRID,
    GRID_BINS,
    KINDS,
    MAKER,
    NO_QUOTE,
    OFFSETS,
    PAUSED,
    SKEW_ZERO,
    TARGET,
    ActionSpec,
)
from lobgym.sim.errors import ParamsError
from lobgym.sim.market import Market
from lobgym.sim.money import MONEY_MAX, mark_value
from lobgym.sim.observation import DEFAULT_COLUMNS, GRID_COLUMNS, ObservationLayout
from lobgym.sim.pace import PACES
from lobgym.sim.params import SimParams, default_params
from lobgym.sim.quoter import SUBMITS_MAX, QuoterValues
from lobgym.sim.risk import RiskLimits
from lobgym.sim.view import best_ask, best_bid, cursor_at

__all__ = ["OFFSET_MULTIPLES", "SPACING_MULTIPLES", "DeskSpec", "price_unit_ticks"]

SPACING_MULTIPLES: Final = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192)
OFFSET_MULTIPLES: Final = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96)
_BEHIND_MULTIPLES: Final = (5, 1)
_LEAN_MULTIPLE: Final = 5  # half a basis point a code, at the position limit
_INTERVAL_NS_MAX: Final = 3_600_000_000_000
_LOTS_MAX: Final = 1 << 40
_TICKS_MAX: Final = 1 << 40
_LEAN_TICKS_MAX: Final = 1 << 18  # times a position and a code it stays within 64 bits
_PACE_MIN_NS: Final = 1_000_000

# Defaults of `for_market`, in units that fit any instrument.
_ORDER_NOTIONAL: Final = 1_000  # quote units of one order
_POSITION_ORDERS: Final = 30  # position limit in orders: a full ladder of 5 levels of 5 orders, and some room
_SWEEP_UNITS: Final = 20  # an IOC may walk 2 bps
_BAND_UNITS: Final = 5_000  # no order further than 5% from the mid
_SPREAD_UNITS: Final = 500  # no new risk in a spread above 50 bps


def price_unit_ticks(mid_ticks: int) -> int:
    """A tenth of a basis point of the price in ticks, at least one: the step in which distances are chosen."""
    return max(1, mid_ticks // 100_000)


@dataclass(frozen=True)
class DeskSpec:
    """A desk: cadence, sizes, distances, what is observed, what is permitted, the venue.

    Attributes:
        kind: "grid", "target", "maker" or "execution".
        interval_ns: time between two decisions, nanoseconds; with another pace than "interval" the longest.
        position_lots_max: the position that the policy's scale ends at, in lots; at most the risk limit.
        order_lots: one order's quantity at size code 0, in lots (grid, maker).
        spacing_ticks: distance of levels by spacing code, 15 of them, in ticks (grid).
        targets: target positions as fractions of position_lots_max in [-1, 1] (target).
        sweep_ticks: how far beyond the opposite best an IOC may walk, in ticks (target, execution).
        offset_ticks: distance of a quote from the centre by offset code, 14 of them, in ticks (maker).
        lean_ticks: what one skew code moves the centre by at the position limit, in ticks (maker).
        behind_ticks: how far behind its own best an order waits at aggressiveness 0 and 1, in ticks (execution).
        pace: what ends a step: "interval", "fill" or "book" (`lobgym.sim.pace`); an execution desk, whose slices are
            for an interval, has the first.
        pace_min_ns: the shortest step of another pace, nanoseconds.
        layout: observation columns.
        risk: hard limits.
        params: the simulated venue.

    Raises:
        ParamsError: a value outside its range, or two that contradict each other.
    """

    kind: str
    interval_ns: int
    position_lots_max: int
    order_lots: int
    spacing_ticks: tuple[int, ...]
    targets: tuple[float, ...]
    sweep_ticks: int
    offset_ticks: tuple[int, ...]
    lean_ticks: int
    behind_ticks: tuple[int, ...]
    pace: str
    pace_min_ns: int
    layout: ObservationLayout
    risk: RiskLimits
    params: SimParams

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ParamsError(f"desk kind must be one of {', '.join(KINDS)}, got {self.kind!r}")
        _within("interval_ns", self.interval_ns, 1, _INTERVAL_NS_MAX)
        _within("position_lots_max", self.position_lots_max, 1, _LOTS_MAX)
        _within("order_lots", self.order_lots, 1, _LOTS_MAX)
        _within("sweep_ticks", self.sweep_ticks, 0, _TICKS_MAX)
        _within("lean_ticks", self.lean_ticks, 0, _LEAN_TICKS_MAX)
        for name, entries, low in (
            ("spacing_ticks", GRID_BINS[0], 1),
            ("offset_ticks", OFFSETS, 0),
            ("behind_ticks", len(_BEHIND_MULTIPLES), 0),
        ):
            table = getattr(self, name)
            if not isinstance(table, tuple) or len(table) != entries:
                raise ParamsError(f"{name} must be a tuple of {entries} entries, got {table!r}")
            for ticks in table:
                _within(name, ticks, low, _TICKS_MAX)
        self._check_pace()
        if not all(isinstance(x, float) and -1.0 <= x <= 1.0 for x in self.targets):
            raise ParamsError(f"targets must be floats from -1 to 1, got {self.targets}")
        if not self.risk.short and min(self.targets, default=0.0) < 0.0:
            raise ParamsError(f"targets below 0 need a desk that may be short (risk.short), got {self.targets}")
        if self.position_lots_max > self.risk.position_lots_max:
            raise ParamsError(
                f"position_lots_max {self.position_lots_max} exceeds the risk limit {self.risk.position_lots_max}; "
                "lower it, or raise risk.position_lots_max"
            )
        if self.risk.open_orders_max > self.params.max_orders:
            raise ParamsError(
                f"risk.open_orders_max {self.risk.open_orders_max} exceeds params.max_orders {self.params.max_orders}"
            )
        _ = self.action  # its own rules hold for the targets

    def _check_pace(self) -> None:
        if self.pace not in PACES:
            raise ParamsError(f"pace must be one of {', '.join(PACES)}, got {self.pace!r}")
        _within("pace_min_ns", self.pace_min_ns, 1, _INTERVAL_NS_MAX)
        if self.pace == PACES[0]:
            return
        if self.pace_min_ns > self.interval_ns:
            raise ParamsError(
                f"pace_min_ns {self.pace_min_ns} exceeds interval_ns {self.interval_ns}: the shortest step must not be "
                "longer than the longest"
            )
        if self.kind == EXECUTION:
            raise ParamsError(
                f"an execution desk works slices of an interval: its pace must be 'interval', got {self.pace!r}"
            )

    @property
    def action(self) -> ActionSpec:
        """What the policy may say."""
        return ActionSpec.of(self.kind, len(self.targets))

    @property
    def idle_codes(self) -> tuple[int, ...]:
        """The codes that ask for nothing: orders are withdrawn, and of the targets the one nearest to flat is taken."""
        codes = [0] * self.action.size
        if self.kind == GRID:
            codes[CODE_SKEW], codes[CODE_PAUSE] = SKEW_ZERO, PAUSED
        elif self.kind == MAKER:
            codes[CODE_BID_OFFSET] = codes[CODE_ASK_OFFSET] = NO_QUOTE
        elif self.kind == TARGET:
            codes[0] = min(range(len(self.targets)), key=lambda index: abs(self.targets[index]))
        return tuple(codes)

    @property
    def target_lots(self) -> tuple[int, ...]:
        """The targets in lots, rounded towards zero as the decimals that they are written as."""
        return tuple(int(Decimal(repr(x)) * self.position_lots_max) for x in self.targets)

    @property
    def intents_max(self) -> int:
        """Most intents of one plan: every slot cancelled, every level submitted."""
        return self.params.max_orders + SUBMITS_MAX

    @property
    def quoter_values(self) -> QuoterValues:
        """The spec as the quoter's kernels take it."""
        return QuoterValues(
            KINDS.index(self.kind),
            self.position_lots_max,
            self.order_lots,
            self.sweep_ticks,
            np.array(self.spacing_ticks, np.int64),
            np.array(self.target_lots, np.int64),
            self.position_lots_max if self.risk.short else 0,
            np.array(self.offset_ticks, np.int64),
            self.lean_ticks,
            np.array(self.behind_ticks, np.int64),
            self.interval_ns,
        )

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON of every field."""
        return hashlib.sha256(msgspec.json.encode(self.to_json(), order="sorted")).hexdigest()

    def replace(self, **changes: Any) -> DeskSpec:
        """A copy with some fields changed, validated again."""
        _refuse_unknown(changes)
        return replace(self, **changes)

    def to_json(self) -> dict[str, Any]:
        """The fields as plain data."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return plain | {
            "spacing_ticks": list(self.spacing_ticks),
            "offset_ticks": list(self.offset_ticks),
            "behind_ticks": list(self.behind_ticks),
            "targets": list(self.targets),
            "layout": self.layout.to_json(),
            "risk": self.risk.to_json(),
            "params": self.params.to_json(),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> DeskSpec:
        """The inverse of `to_json`.

        Raises:
            ParamsError: a missing or unknown field; LayoutError: columns that have changed their meaning since.
        """
        names = set(cls.__dataclass_fields__)
        if set(data) != names:
            wrong = sorted(names ^ set(data))
            raise ParamsError(f"a desk spec needs exactly the fields {sorted(names)}; missing or unknown: {wrong}")
        return cls(
            **data
            | {
                "spacing_ticks": tuple(data["spacing_ticks"]),
                "offset_ticks": tuple(data["offset_ticks"]),
                "behind_ticks": tuple(data["behind_ticks"]),
                "targets": tuple(float(x) for x in data["targets"]),
                "layout": ObservationLayout.from_json(data["layout"]),
                "risk": RiskLimits.from_json(data["risk"]),
                "params": SimParams.from_json(data["params"]),
            }
        )

    @classmethod
    def for_market(cls, market: Market, kind: str, **overrides: Any) -> DeskSpec:
        """Defaults that fit the market's instrument and its first price, with some fields overridden.

        An override of `position_lots_max` also widens the default risk limits to fit. Sizes come from the first
        two-sided mid only, so they do not depend on what the tape holds later. The venue's parameters are those that
        the tape's scenario brings along, if it does (`lobgym.sim.params.default_params`). On a spot market the desk is
        never short: targets run from 0 to 1, and `risk.short` is off.
        """
        _refuse_unknown(overrides)
        local = market.local_view[0]
        cursor = cursor_at(local, market.start_ns)
        mid2 = int(best_bid(local, cursor) + best_ask(local, cursor))
        unit = price_unit_ticks(mid2 // 2)
        order_lots = overrides.get("order_lots", default_order_lots(market, mid2))
        position = overrides.get("position_lots_max", _POSITION_ORDERS * order_lots)
        params = overrides["params"] if "params" in overrides else default_params(market.tape)
        # A default value must not decide what a spec permits: the notional limit is four times the position's value.
        worth = abs(int(mark_value(market.economics(), position, mid2)))
        short = market.instrument.kind != "spot"
        defaults: dict[str, Any] = {
            "interval_ns": 500_000_000,
            "position_lots_max": position,
            "order_lots": order_lots,
            "spacing_ticks": tuple(unit * multiple for multiple in SPACING_MULTIPLES),
            "targets": (-1.0, -0.5, 0.0, 0.5, 1.0) if short else (0.0, 0.25, 0.5, 0.75, 1.0),
            "sweep_ticks": _SWEEP_UNITS * unit,
            "offset_ticks": tuple(unit * multiple for multiple in OFFSET_MULTIPLES),
            "lean_ticks": min(_LEAN_MULTIPLE * unit, _LEAN_TICKS_MAX),
            "behind_ticks": tuple(unit * multiple for multiple in _BEHIND_MULTIPLES),
            "pace": PACES[0],
            "pace_min_ns": _PACE_MIN_NS,
            "layout": ObservationLayout(DEFAULT_COLUMNS.get(kind, GRID_COLUMNS)),
            "params": params,
            "risk": RiskLimits(
                position_lots_max=position,
                order_lots_max=2 * position,
                notional_max=min(4 * worth + 1, MONEY_MAX // 2),
                price_band_ticks_max=_BAND_UNITS * unit,
                spread_ticks_max=_SPREAD_UNITS * unit,
                open_orders_max=min(48, params.max_orders),
                short=short,
            ),
        }
        return cls(kind=kind, **(defaults | overrides))


def default_order_lots(market: Market, mid2_ticks: int) -> int:
    """Lots worth about _ORDER_NOTIONAL quote units, at least one."""
    made = market.instrument
    if made.is_inverse:
        worth = made.contract_size * made.lot_size
    else:
        worth = made.tick_size * made.lot_size * made.contract_size * mid2_ticks / 2
    return max(1, int(_ORDER_NOTIONAL / worth))


def _refuse_unknown(changes: dict[str, Any]) -> None:
    unknown = sorted(set(changes) - set(DeskSpec.__dataclass_fields__))
    if unknown:
        raise ParamsError(f"unknown desk field {unknown[0]!r}; known: {sorted(DeskSpec.__dataclass_fields__)}")


def _within(name: str, value: Any, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ParamsError(f"{name} must be an integer from {low} to {high}, got {value!r}")
