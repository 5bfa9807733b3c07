"""A lane's task: the parent order that an execution desk works from `start_ns` to `end_ns`.

A task is part of an episode as its start time is: whoever resets a lane gives it one. It starts with an empty account,
so what is done of it is side * position. Desks of other kinds leave it alone.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lobgym.sim.errors import ParamsError
from lobgym.sim.records import BUY, SELL

__all__ = ["TASK_DTYPE", "TASK_LOTS_MAX", "Task", "assign_tasks"]

TASK_LOTS_MAX: Final = 1 << 36  # a product of lots with a share in 2^-20 and a pace in eighths stays within 64 bits

TASK_DTYPE: Final = np.dtype(
    [
        ("side", np.int64),  # BUY, SELL; 0: no task
        ("lots", np.int64),
        ("start_ns", np.int64),
        ("end_ns", np.int64),  # the deadline: nothing is sent from here on
        ("arrival2", np.int64),  # twice the local mid at start_ns, ticks: what implementation shortfall is measured at
    ],
    align=True,
)

Task: TypeAlias = Any  # a record of TASK_DTYPE


def assign_tasks(
    tasks: NDArray[np.void],
    mask: NDArray[np.bool_],
    side: ArrayLike,
    lots: ArrayLike,
    start_ns: ArrayLike,
    end_ns: ArrayLike,
    arrival2: ArrayLike,
    lots_max: int,
) -> None:
    """Give the lanes of `mask` their tasks; every argument is one integer, or one a lane of `tasks`.

    Raises:
        ParamsError: a side other than BUY and SELL, lots outside 1 to `lots_max`, an end that is not after the start.
    """
    fields = {"side": side, "lots": lots, "start_ns": start_ns, "end_ns": end_ns, "arrival2": arrival2}
    given = {name: np.broadcast_to(np.asarray(value), mask.shape) for name, value in fields.items()}
    for name, values in given.items():
        if values.dtype.kind not in "iu":
            raise ParamsError(f"a task's {name} must be an integer, got {values.dtype}")
    limit = min(lots_max, TASK_LOTS_MAX)
    for i in np.flatnonzero(mask):
        one = {name: int(values[i]) for name, values in given.items()}
        if one["side"] not in (BUY, SELL):
            raise ParamsError(f"a task's side must be {BUY} (buy) or {SELL} (sell), got {one['side']}")
        if not 1 <= one["lots"] <= limit:
            raise ParamsError(
                f"a task must have 1 to {limit} lots, which its desk may hold, got {one['lots']}; "
                "raise position_lots_max and risk.position_lots_max, or order less"
            )
        if one["end_ns"] <= one["start_ns"]:
            raise ParamsError(f"a task must end after its start {one['start_ns']}, got {one['end_ns']}")
    for name, values in given.items():
        tasks[name][mask] = values[mask]
