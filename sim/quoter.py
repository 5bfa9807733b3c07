"""The quoter: from a code to the smallest set of messages that brings the lane's orders where the code wants them.

It reads the local book and the lane's own view, changes nothing, and writes intents. Cancels come before submits.
Each submit carries the risk check's verdict, and only permitted ones count against what follows.

A grid. The centre is the mid, rounded to a lattice of a quarter of the spacing (so that a ladder keeps its place in
the queue while the mid moves by less), moved by `skew` quarters of the spacing, upwards if positive. Level k of the
bids lies at centre - spacing/2 - k * spacing, rounded down, of the asks at the mirror image, rounded up; a ladder
that would touch the opposite best moves back behind it as a whole. An order that already stands at a wanted price
stays, unless it shows more than is wanted; it is never enlarged, which would cost its place in the queue. Bids stop
where the position, all open bids and the planned ones would reach the position limit (asks: mirror, or at a position of
zero where the desk may not be short).

A target. The missing lots are sent as one IOC that may walk `sweep_ticks` through the opposite best; while an order
is on its way nothing is sent.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.actions import CODE_LEVELS, CODE_PAUSE, CODE_SIZE, CODE_SKEW, CODE_SPACING, PAUSED, SKEW_ZERO
from lobgym.sim.book import Book, best_ask, best_bid
from lobgym.sim.jit import njit_lean
from lobgym.sim.lanes import Lanes
from lobgym.sim.mids import quoted_mid2
from lobgym.sim.money import Economics
from lobgym.sim.own import OwnView, own_view
from lobgym.sim.records import BUY, FREE, GTX, IOC, LIVE, OK, SELL, SENT
from lobgym.sim.risk import LimitValues, check

__all__ = [
    "INTENT_CANCEL",
    "INTENT_DTYPE",
    "INTENT_SUBMIT",
    "SUBMITS_MAX",
    "GridLadders",
    "QuoterValues",
    "grid_ladders",
    "plan_lane",
]

INTENT_SUBMIT: Final = 1
INTENT_CANCEL: Final = 2
SUBMITS_MAX: Final = 10  # of one plan: five levels a side

INTENT_DTYPE: Final = np.dtype(
    [
        ("order_id", np.int64),  # of the order to cancel; of a submit once it is sent, 0 before
        ("tick", np.int64),
        ("qty", np.int64),  # lots; of a cancel, what the lane believes is left
        ("slot", np.int32),  # of a cancel; -1 for a submit
        ("kind", np.int8),
        ("side", np.int8),
        ("tif", np.int8),
        ("reason", np.int8),  # 0: permitted; otherwise why it is not sent
    ],
    align=True,
)


class QuoterValues(NamedTuple):
    """What the quoter needs of a desk's spec."""

    is_grid: int
    position_lots_max: int
    order_lots: int
    sweep_ticks: int
    spacing_ticks: NDArray[np.int64]  # [16]
    target_lots: NDArray[np.int64]  # [targets]
    short_lots_max: int  # the shortest position that asks may lead to; 0 where nothing can be sold short


class GridLadders(NamedTuple):
    """Wanted prices: bids at first_bid - k * spacing, asks at first_ask + k * spacing, k in [0, levels)."""

    first_bid: int
    first_ask: int
    spacing: int
    levels: int
    qty: int


