"""The arrays behind an arena: what its kernels read, and what they write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lobgym.envs.arena.columns import ARENA_COLUMNS, BACK
from lobgym.envs.arena.rewards import ArenaReward
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.quoter import INTENT_DTYPE, QuoterValues
from lobgym.sim.task import TASK_DTYPE

__all__ = ["COUNTERS", "HISTORY", "Members", "Run", "make_members", "make_run"]

HISTORY: Final = 64  # steps of mids that are kept, a power of two
assert max(BACK) < HISTORY

# Columns of Run.totals and Run.deltas: sums since the reset, of money in money units.
COUNTERS: Final = (
    "pnl_units",  # equity: cash - fees - funding + position at the exchange's mid
    "fees_units",
    "turnover_units",  # sum of |cash|
    "shortfall_units",  # of the parent order: paid beyond the mid at its arrival, what is unfilled at the mid
    "fills",
    "maker_fills",
    "submits",
    "cancels",
    "refused",  # orders that the risk check kept back
    "liquidations",
)


class Members(NamedTuple):
    """What the kernels read and never write: a row an agent."""

    limits: NDArray[np.int64]  # [M, L] fields of LimitValues
    numbers: NDArray[np.int64]  # [M, Q] fields of QuoterValues that are numbers, in their order
    spacing: NDArray[np.int64]  # [M, W] its tables, padded
    targets: NDArray[np.int64]
    offsets: NDArray[np.int64]
    behind: NDArray[np.int64]
    bins: NDArray[np.int64]  # [M, A] codes of each dimension; 0 beyond the last
    is_box: NDArray[np.int64]  # [M] 1 for a Box, 0 for a Discrete
    lots_max: NDArray[np.int64]  # [M] position limits
    capital: NDArray[np.int64]  # [M] money units that may be lost
    rewards: NDArray[np.float64]  # [M, 4] pnl, shortfall, inventory penalty, scale
    scales: NDArray[np.float64]  # [D]
    unit: float  # worth of a money unit in quote units


class Run(NamedTuple):
    """What an episode changes: a row an agent."""

    live: NDArray[np.bool_]  # [M]
    actions: NDArray[np.float64]  # [M, A] as given; of a Discrete the first number
    codes: NDArray[np.int32]  # [M, A]
    intents: NDArray[np.void]  # [M, K] INTENT_DTYPE
    tasks: NDArray[np.void]  # [M] TASK_DTYPE
    touch: NDArray[np.int64]  # [M, 3] bid, ask and age of what the feed shows now
    place: NDArray[np.int64]  # [M] of that picture in the ring of ladders, -1 where there is none
    mids: NDArray[np.int64]  # [M, HISTORY] twice the mid that the feed showed, a ring by step; 0 where it had none
    totals: NDArray[np.int64]  # [M, len(COUNTERS)]
    deltas: NDArray[np.int64]  # [M, len(COUNTERS)] of the last step
    positions: NDArray[np.int64]  # [M] at the exchange, lots
    end: NDArray[np.int64]  # [M] END_*
    gains: NDArray[np.float64]  # [M] rewards of the last step
    clock: NDArray[np.int64]  # [2] steps since the reset; twice the exchange's last two-sided mid, ticks
    observations: NDArray[np.float32]  # [M, D]


def make_members(
    specs: Sequence[DeskSpec], capital: Sequence[int], rewards: Sequence[ArenaReward], unit: float
) -> Members:
    """The tables of agents with these desks."""
    values = [spec.quoter_values for spec in specs]
    numbers = [[int(one) for one in row if not isinstance(one, np.ndarray)] for row in values]
    return Members(
        limits=np.array([tuple(spec.risk.values) for spec in specs], np.int64),
        numbers=np.array(numbers, np.int64),
        spacing=_padded([row.spacing_ticks for row in values]),
        targets=_padded([row.target_lots for row in values]),
        offsets=_padded([row.offset_ticks for row in values]),
        behind=_padded([row.behind_ticks for row in values]),
        bins=_padded([np.array(spec.action.bins, np.int64) for spec in specs]),
        is_box=np.array([spec.action.continuous for spec in specs], np.int64),
        lots_max=np.array([spec.position_lots_max for spec in specs], np.int64),
        capital=np.array(capital, np.int64),
        rewards=np.array([(one.pnl, one.shortfall, one.inventory_penalty, one.scale) for one in rewards], np.float64),
        scales=np.array([column.scale for column in ARENA_COLUMNS], np.float64),
        unit=unit,
    )


# `lobgym.envs.arena.kernel` puts a QuoterValues together again, by place.
assert QuoterValues._fields == (
    "kind", "position_lots_max", "order_lots", "sweep_ticks", "spacing_ticks", "target_lots", "short_lots_max",
    "offset_ticks", "lean_ticks", "behind_ticks", "interval_ns",
)  # fmt: skip


def _padded(rows: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    made = np.zeros((len(rows), max(1, *(len(row) for row in rows))), np.int64)
    for k, row in enumerate(rows):
        made[k, : len(row)] = row
    return made


def make_run(members: Members, intents_max: int) -> Run:
    """Zeroed arrays for agents with these tables."""
    count, width = members.bins.shape
    arrays: dict[str, NDArray[Any]] = {
        "live": np.zeros(count, np.bool_),
        "actions": np.zeros((count, width), np.float64),
        "codes": np.zeros((count, width), np.int32),
        "intents": np.zeros((count, intents_max), INTENT_DTYPE),
        "tasks": np.zeros(count, TASK_DTYPE),
        "touch": np.zeros((count, 3), np.int64),
        "place": np.zeros(count, np.int64),
        "mids": np.zeros((count, HISTORY), np.int64),
        "totals": np.zeros((count, len(COUNTERS)), np.int64),
        "deltas": np.zeros((count, len(COUNTERS)), np.int64),
        "positions": np.zeros(count, np.int64),
        "end": np.zeros(count, np.int64),
        "gains": np.zeros(count, np.float64),
        "clock": np.zeros(2, np.int64),
        "observations": np.zeros((count, len(ARENA_COLUMNS)), np.float32),
    }
    return Run(**arrays)
