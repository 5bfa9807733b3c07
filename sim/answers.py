"""What the exchange tells a lane: into its queue of answers, its running digest, and the event log."""

from __future__ import annotations

import numpy as np

from lobgym.sim.calls import call_answer, entry
from lobgym.sim.jit import njit_inner, njit_leaf
from lobgym.sim.latency import MODEL_NONE, modelled_response
from lobgym.sim.records import ERR_LOG_FULL, ERR_RESPONSES_FULL, FILL, LOG_FULL, LOG_OFF
from lobgym.sim.rng import mix64
from lobgym.sim.world import World, fetch_log, lane_at, log_at, order_at, response_at

__all__ = ["answer", "answer_order", "give_answer", "send", "write_log"]

# Odd constants that spread an answer's fields over 64 bits before they are mixed into the digest.
_K1 = np.uint64(0x9E3779B97F4A7C15)
_K2 = np.uint64(0xC2B2AE3D27D4EB4F)
_K3 = np.uint64(0x165667B19E3779F9)
_K4 = np.uint64(0xD6E8FEB86659FD93)
_K5 = np.uint64(0xA0761D6478BD642F)
_K6 = np.uint64(0xE7037ED1A0B428DB)
_K7 = np.uint64(0x8EBC6AF09C88C6E3)
_LOG_AHEAD = 8  # rows of the log that are on their way to the cache before they are written


@njit_leaf
def _spread(value: int, odd: np.uint64) -> np.uint64:
    return np.uint64(np.int64(value)) * odd


@njit_inner
def write_log(
    w: World, i: int, kind: int, ns: int, seen_ns: int, order_id: int, submit_ns: int, tif: int, side: int,
    tick: int, qty: int, cash: int, fee: int, maker: int, reason: int,
) -> None:  # fmt: skip
    """Append one row to the event log; a full log is an error of the lane."""
    row = w["log_count"]
    if row >= w["log_rows"]:
        lane_at(w, i)["error"] = ERR_LOG_FULL
        return
    fetch_log(w, row + _LOG_AHEAD)
    log = log_at(w, row)
    log["ns"] = ns
    log["seen_ns"] = seen_ns
    log["order_id"] = order_id
    log["tick"] = tick
    log["qty"] = qty
    log["cash"] = cash
    log["fee"] = fee
    log["submit_ns"] = submit_ns
    log["lane"] = i
    log["kind"] = kind
    log["reason"] = reason
    log["side"] = side
    log["maker"] = maker
    log["tif"] = tif
    w["log_count"] = row + 1


@njit_leaf
def send(
    w: World, i: int, slot: int, side: int, kind: int, due_ns: int, tick: int, qty: int, cash: int, fee: int,
    maker: int, reason: int,
) -> int:  # fmt: skip
    """Put what a lane will learn into its queue; returns when it will, `due_ns` or later: none overtakes another.

    A full queue is an error of the lane, and -1.
    """
    lane = lane_at(w, i)
    size = w["max_responses"]
    count = lane["response_count"]
    if count >= size:
        lane["error"] = ERR_RESPONSES_FULL
        return -1
    due = max(due_ns, lane["response_due"])
    lane["response_due"] = due
    place = lane["response_head"] + count
    if place >= size:
        place -= size
    sent = response_at(w, i, place)
    sent["due_ns"] = due
    sent["tick"] = tick
    sent["qty"] = qty
    sent["cash"] = cash
    sent["fee"] = fee
    sent["slot"] = slot
    sent["kind"] = kind
    sent["side"] = side
    sent["maker"] = maker
    sent["reason"] = reason
    sent["request"] = 0
    sent["leaves"] = order_at(w, i, slot)["leaves"] if slot >= 0 else 0
    lane["response_count"] = count + 1
    return int(due)


@njit_leaf
def give_answer(
    w: World, i: int, slot: int, side: int, kind: int, exch_ns: int, tick: int, qty: int, cash: int, fee: int,
    maker: int, reason: int,
) -> None:  # fmt: skip
    """Send a lane an answer of the exchange: into its response queue, its digest, and the log."""
    lane = lane_at(w, i)
    due = exch_ns + lane["response_ns"]
    if w["latency"] != MODEL_NONE:
        due += modelled_response(w, lane["seed"], lane["answers_given"], exch_ns)
    due = send(w, i, slot, side, kind, due, tick, qty, cash, fee, maker, reason)
    if due < 0:
        return
    lane["answers_given"] += 1

    order = order_at(w, i, max(slot, 0))
    order_id = order["id"] if slot >= 0 else 0
    word = _spread(kind * 256 + reason * 2 + maker, _K1) + _spread(order_id, _K2) + _spread(exch_ns, _K3)
    word += _spread(due, _K4) ^ (_spread(tick, _K5) + _spread(qty, _K6) + _spread(cash, _K7) + _spread(fee, _K1))
    lane["digest"] = mix64(lane["digest"] ^ word)

    if w["log_level"] != LOG_OFF and (w["log_level"] == LOG_FULL or kind == FILL):
        sent_ns = order["submit_ns"] if slot >= 0 else exch_ns
        tif = order["tif"] if slot >= 0 else 0
        write_log(w, i, kind, exch_ns, due, order_id, sent_ns, tif, side, tick, qty, cash, fee, maker, reason)


@entry("answer")
def _answer(
    w: World, i: int, slot: int, side: int, kind: int, exch_ns: int, tick: int, qty: int, cash: int, fee: int, what: int
) -> int:
    give_answer(w, i, slot, side, kind, exch_ns, tick, qty, cash, fee, what >> 8, what & 255)
    return 0


@njit_leaf
def answer(
    w: World, i: int, slot: int, side: int, kind: int, exch_ns: int, tick: int, qty: int, cash: int, fee: int,
    maker: int, reason: int,
) -> None:  # fmt: skip
    """`give_answer` as a call, for where speed does not matter."""
    call_answer(w, i, slot, side, kind, exch_ns, tick, qty, cash, fee, maker * 256 + reason)


@njit_leaf
def answer_order(w: World, i: int, slot: int, kind: int, exch_ns: int, reason: int) -> None:
    """An answer about an order that moves no money."""
    call_answer(w, i, slot, order_at(w, i, slot)["side"], kind, exch_ns, 0, 0, 0, 0, reason)