@njit_lean
def grid_ladders(quoter: QuoterValues, codes: NDArray[np.int32], bid: int, ask: int) -> GridLadders:
    """Ladders that `codes` want around the bests `bid` < `ask`, in ticks."""
    spacing = quoter.spacing_ticks[codes[CODE_SPACING]]
    skew = codes[CODE_SKEW] - SKEW_ZERO
    # All in quarter ticks, where mid and quarter spacing are whole numbers.
    mid4 = 2 * (bid + ask)
    centre4 = (mid4 + spacing // 2) // spacing * spacing + skew * spacing
    first_bid = min((centre4 - 2 * spacing) // 4, ask - 1)
    first_ask = max(-((-centre4 - 2 * spacing) // 4), bid + 1)
    return GridLadders(
        first_bid, first_ask, spacing, codes[CODE_LEVELS] + 1, (codes[CODE_SIZE] + 1) * quoter.order_lots
    )


@njit_lean
def _rank(ladders: GridLadders, side: int, tick: int) -> int:
    """Which level of its side's ladder `tick` is, or -1."""
    distance = ladders.first_bid - tick if side == BUY else tick - ladders.first_ask
    if distance < 0 or distance % ladders.spacing != 0:
        return -1
    rank = distance // ladders.spacing
    return rank if rank < ladders.levels else -1


@njit_lean
def _write_submit(intents: NDArray[np.void], n: int, side: int, tick: int, qty: int, tif: int, reason: int) -> None:
    intent = intents[n]
    intent["order_id"] = 0
    intent["tick"] = tick
    intent["qty"] = qty
    intent["slot"] = -1
    intent["kind"] = INTENT_SUBMIT
    intent["side"] = side
    intent["tif"] = tif
    intent["reason"] = reason


@njit_lean
def _write_cancel(intents: NDArray[np.void], n: int, lanes: Lanes, i: int, slot: int) -> None:
    order = lanes.orders[i, slot]
    intent = intents[n]
    intent["order_id"] = order["id"]
    intent["tick"] = order["tick"]
    intent["qty"] = order["view_leaves"]
    intent["slot"] = slot
    intent["kind"] = INTENT_CANCEL
    intent["side"] = order["side"]
    intent["tif"] = order["tif"]
    intent["reason"] = OK


@njit_lean
def _keep_or_cancel(lanes: Lanes, i: int, ladders: GridLadders, intents: NDArray[np.void]) -> tuple[int, int, int]:
    """Write a cancel for every order that stands where nothing is wanted.

    Returns:
        number of intents, and the levels that stay as bit masks: bids, asks.
    """
    n = 0
    kept_bids = 0
    kept_asks = 0
    for slot in range(lanes.lane[i]["slot_count"]):
        order = lanes.orders[i, slot]
        view = order["view_state"]
        if order["state"] == FREE or (view != SENT and view != LIVE) or order["cancel_sent"] != 0:
            continue
        side = order["side"]
        rank = _rank(ladders, side, order["tick"])
        if rank >= 0 and order["view_leaves"] <= ladders.qty and order["tif"] == GTX:
            if side == BUY and not kept_bids >> rank & 1:
                kept_bids |= 1 << rank
                continue
            if side == SELL and not kept_asks >> rank & 1:
                kept_asks |= 1 << rank
                continue
        _write_cancel(intents, n, lanes, i, slot)
        n += 1
    return n, kept_bids, kept_asks


@njit_lean
def _plan_grid(
    local: Book, econ: Economics, limits: LimitValues, quoter: QuoterValues, lanes: Lanes, i: int,
    codes: NDArray[np.int32], own: OwnView, intents: NDArray[np.void],
) -> int:  # fmt: skip
    lane = lanes.lane[i]
    cursor = lane["local_cursor"]
    bid = best_bid(local, cursor)
    ask = best_ask(local, cursor)
    if codes[CODE_PAUSE] == PAUSED or quoted_mid2(local, cursor) == 0:
        return _keep_or_cancel(lanes, i, GridLadders(0, 0, 1, 0, 0), intents)[0]

    ladders = grid_ladders(quoter, codes, bid, ask)
    n, kept_bids, kept_asks = _keep_or_cancel(lanes, i, ladders, intents)
    age_ns = lane["t_ns"] - local.ns[cursor - 1]
    position = lane["view_position"]
    bid_lots = own.bid_lots
    ask_lots = own.ask_lots
    slots = own.slots
    sent = 0
    for rank in range(ladders.levels):
        tick = ladders.first_bid - rank * ladders.spacing
        qty = min(ladders.qty, limits.order_lots_max, quoter.position_lots_max - position - bid_lots)
        if not kept_bids >> rank & 1 and qty > 0 and tick > 0:
            reason = check(limits, econ, bid, ask, age_ns, BUY, tick, qty, position, bid_lots, slots, sent)
            _write_submit(intents, n, BUY, tick, qty, GTX, reason)
            n += 1
            if reason == OK:
                bid_lots += qty
                slots += 1
                sent += 1
        tick = ladders.first_ask + rank * ladders.spacing
        qty = min(ladders.qty, limits.order_lots_max, quoter.short_lots_max + position - ask_lots)
        if not kept_asks >> rank & 1 and qty > 0:
            reason = check(limits, econ, bid, ask, age_ns, SELL, tick, qty, position, ask_lots, slots, sent)
            _write_submit(intents, n, SELL, tick, qty, GTX, reason)
            n += 1
            if reason == OK:
                ask_lots += qty
                slots += 1
                sent += 1
    return n


@njit_lean
def _plan_target(
    local: Book, econ: Economics, limits: LimitValues, quoter: QuoterValues, lanes: Lanes, i: int,
    codes: NDArray[np.int32], own: OwnView, intents: NDArray[np.void],
) -> int:  # fmt: skip
    lane = lanes.lane[i]
    cursor = lane["local_cursor"]
    position = lane["view_position"]
    delta = quoter.target_lots[codes[0]] - position
    if delta == 0 or own.open_orders > 0 or quoted_mid2(local, cursor) == 0:
        return 0
    bid = best_bid(local, cursor)
    ask = best_ask(local, cursor)
    side = BUY if delta > 0 else SELL
    tick = ask + quoter.sweep_ticks if side == BUY else max(bid - quoter.sweep_ticks, 1)
    qty = min(abs(delta), limits.order_lots_max)
    age_ns = lane["t_ns"] - local.ns[cursor - 1]
    reason = check(limits, econ, bid, ask, age_ns, side, tick, qty, position, 0, own.slots, 0)
    _write_submit(intents, 0, side, tick, qty, IOC, reason)
    return 1


@njit_lean
def plan_lane(
    local: Book, econ: Economics, limits: LimitValues, quoter: QuoterValues, lanes: Lanes, i: int,
    codes: NDArray[np.int32], intents: NDArray[np.void],
) -> int:  # fmt: skip
    """Write lane `i`'s intents for `codes` [A] into `intents` [K >= max_orders + SUBMITS_MAX]; return how many."""
    own = own_view(lanes, i)
    if quoter.is_grid:
        return _plan_grid(local, econ, limits, quoter, lanes, i, codes, own, intents)
    return _plan_target(local, econ, limits, quoter, lanes, i, codes, own, intents)
