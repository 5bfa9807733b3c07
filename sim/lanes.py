"""`Lanes`: the state of N independent traders in preallocated arrays, and nothing else.

Only `lobgym.sim.kernel` writes it. Copying the arrays is a snapshot.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.jit import njit_inline, njit_lean
from lobgym.sim.params import SimParams
from lobgym.sim.records import (
    ERR_FILLS_FULL,
    ERR_RESPONSES_FULL,
    FILL,
    FILL_DTYPE,
    LANE_DTYPE,
    ORDER_DTYPE,
    REQUEST_DTYPE,
    RESPONSE_DTYPE,
    SPENT_DTYPE,
)
from lobgym.sim.rng import mix64

__all__ = ["Lanes", "absorb", "new_lanes", "push_response"]


class Lanes(NamedTuple):
    """Structured arrays; the record types are in `lobgym.sim.records`."""

    lane: NDArray[np.void]  # [N] LANE_DTYPE
    orders: NDArray[np.void]  # [N, max_orders] ORDER_DTYPE
    requests: NDArray[np.void]  # [N, max_requests] ring, REQUEST_DTYPE
    responses: NDArray[np.void]  # [N, max_responses] ring, RESPONSE_DTYPE
    spent: NDArray[np.void]  # [N, max_spent] SPENT_DTYPE
    fills: NDArray[np.void]  # [F] FILL_DTYPE, shared by all lanes; F = 0 keeps no log
    fill_count: NDArray[np.int64]  # [1]


def new_lanes(count: int, params: SimParams, fill_log: int) -> Lanes:
    """Zeroed state for `count` lanes with a fill log of `fill_log` rows."""
    return Lanes(
        np.zeros(count, LANE_DTYPE),
        np.zeros((count, params.max_orders), ORDER_DTYPE),
        np.zeros((count, params.max_requests), REQUEST_DTYPE),
        np.zeros((count, params.max_responses), RESPONSE_DTYPE),
        np.zeros((count, params.max_spent), SPENT_DTYPE),
        np.zeros(fill_log, FILL_DTYPE),
        np.zeros(1, np.int64),
    )


@njit_inline
def absorb(digest: np.uint64, value: int) -> np.uint64:
    """Mix one integer into a running digest."""
    return mix64(digest ^ mix64(np.uint64(np.int64(value))))


@njit_lean
def push_response(
    lanes: Lanes, i: int, slot: int, kind: int, exch_ns: int, tick: int, qty: int, cash: int, fee: int, maker: int,
    reason: int,
) -> None:  # fmt: skip
    """Send a lane an answer of the exchange: into its response queue, its digest, and the fill log if it is a fill."""
    lane = lanes.lane
    order = lanes.orders[i, slot]
    head = lane[i]["response_head"]
    tail = lane[i]["response_tail"]
    size = lanes.responses.shape[1]
    if tail - head >= size:
        lane[i]["error"] = ERR_RESPONSES_FULL
        return
    due = exch_ns + lane[i]["response_ns"]
    if tail > head:  # the way back is first in, first out
        due = max(due, lanes.responses[i, (tail - 1) % size]["due_ns"])
    answer = lanes.responses[i, tail % size]
    answer["due_ns"] = due
    answer["exch_ns"] = exch_ns
    answer["tick"] = tick
    answer["qty"] = qty
    answer["cash"] = cash
    answer["fee"] = fee
    answer["slot"] = slot
    answer["kind"] = kind
    answer["maker"] = maker
    answer["reason"] = reason
    lane[i]["response_tail"] = tail + 1

    digest = absorb(lane[i]["digest"], kind * 256 + reason * 2 + maker)
    digest = absorb(digest, order["id"])
    digest = absorb(digest, exch_ns)
    digest = absorb(digest, due)
    if kind == FILL:
        digest = absorb(digest, tick)
        digest = absorb(digest, qty)
        digest = absorb(digest, cash)
        digest = absorb(digest, fee)
    lane[i]["digest"] = digest

    capacity = lanes.fills.shape[0]
    if kind == FILL and capacity > 0:
        row = lanes.fill_count[0]
        if row >= capacity:
            lane[i]["error"] = ERR_FILLS_FULL
            return
        log = lanes.fills[row]
        log["exch_ns"] = exch_ns
        log["seen_ns"] = due
        log["order_id"] = order["id"]
        log["tick"] = tick
        log["qty"] = qty
        log["cash"] = cash
        log["fee"] = fee
        log["submit_ns"] = order["submit_ns"]
        log["lane"] = i
        log["side"] = order["side"]
        log["maker"] = maker
        lanes.fill_count[0] = row + 1
