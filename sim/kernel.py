"""The clock of a lane: requests travel to the exchange, rows and requests are applied in order, answers travel back.

Everything stamped at or before the target time is processed in one total order: by stamp, and where stamps are
equal the exchange's data before the orders that arrive with it. What a lane knows (`view_*`, its local cursor) only
ever comes from rows and answers that have reached it.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.book import (
    NO_ASK,
    NO_BID,
    Book,
    best_ask,
    best_bid,
    cursor_at,
    is_known,
    level_qty,
    seek_forward,
)
from lobgym.sim.jit import njit_inline, njit_lean
from lobgym.sim.lanes import Lanes, push_response
from lobgym.sim.matching import apply_rows, take
from lobgym.sim.money import Economics
from lobgym.sim.queue import FRONT_BITS
from lobgym.sim.records import (
    ACK,
    ALREADY_DONE,
    BUY,
    CANCEL_REJECTED,
    CANCELLED,
    DONE,
    ERR_REQUESTS_FULL,
    EXPIRED,
    FILL,
    FREE,
    GTX,
    IOC,
    LIVE,
    NOTHING_TO_TAKE,
    REJECTED,
    REQ_CANCEL,
    REQ_SUBMIT,
    SENT,
    UNKNOWN_LEVEL,
    WOULD_TAKE,
)

__all__ = ["advance", "advance_all", "cancel", "find_slot", "reset_lane", "submit"]

_FOREVER: Final = np.iinfo(np.int64).max


@njit_lean
def reset_lane(
    exch: Book, local: Book, lanes: Lanes, i: int, t_ns: int, seed: np.uint64, entry_ns: int, response_ns: int,
    maker_fee_ppb: int, taker_fee_ppb: int,
) -> None:  # fmt: skip
    """Put an empty lane at time `t_ns`: two searches, no replay."""
    for slot in range(lanes.lane[i]["slot_count"]):
        lanes.orders[i, slot]["state"] = FREE
        lanes.orders[i, slot]["view_state"] = FREE
    lane = lanes.lane[i]
    lane["t_ns"] = t_ns
    lane["exch_cursor"] = cursor_at(exch.ns, t_ns)
    lane["local_cursor"] = cursor_at(local.ns, t_ns)
    lane["seed"] = seed
    lane["digest"] = seed
    lane["next_id"] = 1
    lane["entry_ns"] = entry_ns
    lane["response_ns"] = response_ns
    lane["maker_fee_ppb"] = maker_fee_ppb
    lane["taker_fee_ppb"] = taker_fee_ppb
    lane["position"] = 0
    lane["cash"] = 0
    lane["fees"] = 0
    lane["view_position"] = 0
    lane["view_cash"] = 0
    lane["view_fees"] = 0
    lane["submits"] = 0
    lane["cancels"] = 0
    lane["rejects"] = 0
    lane["fills"] = 0
    lane["maker_fills"] = 0
    lane["filled_lots"] = 0
    lane["filled_orders"] = 0
    lane["first_fill_wait_ns"] = 0
    lane["turnover"] = 0
    lane["request_head"] = 0
    lane["request_tail"] = 0
    lane["response_head"] = 0
    lane["response_tail"] = 0
    lane["spent_count"] = 0
    lane["slot_count"] = 0
    lane["live_orders"] = 0
    lane["error"] = 0


# -- what a lane can do ----------------------------------------------------------------------------------------------


@njit_inline
def _request(lanes: Lanes, i: int, slot: int, kind: int) -> None:
    lane = lanes.lane[i]
    size = lanes.requests.shape[1]
    if lane["request_tail"] - lane["request_head"] >= size:
        lane["error"] = ERR_REQUESTS_FULL
        return
    request = lanes.requests[i, lane["request_tail"] % size]
    request["due_ns"] = lane["t_ns"] + lane["entry_ns"]
    request["slot"] = slot
    request["kind"] = kind
    lane["request_tail"] += 1


@njit_lean
def submit(lanes: Lanes, i: int, side: int, tick: int, qty: int, tif: int) -> int:
    """Send an order now; return its id, or 0 if every order slot is in use. No risk check here."""
    lane = lanes.lane[i]
    slot = 0
    while slot < lane["slot_count"] and lanes.orders[i, slot]["state"] != FREE:
        slot += 1
    if slot == lanes.orders.shape[1]:
        return 0
    if slot == lane["slot_count"]:
        lane["slot_count"] = slot + 1
    order = lanes.orders[i, slot]
    order["id"] = lane["next_id"]
    order["tick"] = tick
    order["qty"] = qty
    order["leaves"] = qty
    order["front"] = 0
    order["since_print"] = 0
    order["view_leaves"] = qty
    order["submit_ns"] = lane["t_ns"]
    order["arrive_ns"] = 0
    order["side"] = side
    order["tif"] = tif
    order["state"] = SENT
    order["view_state"] = SENT
    order["cancel_sent"] = 0
    lane["next_id"] += 1
    lane["submits"] += 1
    _request(lanes, i, slot, REQ_SUBMIT)
    return int(order["id"])


@njit_inline
def cancel(lanes: Lanes, i: int, slot: int) -> None:
    """Ask for an order to be cancelled. Asking twice, or for one known to be done, sends nothing."""
    order = lanes.orders[i, slot]
    if order["cancel_sent"] or order["view_state"] == DONE or order["view_state"] == FREE:
        return
    order["cancel_sent"] = 1
    lanes.lane[i]["cancels"] += 1
    _request(lanes, i, slot, REQ_CANCEL)


@njit_lean
def find_slot(lanes: Lanes, i: int, order_id: int) -> int:
    """Slot of an order id, or -1."""
    for slot in range(lanes.lane[i]["slot_count"]):
        if lanes.orders[i, slot]["state"] != FREE and lanes.orders[i, slot]["id"] == order_id:
            return slot
    return -1


# -- what the exchange does ------------------------------------------------------------------------------------------


@njit_inline
def _arrive(book: Book, econ: Economics, lanes: Lanes, i: int, slot: int, ns: int, cursor: int) -> None:
    """A new order meets the book of the exchange."""
    order = lanes.orders[i, slot]
    lane = lanes.lane[i]
    order["arrive_ns"] = ns
    side = order["side"]
    tick = order["tick"]
    opposite = best_ask(book, cursor) if side == BUY else best_bid(book, cursor)
    exists = opposite != NO_ASK and opposite != NO_BID
    takes = exists and side * tick >= side * opposite
    if order["tif"] != IOC and not takes and not is_known(book, side, tick, cursor):
        order["state"] = DONE
        lane["rejects"] += 1
        push_response(lanes, i, slot, REJECTED, ns, 0, 0, 0, 0, 0, UNKNOWN_LEVEL)
        return
    if takes and order["tif"] == GTX:
        order["state"] = DONE
        lane["rejects"] += 1
        push_response(lanes, i, slot, EXPIRED, ns, 0, 0, 0, 0, 0, WOULD_TAKE)
        return
    if takes:
        take(book, econ, lanes, i, slot, ns, cursor, False)
        if order["leaves"] == 0:
            return
    if order["tif"] == IOC:
        order["state"] = DONE
        lane["rejects"] += order["leaves"] == order["qty"]
        push_response(lanes, i, slot, EXPIRED, ns, 0, 0, 0, 0, 0, NOTHING_TO_TAKE)
        return
    # What is left of an order that took rests alone at a price where nobody of its side stood.
    front = 0 if takes else level_qty(book, side, tick, cursor) << FRONT_BITS
    # A reset of the book may have left an older own order here with a front that nothing displays any more.
    for other in range(lane["slot_count"]):
        rival = lanes.orders[i, other]
        if rival["state"] == LIVE and rival["side"] == side and rival["tick"] == tick:
            front = max(front, rival["front"])
    order["front"] = front
    order["state"] = LIVE
    lane["live_orders"] += 1
    push_response(lanes, i, slot, ACK, ns, 0, 0, 0, 0, 0, 0)


@njit_inline
def _cancel_arrives(lanes: Lanes, i: int, slot: int, ns: int) -> None:
    order = lanes.orders[i, slot]
    if order["state"] == LIVE:
        order["state"] = DONE
        lanes.lane[i]["live_orders"] -= 1
        push_response(lanes, i, slot, CANCELLED, ns, 0, 0, 0, 0, 0, 0)
    else:
        push_response(lanes, i, slot, CANCEL_REJECTED, ns, 0, 0, 0, 0, 0, ALREADY_DONE)


# -- what a lane learns ----------------------------------------------------------------------------------------------


@njit_inline
def _free_if_settled(lanes: Lanes, i: int, slot: int) -> None:
    """Give a slot back once both sides are done with the order and no cancel of it is under way."""
    order = lanes.orders[i, slot]
    if order["state"] != DONE or order["view_state"] != DONE or order["cancel_sent"]:
        return
    order["state"] = FREE
    order["view_state"] = FREE
    lane = lanes.lane[i]
    while lane["slot_count"] > 0 and lanes.orders[i, lane["slot_count"] - 1]["state"] == FREE:
        lane["slot_count"] -= 1


@njit_inline
def _learn(lanes: Lanes, i: int, t_ns: int) -> None:
    """Read every answer that has arrived by `t_ns`."""
    lane = lanes.lane[i]
    size = lanes.responses.shape[1]
    while lane["response_head"] < lane["response_tail"]:
        answer = lanes.responses[i, lane["response_head"] % size]
        if answer["due_ns"] > t_ns:
            return
        lane["response_head"] += 1
        slot = answer["slot"]
        order = lanes.orders[i, slot]
        kind = answer["kind"]
        if kind == FILL:
            lane["view_position"] += order["side"] * answer["qty"]
            lane["view_cash"] += answer["cash"]
            lane["view_fees"] += answer["fee"]
            order["view_leaves"] -= answer["qty"]
            if order["view_leaves"] == 0:
                order["view_state"] = DONE
        elif kind == ACK:
            order["view_state"] = LIVE
        elif kind == CANCEL_REJECTED:
            order["cancel_sent"] = 0
        else:
            order["view_state"] = DONE
            if kind == CANCELLED:
                order["cancel_sent"] = 0
        _free_if_settled(lanes, i, slot)


@njit_lean
def advance(exch: Book, local: Book, econ: Economics, lanes: Lanes, i: int, t_ns: int) -> None:
    """Process everything stamped at or before `t_ns` for lane `i`; a set `error` stops it."""
    lane = lanes.lane[i]
    size = lanes.requests.shape[1]
    while lane["error"] == 0:
        due = _FOREVER
        if lane["request_head"] < lane["request_tail"]:
            due = lanes.requests[i, lane["request_head"] % size]["due_ns"]
        start = lane["exch_cursor"]
        end = seek_forward(exch.ns, start, min(due, t_ns))
        if lane["live_orders"] > 0:
            apply_rows(exch, econ, lanes, i, start, end)
        lane["exch_cursor"] = end
        if due > t_ns or lane["error"] != 0:
            break
        request = lanes.requests[i, lane["request_head"] % size]
        lane["request_head"] += 1
        if request["kind"] == REQ_SUBMIT:
            _arrive(exch, econ, lanes, i, request["slot"], due, end)
        else:
            _cancel_arrives(lanes, i, request["slot"], due)
    _learn(lanes, i, t_ns)
    lane["local_cursor"] = seek_forward(local.ns, lane["local_cursor"], t_ns)
    lane["t_ns"] = t_ns


@njit_lean
def advance_all(exch: Book, local: Book, econ: Economics, lanes: Lanes, t_ns: NDArray[np.int64]) -> None:
    """`advance` for every lane, each to its own time."""
    for i in range(lanes.lane.shape[0]):
        advance(exch, local, econ, lanes, i, t_ns[i])
