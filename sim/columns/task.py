"""Columns of the lane's task, as far as it has been told of its fills; 0 without a task."""

from __future__ import annotations

from typing import Final

from lobgym.sim.bars import Bars, last_mid2
from lobgym.sim.columns.catalog import number_of, part
from lobgym.sim.columns.header import Encoder, put
from lobgym.sim.jit import njit_inner
from lobgym.sim.money import Economics, mark_value
from lobgym.sim.task import Task
from lobgym.sim.world import World, lane_at

__all__ = ["task_columns"]

_TASK_SIDE: Final = number_of("task_side")
_TASK_LEFT: Final = number_of("task_left")
_TASK_TIME_LEFT: Final = number_of("task_time_left")
_TASK_PACE: Final = number_of("task_pace")
_TASK_SHORTFALL: Final = number_of("task_shortfall")

_SHORTFALL: Final = part("shortfall")


@njit_inner
def task_columns(bars: Bars, encoder: Encoder, econ: Economics, w: World, i: int, task: Task) -> None:
    """Columns of lane `i`'s task, which it has worked on from an empty account."""
    side = task["side"]
    if side == 0:
        return
    lane = lane_at(w, i)
    lots = task["lots"]
    span = float(task["end_ns"] - task["start_ns"])
    elapsed = min(max(float(lane["t_ns"] - task["start_ns"]), 0.0), span) / span
    done = float(min(max(side * lane["view_position"], 0), lots)) / float(lots)
    put(encoder, _TASK_SIDE, float(side))
    put(encoder, _TASK_LEFT, 1.0 - done)
    put(encoder, _TASK_TIME_LEFT, 1.0 - elapsed)
    put(encoder, _TASK_PACE, done - elapsed)
    if encoder["needs"] & _SHORTFALL:
        mark2 = last_mid2(bars, lane["local_stamp"])
        worth = mark_value(econ, side * lots, task["arrival2"])
        if worth != 0:
            # Implementation shortfall (Perold 1988): what trading all of it at the arrival's mid would have made by
            # now, minus what was made; what is left counts at the mid.
            paper = mark_value(econ, side * lots, mark2) - worth
            made = lane["view_cash"] + mark_value(econ, lane["view_position"], mark2)
            put(encoder, _TASK_SHORTFALL, float(paper - made) * 1e4 / float(abs(worth)))
