"""What every kind of quoter reads and writes: the touch, the desk's values, and intents."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.book import NO_ASK, NO_BID
from lobgym.sim.jit import njit_lean
from lobgym.sim.records import FREE, LIVE, OK, SENT
from lobgym.sim.world import World, order_at

__all__ = [
    "INTENT_CANCEL",
    "INTENT_DTYPE",
    "INTENT_SUBMIT",
    "KIND_EXECUTION",
    "KIND_GRID",
    "KIND_MAKER",
    "KIND_TARGET",
    "SUBMITS_MAX",
    "QuoterValues",
    "Touch",
    "is_open",
    "is_two_sided",
    "write_cancel",
    "write_submit",
]

INTENT_SUBMIT: Final = 1
INTENT_CANCEL: Final = 2
SUBMITS_MAX: Final = 10  # of one plan: five levels a side

KIND_GRID: Final = 0  # QuoterValues.kind
KIND_TARGET: Final = 1
KIND_MAKER: Final = 2
KIND_EXECUTION: Final = 3

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


class Touch(NamedTuple):
    """The best quotes that a lane sees, wherever its book comes from."""

    bid: int  # ticks; NO_BID where there is none
    ask: int  # ticks; NO_ASK where there is none
    age_ns: int  # time since the lane's book last changed


class QuoterValues(NamedTuple):
    """What the quoter needs of a desk's spec."""

    kind: int  # KIND_*
    position_lots_max: int
    order_lots: int
    sweep_ticks: int
    spacing_ticks: NDArray[np.int64]  # [15] grid
    target_lots: NDArray[np.int64]  # [targets]
    short_lots_max: int  # the shortest position that asks may lead to; 0 where nothing can be sold short
    offset_ticks: NDArray[np.int64]  # [14] maker
    lean_ticks: int  # maker: what a skew code moves the centre by at the position limit
    behind_ticks: NDArray[np.int64]  # [2] execution: how far behind its own best it may wait
    interval_ns: int  # execution: the time that a slice is for


@njit_lean
def is_two_sided(touch: Touch) -> bool:
    """Whether there is a bid and an ask."""
    return touch.bid != NO_BID and touch.ask != NO_ASK


@njit_lean
def is_open(w: World, i: int, slot: int) -> bool:
    """Whether the order of a slot may still fill, as far as the lane knows."""
    order = order_at(w, i, slot)
    view = order["view_state"]
    return order["state"] != FREE and (view == SENT or view == LIVE)


@njit_lean
def write_submit(intents: NDArray[np.void], n: int, side: int, tick: int, qty: int, tif: int, reason: int) -> None:
    """Make intent `n` an order to send, with the risk check's verdict."""
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
def write_cancel(intents: NDArray[np.void], n: int, w: World, i: int, slot: int) -> None:
    """Make intent `n` the cancellation of the order of a slot."""
    order = order_at(w, i, slot)
    intent = intents[n]
    intent["order_id"] = order["id"]
    intent["tick"] = order["view_tick"]
    intent["qty"] = order["view_leaves"]
    intent["slot"] = slot
    intent["kind"] = INTENT_CANCEL
    intent["side"] = order["side"]
    intent["tif"] = order["tif"]
    intent["reason"] = OK
