"""Goal: the Python face of an exchange: beginnings, copies, records, and errors that say what to do.

Method: runs in which everything happens, repeated from a reset, a snapshot, a clone, and in other processes.
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest

from lobgym.sim.errors import (
    CapacityError,
    LedgerOverflowError,
    LobgymError,
    ParamsError,
    SessionError,
    TapeFormatError,
    TimeReversedError,
    UnknownOrderError,
)
from lobgym.sim.exchange import Exchange, FeedLatency
from lobgym.sim.exchange.places import NOT_RESTING, true_places
from lobgym.sim.instrument import find_instrument
from lobgym.sim.market import Market
from lobgym.sim.params import SimParams
from lobgym.sim.records import BUY, FILL, GTC, SELL
from lobgym.sim.session import Session
from tests.project import ROOT
from tests.sim.exchange.duel import MS, ROOMY, START_NS, Duel, queues, random_acts
from tests.sim.exchange.fixed_exchange_run import drive, fixed_exchange, outcome
from tests.sim.exchange.scripted_flow import ScriptedFlow

SMALL = {"start_ns": START_NS, "start_tick": 50_000, "width": 4096}


# -- the same again ----------------------------------------------------------------------------------------------------


def test_a_reset_is_a_fresh_exchange_in_the_same_memory() -> None:
    exchange, fresh = fixed_exchange(), fixed_exchange(9)
    tables = [array.ctypes.data for array in exchange._arrays]
    drive(exchange)
    first = outcome(exchange)
    exchange.reset()
    assert exchange.now_ns == START_NS
    assert not queues(exchange, BUY)
    drive(exchange)
    assert outcome(exchange) == first
    exchange.reset(seed=9)
    drive(exchange)
    drive(fresh)
    assert outcome(exchange) == outcome(fresh) != first
    assert [array.ctypes.data for array in exchange._arrays] == tables


@pytest.mark.parametrize("copied", [Exchange.clone, copy.copy, copy.deepcopy], ids=["clone", "copy", "deepcopy"])
def test_a_copy_goes_on_alone(copied: Callable[[Exchange], Exchange]) -> None:
    exchange = fixed_exchange()
    drive(exchange, 12)
    other = copied(exchange)
    assert outcome(other) == outcome(exchange)
    drive(other, 10, first=12)
    halfway = outcome(exchange)
    assert outcome(other) != halfway
    drive(exchange, 10, first=12)
    assert outcome(exchange) == outcome(other)
    assert (exchange.drain_log() == other.drain_log()).all()


def test_a_snapshot_brings_everything_back() -> None:
    exchange = fixed_exchange()
    drive(exchange, 10)
    kept = exchange.snapshot()
    drive(exchange, 15, first=10)
    there = outcome(exchange)
    exchange.reset(seed=5)
    drive(exchange, 3)
    exchange.restore(kept)
    assert exchange.seed == 7
    drive(exchange, 15, first=10)
    assert outcome(exchange) == there
    with pytest.raises(SessionError, match="other arguments"):
        Exchange(members=2, **SMALL).restore(kept)
    with pytest.raises(SessionError, match="restore takes what snapshot"):
        exchange.restore(kept.board)  # type: ignore[arg-type]
    with pytest.raises(SessionError, match="cannot be pickled"):
        exchange.__reduce__()


def test_tables_of_records_grow_and_snapshots_with_them() -> None:
    acts = random_acts(Random(1), 70_000, 50_000, 1000)
    exchange = Exchange(flow=ScriptedFlow(acts), record="all", depth_every_ns=0, mark_every_ns=0, **SMALL)
    empty = exchange.snapshot()
    room = len(exchange._arrays.rows)
    exchange.advance(acts[-1].ns)
    assert len(exchange._arrays.rows) > room
    full, digests = exchange.snapshot(), outcome(exchange)
    exchange.restore(empty)
    assert len(exchange.events()) == 0
    exchange.advance(acts[-1].ns)
    assert outcome(exchange) == digests
    small = Exchange(flow=ScriptedFlow(acts), record="all", depth_every_ns=0, mark_every_ns=0, **SMALL)
    small.restore(full)
    assert outcome(small) == digests


@pytest.mark.parametrize(
    "setting", [{"PYTHONHASHSEED": "77"}, {"NUMBA_DISABLE_JIT": "1"}], ids=["fresh", "not compiled"]
)
def test_any_process_gives_the_same(setting: dict[str, str]) -> None:
    exchange = fixed_exchange()
    drive(exchange)
    run = subprocess.run(
        [sys.executable, "-m", "tests.sim.exchange.fixed_exchange_run"],
        cwd=ROOT, env={**os.environ, **setting}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == outcome(exchange)


# -- what it records ---------------------------------------------------------------------------------------------------


def test_its_tape_is_its_book_at_every_message_of_depth() -> None:
    acts = random_acts(Random(8), 6_000, 50_000, MS)
    exchange = Exchange(flow=ScriptedFlow(acts), record="levels", depth_every_ns=5 * MS, mark_every_ns=0, **SMALL)
    samples = []
    t = START_NS
    while t + 5 * MS < acts[-1].ns:
        t += 5 * MS
        exchange.advance(t)
        samples.append((t, exchange.ladder(BUY, 1000), exchange.ladder(SELL, 1000)))
    market = Market.compile(exchange.tape())
    session = Session(market, SimParams(entry_ns=0))
    compared = 0
    for stamp, bids, asks in samples:
        if market.start_ns <= stamp <= market.end_ns:
            session.advance(stamp)
            assert (session.ladder(0, BUY, 1000, at_exchange=True) == bids).all()
            assert (session.ladder(0, SELL, 1000, at_exchange=True) == asks).all()
            compared += 1
    assert compared > 200


def test_places_are_those_of_the_book() -> None:
    acts = random_acts(Random(4), 3_000, 50_000, MS, spread=3)
    # Requests are under way: none arrives at the very stamp at which a place was looked up.
    duel = Duel(acts, SimParams(entry_ns=1, response_ns=0, **ROOMY), members=2)
    chance = Random(5)
    seen: list[tuple[int, int, int]] = []
    unit = int(duel.exchange.instrument.lot_size * 10**8)
    while duel.exchange.now_ns < acts[-1].ns:
        for member in range(2):
            duel.act(chance, member)
        duel.advance(duel.exchange.now_ns + 3 * MS)
        for member in range(2):
            for order in duel.exchange.orders(member):
                if order["state"] == 2:
                    place = duel.exchange.queue_ahead(member, int(order["id"]))
                    number = duel.exchange.venue_number(member, int(order["id"]))
                    seen.append((number, duel.exchange.now_ns, place * unit))
    tape = duel.exchange.order_tape()
    assert len(seen) > 300
    for number in {one[0] for one in seen}:
        times, places = zip(*((ns, place) for other, ns, place in seen if other == number), strict=True)
        assert true_places(tape, number, times).tolist() == list(places)
    assert sum(place > 0 for _, _, place in seen) > 100
    number = seen[0][0]
    assert true_places(tape, number, [0, int(tape.events["exch_ns"][-1]) + 1]).tolist()[0] == NOT_RESTING
    with pytest.raises(UnknownOrderError, match="no order 999999"):
        true_places(tape, 999_999, [0])


def test_a_place_behind_others_of_a_moved_order() -> None:
    exchange = Exchange(members=2, params=SimParams(entry_ns=0, response_ns=0), record="orders", **SMALL)
    for member, tick, qty in ((0, 50_000, 5), (1, 50_000, 3), (0, 49_999, 2)):
        exchange.submit(member, BUY, tick, qty)
    exchange.advance(START_NS + 1)
    number = exchange.venue_number(1, 1)
    exchange.modify(0, 1, 50_000, 4)  # less, and stays
    exchange.advance(START_NS + 2)
    exchange.modify(0, 1, 49_999, 4)  # goes behind the 2 there, under another number
    exchange.advance(START_NS + 3)
    exchange.cancel(1, 1)
    exchange.advance(START_NS + 4)
    tape, unit = exchange.order_tape(), 100_000
    times = [START_NS - 1, START_NS, START_NS + 1, START_NS + 2, START_NS + 3]
    assert true_places(tape, number, times).tolist() == [NOT_RESTING, 5 * unit, 4 * unit, 0, NOT_RESTING]
    assert true_places(tape, exchange.venue_number(0, 1), [START_NS + 3]).tolist() == [2 * unit]
    assert exchange.queue_ahead(0, 1) == 2


def test_fills_are_drained_from_the_log() -> None:
    exchange = fixed_exchange()
    drive(exchange)
    twin = exchange.clone()
    log, fills = exchange.drain_log(), twin.drain_fills()
    rows = log[log["kind"] == FILL]
    assert len(fills) == len(rows) > 0
    for name, of_log in (("exch_ns", "ns"), ("seen_ns", "seen_ns"), ("lane", "lane"), ("qty", "qty"), ("fee", "fee")):
        assert (fills[name] == rows[of_log]).all()
    assert len(twin.drain_log()) == 0
    assert exchange.digest(0) == twin.digest(0) != exchange.digest(1)


def test_a_feed_that_was_out_comes_back_whole() -> None:
    """Nothing is said while it is out, save what the venue says of itself; then the book anew, also an empty one."""
    acts = random_acts(Random(2), 500, 50_000, MS)
    mid = acts[250].ns
    exchange = Exchange(
        flow=ScriptedFlow(acts), record="levels", depth_every_ns=0, mark_every_ns=5 * MS, **SMALL,
        schedule=((START_NS, 1, 1, 0), (START_NS, 1, 0, 0), (mid, 1, 1, 0), (mid + 20 * MS, 1, 0, 0)),
    )  # fmt: skip
    exchange.advance(acts[-1].ns)
    rows = exchange.tape().events
    out = rows[(rows["exch_ns"] > mid) & (rows["exch_ns"] < mid + 20 * MS)]
    assert set(out["kind"].tolist()) <= {6, 7}
    assert len(out) > 0
    clears = rows[rows["kind"] == 3]
    assert clears["exch_ns"].tolist() == [START_NS, mid + 20 * MS]


# -- errors ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"instrument": "BTC"}, "instrument must be of Instrument"),
        ({"params": 3}, "params must be of SimParams"),
        ({"feed": (1, 2)}, "feed must be of FeedLatency"),
        ({"members": -1}, "members must be from 0"),
        ({"members": 1.5}, "members must be an integer"),
        ({"seed": -1}, "seed must be from 0"),
        ({"start_ns": -1}, "start_ns must be from 0"),
        ({"start_tick": 0}, "start_tick must be from 1"),
        ({"width": 4097}, "width must be a multiple of 4096"),
        ({"width": 0}, "width must be from 4096"),
        ({"node_room": 1}, "node_room must be from 2"),
        ({"record": "everything"}, "record must be one of off, levels, orders, all"),
        ({"log": "full"}, "with log_rows unless off"),
        ({"log_rows": 5}, "with log_rows unless off"),
        ({"depth_every_ns": -1}, "depth_every_ns must be from 0"),
        ({"mark_every_ns": 0.5}, "mark_every_ns must be an integer"),
        ({"funding_every_ns": 5, "mark_every_ns": 0}, "it needs mark_every_ns and a perpetual"),
        ({"funding_every_ns": 5, "instrument": find_instrument("binance-spot", "BTCUSDT")}, "not on spot"),
        ({"ladder_room": -1, "members": 1}, "ladder_room must be from 0"),
        ({"schedule": ((1, 2),)}, r"schedule\[0\] must be"),
        ({"schedule": ((1, 9, 0, 0),)}, r"schedule\[0\]: a stamp .* one of DO_"),
        ({"schedule": ((-1, 0, 0, 0),)}, r"schedule\[0\]: a stamp"),
        ({"schedule": ((1, 0, 3, 0),)}, r"schedule\[0\]: a must be from 0 to 2"),
        ({"schedule": ((1, 2, 5, 0),)}, r"schedule\[0\]: a print needs lots"),
        ({"params": SimParams(profile="hftbacktest")}, "the profile 'hftbacktest' is the replay's"),
    ],
)
def test_arguments_that_make_no_exchange(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(ParamsError, match=says):
        Exchange(**{**SMALL, **arguments})


def test_a_feeds_latency_is_checked() -> None:
    for wrong in ({"floor_ns": (1, 2, 3)}, {"mean_ns": [1, 2, 3, 4]}, {"floor_ns": (1, 2, 3, -4)}):
        with pytest.raises(ParamsError, match=r"floor_ns|mean_ns"):
            FeedLatency(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda e: e.submit(2, BUY, 1, 1), SessionError, "member must be from 0 to 1"),
        (lambda e: e.submit(0, 0, 1, 1), SessionError, "side 1 or -1"),
        (lambda e: e.submit(0, BUY, 1, 0), SessionError, "tick and qty"),
        (lambda e: e.submit(0, BUY, 1.5, 1), SessionError, "tick and qty"),
        (lambda e: e.submit(0, BUY, 1, 1, 9), SessionError, "tif"),
        (lambda e: e.submit(0, BUY, 1, 1 << 43), LedgerOverflowError, "order less"),
        (lambda e: e.cancel(0, 77), UnknownOrderError, "member 0 has no order 77"),
        (lambda e: e.cancel(0, "x"), SessionError, "order_id must be an integer"),
        (lambda e: e.modify(0, 77, 1, 1), UnknownOrderError, "member 0 has no order 77"),
        (lambda e: e.queue_ahead(0, 77), UnknownOrderError, "no resting order 77"),
        (lambda e: e.venue_number(1, 77), UnknownOrderError, "no resting order 77"),
        (lambda e: e.advance(5), TimeReversedError, "cannot go back"),
        (lambda e: e.advance("soon"), SessionError, "t_ns must be an integer"),
        (lambda e: e.ladder(0, 5), SessionError, "side must be 1"),
        (lambda e: e.ladder(BUY, -1), SessionError, "depth must be from 0"),
        (lambda e: e.account(5), SessionError, "member must be"),
        (lambda e: e.orders(-1), SessionError, "member must be"),
        (lambda e: e.drain_log(), SessionError, "keeps no log"),
        (lambda e: e.tape(), TapeFormatError, "records no levels"),
        (lambda e: e.order_tape(), TapeFormatError, "records no orders"),
        (lambda e: e.vary(queue_power=1), ParamsError, "members cannot vary 'queue_power'"),
        (lambda e: e.vary(entry_ns=-1), ParamsError, "entry_ns must"),
        (lambda e: e.vary(capital=5), ParamsError, "nothing asks for capital"),
        (lambda e: e.reset(seed=-1), ParamsError, "seed must be"),
    ],
)
def test_calls_that_mean_nothing(call: Callable[[Exchange], Any], error: type[LobgymError], says: str) -> None:
    exchange = Exchange(members=2, **SMALL)
    before = exchange.run_digest()
    with pytest.raises(error, match=says):
        call(exchange)
    assert exchange.run_digest() == before


def test_without_members_there_is_nobody_to_trade_for() -> None:
    with pytest.raises(SessionError, match="has no members"):
        Exchange(**SMALL).submit(0, BUY, 1, 1)


def test_what_is_full_says_so() -> None:
    exchange = Exchange(members=1, params=SimParams(max_orders=2), **SMALL)
    for _ in range(2):
        exchange.submit(0, BUY, 50_000, 1)
    with pytest.raises(CapacityError, match="all 2 order slots"):
        exchange.submit(0, BUY, 50_000, 1)
    exchange = Exchange(members=1, params=SimParams(entry_ns=0, max_responses=1), **SMALL)
    for _ in range(3):
        exchange.submit(0, BUY, 50_000, 1, GTC)
    with pytest.raises(CapacityError, match="unread answers"):
        exchange.advance(START_NS + 1)
    with pytest.raises(CapacityError, match="unread answers"):
        exchange.advance(START_NS + 2)
    exchange.reset()
    exchange.advance(START_NS + 2)


def test_what_varies_varies_at_once() -> None:
    exchange = Exchange(members=2, params=SimParams(entry_ns=0, response_ns=0), log="full", log_rows=99, **SMALL)
    exchange.vary(entry_ns=np.array([5, 50]), taker_fee_ppb=0)
    for member in (0, 1):
        exchange.submit(member, BUY, 50_000, 1)
    exchange.advance(START_NS + 100)
    log = exchange.drain_log()
    assert log["ns"][log["kind"] == 1].tolist() == [START_NS + 5, START_NS + 50]
    exchange.reset()
    assert exchange.state.lane["entry_ns"].tolist() == [5, 50]


def test_a_member_sees_the_book_late() -> None:
    exchange = Exchange(members=1, params=SimParams(entry_ns=0, feed_delay_ns=10), depth_every_ns=0, **SMALL)
    exchange.submit(0, BUY, 50_000, 3)
    exchange.advance(START_NS + 5)
    assert exchange.ladder(BUY, 5).tolist() == [[50_000, 3]]
    assert exchange.ladder(BUY, 5, member=0).tolist() == []
    exchange.advance(START_NS + 10)
    assert exchange.ladder(BUY, 5, member=0).tolist() == [[50_000, 3]]
