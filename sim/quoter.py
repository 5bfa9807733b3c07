"""The quoter: from a code to the smallest set of messages that brings the lane's orders where the code wants them.

It reads the touch and the lane's own view, changes nothing, and writes intents. Cancels come before submits.
Each submit carries the risk check's verdict, and only permitted ones count against what follows. What a code of each
kind wants is written at the top of `lobgym.sim.quotes.grid`, `.target`, `.maker` and `.execution`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.jit import njit_lean
from lobgym.sim.money import Economics
from lobgym.sim.own import own_view
from lobgym.sim.quotes.execution import plan_execution
from lobgym.sim.quotes.grid import GridLadders, grid_ladders, plan_grid
from lobgym.sim.quotes.intents import (
    INTENT_CANCEL,
    INTENT_DTYPE,
    INTENT_SUBMIT,
    KIND_EXECUTION,
    KIND_GRID,
    KIND_MAKER,
    KIND_TARGET,
    SUBMITS_MAX,
    QuoterValues,
    Touch,
)
from lobgym.sim.quotes.maker import MakerQuotes, maker_quotes, plan_maker
from lobgym.sim.quotes.target import plan_target
from lobgym.sim.risk import LimitValues
from lobgym.sim.task import Task
from lobgym.sim.world import World

__all__ = [
    "INTENT_CANCEL",
    "INTENT_DTYPE",
    "INTENT_SUBMIT",
    "KIND_EXECUTION",
    "KIND_GRID",
    "KIND_MAKER",
    "KIND_TARGET",
    "SUBMITS_MAX",
    "GridLadders",
    "MakerQuotes",
    "QuoterValues",
    "Touch",
    "grid_ladders",
    "maker_quotes",
    "plan_lane",
]


@njit_lean
def plan_lane(
    touch: Touch, econ: Economics, limits: LimitValues, quoter: QuoterValues, w: World, i: int, task: Task,
    codes: NDArray[np.int32], intents: NDArray[np.void],
) -> int:  # fmt: skip
    """Write lane `i`'s intents for `codes` [A] into `intents` [K >= max_orders + SUBMITS_MAX]; return how many.

    `touch` is what the lane sees of the book, `task` a record of
    TASK_DTYPE, which only an execution desk reads.
    """
    own = own_view(w, i)
    if quoter.kind == KIND_GRID:
        return plan_grid(touch, econ, limits, quoter, w, i, codes, own, intents)
    if quoter.kind == KIND_MAKER:
        return plan_maker(touch, econ, limits, quoter, w, i, codes, own, intents)
    if quoter.kind == KIND_EXECUTION:
        return plan_execution(touch, econ, limits, quoter, w, i, task, codes, own, intents)
    return plan_target(touch, econ, limits, quoter, w, i, codes, own, intents)
