"""A recorded feed of single orders as a background flow: what was created, changed and deleted, replayed in one book.

A created order is sent to the exchange, which matches it by its own rules where it crosses. A change says what is left:
the order is reduced to that. A delete takes out what is left. What the exchange's matching has already done is thus
heard twice, and does nothing the second time; what it did otherwise than the venue is counted in the first row.

Orders that the feed never created are older than it. What pictures of the best levels tell of them stands as one order
a price (`OLDER`), added by `learn`.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lobgym.sim import records as rec
from lobgym.sim.exchange.board import BOARD_DTYPE, FLOW, NONE, Board, best_at, level_at, node_at, row_of_side
from lobgym.sim.exchange.book import next_at
from lobgym.sim.exchange.flows import FOREVER, low_on_room, register_flow
from lobgym.sim.exchange.trading import flow_cancel, flow_submit
from lobgym.sim.importers.order_tape import CHANGED, CREATED, DELETED
from lobgym.sim.jit import njit_inner, njit_leaf, njit_lean
from lobgym.sim.memory import table

OLDER: Final = 4  # qty lots at a price, of orders that the feed never created, or fewer where qty is below 0
WIDTH: Final = 1 << 16  # prices that older orders can stand at
INBOX: Final = 1 << 16
# Columns of row 0, which counts.
NEXT, COUNT, HEARD, TOLD, MORE_LEFT, GONE_HERE, OF_OLDER, TAKING, UNTOUCHED = range(9)
ROW_DTYPE: Final = np.dtype(
    [(name, np.int64) for name in ("ns", "action", "side", "at", "qty", "ref", "node", "id", "untouched")], align=True
)
_row = table(BOARD_DTYPE, "flow", ROW_DTYPE)
_COUNTS_DTYPE: Final = np.dtype([(f"c{k}", np.int64) for k in range(9)])
_counts = table(BOARD_DTYPE, "flow", _COUNTS_DTYPE)


@njit_leaf
def _stands(x: Board, row: Any) -> bool:
    if row["node"] == 0:
        return False
    order = node_at(x, row["node"])
    return bool(order["id"] == row["id"] and order["lane"] == FLOW and order["qty"] > 0)


@njit_leaf
def _older(x: Board, side: int, at: int) -> Any:
    return _row(x, 1 + INBOX + row_of_side(side) * WIDTH + at)


@njit_inner
def _post(x: Board, row: Any, side: int, at: int, qty: int) -> None:
    row["node"] = flow_submit(x, side, at, qty)
    if row["node"] != 0:
        row["id"] = node_at(x, row["node"])["id"]


@njit_inner
def _tell_older(x: Board, side: int, at: int, qty: int) -> None:
    older = _older(x, side, at)
    if qty < 0:
        if _stands(x, older):
            flow_cancel(x, int(older["node"]), -qty)
    elif not _stands(x, older):
        _post(x, older, side, at, qty)


@njit_inner
def _happen(x: Board, row: Any) -> None:
    counts = _counts(x, 0)
    side, at, qty = int(row["side"]), int(row["at"]), int(row["qty"])
    if row["action"] == CREATED:
        best = best_at(x, -side)
        crosses = best != NONE and side * at >= side * best
        if crosses and row["untouched"]:
            counts["c8"] += 1
            return
        counts["c7"] += crosses
        _post(x, row, side, at, qty)
        return
    if row["ref"] == 0:
        counts["c6"] += 1
        # A delete says what was left: cancelled. Filled ones, the exchange's own matching has taken.
        if row["action"] == DELETED and qty > 0 and at < WIDTH:
            _tell_older(x, side, at, -qty)
        return
    made = _row(x, row["ref"])
    if not _stands(x, made):
        counts["c5"] += row["action"] == CHANGED
        return
    order = node_at(x, made["node"])
    left = int(order["qty"])
    if row["action"] == CHANGED:
        counts["c4"] += qty > left
        if order["at"] != at:  # an order may be given another price, and keeps its number
            flow_cancel(x, int(made["node"]), left)
            _post(x, made, side, at, min(qty, left))
        elif qty < left:
            flow_cancel(x, int(made["node"]), left - qty)
    else:
        flow_cancel(x, int(made["node"]), left)


@njit_lean
def _act(x: Board, until_ns: int, room: int) -> int:
    counts = _counts(x, 0)
    while counts["c2"] < counts["c3"]:
        counts["c2"] += 1
        row = _row(x, counts["c2"])
        _tell_older(x, int(row["side"]), int(row["at"]), int(row["qty"]))
    while counts["c0"] < counts["c1"]:
        row = _row(x, counts["c0"])
        if row["ns"] > until_ns or low_on_room(x, room):
            return int(row["ns"])
        x["now_ns"] = row["ns"]
        counts["c0"] += 1
        _happen(x, row)
    return FOREVER


_KIND: Final = register_flow(_act)


@njit_lean
def best_levels(x: Board, side: int, out: NDArray[np.int64]) -> int:
    """The best levels as rows of (tick, lots, lots of older orders); how many there are."""
    at = best_at(x, side)
    k = 0
    while at != NONE and k < len(out):
        out[k, 0] = at + x["base_tick"]
        out[k, 1] = level_at(x, side, at)["qty"]
        out[k, 2] = 0
        if at < WIDTH and _stands(x, _older(x, side, at)):
            out[k, 2] = node_at(x, _older(x, side, at)["node"])["qty"]
        at = next_at(x, side, at)
        k += 1
    return k


class SingleOrders:
    """The flow of ROW events: (stamp, action, order, side, tick, lots), whose `ref`s it finds itself."""

    kind: Final = _KIND
    digest: Final = "recorded"

    def __init__(self, events: list[tuple[int, int, int, int, int, int]]) -> None:
        # Columns of row 0 count, and are looked at by other names.
        self.rows = np.zeros(1 + INBOX + 2 * WIDTH + len(events), ROW_DTYPE)
        self.counts = self.rows[:1].view(_COUNTS_DTYPE)
        first = 1 + INBOX + 2 * WIDTH
        created: dict[int, int] = {}
        untouched = np.zeros(len(self.rows), np.int64)
        for k, (ns, action, order, side, tick, lots) in enumerate(events, start=first):
            if action == CREATED:
                created[order] = k
            made = created.get(order, 0)
            if action == DELETED and made:
                untouched[made] = self.rows["qty"][made] == lots
            self.rows[k] = (ns, action, side, tick - 1, lots, made, 0, 0, 0)
        self.rows["untouched"] = untouched
        self.counts["c0"], self.counts["c1"] = first, len(self.rows)

    def state(self, seed: int, start_ns: int, base_tick: int, width: int, start_tick: int) -> NDArray[Any]:
        assert base_tick == 1
        return self.rows

    def learn(self, side: int, tick: int, lots: int) -> None:
        """More (or fewer) lots of older orders at a price, before the next event."""
        told = int(self.counts["c3"][0]) + 1
        assert told <= INBOX
        self.counts["c3"] = told
        self.rows[told] = (0, OLDER, side, tick - 1, lots, 0, 0, 0, 0)


assert rec.BUY == 1
