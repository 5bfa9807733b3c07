"""From what an environment's caller gave to a compiled market, a desk's spec, and numbers that are checked."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, TypedDict

import numpy as np

from lobgym.envs.markets import TapeLike, market_for
from lobgym.envs.realism import FeesLike, LatencyLike, venue_changes, with_venue
from lobgym.envs.rewards import RewardLike
from lobgym.envs.spans import SplitLike, StartLike
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.errors import ParamsError
from lobgym.sim.market import Market
from lobgym.sim.mids import quoted_mid2
from lobgym.sim.money import mark_value
from lobgym.sim.observation import ObservationLayout
from lobgym.sim.params import SimParams, default_params
from lobgym.sim.tape import open_tape
from lobgym.sim.view import cursor_at

__all__ = ["CoreArguments", "capital_units", "check_horizon", "first_mid2", "market_and_spec", "resolve_spec"]

_HORIZON_MAX: Final = 1 << 40


class CoreArguments(TypedDict, total=False):
    """Keywords that every environment on a tape takes; `LobVectorEnv` tells what they mean."""

    params: SimParams | None
    spec: DeskSpec | Mapping[str, Any] | None
    observation: ObservationLayout | tuple[str, ...] | list[str] | str | None
    reward: RewardLike | None
    horizon: int | None
    split: SplitLike
    test_fraction: float
    embargo_ns: int
    start: StartLike
    capital: float | None
    latency: LatencyLike | None
    queue: str | None
    fees: FeesLike | None
    profile: str | None
    randomise: Mapping[str, Any] | None
    task: Mapping[str, Any] | None


def check_horizon(horizon: Any) -> int | None:
    """Steps of an episode, or None for as many as fit. Raises ParamsError for anything else."""
    if horizon is None:
        return None
    if isinstance(horizon, bool) or not isinstance(horizon, (int, np.integer)) or not 1 <= horizon <= _HORIZON_MAX:
        raise ParamsError(
            f"horizon must be an integer of at least 1 step, or None for episodes that last until the tape's end; "
            f"got {horizon!r}"
        )
    return int(horizon)


def market_and_spec(
    tape: TapeLike,
    kind: str,
    spec: DeskSpec | Mapping[str, Any] | None,
    params: SimParams | None,
    observation: ObservationLayout | tuple[str, ...] | list[str] | str | None,
    venue: Mapping[str, Any],
) -> tuple[Market, DeskSpec]:
    """The market, compiled as the venue's parameters want it, and the desk on it.

    The venue is `params`, else what `spec` brings along, else what the tape's scenario does; changed by `venue`
    (arguments of `lobgym.envs.realism.venue_changes`).

    Raises:
        TapeError, ParamsError, LayoutError: arguments that make no sense.
    """
    if params is not None and not isinstance(params, SimParams):
        raise ParamsError(f"params must be a SimParams or None, got {params!r}")
    if spec is not None and not isinstance(spec, (DeskSpec, Mapping)):
        raise ParamsError(f"spec must be a DeskSpec, a dict of its fields or None, got {spec!r}")
    if params is None:
        params = spec.params if isinstance(spec, DeskSpec) else (spec or {}).get("params")
    changes = venue_changes(**venue)
    if changes:
        if params is None:
            made = tape.tape if isinstance(tape, Market) else open_tape(tape)
            params = default_params(made)
        params = with_venue(params, changes)
    market = market_for(
        tape,
        params is None or params.print_implied_depth,
        params is not None and params.profile != "conservative",
    )
    return market, resolve_spec(market, kind, spec, params, observation)


def resolve_spec(
    market: Market,
    kind: str,
    spec: DeskSpec | Mapping[str, Any] | None,
    params: SimParams | None,
    observation: ObservationLayout | tuple[str, ...] | list[str] | str | None,
) -> DeskSpec:
    """A desk spec from what an environment's caller gave: a whole spec, or overrides of the market's defaults."""
    changes: dict[str, Any] = {}
    if params is not None:
        changes["params"] = params
    if observation is not None:
        if isinstance(observation, str):
            observation = (observation,)
        if not isinstance(observation, ObservationLayout):
            observation = ObservationLayout(tuple(observation))
        changes["layout"] = observation
    if isinstance(spec, DeskSpec):
        if spec.kind != kind:
            raise ParamsError(f"this environment needs a desk of kind {kind!r}, the spec is of kind {spec.kind!r}")
        return spec.replace(**changes)
    return DeskSpec.for_market(market, kind, **dict(spec or {}) | changes)


def first_mid2(market: Market) -> int:
    """Twice the tape's first mid, in ticks."""
    local = market.local_view[0]
    return int(quoted_mid2(local, cursor_at(local, market.start_ns)))


def capital_units(capital: Any, market: Market, spec: DeskSpec) -> int:
    """Money units that an episode may lose. Raises ParamsError for what is no positive amount."""
    if capital is None:
        return max(1, abs(int(mark_value(market.economics(), spec.position_lots_max, first_mid2(market)))))
    try:
        units = int(Decimal(str(capital)) / market.instrument.money_unit)
    except (ArithmeticError, ValueError):  # no number, NaN, infinite
        units = 0
    if units < 1:
        raise ParamsError(f"capital must be a positive amount of the quote currency, got {capital!r}")
    return units
