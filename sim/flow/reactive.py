"""`ReactiveFlow`: the parameters of the queue-reactive background flow, as plain data; the kernel is beside it.

    Exchange(SYNTH, flow=ReactiveFlow(), seed=1, record="levels")

Limit orders and cancels after Huang, Lehalle and Rosenbaum, "Simulating and analyzing order book data: the
queue-reactive model" (2015), around an efficient price that jumps; takers after Hawkes (1971). docs/flow.md has the
formulas. Rates are per second, sizes in lots, distances in ticks.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.errors import ParamsError
from lobgym.sim.exchange.flows import FOREVER, register_flow
from lobgym.sim.flow.kernel import act
from lobgym.sim.flow.record import BUCKETS_MAX, PRICE_BITS, QUEUE_BUCKETS, REACTIVE_DTYPE
from lobgym.sim.flow.tables import alias_table, mean_of, spread_quantiles, standing_law, thinning
from lobgym.sim.rng import stream_key

__all__ = ["ReactiveFlow"]

KIND: Final = register_flow(act)
FORMAT: Final = "reactive/1"
_STREAM: Final = 31
_NS: Final = 1e9
_FIX: Final = 1 << PRICE_BITS

Rates = tuple[tuple[float, ...], ...]

# The built-in market, in round numbers of the kind that a liquid BTC perpetual shows, by distance bucket: limit orders
# a second and tick, orders that a queue there has on average, and their mean size in lots.
_LIMIT: Final = (15.0, 1.2, 0.3, 0.2, 0.2, 0.25, 0.3, 0.4, 0.35, 0.22, 0.07, 0.02, 0.002)
_ORDERS: Final = (40.0, 1.5, 0.6, 0.3, 0.3, 0.4, 0.6, 1.4, 1.5, 1.7, 1.3, 0.5, 0.1)
_LOTS: Final = (400.0, 400.0, 250.0, 250.0, 250.0, 250.0, 250.0, 300.0, 350.0, 400.0, 450.0, 600.0, 1000.0)
# How rates depend on the queue, in mean orders: empty, below 1, 1-2, 2-4, 4-8, 8-16, 16-32, more.
_ARRIVE_BEST: Final = (1.5, 1.5, 1.2, 1.0, 1.0, 1.0, 0.8, 0.6)
_ARRIVE: Final = (1.0, 1.2, 1.1, 1.0, 0.8, 0.6, 0.4, 0.3)
_LEAVE: Final = (0.0, 0.7, 1.3, 2.4, 5.0, 10.0, 20.0, 40.0)  # each order for itself
_LEAVE_FAR: Final = (0.0, 0.8, 1.4, 2.0, 2.8, 3.6, 4.4, 5.0)
_STEPS: Final = 64
_FAR: Final = 5  # distance bucket from which on


def _tail(roots: int) -> tuple[float, ...]:
    """Quantiles of a heavy-tailed positive size: u^2 / (1 - u)^(1/2^roots), cut off a quarter step before 1."""
    nodes = [k / _STEPS for k in range(_STEPS)] + [1.0 - 0.25 / _STEPS]
    made = []
    for u in nodes:
        rest = 1.0 - u
        for _ in range(roots):
            rest = math.sqrt(rest)
        made.append(u * u / rest)
    return tuple(made)


def _limit() -> Rates:
    shapes = (_ARRIVE_BEST,) + (_ARRIVE,) * (len(_LIMIT) - 1)
    return tuple(tuple(rate * one for one in shape) for rate, shape in zip(_LIMIT, shapes, strict=True))


def _cancel() -> Rates:
    shapes = (_LEAVE,) * _FAR + (_LEAVE_FAR,) * (len(_LIMIT) - _FAR)
    each = [rate / orders for rate, orders in zip(_LIMIT, _ORDERS, strict=True)]
    return tuple(tuple(rate * one for one in shape) for rate, shape in zip(each, shapes, strict=True))


_LIMIT_PER_S: Final = _limit()
_CANCEL_PER_S: Final = _cancel()
_TAIL: Final = _tail(1)
_JUMPS: Final = tuple(50.0 * one for one in _tail(2))


@dataclass(frozen=True)
class ReactiveFlow:
    """A background of limit orders, cancels and takers around an efficient price.

    Distance buckets count ticks behind the best place that the efficient price allows: 0, 1, 2-3, 4-7, 8-15, ...
    Queue buckets count mean orders: none, below 1, 1-2, 2-4, 4-8, 8-16, 16-32, more.

    Attributes:
        limit_per_s: [B][8] limit orders a second at each tick of a side, by distance and queue bucket.
        cancel_per_s: [B][8] cancels a second of each queue, likewise.
        limit_lots: [B] mean size of a limit order.
        best_shape, size_shape: quantiles at equal steps of limit orders' sizes at distance 0 and elsewhere, up to a
            factor.
        jump_per_s: jumps of the efficient price.
        jump_ticks: quantiles at equal steps of their sizes.
        jump_scale: (calm, usual, wild): factor of jumps' sizes by volatility regime.
        near_factor: of the limit rates up to distance bucket `near_buckets`, by volatility regime: makers withdraw.
        liquidity_factor: (thin, usual, rich): of all limit rates.
        drift_ticks_per_s: of the efficient price in a trend; the regimes are down, none, up.
        volatility_hold_s, liquidity_hold_s, trend_hold_s: mean stay in a regime; 0 leaves it as it begins, usual.
        taker_per_s: noise takers, buyers and sellers together, that no earlier one brought about.
        taker_factor: of that, by volatility regime.
        excite_self, excite_cross: mean number of takers that one brings about on its own and the other side.
        excite_decay_per_s: how fast that passes.
        taker_lots, taker_shape: mean size of a noise taker, and quantiles at equal steps up to a factor.
        noise_reach_ticks: how far behind the best price it goes.
        informed_lots: mean size of a taker who knows the efficient price; same shape.
        informed_floor_ms, informed_mean_ms: its delay, at least and on average beyond that.
        informed_edge_ticks: by how much a quote must be wrong for it to be worthwhile.
        stale_cancel_per_s: cancels a second while quotes stand on the wrong side of the efficient price.
        repair_per_s: orders a second while the best place that the efficient price allows is free.
        impact_ticks_per_lot: by how much a taker's lot moves the efficient price.
        trim_per_s: cancels a second beyond the last distance bucket.
    """

    limit_per_s: Rates = _LIMIT_PER_S
    cancel_per_s: Rates = _CANCEL_PER_S
    limit_lots: tuple[float, ...] = _LOTS
    best_shape: tuple[float, ...] = _TAIL
    size_shape: tuple[float, ...] = _TAIL
    jump_per_s: float = 0.5
    jump_ticks: tuple[float, ...] = _JUMPS
    jump_scale: tuple[float, float, float] = (0.6, 1.0, 1.5)
    near_factor: tuple[float, float, float] = (1.2, 1.0, 0.7)
    near_buckets: int = 3
    liquidity_factor: tuple[float, float, float] = (0.8, 1.0, 1.2)
    drift_ticks_per_s: float = 1.0
    volatility_hold_s: float = 20.0
    liquidity_hold_s: float = 30.0
    trend_hold_s: float = 40.0
    taker_per_s: float = 4.0
    taker_factor: tuple[float, float, float] = (0.7, 1.0, 1.5)
    excite_self: float = 0.5
    excite_cross: float = 0.1
    excite_decay_per_s: float = 4.0
    taker_lots: float = 300.0
    taker_shape: tuple[float, ...] = _TAIL
    noise_reach_ticks: int = 3
    informed_lots: float = 1500.0
    informed_floor_ms: float = 1.0
    informed_mean_ms: float = 3.0
    informed_edge_ticks: int = 3
    stale_cancel_per_s: float = 4000.0
    repair_per_s: float = 1500.0
    impact_ticks_per_lot: float = 0.0002
    trim_per_s: float = 50.0

    def __post_init__(self) -> None:
        for field in fields(self):
            _check(field.name, getattr(self, field.name))
        count = len(self.limit_per_s)
        if not 1 <= count <= BUCKETS_MAX or len(self.cancel_per_s) != count or len(self.limit_lots) != count:
            raise ParamsError(
                f"limit_per_s, cancel_per_s and limit_lots need one entry for each of 1 to {BUCKETS_MAX} distance "
                f"buckets, the same number each; got {count}, {len(self.cancel_per_s)}, {len(self.limit_lots)}"
            )
        for row in self.limit_per_s + self.cancel_per_s:
            if len(row) != QUEUE_BUCKETS:
                raise ParamsError(f"a row of rates needs {QUEUE_BUCKETS} queue buckets, got {len(row)}")
        if self.excite_self + self.excite_cross >= 1.0:
            raise ParamsError(
                f"takers who bring about {self.excite_self + self.excite_cross} others each grow without bound; "
                "excite_self + excite_cross must stay below 1"
            )

    @property
    def kind(self) -> int:
        """Number of the kernel."""
        return KIND

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the parameters, as hex."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def to_json(self) -> str:
        """The parameters as a JSON object; `from_json` gives an equal flow."""
        return json.dumps({"format": FORMAT, "parameters": asdict(self)}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> ReactiveFlow:
        """A flow from `to_json` or a calibration's file. Raises ParamsError that says what is wrong with the text."""
        try:
            data = json.loads(text)
        except ValueError as error:
            raise ParamsError(f"not a flow: {error}") from None
        if not isinstance(data, dict) or data.get("format") != FORMAT or not isinstance(data.get("parameters"), dict):
            raise ParamsError(f'not a flow: expected an object with "format": "{FORMAT}" and "parameters"')
        known = {field.name for field in fields(cls)}
        given = data["parameters"]
        if set(given) != known:
            raise ParamsError(
                f"a flow's parameters: missing {sorted(known - set(given))}, unknown {sorted(set(given) - known)}"
            )
        return cls(**{name: _frozen(value) for name, value in given.items()})

    def candidates_per_s(self) -> float:
        """Candidates a second of limit orders, cancels and jumps, of which most are refused: what a second costs."""
        return _NS / float(self.state(0, 0, 1, 1 << 16, 1 << 15)["mean_ns"][0])

    def state(self, seed: int, start_ns: int, base_tick: int, width: int, start_tick: int) -> NDArray[Any]:
        """REACTIVE_DTYPE[1]: a fresh state; price `start_tick`, in a book of `width` prices from `base_tick` on."""
        made = np.zeros(1, REACTIVE_DTYPE)
        s = made[0]
        self._put_tables(s)
        with np.errstate(over="ignore"):
            s["key"] = stream_key(seed, _STREAM)
        s["v"] = ((start_tick - base_tick) << PRICE_BITS) + _FIX // 2
        s["low"], s["high"] = (width // 8) << PRICE_BITS, (width - width // 8) << PRICE_BITS
        s["volatility"] = s["liquidity"] = s["trend"] = 1
        for name in ("next_ns", "taker_ns", "stale_ns", "informed_ns", "repair_ns", "regime_ns"):
            s[name] = FOREVER
        s["levels"] = len(self.limit_per_s)
        s["reach"] = 1 << (len(self.limit_per_s) - 1)
        s["noise_reach"], s["edge"] = self.noise_reach_ticks, self.informed_edge_ticks
        s["informed_floor"], s["informed_mean"] = _whole(self.informed_floor_ms * 1e6), self.informed_mean_ms * 1e6
        s["informed_lots"], s["taker_lots"] = _whole(self.informed_lots * 256), _whole(self.taker_lots * 256)
        s["impact"] = _whole(self.impact_ticks_per_lot * _FIX * 256)
        s["stale_mean"], s["repair_mean"] = _NS / self.stale_cancel_per_s, _NS / self.repair_per_s
        s["taker_rate"] = self.taker_per_s / 2.0 / _NS
        decay = self.excite_decay_per_s / _NS
        s["decay"] = decay
        s["excite_self"], s["excite_cross"] = self.excite_self * decay, self.excite_cross * decay
        return made

    def _put_tables(self, s: Any) -> None:
        limit, cancel = np.array(self.limit_per_s), np.array(self.cancel_per_s)
        accept, rates = thinning(
            limit, cancel, self.near_factor, self.liquidity_factor, self.near_buckets, self.jump_per_s, self.trim_per_s
        )
        s["accept"] = accept
        s["alias_cut"], s["alias_to"] = alias_table(rates)
        s["mean_ns"] = _NS / sum(rates)
        s["start"] = standing_law(limit, cancel)
        for b, lots in enumerate(self.limit_lots):
            s["units"][b], s["size_mean"][b] = 1.0 / lots, _whole(lots * 256)
        s["sizes"] = [_of_mean(self.best_shape), _of_mean(self.size_shape)]
        s["takers"] = _of_mean(self.taker_shape)
        s["jumps"] = [_whole(float(one) * _FIX) for one in spread_quantiles(self.jump_ticks)]
        s["scale"] = [_whole(one * 256) for one in self.jump_scale]
        s["taker_scale"] = self.taker_factor
        drift = _whole(self.drift_ticks_per_s * _FIX)
        s["drift"] = (-drift, 0, drift)
        s["hold"] = [one * _NS for one in (self.volatility_hold_s, self.liquidity_hold_s, self.trend_hold_s)]


def _of_mean(shape: tuple[float, ...]) -> list[int]:
    """A table of quantiles, in 2**-16 of its own mean."""
    table = spread_quantiles(shape)
    mean = mean_of(table)
    return [_whole(float(one) / mean * (1 << 16)) for one in table]


def _whole(value: float) -> int:
    return int(value + 0.5)


def _frozen(value: Any) -> Any:
    return tuple(_frozen(one) for one in value) if isinstance(value, list) else value


_REGIMES: Final = ("jump_scale", "near_factor", "liquidity_factor", "taker_factor")
_QUANTILES_OF: Final = ("best_shape", "size_shape", "jump_ticks", "taker_shape")
_POSITIVE: Final = (
    "taker_lots",
    "informed_lots",
    "stale_cancel_per_s",
    "repair_per_s",
    "jump_per_s",
    "excite_decay_per_s",
)


def _check(name: str, value: Any) -> None:
    if isinstance(value, tuple):
        if value and isinstance(value[0], tuple):
            for row in value:
                _check(name, row)
            return
        if not value or not all(isinstance(one, (int, float)) and math.isfinite(one) and one >= 0 for one in value):
            raise ParamsError(f"{name} must hold finite numbers from 0 on, got {value!r}")
        if name in _REGIMES and len(value) != 3:
            raise ParamsError(f"{name} needs one number for each of three regimes, got {value!r}")
        if name in _QUANTILES_OF and (len(value) < 2 or list(value) != sorted(value) or value[-1] <= 0):
            raise ParamsError(f"{name} must hold at least two quantiles, ascending, the last above 0; got {value!r}")
        return
    if not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0:
        raise ParamsError(f"{name} must be a finite number from 0 on, got {value!r}")
    if name in _POSITIVE and value <= 0:
        raise ParamsError(f"{name} must be above 0, got {value!r}")
