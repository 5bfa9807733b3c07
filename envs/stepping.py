"""The compiled step of an environment: the desk's step, rewards, ends of episodes and their sums, for all lanes.

Everything that lasts stands behind two records of addresses (the desk's and this one's), so a step from Python hands
over two pointers and the arrays that it wants filled.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lobgym.envs.rewards import RewardValues
from lobgym.sim.desk_kernel import (
    BLOCK,
    BLOCK_COLUMNS,
    OBSERVED_TOGETHER,
    TABLES,
    Tables,
    look_ahead,
    observe_some,
    step_lane,
)
from lobgym.sim.jit import njit_leaf, njit_lean
from lobgym.sim.money import Economics, mark_value
from lobgym.sim.packed import PackedTuples
from lobgym.sim.world import econ_of

__all__ = [
    "COLUMNS",
    "DECODED",
    "DRAWDOWN",
    "END",
    "ENDS",
    "END_COLUMN",
    "END_NAMES",
    "EPISODES",
    "EPISODES_DTYPE",
    "KEPT_COLUMNS",
    "MAX_ABS",
    "STEPS",
    "SUMS",
    "SUM_COLUMNS",
    "Episodes",
    "begin_lanes",
    "decode_box",
    "decode_choices",
    "step_episodes",
]

# How an episode ended. Those before "horizon" are terminations, "horizon" is the truncation.
ENDS: Final = ("", "bankrupt", "liquidated", "filled", "tape_end", "horizon")
END_NAMES: Final = np.array(ENDS)
END_NAMES.setflags(write=False)
_BANKRUPT: Final = ENDS.index("bankrupt")
_LIQUIDATED: Final = ENDS.index("liquidated")
_FILLED: Final = ENDS.index("filled")
_TAPE_END: Final = ENDS.index("tape_end")
_HORIZON: Final = ENDS.index("horizon")

# A step's block: the desk's columns, and how the episode ended.
END_COLUMN: Final = BLOCK_COLUMNS
COLUMNS: Final = BLOCK_COLUMNS + 1

# What an episode sums up: columns of a block.
SUMS: Final = (
    "pnl", "fees", "funding", "turnover", "fills", "maker_fills", "filled_orders", "submits", "cancels", "refused",
)  # fmt: skip
SUM_COLUMNS: Final = np.array([BLOCK.index(name) for name in SUMS], np.int64)
_SUM_COUNT: Final = len(SUMS)

# Behind its sums an episode keeps these.
KEPT: Final = ("steps", "max_abs_position", "peak", "drawdown", "end")
STEPS: Final = _SUM_COUNT + KEPT.index("steps")
MAX_ABS: Final = _SUM_COUNT + KEPT.index("max_abs_position")
PEAK: Final = _SUM_COUNT + KEPT.index("peak")  # greatest equity
DRAWDOWN: Final = _SUM_COUNT + KEPT.index("drawdown")  # greatest fall from it
END: Final = _SUM_COUNT + KEPT.index("end")  # how it ended, a number of ENDS; 0 while it is under way
KEPT_COLUMNS: Final = _SUM_COUNT + len(KEPT)

_PNL: Final = BLOCK.index("pnl")
_EQUITY: Final = BLOCK.index("equity")
_POSITION: Final = BLOCK.index("position")
_FEES: Final = BLOCK.index("fees")
_FUNDING: Final = BLOCK.index("funding")
_MID2: Final = BLOCK.index("mid2")
_MID2_BEFORE: Final = BLOCK.index("mid2_before")
_CASH: Final = BLOCK.index("cash")
_LOTS: Final = BLOCK.index("lots")
_LIQUIDATIONS: Final = BLOCK.index("liquidations")
_ENDED: Final = BLOCK.index("ended")

DECODED: Final = -1
_SLACK: Final = 1e-6  # by which rounding may carry a float32 action out of its bounds
_BP: Final = 1e-4


class Episodes(NamedTuple):
    """What lasts from step to step, and what never changes."""

    running: NDArray[np.bool_]  # [N] an episode is under way
    live: NDArray[np.bool_]  # [N] takes part in this step
    returns: NDArray[np.float64]  # [N] sums of rewards
    kept: NDArray[np.int64]  # [N, KEPT_COLUMNS] SUMS, and KEPT
    sum_columns: NDArray[np.int64]  # [len(SUMS)] where in a block the sums come from
    codes: NDArray[np.int32]  # [N, A]
    reward: RewardValues
    horizon: int
    capital_units: int
    position_lots_max: float
    unit: float  # quote units that a money unit is worth
    half_tick: float
    sum_returns: int  # 0: functions still add to the rewards, and Python sums them up


EPISODES_DTYPE: Final = np.dtype([("episodes", np.int64)])
EPISODES: Final = PackedTuples(EPISODES_DTYPE, "episodes")
Handle: TypeAlias = Any  # a record of EPISODES_DTYPE, or of DESK_DTYPE

_episodes_of = EPISODES.at
_tables_of = TABLES.at


# -- actions -----------------------------------------------------------------------------------------------------------


@njit_lean
def decode_box(actions: NDArray[np.float32], bins: NDArray[np.int64], codes: NDArray[np.int32]) -> int:
    """Cut actions [N, A] into codes; DECODED, or the first row that lies outside [-1, 1] or is not finite."""
    for i in range(codes.shape[0]):
        for j in range(codes.shape[1]):
            value = float(actions[i, j])
            if not abs(value) <= 1.0 + _SLACK:
                return i
            value = min(max(value, -1.0), 1.0)
            codes[i, j] = min(int((value + 1.0) / 2.0 * bins[j]), bins[j] - 1)
    return DECODED


@njit_lean
def decode_choices(actions: NDArray[np.int64], bins: NDArray[np.int64], codes: NDArray[np.int32]) -> int:
    """Take actions [N] as codes [N, 1]; DECODED, or the first that is none."""
    for i in range(codes.shape[0]):
        if actions[i] < 0 or actions[i] >= bins[0]:
            return i
        codes[i, 0] = actions[i]
    return DECODED


# -- rewards -----------------------------------------------------------------------------------------------------------


@njit_leaf
def _task_terms(
    e: Episodes, tables: Tables, econ: Economics, block: NDArray[np.int64], i: int, ended: bool
) -> float:  # fmt: skip
    """What working the lane's task earned: minus the growth of its shortfall, and what is left undone."""
    task = tables.tasks[i]
    if task["side"] == 0:
        return 0.0
    v = e.reward
    lots = task["side"] * task["lots"]
    on_paper = mark_value(econ, lots, block[i, _MID2]) - mark_value(econ, lots, block[i, _MID2_BEFORE])
    reward = v.shortfall * ((block[i, _PNL] - on_paper) * e.unit)
    if ended and v.unfilled_bps > 0.0:
        left = max(0, task["lots"] - task["side"] * block[i, _POSITION])
        reward -= v.unfilled_bps * _BP * (abs(mark_value(econ, left, block[i, _MID2])) * e.unit)
    return float(reward)


