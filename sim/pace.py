"""When a step ends: after the interval, or earlier, at the first thing that the lane learns.

| pace | a step ends | |
|---|---|---|
| `interval` | after `interval_ns` | |
| `fill` | when the lane learns of a fill, of an order that expired, or of one that was rejected | |
| `book` | when the lane sees a best price other than the one it decided on | |

Of the latter two, `interval_ns` is the longest step and `pace_min_ns` the shortest: what comes earlier ends the step
then. Nothing but what has reached the lane can end its step, so a step's length tells it nothing ahead of time.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from lobgym.sim.calls import call_advance
from lobgym.sim.jit import njit_lean
from lobgym.sim.kernel import next_feed_ns
from lobgym.sim.latency import MODEL_NONE
from lobgym.sim.mids import next_stamp
from lobgym.sim.records import EXPIRED, FILL, REJECTED
from lobgym.sim.view import ask_index, ask_tick, best_ask, best_bid, bid_index, bid_tick, row_ns
from lobgym.sim.world import World, exch_of, lane_at, local_of, request_at, response_at

__all__ = ["PACES", "PACE_BOOK", "PACE_FILL", "PACE_INTERVAL", "advance_step"]

PACES: Final = ("interval", "fill", "book")  # DeskSpec.pace; the kernels know them by their place
PACE_INTERVAL: Final = 0
PACE_FILL: Final = 1
PACE_BOOK: Final = 2

_FOREVER: Final = np.iinfo(np.int64).max


@njit_lean
def _news_due(w: World, i: int, t_ns: int) -> bool:
    """Whether a fill, an expiry or a rejection is on its way to the lane and there by `t_ns`."""
    lane = lane_at(w, i)
    size = w["max_responses"]
    for k in range(lane["response_count"]):
        place = lane["response_head"] + k
        if place >= size:
            place -= size
        answer = response_at(w, i, place)
        if answer["due_ns"] > t_ns:
            return False
        kind = answer["kind"]
        if kind == FILL or kind == EXPIRED or kind == REJECTED:
            return True
    return False


@njit_lean
def _next_cause_ns(w: World, i: int) -> int:
    """Nothing that the exchange would answer happens to the lane before this stamp."""
    lane = lane_at(w, i)
    cause = lane["check_ns"]
    if lane["request_count"] > 0:
        cause = min(cause, request_at(w, i, lane["request_head"])["due_ns"])
    if lane["live_orders"] > 0 and lane["exch_cursor"] < exch_of(w)["size"]:
        cause = min(cause, row_ns(exch_of(w), lane["exch_cursor"]))
    return int(cause)


@njit_lean
def _advance_to_fill(w: World, i: int, first_ns: int, until_ns: int) -> None:
    """Hops that end before the answer to anything that happens in them could have arrived.

    So an answer is seen in the queue before the lane reads it. Without any way back it is read as it is given; then
    the account tells, and where nothing else delays answers, the exchange's counts.
    """
    lane = lane_at(w, i)
    back = lane["response_ns"]
    while lane["error"] == 0 and lane["t_ns"] < until_ns:
        cause = _next_cause_ns(w, i)
        stop = until_ns if cause > until_ns else min(until_ns, cause + max(back - 1, 0))
        if lane["response_count"] > 0:
            stop = min(stop, response_at(w, i, lane["response_head"])["due_ns"])
        stop = max(stop, lane["t_ns"])
        news = _news_due(w, i, stop)
        position, cash, fees = lane["view_position"], lane["view_cash"], lane["view_fees"]
        count = lane["fills"] + lane["rejects"]
        call_advance(w, i, stop)
        if back == 0:
            news = news or position != lane["view_position"] or cash != lane["view_cash"] or fees != lane["view_fees"]
            news = news or (w["latency"] == MODEL_NONE and count != lane["fills"] + lane["rejects"])
        if news:
            if lane["t_ns"] < first_ns:
                call_advance(w, i, first_ns)
            return


@njit_lean
def _next_best_ns(w: World, i: int) -> int:
    """When a lane whose feed has no jitter sees another best price than now; the greatest int64 where never."""
    lane = lane_at(w, i)
    local = local_of(w)
    j = bid_index(local, lane["local_cursor"]) - 1
    k = ask_index(local, lane["local_cursor"]) - 1
    bid = bid_tick(local, j)
    ask = ask_tick(local, k)
    while True:
        stamp, j, k = next_stamp(local, j, k)
        if stamp < 0:
            return _FOREVER
        if bid_tick(local, j) != bid or ask_tick(local, k) != ask:
            return int(stamp + lane["feed_delay_ns"])


@njit_lean
def _advance_to_best(w: World, i: int, first_ns: int, until_ns: int) -> None:
    lane = lane_at(w, i)
    if lane["feed_jitter_ns"] == 0:
        call_advance(w, i, min(max(_next_best_ns(w, i), first_ns), until_ns))
        return
    local = local_of(w)
    bid = best_bid(local, lane["local_cursor"])
    ask = best_ask(local, lane["local_cursor"])
    while lane["error"] == 0 and lane["t_ns"] < until_ns:
        call_advance(w, i, min(next_feed_ns(w, i), until_ns))
        if best_bid(local, lane["local_cursor"]) != bid or best_ask(local, lane["local_cursor"]) != ask:
            if lane["t_ns"] < first_ns:
                call_advance(w, i, first_ns)
            return


@njit_lean
def advance_step(w: World, i: int, pace: int, min_ns: int, interval_ns: int) -> None:
    """Advance lane `i` to the end of its step, which `interval_ns` from now must fit on the tape."""
    t_ns = lane_at(w, i)["t_ns"]
    if pace == PACE_INTERVAL:
        call_advance(w, i, t_ns + interval_ns)
    elif pace == PACE_FILL:
        _advance_to_fill(w, i, t_ns + min_ns, t_ns + interval_ns)
    else:
        _advance_to_best(w, i, t_ns + min_ns, t_ns + interval_ns)
