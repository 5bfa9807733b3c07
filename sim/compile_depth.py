"""Compiling a tape as hftbacktest reads it: depth messages alone, row by row, for the two compatibility profiles.

Prints and best quotes correct nothing, and nothing removes levels that cross. A bid at or above the best ask moves the
best ask to the next ask above it, while the asks that it passed stay: ghosts, which display a quantity, are no best
price, and become one again when a row gives them a quantity or when the best between them and the market is removed.
So the best depends on the path. Two bounds belong to that path: no search for a best bid goes below the lowest bid set
since the side was last empty, none for a best ask above the highest ask. (Facts from hftbacktest 2.4.4's hash map
book; `tests/oracle` compares.)

Every row is a message of its own, because the engine matches orders after each row, also inside a snapshot. A reset
empties both sides; the rows that say so carry RESET, and own orders do not notice them.
"""

from __future__ import annotations

import hashlib
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.book import (
    CHANGE_DTYPE,
    EPOCH_DTYPE,
    FLAGS_SHIFT,
    IMPLIED,
    MESSAGE_END,
    NO_ASK,
    NO_BID,
    NO_LEVEL,
    PRINT_DTYPE,
    QTY_SHIFT,
    RESET,
    ROW_CLEAR,
    ROW_DTYPE,
    ROW_LEVEL,
    ROW_PRINT,
    SIDE_SHIFT,
    Book,
)
from lobgym.sim.book_index import index_ladders, index_marks, index_stamps, index_touches
from lobgym.sim.errors import TapeFormatError
from lobgym.sim.jit import njit_inline, njit_lean
from lobgym.sim.level_set import first_above, flip, last_below, new_level_set
from lobgym.sim.levels import Levels, number_levels
from lobgym.sim.market import Market
from lobgym.sim.mids import first_quoted_ns
from lobgym.sim.queue import LOTS_MAX
from lobgym.sim.records import BUY, CLEAR, DEPTH, SNAPSHOT, TRADE
from lobgym.sim.tape import Tape
from lobgym.sim.view import make_view

__all__ = ["compile_depth_market"]

_LEVEL_DTYPE: Final = np.dtype([("qty", np.int64), ("touches", np.int64)])
_END: Final = MESSAGE_END << FLAGS_SHIFT
_RESET_WORD: Final = (MESSAGE_END | IMPLIED | RESET) << FLAGS_SHIFT | ROW_LEVEL

# Indices into the scalars.
_EVENT: Final = 0  # the event to go on with
_ROWS: Final = 1
_BIDS: Final = 2  # entries written so far
_ASKS: Final = 3
_PRINTS: Final = 4
_EPOCHS: Final = 5
_BID: Final = 6  # level id of the best bid, -1
_ASK: Final = 7  # level id of the best ask, number of levels
_LOW: Final = 8  # lowest bid level to look at, number of levels where none is
_HIGH: Final = 9  # highest ask level to look at, -1
_IN_ORDER: Final = 10  # whether rows were received in the order in which they happened, so far
_RECEIVED: Final = 11  # receive stamp of the last one
_SCALARS: Final = 12


class _Table(NamedTuple):
    """What is written."""

    ns: NDArray[np.int64]
    local_ns: NDArray[np.int64]  # the other stamp, as long as both orders are the same one
    rows: NDArray[np.void]
    bids: NDArray[np.void]
    asks: NDArray[np.void]
    prints: NDArray[np.void]
    epochs: NDArray[np.void]


class _State(NamedTuple):
    """The book while it is compiled."""

    level_tick: NDArray[np.int64]
    bid_levels: int
    levels: NDArray[np.void]  # [L] _LEVEL_DTYPE
    full: NDArray[np.int64]  # level set: levels that display something, ghosts included
    scalars: NDArray[np.int64]


