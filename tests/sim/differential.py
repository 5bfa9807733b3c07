"""A `Session` and the plain reference under the same calls: random venues, random orders, and the comparison.

Every choice is made by a seeded `Random` from what the reference shows, so that a difference cannot hide by changing
the script. `lane_pairs` may come without a session: then the reference runs alone and only watches itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np

from lobgym.sim import records as rec
from lobgym.sim.instrument import Instrument
from lobgym.sim.latency import LatencyQuantiles, LatencyTable
from lobgym.sim.market import Market
from lobgym.sim.params import SimParams
from lobgym.sim.session import Session
from lobgym.sim.tape import Tape
from tests.sim.checked_lane import CheckedLane
from tests.sim.oracle import Message, tape_of
from tests.sim.reference import RefBook, Row, messages_of
from tests.sim.reference_lane import RefLane
from tests.sim.reference_messages import RefAnswer

MODELS = ("power3", "power", "power2", "log", "log2", "risk_averse", "optimistic")
MS = 1_000_000
SELF_TRADE = ("expire_maker", "expire_taker", "expire_both", "none")
ROOMY = {"max_orders": 256, "max_requests": 1024, "max_responses": 4096, "max_spent": 4096}
TIFS = (rec.GTC, rec.GTC, rec.GTC, rec.GTX, rec.GTX, rec.IOC, rec.FOK, rec.FOK, rec.MARKET)

ORDER_FIELDS = ("side", "tif", "reduce_only", "state", "view_state", "submit_ns")
LIVE_FIELDS = ("tick", "qty", "leaves", "front", "view_leaves", "arrive_ns")
# Fields of the log, and what the reference calls them.
ANSWER_FIELDS = {
    "kind": "kind", "order_id": "order_id", "ns": "exch_ns", "seen_ns": "due_ns", "tick": "tick", "qty": "qty",
    "cash": "cash", "fee": "fee", "maker": "maker", "reason": "reason", "side": "side",
}  # fmt: skip


# -- tapes with everything on them ---------------------------------------------------------------------------------


def stretched(tape: Tape, unit_ns: int, start_ns: int) -> Tape:
    """The tape with its stamps counted in `unit_ns` from `start_ns`, for rules that know milliseconds and seconds.

    Its mark prices, which are none in earnest, become index prices.
    """
    events = tape.events.copy()
    events["kind"][events["kind"] == rec.MARK] = rec.INDEX
    first = int(events["exch_ns"][0])
    for name in ("exch_ns", "local_ns"):
        events[name] = start_ns + (events[name] - first) * unit_ns
    return Tape(events, tape.instrument)


def dressed(tape: Tape, chance: Random, marks: int, settlements: int, halts: int, wobble: float) -> Tape:
    """The tape with mark prices around its mid, funding rates and halts at random places."""
    feed = messages_of(tape.events)
    end_ns = feed[-1][0].exch_ns
    book, mid = RefBook(), 0
    plan: dict[int, list[int]] = {}
    for kind, count in ((rec.MARK, marks), (rec.FUNDING, settlements), (rec.STATUS, halts)):
        for _ in range(count):
            plan.setdefault(chance.randrange(len(feed)), []).append(kind)
    tick_e8 = int(tape.instrument.tick_size * 10**8)
    out: list[Row] = []
    halted = False
    for k, rows in enumerate(feed):
        out += rows
        book.message(rows)
        bid, ask = book.best(rec.BUY), book.best(rec.SELL)
        mid = (bid + ask) * tick_e8 // 2 if bid is not None and ask is not None else mid
        stamps = rows[-1].exch_ns, rows[-1].local_ns
        for kind in plan.get(k, ()):
            seq = qty = 0
            if kind == rec.MARK:
                qty = chance.choice((0, *[int(mid * (1 + wobble * (chance.random() - 0.5)))] * 9))
            elif kind == rec.FUNDING:
                seq = chance.randrange(stamps[0] // 10**6, end_ns // 10**6 + 2)
                qty = chance.choice((100_000_000, -100_000_000, 3, -3, 0, 7_000_000_001))
            else:
                halted = not halted
                qty = int(halted)
            out.append(Row(*stamps, seq, 0, qty, kind, 0, rec.LAST))
        if halted and chance.random() < 0.2:
            out.append(Row(*stamps, 0, 0, 0, rec.STATUS, 0, rec.LAST))
            halted = False
    return Tape(np.array(out, rec.EVENT_DTYPE), tape.instrument)


def busy_tape(chance: Random, instrument: Instrument, messages: int = 250) -> Tape:
    """A book of a few levels around 100 in which everything happens all the time; a message each millisecond or so.

    It runs over the end of a second, and ends with a quiet stretch in which late answers arrive.
    """
    mid, stamp = 100, 1_000_000_000_000 - 60 * MS
    shape = [(s, mid - s * k) for s in (rec.BUY, rec.SELL) for k in (1, 2, 3, 5)]

    def snapshot() -> list[tuple[int, int, int, int, int]]:
        levels = [(s, t) for s, t in shape if chance.random() < 0.9]
        rows = [(rec.SNAPSHOT, s, t, chance.randrange(1, 40), 1) for s, t in levels]
        return [(rec.CLEAR, 0, 0, 0, 1), *(rows or [(rec.SNAPSHOT, rec.BUY, mid, 1, 1)])]

    out: list[Message] = [(stamp, stamp, [(rec.CLEAR, 0, 0, 0, 1), *((4, s, t, 20, 1) for s, t in shape)])]
    for k in range(messages):
        stamp += chance.choice((0, MS // 2, MS, MS, 2 * MS))
        side, which = chance.choice((rec.BUY, rec.SELL)), chance.random()
        if which < 0.6:
            named = {(s := chance.choice((1, -1)), mid - s * chance.choice((-1, 1, 1, 1, 2, 2, 3, 5))) for _ in "ab"}
            rows = [(rec.DEPTH, s, t, chance.choice((0, chance.randrange(1, 40))), k + 2) for s, t in sorted(named)]
        elif which < 0.9:
            tick = mid + side * chance.choice((1, 1, 1, 2, 2, 3, 5))
            rows = [(rec.TRADE, side, tick, chance.randrange(1, 25), k)]
        elif which < 0.97:
            rows = [(rec.BBO, side, mid - side * chance.choice((1, 1, 2)), chance.randrange(1, 40), k + 2)]
        else:
            rows = snapshot()
        out.append((stamp, stamp + chance.randrange(2 * MS), rows))
    end = stamp + 400 * MS
    return tape_of([*out, (end, end, [(rec.INDEX, 0, 0, 5, 0)])], instrument)


# -- venues --------------------------------------------------------------------------------------------------------


def random_latency(
    chance: Random, start_ns: int, span_ns: int, scale_ns: int
) -> LatencyTable | LatencyQuantiles | None:
    """No model, quantiles, or a table of triples over the span, some of them of requests that were lost."""
    which = chance.randrange(3)
    if which == 0:
        return None
    if which == 1:
        entry, response = (
            sorted(chance.randrange(scale_ns + 1) for _ in range(chance.choice((2, 3, 5)))) for _ in range(2)
        )
        return LatencyQuantiles(tuple(entry), tuple(sorted((response + entry)[: len(entry)])))
    count = chance.randrange(1, 12)
    step = max(4 * scale_ns + 2, span_ns // count)
    request = [start_ns + k * step + chance.randrange(scale_ns + 1) for k in range(count)]
    exch = [at + chance.choice((-1, 1, 1, 1)) * chance.randrange(1, scale_ns + 2) for at in request]
    response_ns = [at + chance.randrange(scale_ns + 1) for at in exch]
    return LatencyTable(tuple(request), tuple(exch), tuple(response_ns))


def random_venue(chance: Random, market: Market, scale_ns: int, worth: int, number: int) -> SimParams:
    """Parameters of every kind; `scale_ns` is what latencies are of, `worth` a usual order's notional in money.

    `number` steps through the queue models and the modes of self-trade prevention; the rest is chance.
    """
    span_ns = market.end_ns - market.start_ns
    tiers = [(0, chance.choice((0, 100_000)), 500_000), (4 * worth, -20_000, 400_001), (20 * worth, -50_000, 300_000)]
    margin_tiers = ((0, 50_000, 25_000), (5 * worth, 100_000, 50_000), (10 * worth, 250_000, 125_000))
    return SimParams(
        entry_ns=chance.choice((0, scale_ns, 3 * scale_ns)),
        response_ns=chance.choice((0, scale_ns, 2 * scale_ns)),
        latency=random_latency(chance, market.start_ns, span_ns, scale_ns),
        submit_extra_ns=chance.choice((0, 0, scale_ns // 2)),
        cancel_extra_ns=chance.choice((0, 0, scale_ns)),
        modify_extra_ns=chance.choice((0, 0, 2 * scale_ns)),
        feed_delay_ns=chance.choice((0, 0, scale_ns)),
        feed_jitter_ns=chance.choice((0, 0, 40 * scale_ns)),
        maker_fee_ppb=chance.choice((None, -70_001, 0, 333_333)),
        taker_fee_ppb=chance.choice((None, 500_000)),
        fee_tiers=chance.choice((None, tuple(tiers))),
        prior_turnover=chance.choice((0, 3 * worth)),
        queue=MODELS[number % len(MODELS)],
        queue_power=chance.choice((1, 2, 3)),
        print_implied_depth=market.print_implied_depth,
        self_trade=SELF_TRADE[number % len(SELF_TRADE)],
        rate_limit=chance.choice((0, 0, 0, 3, 6)),
        rate_window_ns=chance.choice((scale_ns * 4 + 1, max(1, span_ns // 30))),
        market_band_ppm=chance.choice((50_000, 50, 0, 300_000)),
        capital=chance.choice((None, worth // 4, worth, 5 * worth)),
        margin_tiers=chance.choice((margin_tiers, margin_tiers, margin_tiers, None)),
        liquidation_fee_ppb=chance.choice((0, 12_500_000)),
        **ROOMY,
    )


# -- one lane and its reference --------------------------------------------------------------------------------------


@dataclass
class Pair:
    """One lane of a session (or none) and the reference that gets the same calls."""

    reference: RefLane
    session: Session | None
    lane: int
    compared: Counter[str] = field(default_factory=Counter)

    def submit(self, side: int, tick: int, qty: int, tif: int, reduce_only: bool) -> None:
        expected = self.reference.submit(side, tick, qty, tif, reduce_only)
        if self.session:
            assert self.session.submit(self.lane, side, tick, qty, tif, reduce_only) == expected

    def cancel(self, order_id: int) -> None:
        self.reference.cancel(order_id)
        if self.session:
            self.session.cancel(self.lane, order_id)

    def modify(self, order_id: int, tick: int, qty: int) -> None:
        self.reference.modify(order_id, tick, qty)
        if self.session:
            self.session.modify(self.lane, order_id, tick, qty)

    def act(self, chance: Random, worth: int) -> None:
        """Cancel, modify or send something: mostly near the touch, at times absurd."""
        lane = self.reference
        open_ids = [order.id for order in lane.orders.values() if order.view_state != rec.DONE]
        crowded = len(open_ids) > 12
        bid, ask = lane.local.best(rec.BUY), lane.local.best(rec.SELL)
        if open_ids and chance.random() < (0.7 if crowded else 0.2):
            self.cancel(chance.choice(open_ids))
        if bid is None or ask is None:
            return
        if open_ids and chance.random() < 0.3:
            order = lane.orders[chance.choice(open_ids)]
            stands = order.tick or bid  # a market order has none before it arrives
            tick = chance.choice((stands, stands, _price(chance, order.side, bid, ask)))
            most = max(1, 2 * order.qty)
            self.modify(order.id, max(1, tick), chance.choice((order.qty, 1, 1 + chance.randrange(most), most)))
        for _ in range(chance.choice((0, 1, 1, 1, 2, 3))):
            side = chance.choice((rec.BUY, rec.SELL))
            size = max(1, min(lane.local.qty(side, bid if side == rec.BUY else ask), worth))
            qty = chance.choice((1, 2, 5, size, 2 * size, 1 + chance.randrange(3 * size)))
            tif = rec.GTC if lane.params.capital is None and chance.random() < 0.4 else chance.choice(TIFS)
            tick = 0 if tif == rec.MARKET else max(1, _price(chance, side, bid, ask))
            self.submit(side, tick, qty, tif, chance.random() < 0.2)

    def compare(self) -> None:
        """Orders, account and counts."""
        if self.session:
            compare_orders(self.session, self.lane, self.reference)
            compare_account(self.session, self.lane, self.reference)
            local = self.reference.local
            assert self.session.bests(self.lane) == (local.best(rec.BUY), local.best(rec.SELL))


def _price(chance: Random, side: int, bid: int, ask: int) -> int:
    near, far = (bid, ask) if side == rec.BUY else (ask, bid)
    return chance.choice((
        near, near, near, near, near - side, near + side, near - side * chance.randrange(12), far, far, far + side,
        far + side * chance.randrange(8), (bid + ask) // 2, near - side * chance.randrange(3000), far - side,
    ))  # fmt: skip


def compare_orders(session: Session, lane: int, reference: RefLane) -> None:
    known = {int(order["id"]): order for order in session.orders(lane)}
    for order in reference.orders.values():
        got = known.pop(order.id, None)
        if got is None:
            assert order.state == order.view_state == rec.DONE, f"{order} is missing"
            continue
        for name in (*ORDER_FIELDS, *(LIVE_FIELDS if order.state == rec.LIVE else ())):
            assert got[name] == getattr(order, name), f"{name} of {order}, got {got}"
        assert order.view_state == rec.DONE or got["cancel_sent"] == order.cancel_sent, f"{order}, got {got}"
    assert not known


def compare_account(session: Session, lane: int, reference: RefLane) -> None:
    got = session.account(lane)
    mine = reference.position, reference.cash, reference.fees, reference.funding, reference.equity()
    assert (got.position_lots, got.cash, got.fees, got.funding, got.equity) == mine
    seen = reference.view_position, reference.view_cash, reference.view_fees, reference.view_funding
    assert (got.view_position_lots, got.view_cash, got.view_fees, got.view_funding) == seen
    assert got.view_equity == reference.view_equity()
    row = session.state.lane[lane]
    fills = reference.fills
    assert row["fills"] == len(fills)
    assert row["maker_fills"] == sum(fill.maker for fill in fills)
    assert row["filled_lots"] == sum(fill.qty for fill in fills)
    assert row["turnover"] == reference.turnover
    assert row["liquidations"] == reference.liquidations
    first = {fill.order_id: fill.exch_ns for fill in reversed(fills) if fill.order_id}
    assert row["filled_orders"] == len(first)
    assert row["first_fill_wait_ns"] == sum(ns - reference.orders[o].arrive_ns for o, ns in first.items())


def compare_answers(log: Any, answers: Sequence[RefAnswer]) -> int:
    """Every answer of one lane's log, in the order in which they were given; return how many there are."""
    log = log[(log["kind"] >= rec.ACK) & (log["kind"] <= rec.FUNDED)]
    for k, (row, expected) in enumerate(zip(log, answers, strict=False)):
        for name, of_reference in ANSWER_FIELDS.items():
            assert row[name] == getattr(expected, of_reference), f"answer {k}: {name} is {row[name]} of {expected}"
    assert len(log) == len(answers)
    return len(log)


