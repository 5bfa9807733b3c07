"""The encoder of `ObservationLayout`: one observation row of one lane, as a compiled function.

Sums run in a fixed order, and only +, -, *, / and the square root, which IEEE 754 rounds alike everywhere, touch a
float: a row's bits depend on its inputs alone.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.bars import IN_FLOWS, IN_QUOTES, IN_TOPS, IN_TRADES, Bars, ask_for_entries, ask_for_mark
from lobgym.sim.best_levels import LEVEL_DTYPE, LEVELS_MAX, fetch_levels
from lobgym.sim.columns.book import level_columns, top_columns
from lobgym.sim.columns.catalog import COLUMNS, PARTS, number_of, part
from lobgym.sim.columns.clock import clock_columns
from lobgym.sim.columns.custom import addresses_of
from lobgym.sim.columns.header import (
    ENCODER_DTYPE,
    FAR,
    LOOKUP_DTYPE,
    NUMBER_DTYPE,
    Encoder,
    call_function,
    id_at,
    lookup_at,
    put,
    scale_at,
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
from lobgym.sim.world import World, lane_at, seen_ns

__all__ = ["Encoder", "ask_for_lookups", "encode_lane", "make_encoder", "prepare_lane"]

_BOOK_AGE: Final = number_of("book_age")
# Parts by the list that they look something up in; a number behind their name is how many seconds ago.
_LISTS: Final = {
    "quote": IN_QUOTES, "back": IN_QUOTES, "trades": IN_TRADES, "prints": IN_TRADES, "flow": IN_FLOWS, "tops": IN_TOPS
}  # fmt: skip
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
    """LOOKUP_DTYPE: when and where the parts of `needs` look something up, each time once. The mid is always needed."""
    lists = {0: IN_QUOTES}
    for place, name in enumerate(PARTS):
        kind, _, seconds = name.partition("_")
        if needs >> place & 1 and kind in _LISTS:
            for back in {0, int(seconds or 0)} if kind == "flow" else {int(seconds or 0)}:
                lists[back] = lists.get(back, 0) | _LISTS[kind]
    return np.array([(back * 1_000_000_000, found) for back, found in lists.items()], LOOKUP_DTYPE)


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
def ask_for_lookups(bars: Bars, encoder: Encoder, t_ns: int, entries: bool) -> None:
    """Have brought near what an observation at `t_ns` will look up: first the marks, then, later, the entries."""
    for k in range(encoder["lookup_count"]):
        lookup = lookup_at(encoder, k)
        if entries:
            ask_for_entries(bars, t_ns - lookup["back_ns"], lookup["lists"])
        else:
            ask_for_mark(bars, t_ns - lookup["back_ns"])


@njit_leaf
def prepare_lane(local: BookView, encoder: Encoder, w: World, i: int) -> None:
    """Ask for what `encode_lane` will read of lane `i`'s book, and wait for nothing."""
    if encoder["needs"] & _EACH:
        fetch_levels(local, lane_at(w, i)["local_cursor"])


@njit_lean
def encode_lane(
    local: BookView, bars: Bars, encoder: Encoder, econ: Economics, w: World, i: int, task: Task,
    out: NDArray[np.float32],
) -> None:  # fmt: skip
    """Write lane `i`'s observation into `out` [D]: the local book and the lane's own view, at its own time.

    `task` is the lane's record of TASK_DTYPE.
    """
    width = encoder["width"]
    needs = encoder["needs"]
    for k in range(width):
        put(encoder, id_at(encoder, k), 0.0)
    lane = lane_at(w, i)
    t_ns = lane["t_ns"]
    cursor = lane["local_cursor"]
    seen = seen_ns(w, i)
    if cursor > 0:
        put(encoder, _BOOK_AGE, (t_ns - seen) / 1e9)
    mid2 = 0
    spread_bps = 0.0
    depth = 0.0
    if needs & _QUOTE:
        mid2, spread_bps = quote_columns(bars, encoder, seen)
    if needs & _RETURNS:
        return_columns(bars, encoder, t_ns, seen, mid2)
    if needs & _TOPS:
        depth = top_columns(bars, encoder, seen, mid2, spread_bps)
    if needs & _EACH:
        level_columns(local, encoder, cursor, mid2, depth)
    if needs & _FLOWS:
        flow_columns(bars, encoder, t_ns, seen, depth)
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
