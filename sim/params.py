"""`SimParams`: everything about the simulated venue that is not on the tape."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from lobgym.sim.errors import ParamsError

__all__ = ["SimParams"]

_LATENCY_NS_MAX = 60_000_000_000
_FEE_PPB_MAX = 100_000_000  # 10%
_TABLE_MAX = 1 << 16


@dataclass(frozen=True)
class SimParams:
    """Frozen parameters of the `conservative` fill profile.

    Attributes:
        entry_ns: latency from a lane to the exchange, nanoseconds.
        response_ns: latency from the exchange back to the lane, nanoseconds.
        maker_fee_ppb, taker_fee_ppb: fee in parts per billion of the notional, a rebate if negative; None takes
            the instrument's.
        queue_power: n of the queue model's probability 1 - (front / displayed)^n that a cancellation happened
            behind an own order; 1, 2 or 3.
        print_implied_depth: whether prints and best quotes correct the depth between two depth messages
            (docs/market.md). Switching it off leaves stale quotes in the book that no real order could reach.
        max_orders, max_requests, max_responses, max_spent: sizes of a lane's bounded tables.

    Raises:
        ParamsError: a value outside its range.
    """

    entry_ns: int = 10_000_000
    response_ns: int = 10_000_000
    maker_fee_ppb: int | None = None
    taker_fee_ppb: int | None = None
    queue_power: int = 3
    print_implied_depth: bool = True
    max_orders: int = 64
    max_requests: int = 256
    max_responses: int = 512
    max_spent: int = 256

    def __post_init__(self) -> None:
        _within("entry_ns", self.entry_ns, 0, _LATENCY_NS_MAX)
        _within("response_ns", self.response_ns, 0, _LATENCY_NS_MAX)
        for name in ("maker_fee_ppb", "taker_fee_ppb"):
            fee = getattr(self, name)
            if fee is not None:
                _within(name, fee, -_FEE_PPB_MAX, _FEE_PPB_MAX)
        _within("queue_power", self.queue_power, 1, 3)
        for name in ("max_orders", "max_requests", "max_responses", "max_spent"):
            _within(name, getattr(self, name), 1, _TABLE_MAX)

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON of every field."""
        return hashlib.sha256(msgspec.json.encode(self.to_json(), order="sorted")).hexdigest()

    def replace(self, **changes: Any) -> SimParams:
        """A copy with some fields changed, validated again."""
        return replace(self, **changes)

    def to_json(self) -> dict[str, Any]:
        """The fields as plain data."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> SimParams:
        """The inverse of `to_json`; an unknown field is a ParamsError."""
        unknown = sorted(set(data) - set(cls.__dataclass_fields__))
        if unknown:
            raise ParamsError(f"unknown simulation parameter {unknown[0]!r}; known: {sorted(cls.__dataclass_fields__)}")
        return cls(**data)


def _within(name: str, value: int, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ParamsError(f"{name} must be an integer from {low} to {high}, got {value!r}")
