"""The record that the encoder's kernels take: a layout, and scratch space for one row.

Scratch space is written by every call and read by none after it.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np

from lobgym.sim.jit import njit_inline, njit_leaf
from lobgym.sim.memory import column, function_caller, table
from lobgym.sim.world import WORLD_DTYPE

__all__ = [
    "BACKS_S",
    "ENCODER_DTYPE",
    "FAR",
    "LOOKUP_DTYPE",
    "NUMBER_DTYPE",
    "OBSERVED_TOGETHER",
    "THEN_DTYPE",
    "Encoder",
    "balance",
    "call_function",
    "id_at",
    "lookup_at",
    "put",
    "scale_at",
    "then_at",
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
        ("lookups", np.int64),  # LOOKUP[], the earlier times at which rows look something up
        ("lookup_count", np.int64),
        ("thens", np.int64),  # THEN[OBSERVED_TOGETHER, BACKS], scratch
    ]
)
NUMBER_DTYPE: Final = np.dtype([("v", np.float64)])
BACKS_S: Final = (1, 5, 10, 30, 60, 300)  # seconds ago at which something may be looked up
OBSERVED_TOGETHER: Final = 16  # lanes; as many as find what they read still in the cache when their turn comes
LOOKUP_DTYPE: Final = np.dtype([("back_ns", np.int64), ("back", np.int64)])  # one of BACKS_S, and its place there
THEN_DTYPE: Final = np.dtype([("stamps", np.int64)])  # different stamps that the lane had seen by an earlier time
_BACKS: Final = len(BACKS_S)

value_at = table(ENCODER_DTYPE, "values", NUMBER_DTYPE)  # (encoder, column)
id_at = column(ENCODER_DTYPE, "ids", np.int64)  # (encoder, place in the layout)
_then_at = table(ENCODER_DTYPE, "thens", THEN_DTYPE)
lookup_at = table(ENCODER_DTYPE, "lookups", LOOKUP_DTYPE)  # (encoder, k)
scale_at = table(ENCODER_DTYPE, "scales", NUMBER_DTYPE)
# (encoder, k, world, lane): what the layout's k-th registered function says
call_function = function_caller(ENCODER_DTYPE, "functions", WORLD_DTYPE)


@njit_leaf
def put(encoder: Encoder, number: int, value: float) -> None:
    """Set a column, before scaling."""
    value_at(encoder, number)["v"] = value


@njit_inline
def then_at(encoder: Encoder, place: int, back: int) -> Any:
    """THEN_DTYPE of the lane at a place among those that are observed together, for an earlier time of BACKS_S."""
    return _then_at(encoder, place * _BACKS + back)


@njit_leaf
def balance(plus: float, minus: float) -> float:
    """(plus - minus) / (plus + minus), 0 where both are."""
    total = plus + minus
    return (plus - minus) / total if total > 0.0 else 0.0
