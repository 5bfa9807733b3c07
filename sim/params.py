"""`SimParams`: everything about the simulated venue that is not on the tape."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import msgspec

from lobgym.sim.errors import ParamsError
from lobgym.sim.latency import latency_from_json
from lobgym.sim.queue import LOTS_MAX, QUEUE_MODELS

if TYPE_CHECKING:
    from lobgym.sim.tape import Tape

__all__ = ["PROFILES", "SELF_TRADE_MODES", "SimParams", "default_params"]

PROFILES: Final = {"conservative": 0, "hftbacktest": 1, "hftbacktest-partial": 2}
SELF_TRADE_MODES: Final = {"none": 0, "expire_taker": 1, "expire_maker": 2, "expire_both": 3}

_LATENCY_NS_MAX: Final = 60_000_000_000
_JITTER_NS_MAX: Final = 1_000_000_000  # of a delay that is drawn each second
_FEE_PPB_MAX: Final = 100_000_000  # 10%
_TABLE_MAX: Final = 1 << 16
assert _TABLE_MAX * LOTS_MAX <= 1 << 58  # all that rests and a position (`book_trade`) together fit 64 bits
_MONEY_MAX: Final = 1 << 61
_PPM: Final = 1_000_000


@dataclass(frozen=True)
class SimParams:
    """Frozen parameters of the simulated venue and of the way to it.

    Attributes:
        profile: "conservative" (docs/market.md), or one of the compatibility profiles "hftbacktest" and
            "hftbacktest-partial" (docs/hftbacktest.md).
        entry_ns: latency from a lane to the exchange, nanoseconds.
        response_ns: latency from the exchange back to the lane, nanoseconds.
        latency: a model of what varies, added to both.
        submit_extra_ns, cancel_extra_ns, modify_extra_ns: added on the way there by type of request.
        feed_delay_ns: added to the tape's own delay of the feed.
        feed_jitter_ns: a further delay, drawn anew each second, from 0 to this.
        maker_fee_ppb, taker_fee_ppb: fee in parts per billion of the notional, a rebate if negative; None takes
            the instrument's.
        fee_tiers: (turnover from which it holds in money units, maker ppb, taker ppb), ascending; None has the two
            fees above hold throughout; where they are None too, the instrument's tiers, if it has any.
        prior_turnover: turnover before the run, money units; counts towards the tiers.
        queue: how much of what was cancelled at an own order's level stood before it (`lobgym.sim.queue`).
        queue_power: the exponent n of the power models; 1, 2 or 3.
        print_implied_depth: whether prints and best quotes correct the depth between two depth messages
            (docs/market.md). Switching it off leaves stale quotes in the book that no real order could reach.
        self_trade: what happens when an order would meet an own one: "none", "expire_taker", "expire_maker",
            "expire_both".
        rate_limit: submits and modifies that the venue takes in each `rate_window_ns`; 0 is no limit.
        market_band_ppm: how far from the opposite best a market order may walk, parts per million.
        capital: money units that the account starts with; needed for margin and liquidation, None has neither.
        margin_tiers: (position value from which it holds in money units, initial ppm, maintenance ppm), ascending
            from 0; None takes the instrument's.
        liquidation_fee_ppb: charged on top of the taker fee when the venue closes a position; None takes the
            instrument's.
        max_orders, max_requests, max_responses, max_spent: sizes of a lane's bounded tables.

    Raises:
        ParamsError: a value outside its range.
    """

    profile: str = "conservative"
    entry_ns: int = 10_000_000
    response_ns: int = 10_000_000
    latency: Any = None  # a LatencyTable, LatencyQuantiles, or None
    submit_extra_ns: int = 0
    cancel_extra_ns: int = 0
    modify_extra_ns: int = 0
    feed_delay_ns: int = 0
    feed_jitter_ns: int = 0
    maker_fee_ppb: int | None = None
    taker_fee_ppb: int | None = None
    fee_tiers: tuple[tuple[int, int, int], ...] | None = None
    prior_turnover: int = 0
    queue: str = "power3"
    queue_power: int = 3
    print_implied_depth: bool = True
    self_trade: str = "expire_maker"
    rate_limit: int = 0
    rate_window_ns: int = 10_000_000_000
    market_band_ppm: int = 50_000
    capital: int | None = None
    margin_tiers: tuple[tuple[int, int, int], ...] | None = None
    liquidation_fee_ppb: int | None = None
    max_orders: int = 64
    max_requests: int = 256
    max_responses: int = 512
    max_spent: int = 256

    def __post_init__(self) -> None:
        _one_of("profile", self.profile, PROFILES)
        _one_of("queue", self.queue, QUEUE_MODELS)
        if self.profile != "conservative" and self.queue == "l3_fifo":
            raise ParamsError(f"the profile {self.profile!r} knows no single orders, which queue 'l3_fifo' needs")
        if self.profile != "conservative" and (self.rate_limit or self.capital is not None):
            raise ParamsError(f"the profile {self.profile!r} knows no rate_limit and no capital")
        _one_of("self_trade", self.self_trade, SELF_TRADE_MODES)
        for name in ("entry_ns", "response_ns", "submit_extra_ns", "cancel_extra_ns", "modify_extra_ns"):
            _within(name, getattr(self, name), 0, _LATENCY_NS_MAX)
        _within("feed_delay_ns", self.feed_delay_ns, 0, _LATENCY_NS_MAX)
        _within("feed_jitter_ns", self.feed_jitter_ns, 0, _JITTER_NS_MAX)
        for name in ("maker_fee_ppb", "taker_fee_ppb"):
            fee = getattr(self, name)
            if fee is not None:
                _within(name, fee, -_FEE_PPB_MAX, _FEE_PPB_MAX)
        _within("prior_turnover", self.prior_turnover, 0, _MONEY_MAX)
        _within("queue_power", self.queue_power, 1, 3)
        _within("rate_limit", self.rate_limit, 0, 1 << 40)
        _within("rate_window_ns", self.rate_window_ns, 1, 86_400_000_000_000)
        _within("market_band_ppm", self.market_band_ppm, 0, _PPM)
        if self.capital is not None:
            _within("capital", self.capital, 0, _MONEY_MAX // 4)
        if self.liquidation_fee_ppb is not None:
            _within("liquidation_fee_ppb", self.liquidation_fee_ppb, 0, _FEE_PPB_MAX)
        for name in ("max_orders", "max_requests", "max_responses", "max_spent"):
            _within(name, getattr(self, name), 1, _TABLE_MAX)
        _fee_tiers(self.fee_tiers)
        _margin_tiers(self.margin_tiers)
        object.__setattr__(self, "latency", latency_from_json(self.latency))

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON of every field."""
        return hashlib.sha256(msgspec.json.encode(self.to_json(), order="sorted")).hexdigest()

    def replace(self, **changes: Any) -> SimParams:
        """A copy with some fields changed, validated again."""
        return replace(self, **changes)

    def to_json(self) -> dict[str, Any]:
        """The fields as plain data."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        for name in ("fee_tiers", "margin_tiers"):
            plain[name] = None if plain[name] is None else [list(tier) for tier in plain[name]]
        plain["latency"] = None if self.latency is None else self.latency.to_json()
        return plain

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> SimParams:
        """The inverse of `to_json`; an unknown field is a ParamsError."""
        unknown = sorted(set(data) - set(cls.__dataclass_fields__))
        if unknown:
            raise ParamsError(f"unknown simulation parameter {unknown[0]!r}; known: {sorted(cls.__dataclass_fields__)}")
        made = dict(data)
        for name in ("fee_tiers", "margin_tiers"):
            if made.get(name) is not None:
                made[name] = tuple(tuple(tier) for tier in made[name])
        made["latency"] = latency_from_json(made.get("latency"))
        return cls(**made)


def default_params(tape: Tape) -> SimParams:
    """The parameters for who gives none: those that the tape's scenario brings along, else `SimParams()`.

    A tape of a scenario has them in its provenance, also when it has been saved or cut. This is the only place that
    reads them; desks, and so environments, training, studies and the demo, come here (`DeskSpec.for_market`). A
    `Session` does not: there `params=None` is always `SimParams()`.
    """
    changed = tape.provenance.get("params", {})
    if not isinstance(changed, dict):
        raise ParamsError(f"the tape's provenance states params {changed!r}, expected an object")
    return SimParams.from_json(changed)


def _within(name: str, value: Any, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ParamsError(f"{name} must be an integer from {low} to {high}, got {value!r}")


def _one_of(name: str, value: Any, known: dict[str, int]) -> None:
    if value not in known:
        raise ParamsError(f"{name} must be one of {', '.join(known)}; got {value!r}")


def _fee_tiers(tiers: tuple[tuple[int, int, int], ...] | None) -> None:
    if tiers is None:
        return
    _ascending("fee_tiers", tiers)
    for _, maker, taker in tiers:
        _within("fee_tiers' maker ppb", maker, -_FEE_PPB_MAX, _FEE_PPB_MAX)
        _within("fee_tiers' taker ppb", taker, -_FEE_PPB_MAX, _FEE_PPB_MAX)


def _margin_tiers(tiers: tuple[tuple[int, int, int], ...] | None) -> None:
    if tiers is None:
        return
    _ascending("margin_tiers", tiers)
    for _, initial, maintenance in tiers:
        _within("margin_tiers' maintenance ppm", maintenance, 0, _PPM)
        _within("margin_tiers' initial ppm", initial, maintenance, _PPM)


def _ascending(name: str, tiers: Any) -> None:
    good = isinstance(tiers, tuple) and len(tiers) > 0 and all(isinstance(t, tuple) and len(t) == 3 for t in tiers)
    if not good or tiers[0][0] != 0 or any(a[0] >= b[0] for a, b in itertools.pairwise(tiers)):
        raise ParamsError(f"{name} must be triples that ascend from 0, got {tiers!r}")
    for from_value, _, _ in tiers:
        _within(f"{name}' threshold", from_value, 0, _MONEY_MAX)
