"""Goal: a strategy that its user compiles does what the same calls through a session do, and is kept on disk.

Method: a script in a file of its own, as a user writes it, in processes of its own; the second finds the machine code
of the first. The session does the same in plain Python.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lobgym.sim import strategy
from lobgym.sim.market import Market
from lobgym.sim.params import SimParams
from lobgym.sim.records import BUY, GTX, LIVE, SELL
from lobgym.sim.session import Session
from lobgym.sim.tape import open_tape
from tests.project import ROOT

NAMES = [
    "LADDER_SCRATCH",
    "NO_ASK",
    "NO_BID",
    "advance",
    "best_ask",
    "best_ask_qty",
    "best_bid",
    "best_bid_qty",
    "bought_lots",
    "cancel",
    "is_known",
    "ladder",
    "ladder_with",
    "lane_at",
    "level_qty",
    "local_cursor",
    "local_of",
    "modify",
    "next_feed_ns",
    "order_at",
    "own_view",
    "slot_of",
    "sold_lots",
    "submit",
    "wait_answer",
]
TAPE = "synth?seed=5&minutes=1"
STEPS = 40
MS = 1_000_000

# Every name that a strategy may use is used.
SCRIPT = f'''
import numba
import numpy as np

from lobgym.sim import Market, Session, SimParams, open_tape, strategy as lob
from lobgym.sim.records import BUY, GTX, LIVE, SELL


@numba.njit(cache=True)
def quote(w, lane, steps):
    ticks, lots = np.empty(3, np.int64), np.empty(3, np.int64)
    scratch = np.empty((2, lob.LADDER_SCRATCH), np.int64)
    checked = 0
    for _ in range(steps):
        lob.advance(w, lane, lob.next_feed_ns(w, lane) + {100 * MS})
        book, cursor = lob.local_of(w), lob.local_cursor(w, lane)
        bid, ask = lob.best_bid(book, cursor), lob.best_ask(book, cursor)
        if bid == lob.NO_BID or ask == lob.NO_ASK:
            continue
        lob.ladder(book, BUY, cursor, 3, ticks, lots)
        checked += ticks[0] == bid and lots[0] == lob.best_bid_qty(book, cursor)
        lob.ladder_with(book, SELL, cursor, 3, ticks, lots, scratch)
        checked += ticks[0] == ask and lots[0] == lob.best_ask_qty(book, cursor)
        checked += lob.level_qty(book, SELL, ask, cursor) == lots[0] and lob.is_known(book, BUY, bid, cursor)
        side = BUY if lob.bought_lots(book, cursor) > lob.sold_lots(book, cursor) else SELL
        order = lob.submit(w, lane, side, bid if side == BUY else ask, 3, GTX, 0)
        slot = lob.slot_of(w, lane, order)
        answered = lob.wait_answer(w, lane, slot, lob.lane_at(w, lane)["t_ns"] + {50 * MS})
        if answered and lob.order_at(w, lane, slot)["view_state"] == LIVE:
            lob.modify(w, lane, slot, lob.order_at(w, lane, slot)["view_tick"], 2)
        if lob.own_view(w, lane).open_orders > 2:
            for slot in range(lob.lane_at(w, lane)["slot_count"]):
                if lob.order_at(w, lane, slot)["view_state"] == LIVE:
                    lob.cancel(w, lane, slot)
    return checked


session = Session(Market.compile(open_tape("{TAPE}")), SimParams(), lanes=2)
checked = quote(session.world, 1, {STEPS})
session.check()
print(session.run_digest(), checked, sum(getattr(quote, "stats", ((), {{0: 0}}))[1].values()))
'''


def by_hand() -> Session:
    session = Session(Market.compile(open_tape(TAPE)), SimParams(), lanes=2)
    for _ in range(STEPS):
        session.advance([session.t_ns(0), strategy.next_feed_ns(session.world, 1) + 100 * MS])
        bid, ask = session.bests(1)
        if bid is None or ask is None:
            continue
        book, cursor = session.market.local_view[0], int(session.state.lane["local_cursor"][1])
        buys = strategy.bought_lots(book, cursor) > strategy.sold_lots(book, cursor)
        order = session.submit(1, BUY if buys else SELL, bid if buys else ask, 3, GTX)
        answered = session.wait(1, order, 50 * MS)
        known = session.orders(1)
        mine = known[known["id"] == order]
        if answered and len(mine) and mine["view_state"][0] == LIVE:
            session.modify(1, order, int(mine["view_tick"][0]), 2)
        if int((session.orders(1)["view_state"] <= LIVE).sum()) > 2:
            for resting in session.state.orders[1].copy():  # by slot, as the strategy does
                if resting["view_state"] == LIVE:
                    session.cancel(1, resting["id"])
    return session


def run(script: Path, **environment: str) -> list[str]:
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        check=False,
        cwd=script.parent,
        env={**os.environ, "PYTHONPATH": paths, **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("user") / "quote.py"
    path.write_text(SCRIPT, encoding="utf-8")
    return path


def test_the_public_names_are_these() -> None:
    assert strategy.__all__ == NAMES
    for name in NAMES:
        assert hasattr(strategy, name)
        assert f"lob.{name}" in SCRIPT


def test_a_compiled_strategy_equals_a_session_and_is_kept_on_disk(script: Path) -> None:
    digest, checked, hits = run(script)
    assert digest == by_hand().run_digest()
    assert int(checked) > 2 * STEPS
    assert hits == "0"
    assert run(script) == [digest, checked, "1"]


def test_it_runs_without_the_compiler(script: Path) -> None:
    digest, checked, _ = run(script)
    assert run(script, NUMBA_DISABLE_JIT="1")[:2] == [digest, checked]
