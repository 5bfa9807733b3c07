"""The clock of a lane: requests travel to the exchange, rows and requests are applied in order, answers travel back.

Everything stamped at or before the target time is processed in one total order: by stamp, and where stamps are
equal the exchange's data, then what the venue's calendar has for the account, then the orders that arrive with it. What
a lane knows (`view_*`, its local cursor) only ever comes from rows and answers that have reached it.

These functions are what a compiled strategy calls; `Session` is their plain Python face.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.answers import send, write_log
from lobgym.sim.arrival import cancel_arrives, submit_arrives
from lobgym.sim.book import MARK_EVERY, NO_ASK, NO_BID
from lobgym.sim.calls import (
    call_advance,
    call_advance_account,
    call_modify_arrives,
    call_settle,
    call_sync_front,
    entry,
)
from lobgym.sim.jit import njit_inner, njit_leaf, njit_lean
from lobgym.sim.latency import MODEL_NONE, feed_jitter, modelled_entry
from lobgym.sim.money import MONEY_MAX
from lobgym.sim.queue import LOTS_MAX
from lobgym.sim.records import (
    ACK,
    CANCEL_REJECTED,
    CANCELLED,
    DONE,
    ERR_LEDGER,
    ERR_REQUESTS_FULL,
    FILL,
    FREE,
    FUNDED,
    LIVE,
    LOG_FULL,
    LOST,
    MODIFIED,
    MODIFY_REJECTED,
    REJECTED,
    REQ_CANCEL,
    REQ_MODIFY,
    REQ_SUBMIT,
    SENT,
    SENT_CANCEL,
    SENT_MODIFY,
    SENT_SUBMIT,
)
from lobgym.sim.settlement import schedule
from lobgym.sim.stretch import apply_rows
from lobgym.sim.trades import raise_fee_tier
from lobgym.sim.view import fetch_mark, fetch_print, fetch_stamps, row_ns, seek_stamp, stamp_row, stamps_at
from lobgym.sim.world import World, exch_of, lane_at, local_of, order_at, request_at, response_at, restore_defaults

__all__ = [
    "advance",
    "advance_all",
    "advance_some",
    "cancel",
    "find_slot",
    "learn",
    "modify",
    "next_feed_ns",
    "reset_lane",
    "reset_lanes",
    "submit",
    "sync_queues",
    "wait_answer",
]

_FOREVER: Final = np.iinfo(np.int64).max
_SECOND: Final = 1_000_000_000
_PRINTS_AHEAD: Final = 4  # places in the list of prints from which on they are fetched: a cache line and a half


@njit_inner
def reset_lane(
    w: World, i: int, t_ns: int, seed: np.uint64
) -> None:  # fmt: skip
    """Put an empty lane at time `t_ns`: two searches, no replay.

    The session's defaults hold the lane's parameters; everything else in them is 0.
    """
    for slot in range(lane_at(w, i)["slot_count"]):
        order_at(w, i, slot)["state"] = FREE
        order_at(w, i, slot)["view_state"] = FREE
    lane = lane_at(w, i)
    restore_defaults(w, i)
    lane["seed"] = seed
    lane["t_ns"] = t_ns
    lane["exch_stamp"] = stamps_at(exch_of(w), t_ns)
    lane["local_stamp"] = stamps_at(local_of(w), _received_by(w, i, t_ns))
    lane["exch_cursor"] = stamp_row(exch_of(w), lane["exch_stamp"])
    lane["local_cursor"] = stamp_row(local_of(w), lane["local_stamp"])
    lane["digest"] = seed
    lane["next_id"] = 1
    lane["next_rank"] = 1
    lane["free_slot"] = -1
    lane["bid_high"] = NO_BID
    lane["ask_low"] = NO_ASK
    lane["list_cursor"] = -(1 << 40)  # far away: the first use looks its places up
    lane["known_until"] = -1
    schedule(w, i, t_ns)
    lane["fee_tier_at"] = MONEY_MAX
    if w["fee_tier_count"] > 0:
        raise_fee_tier(w, i)


@njit_lean
def reset_lanes(
    w: World, mask: NDArray[np.bool_], t_ns: NDArray[np.int64], seeds: NDArray[np.uint64]
) -> None:  # fmt: skip
    """`reset_lane` for every lane of `mask`."""
    for i in range(w["lanes"]):
        if mask[i]:
            reset_lane(w, i, t_ns[i], seeds[i])


# -- what a lane can do ----------------------------------------------------------------------------------------------


@njit_inner
def _lose(w: World, i: int, slot: int, kind: int, after_ns: int) -> None:
    """A request that never reaches the exchange; its sender learns so after `after_ns`."""
    lane = lane_at(w, i)
    order = order_at(w, i, slot)
    lost = REJECTED if kind == REQ_SUBMIT else (CANCEL_REJECTED if kind == REQ_CANCEL else MODIFY_REJECTED)
    due = send(w, i, slot, order["side"], lost, lane["t_ns"] + after_ns, 0, 0, 0, 0, 0, LOST)
    if due < 0:
        return
    if kind == REQ_SUBMIT:
        order["state"] = DONE
        lane["rejects"] += 1
    if w["log_level"] == LOG_FULL:
        write_log(
            w, i, lost, lane["t_ns"], due, order["id"], order["submit_ns"], order["tif"], order["side"], 0, 0, 0,
            0, 0, LOST,
        )  # fmt: skip


@njit_leaf
def _request(w: World, i: int, slot: int, kind: int, tick: int, qty: int, extra_ns: int, logged: int) -> None:
    lane = lane_at(w, i)
    size = w["max_requests"]
    count = lane["request_count"]
    if count >= size:
        lane["error"] = ERR_REQUESTS_FULL
        return
    entry = lane["entry_ns"] + extra_ns
    if w["latency"] != MODEL_NONE:
        modelled = modelled_entry(w, lane["seed"], lane["requests_sent"], lane["t_ns"])
        lane["requests_sent"] += 1
        if modelled < 0:
            _lose(w, i, slot, kind, -modelled)
            return
        entry += modelled
    due = max(lane["t_ns"] + entry, lane["request_due"])
    lane["request_due"] = due
    place = lane["request_head"] + count
    if place >= size:
        place -= size
    request = request_at(w, i, place)
    request["due_ns"] = due
    request["tick"] = tick
    request["qty"] = qty
    request["leaves"] = order_at(w, i, slot)["view_leaves"]
    request["slot"] = slot
    request["kind"] = kind
    lane["request_count"] = count + 1
    if w["log_level"] == LOG_FULL:
        order = order_at(w, i, slot)
        write_log(
            w, i, logged, lane["t_ns"], due, order["id"], order["submit_ns"], order["tif"], order["side"], tick,
            qty, 0, 0, 0, 0,
        )  # fmt: skip


@njit_leaf
def _slot(w: World, i: int) -> int:
    """Take a free order slot; -1 if every one is in use."""
    lane = lane_at(w, i)
    slot = lane["free_slot"]
    if slot >= 0:
        lane["free_slot"] = int(order_at(w, i, slot)["sync"])
    else:
        slot = lane["slot_count"]
        if slot == w["max_orders"]:
            return -1
        lane["slot_count"] = slot + 1
    lane["slots_used"] += 1
    return int(slot)


@entry("submit")
def submit(w: World, i: int, side: int, tick: int, qty: int, tif: int, reduce_only: int) -> int:
    """Send an order now; return its id, or 0 if every order slot is in use. No risk check here.

    Fewer than LOTS_MAX lots, so that no sum over orders leaves 64 bits; else an error of the lane, and 0.
    """
    lane = lane_at(w, i)
    if not 1 <= qty < LOTS_MAX:
        lane["error"] = ERR_LEDGER
        return 0
    slot = _slot(w, i)
    if slot < 0:
        return 0
    order = order_at(w, i, slot)
    order_id = lane["next_id"]
    order["id"] = order_id
    order["tick"] = tick
    order["qty"] = qty
    order["leaves"] = qty
    order["view_tick"] = tick
    order["view_leaves"] = qty
    order["submit_ns"] = lane["t_ns"]
    order["arrive_ns"] = 0
    order["shared"] = 0
    order["side"] = side
    order["tif"] = tif
    order["reduce_only"] = reduce_only
    order["state"] = SENT
    order["view_state"] = SENT
    order["cancel_sent"] = 0
    order["modifies_sent"] = 0
    lane["next_id"] = order_id + 1
    lane["submits"] += 1
    _request(w, i, slot, REQ_SUBMIT, tick, qty, w["submit_extra_ns"], SENT_SUBMIT)
    return int(order_id)


@entry("cancel")
def cancel(w: World, i: int, slot: int) -> int:
    """Ask for an order to be cancelled. Asking twice, or for one known to be done, sends nothing."""
    order = order_at(w, i, slot)
    if order["cancel_sent"] or order["view_state"] == DONE or order["view_state"] == FREE:
        return 0
    order["cancel_sent"] = 1
    lane_at(w, i)["cancels"] += 1
    _request(w, i, slot, REQ_CANCEL, 0, 0, w["cancel_extra_ns"], SENT_CANCEL)
    return 0


@entry("modify")
def modify(w: World, i: int, slot: int, tick: int, qty: int) -> int:
    """Ask for an order to stand at `tick` with `qty` lots in total, bounded as in `submit`.

    For one known to be done it sends nothing.
    """
    if not 1 <= qty < LOTS_MAX:
        lane_at(w, i)["error"] = ERR_LEDGER
        return 0
    order = order_at(w, i, slot)
    if order["view_state"] == DONE or order["view_state"] == FREE:
        return 0
    order["modifies_sent"] += 1
    lane_at(w, i)["modifies"] += 1
    _request(w, i, slot, REQ_MODIFY, tick, qty, w["modify_extra_ns"], SENT_MODIFY)
    return 0


@njit_lean
def find_slot(w: World, i: int, order_id: int) -> int:
    """Slot of an order id, or -1."""
    for slot in range(lane_at(w, i)["slot_count"]):
        if order_at(w, i, slot)["id"] == order_id and order_at(w, i, slot)["state"] != FREE:
            return slot
    return -1


@njit_lean
def sync_queues(w: World, i: int) -> None:
    """Bring the fronts of lane `i`'s resting orders up to date, for whoever wants to look at them."""
    lane = lane_at(w, i)
    for slot in range(lane["slot_count"]):
        if order_at(w, i, slot)["state"] == LIVE:
            call_sync_front(w, i, slot, lane["exch_cursor"])


