"""A session under any sequence of calls that hypothesis can think of, with copies and restores in between.

Goal: what must hold of a lane at every moment whatever it does. The ledger is the sum of the answers, to the unit; the
view is the sum of the answers seen; nothing is filled before its order can have arrived, nor at a quote that an
earlier print has passed; nothing displayed is spent twice; own orders stand in the order in which they came; a copy
goes on like its original; and a tape whose later part is corrupted gives the same until then. Method: a hypothesis
state machine over tiny tapes with prints, marks, funding and halts. The plain reference comes along, so that a
difference from it shrinks to the few calls that matter.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from random import Random
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from lobgym.sim import records as rec
from lobgym.sim.instrument import SYNTH
from lobgym.sim.market import Market
from lobgym.sim.session import Session
from lobgym.sim.tape import Tape
from tests.sim.differential import MS, Pair, busy_tape, compare_answers, dressed, random_venue, reference_lane
from tests.sim.reference import Change, RefBook, messages_of

SIDES = st.sampled_from((rec.BUY, rec.SELL))
TICKS = st.integers(94, 106)
LOTS = st.integers(1, 30)
TIFS = st.sampled_from((rec.GTC, rec.GTC, rec.GTX, rec.IOC, rec.FOK, rec.MARKET))
REFUSALS = (rec.REJECTED, rec.CANCEL_REJECTED, rec.MODIFY_REJECTED)


def corrupted(tape: Tape, cut_ns: int) -> Tape:
    """The tape with every row stamped after `cut_ns` made wrong."""
    events = tape.events.copy()
    late = events["exch_ns"] > cut_ns
    events["price_ticks"][late & (events["side"] != 0)] += 3
    switched = late & (events["kind"] == rec.STATUS)
    events["qty_lots"][late & ~switched & (events["kind"] != rec.CLEAR)] += 5
    events["qty_lots"][switched] = 1 - events["qty_lots"][switched]
    return Tape(events, tape.instrument)


class Increases:
    """How many lots have ever been added to each level of the exchange's book, by stamp."""

    def __init__(self, tape: Tape, implied: bool) -> None:
        self.book, self.feed, self.added = RefBook(implied), messages_of(tape.events), Counter[tuple[int, int]]()

    def up_to(self, ns: int) -> Counter[tuple[int, int]]:
        while self.feed and self.feed[0][0].exch_ns <= ns:
            for event in self.book.message(self.feed.pop(0)):
                if isinstance(event, Change):
                    self.added[event.side, event.tick] += max(0, event.new - event.prev)
        return self.added


def passed_by_a_print(feed: list[Any], side: int, tick: int, ns: int) -> bool:
    """Whether a print went beyond what a taker of `side` got at `tick` at `ns`, and nothing was published since."""
    passed = False
    past = [rows for rows in feed if rows[0].exch_ns <= ns]
    for at, rows in enumerate(past):
        for row in rows:
            if row.kind == rec.TRADE and row.side == side and side * row.tick > side * tick:
                # Depth or a quote of the same stamp already contains the print.
                same = [r[0] for r in past[:at] if r[0].exch_ns == row.exch_ns]
                passed = passed or all(r.kind not in (rec.DEPTH, rec.CLEAR, rec.BBO) for r in same)
            elif row.kind in (rec.DEPTH, rec.CLEAR, rec.SNAPSHOT, rec.BBO):
                passed = False
    return passed


