"""A target position: the missing lots as one IOC that may walk `sweep_ticks` through the opposite best.

While an order is on its way nothing is sent.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.jit import njit_lean
from lobgym.sim.money import Economics
from lobgym.sim.own import OwnView
from lobgym.sim.quotes.intents import QuoterValues, Touch, is_two_sided, write_submit
from lobgym.sim.records import BUY, IOC, SELL
from lobgym.sim.risk import LimitValues, check
from lobgym.sim.world import World, lane_at

__all__ = ["plan_target"]


@njit_lean
def plan_target(
    touch: Touch, econ: Economics, limits: LimitValues, quoter: QuoterValues, w: World, i: int,
    codes: NDArray[np.int32], own: OwnView, intents: NDArray[np.void],
) -> int:  # fmt: skip
    """Intents of a target desk; see `plan_lane`."""
    position = lane_at(w, i)["view_position"]
    delta = quoter.target_lots[codes[0]] - position
    if delta == 0 or own.open_orders > 0 or not is_two_sided(touch):
        return 0
    side = BUY if delta > 0 else SELL
    tick = touch.ask + quoter.sweep_ticks if side == BUY else max(touch.bid - quoter.sweep_ticks, 1)
    qty = min(abs(delta), limits.order_lots_max)
    reason = check(
        limits, econ, touch.bid, touch.ask, touch.age_ns, side, tick, qty, position, 0, own.slots, 0
    )  # fmt: skip
    write_submit(intents, 0, side, tick, qty, IOC, reason)
    return 1
