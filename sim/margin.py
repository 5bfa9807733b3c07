"""Margin: what a position is worth to the venue, how much equity it needs, and whether an order may add to it.

Rates grow with the size in brackets. Margin is piecewise linear and continuous: a larger rate is asked for only from
the part of the notional that lies in its bracket. The world's table is one of `lobgym.sim.tiers`; amounts are money.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from lobgym.sim.calls import call_others_spare
from lobgym.sim.jit import njit_inline, njit_inner, njit_lean
from lobgym.sim.memory import column
from lobgym.sim.mids import last_quoted_mid2
from lobgym.sim.money import OVERFLOW, is_money, mark_of_mid, notional_at_mark, value_at_mark
from lobgym.sim.records import BUY, ERR_LEDGER
from lobgym.sim.timeline import mark_at
from lobgym.sim.world import WORLD_DTYPE, World, econ_of, exch_of, lane_at

__all__ = [
    "equity_at",
    "initial_margin",
    "lacks_margin",
    "maintenance_margin",
    "mark_price",
    "net_at",
    "reach_after",
    "tier_margin",
]

_PPM: Final = 1_000_000
_COLUMNS: Final = 7  # of a margin table
_FROM: Final = 0
_INITIAL: Final = 1
_MAINTENANCE: Final = 4

_tiers = column(WORLD_DTYPE, "margin_tiers", np.int64)


@njit_inline
def tier_margin(notional: int, ppm: int, deduction: int, millionths: int) -> int:
    """notional * ppm / 1e6 - (deduction + millionths / 1e6), rounded up; in 64 bits, because ppm is at most 1e6."""
    whole = notional // _PPM
    rest = notional - whole * _PPM
    return int(whole * ppm - deduction + -((millionths - rest * ppm) // _PPM))


@njit_inner
def _margin(w: World, notional: int, rate: int) -> int:
    row = w["margin_tier_count"] - 1
    if row < 0:
        return 0
    while row > 0 and _tiers(w, row * _COLUMNS + _FROM) > notional:
        row -= 1
    at = row * _COLUMNS + rate
    return tier_margin(notional, _tiers(w, at), _tiers(w, at + 1), _tiers(w, at + 2))


@njit_lean
def initial_margin(w: World, notional: int) -> int:
    """Equity that opening up to a notional (at least 0, at most 2^62) asks for, rounded up; 0 without tiers."""
    return _margin(w, notional, _INITIAL)


@njit_lean
def maintenance_margin(w: World, notional: int) -> int:
    """Equity below which a position of that notional (at least 0, at most 2^62) is closed, rounded up."""
    return _margin(w, notional, _MAINTENANCE)


# -- of a lane ---------------------------------------------------------------------------------------------------------


@njit_inner
def mark_price(w: World, ns: int, cursor: int) -> int:
    """Mark price in 1e-8 quote units at `ns`: the tape's; before its first one, the last mid at an exchange cursor."""
    mark = mark_at(w, ns)
    if mark == 0:
        mark = mark_of_mid(econ_of(w), last_quoted_mid2(exch_of(w), cursor, 0))
    return int(mark)


@njit_inner
def net_at(w: World, i: int, mark_1e8: int) -> int:
    """What lane `i` has made at the exchange; a value that fits no ledger is an error of the lane."""
    lane = lane_at(w, i)
    value = value_at_mark(econ_of(w), lane["position"], mark_1e8)
    if value == OVERFLOW:
        lane["error"] = ERR_LEDGER
        return 0
    return int(lane["cash"] - lane["fees"] - lane["funding"] + value)


@njit_inner
def equity_at(w: World, i: int, mark_1e8: int) -> int:
    """What lane `i` owns at the exchange: its capital and what it has made of it."""
    return int(lane_at(w, i)["capital"] + net_at(w, i, mark_1e8))


@njit_inner
def reach_after(w: World, i: int, bids: int, asks: int) -> int:
    """The most lots that lane `i` holds, long or short, if its resting orders and as many lots more fill."""
    lane = lane_at(w, i)
    position = lane["position"]
    return int(max(abs(position + lane["open_bid"] + bids), abs(position - lane["open_ask"] - asks)))


@njit_inner
def lacks_margin(
    w: World, i: int, side: int, leaves: int, replaced: int, ns: int,
    cursor: int,
) -> bool:  # fmt: skip
    """Whether lane `i` has too little equity for an order of `leaves` lots more on `side`, were everything to fill.

    Args:
        replaced: lots of resting orders of that side that the order stands in for (those of a modified order).
    """
    lane = lane_at(w, i)
    position = lane["position"]
    if not w["margin"] or (side * position < 0 and leaves <= abs(position)):
        return False
    added = leaves - replaced
    mark = mark_price(w, ns, cursor)
    reach = reach_after(w, i, added if side == BUY else 0, 0 if side == BUY else added)
    equity = equity_at(w, i, mark)
    if w["peer_count"] > 0:
        if not is_money(equity):
            lane["error"] = ERR_LEDGER
            return True
        equity += call_others_spare(w, i, ns)
    return bool(initial_margin(w, notional_at_mark(econ_of(w), reach, mark)) > equity)
