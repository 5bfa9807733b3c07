"""Working a parent order: how much more is sent now (`slice`), and at what price (`aggressiveness`).

Of the parent's lots some are done, some are open (sent, and as far as the lane knows they may still fill), and the rest
is the pool. A slice is taken from the pool: the interval's share of the time that is left until the deadline, times the
pool, times the slice code's multiple. So at 1 the pool empties evenly over the time that is left, whatever went before;
fractions of a lot are rounded by a sequence that spreads them evenly, without a memory.

Resting orders are post-only; those at the wanted price stay and keep their places in the queue, new lots are sent
beside them, and the lots of all others move to the wanted price together with the slice. An immediate order takes along
what rested. Never is more open than is left: lots whose cancellation is on its way are sent anew only once it is
answered.

| aggressiveness | price | |
|---|---|---|
| 0, 1 | `behind_ticks[c]` behind the best of the own side | rests |
| 2 | that best | rests |
| 3 | a tick better, where the spread leaves room | rests |
| 4 | the mid, rounded to the own side | rests |
| 5 | the opposite best | takes, what it cannot take expires |
| 6 | `sweep_ticks` through the opposite best | likewise |
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.actions import CODE_AGGRESSIVENESS, CODE_SLICE, EXECUTION_BINS
from lobgym.sim.jit import njit_lean
from lobgym.sim.money import Economics
from lobgym.sim.own import OwnView
from lobgym.sim.quotes.intents import QuoterValues, Touch, is_open, is_two_sided, write_cancel, write_submit
from lobgym.sim.records import BUY, GTX, IOC
from lobgym.sim.risk import LimitValues, check
from lobgym.sim.task import Task
from lobgym.sim.world import World, lane_at, order_at

__all__ = ["BEHIND", "IMPROVE", "JOIN", "MID", "SLICE_ALL", "SLICE_EIGHTHS", "TAKE", "plan_execution", "slice_lots"]

WITHDRAW: Final = -1
SLICE_ALL: Final = -2
# By slice code: eighths of the even pace. The middle code is the even pace.
SLICE_EIGHTHS: Final = (WITHDRAW, 0, 2, 4, 6, 8, 10, 12, 16, 32, SLICE_ALL)
if len(SLICE_EIGHTHS) != EXECUTION_BINS[CODE_SLICE]:
    raise AssertionError("a slice for every code")

BEHIND: Final = 1  # aggressiveness up to here is behind the best
JOIN: Final = 2
IMPROVE: Final = 3
MID: Final = 4
TAKE: Final = 5  # from here on it takes

_SHARE_BITS: Final = 20
_ONE: Final = 1 << _SHARE_BITS
_GOLDEN: Final = 648_055  # of 2^20: the golden section, whose multiples fill an interval most evenly


@njit_lean
def slice_lots(eighths: int, pool: int, start_ns: int, end_ns: int, t_ns: int, interval_ns: int) -> int:
    """Lots of a slice, for `t_ns` before `end_ns`.

    Args:
        eighths: of the even pace, or SLICE_ALL.
        pool: lots not sent yet, below TASK_LOTS_MAX.
        start_ns, end_ns: the parent's.
    """
    if eighths == SLICE_ALL:
        return pool
    share = _ONE
    if interval_ns < end_ns - t_ns:
        share = (interval_ns // 1000 << _SHARE_BITS) // max(1, (end_ns - t_ns) // 1000)
    number = (t_ns - start_ns) // interval_ns
    return min(pool, (eighths * pool * share // 8 + ((number & _ONE - 1) * _GOLDEN & _ONE - 1)) >> _SHARE_BITS)


@njit_lean
def _wanted_tick(quoter: QuoterValues, aggressiveness: int, side: int, bid: int, ask: int) -> int:
    near = bid if side == BUY else ask
    far = ask if side == BUY else bid
    tick = near
    if aggressiveness <= BEHIND:
        tick = near - side * quoter.behind_ticks[aggressiveness]
    elif aggressiveness == IMPROVE:
        tick = near + side if ask - bid > 1 else near
    elif aggressiveness == MID:
        tick = (bid + ask) // 2 if side == BUY else -((-bid - ask) // 2)
    elif aggressiveness == TAKE:
        tick = far
    elif aggressiveness > TAKE:
        tick = far + side * quoter.sweep_ticks
    return max(tick, 1)


@njit_lean
def _keep_or_cancel(w: World, i: int, side: int, tick: int, intents: NDArray[np.void]) -> tuple[int, int]:
    """Write a cancel for every resting order that is not at (side, tick).

    One that takes is on its way to being done, and left alone.

    Returns:
        number of intents, and the lots on `side` that they withdraw.
    """
    n = 0
    moved = 0
    for slot in range(lane_at(w, i)["slot_count"]):
        order = order_at(w, i, slot)
        if not is_open(w, i, slot) or order["cancel_sent"] != 0 or order["tif"] == IOC:
            continue
        if order["side"] == side:
            if order["view_tick"] == tick:
                continue
            moved += order["view_leaves"]
        write_cancel(intents, n, w, i, slot)
        n += 1
    return n, moved


@njit_lean
def plan_execution(
    touch: Touch, econ: Economics, limits: LimitValues, quoter: QuoterValues, w: World, i: int, task: Task,
    codes: NDArray[np.int32], own: OwnView, intents: NDArray[np.void],
) -> int:  # fmt: skip
    """Intents of an execution desk; see `plan_lane`."""
    lane = lane_at(w, i)
    side = task["side"]
    position = lane["view_position"]
    left = task["lots"] - side * position
    eighths = SLICE_EIGHTHS[codes[CODE_SLICE]]
    over = side == 0 or left <= 0 or lane["t_ns"] >= task["end_ns"]
    if over or eighths == WITHDRAW or not is_two_sided(touch):
        return _keep_or_cancel(w, i, side, 0, intents)[0]
    aggressiveness = codes[CODE_AGGRESSIVENESS]
    tick = _wanted_tick(quoter, aggressiveness, side, touch.bid, touch.ask)
    takes = aggressiveness >= TAKE
    n, moved = _keep_or_cancel(w, i, side, 0 if takes else tick, intents)
    open_lots = own.bid_lots if side == BUY else own.ask_lots
    pool = max(0, left - open_lots)
    fresh = slice_lots(eighths, pool, task["start_ns"], task["end_ns"], lane["t_ns"], quoter.interval_ns)
    qty = min(fresh + moved, pool, limits.order_lots_max)
    if qty > 0 and own.slots < limits.open_orders_max:
        reason = check(
            limits, econ, touch.bid, touch.ask, touch.age_ns, side, tick, qty, position, open_lots, own.slots, 0
        )  # fmt: skip
        write_submit(intents, n, side, tick, qty, IOC if takes else GTX, reason)
        n += 1
    return n
