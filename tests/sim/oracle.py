"""What the oracle tests share: small tapes made by hand, windows of recordings, and the comparisons themselves."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from lobgym.sim import records as rec
from lobgym.sim.book import NO_ASK, NO_BID, Book
from lobgym.sim.importers.binance import import_binance
from lobgym.sim.instrument import SYNTH, Instrument
from lobgym.sim.ladder import ladder
from lobgym.sim.market import Market
from lobgym.sim.params import SimParams
from lobgym.sim.session import Session
from lobgym.sim.tape import Tape
from lobgym.sim.view import (
    best_ask,
    best_ask_qty,
    best_bid,
    best_bid_qty,
    cursor_at,
    is_known,
    level_qty,
    make_view,
)
from tests.recordings import BINANCE
from tests.sim.reference import RefBook, messages_of
from tests.sim.reference_lane import RefLane

# How many lines of each recording are imported: seconds to a minute of market.
LINES = {name: 1500 for name in BINANCE}

Message = tuple[int, int, Sequence[tuple[int, int, int, int, int]]]  # exch_ns, local_ns, (kind, side, tick, qty, seq)


def tape_of(messages: Iterable[Message], instrument: Instrument = SYNTH) -> Tape:
    """Tape of messages; exchange stamps must not go back."""
    rows = []
    for exch_ns, local_ns, content in messages:
        for j, (kind, side, tick, qty, seq) in enumerate(content):
            last = rec.LAST if j == len(content) - 1 else 0
            rows.append((exch_ns, local_ns, seq, tick, qty, kind, side, last))
    return Tape(np.array(rows, rec.EVENT_DTYPE), instrument)


@cache
def recording(name: str, folder: Path, scratch: Path) -> Tape:
    """The beginning of a recording as a tape: the first LINES lines after its snapshot joined."""
    cut = scratch / f"{name}.gz"
    lines: list[bytes] = []
    for path in BINANCE[name].paths(folder):
        with gzip.open(path, "rb") as file:
            lines += islice(file, LINES[name] - len(lines))
    with gzip.open(cut, "wb", compresslevel=1) as file:
        file.writelines(lines)
    return import_binance(cut)


def compare_books(events: Any, book: Book, stamps: str, implied: bool, times: Iterable[int]) -> int:
    """Compare the compiled book with the reference at `times` (ascending); return how many quantities were compared."""
    reference = RefBook(implied)
    view = make_view(book)[0]
    feed = messages_of(events)
    compared = k = 0
    ticks, lots = np.empty(20, np.int64), np.empty(20, np.int64)
    for t in times:
        while k < len(feed) and getattr(feed[k][0], stamps) <= t:
            reference.message(feed[k])
            k += 1
        cursor = cursor_at(view, t)
        bid, ask = reference.best(rec.BUY), reference.best(rec.SELL)
        where = f"{stamps} {t}"
        assert best_bid(view, cursor) == (NO_BID if bid is None else bid), where
        assert best_ask(view, cursor) == (NO_ASK if ask is None else ask), where
        assert best_bid_qty(view, cursor) == (0 if bid is None else reference.qty(rec.BUY, bid)), where
        assert best_ask_qty(view, cursor) == (0 if ask is None else reference.qty(rec.SELL, ask)), where
        assert bid is None or ask is None or bid < ask, where
        for side in (rec.BUY, rec.SELL):
            depth = 1 + (compared + k) % 20
            found = ladder(view, side, cursor, depth, ticks, lots)
            expected = reference.ladder(side, depth)
            assert list(zip(ticks[:found].tolist(), lots[:found].tolist(), strict=True)) == expected, where
            compared += depth
            near = {tick + d for tick, _ in expected[-1:] + expected[:1] for d in (-2, -1, 0, 1, 2)}
            far = [tick + d for extreme in reference.snapshot_range or () for tick in (extreme,) for d in (-1, 0, 1)]
            named = sorted(reference.evidence[side])
            for tick in {*near, *far, *named[:2], *named[-2:], *named[:: max(1, len(named) // 8)]}:
                assert level_qty(view, side, tick, cursor) == reference.qty(side, tick), f"{where} {side} {tick}"
                assert is_known(view, side, tick, cursor) == reference.known(side, tick), f"{where} {side} {tick}"
                compared += 1
    return compared


ORDER_FIELDS = ("side", "tick", "qty", "state", "view_state", "submit_ns")
LIVE_FIELDS = ("leaves", "front", "view_leaves", "arrive_ns")
FILL_FIELDS = ("exch_ns", "seen_ns", "order_id", "tick", "qty", "cash", "fee", "submit_ns", "side", "maker")


def compare_lane(session: Session, lane: int, reference: RefLane) -> None:
    """Orders, account and counts of one lane."""
    known = {int(order["id"]): order for order in session.orders(lane)}
    for order in reference.orders.values():
        got = known.pop(order.id, None)
        if got is None:
            assert order.state == order.view_state == rec.DONE, f"{order} is missing"
            continue
        for name in (*ORDER_FIELDS, *(LIVE_FIELDS if order.state == rec.LIVE else ())):
            assert got[name] == getattr(order, name), f"{name} of {order}, got {got}"
    assert not known
    account = session.account(lane)
    mine = (reference.position, reference.cash, reference.fees, reference.equity())
    assert (account.position_lots, account.cash, account.fees, account.equity) == mine
    seen = (reference.view_position, reference.view_cash, reference.view_fees, reference.view_equity())
    assert (account.view_position_lots, account.view_cash, account.view_fees, account.view_equity) == seen
    row = session.state.lane[lane]
    assert row["fills"] == len(reference.fills)
    assert row["maker_fills"] == sum(fill.maker for fill in reference.fills)
    assert row["filled_lots"] == sum(fill.qty for fill in reference.fills)
    assert row["turnover"] == sum(abs(fill.cash) for fill in reference.fills)
    assert row["filled_orders"] == len({fill.order_id for fill in reference.fills})
    first = {fill.order_id: fill.exch_ns for fill in reversed(reference.fills)}
    assert row["first_fill_wait_ns"] == sum(ns - reference.orders[o].arrive_ns for o, ns in first.items())
    ended = [a.order.id for a in reference.history if a.kind in (rec.EXPIRED, rec.REJECTED)]
    assert row["rejects"] == len([order_id for order_id in ended if order_id not in first])


def compare_fills(got: Any, reference: RefLane) -> int:
    """The fill log of one lane against the reference's; return how many there are."""
    rows = [tuple(int(row[name]) for name in FILL_FIELDS) for row in got]
    for row, expected in zip(rows, reference.fills, strict=False):
        assert row == tuple(expected)
    assert len(rows) == len(reference.fills)
    return len(rows)


