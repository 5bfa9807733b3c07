"""The kernel that walks lists of prints and bests equals one that looks at every row: on each recording, row of the log
for row of the log.

Method: two sessions under the same random calls, one of them with `full_scan`, on the beginning of every recording
that is present; orders of every type, at and around the best prices, modified, cancelled, and left to their queues.
Both profiles whose books differ are driven. What was met is counted, so that no comparison is an empty one.
"""

from __future__ import annotations

import bz2
from collections import Counter
from functools import cache
from itertools import islice
from pathlib import Path
from random import Random

import numpy as np
import pytest

from lobgym.sim import records as rec
from lobgym.sim.compile_depth import compile_depth_market
from lobgym.sim.importers import import_bitstamp
from lobgym.sim.market import Market
from lobgym.sim.params import SimParams
from lobgym.sim.session import Session
from lobgym.sim.tape import Tape
from tests.recordings import BINANCE, FOLDER
from tests.sim.differential import MODELS, MS, ROOMY, SELF_TRADE, TIFS
from tests.sim.oracle import recording

LINES = 40_000  # of a recording: minutes of market
STEPS = 1500
PROFILES = (*("conservative",) * 7, "hftbacktest", "hftbacktest-partial")
BITSTAMP = FOLDER / "bitstamp_l3/btcusd_20150501_00-12h_feed.log.bz2"
NAMES = (*BINANCE, "bitstamp-2015")


@cache
def tape_of_recording(name: str, scratch: Path) -> Tape:
    if name in BINANCE:
        if not all(path.is_file() for path in BINANCE[name].paths(FOLDER)):
            pytest.skip(f"{name} is not in {FOLDER} (LOBGYM_RECORDINGS names another folder)")
        return recording(name, FOLDER, scratch, LINES)
    if not BITSTAMP.is_file():
        pytest.skip(f"no {BITSTAMP} (LOBGYM_RECORDINGS names another folder)")
    cut = scratch / "bitstamp.log"
    with bz2.open(BITSTAMP, "rb") as file:
        cut.write_bytes(b"".join(islice(file, LINES)))
    return import_bitstamp([cut])[0]


@cache
def market_of_recording(name: str, depth_only: bool, scratch: Path) -> Market:
    tape = tape_of_recording(name, scratch)
    return compile_depth_market(tape) if depth_only else Market.compile(tape)


def venue(chance: Random, profile: str, queue: str) -> SimParams:
    return SimParams(
        profile=profile,
        entry_ns=chance.choice((0, MS // 10, 5 * MS)),
        response_ns=chance.choice((0, 3 * MS)),
        queue=queue,
        queue_power=chance.choice((1, 2, 3)),
        self_trade=chance.choice(SELF_TRADE),
        **ROOMY,
    )


def act(chance: Random, sessions: tuple[Session, Session], usual: int) -> None:
    """A few calls on both, chosen by what the first shows."""
    first = sessions[0]
    orders = first.orders()
    known = [int(one["id"]) for one in orders if one["view_state"] != rec.DONE and not one["cancel_sent"]]
    bid, ask = first.bests()
    if bid is None or ask is None:
        return
    near = chance.choice((bid, ask)) + chance.randrange(-4, 5)
    lots = chance.choice((1, usual // 8 + 1, usual, 4 * usual))
    if known and chance.random() < 0.15:
        order = chance.choice(known)
        for session in sessions:
            session.cancel(0, order)
    elif known and chance.random() < 0.15:
        order = chance.choice(known)
        for session in sessions:
            session.modify(0, order, max(1, near), lots)
    for _ in range(chance.randrange(3) if len(orders) < 60 else 0):
        side, tif, reduce_only = chance.choice((1, -1)), chance.choice(TIFS), chance.random() < 0.1
        tick = max(1, (bid if side == rec.BUY else ask) + side * chance.choice((0, 0, 0, -1, -2, -5, 1, 3, 10)))
        for session in sessions:
            session.submit(0, side, tick, lots, tif, reduce_only)


def compare_states(indexed: Session, scanned: Session) -> None:
    mine, other = indexed.orders(), scanned.orders()
    assert mine["id"].tolist() == other["id"].tolist()
    for name in ("side", "tif", "state", "view_state", "view_tick", "view_leaves", "qty", "leaves"):
        assert (mine[name] == other[name]).all(), name
    live = mine["state"] == rec.LIVE
    for name in ("tick", "front", "front_units"):
        assert (mine[name][live] == other[name][live]).all(), name
    assert indexed.account() == scanned.account()


def drive(market: Market, seed: int, profile: str) -> Counter[str]:
    chance = Random(seed)
    params = venue(chance, profile, MODELS[seed % len(MODELS)])
    indexed = Session(market, params, log="full", log_rows=60_000)
    scanned = Session(market, params, log="full", log_rows=60_000, full_scan=True)
    sessions = indexed, scanned
    usual = int(np.median(market.exch.prints["qty"])) if len(market.exch.prints) else 1
    gap_ns = (market.end_ns - market.start_ns) // STEPS
    for step in range(STEPS):
        t_ns = indexed.t_ns() + chance.choice((0, 1, gap_ns, chance.randrange(3 * gap_ns)))
        for session in sessions:
            session.advance(min(t_ns, market.end_ns))
        if step % 5 == 0:
            compare_states(*sessions)
        act(chance, sessions, usual)
    for session in sessions:
        session.advance(market.end_ns)
    compare_states(*sessions)
    mine, other = (session.drain_log() for session in sessions)
    assert len(mine) == len(other)
    assert (mine == other).all(), f"row {int((mine != other).argmax())} of the log differs"
    assert indexed.run_digest() == scanned.run_digest()
    fills, sent = mine[mine["kind"] == rec.FILL], mine[mine["kind"] == rec.SENT_SUBMIT]
    met = Counter({"rows": len(mine), "maker fills": int(fills["maker"].sum())})
    met["taker fills"] = len(fills) - met["maker fills"]
    met += Counter(f"type {tif}" for tif in sent["tif"].tolist())
    met += Counter(f"answer {kind}" for kind in mine["kind"].tolist())
    return met


@pytest.mark.parametrize("name", NAMES)
def test_walking_the_lists_is_looking_at_every_row(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    scratch, number = tmp_path_factory.getbasetemp(), NAMES.index(name)
    met: Counter[str] = Counter()
    for k, profile in enumerate(PROFILES):
        market = market_of_recording(name, profile != "conservative", scratch)
        met += drive(market, 10 * number + k, profile)
    print(name, dict(sorted(met.items())))
    assert met["maker fills"] >= 200
    assert met["taker fills"] >= 500
    assert min(met[f"type {tif}"] for tif in range(5)) >= 300
    kinds = (rec.ACK, rec.FILL, rec.CANCELLED, rec.EXPIRED, rec.MODIFIED, rec.CANCEL_REJECTED, rec.MODIFY_REJECTED)
    assert min(met[f"answer {kind}"] for kind in kinds) >= 5