def compile_depth_market(tape: Tape) -> Market:
    """Compile a tape in both orders, for the profiles `hftbacktest` and `hftbacktest-partial`.

    Raises:
        TapeFormatError: the tape never shows a bid and an ask at once, or more lots than a row can hold.
    """
    events = tape.events
    levels = number_levels(events)
    if levels.lots_max >= LOTS_MAX:
        raise TapeFormatError(
            f"a row of this tape has {levels.lots_max} lots, a market counts fewer than {LOTS_MAX}: "
            "give the instrument a coarser lot_size"
        )
    exch, local = _compile(events, None, levels)
    end_ns = tape.end_ns if local is None else int(events["local_ns"][-1])
    if local is None:
        local, _ = _compile(events, tape.local_order(), levels)
    starts = [int(first_quoted_ns(make_view(book)[0])) for book in (exch, local)]
    if min(starts) < 0:
        raise TapeFormatError("a market needs a bid and an ask at once; this tape never shows both")
    digest = hashlib.sha256(f"{tape.digest}|depth".encode()).hexdigest()
    return Market(tape, exch, local, False, max(starts), end_ns, digest, depth_only=True)


def _compile(
    events: NDArray[np.void], order: NDArray[np.int64] | None, levels: Levels
) -> tuple[Book, Book | None]:  # fmt: skip
    """The book in one order and, where that is the other order too, the one that differs by its stamps only."""
    count = len(levels.tick)
    table, state = _new_table(len(events), levels), _new_state(levels, order is None)
    by_order = np.empty(0, np.int64) if order is None else order
    while True:
        _run(events, by_order, levels.of_event, table, state)
        if state.scalars[_EVENT] == len(events):
            break
        table = _with_room(table, int(state.scalars[_ROWS]), count)
    table = _cut(table, state.scalars)
    touch_start, touch_row = index_touches(table.rows, state.levels["touches"])
    ladder_level, ladder_qty, ladder_count = index_ladders(table.rows, count, levels.bids)
    marks = index_marks(len(table.rows), table.bids, table.asks, table.prints)
    book = Book(
        table.ns, table.rows, levels.tick, levels.bids, touch_start, touch_row, table.bids, table.asks, table.prints,
        marks, ladder_level, ladder_qty, ladder_count, table.epochs, *index_stamps(table.ns),
    )  # fmt: skip
    group_ns, block_ns = index_stamps(table.local_ns)
    for array in (*book, table.local_ns, group_ns, block_ns):
        if isinstance(array, np.ndarray):
            array.setflags(write=False)
    if not state.scalars[_IN_ORDER]:
        return book, None
    return book, book._replace(ns=table.local_ns, group_ns=group_ns, block_ns=block_ns)


def _new_table(events: int, levels: Levels) -> _Table:
    """Lists at their largest: memory that nothing is written to costs nothing."""
    size = events + min(levels.clears, 64) * len(levels.tick)
    table = _Table(
        np.empty(size, np.int64),
        np.empty(size, np.int64),
        np.empty(size, ROW_DTYPE),
        np.empty(events + 1, CHANGE_DTYPE),
        np.empty(events + 1, CHANGE_DTYPE),
        np.empty(levels.prints, PRINT_DTYPE),
        np.empty(levels.clears + 1, EPOCH_DTYPE),
    )
    table.bids[0] = (-1, NO_LEVEL, NO_BID)
    table.asks[0] = (-1, NO_LEVEL, NO_ASK)
    table.epochs[0] = (0, NO_ASK, -NO_ASK)
    return table


def _with_room(table: _Table, rows: int, levels: int) -> _Table:
    """The table with room for half as many rows again, and for those of another reset."""
    size = rows + (rows >> 1) + levels + 1
    grown = _Table(np.empty(size, np.int64), np.empty(size, np.int64), np.empty(size, ROW_DTYPE), *table[3:])
    for new, old in zip(grown[:3], table[:3], strict=True):
        new[:rows] = old[:rows]
    return grown


