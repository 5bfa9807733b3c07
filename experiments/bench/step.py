"""`bench step`: lane-steps per second of the bare simulator, 100 ms a step.

Each step a lane cancels all its quotes of one side and places as many new ones (post-only, at the best and behind it,
two ticks apart), then advances; sides alternate, so that half of the quotes are replaced each step. Four quotes a
lane (`lanes64`, `lanes1024`), twenty (`lanes64_20`), or four on a tape as long as a busy day, each lane starting at a
random time of it (`lanes64_day`). Fills and post-only expiries leave somewhat fewer alive at the end of a step;
`live_orders_mean` says how many. The strategy is a user-style compiled function over the public kernels; orders
travel with latency, queue and ledger as in every session. `plain_njit` is what the same function gives when it is
compiled with `numba.njit` and no options; `by_processor_time` counts only the time that the process had a core. Peer:
the same loop with no orders at all, which bounds what the clock and the cursors cost.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any, Final, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from lobgym.experiments.bench.report import BenchRow, find_recording, row_of, skipped
from lobgym.experiments.bench.tiles import compile_repeated, peak_rss_gib, random_times, reset_peak_rss
from lobgym.sim.book import NO_ASK, NO_BID
from lobgym.sim.calls import call_advance, call_cancel, call_submit
from lobgym.sim.jit import njit_lean
from lobgym.sim.market import Market
from lobgym.sim.records import BUY, DONE, FREE, GTX, SELL
from lobgym.sim.session import Session, raise_lane_error
from lobgym.sim.view import best_ask, best_bid
from lobgym.sim.world import World, lane_at, local_of, order_at

__all__ = ["CASES", "STEP_NS", "drive", "run", "spread_starts"]


class Case(NamedTuple):
    """One workload."""

    lanes: int
    orders: int  # live ones a lane
    rows: int = 0  # of the tape that the recording is repeated to; 0: the recording itself


CASES: Final = {
    "lanes64": Case(64, 4),
    "lanes1024": Case(1024, 4),
    "lanes64_20": Case(64, 20),
    "lanes64_day": Case(64, 4, 86_000_000),
}
LARGE: Final = ("lanes64_day",)
RECORDING: Final = "binance_usdm/btcusdt_20240808.gz"
SEED: Final = 1
STEP_NS: Final = 100_000_000
_RUNS: Final = 9
_WANTED_STEPS: Final = 200_000  # lane-steps a run, so that a run takes about a tenth of a second


def _drive(w: World, starts: NDArray[np.int64], first: int, last: int, quotes: int) -> None:
    """Steps [first, last) of every lane, with `quotes` orders a side."""
    for step in range(first, last):
        side = BUY if step % 2 == 0 else SELL
        for i in range(w["lanes"]):
            lane = lane_at(w, i)
            if quotes > 0:
                for slot in range(lane["slot_count"]):
                    order = order_at(w, i, slot)
                    if order["state"] != FREE and order["view_state"] != DONE and order["side"] == side:
                        call_cancel(w, i, slot)
                cursor = lane["local_cursor"]
                best = best_bid(local_of(w), cursor) if side == BUY else best_ask(local_of(w), cursor)
                if best != NO_BID and best != NO_ASK:
                    for k in range(quotes):
                        call_submit(w, i, side, best - 2 * side * k, 1, GTX, 0)
            call_advance(w, i, starts[i] + (step + 1) * STEP_NS)


drive: Final[Callable[..., None]] = njit_lean(_drive)
_drive_plain: Final[Callable[..., None]] = numba.njit(cache=True)(_drive)  # as a user would write it


def spread_starts(market: Market, lanes: int) -> NDArray[np.int64]:
    """Evenly spread times of the first half, so that lanes do not share cache lines of the book."""
    room = (market.end_ns - market.start_ns) // 2
    return market.start_ns + np.arange(lanes, dtype=np.int64) * (room // lanes)


def _seconds(
    session: Session, kernel: Callable[..., None], starts: NDArray[np.int64], steps: int, quotes: int
) -> tuple[float, float]:
    """By the clock, and of the processor."""
    session.reset(start_ns=starts)
    begin, own = time.perf_counter(), time.thread_time()
    kernel(session.world, starts, 0, steps, quotes)
    seconds = time.perf_counter() - begin, time.thread_time() - own
    raise_lane_error(session.state)
    return seconds


def _measure(name: str, market: Market, facts: dict[str, Any]) -> BenchRow:
    case = CASES[name]
    room = market.end_ns - market.start_ns
    steps = min(_WANTED_STEPS // case.lanes, room // STEP_NS // 2)
    starts = random_times(market, case.lanes, SEED, steps * STEP_NS) if case.rows else spread_starts(market, case.lanes)
    session = Session(market, lanes=case.lanes)
    quotes = case.orders // 2
    for kernel in (drive, _drive_plain):
        _seconds(session, kernel, starts, 2, quotes)
    rates, own, plain, idle = [], [], [], []
    done = case.lanes * steps
    for _ in range(_RUNS):
        idle.append(done / _seconds(session, drive, starts, steps, 0)[0])
        plain.append(done / _seconds(session, _drive_plain, starts, steps, quotes)[0])
        by_clock, by_processor = _seconds(session, drive, starts, steps, quotes)
        rates.append(done / by_clock)
        own.append(done / by_processor)
    lane = session.state.lane
    facts = {
        "lanes": case.lanes, "steps": steps, "step_ms": STEP_NS // 1_000_000, "plain_njit": median(plain),
        "by_processor_time": median(own),
        "fills": int(lane["fills"].sum()), "submits": int(lane["submits"].sum()),
        "live_orders_mean": float(lane["live_orders"].mean()), **facts,
    }  # fmt: skip
    return row_of(
        "step", name, rates, "lane-steps/s", peer="the same loop without orders", peer_values=idle, seed=SEED,
        extra=facts,
    )  # fmt: skip


def run(cases: list[str]) -> Iterator[BenchRow]:
    """Yield one row a case, as soon as it is known."""
    tape, reason = find_recording(RECORDING)
    if tape is None:
        yield from skipped("step", cases, "lane-steps/s", reason)
        return
    market: Market | None = None
    for case in cases:
        rows = CASES[case].rows
        if rows:
            reset_peak_rss()
            market, _ = compile_repeated(tape, rows)
            yield _measure(case, market, {"rows": rows, "peak_rss_gib": peak_rss_gib(), "tape": market.digest[:16]})
            market = None
        else:
            market = market or Market.compile(tape)
            yield _measure(case, market, {"rows": len(tape), "tape": tape.digest[:16]})
