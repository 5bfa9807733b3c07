"""A look at traders: int64[N, columns], a row of raw state each. What a step is filmed by, so it is compiled.

Prices in ticks, NO_BID and NO_ASK where there is none; quantities in lots, money in money units. Behind LOOK_COLUMNS
stand the codes that the trader's desk heard last.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.book import NO_ASK, NO_BID
from lobgym.sim.desk_kernel import TABLES, Desk, equity_of
from lobgym.sim.jit import njit_leaf, njit_lean
from lobgym.sim.records import BUY, FREE, LIVE, SENT
from lobgym.sim.view import best_ask, best_bid
from lobgym.sim.world import World, lane_at, local_of, order_at

__all__ = [
    "ASK",
    "BID",
    "CODES",
    "EQUITY",
    "LOOK_COLUMNS",
    "OWN_ASK",
    "OWN_BID",
    "POSITION",
    "T_NS",
    "look_at_account",
    "look_at_lanes",
]

LOOK_COLUMNS: Final = ("t_ns", "bid", "ask", "own_bid", "own_ask", "position", "equity")
T_NS, BID, ASK, OWN_BID, OWN_ASK, POSITION, EQUITY = range(len(LOOK_COLUMNS))
CODES: Final = len(LOOK_COLUMNS)  # the first column of codes

_tables_of: Any = TABLES.at


@njit_leaf
def look_at_account(w: World, i: int, out: NDArray[np.int64]) -> None:
    """Write clock, position and best own orders of lane `i` of any world into its row of `out`.

    An order counts as long as it may still fill as far as the lane knows, also when its cancellation is on its way.
    """
    lane = lane_at(w, i)
    bid = NO_BID
    ask = NO_ASK
    for slot in range(lane["slot_count"]):
        order = order_at(w, i, slot)
        view = order["view_state"]
        if order["state"] == FREE or (view != SENT and view != LIVE) or order["view_leaves"] <= 0:
            continue
        if order["side"] == BUY:
            bid = max(bid, order["view_tick"])
        else:
            ask = min(ask, order["view_tick"])
    out[i, T_NS] = lane["t_ns"]
    out[i, POSITION] = lane["position"]
    out[i, OWN_BID] = bid
    out[i, OWN_ASK] = ask


@njit_lean
def look_at_lanes(h: Desk, mask: NDArray[np.bool_], out: NDArray[np.int64]) -> None:
    """Write LOOK_COLUMNS of the desk's lanes of `mask` [N] into `out` [N, columns]; changes nothing else."""
    w = _tables_of(h).world
    book = local_of(w)
    for i in range(mask.shape[0]):
        if mask[i]:
            look_at_account(w, i, out)
            cursor = lane_at(w, i)["local_cursor"]
            out[i, BID] = best_bid(book, cursor)
            out[i, ASK] = best_ask(book, cursor)
            out[i, EQUITY] = equity_of(h, i)
