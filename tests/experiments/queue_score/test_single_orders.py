"""Goal: where the feed's single orders are known, the queue model `l3_fifo` is right to the lot and the nanosecond.

Method: an exchange writes down every order. Each of a sample is taken out of the market, from the levels and from the
order tape, and played again as an own order: where it stands at given ages, and when and by how much it is filled,
must be what happened. The index is compared with a count by hand (`true_places`) of random order tapes.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lobgym.experiments.queue_score import FILLED, HiddenMarkets
from lobgym.experiments.queue_score.exchange_fate import read_exchange_orders
from lobgym.experiments.queue_score.exchange_run import run_exchange
from lobgym.experiments.queue_score.exchange_study import WATCH_NS, levels_and_prints
from lobgym.sim.errors import ParamsError, TapeFormatError
from lobgym.sim.exchange.places import true_places
from lobgym.sim.flow import ReactiveFlow
from lobgym.sim.importers.order_tape import CHANGED, CREATED, DELETED, ORDER_EVENT_DTYPE, OrderTape
from lobgym.sim.instrument import SYNTH, find_instrument
from lobgym.sim.market import Market
from lobgym.sim.order_queues import index_orders
from lobgym.sim.params import SimParams
from lobgym.sim.queue import FRONT_BITS
from lobgym.sim.records import BUY, FILL, GTX, LIVE, SELL
from lobgym.sim.session import Session
from lobgym.sim.tape import Tape

S = 1_000_000_000
LOT = 100_000  # 1e-8 of the base currency
PARAMS = SimParams(entry_ns=0, response_ns=0, max_orders=1, max_requests=4, queue="l3_fifo")


def test_orders_stand_and_are_filled_as_they_really_were() -> None:
    run = run_exchange(ReactiveFlow(), seed=5, span_ns=10 * S)
    fates = read_exchange_orders(
        run.orders, run.tape, run.begin_ns, run.end_ns, lambda n: n % 150 == 0 or n in run.places, WATCH_NS
    )
    markets = HiddenMarkets(levels_and_prints(run.tape))
    events = run.orders.events
    fronts = 0
    for probe in fates.probes:
        until = probe.end_ns + 1
        others = events[(events["order_id"] != probe.id) & (events["exch_ns"] <= until)]
        market = Market.compile(markets.without(probe, until).tape, orders=OrderTape(others, run.orders.instrument, {}))
        session = Session(market, PARAMS, log="full", log_rows=512)
        session.reset(probe.entry_ns)
        session.submit(0, probe.side, probe.tick, probe.qty, GTX)
        for age, true in probe.fronts:
            session.advance(probe.entry_ns + age)
            orders = session.orders(0)
            assert orders["state"][0] == LIVE
            assert orders["front"][0] == true << FRONT_BITS, (probe.id, age)
            fronts += 1
        session.advance(min(until, market.end_ns))
        log = session.drain_log()
        fills: Counter[int] = Counter()
        for row in log[log["kind"] == FILL]:
            fills[int(row["ns"])] += int(row["qty"])
        really: Counter[int] = Counter()
        for ns, qty in probe.fills:
            really[ns] += qty
        assert fills == really, probe.id
    assert fronts > 30
    assert sum(probe.ended == FILLED for probe in fates.probes) > 15


# -- the index -----------------------------------------------------------------------------------------------------

# (nanoseconds after the one before, order, price, lots, what)
EVENTS = st.lists(
    st.tuples(
        st.integers(0, 2), st.integers(1, 6), st.integers(100, 102), st.integers(1, 9),
        st.sampled_from((CREATED, CREATED, CHANGED, CHANGED, DELETED)),
    ),
    min_size=1, max_size=40,
)  # fmt: skip


def order_tape(rows: list[tuple[int, int, int, int, int]]) -> OrderTape:
    events = np.zeros(len(rows), ORDER_EVENT_DTYPE)
    ns = 1
    for at, (gap, order, tick, lots, action) in enumerate(rows):
        ns += gap
        events[at] = (ns, ns, ns, order, tick, lots * LOT, BUY if order % 2 else SELL, action)
    return OrderTape(events, SYNTH, {})


@given(EVENTS)
@settings(max_examples=300, deadline=None)
def test_the_index_counts_what_stands_before_an_order_as_a_count_by_hand_does(
    rows: list[tuple[int, int, int, int, int]],
) -> None:
    # A last order joins each queue; what stands before it is all that the queue holds.
    end = sum(gap for gap, *_ in rows) + 2
    tape = order_tape(rows)
    ticks = np.array([100, 101, 102, 100, 101, 102])
    queues = index_orders(tape, ticks, 3)
    for level, tick in enumerate(ticks.tolist()):
        side = BUY if level < 3 else SELL
        last = np.zeros(1, ORDER_EVENT_DTYPE)
        last[0] = (end, end, end, 99, tick, LOT, side, CREATED)
        longer = OrderTape(np.concatenate([tape.events, last]), SYNTH, {})
        by_hand = int(true_places(longer, 99, [end])[0])
        entries = queues.entries[queues.start[level] : queues.start[level + 1]]
        total = int(entries["total"][-1]) if len(entries) else 0
        assert total == by_hand // LOT << FRONT_BITS
        assert total == int(entries["change"].sum())
        born = entries["born"][entries["born"] >= 0]
        assert ((born >= queues.start[level]) & (born < queues.start[level + 1])).all()


def test_an_order_that_only_changes_is_older_than_the_tape() -> None:
    tape = order_tape([(0, 1, 100, 5, CREATED), (1, 3, 100, 2, CHANGED), (1, 3, 100, 1, CHANGED)])
    entries = index_orders(tape, np.array([100]), 1).entries
    assert entries["born"].tolist() == [0, -1, -1]
    assert entries["change"].tolist() == [5 << FRONT_BITS, 2 << FRONT_BITS, -1 << FRONT_BITS]


# -- faults --------------------------------------------------------------------------------------------------------


def test_the_model_is_refused_without_single_orders(small_tape: Tape) -> None:
    market = Market.compile(small_tape)
    with pytest.raises(ParamsError, match="orders="):
        Session(market, SimParams(queue="l3_fifo"))
    session = Session(market)
    with pytest.raises(ParamsError, match="orders="):
        session.vary(queue_model=7)
    with pytest.raises(ParamsError, match="single orders"):
        SimParams(queue="l3_fifo", profile="hftbacktest")


def test_orders_of_another_instrument_are_refused(small_tape: Tape) -> None:
    rows = order_tape([(0, 1, 100, 5, CREATED)]).events
    orders = OrderTape(rows, find_instrument("binance-usdm", "BTCUSDT"), {})
    with pytest.raises(TapeFormatError, match="orders are of"):
        Market.compile(small_tape, orders=orders)
