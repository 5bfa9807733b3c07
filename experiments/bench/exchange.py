"""`bench exchange`: how fast the market that reacts is, and what a day of synthetic tape costs.

`messages_per_s`: ten members and the background flow in one book, nothing recorded. Each 100 ms a member cancels its
quotes of one side and places two new ones, sides alternating, with latency, queue and ledger as ever. A message is a
submit or a cancel that arrives, of members or of the flow. Peer: the flow alone.

`tape_day`: seconds from nothing to a day of tape, generated, checked and hashed, saved as Parquet, and compiled; the
peak of this process's memory beside it. The file is deleted. It is the built-in flow, about a thousand rows a second.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from lobgym.experiments.bench.report import BenchRow, row_of
from lobgym.experiments.bench.tiles import peak_rss_gib, reset_peak_rss
from lobgym.sim.calls import call_cancel, call_submit
from lobgym.sim.exchange import Exchange
from lobgym.sim.exchange.board import NONE, Board, best_at, tick_of, world_of
from lobgym.sim.exchange.loop import advance_exchange
from lobgym.sim.flow.reactive import ReactiveFlow
from lobgym.sim.jit import njit_lean
from lobgym.sim.market import Market
from lobgym.sim.params import SimParams
from lobgym.sim.records import BUY, DONE, FREE, GTX, SELL
from lobgym.sim.tape import Tape
from lobgym.sim.world import lane_at, order_at

__all__ = ["CASES", "LARGE", "quote_all", "run"]

CASES: Final = {"messages_per_s": "messages/s", "tape_day": "s"}
LARGE: Final = ("tape_day",)
MEMBERS: Final = 10
SEED: Final = 1
STEP_NS: Final = 100_000_000
_QUOTES: Final = 2  # a side
_RUNS: Final = 7
_STEPS: Final = 3000
_DAY_S: Final = 86_400
_ROWS_A_SECOND: Final = 1_400  # that there is room for at once
_SECOND: Final = 1_000_000_000


@njit_lean
def quote_all(x: Board, start_ns: int, steps: int, quotes: int) -> None:
    """`steps` steps in which each member replaces its quotes of one side, `quotes` of them."""
    w = world_of(x)
    for step in range(steps):
        side = BUY if step % 2 == 0 else SELL
        best = best_at(x, side)
        for i in range(x["members"]):
            for slot in range(lane_at(w, i)["slot_count"]):
                order = order_at(w, i, slot)
                if order["state"] != FREE and order["view_state"] != DONE and order["side"] == side:
                    call_cancel(w, i, slot)
            if best != NONE:
                for k in range(quotes):
                    call_submit(w, i, side, tick_of(x, best) - side * (2 * k + i), 1, GTX, 0)
        advance_exchange(x, start_ns + (step + 1) * STEP_NS)


def _seconds(exchange: Exchange, quotes: int, steps: int) -> tuple[float, int]:
    """By the clock, and the messages that arrived."""
    exchange.reset()
    board = exchange.board
    exchange.advance(exchange.now_ns + _SECOND)  # the book fills
    before = int(board["messages"])
    begin = time.perf_counter()
    quote_all(board, exchange.now_ns, steps, quotes)
    seconds = time.perf_counter() - begin
    exchange.check()
    return seconds, int(board["messages"]) - before


def _messages() -> BenchRow:
    params = SimParams(entry_ns=1_000_000, response_ns=1_000_000)
    crowd = Exchange(members=MEMBERS, flow=ReactiveFlow(), seed=SEED, params=params)
    alone = Exchange(members=MEMBERS, flow=ReactiveFlow(), seed=SEED, params=params)
    for exchange in (crowd, alone):
        _seconds(exchange, _QUOTES, 10)
    rates, peers = [], []
    done = 0
    for _ in range(_RUNS):
        seconds, count = _seconds(alone, 0, _STEPS)
        peers.append(count / seconds)
        seconds, done = _seconds(crowd, _QUOTES, _STEPS)
        rates.append(done / seconds)
    fills = int(crowd.state.lane["fills"].sum())
    facts: dict[str, Any] = {
        "members": MEMBERS, "simulated_s": _STEPS * STEP_NS // _SECOND, "messages": done, "member_fills": fills,
        "resting": int(crowd.board["resting"]), "trades": int(crowd.board["trades"]),
        "tape": f"none; flow {ReactiveFlow().digest[:16]}",
    }  # fmt: skip
    return row_of(
        "exchange", "messages_per_s", rates, "messages/s", peer="the flow alone", peer_values=peers, seed=SEED,
        extra=facts,
    )  # fmt: skip


def _timed(facts: dict[str, Any], name: str, action: Callable[[], Any]) -> Any:
    begin = time.perf_counter()
    made = action()
    facts[f"{name}_s"] = round(time.perf_counter() - begin, 1)
    return made


def _day(facts: dict[str, Any]) -> tuple[Tape, int]:
    """A day's tape, and the messages behind it."""
    room = max(1 << 17, _DAY_S * _ROWS_A_SECOND)
    exchange = Exchange(flow=ReactiveFlow(), seed=SEED, record="levels", record_rows=room)
    _timed(facts, "generate", lambda: exchange.advance(exchange.now_ns + _DAY_S * _SECOND))
    return _timed(facts, "check_and_hash", exchange.take_tape), int(exchange.board["messages"])


def _tape_day() -> BenchRow:
    warm = Exchange(flow=ReactiveFlow(), seed=SEED, record="levels")
    warm.advance(warm.now_ns + 10 * _SECOND)
    Market.compile(warm.tape())
    del warm
    reset_peak_rss()
    facts: dict[str, Any] = {}
    begin = time.perf_counter()
    tape, messages = _day(facts)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "day.parquet"
        _timed(facts, "save", lambda: tape.save(path))
        facts["stored_bytes_a_row"] = round(path.stat().st_size / len(tape), 2)
    market = _timed(facts, "compile", lambda: Market.compile(tape))
    seconds = time.perf_counter() - begin
    facts |= {
        "rows": len(tape), "rows_a_second": round(len(tape) / _DAY_S), "messages": messages,
        "peak_rss_gib": peak_rss_gib(), "tape": tape.digest[:16], "levels": len(market.exch.level_tick),
    }  # fmt: skip
    return row_of("exchange", "tape_day", [seconds], "s", seed=SEED, extra=facts)


def run(cases: list[str]) -> Iterator[BenchRow]:
    """Yield one row a case, as soon as it is known."""
    for case in cases:
        yield _messages() if case == "messages_per_s" else _tape_day()
