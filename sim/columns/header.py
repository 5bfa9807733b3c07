"""The record that the encoder's kernels take: a layout, and scratch space for one row.

Scratch space is written by every call and read by none after it.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np

from lobgym.sim.jit import njit_leaf
from lobgym.sim.memory import column, function_caller, table
from lobgym.sim.world import WORLD_DTYPE

__all__ = [
    "ENCODER_DTYPE",
    "FAR",
    "LOOKUP_DTYPE",
    "NUMBER_DTYPE",
    "Encoder",
    "balance",
    "call_function",
    "id_at",
    "lookup_at",
    "put",
    "scale_at",
    "value_at",
]

FAR: Final = 1e300  # a distance to something that is not there: v / (s + |v|) is 1 exactly

Encoder: TypeAlias = Any  # a record of ENCODER_DTYPE

ENCODER_DTYPE: Final = np.dtype(
    [
        ("width", np.int64),  # columns of the layout, D
        ("needs", np.int64),  # bits of the parts that they need
        ("position_lots_max", np.int64),
        # addresses
        ("ids", np.int64),  # int64[D] column numbers
        ("scales", np.int64),  # NUMBER[D] s of v / (s + |v|); 0 leaves v alone
        ("values", np.int64),  # NUMBER[all columns], scratch
        ("levels", np.int64),  # LEVEL[2, LEVELS_MAX], scratch: a side's levels, best first
        ("queues", np.int64),  # QUEUE[lanes, 2], a memory that changes no result (`lobgym.sim.columns.queue`)
        ("functions", np.int64),  # int64[registered columns of the layout]
        ("function_count", np.int64),
        ("lookups", np.int64),  # LOOKUP[], the times at which rows look something up
        ("lookup_count", np.int64),
    ]
)
NUMBER_DTYPE: Final = np.dtype([("v", np.float64)])
LOOKUP_DTYPE: Final = np.dtype([("back_ns", np.int64), ("lists", np.int64)])  # how long ago; `lobgym.sim.bars` IN_*

value_at = table(ENCODER_DTYPE, "values", NUMBER_DTYPE)  # (encoder, column)
id_at = column(ENCODER_DTYPE, "ids", np.int64)  # (encoder, place in the layout)
lookup_at = table(ENCODER_DTYPE, "lookups", LOOKUP_DTYPE)  # (encoder, k)
scale_at = table(ENCODER_DTYPE, "scales", NUMBER_DTYPE)
# (encoder, k, world, lane): what the layout's k-th registered function says
call_function = function_caller(ENCODER_DTYPE, "functions", WORLD_DTYPE)


@njit_leaf
def put(encoder: Encoder, number: int, value: float) -> None:
    """Set a column, before scaling."""
    value_at(encoder, number)["v"] = value


@njit_leaf
def balance(plus: float, minus: float) -> float:
    """(plus - minus) / (plus + minus), 0 where both are."""
    total = plus + minus
    return (plus - minus) / total if total > 0.0 else 0.0
