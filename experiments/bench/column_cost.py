"""`bench env --case column_cost`: what the columns of an observation cost, in nanoseconds a lane and step.

64 lanes of a grid desk trade by random codes on a recording, and after each step all of them are observed: the time of
the observations alone, of the processor. From that of each layout the one of a layout with nothing but `inventory` is
taken off, which is what the call costs. `layouts` has what an environment observes by default; `one_more` has what one
column adds to the market maker's, the fastest of all runs each. A column whose parts that layout has anyway costs next
to nothing (docs/observations.md); a new part costs what its lookups wait for.
"""

from __future__ import annotations

import time
from statistics import median
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lobgym.experiments.bench.report import BenchRow, row_of
from lobgym.sim.desk import Desk
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.market import Market
from lobgym.sim.observation import COLUMNS, DEFAULT_COLUMNS, ObservationLayout

__all__ = ["column_cost"]

LANES: Final = 64
SEED: Final = 1
STEP_NS: Final = 100_000_000
_NOTHING: Final = ("inventory",)
_BASE: Final = DEFAULT_COLUMNS["maker"]


def _ns(market: Market, columns: tuple[str, ...], codes: NDArray[np.int32]) -> float:
    """Nanoseconds of an observation of one lane, right after a step."""
    spec = DeskSpec.for_market(market, "grid", interval_ns=STEP_NS, layout=ObservationLayout(columns))
    desk = Desk(spec, market, LANES)
    room = market.end_ns - market.start_ns - (len(codes) + 2) * STEP_NS
    desk.reset(market.start_ns + np.arange(LANES, dtype=np.int64) * (room // LANES))
    desk.observe()
    spent = 0
    for step in codes:
        desk.step(step, observe=False)
        begin = time.thread_time_ns()
        desk.observe()
        spent += time.thread_time_ns() - begin
    return spent / (len(codes) * LANES)


def _one_more() -> dict[str, tuple[str, ...]]:
    """The first column of each set of parts that goes beyond what the market maker's columns need."""
    have = {part for spec in ObservationLayout(_BASE).specs for part in spec.parts}
    found: dict[str, tuple[str, ...]] = {}
    seen: set[frozenset[str]] = set()
    for column in COLUMNS:
        new = frozenset(column.parts) - have
        if column.name not in _BASE and new not in seen:
            seen.add(new)
            found[column.name] = (*_BASE, column.name)
    return found


def column_cost(market: Market, steps: int = 200, runs: int = 7) -> BenchRow:
    """One row: the market maker's columns together, with the others' in `layouts` and single ones in `one_more`."""
    desk = Desk(DeskSpec.for_market(market, "grid"), market)
    rng = np.random.default_rng(SEED)
    shape = (steps, LANES)
    codes = np.stack([rng.integers(0, bins, shape) for bins in desk.action.bins], -1).astype(np.int32)
    wanted = {"nothing": _NOTHING, **{kind: names for kind, names in DEFAULT_COLUMNS.items()}, **_one_more()}
    times: dict[str, list[float]] = {name: [] for name in wanted}
    for _ in range(runs):
        for name, columns in wanted.items():
            times[name].append(_ns(market, columns, codes))
    idle = median(times["nothing"])
    least = {name: min(values) - min(times["nothing"]) for name, values in times.items()}
    return row_of(
        "env", "column_cost", [one - idle for one in times["maker"]], "ns/lane-step", seed=SEED,
        extra={
            "lanes": LANES, "steps": steps, "columns": len(_BASE), "nothing": round(min(times["nothing"]), 1),
            "a_column": round(least["maker"] / len(_BASE), 1),
            "layouts": {kind: round(least[kind], 1) for kind in DEFAULT_COLUMNS},
            "one_more": {name: round(least[name] - least["maker"], 1) for name in _one_more()},
        },
    )  # fmt: skip