# -- what a lane learns ----------------------------------------------------------------------------------------------


@njit_leaf
def _free_if_settled(w: World, i: int, slot: int) -> None:
    """Give a slot back once both sides are done with the order and no request about it is under way."""
    order = order_at(w, i, slot)
    if order["state"] != DONE or order["view_state"] != DONE or order["cancel_sent"] or order["modifies_sent"]:
        return
    lane = lane_at(w, i)
    order["state"] = FREE
    order["view_state"] = FREE
    order["sync"] = lane["free_slot"]
    lane["free_slot"] = slot
    lane["slots_used"] -= 1
    if lane["slots_used"] == 0:
        lane["slot_count"] = 0
        lane["free_slot"] = -1


@njit_leaf
def learn(w: World, i: int, t_ns: int) -> None:
    """Read every answer that has arrived by `t_ns`."""
    lane = lane_at(w, i)
    size = w["max_responses"]
    while lane["response_count"] > 0:
        got = response_at(w, i, lane["response_head"])
        if got["due_ns"] > t_ns:
            return
        lane["response_head"] += 1
        if lane["response_head"] == size:
            lane["response_head"] = 0
        lane["response_count"] -= 1
        if lane["response_count"] == 0:
            lane["response_head"] = 0
        kind = got["kind"]
        slot = got["slot"]
        if kind == FILL:
            before = lane["view_position"]
            lane["view_position"] += got["side"] * got["qty"]
            if (before > 0) != (lane["view_position"] > 0) or (before < 0) != (lane["view_position"] < 0):
                lane["view_entry_ns"] = got["due_ns"]
            lane["view_fill_ns"] = got["due_ns"]
            lane["view_cash"] += got["cash"]
            lane["view_fees"] += got["fee"]
        elif kind == FUNDED:
            lane["view_funding"] -= got["cash"]
        if slot < 0:
            continue
        order = order_at(w, i, slot)
        order["view_leaves"] = got["leaves"]
        if kind == ACK:
            order["view_state"] = LIVE
            continue
        if kind == FILL:
            if got["leaves"] == 0:
                order["view_state"] = DONE
        elif kind == MODIFIED:
            order["view_tick"] = got["tick"]
            order["modifies_sent"] -= 1
        elif kind == MODIFY_REJECTED:
            order["modifies_sent"] -= 1
        elif kind == CANCEL_REJECTED:
            order["cancel_sent"] = 0
        else:
            order["view_state"] = DONE
            # Of a cancel that the lane asked for; one that the venue undertook leaves the lane's own under way.
            if kind == CANCELLED and got["reason"] == 0:
                if got["request"] == REQ_MODIFY:
                    order["modifies_sent"] -= 1
                else:
                    order["cancel_sent"] = 0
        _free_if_settled(w, i, slot)


