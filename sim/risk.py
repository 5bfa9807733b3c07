"""`RiskLimits` and the one pre-trade check: the same function in training and in service.

The check sees what the lane itself knows: its view of its position and orders, and the local book. It assumes that
every open order on the order's side still fills, including those whose cancellation is on its way, so a race that
is lost never breaks a limit. An order that only reduces the position (and would, together with all open orders of
its side, at most close it) passes every limit but those on its own size, its price and the number of orders: nothing
about the market or the limits may lock a position in.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from lobgym.sim.book import NO_ASK, NO_BID
from lobgym.sim.errors import ParamsError
from lobgym.sim.jit import njit_lean
from lobgym.sim.money import MONEY_MAX, Economics, cash_of, fits
from lobgym.sim.records import (
    BUY,
    NO_BOOK,
    OK,
    RISK_NOTIONAL,
    RISK_OPEN_ORDERS,
    RISK_ORDER_QTY,
    RISK_ORDER_RATE,
    RISK_POSITION,
    RISK_PRICE_BAND,
    RISK_SPREAD,
    RISK_STALE_BOOK,
    SELL,
)

__all__ = ["LimitValues", "RiskLimits", "check", "is_reducing"]

_LIMIT_MAX: Final = 1 << 60


class LimitValues(NamedTuple):
    """`RiskLimits` as the kernels take it."""

    position_lots_max: int
    order_lots_max: int
    notional_max: int
    price_band_ticks_max: int
    quote_age_ns_max: int
    spread_ticks_max: int
    open_orders_max: int
    orders_per_step_max: int
    short: int  # 1: the position may fall below zero


@dataclass(frozen=True)
class RiskLimits:
    """Hard limits on what a desk may send.

    Attributes:
        position_lots_max: largest |position|, should every open order of one side fill, in lots.
        order_lots_max: largest quantity of one order, in lots.
        notional_max: largest value of that worst position at the order's own price, in money units.
        price_band_ticks_max: largest distance of an order's price from the local mid, in ticks.
        quote_age_ns_max: oldest local book on which risk may be added, in nanoseconds.
        spread_ticks_max: widest local spread in which risk may be added, in ticks.
        open_orders_max: most orders on their way or resting at once.
        orders_per_step_max: most orders sent in one step.
        short: whether the position may fall below zero; a spot account cannot sell what it does not hold.

    Raises:
        ParamsError: a limit that is not an integer from 1 to 2**60 (notional_max: at most half of MONEY_MAX), or a
            `short` that is not a bool.
    """

    position_lots_max: int
    order_lots_max: int
    notional_max: int
    price_band_ticks_max: int
    quote_age_ns_max: int = 5_000_000_000
    spread_ticks_max: int = 10_000
    open_orders_max: int = 48
    orders_per_step_max: int = 16
    short: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.short, bool):
            raise ParamsError(f"risk limit short must be true or false, got {self.short!r}")
        for name in self.__dataclass_fields__:
            if name == "short":
                continue
            value = getattr(self, name)
            high = MONEY_MAX // 2 if name == "notional_max" else _LIMIT_MAX
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= high:
                raise ParamsError(f"risk limit {name} must be an integer from 1 to {high}, got {value!r}")

    @property
    def values(self) -> LimitValues:
        """The limits as the kernels take them."""
        return LimitValues(*(int(getattr(self, name)) for name in self.__dataclass_fields__))

    def replace(self, **changes: Any) -> RiskLimits:
        """A copy with some limits changed, validated again."""
        return replace(self, **changes)

    def to_json(self) -> dict[str, int]:
        """The limits as plain data."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> RiskLimits:
        """The inverse of `to_json`; a missing or unknown limit is a ParamsError."""
        names = set(cls.__dataclass_fields__)
        if set(data) != names:
            raise ParamsError(f"risk limits need exactly {sorted(names)}, got {sorted(data)}")
        return cls(**data)


@njit_lean
def is_reducing(side: int, qty: int, position: int, open_side_lots: int) -> bool:
    """Whether the order, and all open orders of its side with it, can at most close the position."""
    return side * position < 0 and qty + open_side_lots <= abs(position)


@njit_lean
def check(
    limits: LimitValues,
    econ: Economics,
    bid: int,
    ask: int,
    quote_age_ns: int,
    side: int,
    tick: int,
    qty: int,
    position: int,
    open_side_lots: int,
    open_orders: int,
    sent: int,
) -> int:
    """Verdict on one order: OK, or the first reason against it in the order of the lines below.

    Args:
        bid, ask: local bests in ticks, NO_BID and NO_ASK where a side is empty.
        quote_age_ns: time since the local book last changed.
        position: as the lane knows it, lots.
        open_side_lots: lots open on the order's side, cancellations on their way and this step's orders included.
        open_orders: orders that hold a slot, this step's included.
        sent: orders of this step so far.
    """
    if qty < 1 or qty > limits.order_lots_max:
        return RISK_ORDER_QTY
    quoted = bid != NO_BID and ask != NO_ASK and bid < ask
    if quoted and abs(2 * tick - bid - ask) > 2 * limits.price_band_ticks_max:
        return RISK_PRICE_BAND
    if open_orders >= limits.open_orders_max:
        return RISK_OPEN_ORDERS
    if is_reducing(side, qty, position, open_side_lots):
        return OK
    if not quoted:
        return NO_BOOK
    if quote_age_ns > limits.quote_age_ns_max:
        return RISK_STALE_BOOK
    if ask - bid > limits.spread_ticks_max:
        return RISK_SPREAD
    worst = (position if side == BUY else -position) + open_side_lots + qty
    if worst > limits.position_lots_max or (side == SELL and worst > 0 and not limits.short):
        return RISK_POSITION
    if worst > 0 and (not fits(econ, tick, worst) or abs(cash_of(econ, BUY, tick, worst)) > limits.notional_max):
        return RISK_NOTIONAL
    if sent >= limits.orders_per_step_max:
        return RISK_ORDER_RATE
    return OK
