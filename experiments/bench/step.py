"""`bench step`: lane-steps per second of the bare simulator, 100 ms a step, four live orders a lane.

Each step every lane cancels two of its four quotes and places two new ones (post-only, at the best and two ticks behind
it, sides alternating), then advances; fills and post-only expiries leave somewhat fewer than four at the end of a
step, and `live_orders_mean` says how many. The strategy is a user-style compiled function over the public kernels;
orders travel with latency, queue and ledger as in every session. Peer: the same loop with no orders at all, which
bounds what the clock and the cursors cost.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lobgym.experiments.bench.report import BenchRow, find_recording, row_of
from lobgym.sim.book import NO_ASK, NO_BID
from lobgym.sim.calls import call_advance, call_cancel, call_submit
from lobgym.sim.jit import njit_lean
from lobgym.sim.market import Market
from lobgym.sim.records import BUY, FREE, GTX, SELL
from lobgym.sim.session import Session, raise_lane_error
from lobgym.sim.view import best_ask, best_bid
from lobgym.sim.world import World, lane_at, local_of, order_at

__all__ = ["CASES", "run"]

CASES: Final = {"lanes64": 64, "lanes1024": 1024}
RECORDING: Final = "binance_usdm/btcusdt_20240808.gz"
STEP_NS: Final = 100_000_000
_RUNS: Final = 5
_WANTED_STEPS: Final = 200_000  # lane-steps a run, so that a run takes about a tenth of a second


@njit_lean
def _quote_half(w: World, i: int, step: int) -> None:
    """Replace the two older of four quotes: one side's pair each step."""
    side = BUY if step % 2 == 0 else SELL
    for slot in range(lane_at(w, i)["slot_count"]):
        if order_at(w, i, slot)["state"] != FREE and order_at(w, i, slot)["side"] == side:
            call_cancel(w, i, slot)
    cursor = lane_at(w, i)["local_cursor"]
    best = best_bid(local_of(w), cursor) if side == BUY else best_ask(local_of(w), cursor)
    if best != NO_BID and best != NO_ASK:
        call_submit(w, i, side, best, 1, GTX, 0)
        call_submit(w, i, side, best - 2 * side, 1, GTX, 0)


@njit_lean
def _drive(w: World, starts: NDArray[np.int64], steps: int, quote: bool) -> None:
    for step in range(steps):
        for i in range(w["lanes"]):
            if quote:
                _quote_half(w, i, step)
            call_advance(w, i, starts[i] + (step + 1) * STEP_NS)


def _time(session: Session, starts: NDArray[np.int64], steps: int, quote: bool) -> float:
    session.reset(start_ns=starts)
    begin = time.perf_counter()
    _drive(session.world, starts, steps, quote)
    seconds = time.perf_counter() - begin
    raise_lane_error(session.state)
    return seconds


def run(cases: list[str]) -> Iterator[BenchRow]:
    """Yield one row a case, as soon as it is known."""
    tape, reason = find_recording(RECORDING)
    if tape is None:
        for case in cases:
            yield row_of("step", case, [], "lane-steps/s", skipped=reason)
        return
    market = Market.compile(tape)
    room = market.end_ns - market.start_ns
    for case in cases:
        lanes = CASES[case]
        steps = min(_WANTED_STEPS // lanes, room // STEP_NS // 2)
        # Lanes start at evenly spread times of the first half, so that they do not share cache lines of the book.
        starts = market.start_ns + (np.arange(lanes, dtype=np.int64) * (room // 2 // lanes))
        session = Session(market, lanes=lanes)
        _time(session, starts, 2, True)
        rates, idle = [], []
        for _ in range(_RUNS):
            idle.append(lanes * steps / _time(session, starts, steps, False))
            rates.append(lanes * steps / _time(session, starts, steps, True))
        fills = int(session.state.lane["fills"].sum())
        live = float(session.state.lane["live_orders"].mean())
        facts = {"lanes": lanes, "steps": steps, "fills": fills, "live_orders_mean": live, "step_ms": 100}
        yield row_of(
            "step", case, rates, "lane-steps/s", peer="the same loop without orders", peer_values=idle,
            extra={**facts, "tape": tape.digest[:16]},
        )  # fmt: skip