def reference_lane(market: Market, params: SimParams, start_ns: int, seed: int = 0) -> CheckedLane:
    tape = market.tape
    return CheckedLane(tape.events, tape.local_order(), tape.instrument, params, start_ns, seed)


def run_script(
    market: Market, params: SimParams, seed: int, lanes: int, steps: int, gap_ns: int, start_ns: int | None = None,
    worth: int = 1 << 40, alone: bool = False,
) -> Counter[str]:  # fmt: skip
    """Random orders through a Session and as many reference lanes, compared all along; return the branches met.

    `worth` bounds the lots of an order. With `alone` there is no session.
    """
    chance = Random(seed)
    start_ns = market.start_ns if start_ns is None else start_ns
    session = None if alone else Session(market, params, lanes, log="full", log_rows=200_000)
    if session:
        session.reset(start_ns, seed=seed)
    pairs = [Pair(reference_lane(market, params, start_ns, seed + k), session, k) for k in range(lanes)]
    t = start_ns
    for step in range(steps):
        t += chance.choice((0, 1, gap_ns, chance.randrange(2 * gap_ns)))
        if t > market.end_ns:
            break
        _advance(session, pairs, t)
        for pair in pairs:
            if step % 5 == 0:
                pair.compare()
            pair.act(chance, worth)
    _advance(session, pairs, market.end_ns)
    return _finish(session, pairs)


def _advance(session: Session | None, pairs: Iterable[Pair], t: int) -> None:
    if session:
        session.advance(t)
    for pair in pairs:
        pair.reference.advance(t)


def _finish(session: Session | None, pairs: Sequence[Pair]) -> Counter[str]:
    log = session.drain_log() if session else None
    met: Counter[str] = Counter()
    for pair in pairs:
        pair.compare()
        pair.reference.check_end()
        if log is not None:
            met["answers compared"] += compare_answers(log[log["lane"] == pair.lane], pair.reference.history)
        met += pair.reference.branches
    return met
