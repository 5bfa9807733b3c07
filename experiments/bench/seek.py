"""`bench seek`: how long it takes to put a lane at a random time.

`lane`: a lane's share of `Session.reset` of 1,024 lanes, each to a time of its own. `session`: `Session.reset` of a
lone lane, called from Python. Peer: what no reset can do without, a binary search of the stamps in each of the two
orders.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lobgym.experiments.bench.report import BenchRow, find_recording, row_of, skipped
from lobgym.experiments.bench.tiles import random_times
from lobgym.sim.jit import njit_inline, njit_lean
from lobgym.sim.market import Market
from lobgym.sim.session import Session

__all__ = ["CASES", "run", "search_us", "seek_us"]

CASES: Final = {"lane": 1024, "session": 1}  # lanes
RECORDING: Final = "binance_usdm/btcusdt_20240808.gz"
SEED: Final = 1
_RUNS: Final = 25
_SEEKS: Final = 4096  # a run


@njit_inline
def _rank(ns: NDArray[np.int64], t_ns: int) -> int:
    low = 0
    high = ns.shape[0]
    while low < high:
        middle = (low + high) >> 1
        if ns[middle] <= t_ns:
            low = middle + 1
        else:
            high = middle
    return low


@njit_lean
def _search(exch: NDArray[np.int64], local: NDArray[np.int64], times: NDArray[np.int64]) -> int:
    total = 0
    for k in range(times.shape[0]):
        total += _rank(exch, times[k]) + _rank(local, times[k])
    return total


def search_us(market: Market, times: NDArray[np.int64]) -> float:
    """Microseconds a time for the two searches alone."""
    begin = time.perf_counter()
    _search(market.exch.ns, market.local.ns, times)
    return (time.perf_counter() - begin) * 1e6 / len(times)


def seek_us(session: Session, times: NDArray[np.int64]) -> float:
    """Microseconds a lane, resetting all lanes at once from one batch of `times` to the next."""
    batches = times.reshape(-1, session.lanes)
    begin = time.perf_counter()
    for starts in batches:
        session.reset(starts)
    return (time.perf_counter() - begin) * 1e6 / len(times)


def run(cases: list[str]) -> Iterator[BenchRow]:
    """Yield one row a case, as soon as it is known."""
    tape, reason = find_recording(RECORDING)
    if tape is None:
        yield from skipped("seek", cases, "us", reason)
        return
    market = Market.compile(tape)
    for case in cases:
        session = Session(market, lanes=CASES[case])
        values, limits = [], []
        for k in range(_RUNS + 1):
            times = random_times(market, _SEEKS, SEED + k)
            limits.append(search_us(market, times))
            values.append(seek_us(session, times))
        yield row_of(
            "seek", case, values[1:], "us", peer="two binary searches", peer_values=limits[1:], seed=SEED,
            extra={"lanes": CASES[case], "rows": len(tape), "tape": tape.digest[:16]},
        )  # fmt: skip