@njit_leaf
def _reward(
    e: Episodes, tables: Tables, econ: Economics, block: NDArray[np.int64], i: int, fall: int, ended: bool
) -> float:  # fmt: skip
    v = e.reward
    reward = v.pnl * (block[i, _PNL] * e.unit)
    if v.inventory_penalty != 0.0:
        reward -= v.inventory_penalty * (abs(block[i, _POSITION]) / e.position_lots_max)
    if v.spread_capture != 0.0:
        gained = block[i, _CASH] + mark_value(econ, block[i, _LOTS], block[i, _MID2_BEFORE])
        reward += v.spread_capture * (gained * e.unit)
    if v.fees != 0.0:
        reward -= v.fees * (block[i, _FEES] * e.unit)
    if v.funding != 0.0:
        reward -= v.funding * (block[i, _FUNDING] * e.unit)
    if v.drawdown != 0.0:
        reward -= v.drawdown * (fall * e.unit)
    if v.shortfall != 0.0 or v.unfilled_bps != 0.0:
        reward += _task_terms(e, tables, econ, block, i, ended)
    return float(v.scale * reward)


# -- episodes ----------------------------------------------------------------------------------------------------------


@njit_lean
def begin_lanes(eh: Handle, mask: NDArray[np.bool_]) -> None:
    """Empty the sums of the lanes of `mask` [N], whose episodes begin."""
    e = _episodes_of(eh)
    for i in range(mask.shape[0]):
        if mask[i]:
            e.running[i] = True
            e.returns[i] = 0.0
            for k in range(KEPT_COLUMNS):
                e.kept[i, k] = 0


