"""The clock of an exchange: background flow, the venue's calendar and members' requests in one total order.

By stamp; where stamps are equal, what the flow does, then the calendar, then members' requests by the member's number,
each member's in the order in which they were sent. Members learn of answers when these have travelled back.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np

import lobgym.sim.exchange.arrival
import lobgym.sim.exchange.auction  # noqa: F401 - stand behind the entries
from lobgym.sim.exchange.agenda import agenda_due
from lobgym.sim.exchange.board import BOARD_DTYPE, Board, node_at, world_of
from lobgym.sim.exchange.book import lots_ahead
from lobgym.sim.exchange.calls import call_agenda, call_arrives
from lobgym.sim.exchange.flows import FOREVER, call_flow, low_on_room
from lobgym.sim.jit import njit_inner, njit_lean
from lobgym.sim.kernel import find_slot, learn
from lobgym.sim.memory import target
from lobgym.sim.money import MONEY_MAX
from lobgym.sim.records import LIVE
from lobgym.sim.trades import raise_fee_tier
from lobgym.sim.world import World, lane_at, order_at, request_at, restore_defaults

__all__ = [
    "EXCHANGE_HANDLE_DTYPE",
    "ROW_RESERVE",
    "advance_exchange",
    "enter_members",
    "number_of",
    "place_of",
    "run_exchange",
]

ROW_RESERVE: Final = 1 << 14  # rows that must be free before anything happens: more than one message makes

EXCHANGE_HANDLE_DTYPE: Final = np.dtype([("board", np.int64)])
ExchangeHandle: TypeAlias = Any  # a record of EXCHANGE_HANDLE_DTYPE
_board_of = target(EXCHANGE_HANDLE_DTYPE, "board", BOARD_DTYPE)


@njit_inner
def _next_sender(x: Board, w: World) -> int:
    """The member whose request arrives next, or -1."""
    best = -1
    due = FOREVER
    for lane in range(x["members"]):
        made = lane_at(w, lane)
        if made["request_count"] > 0:
            stamp = request_at(w, lane, made["request_head"])["due_ns"]
            if stamp < due:
                due = stamp
                best = lane
    return best


@njit_inner
def _deliver(x: Board, w: World, lane: int) -> None:
    made = lane_at(w, lane)
    request = request_at(w, lane, made["request_head"])
    made["request_head"] += 1
    if made["request_head"] == w["max_requests"]:
        made["request_head"] = 0
    made["request_count"] -= 1
    if made["request_count"] == 0:
        made["request_head"] = 0
    call_arrives(x, lane, int(request["slot"]), int(request["kind"]), request["tick"], request["qty"])


@njit_lean
def enter_members(h: ExchangeHandle, t_ns: int, seed: np.uint64) -> None:
    """Put every member, with its defaults and nothing else, at time `t_ns`; member i draws from seed + i."""
    x = _board_of(h)
    w = world_of(x)
    for lane in range(x["members"]):
        made = lane_at(w, lane)
        restore_defaults(w, lane)
        made["seed"] = seed + np.uint64(lane)
        made["digest"] = made["seed"]
        made["t_ns"] = t_ns
        made["next_id"] = 1
        made["next_rank"] = 1
        made["free_slot"] = -1
        made["fee_tier_at"] = MONEY_MAX
        if w["fee_tier_count"] > 0:
            raise_fee_tier(w, lane)


@njit_lean
def place_of(h: ExchangeHandle, lane: int, order_id: int) -> int:
    """Lots before a member's order in its queue; -1 where it does not rest."""
    x = _board_of(h)
    w = world_of(x)
    slot = find_slot(w, lane, order_id)
    if slot < 0 or order_at(w, lane, slot)["state"] != LIVE:
        return -1
    return lots_ahead(x, order_at(w, lane, slot)["touch"])


@njit_lean
def number_of(h: ExchangeHandle, lane: int, order_id: int) -> int:
    """A member's resting order as the order tape numbers it; -1 where it does not rest."""
    x = _board_of(h)
    w = world_of(x)
    slot = find_slot(w, lane, order_id)
    if slot < 0 or order_at(w, lane, slot)["state"] != LIVE:
        return -1
    return int(node_at(x, order_at(w, lane, slot)["touch"])["id"])


@njit_lean
def advance_exchange(x: Board, t_ns: int) -> int:
    """Process everything stamped at or before `t_ns`; 0 if it was done, 1 if recorded rows must be taken off first."""
    w = world_of(x)
    sender = _next_sender(x, w)
    while True:
        due = FOREVER if sender < 0 else request_at(w, sender, lane_at(w, sender)["request_head"])["due_ns"]
        calendar = agenda_due(x)
        stop = min(min(due, calendar), t_ns)
        if low_on_room(x, ROW_RESERVE):
            return 1
        if x["flow_due"] <= stop:
            x["flow_due"] = call_flow(x, stop, ROW_RESERVE)
            continue
        if calendar <= stop:
            x["now_ns"] = calendar
            call_agenda(x)
            continue
        if due > t_ns:
            break
        x["now_ns"] = due
        _deliver(x, w, sender)
        sender = _next_sender(x, w)
    x["now_ns"] = t_ns
    for lane in range(x["members"]):
        learn(w, lane, t_ns)
        lane_at(w, lane)["t_ns"] = t_ns
    return 0


@njit_lean
def run_exchange(h: ExchangeHandle, t_ns: int) -> int:
    """`advance_exchange` through a record with one field (see `lobgym.sim.handle`)."""
    return advance_exchange(_board_of(h), t_ns)
