"""`bench log`: what the event log adds to the step workload of 64 lanes, as a fraction of the run without one.

`fills`: every fill; `full`: every request and every answer. Runs with and without the log alternate, and each pair
gives one fraction. The log is drained every 50 steps, outside the timed part; `with_drain` is the fraction with it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from statistics import median
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lobgym.experiments.bench.report import BenchRow, find_recording, row_of, skipped
from lobgym.experiments.bench.step import STEP_NS, drive, spread_starts
from lobgym.sim.market import Market
from lobgym.sim.session import Session, raise_lane_error

__all__ = ["CASES", "run"]

CASES: Final = ("fills", "full")
RECORDING: Final = "binance_usdm/btcusdt_20240808.gz"
LANES: Final = 64
QUOTES: Final = 2  # a side
_CHUNK: Final = 50  # steps between two drains
_LOG_ROWS: Final = _CHUNK * LANES * 20
_RUNS: Final = 25
_STEPS: Final = 1000


def _seconds(session: Session, starts: NDArray[np.int64], steps: int) -> tuple[float, float, int]:
    """Seconds of the steps, of the drains between them, and the rows drained."""
    session.reset(start_ns=starts)
    stepping = draining = 0.0
    rows = 0
    for first in range(0, steps, _CHUNK):
        begin = time.perf_counter()
        drive(session.world, starts, first, min(first + _CHUNK, steps), QUOTES)
        middle = time.perf_counter()
        if session.log != "off":
            rows += len(session.drain_log())
        stepping += middle - begin
        draining += time.perf_counter() - middle
    raise_lane_error(session.state)
    return stepping, draining, rows


def run(cases: list[str]) -> Iterator[BenchRow]:
    """Yield one row a case, as soon as it is known."""
    tape, reason = find_recording(RECORDING)
    if tape is None:
        yield from skipped("log", cases, "fraction", reason)
        return
    market = Market.compile(tape)
    starts = spread_starts(market, LANES)
    steps = min(_STEPS, (market.end_ns - market.start_ns) // STEP_NS // 2)
    bare = Session(market, lanes=LANES)
    for case in cases:
        logged = Session(market, lanes=LANES, log=case, log_rows=_LOG_ROWS)
        for session in (bare, logged):
            _seconds(session, starts, steps)
        added, drained, rows = [], [], 0
        for _ in range(_RUNS):
            without, _, _ = _seconds(bare, starts, steps)
            with_log, draining, rows = _seconds(logged, starts, steps)
            added.append(with_log / without - 1)
            drained.append((with_log + draining) / without - 1)
        yield row_of(
            "log", case, added, "fraction",
            extra={
                "with_drain": median(drained), "rows_logged": rows, "lanes": LANES, "steps": steps,
                "tape": tape.digest[:16],
            },
        )  # fmt: skip
