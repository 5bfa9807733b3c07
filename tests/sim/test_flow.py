"""The reactive flow's kernel: against the same flow in plain Python, and against what its tables promise.

The reference takes its tables from the flow; that the tables mean the rates that they were made of is seen from
outside, by counting events over time in each state of the queues.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import subprocess
import sys
from collections import defaultdict
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lobgym.sim.errors import ParamsError
from lobgym.sim.exchange import START_NS, Exchange
from lobgym.sim.flow import ReactiveFlow
from lobgym.sim.flow.estimate import _excitation
from lobgym.sim.records import BBO, BUY, REGIME, TRADE
from tests.project import ROOT
from tests.sim.reference_flow import ReferenceFlow

SECOND = 1_000_000_000
CREATED, CHANGED, DELETED = 1, 2, 3
RESTLESS = ReactiveFlow(
    volatility_hold_s=0.2, liquidity_hold_s=0.3, trend_hold_s=0.4, jump_per_s=20.0, drift_ticks_per_s=500.0,
    trim_per_s=500.0, informed_floor_ms=0.1, impact_ticks_per_lot=0.01, best_shape=(0.1, 1.0, 3.0),
)  # fmt: skip


def narrow(flow: ReactiveFlow, buckets: int = 8, **changes: Any) -> ReactiveFlow:
    """The same flow in a book of fewer prices, which is quicker to fill."""
    rows = (flow.limit_per_s[:buckets], flow.cancel_per_s[:buckets], flow.limit_lots[:buckets])
    limit, cancel, lots = rows
    return replace(flow, limit_per_s=limit, cancel_per_s=cancel, limit_lots=lots, **changes)


def still(flow: ReactiveFlow, **changes: Any) -> ReactiveFlow:
    """No jumps, trends, regimes or takers."""
    quiet = {"jump_per_s": 1e-9, "drift_ticks_per_s": 0.0, "taker_per_s": 0.0, "impact_ticks_per_lot": 0.0}
    holds = dict.fromkeys(("volatility_hold_s", "liquidity_hold_s", "trend_hold_s"), 0.0)
    return replace(flow, **{**quiet, **holds, **changes})


def run(flow: ReactiveFlow, seconds: float, seed: int = 1, record: str = "all") -> Exchange:
    exchange = Exchange(flow=flow, seed=seed, record=record)
    exchange.advance(START_NS + int(seconds * SECOND))
    return exchange


def columns(events: Any, names: tuple[str, ...]) -> list[tuple[int, ...]]:
    return list(zip(*(events[name].tolist() for name in names), strict=True))


@pytest.mark.parametrize(("flow", "seed"), [(ReactiveFlow(), 5), (RESTLESS, 6)], ids=["default", "restless"])
def test_the_kernel_does_what_the_reference_does_event_by_event(flow: ReactiveFlow, seed: int) -> None:
    seconds = 3
    exchange = run(flow, seconds, seed)
    board = exchange.board
    reference = ReferenceFlow(flow, seed, START_NS, int(board["base_tick"]), int(board["width"]), 600_000)
    reference.advance(START_NS + seconds * SECOND)
    got = columns(exchange.order_tape().events, ("exch_ns", "action", "order_id", "price_ticks", "qty", "side"))
    unit = int(board["order_unit"])
    assert len(got) > 5_000
    assert got == [
        (ns, action, order, tick, lots * unit, side) for ns, action, order, tick, lots, side in reference.orders
    ]
    events = exchange.events()
    prints = events[events["kind"] == TRADE]
    assert len(prints) > 20
    assert columns(prints, ("exch_ns", "side", "price_ticks", "qty_lots")) == reference.prints
    regimes = events[events["kind"] == REGIME]
    assert columns(regimes, ("exch_ns", "qty_lots")) == reference.regimes


_PROGRAM = """
import hashlib, json
from lobgym.sim.exchange import START_NS, Exchange
from lobgym.sim.flow import ReactiveFlow
from tests.sim.test_flow import RESTLESS, fingerprint, narrow
exchange = Exchange(flow=narrow(RESTLESS), seed=3, record="levels")
exchange.advance(START_NS + 700_000_000)
print(json.dumps(fingerprint(exchange)))
"""


def fingerprint(exchange: Exchange) -> list[str]:
    return [exchange.run_digest(), hashlib.sha256(exchange.events().tobytes()).hexdigest()]


@pytest.mark.parametrize("disabled", ["0", "1"])
def test_another_process_gives_the_same_bits_with_and_without_the_compiler(disabled: str) -> None:
    here = Exchange(flow=narrow(RESTLESS), seed=3, record="levels")
    here.advance(START_NS + 700_000_000)
    environment = {**os.environ, "NUMBA_DISABLE_JIT": disabled}
    made = subprocess.run(
        [sys.executable, "-c", _PROGRAM], env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    assert len(here.events()) > 500
    assert json.loads(made.stdout) == fingerprint(here)


def test_time_cut_into_pieces_changes_nothing() -> None:
    whole = run(RESTLESS, 2.0, seed=9)
    pieces = Exchange(flow=RESTLESS, seed=9, record="all")
    for step in range(1, 2_000 // 7 + 1):
        pieces.advance(START_NS + step * 7_000_003)
    pieces.advance(START_NS + 2 * SECOND)
    assert fingerprint(pieces) == fingerprint(whole)


def test_seeds_differ_and_the_same_seed_does_not() -> None:
    digests = [run(ReactiveFlow(), 1.0, seed, "levels").run_digest() for seed in (1, 1, 2)]
    assert digests[0] == digests[1] != digests[2]


# -- rates -------------------------------------------------------------------------------------------------------------


def _queue_bucket(lots: int, mean: float) -> int:
    return 0 if lots == 0 else min(7, 1 + int(lots / mean).bit_length())


def test_events_in_each_state_of_the_queues_come_at_the_rates_of_the_tables() -> None:
    """Orders by order from the order tape: time in each (distance, queue) state, and what came and went in it."""
    flow = still(narrow(ReactiveFlow(), 6))
    seconds = 900
    exchange = run(flow, seconds, seed=4, record="orders")
    events = exchange.order_tape().events
    unit = int(exchange.board["order_unit"])
    bid = 600_000
    held: dict[tuple[int, int], float] = defaultdict(float)
    counts: dict[tuple[int, int, int], int] = defaultdict(int)
    queue: dict[tuple[int, int], int] = {(side, d): 0 for side in (1, -1) for d in range(32)}
    since = dict.fromkeys(queue, START_NS)
    sizes: dict[int, int] = {}
    for ns, action, order, tick, qty, side in columns(
        events, ("exch_ns", "action", "order_id", "price_ticks", "qty", "side")
    ):
        d = bid - tick if side == BUY else tick - bid - 1
        b = d.bit_length()
        key = (side, d)
        state = _queue_bucket(queue[key], flow.limit_lots[b])
        held[b, state] += (ns - since[key]) / SECOND
        since[key] = ns
        lots = qty // unit
        if ns > START_NS:
            counts[action, b, state] += 1
        queue[key] += lots - sizes.get(order, 0)
        sizes[order] = lots
    end = START_NS + seconds * SECOND
    for key, ns in since.items():
        b = key[1].bit_length()
        held[b, _queue_bucket(queue[key], flow.limit_lots[b])] += (end - ns) / SECOND
    checked = 0
    for (b, state), time in held.items():
        for action, table in ((CREATED, flow.limit_per_s), (DELETED, flow.cancel_per_s)):
            if action == CREATED and b == 0 and state == 0:
                continue  # an empty best price has a clock of its own
            expected = table[b][state] * time
            if expected > 30:
                checked += 1
                away = (counts[action, b, state] - expected) / math.sqrt(expected)
                assert abs(away) < 4.5, f"distance {b}, queue {state}, action {action}: {away:+.1f} sigma"
    assert checked > 40
    assert counts[CHANGED, 0, 1] == 0


def test_an_empty_best_price_is_repaired_at_its_rate() -> None:
    """Takers alone empty best prices; the clock that fills them again starts with the event that left one free."""
    flow = still(narrow(ReactiveFlow(), 6), repair_per_s=50.0, taker_per_s=1.0, excite_self=0.0, excite_cross=0.0)
    flow = replace(flow, limit_per_s=((1e-9,) * 8,) * 6, taker_lots=1e5)
    exchange = Exchange(flow=flow, seed=2, record="orders")
    exchange.advance(START_NS + 3_000 * SECOND)
    events = exchange.order_tape().events
    made = events[(events["action"] == CREATED) & (events["exch_ns"] > START_NS)]
    assert set(made["price_ticks"].tolist()) == {600_000, 600_001}
    waits = []
    standing: dict[int, set[int]] = {600_000: set(), 600_001: set()}
    free, begun, alone = 2, 0, False  # nothing stands at the start
    for ns, action, order, tick in columns(events, ("exch_ns", "action", "order_id", "price_ticks")):
        queue = standing[tick]
        if action == CREATED:
            free -= not queue
            queue.add(order)
            if free == 0 and alone:
                waits.append((ns - begun) / SECOND)
        elif action == DELETED:
            queue.discard(order)
            free += not queue
            if free == 1 and not queue:
                begun, alone = ns, True
            alone = alone and free < 2  # the one clock serves either side
    assert len(waits) > 500
    mean = 1.0 / 50.5  # a taker who empties the other side meanwhile ends the wait unseen
    assert abs(float(np.mean(waits)) - mean) < 4 * mean / math.sqrt(len(waits))


def test_takers_excite_each_other_as_often_as_the_parameters_say() -> None:
    flow = still(
        narrow(ReactiveFlow(), 6), taker_per_s=6.0, excite_self=0.45, excite_cross=0.15, excite_decay_per_s=5.0
    )
    seconds = 3_000
    exchange = run(flow, seconds, seed=8, record="levels")
    events = exchange.events()
    stamps = np.unique(events["exch_ns"][events["kind"] == TRADE])
    rate = len(stamps) / seconds
    mean = 6.0 / (1.0 - 0.6)
    sigma = math.sqrt(mean / seconds) / (1.0 - 0.6)
    assert abs(rate - mean) < 4 * sigma
    branching, decay = _excitation(stamps)
    assert abs(branching - 0.6) < 0.06
    assert 2.5 < decay < 10.0
    prints = events[events["kind"] == TRADE]
    first = np.append(True, np.diff(prints["exch_ns"]) > 0)
    signs = prints["side"][first].astype(float)
    assert np.mean(signs[1:] * signs[:-1]) > 6 / math.sqrt(len(signs))


def test_regimes_stay_as_long_as_they_should_and_not_geometrically() -> None:
    flow = narrow(ReactiveFlow(), 3, volatility_hold_s=0.5, liquidity_hold_s=0.0, trend_hold_s=0.0, jump_per_s=1e-9)
    events = run(flow, 600, seed=3, record="levels").events()
    rows = events[events["kind"] == REGIME]
    assert set((rows["qty_lots"] // 9).tolist()) == {0, 1, 2}
    assert set((rows["qty_lots"] % 9).tolist()) == {4}
    stays = np.diff(rows["exch_ns"]) / SECOND
    assert len(stays) > 1_000
    assert stays.min() >= 0.125
    assert abs(stays.mean() - 0.5) < 4 * 0.265 / math.sqrt(len(stays))
    assert abs(stays.std() / stays.mean() - 0.53) < 0.05  # exponential times would have 1
    steps = np.abs(np.diff(rows["qty_lots"] // 9))
    assert set(steps.tolist()) == {1}


def test_the_published_book_is_never_crossed_and_jumps_are_followed() -> None:
    exchange = run(RESTLESS, 30, seed=7, record="levels")
    events = exchange.events()
    quotes = events[events["kind"] == BBO]
    bids, asks = quotes[quotes["side"] == BUY], quotes[quotes["side"] != BUY]
    both = (bids["price_ticks"] > 0) & (asks["price_ticks"] > 0)
    assert both.mean() > 0.99
    assert (bids["price_ticks"][both] < asks["price_ticks"][both]).all()
    value = exchange._arrays.flow[0]["v"] / 65536 + int(exchange.board["base_tick"])
    mid = (int(bids["price_ticks"][-1]) + int(asks["price_ticks"][-1])) / 2
    assert abs(mid - value) < 200


# -- parameters --------------------------------------------------------------------------------------------------------


def test_json_gives_the_same_flow_back() -> None:
    assert ReactiveFlow.from_json(RESTLESS.to_json()) == RESTLESS
    assert ReactiveFlow.from_json(RESTLESS.to_json()).digest == RESTLESS.digest != ReactiveFlow().digest


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"excite_self": 0.7, "excite_cross": 0.3}, "grow without bound"),
        ({"limit_lots": (1.0,)}, "distance"),
        ({"limit_per_s": ((1.0,) * 7,) * 13}, "queue buckets"),
        ({"jump_scale": (1.0, 2.0)}, "three regimes"),
        ({"jump_ticks": (3.0, 2.0)}, "ascending"),
        ({"taker_per_s": -1.0}, "from 0 on"),
        ({"taker_lots": 0.0}, "above 0"),
        ({"impact_ticks_per_lot": math.nan}, "finite"),
    ],
)
def test_wrong_parameters_are_refused_by_name(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        replace(ReactiveFlow(), **changes)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "reactive/1", "parameters": {"taker_lots": 1}}'])
def test_what_is_no_flow_is_refused(text: str) -> None:
    with pytest.raises(ParamsError, match="flow"):
        ReactiveFlow.from_json(text)
