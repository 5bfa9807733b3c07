"""What a lane knows of its own orders, gathered in one pass over its slots."""

from __future__ import annotations

from typing import NamedTuple

from lobgym.sim.jit import njit_lean
from lobgym.sim.records import BUY, FREE, LIVE, SENT
from lobgym.sim.world import World, lane_at, order_at

__all__ = ["OwnView", "own_view"]


class OwnView(NamedTuple):
    """Sums over the orders that, as far as the lane knows, may still fill."""

    bid_lots: int
    ask_lots: int
    best_bid: int  # in ticks, orders whose cancellation is on its way left out; 0 where there is none
    best_ask: int
    open_orders: int  # orders that may still fill
    slots: int  # slots in use: open ones, and those whose last answer is on its way
    pending: int  # submits and cancels without an answer


@njit_lean
def own_view(w: World, i: int) -> OwnView:
    """Gather lane `i`'s own view of its orders."""
    bid_lots = 0
    ask_lots = 0
    best_bid = 0
    best_ask = 0
    open_orders = 0
    slots = 0
    pending = 0
    for slot in range(lane_at(w, i)["slot_count"]):
        order = order_at(w, i, slot)
        if order["state"] == FREE:
            continue
        slots += 1
        view = order["view_state"]
        if view != SENT and view != LIVE:
            continue
        open_orders += 1
        quoted = order["cancel_sent"] == 0
        if view == SENT or not quoted:
            pending += 1
        tick = order["view_tick"]
        if order["side"] == BUY:
            bid_lots += order["view_leaves"]
            if quoted and tick > best_bid:
                best_bid = tick
        else:
            ask_lots += order["view_leaves"]
            if quoted and (best_ask == 0 or tick < best_ask):
                best_ask = tick
    return OwnView(bid_lots, ask_lots, best_bid, best_ask, open_orders, slots, pending)
