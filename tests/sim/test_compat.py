"""The compatibility profiles: against hftbacktest in plain Python, and what sets them apart from `conservative`."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from lobgym.sim import records as rec
from lobgym.sim.compile_depth import compile_depth_market
from lobgym.sim.errors import ParamsError
from lobgym.sim.instrument import SYNTH
from lobgym.sim.market import Market
from lobgym.sim.params import SimParams
from lobgym.sim.records import BUY, CLEAR, DEPTH, FOK, GTC, IOC, MARKET, SELL, SNAPSHOT, TRADE
from lobgym.sim.session import Session
from lobgym.sim.tape import Tape
from tests.oracle.ours import against_ours, comparable
from tests.oracle.plan import QUEUES, cases_of

MS = 1_000_000
CONSERVATIVE, WHOLE, PARTIAL = "conservative", "hftbacktest", "hftbacktest-partial"
PROFILES = (CONSERVATIVE, WHOLE, PARTIAL)


@pytest.mark.parametrize("queue", QUEUES)
def test_against_the_model(queue: str) -> None:
    """Random scripts with every order type: the same fills. (`tests/oracle` holds the model equal to the engine.)"""
    fills = 0
    for case in islice(cases_of(queue, []), 4):
        if comparable(case):
            judged = against_ours(case)
            assert judged.wrong == []
            fills += judged.fills
    assert fills > 300


def tape_of(*rows: tuple[int, int, int, int, int]) -> Tape:
    """Rows (ms, kind, side, tick, lots); every row is a message but for those of a snapshot."""
    book = (CLEAR, 0, 0, 0), (SNAPSHOT, BUY, 99, 10), (SNAPSHOT, BUY, 98, 10), (SNAPSHOT, SELL, 101, 3)
    start = [(0, *row) for row in (*book, (SNAPSHOT, SELL, 102, 10), (SNAPSHOT, SELL, 105, 10))]
    made = [*start, *rows, (1000, DEPTH, BUY, 90, 1)]
    events = np.zeros(len(made), rec.EVENT_DTYPE)
    names = ("exch_ns", "kind", "side", "price_ticks", "qty_lots")
    for name, column in zip(names, zip(*made, strict=True), strict=True):
        events[name] = column
    events["exch_ns"] *= MS
    events["local_ns"] = events["exch_ns"]
    events["flags"] = rec.LAST
    events["flags"][: len(start) - 1] = 0
    return Tape(events, SYNTH)


def played(profile: str, tape: Tape, *orders: tuple[int, int, int, int, int]) -> list[tuple[int, int, int]]:
    """Fills (ms, tick, lots) of orders (ms, side, tick, lots, tif), sent without latency."""
    market = Market.compile(tape) if profile == CONSERVATIVE else compile_depth_market(tape)
    session = Session(market, SimParams(profile=profile, entry_ns=0, response_ns=0), log="fills", log_rows=100)
    for ms, side, tick, lots, tif in orders:
        session.advance(ms * MS)
        session.submit(0, side, tick, lots, tif)
    session.advance(session.end_ns)
    return [(int(fill["exch_ns"]) // MS, int(fill["tick"]), int(fill["qty"])) for fill in session.drain_fills()]


Row = tuple[int, int, int, int, int]
# name: rows, orders, and the fills in each profile
DIFFERENCES: dict[str, tuple[tuple[Row, ...], tuple[Row, ...], list[list[tuple[int, int, int]]]]] = {
    "an order takes more than is there": (
        (),
        ((5, BUY, 102, 20, GTC),),
        [[(5, 101, 3), (5, 102, 10)], [(5, 101, 20)], [(5, 101, 3), (5, 102, 17)]],
    ),
    "a sale at its limit is told in two": (
        (),
        ((5, SELL, 99, 12, GTC),),
        [[(5, 99, 10)], [(5, 99, 12)], [(5, 99, 10), (5, 99, 2)]],
    ),
    "an IOC": ((), ((5, BUY, 101, 5, IOC),), [[(5, 101, 3)], [(5, 101, 5)], [(5, 101, 3)]]),
    "an FOK": ((), ((5, BUY, 101, 5, FOK),), [[], [(5, 101, 5)], []]),
    "a market order": (
        (),
        ((5, BUY, 1, 15, MARKET),),
        [[(5, 101, 3), (5, 102, 10), (5, 105, 2)], [(5, 101, 15)], [(5, 101, 3), (5, 102, 10), (5, 105, 2)]],
    ),
    "what was taken is there again": (
        (),
        ((5, BUY, 101, 3, IOC), (6, BUY, 101, 3, IOC)),
        [[(5, 101, 3)], [(5, 101, 3), (6, 101, 3)], [(5, 101, 3), (6, 101, 3)]],
    ),
    "a print through an order": (
        ((10, TRADE, SELL, 98, 2),),
        ((5, BUY, 99, 6, GTC),),
        [[(10, 99, 2)], [(10, 99, 6)], [(10, 99, 6)]],
    ),
    "a print that reaches past the queue": (
        ((10, TRADE, SELL, 99, 12),),
        ((5, BUY, 99, 6, GTC),),
        [[(10, 99, 2)], [(10, 99, 6)], [(10, 99, 2)]],
    ),
    "one print for two orders": (
        ((10, TRADE, SELL, 99, 13),),
        ((5, BUY, 99, 2, GTC), (6, BUY, 99, 2, GTC)),
        [[(10, 99, 2), (10, 99, 1)], [(10, 99, 2), (10, 99, 2)], [(10, 99, 2), (10, 99, 2)]],
    ),
    "the other side comes to the order": (
        ((10, DEPTH, SELL, 99, 4),),
        ((5, BUY, 99, 6, GTC),),
        [[(10, 99, 4)], [(10, 99, 6)], [(10, 99, 6)]],
    ),
    "a price that nobody has named": (
        ((10, TRADE, SELL, 60, 1),),
        ((5, BUY, 70, 2, GTC),),
        [[], [(10, 70, 2)], [(10, 70, 2)]],
    ),
    "a print implies that what stood before it is gone": (
        ((10, TRADE, BUY, 102, 4),),
        ((11, BUY, 101, 2, IOC),),
        [[], [(11, 101, 2)], [(11, 101, 2)]],
    ),
    "a crossing leaves ghosts": (
        ((10, DEPTH, BUY, 101, 4), (20, DEPTH, BUY, 101, 0)),
        ((21, BUY, 102, 2, IOC),),
        [[(21, 101, 2)], [(21, 102, 2)], [(21, 102, 2)]],
    ),
}


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", DIFFERENCES)
def test_each_difference(name: str, profile: str) -> None:
    rows, orders, fills = DIFFERENCES[name]
    assert played(profile, tape_of(*rows), *orders) == fills[PROFILES.index(profile)]


def test_profile_and_market_belong_together() -> None:
    tape = tape_of()
    with pytest.raises(ParamsError, match="compile_depth_market"):
        Session(Market.compile(tape), SimParams(profile=WHOLE))
    with pytest.raises(ParamsError, match=r"Market\.compile"):
        Session(compile_depth_market(tape))
    with pytest.raises(ParamsError, match="knows no rate_limit"):
        SimParams(profile=PARTIAL, rate_limit=3)