@njit_leaf
def _received_by(w: World, i: int, t_ns: int) -> int:
    """The receive stamp up to which lane `i` has seen its feed at `t_ns`: the most that it had seen at any time."""
    lane = lane_at(w, i)
    seen = t_ns - lane["feed_delay_ns"]
    if lane["feed_jitter_ns"] > 0:
        second = t_ns // _SECOND * _SECOND
        before = second - 1 - lane["feed_delay_ns"] - feed_jitter(lane["seed"], lane["feed_jitter_ns"], second - 1)
        seen = max(seen - feed_jitter(lane["seed"], lane["feed_jitter_ns"], t_ns), before)
    return int(seen)


@njit_leaf
def _fetch_next(w: World, i: int) -> None:
    """Have what the lane will read next brought into the cache while other lanes have their turn.

    On a long tape every lane reads a place of its own, which nothing else has brought near.
    """
    lane = lane_at(w, i)
    fetch_stamps(exch_of(w), lane["exch_stamp"])
    fetch_stamps(local_of(w), lane["local_stamp"])
    fetch_mark(local_of(w), lane["local_cursor"] // MARK_EVERY)
    fetch_mark(exch_of(w), lane["exch_cursor"] // MARK_EVERY)
    fetch_print(exch_of(w), lane["print_at"] + _PRINTS_AHEAD)


@entry("advance")
def advance(w: World, i: int, t_ns: int) -> int:
    """Process everything stamped at or before `t_ns` for lane `i`; a set `error` stops it.

    A market that shares its account brings the account's other markets along.
    """
    if w["peer_count"] > 0 and not w["stepping"]:
        return int(call_advance_account(w, i, t_ns))
    lane = lane_at(w, i)
    exch = exch_of(w)
    size = w["max_requests"]
    cursor = lane["exch_cursor"]
    # Both books' ends first: neither search waits for the other's memory.
    stamp = lane["exch_stamp"]
    exch_end = seek_stamp(exch, stamp, t_ns)
    local_end = seek_stamp(local_of(w), lane["local_stamp"], _received_by(w, i, t_ns))
    while lane["error"] == 0:
        due = request_at(w, i, lane["request_head"])["due_ns"] if lane["request_count"] > 0 else _FOREVER
        check = lane["check_ns"]
        stop = min(due, check)
        stamp = exch_end if stop >= t_ns else seek_stamp(exch, stamp, stop)
        end = stamp_row(exch, stamp)
        if lane["live_orders"] > 0:
            apply_rows(w, i, cursor, end)
        cursor = end
        lane["exch_cursor"] = end
        lane["exch_stamp"] = stamp
        if lane["error"] != 0:
            break
        if check <= due and check <= t_ns:
            if call_settle(w, i, check, end):
                return 1
            continue
        if due > t_ns:
            break
        request = request_at(w, i, lane["request_head"])
        lane["request_head"] += 1
        if lane["request_head"] == size:
            lane["request_head"] = 0
        lane["request_count"] -= 1
        if lane["request_count"] == 0:
            lane["request_head"] = 0  # an empty ring starts over, where its memory is still in the cache
        kind = request["kind"]
        if kind == REQ_SUBMIT:
            submit_arrives(w, i, request["slot"], due, end)
        elif kind == REQ_CANCEL:
            cancel_arrives(w, i, request["slot"], due, end)
        else:
            call_modify_arrives(w, i, request["slot"], due, end, request["tick"], request["qty"], request["leaves"])
    learn(w, i, t_ns)
    lane["local_stamp"] = local_end
    lane["local_cursor"] = stamp_row(local_of(w), local_end)
    lane["t_ns"] = t_ns
    _fetch_next(w, i)
    return 0


@njit_lean
def next_feed_ns(w: World, i: int) -> int:
    """When lane `i` sees the next row of its feed; the greatest int64 where the tape has no more."""
    lane = lane_at(w, i)
    cursor = lane["local_cursor"]
    if cursor >= local_of(w)["size"]:
        return _FOREVER
    stamp = row_ns(local_of(w), cursor)
    t_ns = max(stamp + lane["feed_delay_ns"], lane["t_ns"])
    if lane["feed_jitter_ns"] > 0:
        while _received_by(w, i, t_ns) < stamp:  # at most once or twice: a second's delay is at most a second
            jitter = feed_jitter(lane["seed"], lane["feed_jitter_ns"], t_ns)
            t_ns = min(max(t_ns + 1, stamp + lane["feed_delay_ns"] + jitter), (t_ns // _SECOND + 1) * _SECOND)
    return int(t_ns)


@entry("wait_answer")
def wait_answer(w: World, i: int, slot: int, until_ns: int) -> int:
    """Advance lane `i` to the next answer about an order, no further than `until_ns`; whether one came."""
    lane = lane_at(w, i)
    order = order_at(w, i, slot)
    order_id = order["id"]
    state, leaves, tick = order["view_state"], order["view_leaves"], order["view_tick"]
    asked = order["cancel_sent"] + order["modifies_sent"]
    while lane["error"] == 0 and lane["t_ns"] < until_ns:
        # Nothing can be answered between two of these stamps.
        stop = until_ns
        if lane["request_count"] > 0:
            stop = min(stop, request_at(w, i, lane["request_head"])["due_ns"])
        if lane["response_count"] > 0:
            stop = min(stop, response_at(w, i, lane["response_head"])["due_ns"])
        if lane["exch_cursor"] < exch_of(w)["size"]:
            stop = min(stop, row_ns(exch_of(w), lane["exch_cursor"]))
        stop = min(stop, lane["check_ns"])
        call_advance(w, i, max(stop, lane["t_ns"]))
        if order["id"] != order_id or order["view_state"] != state or order["view_leaves"] != leaves:
            return 1
        if order["view_tick"] != tick or order["cancel_sent"] + order["modifies_sent"] != asked:
            return 1
    return 0


@njit_lean
def advance_all(w: World, t_ns: NDArray[np.int64]) -> None:
    """`advance` for every lane, each to its own time."""
    for i in range(w["lanes"]):
        call_advance(w, i, t_ns[i])


@njit_lean
def advance_some(w: World, mask: NDArray[np.bool_], t_ns: NDArray[np.int64]) -> None:
    """`advance` for every lane of `mask`, each to its own time."""
    for i in range(w["lanes"]):
        if mask[i]:
            call_advance(w, i, t_ns[i])
