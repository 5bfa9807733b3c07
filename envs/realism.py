"""The venue by argument: `latency=`, `queue=`, `fees=` and `profile=` of an environment, as changes of `SimParams`."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any, Final, TypeAlias

import numpy as np

from lobgym.sim.errors import ParamsError
from lobgym.sim.latency import LatencyQuantiles, LatencyTable
from lobgym.sim.params import SimParams

__all__ = ["FeesLike", "LatencyLike", "venue_changes", "with_venue"]

LatencyLike: TypeAlias = "int | tuple[int, int] | LatencyTable | LatencyQuantiles"
FeesLike: TypeAlias = "tuple[float, float]"

_PPB_PER_BP: Final = 100_000


def venue_changes(
    latency: LatencyLike | None = None,
    queue: str | None = None,
    fees: FeesLike | None = None,
    profile: str | None = None,
) -> dict[str, Any]:
    """Fields of `SimParams` that the arguments stand for; what is None changes nothing.

    Args:
        latency: nanoseconds each way, a pair (to the exchange, back), or a model that gives both ways entirely.
        queue: name of a queue model (`lobgym.sim.queue.QUEUE_MODELS`).
        fees: (maker, taker) in basis points of the notional, a rebate if negative; a multiple of 1e-5 bps.
        profile: name of a matching profile.

    Raises:
        ParamsError: what cannot be read as one of these; values out of range are found by `SimParams`.
    """
    changes: dict[str, Any] = {}
    if latency is not None:
        changes |= _latency(latency)
    if queue is not None:
        changes["queue"] = queue
    if fees is not None:
        changes |= _fees(fees)
    if profile is not None:
        changes["profile"] = profile
    return changes


def with_venue(params: SimParams, changes: dict[str, Any]) -> SimParams:
    """`params` with changes, validated again; fees given here hold throughout, without the tiers that `params` has."""
    if "maker_fee_ppb" in changes and params.fee_tiers is not None:
        changes = {"fee_tiers": None, **changes}
    return params.replace(**changes) if changes else params


def _latency(latency: Any) -> dict[str, Any]:
    if isinstance(latency, (LatencyTable, LatencyQuantiles)):
        return {"latency": latency, "entry_ns": 0, "response_ns": 0}
    pair = latency if isinstance(latency, (tuple, list)) else (latency, latency)
    if len(pair) != 2 or not all(isinstance(x, (int, np.integer)) and not isinstance(x, bool) for x in pair):
        raise ParamsError(
            f"latency must be nanoseconds, a pair of them (there, back), or a latency model; got {latency!r}: "
            "latency=5_000_000 is 5 ms each way"
        )
    return {"latency": None, "entry_ns": int(pair[0]), "response_ns": int(pair[1])}


def _fees(fees: Any) -> dict[str, Any]:
    try:
        maker, taker = (Decimal(str(one)) * _PPB_PER_BP for one in fees)
        whole = int(maker) == maker and int(taker) == taker
    except (TypeError, ValueError, InvalidOperation, OverflowError):
        whole = False
    if not whole:
        raise ParamsError(
            f"fees must be a pair (maker, taker) in basis points, in steps of 0.00001; got {fees!r}: "
            "fees=(0.2, 0.5) is 0.2 bps for the maker and 0.5 bps for the taker"
        )
    return {"maker_fee_ppb": int(maker), "taker_fee_ppb": int(taker)}