class SessionMachine(RuleBasedStateMachine):
    """One lane, its reference, a copy that follows it, and a twin on a tape that is corrupted later on."""

    @initialize(seed=st.integers(0, 1 << 20), cut=st.integers(0, 300))
    def start(self, seed: int, cut: int) -> None:
        chance = Random(seed)
        tape = dressed(busy_tape(chance, SYNTH, 60), chance, chance.choice((0, 12)), 4, chance.choice((0, 2)), 0.3)
        self.tape, self.feed = tape, messages_of(tape.events)
        self.market = Market.compile(tape, chance.random() < 0.8)
        self.params = random_venue(chance, self.market, 2 * MS, 10 * 100 * SYNTH.money_per_tick_lot, seed)
        self.session = Session(self.market, self.params, log="full", log_rows=10_000)
        self.pair = Pair(reference_lane(self.market, self.params, self.market.start_ns), self.session, 0)
        self.cut_ns = self.market.start_ns + cut * MS
        wrong = Market.compile(corrupted(tape, self.cut_ns), self.market.print_implied_depth)
        self.twin: Session | None = Session(wrong, self.params) if wrong.start_ns == self.market.start_ns else None
        self.copy: Session | None = None
        self.log: list[Any] = []
        self.sent_ns: dict[int, int] = {}
        self.increases = Increases(tape, self.market.print_implied_depth)
        self.taken: Counter[tuple[int, int]] = Counter()
        self.places: dict[int, int] = {}
        self.shown: dict[int, tuple[int, int]] = {}  # tick and leaves of each order that rests

    def everyone(self) -> list[Session]:
        return [one for one in (self.session, self.copy, self.twin) if one is not None]

    def open_ids(self) -> list[int]:
        return [order.id for order in self.pair.reference.orders.values() if order.view_state != rec.DONE]

    # -- calls --

    @rule(side=SIDES, tick=TICKS, qty=LOTS, tif=TIFS, reduce_only=st.booleans())
    def submit(self, side: int, tick: int, qty: int, tif: int, reduce_only: bool) -> None:
        order_id = self.pair.reference.submit(side, tick, qty, tif, reduce_only)
        self.sent_ns[order_id] = self.session.t_ns()
        for one in self.everyone():
            assert one.submit(0, side, tick, qty, tif, reduce_only) == order_id

    @precondition(lambda self: self.open_ids())
    @rule(which=st.integers(0, 99), tick=TICKS, qty=LOTS, keep=st.booleans())
    def modify(self, which: int, tick: int, qty: int, keep: bool) -> None:
        order_id = self.open_ids()[which % len(self.open_ids())]
        tick = max(1, self.pair.reference.orders[order_id].tick) if keep else tick
        self.pair.reference.modify(order_id, tick, qty)
        for one in self.everyone():
            one.modify(0, order_id, tick, qty)

    @precondition(lambda self: self.open_ids())
    @rule(which=st.integers(0, 99))
    def cancel(self, which: int) -> None:
        order_id = self.open_ids()[which % len(self.open_ids())]
        self.pair.reference.cancel(order_id)
        for one in self.everyone():
            one.cancel(0, order_id)

    @rule(steps=st.sampled_from((0, 1, MS // 2, MS, 5 * MS, 30 * MS)))
    def advance(self, steps: int) -> None:
        t = min(self.session.t_ns() + steps, self.market.end_ns)
        if self.twin is not None and t > min(self.cut_ns, self.twin.end_ns):
            self.twin = None
        self.pair.reference.advance(t)
        for one in self.everyone():
            one.advance(t)
        self.read_log()

    @rule()
    def clone(self) -> None:
        self.copy = self.session.clone()

    @precondition(lambda self: self.session.t_ns() < self.market.end_ns)
    @rule(ahead=st.integers(1, 40), qty=LOTS)
    def try_and_restore(self, ahead: int, qty: int) -> None:
        saved = self.session.snapshot()
        before = self.session.run_digest()
        self.session.submit(0, rec.BUY, 100, qty, rec.IOC)
        self.session.advance(min(self.session.t_ns() + ahead * MS, self.market.end_ns))
        self.session.restore(saved)
        assert self.session.run_digest() == before

    # -- what always holds --

    def read_log(self) -> None:
        fresh = self.session.drain_log()
        for row in fresh[(fresh["kind"] >= rec.ACK) & (fresh["kind"] <= rec.FUNDED)]:
            self.log.append(row)
            order_id, kind = int(row["order_id"]), int(row["kind"])
            assert row["ns"] <= self.session.t_ns()
            assert row["seen_ns"] >= row["ns"]
            assert len(self.log) < 2 or row["seen_ns"] >= self.log[-2]["seen_ns"]
            if order_id and kind not in REFUSALS:
                assert row["ns"] >= self.sent_ns[order_id] + self.params.entry_ns
            self.follow_queue(order_id, kind, int(row["tick"]), int(row["qty"]))
            if kind == rec.FILL and not row["maker"]:
                self.check_taken(int(row["side"]), int(row["tick"]), int(row["qty"]), int(row["ns"]))

    def follow_queue(self, order_id: int, kind: int, tick: int, qty: int) -> None:
        """Who joined which queue when, from the answers alone."""
        old_tick, old_leaves = self.shown.get(order_id, (0, 0))
        if kind == rec.ACK or (kind == rec.MODIFIED and (tick != old_tick or qty > old_leaves)):
            self.places[order_id] = 1 + max(self.places.values(), default=0)
        if kind in (rec.ACK, rec.MODIFIED):
            self.shown[order_id] = tick, qty
        elif kind == rec.FILL:
            self.shown[order_id] = old_tick, old_leaves - qty

    def check_taken(self, side: int, tick: int, qty: int, ns: int) -> None:
        self.taken[-side, tick] += qty
        assert self.taken[-side, tick] <= self.increases.up_to(ns)[-side, tick]
        if self.market.print_implied_depth:
            assert not passed_by_a_print(self.feed, side, tick, ns)

    @invariant()
    def the_ledger_is_the_sum_of_the_answers(self) -> None:
        if not hasattr(self, "session"):
            return
        account, now = self.session.account(), self.session.t_ns()
        names = "position_lots", "cash", "fees", "funding"
        seen = [row for row in self.log if row["seen_ns"] <= now]
        for rows, prefix in ((self.log, ""), (seen, "view_")):
            fills = [row for row in rows if row["kind"] == rec.FILL]
            sums = (
                sum(int(row["side"]) * int(row["qty"]) for row in fills), sum(int(row["cash"]) for row in fills),
                sum(int(row["fee"]) for row in fills), -sum(int(r["cash"]) for r in rows if r["kind"] == rec.FUNDED),
            )  # fmt: skip
            assert tuple(getattr(account, prefix + name) for name in names) == sums

    @invariant()
    def own_orders_stand_in_order(self) -> None:
        if not hasattr(self, "session"):
            return
        queues = defaultdict(list)
        live = [order for order in self.session.orders() if order["state"] == rec.LIVE]
        for order in sorted(live, key=lambda order: self.places[int(order["id"])]):
            queues[int(order["side"]), int(order["tick"])].append(int(order["front"]))
            assert order["leaves"] > 0
        assert all(queue == sorted(queue) and queue[0] >= 0 for queue in queues.values())

    @invariant()
    def copies_and_the_past_agree(self) -> None:
        if not hasattr(self, "session"):
            return
        if self.copy is not None:
            assert self.copy.run_digest() == self.session.run_digest()
        if self.twin is not None:
            assert self.twin.digest() == self.session.digest()
            assert self.twin.bests() == self.session.bests()
            assert self.twin.account() == self.session.account()

    @invariant()
    def the_reference_agrees(self) -> None:
        if hasattr(self, "session"):
            self.pair.compare()

    def teardown(self) -> None:
        if not hasattr(self, "session"):
            return
        self.read_log()  # a lost request is answered without the clock
        if self.log:
            dtype = self.log[0].dtype
            compare_answers(np.array([row.tolist() for row in self.log], dtype), self.pair.reference.history)


TestSessionMachine = SessionMachine.TestCase
TestSessionMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
