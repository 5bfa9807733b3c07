"""Background flows, by number: compiled kernels that put orders of nobody in particular on an exchange.

A flow is a kernel `act(board, until_ns, room) -> int64`, compiled as an `Entry`, and a state that it alone knows, one
record at `board["flow"]`. It does everything that it has to do up to and with `until_ns`, in order, sets
`board["now_ns"]` to the stamp of each of its messages before it sends it (`flow_submit`, `flow_take`, `flow_cancel`
of `lobgym.sim.exchange.trading`), and returns the stamp of what it will do next. It pauses, returning a stamp not
after `until_ns`, when fewer than `room` rows of the feed are left (`low_on_room`).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from lobgym.sim.exchange.board import BOARD_DTYPE, Board
from lobgym.sim.jit import njit_lean
from lobgym.sim.memory import Entry, caller

__all__ = ["FOREVER", "NO_FLOW", "ROWS_AN_ORDER", "call_flow", "flow_kind", "low_on_room", "register_flow"]

ROWS_AN_ORDER: Final = 4  # recorded at most of an order that rests, when one message trades with it or shows it anew
FOREVER: Final = int(np.iinfo(np.int64).max)
_ARITY: Final = 2
_FLOWS: Final[list[Entry]] = []


def register_flow(kernel: Any) -> int:
    """The number of a flow whose kernel is `kernel`, compiled with `lobgym.sim.jit.njit_lean`."""
    _FLOWS.append(Entry(kernel, BOARD_DTYPE, _ARITY))
    return len(_FLOWS) - 1


def flow_kind(number: int) -> Entry:
    """A registered flow."""
    return _FLOWS[number]


@njit_lean
def low_on_room(x: Board, room: int) -> bool:
    """Whether the tables of recorded rows have fewer than `room` rows left, beside those of a swept book."""
    room += ROWS_AN_ORDER * x["resting"]
    short = x["row_room"] > 0 and x["row_room"] - x["row_count"] < room
    return bool(short or (x["order_room"] > 0 and x["order_room"] - x["order_count"] < room))


@njit_lean
def _nothing(x: Board, until_ns: int, room: int) -> int:
    return FOREVER


NO_FLOW: Final = register_flow(_nothing)
call_flow: Final = caller(BOARD_DTYPE, "fn_flow", _ARITY, lambda x: _FLOWS[int(x["flow_kind"])])