def reference_lane(market: Market, params: SimParams, start_ns: int) -> RefLane:
    tape = market.tape
    return RefLane(tape.events, tape.local_order(), tape.instrument, params, start_ns)


def run_script(
    market: Market, params: SimParams, seed: int, lanes: int, steps: int, gap_ns: int, start_ns: int | None = None
) -> int:
    """Random orders through a Session and as many reference lanes, compared all along; return the fills compared."""
    chance = Random(seed)
    session = Session(market, params, lanes, log="fills", log_rows=100_000)
    start_ns = market.start_ns if start_ns is None else start_ns
    session.reset(start_ns)
    references = [reference_lane(market, params, start_ns) for _ in range(lanes)]
    for step in range(steps):
        t = session.t_ns() + chance.choice((0, 1, gap_ns, chance.randrange(2 * gap_ns)))
        if t > session.end_ns:
            break
        session.advance(t)
        for lane, reference in enumerate(references):
            reference.advance(t)
            if step % 7 == 0:
                compare_lane(session, lane, reference)
            act(chance, session, lane, reference)
    session.advance(session.end_ns)
    fills = session.drain_fills()
    total = 0
    for lane, reference in enumerate(references):
        reference.advance(session.end_ns)
        compare_lane(session, lane, reference)
        total += compare_fills(fills[fills["lane"] == lane], reference)
    return total


def act(chance: Random, session: Session, lane: int, reference: RefLane | None = None) -> None:
    """Cancel something or send an order, on lane and reference alike: mostly near the touch, at times absurd."""
    orders = session.orders(lane)
    free = session.params.max_orders - len(orders)
    open_ids = [int(order["id"]) for order in orders if not order["cancel_sent"] and order["view_state"] != rec.DONE]
    if open_ids and chance.random() < (0.25 if free > 5 else 0.9):
        order_id = chance.choice(open_ids)
        session.cancel(lane, order_id)
        if reference:
            reference.cancel(order_id)
    bid, ask = session.bests(lane)
    if free == 0 or bid is None or ask is None or chance.random() < 0.3:
        return
    side = chance.choice((rec.BUY, rec.SELL))
    near, far = (bid, ask) if side == rec.BUY else (ask, bid)
    size = int(session.ladder(lane, side, 1)[0, 1])
    tick = chance.choice((
        near, near, near, near - side, near + side, near - side * chance.randrange(12), far, far + side,
        far + side * chance.randrange(8), (bid + ask) // 2, near - side * chance.randrange(3000), far - side,
    ))  # fmt: skip
    qty = chance.choice((1, 2, 5, size, 2 * size, 1 + chance.randrange(3 * size)))
    tif = chance.choice((rec.GTC, rec.GTC, rec.GTC, rec.GTX, rec.GTX, rec.IOC))
    order_id = session.submit(lane, side, max(1, tick), qty, tif)
    if reference:
        assert order_id == reference.submit(side, max(1, tick), qty, tif)
