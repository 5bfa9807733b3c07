"""A grid of post-only quotes.

The centre is the mid, rounded to a lattice of a quarter of the spacing (so that a ladder keeps its place in the queue
while the mid moves by less), moved by `skew` quarters of the spacing, upwards if positive. Level k of the bids lies at
centre - spacing/2 - k * spacing, rounded down, of the asks at the mirror image, rounded up; a ladder that would touch
the opposite best moves back behind it as a whole. An order that already stands at a wanted price stays, unless it shows
more than is wanted; it is never enlarged, which would cost its place in the queue. Bids stop where the position, all
open bids and the planned ones would reach the position limit (asks: mirror, or at a position of zero where the desk may
not be short).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.actions import CODE_LEVELS, CODE_PAUSE, CODE_SIZE, CODE_SKEW, CODE_SPACING, PAUSED, SKEW_ZERO
from lobgym.sim.jit import njit_lean
from lobgym.sim.money import Economics
from lobgym.sim.own import OwnView
from lobgym.sim.quotes.intents import QuoterValues, Touch, is_open, is_two_sided, write_cancel, write_submit
from lobgym.sim.records import BUY, GTX, OK, SELL
from lobgym.sim.risk import LimitValues, check
from lobgym.sim.world import World, lane_at, order_at

__all__ = ["GridLadders", "grid_ladders", "plan_grid"]


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
def _keep_or_cancel(w: World, i: int, ladders: GridLadders, intents: NDArray[np.void]) -> tuple[int, int, int]:
    """Write a cancel for every order that stands where nothing is wanted.

    Returns:
        number of intents, and the levels that stay as bit masks: bids, asks.
    """
    n = 0
    kept_bids = 0
    kept_asks = 0
    for slot in range(lane_at(w, i)["slot_count"]):
        order = order_at(w, i, slot)
        if not is_open(w, i, slot) or order["cancel_sent"] != 0:
            continue
        side = order["side"]
        rank = _rank(ladders, side, order["view_tick"])
        if rank >= 0 and order["view_leaves"] <= ladders.qty and order["tif"] == GTX:
            if side == BUY and not kept_bids >> rank & 1:
                kept_bids |= 1 << rank
                continue
            if side == SELL and not kept_asks >> rank & 1:
                kept_asks |= 1 << rank
                continue
        write_cancel(intents, n, w, i, slot)
        n += 1
    return n, kept_bids, kept_asks


@njit_lean
def plan_grid(
    touch: Touch, econ: Economics, limits: LimitValues, quoter: QuoterValues, w: World, i: int,
    codes: NDArray[np.int32], own: OwnView, intents: NDArray[np.void],
) -> int:  # fmt: skip
    """Intents of a grid desk; see `plan_lane`."""
    if codes[CODE_PAUSE] == PAUSED or not is_two_sided(touch):
        return _keep_or_cancel(w, i, GridLadders(0, 0, 1, 0, 0), intents)[0]

    bid = touch.bid
    ask = touch.ask
    age_ns = touch.age_ns
    ladders = grid_ladders(quoter, codes, bid, ask)
    n, kept_bids, kept_asks = _keep_or_cancel(w, i, ladders, intents)
    position = lane_at(w, i)["view_position"]
    bid_lots = own.bid_lots
    ask_lots = own.ask_lots
    slots = own.slots
    sent = 0
    for rank in range(ladders.levels):
        tick = ladders.first_bid - rank * ladders.spacing
        qty = min(ladders.qty, limits.order_lots_max, quoter.position_lots_max - position - bid_lots)
        if not kept_bids >> rank & 1 and qty > 0 and tick > 0:
            reason = check(limits, econ, bid, ask, age_ns, BUY, tick, qty, position, bid_lots, slots, sent)
            write_submit(intents, n, BUY, tick, qty, GTX, reason)
            n += 1
            if reason == OK:
                bid_lots += qty
                slots += 1
                sent += 1
        tick = ladders.first_ask + rank * ladders.spacing
        qty = min(ladders.qty, limits.order_lots_max, quoter.short_lots_max + position - ask_lots)
        if not kept_asks >> rank & 1 and qty > 0:
            reason = check(limits, econ, bid, ask, age_ns, SELL, tick, qty, position, ask_lots, slots, sent)
            write_submit(intents, n, SELL, tick, qty, GTX, reason)
            n += 1
            if reason == OK:
                ask_lots += qty
                slots += 1
                sent += 1
    return n
