"""`OrderQueues`: what a tape of single orders says of every queue, indexed by level for the queue model `l3_fifo`.

An entry is one change of what one order has left at one price. It bears the number of the entry with which that order
came there, so an own order that came between two entries knows of each later one whether it is of an order before it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.errors import TapeFormatError
from lobgym.sim.importers.order_tape import CREATED, DELETED, OrderTape
from lobgym.sim.jit import njit_leaf, njit_lean
from lobgym.sim.queue import FRONT_BITS
from lobgym.sim.records import BUY, QUEUE_ENTRY_DTYPE

__all__ = ["NO_QUEUES", "OrderQueues", "index_orders"]

_ENTRIES_MAX: Final = (1 << 31) - 1  # entries are numbered with 32 bits


class OrderQueues(NamedTuple):
    """Entries of each level of a book, in the exchange's order."""

    start: NDArray[np.int64]  # [L + 1] into `entries`
    entries: NDArray[np.void]  # [n] QUEUE_ENTRY_DTYPE


NO_QUEUES: Final = OrderQueues(np.zeros(1, np.int64), np.empty(0, QUEUE_ENTRY_DTYPE))


def index_orders(tape: OrderTape, level_tick: NDArray[np.int64], bid_levels: int) -> OrderQueues:
    """Index an order tape for a book with the levels `level_tick` [L], of which the first `bid_levels` are bids.

    An order keeps its place while only its quantity changes. One that is given another price joins that queue at its
    end. One that is first heard of when it changes is older than the tape, and stands before all that the tape saw
    come. What is said of an order after its own delete counts for nothing, nor do orders at prices that the book never
    names.

    Raises:
        TapeFormatError: more entries than can be numbered.
    """
    if 2 * len(tape.events) > _ENTRIES_MAX:
        raise TapeFormatError(f"order queues hold at most {_ENTRIES_MAX // 2} order events: slice the tape by time")
    events = tape.events[np.argsort(tape.events["exch_ns"], kind="stable")]
    side, tick = events["side"], events["price_ticks"]
    bids = _find(level_tick[:bid_levels], tick)
    asks = _find(level_tick[bid_levels:], tick)
    level = np.where(side == BUY, bids, np.where(asks >= 0, asks + bid_levels, -1))
    order = np.unique(events["order_id"], return_inverse=True)[1]
    per_lot = int(tape.instrument.lot_size * 10**8)
    qty = (events["qty"] // per_lot << FRONT_BITS) + (events["qty"] % per_lot << FRONT_BITS) // per_lot
    qty[events["action"] == DELETED] = 0
    size = 2 * len(events)
    of_level = np.empty(size, np.int64)
    entries = np.zeros(size, QUEUE_ENTRY_DTYPE)
    count = _list(
        np.ascontiguousarray(events["exch_ns"]), level.astype(np.int64), order.astype(np.int64), qty,
        np.ascontiguousarray(events["action"]), np.zeros((4, int(order.max(initial=-1)) + 1), np.int64), of_level,
        entries,
    )  # fmt: skip
    place = np.argsort(of_level[:count], kind="stable")
    sorted_place = np.empty(count, np.int64)
    sorted_place[place] = np.arange(count)
    entries = entries[:count][place]
    known = entries["born"] >= 0
    entries["born"][known] = sorted_place[entries["born"][known]]
    start = np.searchsorted(of_level[:count][place], np.arange(len(level_tick) + 1))
    running = np.cumsum(entries["change"])
    before = np.append(0, running)[start[:-1]]
    entries["total"] = running - np.repeat(before, np.diff(start))
    entries.setflags(write=False)
    return OrderQueues(start.astype(np.int64), entries)


def _find(ticks: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    """Place of each of `wanted` in ascending `ticks`, -1 where it is not there."""
    if len(ticks) == 0:
        return np.full(len(wanted), -1)
    at = np.minimum(np.searchsorted(ticks, wanted), len(ticks) - 1)
    return np.where(ticks[at] == wanted, at, -1)


@njit_leaf
def _put(
    of_level: NDArray[np.int64], entries: NDArray[np.void], n: int, ns: int, level: int, born: int, change: int
) -> None:
    of_level[n] = level
    entries[n]["ns"] = ns
    entries[n]["born"] = born
    entries[n]["change"] = change


@njit_lean
def _list(
    ns: NDArray[np.int64], level: NDArray[np.int64], order: NDArray[np.int64], qty: NDArray[np.int64],
    action: NDArray[np.int8], state: NDArray[np.int64], of_level: NDArray[np.int64], entries: NDArray[np.void],
) -> int:  # fmt: skip
    """Write entries in order of time; returns how many. `state` [4, orders]: 1 + level, left, born, known or gone."""
    n = 0
    for e in range(len(ns)):
        o = order[e]
        if state[3, o] == 2:
            continue
        here = state[0, o] - 1
        if state[3, o] == 1 and here >= 0 and (here != level[e] or qty[e] != state[1, o]):
            left = qty[e] if here == level[e] or action[e] == DELETED else 0
            _put(of_level, entries, n, ns[e], here, state[2, o], left - state[1, o])
            n += 1
        if action[e] == DELETED:
            state[3, o] = 2
            continue
        if level[e] >= 0 and (state[3, o] == 0 or here != level[e]):
            # One that changes before it was created was there before the tape.
            state[2, o] = n if state[3, o] == 1 or action[e] == CREATED else -1
            _put(of_level, entries, n, ns[e], level[e], state[2, o], qty[e])
            n += 1
        state[0, o] = level[e] + 1
        state[1, o] = qty[e]
        state[3, o] = 1
    return n