def _cut(table: _Table, scalars: NDArray[np.int64]) -> _Table:
    """The table without its unused ends. Shrinking in place would copy; what was never written to is not in memory."""
    rows, bids, asks, prints, epochs = (int(end) for end in scalars[[_ROWS, _BIDS, _ASKS, _PRINTS, _EPOCHS]])
    return _Table(
        table.ns[:rows], table.local_ns[:rows], table.rows[:rows], table.bids[:bids].copy(),
        table.asks[:asks].copy(), table.prints[:prints], table.epochs[:epochs],
    )  # fmt: skip


def _new_state(levels: Levels, by_exchange: bool) -> _State:
    count = len(levels.tick)
    scalars = np.zeros(_SCALARS, np.int64)
    scalars[[_BIDS, _ASKS, _EPOCHS]] = 1
    scalars[[_BID, _ASK, _LOW, _HIGH]] = -1, count, count, -1
    scalars[_IN_ORDER] = by_exchange
    return _State(levels.tick, levels.bids, np.zeros(count, _LEVEL_DTYPE), new_level_set(count), scalars)


@njit_inline
def _append(table: _Table, scalars: NDArray[np.int64], event: np.void, ns: int, word: int, key: int) -> None:
    row = scalars[_ROWS]
    table.ns[row] = ns
    if scalars[_IN_ORDER]:
        table.local_ns[row] = event["local_ns"]
    table.rows[row]["word"] = word
    table.rows[row]["key"] = key
    scalars[_ROWS] = row + 1


@njit_inline
def _new_bid(table: _Table, state: _State, row: int, level: int) -> None:
    scalars = state.scalars
    scalars[_BID] = level
    entry = table.bids[scalars[_BIDS]]
    entry["row"] = row
    entry["level"] = level
    entry["tick"] = state.level_tick[level] if level >= 0 else NO_BID
    scalars[_BIDS] += 1


@njit_inline
def _new_ask(table: _Table, state: _State, row: int, level: int) -> None:
    scalars = state.scalars
    scalars[_ASK] = level
    there = level < state.level_tick.shape[0]
    entry = table.asks[scalars[_ASKS]]
    entry["row"] = row
    entry["level"] = level if there else NO_LEVEL
    entry["tick"] = state.level_tick[level] if there else NO_ASK
    scalars[_ASKS] += 1


@njit_lean
def _ask_above(state: _State, level: int, tick: int) -> int:
    """The first ask behind `level` and above `tick` that displays something and is not beyond the bound."""
    end = state.level_tick.shape[0]
    level = first_above(state.full, level, end)
    while level < end and state.level_tick[level] <= tick:
        level = first_above(state.full, level, end)
    return level if level <= state.scalars[_HIGH] else end


@njit_lean
def _bid_below(state: _State, level: int, tick: int) -> int:
    """The first bid behind `level` and below `tick` that displays something and is not beyond the bound."""
    level = last_below(state.full, level)
    while level >= 0 and state.level_tick[level] >= tick:
        level = last_below(state.full, level)
    return level if level >= state.scalars[_LOW] else -1


@njit_inline
def _bid_row(table: _Table, state: _State, row: int, level: int, qty: int) -> None:
    """What a bid row does to the bests."""
    scalars = state.scalars
    if qty > 0:
        if level > scalars[_BID]:
            _new_bid(table, state, row, level)
            ask = scalars[_ASK]
            tick = state.level_tick[level]
            if ask < state.level_tick.shape[0] and tick >= state.level_tick[ask]:
                _new_ask(table, state, row, _ask_above(state, ask, tick))
        scalars[_LOW] = min(scalars[_LOW], level)
    elif level == scalars[_BID]:
        _new_bid(table, state, row, _bid_below(state, level, NO_ASK))
        if scalars[_BID] < 0:
            scalars[_LOW] = state.level_tick.shape[0]


@njit_inline
def _ask_row(table: _Table, state: _State, row: int, level: int, qty: int) -> None:
    """What an ask row does to the bests."""
    scalars = state.scalars
    if qty > 0:
        if level < scalars[_ASK]:
            _new_ask(table, state, row, level)
            bid = scalars[_BID]
            tick = state.level_tick[level]
            if bid >= 0 and tick <= state.level_tick[bid]:
                _new_bid(table, state, row, _bid_below(state, bid, tick))
        scalars[_HIGH] = max(scalars[_HIGH], level)
    elif level == scalars[_ASK]:
        _new_ask(table, state, row, _ask_above(state, level, NO_BID))
        if scalars[_ASK] == state.level_tick.shape[0]:
            scalars[_HIGH] = -1


