"""How long messages travel: constants per lane, plus one of two models of what varies.

Both directions are first in, first out; `lobgym.sim.kernel` sees to that. A model adds to the lane's constants.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.errors import ParamsError
from lobgym.sim.jit import njit_inner, njit_leaf
from lobgym.sim.memory import column
from lobgym.sim.rng import draw
from lobgym.sim.world import WORLD_DTYPE, World

__all__ = [
    "MODEL_NONE",
    "MODEL_QUANTILES",
    "MODEL_TABLE",
    "LatencyQuantiles",
    "LatencyTable",
    "feed_jitter",
    "latency_from_json",
    "latency_model",
    "modelled_entry",
    "modelled_response",
]

MODEL_NONE: Final = 0
MODEL_TABLE: Final = 1
MODEL_QUANTILES: Final = 2

STREAM_ENTRY: Final = 11
STREAM_RESPONSE: Final = 12
STREAM_FEED: Final = 13

_NS_MAX: Final = 60_000_000_000
_ROWS_MAX: Final = 1 << 24
_BLOCK_NS: Final = 1_000_000_000

_entry_column = column(WORLD_DTYPE, "entry_table", np.int64)
_response_column = column(WORLD_DTYPE, "response_table", np.int64)


@dataclass(frozen=True)
class LatencyTable:
    """Latencies as they were measured, interpolated in between.

    Attributes:
        request_ns: when each request was sent, ascending.
        exch_ns: when it reached the exchange; before `request_ns` by d means that it was lost, which the sender
            learnt after d.
        response_ns: when the answer was back.

    Raises:
        ParamsError: unequal lengths, stamps out of order, or latencies above a minute.
    """

    request_ns: tuple[int, ...]
    exch_ns: tuple[int, ...]
    response_ns: tuple[int, ...]

    def __post_init__(self) -> None:
        sizes = {len(self.request_ns), len(self.exch_ns), len(self.response_ns)}
        if len(sizes) != 1 or not 1 <= len(self.request_ns) <= _ROWS_MAX:
            raise ParamsError("a latency table needs three columns of one length, at least one row")
        made = self.arrays()
        if (np.diff(made[0]) < 0).any() or (np.diff(made[1]) < 0).any():
            raise ParamsError("a latency table's request_ns and exch_ns must ascend")
        entry, response = made[1] - made[0], made[2] - made[1]
        if np.abs(entry).max() > _NS_MAX or response.min() < 0 or response.max() > _NS_MAX:
            raise ParamsError(f"a latency table's latencies must lie within {_NS_MAX} ns, responses at 0 or above")

    def arrays(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """The columns, int64[K] each."""
        columns = (self.request_ns, self.exch_ns, self.response_ns)
        first, second, third = (np.array(column, np.int64) for column in columns)
        return first, second, third

    def to_json(self) -> dict[str, Any]:
        """The columns as plain data."""
        return {"model": "table"} | {name: list(getattr(self, name)) for name in self.__dataclass_fields__}


@dataclass(frozen=True)
class LatencyQuantiles:
    """A distribution by its quantiles, evenly spaced from the least to the greatest, linear in between.

    Attributes:
        entry_ns, response_ns: at least two values each, ascending, from 0 to a minute.

    Raises:
        ParamsError: values out of order or range.
    """

    entry_ns: tuple[int, ...]
    response_ns: tuple[int, ...]

    def __post_init__(self) -> None:
        for name in ("entry_ns", "response_ns"):
            values = getattr(self, name)
            ascends = len(values) >= 2 and all(a <= b for a, b in itertools.pairwise(values))
            if not ascends or len(values) > _ROWS_MAX or not 0 <= values[0] <= values[-1] <= _NS_MAX:
                raise ParamsError(f"latency quantiles {name}: at least two ascending values from 0 to {_NS_MAX}")

    def to_json(self) -> dict[str, Any]:
        """The quantiles as plain data."""
        return {"model": "quantiles", "entry_ns": list(self.entry_ns), "response_ns": list(self.response_ns)}


def latency_from_json(data: Any) -> LatencyTable | LatencyQuantiles | None:
    """The inverse of the models' `to_json`. Raises ParamsError for anything else."""
    if data is None or isinstance(data, LatencyTable | LatencyQuantiles):
        return data
    if isinstance(data, dict):
        fields = {name: value for name, value in data.items() if name != "model"}
        for name, made in (("table", LatencyTable), ("quantiles", LatencyQuantiles)):
            if set(fields) == set(made.__dataclass_fields__) and data.get("model", name) == name:
                return made(**{key: tuple(value) for key, value in fields.items()})
    raise ParamsError("latency must be null, a table or quantiles, each with exactly its own fields")


