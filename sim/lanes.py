"""`Lanes`: the state of N independent traders in preallocated arrays, and the `World` record that leads to it.

Only `lobgym.sim.kernel` and what it calls write it. Copying the arrays is a snapshot.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.calls import entry_addresses
from lobgym.sim.instrument import Instrument
from lobgym.sim.latency import latency_model
from lobgym.sim.memory import address_of, aligned_zeros, copy_of
from lobgym.sim.money import economics_of
from lobgym.sim.params import PROFILES, SELF_TRADE_MODES, SimParams
from lobgym.sim.queue import QUEUE_MODELS
from lobgym.sim.records import LANE_DTYPE, LOG_DTYPE, ORDER_DTYPE, REQUEST_DTYPE, RESPONSE_DTYPE, SPENT_DTYPE
from lobgym.sim.tiers import margin_rows
from lobgym.sim.timeline import bind_timeline
from lobgym.sim.world import ENTRIES, WORLD_DTYPE

if TYPE_CHECKING:
    from lobgym.sim.market import Market

__all__ = ["Lanes", "bind_lanes", "bind_log", "lane_defaults", "make_world", "new_lanes", "taken_log"]

_NOTHING: Final = np.zeros(0, LOG_DTYPE)


class Lanes(NamedTuple):
    """Structured arrays; the record types are in `lobgym.sim.records`.

    The tables have a last column that nothing uses: their usual sizes are powers of two, and rows that far apart would
    all compete for the same few places of the processor's cache.
    """

    lane: NDArray[np.void]  # [N] LANE_DTYPE
    orders: NDArray[np.void]  # [N, max_orders + 1] ORDER_DTYPE
    requests: NDArray[np.void]  # [N, max_requests + 1] ring, REQUEST_DTYPE
    responses: NDArray[np.void]  # [N, max_responses + 1] ring, RESPONSE_DTYPE
    spent: NDArray[np.void]  # [N, max_spent + 1] SPENT_DTYPE
    log: NDArray[np.void]  # [F] LOG_DTYPE, shared by all lanes


def new_lanes(count: int, params: SimParams, log_rows: int) -> Lanes:
    """Zeroed state for `count` lanes with an event log of `log_rows` rows."""
    return Lanes(
        aligned_zeros((count,), LANE_DTYPE),
        aligned_zeros((count, params.max_orders + 1), ORDER_DTYPE),
        aligned_zeros((count, params.max_requests + 1), REQUEST_DTYPE),
        aligned_zeros((count, params.max_responses + 1), RESPONSE_DTYPE),
        aligned_zeros((count, params.max_spent + 1), SPENT_DTYPE),
        np.zeros(log_rows, LOG_DTYPE),
    )


def make_world(
    market: Market, params: SimParams, lanes: Lanes, defaults: NDArray[np.void], log_level: int, full_scan: bool = False
) -> tuple[NDArray[Any], tuple[Any, ...]]:
    """Bind a compiled market, parameters and state.

    Returns:
        WORLD_DTYPE[1], and everything that must live as long as it does.
    """
    made = market.instrument
    world, kept = bind_lanes(made, params, lanes, defaults, log_level)
    margin = bool(world["margin"][0])
    checked = margin and bool(world["margin_tier_count"][0] > 0)
    stamped, calendar = bind_timeline(market.timeline, made.kind != "spot", checked)
    values = {
        "exch": address_of(market.exch_view),
        "local": address_of(market.local_view),
        "full_scan": int(full_scan),
        "queue_start": address_of(market.queues.start),
        "queue_entries": address_of(market.queues.entries),
        "stamped": address_of(stamped),
        **calendar,
        "gated": int(params.rate_limit > 0 or margin or calendar["status_count"] > 0),
    }
    for name, value in values.items():
        world[name] = value
    return world, (market, stamped, *kept)


def lane_defaults(count: int, instrument: Instrument, params: SimParams) -> NDArray[np.void]:
    """LANE_DTYPE[count]: what lanes have after a reset: their parameters, and 0 everywhere else."""
    defaults = np.zeros(count, LANE_DTYPE)
    maker, taker = params.maker_fee_ppb, params.taker_fee_ppb
    for name in ("entry_ns", "response_ns", "feed_delay_ns", "feed_jitter_ns", "queue_power"):
        defaults[name] = getattr(params, name)
    defaults["maker_fee_ppb"] = instrument.maker_fee_ppb if maker is None else maker
    defaults["taker_fee_ppb"] = instrument.taker_fee_ppb if taker is None else taker
    defaults["queue_model"] = QUEUE_MODELS[params.queue]
    defaults["capital"] = params.capital or 0
    return defaults


def bind_lanes(
    instrument: Instrument, params: SimParams, lanes: Lanes, defaults: NDArray[np.void], log_level: int,
    entries: Iterable[str] = tuple(ENTRIES),
) -> tuple[NDArray[Any], tuple[Any, ...]]:  # fmt: skip
    """A world of lanes that trade an instrument by some rules, without a market yet; only `entries` can be called.

    Returns:
        WORLD_DTYPE[1], and everything that must live as long as it does.
    """
    econ = economics_of(instrument)
    model, entry, response = latency_model(params.latency)
    fee_tiers = _fee_table(instrument, params)
    margin_tiers = instrument.margin_table() if params.margin_tiers is None else margin_rows(params.margin_tiers)
    fee = params.liquidation_fee_ppb
    values: dict[str, Any] = {
        **{name: address_of(array) for name, array in zip(Lanes._fields, lanes, strict=True)},
        "defaults": address_of(defaults),
        "lanes": len(lanes.lane),
        "max_orders": params.max_orders,
        "max_requests": params.max_requests,
        "max_responses": params.max_responses,
        "max_spent": params.max_spent,
        **{f"{name}_width": getattr(lanes, name).shape[1] for name in ("orders", "requests", "responses", "spent")},
        "log_rows": len(lanes.log),
        "profile": PROFILES[params.profile],
        "log_level": log_level,
        "self_trade": SELF_TRADE_MODES[params.self_trade],
        "rate_limit": params.rate_limit,
        "rate_window_ns": params.rate_window_ns,
        "market_band_ppm": params.market_band_ppm,
        "submit_extra_ns": params.submit_extra_ns,
        "cancel_extra_ns": params.cancel_extra_ns,
        "modify_extra_ns": params.modify_extra_ns,
        "latency": model,
        "entry_table": address_of(entry),
        "entry_rows": entry.shape[1],
        "response_table": address_of(response),
        "response_rows": response.shape[1],
        "fee_tiers": address_of(fee_tiers),
        "fee_tier_count": len(fee_tiers),
        "prior_turnover": params.prior_turnover,
        "margin": int(params.capital is not None and instrument.kind != "spot"),
        "margin_tiers": address_of(margin_tiers),
        "margin_tier_count": len(margin_tiers),
        "liquidation_fee_ppb": instrument.liquidation_fee if fee is None else fee,
        **econ._asdict(),
        "lot_units": float(instrument.lot_size),
        "lot_numerator": float(Fraction(instrument.lot_size).numerator),
        "lot_denominator": float(Fraction(instrument.lot_size).denominator),
    }
    world = np.zeros(1, WORLD_DTYPE)
    for name, value in values.items():
        world[name] = value
    for name, address in entry_addresses(PROFILES[params.profile] != 0, entries).items():
        world[f"fn_{name}"] = address
    return world, (lanes, defaults, entry, response, fee_tiers, margin_tiers)


def bind_log(world: NDArray[Any], lanes: Lanes, log_level: int, log_rows: int) -> Lanes:
    """Give a world (WORLD_DTYPE[1]) an empty event log; returns the lanes with it, which must live as long as it."""
    changed = lanes._replace(log=np.zeros(log_rows, LOG_DTYPE))
    for name, value in {
        "log": address_of(changed.log), "log_level": log_level, "log_rows": log_rows, "log_count": 0
    }.items():  # fmt: skip
        world[name] = value
    return changed


def taken_log(world: NDArray[np.void], log: NDArray[np.void]) -> NDArray[np.void]:
    """LOG_DTYPE[k]: a copy of what the event log of a world holds, which is empty afterwards."""
    count = int(world["log_count"][0])
    if count == 0:  # as mostly, where somebody asks after every step
        return _NOTHING
    world["log_count"] = 0
    return copy_of(log[:count])


def _fee_table(instrument: Instrument, params: SimParams) -> NDArray[np.int64]:
    """int64[K, 3]; K = 0 where a lane's two fees hold throughout."""
    if params.fee_tiers is None and params.maker_fee_ppb is None and params.taker_fee_ppb is None:
        return instrument.fee_table() if instrument.fee_tiers else np.zeros((0, 3), np.int64)
    return np.array(params.fee_tiers or (), np.int64).reshape(-1, 3)
