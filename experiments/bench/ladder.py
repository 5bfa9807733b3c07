"""`bench ladder`: how long it takes to read the best ten levels a side at a random row, from a compiled loop.

Peer: reading as many levels off the nearest checkpoint without rolling it forward to the row.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lobgym.experiments.bench.report import BenchRow, find_recording, row_of, skipped
from lobgym.sim.book import LADDER_EVERY
from lobgym.sim.jit import njit_lean
from lobgym.sim.ladder import LADDER_SCRATCH, ladder_with
from lobgym.sim.market import Market
from lobgym.sim.records import BUY, SELL
from lobgym.sim.rng import below
from lobgym.sim.view import BookView, ladder_count, ladder_level, ladder_qty, level_tick

__all__ = ["CASES", "run"]

CASES: Final = {"ladder10": 10}  # levels a side
RECORDING: Final = "binance_spot/btcusdt_20240808.gz"
SEED: Final = 1
_RUNS: Final = 15
_LADDERS: Final = 50_000  # a run


@njit_lean
def _read(
    book: BookView, cursors: NDArray[np.int64], depth: int, ticks: NDArray[np.int64], lots: NDArray[np.int64],
    scratch: NDArray[np.int64],
) -> int:  # fmt: skip
    total = 0
    for k in range(cursors.shape[0]):
        total += ladder_with(book, BUY, cursors[k], depth, ticks, lots, scratch)
        total += ladder_with(book, SELL, cursors[k], depth, ticks, lots, scratch)
    return total


@njit_lean
def _read_checkpoints(
    book: BookView, cursors: NDArray[np.int64], depth: int, ticks: NDArray[np.int64], lots: NDArray[np.int64]
) -> int:
    total = 0
    for k in range(cursors.shape[0]):
        mark = cursors[k] // LADDER_EVERY
        for side in range(2):
            count = min(depth, ladder_count(book, mark, side))
            for j in range(count):
                ticks[j] = level_tick(book, ladder_level(book, mark, side, j))
                lots[j] = ladder_qty(book, mark, side, j)
            total += count
    return total


def run(cases: list[str]) -> Iterator[BenchRow]:
    """Yield one row a case, as soon as it is known."""
    tape, reason = find_recording(RECORDING)
    if tape is None:
        yield from skipped("ladder", cases, "us", reason)
        return
    market = Market.compile(tape)
    book = market.exch_view[0]
    for case in cases:
        depth = CASES[case]
        ticks, lots = np.empty(depth, np.int64), np.empty(depth, np.int64)
        scratch = np.empty((2, LADDER_SCRATCH), np.int64)
        values, limits = [], []
        for k in range(_RUNS + 1):
            drawn = (int(below(SEED, k, j, len(market.exch.ns) + 1)) for j in range(_LADDERS))
            cursors = np.fromiter(drawn, np.int64, _LADDERS)
            begin = time.perf_counter()
            _read_checkpoints(book, cursors, depth, ticks, lots)
            middle = time.perf_counter()
            _read(book, cursors, depth, ticks, lots, scratch)
            limits.append((middle - begin) * 1e6 / _LADDERS)
            values.append((time.perf_counter() - middle) * 1e6 / _LADDERS)
        yield row_of(
            "ladder", case, values[1:], "us", peer="ten levels a side of the nearest checkpoint",
            peer_values=limits[1:], seed=SEED, extra={"rows": len(market.exch.ns), "tape": tape.digest[:16]},
        )  # fmt: skip
