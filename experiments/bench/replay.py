"""`bench replay`: two million rows through a market maker's grid, beside hftbacktest doing the same.

Every 100 ms a grid of ten post-only orders a side, five ticks apart and aligned to that, from the best price outwards;
the feed takes 10 ms, orders 5 ms each way. `cancel_all` withdraws everything first, `keep_unchanged` leaves orders
where the new grid wants one. The rows are a recording's depth and prints, repeated. Ours is the time of running the
strategy on the compiled tape under the profile `hftbacktest`, in the cases that end in `_cold` that of compiling it as
well; the peer's is its run, on its fastest book
(`tests/oracle/replay_peer.py`, in the environment that `make oracle` sets up). `same_as_peer` says whether both traded
the same: fills, orders sent, position, balance, fees.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final

import numpy as np

from lobgym.experiments.bench.report import BenchRow, find_recording, row_of, skipped
from lobgym.experiments.bench.tiles import repeat_events
from lobgym.sim.book import NO_ASK, NO_BID
from lobgym.sim.calls import call_advance, call_cancel, call_submit
from lobgym.sim.compile_depth import compile_depth_market
from lobgym.sim.errors import LobgymError
from lobgym.sim.jit import njit_lean
from lobgym.sim.params import SimParams
from lobgym.sim.records import BUY, CLEAR, DEPTH, DONE, FREE, GTX, LIVE, SELL, SNAPSHOT, TRADE
from lobgym.sim.session import Session, raise_lane_error
from lobgym.sim.tape import Tape
from lobgym.sim.view import best_ask, best_bid
from lobgym.sim.world import World, lane_at, local_of, order_at

__all__ = ["CASES", "Peer", "measure", "replay_tape", "run"]

CASES: Final = ("cancel_all", "keep_unchanged", "cancel_all_cold", "keep_unchanged_cold")
RECORDING: Final = "binance_usdm/btcusdt_20240808.gz"
ROWS: Final = 2_000_000
STEP_NS: Final = 100_000_000
FEED_NS: Final = 10_000_000
ORDER_NS: Final = 5_000_000
ORDERS: Final = 10
SPACING: Final = 5
LOTS: Final = 10
_RUNS: Final = 5
_ROOT: Final = Path(__file__).resolve().parents[2]
_PEER: Final = _ROOT / "tests" / "oracle" / "replay_peer.py"


def replay_tape(recording: Tape, rows: int = ROWS) -> Tape:
    """Depth and prints of a recording, repeated to `rows` rows, received 10 ms later."""
    chosen = recording.events[np.isin(recording.events["kind"], (DEPTH, TRADE, CLEAR, SNAPSHOT))]
    out = repeat_events(chosen, rows)
    out["local_ns"] = out["exch_ns"] + FEED_NS
    return Tape(out, recording.instrument, {"repeats": recording.digest})


@njit_lean
def _quote(w: World, keep: bool) -> None:
    """One step of the strategy."""
    cursor = lane_at(w, 0)["local_cursor"]
    bid = best_bid(local_of(w), cursor)
    ask = best_ask(local_of(w), cursor)
    if bid == NO_BID or ask == NO_ASK:
        return
    top_bid = bid // SPACING * SPACING
    top_ask = -(-ask // SPACING) * SPACING
    bids = 0  # bit k: the k-th price of the grid has its order
    asks = 0
    for slot in range(lane_at(w, 0)["slot_count"]):
        order = order_at(w, 0, slot)
        if order["state"] == FREE or order["view_state"] == DONE:
            continue
        buys = order["side"] == BUY
        behind = top_bid - order["view_tick"] if buys else order["view_tick"] - top_ask
        if keep and 0 <= behind < ORDERS * SPACING and behind % SPACING == 0:
            if buys:
                bids |= 1 << (behind // SPACING)
            else:
                asks |= 1 << (behind // SPACING)
        elif order["view_state"] == LIVE:
            call_cancel(w, 0, slot)
    for k in range(ORDERS):
        if bids & (1 << k) == 0:
            call_submit(w, 0, BUY, top_bid - k * SPACING, LOTS, GTX, 0)
        if asks & (1 << k) == 0:
            call_submit(w, 0, SELL, top_ask + k * SPACING, LOTS, GTX, 0)


@njit_lean
def _trade(w: World, keep: bool, start_ns: int, end_ns: int) -> None:
    t_ns = start_ns + STEP_NS
    call_advance(w, 0, t_ns)
    while t_ns < end_ns:
        _quote(w, keep)
        t_ns += STEP_NS
        call_advance(w, 0, t_ns)


def _ours(tape: Tape, keep: bool) -> tuple[float, float, Session]:
    """Seconds to compile, seconds to run, and the session at the end."""
    begin = time.perf_counter()
    market = compile_depth_market(tape)
    compiled = time.perf_counter()
    session = Session(market, SimParams(profile="hftbacktest", entry_ns=ORDER_NS, response_ns=ORDER_NS))
    # From the first row on, as the peer does; a session begins when the book has two sides.
    session.state.lane["t_ns"] = tape.start_ns
    for name in ("exch_cursor", "local_cursor", "exch_stamp", "local_stamp"):
        session.state.lane[name] = 0
    _trade(session.world, keep, tape.start_ns, market.end_ns)
    done = time.perf_counter()
    raise_lane_error(session.state)
    return compiled - begin, done - compiled, session


class Peer:
    """The peer's process, ready to run; a context manager."""

    def __init__(self, tape: Tape, python: Path) -> None:
        made = tape.instrument
        settings = {
            "tick_size": float(made.tick_size), "lot_size": float(made.lot_size), "order_ns": ORDER_NS,
            "step_ns": STEP_NS, "orders": ORDERS, "spacing": SPACING, "lots": LOTS,
            "maker_fee": made.maker_fee_ppb / 1e9, "taker_fee": made.taker_fee_ppb / 1e9,
        }  # fmt: skip
        self._folder = tempfile.TemporaryDirectory()
        case = Path(self._folder.name) / "tape.npz"
        np.savez(case, events=tape.events, settings=np.frombuffer(json.dumps(settings).encode(), np.uint8))
        self._process = subprocess.Popen(
            [str(python), str(_PEER), str(case)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._read()

    def _read(self) -> str:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise LobgymError(f"the peer ended with status {self._process.wait()}; its message stands above")
        return line

    def run(self, case: str) -> dict[str, Any]:
        """One run: seconds, and what was traded."""
        if self._process.stdin:
            self._process.stdin.write(case + "\n")
            self._process.stdin.flush()
        result: dict[str, Any] = json.loads(self._read())
        return result

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()
        self._folder.cleanup()


def run(cases: list[str]) -> Iterator[BenchRow]:
    """Yield one row a case, as soon as it is known; without the peer's environment, ours alone."""
    recording, reason = find_recording(RECORDING)
    if recording is None:
        yield from skipped("replay", cases, "rows/s", reason)
        return
    tape = replay_tape(recording)
    python = Path(os.environ.get("LOBGYM_ORACLE_PYTHON", _ROOT / ".venv-oracle" / "bin" / "python"))
    with Peer(tape, python) if python.exists() else nullcontext() as peer:
        for case in cases:
            yield measure(tape, case, peer)


def measure(tape: Tape, case: str, peer: Peer | None, runs: int = _RUNS) -> BenchRow:
    """One case, on our side and, run by run beside it, on the peer's."""
    keep = case.startswith("keep_unchanged")
    cold = case.endswith("_cold")
    _ours(tape, keep)
    ours, theirs = [], []
    compiling, running = [], []
    result: dict[str, Any] = {}
    for _ in range(runs):
        if peer is not None:
            result = peer.run(case.removesuffix("_cold"))
            theirs.append(len(tape) / result["seconds"])
        compile_s, run_s, session = _ours(tape, keep)
        ours.append(len(tape) / (run_s + (compile_s if cold else 0.0)))
        compiling.append(compile_s)
        running.append(run_s)
    lane = session.state.lane[0]
    made = tape.instrument
    facts: dict[str, Any] = {
        "rows": len(tape), "compile_s": statistics.median(compiling), "run_s": statistics.median(running),
        "fills": int(lane["fills"]), "submits": int(lane["submits"]), "cancels": int(lane["cancels"]),
        "position": float(made.lots_to_qty(int(lane["position"]))), "balance": made.money_to_float(int(lane["cash"])),
        "fee": made.money_to_float(int(lane["fees"])), "tape": tape.digest[:16],
    }  # fmt: skip
    if peer is None:
        return row_of("replay", case, ours, "rows/s", extra={**facts, "peer_missing": "run `make oracle`"})
    same = all(abs(facts[name] - result[name]) <= 1e-4 for name in ("fills", "submits", "cancels", "position"))
    money = all(abs(facts[name] - result[name]) <= 1e-4 for name in ("balance", "fee"))
    facts |= {"peer_run_s": len(tape) / statistics.median(theirs), "same_as_peer": same and money}
    return row_of("replay", case, ours, "rows/s", peer="hftbacktest 2.4.4", peer_values=theirs, extra=facts)
