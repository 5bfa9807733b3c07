"""The book of the compatibility profiles against maps and path-dependent bests in plain Python."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lobgym.sim import records as rec
from lobgym.sim.book import (
    FLAGS_SHIFT,
    IMPLIED,
    NO_ASK,
    NO_BID,
    QTY_SHIFT,
    RESET,
    ROW_PRINT,
    SIDE_SHIFT,
    Book,
)
from lobgym.sim.compile_depth import compile_depth_market
from lobgym.sim.errors import TapeFormatError
from lobgym.sim.instrument import SYNTH
from lobgym.sim.ladder import LADDER_SCRATCH, ladder_with
from lobgym.sim.tape import Tape
from lobgym.sim.view import best_ask, best_bid, find_level, level_qty, make_view
from tests.oracle import reference_parts
from tests.oracle.cases import model_rows
from tests.oracle.reference_parts import Depth
from tests.oracle.tapes import wild_tape


def check(tape: Tape, stamp: str, book: Book, every: int) -> int:
    """Walk the rows beside the plain book; returns how often a level that is passed by the best displays something."""
    depth, cursor, ghosts = Depth(), 0, 0
    view = make_view(book, ghosts=True)[0]
    lot = float(tape.instrument.lot_size)
    for k, row in enumerate(model_rows(tape, stamp)):
        at, kind, side, tick, _, lots = row
        emptied = len(depth.bids) + len(depth.asks) if kind == rec.CLEAR else 0
        depth.apply(*row[1:])
        assert book.ns[cursor] == at
        word = int(book.rows[cursor]["word"])
        if kind == rec.TRADE:
            buys = (word >> SIDE_SHIFT) & 1 == 1
            assert (word & 3, buys, word >> QTY_SHIFT) == (ROW_PRINT, side == rec.BUY, lots)
            assert book.prints[book.rows[cursor]["key"]].item() == (cursor, side, tick, lots)
        elif kind != rec.CLEAR:
            assert word >> QTY_SHIFT == lots
            level = find_level(view, side, tick)
            assert cursor in book.touch_row[book.touch_start[level] : book.touch_start[level + 1]]
        for reset in range(cursor + 1, cursor + 1 + emptied):
            assert (int(book.rows[reset]["word"]) >> FLAGS_SHIFT) & (RESET | IMPLIED) == RESET | IMPLIED
        cursor += 1 + emptied
        bid, ask = best_bid(view, cursor), best_ask(view, cursor)
        assert (bid if bid != NO_BID else reference_parts.NO_BID) == depth.bid
        assert (ask if ask != NO_ASK else reference_parts.NO_ASK) == depth.ask
        if k % every == 0:
            for of, shown in ((rec.BUY, depth.bids), (rec.SELL, depth.asks)):
                ticks = {tick + step for step in range(-5, 6)} | set(list(shown)[:20])
                for one in ticks:
                    assert level_qty(view, of, one, cursor) == round(shown.get(one, 0.0) / lot)
            compare_ladders(view, cursor, depth, lot, (k * 7) % 40 + 1)
            ghosts += sum(t > depth.bid for t in depth.bids) + sum(t < depth.ask for t in depth.asks)
    assert cursor == len(book.ns)
    return ghosts


def compare_ladders(view: Any, cursor: int, depth: Depth, lot: float, levels: int) -> None:
    """A ladder begins at the best: what the best has passed is no part of it, though it displays something."""
    scratch = np.zeros((2, LADDER_SCRATCH), np.int64)
    ticks, lots = np.zeros((2, levels), np.int64)
    for side, shown, best in ((rec.BUY, depth.bids, depth.bid), (rec.SELL, depth.asks, depth.ask)):
        behind = sorted((tick for tick in shown if side * tick <= side * best), reverse=side == rec.BUY)
        found = ladder_with(view, side, cursor, levels, ticks, lots, scratch)
        assert ticks[:found].tolist() == behind[:levels]
        assert lots[:found].tolist() == [round(shown[tick] / lot) for tick in behind[:levels]]


@pytest.mark.parametrize("seed", range(6))
def test_wild_tapes(seed: int) -> None:
    tape = wild_tape(seed, 4000)
    market = compile_depth_market(tape)
    assert check(tape, "exch_ns", market.exch, 7) > 1000
    assert check(tape, "local_ns", market.local, 7) > 1000


def test_one_order_for_both_stamps() -> None:
    """With a constant delay of the feed the second book differs by its stamps only, and is not compiled again."""
    events = wild_tape(9, 3000).events.copy()
    events["local_ns"] = events["exch_ns"] + 10
    tape = Tape(events, SYNTH)
    market = compile_depth_market(tape)
    assert market.local.rows is market.exch.rows
    assert (market.local.ns == market.exch.ns + 10).all()
    check(tape, "local_ns", market.local, 50)


def test_many_resets() -> None:
    """More emptied levels than the first guess at the size has room for."""
    one = np.zeros(401, rec.EVENT_DTYPE)
    one["kind"], one["qty_lots"] = rec.SNAPSHOT, 1
    one["side"][1:] = np.repeat([rec.BUY, rec.SELL], 200)
    one["price_ticks"][1:] = np.r_[1000 - np.arange(200), 1001 + np.arange(200)]
    one["kind"][0], one["qty_lots"][0] = rec.CLEAR, 0
    one["flags"][-1] = rec.LAST
    events = np.concatenate([one] * 150)
    events["exch_ns"] = events["local_ns"] = np.repeat(np.arange(150), len(one))
    tape = Tape(events, SYNTH)
    market = compile_depth_market(tape)
    assert len(market.exch.ns) == 150 * 401 + 149 * 400
    check(tape, "exch_ns", market.exch, 1000)


def test_a_tape_that_never_shows_both_sides() -> None:
    events = wild_tape(3, 400).events.copy()
    events = events[(events["side"] == rec.BUY) & (events["kind"] == rec.DEPTH)]
    with pytest.raises(TapeFormatError, match="never shows both"):
        compile_depth_market(Tape(events, SYNTH))