def latency_model(latency: LatencyTable | LatencyQuantiles | None) -> tuple[int, NDArray[np.int64], NDArray[np.int64]]:
    """What kernels take: MODEL_*, int64[2, K] of the way there and int64[2, K] of the way back.

    A table's rows are (stamp, latency); of quantiles only row 1 is used.
    """
    nothing = np.zeros((2, 1), np.int64)
    if latency is None:
        return MODEL_NONE, nothing, nothing
    if isinstance(latency, LatencyTable):
        request, exch, response = latency.arrays()
        return MODEL_TABLE, np.stack([request, exch - request]), np.stack([exch, response - exch])
    there, back = (np.array(values, np.int64) for values in (latency.entry_ns, latency.response_ns))
    return MODEL_QUANTILES, np.stack([there, there]), np.stack([back, back])


@njit_leaf
def _value(w: World, back: bool, at: Any) -> int:
    return _response_column(w, at) if back else _entry_column(w, at)


@njit_inner
def _interpolated(w: World, back: bool, size: int, ns: int) -> int:
    """Latency at `ns`, linear between the table's rows, constant beyond its ends."""
    if ns <= _value(w, back, 0):
        return _value(w, back, size)
    if ns >= _value(w, back, size - 1):
        return _value(w, back, 2 * size - 1)
    low = 0
    high = size - 1
    while high - low > 1:
        middle = (low + high) >> 1
        if _value(w, back, middle) <= ns:
            low = middle
        else:
            high = middle
    base = _value(w, back, size + low)
    rise = float(_value(w, back, size + high) - base)
    slope = rise / float(_value(w, back, high) - _value(w, back, low))
    return base + int(slope * float(ns - _value(w, back, low)))


@njit_inner
def _quantile(w: World, back: bool, size: int, seed: Any, counter: int) -> Any:
    random = draw(seed, STREAM_RESPONSE if back else STREAM_ENTRY, counter)
    low = np.int64((random >> np.uint64(32)) * np.uint64(size - 1) >> np.uint64(32))
    part = np.int64((random & np.uint64(0xFFFFFFFF)) >> np.uint64(16))
    base = _value(w, back, size + low)
    return base + ((_value(w, back, size + low + 1) - base) * part >> np.int64(16))


@njit_inner
def modelled_entry(w: World, seed: Any, counter: int, send_ns: int) -> int:
    """What the model adds to the way there of a request sent at `send_ns`, the lane's `counter`-th; ns."""
    if w["latency"] == MODEL_TABLE:
        return _interpolated(w, False, w["entry_rows"], send_ns)
    return _quantile(w, False, w["entry_rows"], seed, counter)


@njit_inner
def modelled_response(w: World, seed: Any, counter: int, exch_ns: int) -> int:
    """What the model adds to the way back of an answer given at `exch_ns`, the lane's `counter`-th; ns."""
    if w["latency"] == MODEL_TABLE:
        return max(0, _interpolated(w, True, w["response_rows"], exch_ns))
    return _quantile(w, True, w["response_rows"], seed, counter)


@njit_inner
def feed_jitter(seed: Any, jitter_ns: int, t_ns: int) -> int:
    """Extra delay of the feed in the second that holds `t_ns`: from 0 to `jitter_ns`."""
    return int(draw(seed, STREAM_FEED, t_ns // _BLOCK_NS) % np.uint64(jitter_ns + 1))
