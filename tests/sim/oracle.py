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

LINES = 1500  # of a recording that are imported: seconds to a minute of market

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
def recording(name: str, folder: Path, scratch: Path, count: int = LINES) -> Tape:
    """The beginning of a recording as a tape: its first `count` lines."""
    cut = scratch / f"{name}-{count}.gz"
    lines: list[bytes] = []
    for path in BINANCE[name].paths(folder):
        with gzip.open(path, "rb") as file:
            lines += islice(file, count - len(lines))
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


def act(chance: Random, session: Session, lane: int) -> None:
    """Cancel something or send an order: mostly near the touch, at times absurd."""
    orders = session.orders(lane)
    free = session.params.max_orders - len(orders)
    open_ids = [int(order["id"]) for order in orders if not order["cancel_sent"] and order["view_state"] != rec.DONE]
    if open_ids and chance.random() < (0.25 if free > 5 else 0.9):
        session.cancel(lane, chance.choice(open_ids))
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
    session.submit(lane, side, max(1, tick), qty, tif)
