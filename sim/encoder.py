"""The encoder of `ObservationLayout`: one observation row of one lane, as a compiled function.

Sums run in a fixed order, and only +, -, *, / and the square root, which IEEE 754 rounds alike everywhere, touch a
float: a row's bits depend on its inputs alone.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.bars import (
    Bars,
    fetch_count,
    fetch_entries,
    fetch_mark,
    fetch_top,
    last_ns,
    moment_at,
    stamps_by,
)
from lobgym.sim.best_levels import LEVEL_DTYPE, LEVELS_MAX, fetch_levels
from lobgym.sim.columns.book import level_columns, top_columns
from lobgym.sim.columns.catalog import COLUMNS, PARTS, number_of, part
from lobgym.sim.columns.clock import clock_columns
from lobgym.sim.columns.custom import addresses_of
from lobgym.sim.columns.header import (
    BACKS_S,
    ENCODER_DTYPE,
    FAR,
    LOOKUP_DTYPE,
    NUMBER_DTYPE,
    OBSERVED_TOGETHER,
    THEN_DTYPE,
    Encoder,
    call_function,
    id_at,
    lookup_at,
    put,
    scale_at,
    then_at,
    value_at,
)
from lobgym.sim.columns.own import own_columns
from lobgym.sim.columns.past import bar_columns, flow_columns, quote_columns, return_columns
from lobgym.sim.columns.queue import QUEUE_DTYPE, queue_columns
from lobgym.sim.columns.task import task_columns
from lobgym.sim.jit import njit_inner, njit_leaf, njit_lean
from lobgym.sim.kept import keep
from lobgym.sim.memory import address_of
from lobgym.sim.money import Economics
from lobgym.sim.observation import ObservationLayout
from lobgym.sim.task import Task
from lobgym.sim.view import BookView
from lobgym.sim.world import World, lane_at

__all__ = ["Encoder", "encode_lane", "fetch_counts", "fetch_marks", "make_encoder", "prepare_lane"]

_BOOK_AGE: Final = number_of("book_age")
_QUOTE: Final = part("quote")
_TOPS: Final = part("tops")
_EACH: Final = part("each")
_BARS: Final = part(*(name for name in PARTS if name.startswith("bars_")))
_QUEUE: Final = part("queue")
_CLOCK: Final = part("clock")
_TASK: Final = part("task")
_CUSTOM: Final = part("custom")
_RARE: Final = part("queue", "clock", "task", "custom")
_COUNT: Final = len(COLUMNS)  # registered columns come behind these
_RETURNS: Final = part(*(name for name in PARTS if name.startswith("back_")))
_FLOWS: Final = part("trades", "flow_1", "flow_5")


def _lookups(needs: int) -> NDArray[np.void]:
    """LOOKUP_DTYPE: the earlier times at which the parts of `needs` look something up, by the number in their names."""
    parts = [name for place, name in enumerate(PARTS) if needs >> place & 1]
    seconds = {int(name.rpartition("_")[2]) for name in parts if name.startswith(("back_", "prints_", "flow_"))}
    return np.array([(s * 1_000_000_000, k) for k, s in enumerate(BACKS_S) if s in seconds], LOOKUP_DTYPE)


def make_encoder(layout: ObservationLayout, position_lots_max: int, lanes: int) -> Encoder:
    """Compile a layout for a desk of so many lanes whose inventory is measured against `position_lots_max`.

    Returns:
        a record that keeps its tables. It has scratch space: no two threads may use one at a time.
    """
    needs = part(*(name for spec in layout.specs for name in spec.parts))
    registered = tuple(spec.name for spec in layout.specs if spec.source)
    kept = {
        "ids": layout.ids,
        "scales": np.array([(spec.scale,) for spec in layout.specs], NUMBER_DTYPE),
        "values": np.zeros(len(COLUMNS) + len(registered), NUMBER_DTYPE),
        "levels": np.zeros(2 * LEVELS_MAX, LEVEL_DTYPE),
        "queues": np.zeros(2 * lanes if needs & _QUEUE else 1, QUEUE_DTYPE),
        "functions": addresses_of(registered),
        "lookups": _lookups(needs),
        "thens": np.zeros(OBSERVED_TOGETHER * len(BACKS_S), THEN_DTYPE),
    }
    header = np.zeros(1, ENCODER_DTYPE)
    for name, array in kept.items():
        header[name] = address_of(array)
    header["width"], header["needs"], header["function_count"] = layout.size, needs, len(registered)
    header["lookup_count"] = len(kept["lookups"])
    header["position_lots_max"] = position_lots_max
    return keep(header, *kept.values())[0]


@njit_inner
def _registered_columns(encoder: Encoder, w: World, i: int) -> None:
    for k in range(encoder["function_count"]):
        value = call_function(encoder, k, w, i)
        # NaN is not equal to itself; and an infinite value would become one.
        put(encoder, _COUNT + k, min(max(value, -FAR), FAR) if value == value else 0.0)


@njit_inner
def _rare_columns(
    local: BookView, bars: Bars, encoder: Encoder, econ: Economics, w: World, i: int, task: Task
) -> None:  # fmt: skip
    needs = encoder["needs"]
    if needs & _QUEUE:
        queue_columns(local, bars, encoder, w, i)
    if needs & _CLOCK:
        clock_columns(bars, encoder, w, i)
    if needs & _TASK:
        task_columns(bars, encoder, econ, w, i, task)
    if needs & _CUSTOM:
        _registered_columns(encoder, w, i)


@njit_leaf
def fetch_marks(bars: Bars, encoder: Encoder, t_ns: int) -> None:
    """Ask for the marks that lead to what an observation at `t_ns` will look up."""
    for k in range(encoder["lookup_count"]):
        fetch_mark(bars, t_ns - lookup_at(encoder, k)["back_ns"])


@njit_leaf
def fetch_counts(bars: Bars, encoder: Encoder, t_ns: int) -> None:
    """Ask for what those marks lead to."""
    for k in range(encoder["lookup_count"]):
        fetch_count(bars, t_ns - lookup_at(encoder, k)["back_ns"])


@njit_leaf
def prepare_lane(local: BookView, bars: Bars, encoder: Encoder, w: World, i: int, place: int) -> None:
    """Look up when `encode_lane` will look, and ask for what it will find there.

    `place` is the lane's among those that are observed together, of which there are OBSERVED_TOGETHER at most.
    """
    needs = encoder["needs"]
    lane = lane_at(w, i)
    seen = lane["local_stamp"]
    fetch_entries(bars, seen)
    if needs & _TOPS:
        fetch_top(bars, seen)
    if needs & _EACH:
        fetch_levels(local, lane["local_cursor"])
    for k in range(encoder["lookup_count"]):
        lookup = lookup_at(encoder, k)
        then = min(stamps_by(bars, lane["t_ns"] - lookup["back_ns"]), seen)
        then_at(encoder, place, lookup["back"])["stamps"] = then
        fetch_entries(bars, then)


@njit_lean
def encode_lane(
    local: BookView, bars: Bars, encoder: Encoder, econ: Economics, w: World, i: int, place: int, task: Task,
    out: NDArray[np.float32],
) -> None:  # fmt: skip
    """Write lane `i`'s observation into `out` [D]: the local book and the lane's own view, at its own time.

    `prepare_lane` has been here with this `place`; `task` is the lane's record of TASK_DTYPE.
    """
    width = encoder["width"]
    needs = encoder["needs"]
    for k in range(width):
        put(encoder, id_at(encoder, k), 0.0)
    lane = lane_at(w, i)
    t_ns = lane["t_ns"]
    seen = lane["local_stamp"]
    now = moment_at(bars, seen)
    if seen > 0:
        put(encoder, _BOOK_AGE, (t_ns - last_ns(bars, seen)) / 1e9)
    mid2 = 0
    spread_bps = 0.0
    depth = 0.0
    if needs & _QUOTE:
        mid2, spread_bps = quote_columns(bars, encoder, now)
    if needs & _RETURNS:
        return_columns(bars, encoder, place, mid2)
    if needs & _TOPS:
        depth = top_columns(bars, encoder, seen, mid2, spread_bps)
    if needs & _EACH:
        level_columns(local, encoder, lane["local_cursor"], mid2, depth)
    if needs & _FLOWS:
        flow_columns(bars, encoder, place, now, depth)
    if needs & _BARS:
        # A feed whose delay varies is taken at its slowest: a bar counts once the lane has seen all of it for certain.
        bar_columns(bars, encoder, t_ns - lane["feed_delay_ns"] - lane["feed_jitter_ns"])
    own_columns(bars, encoder, econ, w, i, mid2)
    if needs & _RARE:
        _rare_columns(local, bars, encoder, econ, w, i, task)
    for k in range(width):
        value = value_at(encoder, id_at(encoder, k))["v"]
        scale = scale_at(encoder, k)["v"]
        if scale > 0.0:
            value = value / (scale + abs(value))
        out[k] = np.float32(min(max(value, -1.0), 1.0))
