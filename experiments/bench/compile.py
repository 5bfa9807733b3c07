"""`bench compile`: what it costs to compile a tape, and to keep it.

`rows_per_s`: tape rows that `Market.compile` makes into the books of both orders in a second, everything included
(numbering levels, both books with their indices, the calendar). Peer: a loop that does no more than read each event
once and write a packed row. `bytes_per_row_compiled`: the memory of both books' arrays, each counted once and as large
as it was allocated. `bytes_per_row_stored`: the Parquet file.

`by_processor_time` counts only the time that the process had a core: on a busy machine it is nearer to what a quiet one
shows.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lobgym.experiments.bench.report import BenchRow, find_recording, row_of, skipped
from lobgym.sim.book import FLAGS_SHIFT, QTY_SHIFT, ROW_DTYPE, SIDE_SHIFT, Book
from lobgym.sim.jit import njit_lean
from lobgym.sim.market import Market
from lobgym.sim.records import BUY
from lobgym.sim.tape import Tape

__all__ = ["CASES", "compiled_bytes", "run"]

CASES: Final = {"rows_per_s": "rows/s", "bytes_per_row_compiled": "B/row", "bytes_per_row_stored": "B/row"}
RECORDING: Final = "binance_usdm/btcusdt_20240808.gz"
_RUNS: Final = 15


def compiled_bytes(*books: Book) -> int:
    """Bytes behind the books' arrays: whole allocations, an array that is shared counted once."""
    roots: dict[int, int] = {}
    for book in books:
        for field in book:
            if isinstance(field, np.ndarray):
                root: NDArray[Any] = field
                while isinstance(root.base, np.ndarray):
                    root = root.base
                roots[id(root)] = root.nbytes
    return sum(roots.values())


@njit_lean
def _pack(events: NDArray[np.void], ns: NDArray[np.int64], rows: NDArray[np.void]) -> None:
    """The least that any compiler has to do."""
    for e in range(events.shape[0]):
        event = events[e]
        side = 1 << SIDE_SHIFT if event["side"] == BUY else 0
        ns[e] = event["exch_ns"]
        rows[e]["word"] = event["qty_lots"] << QTY_SHIFT | event["flags"] << FLAGS_SHIFT | side | event["kind"] & 3
        rows[e]["key"] = event["price_ticks"]


def _pack_seconds(tape: Tape) -> float:
    begin = time.perf_counter()
    _pack(tape.events, np.empty(len(tape), np.int64), np.empty(len(tape), ROW_DTYPE))
    return time.perf_counter() - begin


def _compile_seconds(tape: Tape) -> tuple[float, float]:
    """By the clock, and of the processor."""
    begin, own = time.perf_counter(), time.thread_time()
    Market.compile(tape)
    return time.perf_counter() - begin, time.thread_time() - own


def _rows_per_s(tape: Tape, facts: dict[str, Any]) -> BenchRow:
    _pack_seconds(tape)
    _compile_seconds(tape)
    limits, values, own = [], [], []
    for _ in range(_RUNS):
        limits.append(len(tape) / _pack_seconds(tape))
        by_clock, by_processor = _compile_seconds(tape)
        values.append(len(tape) / by_clock)
        own.append(len(tape) / by_processor)
    return row_of(
        "compile", "rows_per_s", values, "rows/s", peer="read each event, write one packed row", peer_values=limits,
        extra={**facts, "by_processor_time": median(own)},
    )  # fmt: skip


def run(cases: list[str]) -> Iterator[BenchRow]:
    """Yield one row a case, as soon as it is known."""
    tape, reason = find_recording(RECORDING)
    if tape is None:
        for case in cases:
            yield from skipped("compile", [case], CASES[case], reason)
        return
    facts: dict[str, Any] = {"rows": len(tape), "tape": tape.digest[:16]}
    for case in cases:
        if case == "rows_per_s":
            yield _rows_per_s(tape, facts)
        elif case == "bytes_per_row_compiled":
            market = Market.compile(tape)
            size = compiled_bytes(market.exch, market.local)
            book_rows = {"exch_rows": len(market.exch.ns), "local_rows": len(market.local.ns)}
            yield row_of("compile", case, [size / len(tape)], CASES[case], extra=facts | book_rows)
        else:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "tape.parquet"
                tape.save(path)
                yield row_of("compile", case, [path.stat().st_size / len(tape)], CASES[case], extra=facts)
