"""The packed book: every accessor against plain dictionaries walked row by row, and what the packing costs and refuses.

Goal: bests, quantities, ladders, prints, marks, checkpoints and touches at random rows of books compiled from synthetic
tapes and from the beginnings of the recordings, by both compilers; memory that grows with what a tape says and not with
its prices; lists that grow; typed errors for what does not fit. Method: one pass of dictionaries over the rows, no
accessor and no index used.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from lobgym.sim import book as packed
from lobgym.sim import printed, tables, view
from lobgym.sim import records as rec
from lobgym.sim.book import LADDER_EVERY, LADDER_LEVELS, MARK_EVERY, NO_ASK, NO_BID, NO_LEVEL, Book
from lobgym.sim.compile_depth import compile_depth_market
from lobgym.sim.errors import TapeFormatError
from lobgym.sim.importers.binance import import_binance
from lobgym.sim.instrument import SYNTH
from lobgym.sim.jit import njit_lean
from lobgym.sim.ladder import LADDER_SCRATCH, ladder_with
from lobgym.sim.levels import number_levels
from lobgym.sim.market import Market
from lobgym.sim.synthetic import synthetic_tape
from lobgym.sim.tape import Tape
from tests.recordings import BINANCE
from tests.sim.columns import columns_of
from tests.sim.oracle import compare_books, recording, tape_of

BYTES_PER_TAPE_ROW = 72  # both orders together


@njit_lean
def indices(book: Any, cursor: int, out: NDArray[np.int64]) -> None:
    """What only other kernels can ask of a book: where its lists stand at a cursor."""
    out[0] = view.bid_index(book, cursor)
    out[1] = view.ask_index(book, cursor)
    out[2] = view.print_index(book, cursor)
    out[3] = view.best_bid_level(book, cursor)
    out[4] = view.best_ask_level(book, cursor)


@njit_lean
def last_touch(book: Any, level: int, cursor: int) -> int:
    return view.last_touch(book, level, cursor)


class State(NamedTuple):
    """The book before row `cursor`."""

    cursor: int
    levels: dict[int, dict[int, int]]  # side -> tick -> lots, non-empty ones
    bought: int
    sold: int
    bids: int  # changes of the best bid before the row
    asks: int
    prints: int
    last_row: dict[int, int]  # level id -> its last row


def walk(book: Book, cursors: set[int]) -> Iterator[State]:
    """States at some cursors, ascending."""
    rows = columns_of(book)
    levels: dict[int, dict[int, int]] = {rec.BUY: {}, rec.SELL: {}}
    lots = {rec.BUY: 0, rec.SELL: 0}
    last_row: dict[int, int] = {}
    bids = asks = 1
    best: tuple[int | None, int | None] = (None, None)
    prints = 0
    for row in range(len(rows.ns) + 1):
        if row in cursors:
            yield State(row, levels, lots[rec.BUY], lots[rec.SELL], bids, asks, prints, last_row)
        if row == len(rows.ns):
            return
        side, tick, qty = int(rows.side[row]), int(rows.tick[row]), int(rows.qty[row])
        if rows.kind[row] == packed.ROW_PRINT:
            prints += 1
            lots[side] += qty
        elif rows.kind[row] == packed.ROW_LEVEL:
            assert rows.prev[row] == levels[side].get(tick, 0)
            last_row[int(rows.level[row])] = row
            levels[side].pop(tick, None)
            if qty:
                levels[side][tick] = qty
        if rows.flags[row] & packed.MESSAGE_END:
            now = max(levels[rec.BUY], default=None), min(levels[rec.SELL], default=None)
            bids += now[0] != best[0]
            asks += now[1] != best[1]
            best = now


def random_cursors(book: Book, count: int, seed: int) -> set[int]:
    """First and last cursor, `count` ends of messages, and `count` rows with the marks and checkpoints beside them."""
    chance = Random(seed)
    rows = len(book.rows)
    ends = (np.flatnonzero(columns_of(book).flags & packed.MESSAGE_END) + 1).tolist()
    chosen = {0, rows, rows - rows % MARK_EVERY, rows - rows % LADDER_EVERY, *chance.sample(ends, count)}
    for _ in range(count):
        at = chance.randrange(rows + 1)
        chosen |= {at, at - at % MARK_EVERY, min(rows, at - at % LADDER_EVERY + chance.choice((1, LADDER_EVERY - 1)))}
    return chosen


def compare_accessors(book: Book, seed: int, count: int, has_ghosts: bool = False) -> int:
    """Compare at random cursors; return how many were observable. Ghosts display something and are no best price."""
    made = view.make_view(book, has_ghosts)
    kernel_view = made[0]
    flags = columns_of(book).flags
    chance = Random(seed)
    places = np.zeros(5, np.int64)
    observable = 0
    for state in walk(book, random_cursors(book, count, seed)):
        compare_levels(book, kernel_view, state, chance, has_ghosts)
        at = state.cursor
        indices(kernel_view, at, places)
        assert places[2] == state.prints
        assert (printed.bought_lots(kernel_view, at), printed.sold_lots(kernel_view, at)) == (state.bought, state.sold)
        if at % MARK_EVERY == 0:
            mark = book.marks[at // MARK_EVERY]
            assert (mark["print_at"], mark["cum_buy"], mark["cum_sell"]) == (state.prints, state.bought, state.sold)
            assert has_ghosts or (mark["bid_at"], mark["ask_at"]) == (state.bids, state.asks)
        if has_ghosts or (at > 0 and not flags[at - 1] & packed.MESSAGE_END):
            continue
        observable += 1
        bid, ask = max(state.levels[rec.BUY], default=NO_BID), min(state.levels[rec.SELL], default=NO_ASK)
        assert (view.best_bid(kernel_view, at), view.best_ask(kernel_view, at)) == (bid, ask)
        assert view.best_bid_qty(kernel_view, at) == state.levels[rec.BUY].get(bid, 0)
        assert view.best_ask_qty(kernel_view, at) == state.levels[rec.SELL].get(ask, 0)
        assert places[:2].tolist() == [state.bids, state.asks]
        for found, side, tick in ((places[3], rec.BUY, bid), (places[4], rec.SELL, ask)):
            assert found == (view.find_level(kernel_view, side, tick) if state.levels[side] else NO_LEVEL)
    return observable


def compare_levels(book: Book, kernel_view: Any, state: State, chance: Random, has_ghosts: bool) -> None:
    """Ladders, a checkpoint if there is one, and some levels: quantity, touches, the next one behind."""
    at = state.cursor
    scratch = np.zeros((2, LADDER_SCRATCH), np.int64)
    ticks, lots = np.zeros(24, np.int64), np.zeros(24, np.int64)
    for which, side in enumerate((rec.BUY, rec.SELL)):
        expected = sorted(state.levels[side].items(), key=lambda level: -side * level[0])
        depth = chance.randrange(1, 25)
        found = ladder_with(kernel_view, side, at, depth, ticks, lots, scratch)
        best = view.best_bid(kernel_view, at) if side == rec.BUY else view.best_ask(kernel_view, at)
        counted = [level for level in expected if side * level[0] <= side * best] if has_ghosts else expected
        assert list(zip(ticks[:found].tolist(), lots[:found].tolist(), strict=True)) == counted[:depth]
        if at % LADDER_EVERY == 0:
            point = at // LADDER_EVERY
            count = int(book.ladder_count[point, which])
            assert count == min(len(expected), LADDER_LEVELS)
            saved = zip(
                book.level_tick[book.ladder_level[point, which, :count]], book.ladder_qty[point, which], strict=False
            )
            assert [(int(tick), int(qty)) for tick, qty in saved] == expected[:count]
            assert (book.ladder_level[point, which, count:] == NO_LEVEL).all()
            assert (book.ladder_qty[point, which, count:] == 0).all()
        first, end = (0, book.bid_levels) if side == rec.BUY else (book.bid_levels, len(book.level_tick))
        for level in {chance.randrange(first, end) for _ in range(4)} if end > first else ():
            tick = int(book.level_tick[level])
            assert view.find_level(kernel_view, side, tick) == level
            assert view.level_qty(kernel_view, side, tick, at) == state.levels[side].get(tick, 0)
            assert last_touch(kernel_view, level, at) == state.last_row.get(level, -1)
            touches = book.touch_row[book.touch_start[level] : book.touch_start[level + 1]]
            assert view.touch_at(kernel_view, level, at) == book.touch_start[level] + (touches < at).sum()
            behind = [other for other, _ in expected if side * other < side * tick]
            following = view.next_level(kernel_view, side, level, at)
            assert (int(book.level_tick[following]) if following >= 0 else None) == next(iter(behind), None)


def books_of(market: Market) -> tuple[Book, Book]:
    return market.exch, market.local


@pytest.mark.parametrize("implied", [True, False])
def test_synthetic_books_row_by_row(implied: bool) -> None:
    for book in books_of(Market.compile(synthetic_tape(seed=3, minutes=1), implied)):
        assert compare_accessors(book, 1, 100) >= 100


def test_synthetic_depth_books_row_by_row() -> None:
    for book in books_of(compile_depth_market(synthetic_tape(seed=3, minutes=0.5))):
        compare_accessors(book, 2, 100, has_ghosts=True)


@pytest.mark.parametrize("name", BINANCE)
def test_recorded_books_row_by_row(name: str, recordings_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    tape = recording(name, recordings_dir, tmp_path_factory.getbasetemp())
    for book in books_of(Market.compile(tape)):
        assert compare_accessors(book, 3, 40) >= 40


# -- both orders -------------------------------------------------------------------------------------------------


def bytes_of(market: Market) -> int:
    """Memory that the books keep alive: whole allocations, each once."""
    owners: dict[int, int] = {}
    for book in books_of(market):
        for array in book:
            while isinstance(array, np.ndarray):
                owner, array = array, array.base
                if array is None:
                    owners[owner.ctypes.data] = owner.nbytes
    return sum(owners.values())


@pytest.mark.parametrize("compile_market", [Market.compile, compile_depth_market])
def test_no_array_keeps_more_memory_than_it_shows(compile_market: Any, small_tape: Tape) -> None:
    for book in books_of(compile_market(small_tape)):
        assert all(array.base is None for array in book if isinstance(array, np.ndarray))


@pytest.mark.parametrize("compile_market", [Market.compile, compile_depth_market])
def test_memory_of_a_recorded_market(compile_market: Any, recordings_dir: Path) -> None:
    tape = import_binance(BINANCE["usdm-btc-2023"].paths(recordings_dir))
    assert bytes_of(compile_market(tape)) < BYTES_PER_TAPE_ROW * len(tape)


@pytest.mark.parametrize("compile_market", [Market.compile, compile_depth_market])
def test_orders_that_are_one_share_their_book(compile_market: Any, small_tape: Tape) -> None:
    events = small_tape.events.copy()
    events["local_ns"] = events["exch_ns"] + 250
    tape = Tape(events, small_tape.instrument)
    market = compile_market(tape)
    assert all(
        a is b
        for name, a, b in zip(Book._fields, *books_of(market), strict=True)
        if name not in ("ns", "stamp_ns", "stamp_row", "stamp_mark", "group_ns", "block_ns")
    )
    np.testing.assert_array_equal(market.local.ns, market.exch.ns + 250)
    order = tape.local_order().astype(np.int32)
    levels = number_levels(events)
    apart = tables._finish(tables._write_rows(events, order, levels, *kernel_of(compile_market)), levels)[0]
    for name, shared, own in zip(Book._fields, market.local, apart, strict=True):
        np.testing.assert_array_equal(shared, own, name)


def kernel_of(compile_market: Any) -> tuple[Any, bool]:
    from lobgym.sim import compile, compile_depth

    return (compile_depth._run, False) if compile_market is compile_depth_market else (compile._run, True)


def test_one_row_received_late_makes_two_books() -> None:
    events = synthetic_tape(seed=0, minutes=0.2).events.copy()
    events["local_ns"] = events["exch_ns"] + 250
    middle = np.flatnonzero((events["kind"] == rec.TRADE) & (events["flags"] == rec.LAST))[10]
    events["local_ns"][middle] = events["local_ns"].max()
    assert not number_levels(events).in_order
    market = Market.compile(Tape(events, SYNTH))
    assert market.local.rows is not market.exch.rows
    assert market.end_ns == events["local_ns"].max()


# -- levels ------------------------------------------------------------------------------------------------------


def check_levels(ticks: NDArray[np.int64], sides: NDArray[np.int8]) -> None:
    events = np.zeros(len(ticks), rec.EVENT_DTYPE)
    events["price_ticks"], events["side"], events["kind"], events["qty_lots"] = ticks, sides, rec.DEPTH, 1
    events["kind"][::7] = rec.TRADE
    named = events[events["kind"] == rec.DEPTH]
    bids, asks = (np.unique(named["price_ticks"][named["side"] == side]) for side in (rec.BUY, rec.SELL))
    levels = number_levels(events)
    np.testing.assert_array_equal(levels.tick, np.concatenate([bids, asks]))
    assert (levels.bids, levels.prints, levels.lots_max) == (len(bids), len(events) - len(named), 1)
    ids = {(rec.BUY, int(tick)): k for k, tick in enumerate(bids)}
    ids |= {(rec.SELL, int(tick)): len(bids) + k for k, tick in enumerate(asks)}
    for event, level in zip(events, levels.of_event.tolist(), strict=True):
        side = event["side"] if event["kind"] == rec.DEPTH else -event["side"]
        assert level == ids.get((int(side), int(event["price_ticks"])), -1)


@pytest.mark.parametrize(
    ("low", "high", "step"),
    [(1, 3000, 1), (1, 2**62, 1), (0, 2000, 2**16), (0, 2000, 2**31), (2**62 - 500, 2**62, 1)],
    ids=["neighbours", "anywhere", "one slot apart", "high bits alone", "at the end"],
)
def test_levels_are_numbered_by_side_and_price(low: int, high: int, step: int) -> None:
    rng = np.random.default_rng(5)
    check_levels(rng.integers(low, high, 6000) * step, rng.choice(np.array([1, -1], np.int8), 6000))


def test_levels_outgrow_their_table() -> None:
    ticks = np.random.default_rng(1).permutation(90_000).astype(np.int64) + 1
    check_levels(ticks, np.where(ticks % 2 == 0, 1, -1).astype(np.int8))


def test_memory_does_not_grow_with_the_range_of_prices() -> None:
    def market(step: int) -> Market:
        first = [(rec.DEPTH, rec.BUY, 1, 5, 1), (rec.DEPTH, rec.SELL, 2 * step, 5, 1)]
        return Market.compile(tape_of([(ns, ns, first) for ns in range(1, 200)]))

    assert bytes_of(market(1)) == bytes_of(market(2**60))


# -- what does not fit, what hardly fits -------------------------------------------------------------------------


def resets(count: int, levels: int) -> Tape:
    """`count` resets of a book of `levels` a side: each empties what the one before filled, and fills others."""
    messages = []
    for k in range(count):
        rows = [(rec.CLEAR, 0, 0, 0, k + 1)]
        for j in range(levels):
            rows += [
                (rec.SNAPSHOT, rec.BUY, 500 - 2 * j - k % 2, 3, k + 1),
                (rec.SNAPSHOT, rec.SELL, 501 + 2 * j + k % 2, 3, k + 1),
            ]
        messages.append((k + 1, k + 1 + k % 3, rows))
    return tape_of(messages)


def test_tables_grow_where_an_event_makes_many_rows() -> None:
    tape = resets(30, 40)
    market = Market.compile(tape)
    assert len(market.exch.rows) > 2 * len(tape)
    times = list(range(0, 35))
    compare_books(tape.events, market.exch, "exch_ns", True, times)
    compare_books(tape.events[tape.local_order()], market.local, "local_ns", True, times)
    assert compare_accessors(market.exch, 4, 20) >= 20
    assert all(array.base is None for book in books_of(market) for array in book if isinstance(array, np.ndarray))


def test_too_many_rows_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    tape = resets(30, 40)
    monkeypatch.setattr(tables, "ROWS_MAX", 2 * len(tape))
    with pytest.raises(TapeFormatError, match=f"at most {2 * len(tape)} rows.*slice it by time"):
        Market.compile(tape)


@pytest.mark.parametrize("kind", [rec.DEPTH, rec.BBO, rec.TRADE, rec.SNAPSHOT])
def test_quantities_are_held_up_to_their_bound(kind: int) -> None:
    def tape(lots: int) -> Tape:
        reset = [(rec.CLEAR, 0, 0, 0, 1)] if kind == rec.SNAPSHOT else []
        first = [(rec.DEPTH, rec.BUY, 10, 5, 1), (rec.DEPTH, rec.SELL, 11, 5, 1)]
        return tape_of([(1, 1, first), (2, 2, [*reset, (kind, rec.SELL, 11, lots, 2)])])

    most = tables.LOTS_MAX - 1
    book = Market.compile(tape(most)).exch
    assert most in columns_of(book).qty
    with pytest.raises(TapeFormatError, match="coarser lot_size"):
        Market.compile(tape(most + 1))
