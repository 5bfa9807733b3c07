"""`REACTIVE_DTYPE`: parameters as tables, and state, of the reactive flow, in one record."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np

from lobgym.sim.exchange.board import BOARD_DTYPE
from lobgym.sim.flow.draws import QUANTILES, cells
from lobgym.sim.memory import target

__all__ = [
    "ACCEPT_BITS",
    "ALIAS_BITS",
    "BUCKETS_MAX",
    "CELLS",
    "CELL_CANCEL",
    "CELL_JUMP",
    "CELL_TRIM",
    "PRICE_BITS",
    "QUEUE_BUCKETS",
    "REACTIVE_DTYPE",
    "START_ORDERS",
    "FlowState",
    "accept_at",
    "alias_cut",
    "alias_to",
    "drift_of",
    "flow_of",
    "hold_of",
    "jump_entry",
    "scale_of",
    "size_entry",
    "size_mean",
    "start_cut",
    "taker_entry",
    "taker_scale",
    "units_of",
]

FlowState: TypeAlias = Any  # a record of REACTIVE_DTYPE

BUCKETS_MAX: Final = 16  # of distance: 0, 1, 2-3, 4-7, ... 16384-32767 ticks
QUEUE_BUCKETS: Final = 8  # empty, below 1, 1-2, 2-4, 4-8, 8-16, 16-32, 32 mean orders and more
PRICE_BITS: Final = 16  # of the efficient price, below the tick
CELLS: Final = 64  # of the table that a candidate is drawn from; limit orders by distance come first
CELL_CANCEL: Final = 16  # cancels by distance
CELL_JUMP: Final = 32
CELL_TRIM: Final = 33
ALIAS_BITS: Final = 20
ACCEPT_BITS: Final = 22
START_ORDERS: Final = 16

_TABLES: Final = (
    ("accept", np.uint32, (3, 3, 2, BUCKETS_MAX, QUEUE_BUCKETS)),  # volatility, liquidity, limit or cancel; of 2**22
    ("alias_cut", np.uint32, (CELLS,)),  # of 2**20
    ("alias_to", np.uint8, (CELLS,)),
    ("units", np.float64, (BUCKETS_MAX,)),  # mean orders a lot
    ("size_mean", np.int64, (BUCKETS_MAX,)),  # 1/256 lots
    ("sizes", np.int64, (2, QUANTILES + 1)),  # 2**-16 of the mean; at the best place, elsewhere
    ("jumps", np.int64, (QUANTILES + 1,)),  # 2**-16 ticks
    ("takers", np.int64, (QUANTILES + 1,)),  # 2**-16 of the mean
    ("start", np.uint32, (BUCKETS_MAX, START_ORDERS)),  # of 2**32, cumulative: orders of a level at the start
    ("scale", np.int64, (3,)),  # of jumps by volatility, 1/256
    ("taker_scale", np.float64, (3,)),  # of the noise takers' rate by volatility
    ("drift", np.int64, (3,)),  # by trend, 2**-16 ticks a second
    ("hold", np.float64, (3,)),  # mean stay, ns, by dimension of the regime
)
_NUMBERS: Final = (
    "started", "next_ns", "taker_ns", "stale_ns", "informed_ns", "repair_ns", "regime_ns", "volatility_ns",
    "liquidity_ns", "trend_ns", "volatility", "liquidity", "trend",
    "v",  # efficient price above base_tick, 2**-16 ticks
    "moved_ns",  # up to when drift is in it
    "seen_position", "taken_ns", "levels", "reach", "noise_reach", "edge", "informed_floor", "informed_lots",
    "taker_lots", "impact",  # 2**-16 ticks a lot, times 2**8
    "low", "high",  # v is reflected at both
    "candidates", "accepted", "noise_takes", "informed_takes", "stale_cancels", "repairs", "jumps_made",
)  # fmt: skip
_REALS: Final = (
    "mean_ns",  # between two candidates
    "stale_mean", "repair_mean", "informed_mean", "taker_rate", "excite_self", "excite_cross", "decay",  # per ns
    "excited_buy", "excited_sell", "taker_bound",
)  # fmt: skip

REACTIVE_DTYPE: Final = np.dtype(
    [(name, np.int64) for name in _NUMBERS]
    + [(name, np.float64) for name in _REALS]
    + [("key", np.uint64), ("count", np.uint64)]
    + [(name, kind, shape) for name, kind, shape in _TABLES],
    align=True,
)

flow_of = target(BOARD_DTYPE, "flow", REACTIVE_DTYPE)  # (x)
accept_at = cells(REACTIVE_DTYPE, "accept", np.uint32)
alias_cut = cells(REACTIVE_DTYPE, "alias_cut", np.uint32)
alias_to = cells(REACTIVE_DTYPE, "alias_to", np.uint8)
units_of = cells(REACTIVE_DTYPE, "units", np.float64)
size_mean = cells(REACTIVE_DTYPE, "size_mean", np.int64)
size_entry = cells(REACTIVE_DTYPE, "sizes", np.int64)
jump_entry = cells(REACTIVE_DTYPE, "jumps", np.int64)
taker_entry = cells(REACTIVE_DTYPE, "takers", np.int64)
start_cut = cells(REACTIVE_DTYPE, "start", np.uint32)
scale_of = cells(REACTIVE_DTYPE, "scale", np.int64)
taker_scale = cells(REACTIVE_DTYPE, "taker_scale", np.float64)
drift_of = cells(REACTIVE_DTYPE, "drift", np.int64)
hold_of = cells(REACTIVE_DTYPE, "hold", np.float64)
