"""The encoder of `ObservationLayout`: one observation row of one lane, as a compiled function.

Sums run in a fixed order and only +, -, *, / touch a float, so a row's bits depend on its inputs alone.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.bars import Bars, last_mid2, marked_cursor_at, natr_bps
from lobgym.sim.jit import njit_lean
from lobgym.sim.ladder import LADDER_SCRATCH, ladder_with
from lobgym.sim.mids import quoted_mid2
from lobgym.sim.money import Economics, mark_value
from lobgym.sim.observation import COLUMN_NUMBERS, COLUMNS, ObservationLayout
from lobgym.sim.own import own_view
from lobgym.sim.records import BUY, SELL
from lobgym.sim.task import Task
from lobgym.sim.view import BookView, best_ask, best_ask_qty, best_bid, best_bid_qty, bought_lots, row_ns, sold_lots
from lobgym.sim.world import World, lane_at

__all__ = ["Encoder", "encode_lane", "make_encoder"]

DEPTH: Final = 5
_SECOND: Final = 1_000_000_000

# Column numbers.
_TWO_SIDED: Final = COLUMN_NUMBERS["two_sided"]
_SPREAD: Final = COLUMN_NUMBERS["spread"]
_BOOK_AGE: Final = COLUMN_NUMBERS["book_age"]
_IMBALANCE_1: Final = COLUMN_NUMBERS["imbalance_1"]
_IMBALANCE_5: Final = COLUMN_NUMBERS["imbalance_5"]
_PRESSURE_5: Final = COLUMN_NUMBERS["pressure_5"]
_MICROPRICE: Final = COLUMN_NUMBERS["microprice"]
_WIDTH_5: Final = COLUMN_NUMBERS["width_5"]
_RETURN_1S: Final = COLUMN_NUMBERS["return_1s"]
_RETURN_5S: Final = COLUMN_NUMBERS["return_5s"]
_RETURN_30S: Final = COLUMN_NUMBERS["return_30s"]
_NATR_14: Final = COLUMN_NUMBERS["natr_14"]
_TRADE_FLOW_1S: Final = COLUMN_NUMBERS["trade_flow_1s"]
_TRADE_FLOW_5S: Final = COLUMN_NUMBERS["trade_flow_5s"]
_VOLUME_1S: Final = COLUMN_NUMBERS["volume_1s"]
_ACTIVITY: Final = COLUMN_NUMBERS["activity"]
_INVENTORY: Final = COLUMN_NUMBERS["inventory"]
_OPEN_BID_LOTS: Final = COLUMN_NUMBERS["open_bid_lots"]
_OPEN_ASK_LOTS: Final = COLUMN_NUMBERS["open_ask_lots"]
_BID_DISTANCE: Final = COLUMN_NUMBERS["bid_distance"]
_ASK_DISTANCE: Final = COLUMN_NUMBERS["ask_distance"]
_PENDING: Final = COLUMN_NUMBERS["pending"]
_EPISODE_PNL: Final = COLUMN_NUMBERS["episode_pnl"]
_COUNT: Final = len(COLUMNS)

# Groups of columns that share a lookup; a layout without any of a group's columns does not pay for it.
_NEED_LADDER: Final = 1
_NEED_BACK_1: Final = 2
_NEED_BACK_5: Final = 4
_NEED_BACK_30: Final = 8
_NEED_ORDERS: Final = 16
_NEEDS: Final = {
    _IMBALANCE_5: _NEED_LADDER,
    _PRESSURE_5: _NEED_LADDER,
    _WIDTH_5: _NEED_LADDER,
    _RETURN_1S: _NEED_BACK_1,
    _RETURN_5S: _NEED_BACK_5,
    _RETURN_30S: _NEED_BACK_30,
    _TRADE_FLOW_1S: _NEED_BACK_1,
    _TRADE_FLOW_5S: _NEED_BACK_5,
    _VOLUME_1S: _NEED_BACK_1 | _NEED_LADDER,
    _ACTIVITY: _NEED_BACK_1 | _NEED_BACK_30,
    _OPEN_BID_LOTS: _NEED_ORDERS,
    _OPEN_ASK_LOTS: _NEED_ORDERS,
    _BID_DISTANCE: _NEED_ORDERS,
    _ASK_DISTANCE: _NEED_ORDERS,
    _PENDING: _NEED_ORDERS,
}


class Encoder(NamedTuple):
    """A layout as the kernels take it."""

    ids: NDArray[np.int64]  # [D] column numbers
    scales: NDArray[np.float64]  # [all columns] s of v / (s + |v|); 0 leaves v alone
    needs: int  # which lookups the layout pays for
    position_lots_max: int
    # Scratch space: written by every call, read by none after it. A desk has its own.
    values: NDArray[np.float64]  # [all columns]
    sides: NDArray[np.float64]  # [2, 2] lots and weighted lots of the best levels
    ladders: NDArray[np.int64]  # [2, 2, DEPTH] ticks and lots
    roll: NDArray[np.int64]  # [2, LADDER_SCRATCH]


def make_encoder(layout: ObservationLayout, position_lots_max: int) -> Encoder:
    """Compile a layout for a desk whose inventory is measured against `position_lots_max`."""
    needs = 0
    for index in layout.ids.tolist():
        needs |= _NEEDS.get(index, 0)
    scales = np.array([column.scale for column in COLUMNS], np.float64)
    return Encoder(
        layout.ids,
        scales,
        needs,
        position_lots_max,
        np.zeros(_COUNT),
        np.zeros((2, 2)),
        np.zeros((2, 2, DEPTH), np.int64),
        np.zeros((2, LADDER_SCRATCH), np.int64),
    )


@njit_lean
def _balance(plus: float, minus: float) -> float:
    total = plus + minus
    return (plus - minus) / total if total > 0.0 else 0.0


@njit_lean
def _return_bps(local: BookView, cursor: int, mid2: int) -> float:
    then = quoted_mid2(local, cursor)
    return (mid2 - then) * 1e4 / then if then > 0 and mid2 > 0 else 0.0


@njit_lean
def _traded(local: BookView, cursor: int, back: int) -> tuple[float, float]:
    """Lots bought and sold by takers in rows [back, cursor)."""
    bought = bought_lots(local, cursor) - bought_lots(local, back)
    sold = sold_lots(local, cursor) - sold_lots(local, back)
    return float(bought), float(sold)


@njit_lean
def _depth_columns(local: BookView, encoder: Encoder, cursor: int, mid2: int) -> float:
    """Columns over the best levels; returns the lots that they display together."""
    values = encoder.values
    sides = encoder.sides
    count_bids = 0
    count_asks = 0
    for s in range(2):
        ticks = encoder.ladders[s, 0]
        qtys = encoder.ladders[s, 1]
        count = ladder_with(local, BUY if s == 0 else SELL, cursor, DEPTH, ticks, qtys, encoder.roll)
        sides[s] = 0.0
        for j in range(count):
            sides[s, 0] += float(qtys[j])
            sides[s, 1] += float(qtys[j]) / (j + 1)
        if s == 0:
            count_bids = count
        else:
            count_asks = count
    if mid2 > 0 and count_bids > 0 and count_asks > 0:
        values[_IMBALANCE_5] = _balance(sides[0, 0], sides[1, 0])
        values[_PRESSURE_5] = _balance(sides[0, 1], sides[1, 1])
        values[_WIDTH_5] = (encoder.ladders[1, 0, count_asks - 1] - encoder.ladders[0, 0, count_bids - 1]) * 2e4 / mid2
    depth: float = sides[0, 0] + sides[1, 0]
    return depth


@njit_lean
def _market_columns(local: BookView, bars: Bars, encoder: Encoder, cursor: int, t_ns: int, mid2: int) -> None:
    values = encoder.values
    needs = encoder.needs
    depth = _depth_columns(local, encoder, cursor, mid2) if needs & _NEED_LADDER else 0.0
    values[_NATR_14] = natr_bps(bars, t_ns)
    if cursor == 0:
        return
    values[_BOOK_AGE] = (t_ns - row_ns(local, cursor - 1)) / 1e9
    if mid2 > 0:
        bid_qty = float(best_bid_qty(local, cursor))
        ask_qty = float(best_ask_qty(local, cursor))
        spread_bps = (best_ask(local, cursor) - best_bid(local, cursor)) * 2e4 / mid2
        values[_TWO_SIDED] = 1.0
        values[_SPREAD] = spread_bps
        values[_IMBALANCE_1] = _balance(bid_qty, ask_qty)
        values[_MICROPRICE] = 0.5 * spread_bps * _balance(bid_qty, ask_qty)
    last_second = 0.0
    if needs & _NEED_BACK_1:
        back = marked_cursor_at(local, bars, t_ns - _SECOND)
        bought, sold = _traded(local, cursor, back)
        last_second = bought + sold
        values[_RETURN_1S] = _return_bps(local, back, mid2)
        values[_TRADE_FLOW_1S] = _balance(bought, sold)
        values[_VOLUME_1S] = last_second / (last_second + depth) if last_second > 0.0 else 0.0
    if needs & _NEED_BACK_5:
        back = marked_cursor_at(local, bars, t_ns - 5 * _SECOND)
        bought, sold = _traded(local, cursor, back)
        values[_RETURN_5S] = _return_bps(local, back, mid2)
        values[_TRADE_FLOW_5S] = _balance(bought, sold)
    if needs & _NEED_BACK_30:
        back = marked_cursor_at(local, bars, t_ns - 30 * _SECOND)
        bought, sold = _traded(local, cursor, back)
        values[_RETURN_30S] = _return_bps(local, back, mid2)
        values[_ACTIVITY] = last_second / (last_second + (bought + sold) / 30.0) if bought + sold > 0.0 else 0.0


@njit_lean
def _own_columns(local: BookView, bars: Bars, encoder: Encoder, econ: Economics, w: World, i: int, mid2: int) -> None:
    values = encoder.values
    lane = lane_at(w, i)
    limit = float(encoder.position_lots_max)
    values[_INVENTORY] = lane["view_position"] / limit
    if encoder.needs & _NEED_ORDERS:
        own = own_view(w, i)
        values[_OPEN_BID_LOTS] = own.bid_lots / limit
        values[_OPEN_ASK_LOTS] = own.ask_lots / limit
        values[_PENDING] = float(own.pending)
        # No own quote is infinitely far away, which v / (s + |v|) maps to 1.
        values[_BID_DISTANCE] = np.inf
        values[_ASK_DISTANCE] = np.inf
        if mid2 > 0 and own.best_bid > 0:
            values[_BID_DISTANCE] = (mid2 - 2 * own.best_bid) * 1e4 / mid2
        if mid2 > 0 and own.best_ask > 0:
            values[_ASK_DISTANCE] = (2 * own.best_ask - mid2) * 1e4 / mid2
    mark2 = last_mid2(local, bars, lane["local_cursor"])
    worth = abs(mark_value(econ, encoder.position_lots_max, mark2))
    if worth > 0:
        equity = (
            lane["view_cash"]
            - lane["view_fees"]
            - lane["view_funding"]
            + mark_value(econ, lane["view_position"], mark2)
        )
        values[_EPISODE_PNL] = equity * 1e4 / worth


@njit_lean
def encode_lane(
    local: BookView, bars: Bars, encoder: Encoder, econ: Economics, w: World, i: int, task: Task,
    out: NDArray[np.float32],
) -> None:  # fmt: skip
    """Write lane `i`'s observation into `out` [D]: the local book and the lane's own view, at its own time.

    `task` is the lane's record of TASK_DTYPE; no column reads it yet.
    """
    values = encoder.values
    values[:] = 0.0
    cursor = lane_at(w, i)["local_cursor"]
    mid2 = quoted_mid2(local, cursor)
    _market_columns(local, bars, encoder, cursor, lane_at(w, i)["t_ns"], mid2)
    _own_columns(local, bars, encoder, econ, w, i, mid2)
    for k in range(encoder.ids.shape[0]):
        column = encoder.ids[k]
        value = values[column]
        scale = encoder.scales[column]
        if value == np.inf:
            value = 1.0
        elif scale > 0.0:
            value = value / (scale + abs(value))
        out[k] = np.float32(min(max(value, -1.0), 1.0))