@njit_leaf
def _fall(e: Episodes, i: int, equity: int) -> int:
    """Growth of the episode's maximal drawdown."""
    peak = max(e.kept[i, PEAK], equity)
    before = e.kept[i, DRAWDOWN]
    worst = max(before, peak - equity)
    e.kept[i, PEAK] = peak
    e.kept[i, DRAWDOWN] = worst
    return int(worst - before)


@njit_leaf
def _end(e: Episodes, tables: Tables, block: NDArray[np.int64], i: int) -> int:
    """How the episode ended with this step, a number of ENDS."""
    if block[i, _EQUITY] <= -e.capital_units:
        return _BANKRUPT
    if block[i, _LIQUIDATIONS] > 0:
        return _LIQUIDATED
    task = tables.tasks[i]
    if task["side"] != 0 and task["side"] * block[i, _POSITION] >= task["lots"]:
        return _FILLED
    if e.kept[i, STEPS] >= e.horizon:
        return _HORIZON
    return _TAPE_END if block[i, _ENDED] != 0 else 0


@njit_leaf
def _count_step(
    e: Episodes, tables: Tables, econ: Economics, block: NDArray[np.int64], i: int, floats: NDArray[np.float64],
    flags: NDArray[np.bool_],
) -> bool:  # fmt: skip
    """Reward and sum up what lane `i` has just done; whether its episode ended."""
    kept = e.kept
    kept[i, STEPS] += 1
    for k in range(_SUM_COUNT):
        kept[i, k] += block[i, e.sum_columns[k]]
    kept[i, MAX_ABS] = max(kept[i, MAX_ABS], abs(block[i, _POSITION]))
    fall = _fall(e, i, block[i, _EQUITY])
    end = _end(e, tables, block, i)
    reward = _reward(e, tables, econ, block, i, fall, end != 0)
    floats[0, i] = reward
    if e.sum_returns:
        e.returns[i] += reward
    if end == 0:
        return False
    kept[i, END] = end
    block[i, END_COLUMN] = end
    flags[0, i] = end != _HORIZON
    flags[1, i] = end == _HORIZON
    e.running[i] = False
    return True


@njit_lean
def step_episodes(
    h: Handle, eh: Handle, masked: int, observations: NDArray[np.float32], block: NDArray[np.int64],
    floats: NDArray[np.float64], flags: NDArray[np.bool_],
) -> int:  # fmt: skip
    """Step the running lanes by `Episodes.codes`; with `masked` only those of `Episodes.live`.

    Args:
        observations: [N, D], written for all lanes.
        block: [N, COLUMNS]: the desk's block, and the number of how the episode ended (ENDS).
        floats: [2, N]: rewards, mids in quote units.
        flags: [2, N]: terminated, truncated.

    Returns:
        how many episodes ended; or -1 - i where lane i has no running episode, and nothing was done; or -1 - N where
        a lane is in error.
    """
    e = _episodes_of(eh)
    lanes = int(e.running.shape[0])
    for i in range(lanes):
        if not masked:
            e.live[i] = True
        if e.live[i] and not e.running[i]:
            return -1 - i
    tables = _tables_of(h)
    w = tables.world
    econ = econ_of(w)
    failed = 0
    count = 0
    for first in range(0, lanes, OBSERVED_TOGETHER):
        end = min(first + OBSERVED_TOGETHER, lanes)
        for i in range(first, end):
            look_ahead(tables, w, i)
            failed += step_lane(tables, w, econ, i, e.codes, e.live[i], block)
            floats[0, i] = 0.0
            floats[1, i] = block[i, _MID2] * e.half_tick
            flags[0, i] = False
            flags[1, i] = False
            block[i, END_COLUMN] = 0
            if e.live[i]:
                count += _count_step(e, tables, econ, block, i, floats, flags)
        observe_some(tables, w, econ, first, end, observations)
    return -1 - lanes if failed > 0 else int(count)
