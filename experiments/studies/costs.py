"""A venue made dearer or slower by a stated amount, and nothing else about it changed."""

from __future__ import annotations

from typing import Final

from lobgym.sim.instrument import Instrument
from lobgym.sim.params import SimParams

__all__ = ["PPB_PER_BPS", "dearer", "slower"]

PPB_PER_BPS: Final = 100_000


def dearer(params: SimParams, instrument: Instrument, extra_ppb: int) -> SimParams:
    """The venue with this much added to its maker and taker fees, in every tier; negative makes it cheaper.

    Raises:
        ParamsError: a fee that leaves its range.
    """
    if params.fee_tiers is not None:
        tiers = tuple((value, maker + extra_ppb, taker + extra_ppb) for value, maker, taker in params.fee_tiers)
        return params.replace(fee_tiers=tiers)
    maker, taker = params.maker_fee_ppb, params.taker_fee_ppb
    if instrument.fee_tiers and maker is None and taker is None:
        rows = instrument.fee_table().tolist()
        return params.replace(fee_tiers=tuple((value, a + extra_ppb, b + extra_ppb) for value, a, b in rows))
    return params.replace(
        maker_fee_ppb=(instrument.maker_fee_ppb if maker is None else maker) + extra_ppb,
        taker_fee_ppb=(instrument.taker_fee_ppb if taker is None else taker) + extra_ppb,
    )


def slower(params: SimParams, extra_ns: int) -> SimParams:
    """The venue this much further away, on the way there and on the way back.

    Raises:
        ParamsError: a latency that leaves its range.
    """
    return params.replace(entry_ns=params.entry_ns + extra_ns, response_ns=params.response_ns + extra_ns)
