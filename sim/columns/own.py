"""Columns of the lane's own orders and account, as far as it has been told of them."""

from __future__ import annotations

from typing import Final

from lobgym.sim.bars import Bars, last_mid2
from lobgym.sim.columns.catalog import number_of, part
from lobgym.sim.columns.header import FAR, Encoder, put
from lobgym.sim.jit import njit_inner, njit_leaf
from lobgym.sim.money import Economics, mark_value
from lobgym.sim.own import own_view
from lobgym.sim.world import World, lane_at

__all__ = ["own_columns"]

_INVENTORY: Final = number_of("inventory")
_OPEN_BID_LOTS: Final = number_of("open_bid_lots")
_OPEN_ASK_LOTS: Final = number_of("open_ask_lots")
_BID_DISTANCE: Final = number_of("bid_distance")
_ASK_DISTANCE: Final = number_of("ask_distance")
_PENDING: Final = number_of("pending")
_EPISODE_PNL: Final = number_of("episode_pnl")

_ENTRY_AGE: Final = number_of("entry_age")
_FILL_AGE: Final = number_of("fill_age")

_ORDERS: Final = part("orders")
_PNL: Final = part("pnl")


@njit_leaf
def _order_columns(encoder: Encoder, w: World, i: int, limit: float, mid2: int) -> None:
    own = own_view(w, i)
    put(encoder, _OPEN_BID_LOTS, own.bid_lots / limit)
    put(encoder, _OPEN_ASK_LOTS, own.ask_lots / limit)
    put(encoder, _PENDING, float(own.pending))
    there = mid2 > 0 and own.best_bid > 0
    put(encoder, _BID_DISTANCE, (mid2 - 2 * own.best_bid) * 1e4 / mid2 if there else FAR)
    there = mid2 > 0 and own.best_ask > 0
    put(encoder, _ASK_DISTANCE, (2 * own.best_ask - mid2) * 1e4 / mid2 if there else FAR)


@njit_inner
def _pnl_column(bars: Bars, encoder: Encoder, econ: Economics, w: World, i: int) -> None:
    lane = lane_at(w, i)
    mark2 = last_mid2(bars, lane["local_stamp"])
    worth = abs(mark_value(econ, encoder["position_lots_max"], mark2))
    if worth > 0:
        held = mark_value(econ, lane["view_position"], mark2)
        equity = lane["view_cash"] - lane["view_fees"] - lane["view_funding"] + held
        put(encoder, _EPISODE_PNL, equity * 1e4 / worth)


@njit_leaf
def own_columns(bars: Bars, encoder: Encoder, econ: Economics, w: World, i: int, mid2: int) -> None:
    """Columns of lane `i`'s own view; `mid2` is twice the mid now in ticks, 0 where there is none."""
    limit = float(encoder["position_lots_max"])
    lane = lane_at(w, i)
    put(encoder, _INVENTORY, lane["view_position"] / limit)
    put(encoder, _ENTRY_AGE, (lane["t_ns"] - lane["view_entry_ns"]) / 1e9 if lane["view_position"] != 0 else 0.0)
    put(encoder, _FILL_AGE, (lane["t_ns"] - lane["view_fill_ns"]) / 1e9 if lane["view_fill_ns"] > 0 else FAR)
    if encoder["needs"] & _ORDERS:
        _order_columns(encoder, w, i, limit, mid2)
    if encoder["needs"] & _PNL:
        _pnl_column(bars, encoder, econ, w, i)
