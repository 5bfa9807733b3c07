"""`bench scaling`: whether compiling, memory and seeking grow in proportion to the tape.

The tape is a recording, repeated. The value is seconds of compiling both orders per million rows; beside it stand the
bytes a row of both books, microseconds to reset one lane of 1,024 to a random time, and the process's peak of memory,
events included. `5M` and more take a while and gigabytes: only with `--case` or `--all`.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from typing import Final

from lobgym.experiments.bench.compile import compiled_bytes
from lobgym.experiments.bench.report import BenchRow, find_recording, row_of, skipped
from lobgym.experiments.bench.seek import seek_us
from lobgym.experiments.bench.tiles import compile_repeated, peak_rss_gib, random_times, reset_peak_rss
from lobgym.sim.session import Session

__all__ = ["CASES", "LARGE", "run"]

CASES: Final = {"1M": 1_000_000, "5M": 5_000_000, "20M": 20_000_000, "80M": 80_000_000}
LARGE: Final = ("5M", "20M", "80M")
RECORDING: Final = "binance_usdm/btcusdt_20240808.gz"
SEED: Final = 1
_RUNS: Final = 5
_LANES: Final = 1024
_SEEKS: Final = 4096  # a run


def run(cases: list[str]) -> Iterator[BenchRow]:
    """Yield one row a case, as soon as it is known."""
    tape, reason = find_recording(RECORDING)
    if tape is None:
        yield from skipped("scaling", cases, "s/million rows", reason)
        return
    for case in cases:
        rows = CASES[case]
        reset_peak_rss()
        market, seconds = compile_repeated(tape, rows, _RUNS + 1)
        session = Session(market, lanes=_LANES)
        seeks = [seek_us(session, random_times(market, _SEEKS, SEED + k)) for k in range(_RUNS + 1)]
        facts = {
            "rows": rows, "bytes_per_row": compiled_bytes(market.exch, market.local) / rows,
            "seek_us": median(seeks[1:]), "peak_rss_gib": peak_rss_gib(), "tape": market.digest[:16],
        }  # fmt: skip
        del market, session
        yield row_of(
            "scaling", case, [one / rows * 1e6 for one in seconds[1:]], "s/million rows", seed=SEED, extra=facts
        )
