"""A background flow that does what it is told: rows of a script, each at its stamp.

Its state is the script itself: row 0 says which row comes next and how many there are, and a row that left an order in
the book remembers its node, so that a later one can take lots off it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.exchange.board import BOARD_DTYPE, FLOW, Board, node_at
from lobgym.sim.exchange.flows import FOREVER, low_on_room, register_flow
from lobgym.sim.exchange.trading import flow_cancel, flow_submit, flow_take
from lobgym.sim.jit import njit_lean
from lobgym.sim.memory import table

SUBMIT: Final = 0
TAKE: Final = 1
CANCEL: Final = 2
INDEX: Final = 3


class Act(NamedTuple):
    """What the flow does; prices are ticks."""

    ns: int
    op: int
    side: int
    tick: int
    qty: int  # lots; of INDEX the index price in 1e-8
    ref: int = 0  # of CANCEL: the act whose order it is, from 0


ROW_DTYPE: Final = np.dtype(
    [(name, np.int64) for name in ("ns", "op", "side", "tick", "qty", "ref", "node", "id")], align=True
)
_row = table(BOARD_DTYPE, "flow", ROW_DTYPE)


@njit_lean
def _act(x: Board, until_ns: int, room: int) -> int:
    head = _row(x, 0)
    while head["ref"] <= head["qty"]:
        row = _row(x, head["ref"])
        if row["ns"] > until_ns or low_on_room(x, room):
            return int(row["ns"])
        x["now_ns"] = row["ns"]
        head["ref"] += 1
        at = int(row["tick"] - x["base_tick"])
        if row["op"] == SUBMIT:
            row["node"] = flow_submit(x, int(row["side"]), at, int(row["qty"]))
            if row["node"] != 0:
                row["id"] = node_at(x, row["node"])["id"]
        elif row["op"] == TAKE:
            flow_take(x, int(row["side"]), at, int(row["qty"]))
        elif row["op"] == INDEX:
            x["index_1e8"] = row["qty"]
        else:
            made = _row(x, row["ref"] + 1)
            order = node_at(x, made["node"])
            if made["node"] != 0 and order["id"] == made["id"] and order["lane"] == FLOW and order["qty"] > 0:
                flow_cancel(x, int(made["node"]), int(row["qty"]))
    return FOREVER


_KIND: Final = register_flow(_act)


@dataclass(frozen=True)
class ScriptedFlow:
    """A script as a flow; the seed changes nothing."""

    acts: Sequence[Act]
    kind: int = field(default=_KIND, init=False)

    @property
    def digest(self) -> str:
        return hashlib.sha256(np.array(self.acts, np.int64).tobytes()).hexdigest()

    def state(self, seed: int, start_ns: int, base_tick: int, width: int, start_tick: int) -> NDArray[Any]:
        made = np.zeros(len(self.acts) + 1, ROW_DTYPE)
        for name, column in zip(
            Act._fields, np.array(self.acts, np.int64).reshape(-1, len(Act._fields)).T, strict=True
        ):
            made[name][1:] = column
        made["ref"][0], made["qty"][0] = 1, len(self.acts)
        return made
