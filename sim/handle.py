"""The way from Python into the kernels: a record with one field, the address of the world.

At every call numba asks the record that it is given for its buffer, and numpy then writes out the record's format,
field by field: 3 us for the 68 fields of a world, under 0.1 us for one field, where the call itself takes a few tenths
of a microsecond. Compiled strategies have no such cost and take the world itself.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lobgym.sim import kernel
from lobgym.sim.calls import call_advance, call_cancel, call_modify, call_submit, call_wait_answer
from lobgym.sim.jit import njit_lean
from lobgym.sim.memory import address_of, target
from lobgym.sim.world import WORLD_DTYPE

__all__ = [
    "HANDLE_DTYPE",
    "advance",
    "advance_lane",
    "cancel",
    "make_handle",
    "modify",
    "next_feed_ns",
    "submit",
    "sync_queues",
    "wait_answer",
]

HANDLE_DTYPE: Final = np.dtype([("world", np.int64)])
Handle: TypeAlias = Any  # a record of HANDLE_DTYPE

_world_of = target(HANDLE_DTYPE, "world", WORLD_DTYPE)


def make_handle(world: NDArray[Any]) -> Handle:
    """The handle of WORLD_DTYPE[1], which must outlive it."""
    handle = np.zeros(1, HANDLE_DTYPE)
    handle["world"] = address_of(world)
    return handle[0]


@njit_lean
def submit(h: Handle, i: int, side: int, tick: int, qty: int, tif: int, reduce_only: int) -> int:
    """`lobgym.sim.kernel.submit`."""
    return call_submit(_world_of(h), i, side, tick, qty, tif, reduce_only)


@njit_lean
def cancel(h: Handle, i: int, order_id: int) -> int:
    """`lobgym.sim.kernel.cancel` by the order's id; -1 if there is no such order."""
    w = _world_of(h)
    slot = kernel.find_slot(w, i, order_id)
    return call_cancel(w, i, slot) if slot >= 0 else -1


@njit_lean
def modify(h: Handle, i: int, order_id: int, tick: int, qty: int) -> int:
    """`lobgym.sim.kernel.modify` by the order's id; -1 if there is no such order."""
    w = _world_of(h)
    slot = kernel.find_slot(w, i, order_id)
    return call_modify(w, i, slot, tick, qty) if slot >= 0 else -1


@njit_lean
def wait_answer(h: Handle, i: int, order_id: int, until_ns: int) -> int:
    """`lobgym.sim.kernel.wait_answer` by the order's id; -1 if there is no such order."""
    w = _world_of(h)
    slot = kernel.find_slot(w, i, order_id)
    return call_wait_answer(w, i, slot, until_ns) if slot >= 0 else -1


@njit_lean
def advance(h: Handle, t_ns: NDArray[np.int64]) -> None:
    """`lobgym.sim.kernel.advance_all`."""
    kernel.advance_all(_world_of(h), t_ns)


@njit_lean
def advance_lane(h: Handle, i: int, t_ns: int) -> int:
    """`lobgym.sim.kernel.advance`."""
    return call_advance(_world_of(h), i, t_ns)


@njit_lean
def next_feed_ns(h: Handle, i: int) -> int:
    """`lobgym.sim.kernel.next_feed_ns`."""
    return kernel.next_feed_ns(_world_of(h), i)


@njit_lean
def sync_queues(h: Handle, i: int) -> None:
    """`lobgym.sim.kernel.sync_queues`."""
    kernel.sync_queues(_world_of(h), i)
