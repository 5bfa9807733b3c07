"""What a compiled strategy is made of: an ordinary `@numba.njit` function that takes a session's `world`.

    import numba
    from lobgym.sim import strategy as lob

    @numba.njit(cache=True)
    def quote(w, lane, until_ns): ...

    quote(session.world, 0, session.end_ns)
    session.check()

What drives a lane is called by address (`lobgym.sim.memory`), so a strategy compiles alone, within a second or two,
and runs as fast as the simulator itself. Arguments are int64; `w` is the world, `lane` from 0 to w["lanes"] - 1.

| name | does |
|---|---|
| `advance(w, lane, t_ns)` | everything stamped up to `t_ns`, which must not lie before the lane's clock |
| `submit(w, lane, side, tick, qty, tif, reduce_only)` | sends an order; its id, or 0 where every slot is in use |
| `cancel(w, lane, slot)` | asks for a cancel; nothing where one is under way, or the order is known to be done |
| `modify(w, lane, slot, tick, qty)` | asks for another price and total quantity |
| `wait_answer(w, lane, slot, until_ns)` | advances to the next answer about an order; 1, or 0 if none came by then |
| `slot_of(w, lane, order_id)` | where an order is kept, or -1: done and forgotten |
| `next_feed_ns(w, lane)` | when the lane sees its next row; the greatest int64 behind the last |
| `lane_at(w, lane)` | a record of LANE_DTYPE: "t_ns", "error", "view_position", "slot_count", ... |
| `order_at(w, lane, slot)` | a record of ORDER_DTYPE: "id", "side", "view_state", "view_tick", "view_leaves", ... |
| `local_of(w)`, `local_cursor(w, lane)` | the book in order of arrival, and how much of it the lane has seen |
| `own_view(w, lane)` | sums over the orders that may still fill |

All that is asked of a book takes a book and a cursor: `best_bid`, `best_ask` (NO_BID, NO_ASK where a side is empty),
`best_bid_qty`, `best_ask_qty`, `level_qty(book, side, tick, cursor)`, `is_known(book, side, tick, cursor)`,
`bought_lots`, `sold_lots` (printed so far), `ladder(book, side, cursor, depth, out_tick, out_qty)`; `ladder_with` is
that without allocating: it takes int64[2, LADDER_SCRATCH] besides.

Three rules. Only what starts with `view_`, and the book up to the local cursor, is what a trader could know then.
Nothing checks a lane, a slot, a side or a price: the checks are `Session`'s. And a lane that runs out of room, or sends
an order of no lots or of 2^42 and more, stops with its "error" set: `Session.check()` raises it.
"""

from __future__ import annotations

from lobgym.sim.book import NO_ASK, NO_BID
from lobgym.sim.calls import call_advance as advance
from lobgym.sim.calls import call_cancel as cancel
from lobgym.sim.calls import call_modify as modify
from lobgym.sim.calls import call_submit as submit
from lobgym.sim.calls import call_wait_answer as wait_answer
from lobgym.sim.jit import njit_leaf
from lobgym.sim.kernel import find_slot as slot_of
from lobgym.sim.kernel import next_feed_ns
from lobgym.sim.ladder import LADDER_SCRATCH, ladder, ladder_with
from lobgym.sim.own import own_view
from lobgym.sim.printed import bought_lots, sold_lots
from lobgym.sim.view import (
    best_ask,
    best_ask_qty,
    best_bid,
    best_bid_qty,
    is_known,
    level_qty,
)
from lobgym.sim.world import World, lane_at, local_of, order_at

__all__ = [
    "LADDER_SCRATCH",
    "NO_ASK",
    "NO_BID",
    "advance",
    "best_ask",
    "best_ask_qty",
    "best_bid",
    "best_bid_qty",
    "bought_lots",
    "cancel",
    "is_known",
    "ladder",
    "ladder_with",
    "lane_at",
    "level_qty",
    "local_cursor",
    "local_of",
    "modify",
    "next_feed_ns",
    "order_at",
    "own_view",
    "slot_of",
    "sold_lots",
    "submit",
    "wait_answer",
]


@njit_leaf
def local_cursor(w: World, lane: int) -> int:
    """How many rows of `local_of(w)` the lane has seen."""
    return lane_at(w, lane)["local_cursor"]
