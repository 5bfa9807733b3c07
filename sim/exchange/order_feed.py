"""The feed of single orders: every order that rests, changes or goes, as rows of an order tape."""

from __future__ import annotations

from lobgym.sim.exchange.board import RECORD_ORDERS, STREAM_DEPTH, Board, order_event_at, stream_at
from lobgym.sim.jit import njit_leaf

__all__ = ["order_said"]


@njit_leaf
def order_said(x: Board, action: int, order_id: int, created_ns: int, tick: int, lots: int, side: int) -> None:
    """Append an event of an order; received after the depth stream's least latency."""
    if x["record"] & RECORD_ORDERS == 0:
        return
    row = x["order_count"]
    x["order_count"] = row + 1
    if row >= x["order_room"]:
        return  # `lobgym.sim.exchange.loop` pauses before that happens; a row that is lost all the same is an error
    event = order_event_at(x, row)
    event["exch_ns"] = x["now_ns"]
    x["order_seen_ns"] = max(x["order_seen_ns"], x["now_ns"] + stream_at(x, STREAM_DEPTH)["floor_ns"])
    event["local_ns"] = x["order_seen_ns"]
    event["created_ns"] = created_ns
    event["order_id"] = order_id
    event["price_ticks"] = tick
    event["qty"] = lots * x["order_unit"]
    event["side"] = side
    event["action"] = action