@njit_lean
def _clear(table: _Table, state: _State, event: np.void, ns: int) -> None:
    """Both sides are void; levels that displayed something get a row."""
    scalars = state.scalars
    row = scalars[_ROWS]
    epoch = table.epochs[scalars[_EPOCHS]]
    epoch["row"] = row
    epoch["low"] = NO_ASK
    epoch["high"] = -NO_ASK
    scalars[_EPOCHS] += 1
    _append(table, scalars, event, ns, ROW_CLEAR | _END, -1)
    end = state.level_tick.shape[0]
    level = first_above(state.full, -1, end)
    while level < end:
        flip(state.full, level)
        one = state.levels[level]
        one["qty"] = 0
        one["touches"] += 1
        side_bit = 1 << SIDE_SHIFT if level < state.bid_levels else 0
        _append(table, scalars, event, ns, _RESET_WORD | side_bit, level)
        level = first_above(state.full, level, end)
    if scalars[_BID] >= 0:
        _new_bid(table, state, row, -1)
    if scalars[_ASK] < end:
        _new_ask(table, state, row, end)
    scalars[_LOW] = end
    scalars[_HIGH] = -1


@njit_lean
def _run(
    events: NDArray[np.void], order: NDArray[np.int64], level_of: NDArray[np.int32], table: _Table, state: _State
) -> None:
    """Apply events from the one to go on with, to the last or until there may be no room for the next one's rows."""
    scalars = state.scalars
    by_arrival = order.shape[0] > 0
    room = table.rows.shape[0]
    for k in range(scalars[_EVENT], events.shape[0]):
        e = order[k] if by_arrival else k
        event = events[e]
        kind = event["kind"]
        ns = event["local_ns"] if by_arrival else event["exch_ns"]
        row = scalars[_ROWS]
        scalars[_IN_ORDER] &= event["local_ns"] >= scalars[_RECEIVED]
        scalars[_RECEIVED] = event["local_ns"]
        if row + 1 > room or (kind == CLEAR and row + 1 + state.levels.shape[0] > room):
            scalars[_EVENT] = k
            return
        if kind == DEPTH or kind == SNAPSHOT:
            level = int(level_of[e])
            qty = event["qty_lots"]
            one = state.levels[level]
            if (qty > 0) != (one["qty"] > 0):
                flip(state.full, level)
            one["qty"] = qty
            one["touches"] += 1
            if level < state.bid_levels:
                _append(table, scalars, event, ns, qty << QTY_SHIFT | _END | 1 << SIDE_SHIFT | ROW_LEVEL, level)
                _bid_row(table, state, row, level, qty)
            else:
                _append(table, scalars, event, ns, qty << QTY_SHIFT | _END | ROW_LEVEL, level)
                _ask_row(table, state, row, level, qty)
            if kind == SNAPSHOT:
                epoch = table.epochs[scalars[_EPOCHS] - 1]
                epoch["low"] = min(epoch["low"], event["price_ticks"])
                epoch["high"] = max(epoch["high"], event["price_ticks"])
        elif kind == TRADE:
            at = scalars[_PRINTS]
            one_print = table.prints[at]
            one_print["row"] = row
            one_print["side"] = event["side"]
            one_print["tick"] = event["price_ticks"]
            one_print["qty"] = event["qty_lots"]
            scalars[_PRINTS] = at + 1
            side_bit = 1 << SIDE_SHIFT if event["side"] == BUY else 0
            _append(table, scalars, event, ns, event["qty_lots"] << QTY_SHIFT | _END | side_bit | ROW_PRINT, at)
        elif kind == CLEAR:
            _clear(table, state, event, ns)
    scalars[_EVENT] = events.shape[0]
