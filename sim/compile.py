"""Compiling events into a `Book`: the whole history of the book, computed once.

The feed tells the same book three times, at different speeds: depth messages (complete, in batches of 50 to 100 ms),
best quotes, and prints. Between two depth messages the levels that a print or a best quote has already passed are
gone, although the last depth message still shows them. The compiler keeps two books:

- `shown`: what the depth messages say;
- the effective book: `shown`, corrected by everything newer than the last depth message. Only this one is compiled,
  and only against this one do orders trade.

A correction is evidence with a stamp. A print at p empties the levels that it must have walked through, and takes its
quantity from p; a best quote sets its level and empties what lies before it; both empty what they would cross on the
other side. A depth message ends every correction of an earlier stamp, because it describes the whole book as of its
own. Where stamps are equal only the levels that it names are corrected, since a print of the same millisecond may be
missing from it. Rows that no feed message contains carry the flag IMPLIED.
"""

from __future__ import annotations

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
    row_flags,
)
from lobgym.sim.book_index import index_ladders, index_marks, index_stamps, index_touches
from lobgym.sim.errors import TapeFormatError
from lobgym.sim.jit import njit_inline, njit_lean
from lobgym.sim.level_set import first_above, flip, last_below, new_level_set
from lobgym.sim.levels import Levels
from lobgym.sim.records import BBO, BUY, CLEAR, DEPTH, LAST, SNAPSHOT, TRADE

__all__ = ["compile_book"]

ROWS_MAX: Final = (1 << 31) - 1  # row numbers are 32 bits

# What is known about a level. Its evidence is void where `place` lies before the last clear.
_LEVEL_DTYPE: Final = np.dtype([
    ("qty", np.int64),  # lots of the effective book
    ("stamp", np.int64),  # exchange stamp of the newest evidence
    ("place", np.int32),  # its place in the order of processing
    ("touches", np.int32),  # rows written
    ("correction", np.int32),  # 1 + its entry in the list of corrections, 0 where depth is right about it
    ("by_print", np.uint8),  # whether the evidence is a print
], align=True)  # fmt: skip

# A level that is corrected. The entry is given up where the level does not point back to it.
_CORRECTION_DTYPE: Final = np.dtype([
    ("level", np.int64),
    ("shown", np.int64),  # lots that depth shows
    ("seq", np.int64),  # update id of the evidence if it is a best quote, else 0
])  # fmt: skip

# Indices into the scalars.
_EVENT: Final = 0  # the event to go on with
_ROWS: Final = 1
_BID: Final = 2  # level id of the best bid, -1
_ASK: Final = 3  # level id of the best ask, number of levels
_BIDS: Final = 4  # entries written so far
_ASKS: Final = 5
_PRINTS: Final = 6
_EPOCHS: Final = 7
_CORRECTIONS: Final = 8
_DEPTH_SEQ: Final = 9  # greatest update id of a depth message since the last clear
_CLEARED: Final = 10  # place of the last clear
_MESSAGE: Final = 11  # first row of the present message
_SCALARS: Final = 12


class _Table(NamedTuple):
    """What is written: rows, and the lists that need the book as it stands to be written."""

    ns: NDArray[np.int64]
    rows: NDArray[np.void]
    bids: NDArray[np.void]
    asks: NDArray[np.void]
    prints: NDArray[np.void]
    epochs: NDArray[np.void]


class _State(NamedTuple):
    """The effective book while it is compiled."""

    level_tick: NDArray[np.int64]
    bid_levels: int
    levels: NDArray[np.void]  # [L] _LEVEL_DTYPE
    full: NDArray[np.int64]  # level set: levels that display something
    corrections: NDArray[np.void]  # [L] _CORRECTION_DTYPE
    scalars: NDArray[np.int64]


def compile_book(
    events: NDArray[np.void], order: NDArray[np.int64] | None, levels: Levels, print_implied_depth: bool
) -> Book:
    """Compile events into a read-only Book.

    Arguments: `events`, EVENT_DTYPE[n] in the exchange's order; `order`, int64[n]: the order of arrival, None for the
    exchange's, which also says by which stamp the book's rows go; `levels`, of the same events.

    Raises:
        TapeFormatError: more rows than row numbers can count.
    """
    count = len(levels.tick)
    state = _State(
        levels.tick, levels.bids, np.zeros(count, _LEVEL_DTYPE), new_level_set(count),
        np.empty(count, _CORRECTION_DTYPE), np.zeros(_SCALARS, np.int64),
    )  # fmt: skip
    state.scalars[_BID], state.scalars[_ASK] = -1, count
    table = _new_table(len(events), levels)
    table.bids[0] = (-1, NO_LEVEL, NO_BID)
    table.asks[0] = (-1, NO_LEVEL, NO_ASK)
    table.epochs[0] = (0, NO_ASK, -NO_ASK)
    state.scalars[[_BIDS, _ASKS, _EPOCHS]] = 1
    by_order = np.empty(0, np.int64) if order is None else order
    slack = 3 * count + 8  # the most rows that one event can cause
    while True:
        _make_room(table, int(state.scalars[_ROWS]) + slack)
        _run(events, by_order, levels.of_event, slack, print_implied_depth, table, state)
        if state.scalars[_EVENT] == len(events):
            break
    return _finished(table, state)


def _new_table(count: int, levels: Levels) -> _Table:
    """Rows for most tapes, and the lists at their largest: memory that nothing is written to costs nothing."""
    size = count + (count >> 2)
    return _Table(
        np.empty(size, np.int64),
        np.empty(size, ROW_DTYPE),
        np.empty(levels.messages + 1, CHANGE_DTYPE),
        np.empty(levels.messages + 1, CHANGE_DTYPE),
        np.empty(levels.prints, PRINT_DTYPE),
        np.empty(levels.clears + 1, EPOCH_DTYPE),
    )


def _make_room(table: _Table, rows: int) -> None:
    if rows > ROWS_MAX:
        raise TapeFormatError(f"a book holds at most {ROWS_MAX} rows, this tape makes more: slice it by time")
    if rows > len(table.rows):
        size = min(ROWS_MAX, rows + (rows >> 1))
        table.ns.resize(size, refcheck=False)
        table.rows.resize(size, refcheck=False)


def _finished(table: _Table, state: _State) -> Book:
    """Cut the lists to their length, in place, and index them."""
    counts = state.scalars[[_ROWS, _ROWS, _BIDS, _ASKS, _PRINTS, _EPOCHS]]
    for array, count in zip(table, counts, strict=True):
        array.resize(count, refcheck=False)
    touch_start, touch_row = index_touches(table.rows, state.levels["touches"])
    ladder_level, ladder_qty, ladder_count = index_ladders(table.rows, len(state.level_tick), state.bid_levels)
    marks = index_marks(len(table.rows), table.bids, table.asks, table.prints)
    book = Book(
        table.ns, table.rows, state.level_tick, state.bid_levels, touch_start, touch_row,
        table.bids, table.asks, table.prints, marks, ladder_level, ladder_qty, ladder_count, table.epochs,
        *index_stamps(table.ns),
    )  # fmt: skip
    for field in book:
        if isinstance(field, np.ndarray):
            field.setflags(write=False)
    return book


# -- rows --------------------------------------------------------------------------------------------------------


@njit_inline
def _append(table: _Table, scalars: NDArray[np.int64], ns: int, word: int, key: int) -> None:
    row = scalars[_ROWS]
    table.ns[row] = ns
    table.rows[row]["word"] = word
    table.rows[row]["key"] = key
    scalars[_ROWS] = row + 1


@njit_inline
def _set_level(table: _Table, state: _State, ns: int, level: int, qty: int, flags: int) -> None:
    """Give a level of the effective book a new quantity, keep the bests, and write the row."""
    scalars = state.scalars
    one = state.levels[level]
    is_bid = level < state.bid_levels
    if (one["qty"] > 0) != (qty > 0):
        flip(state.full, level)
        if is_bid:
            if qty > 0:
                scalars[_BID] = max(scalars[_BID], level)
            elif level == scalars[_BID]:
                scalars[_BID] = last_below(state.full, level)
        elif qty > 0:
            scalars[_ASK] = min(scalars[_ASK], level)
        elif level == scalars[_ASK]:
            scalars[_ASK] = first_above(state.full, level, state.level_tick.shape[0])
    one["qty"] = qty
    one["touches"] += 1
    word = qty << QTY_SHIFT | flags << FLAGS_SHIFT | (1 << SIDE_SHIFT if is_bid else 0) | ROW_LEVEL
    _append(table, scalars, ns, word, level)


@njit_inline
def _print(table: _Table, scalars: NDArray[np.int64], ns: int, side: int, tick: int, qty: int) -> None:
    at = scalars[_PRINTS]
    one = table.prints[at]
    one["row"] = scalars[_ROWS]
    one["side"] = side
    one["tick"] = tick
    one["qty"] = qty
    scalars[_PRINTS] = at + 1
    _append(table, scalars, ns, qty << QTY_SHIFT | (1 << SIDE_SHIFT if side == BUY else 0) | ROW_PRINT, at)


@njit_inline
def _change(changes: NDArray[np.void], count: int, row: int, level: int, tick: int) -> int:
    """Note a best after `row` where it is another one than before; returns the number of entries."""
    if changes[count - 1]["level"] == level:
        return count
    changes[count]["row"] = row
    changes[count]["level"] = level
    changes[count]["tick"] = tick
    return count + 1


@njit_inline
def _end_message(table: _Table, state: _State) -> None:
    """The book is observable after the last row."""
    scalars = state.scalars
    row = scalars[_ROWS] - 1
    table.rows[row]["word"] |= MESSAGE_END << FLAGS_SHIFT
    scalars[_MESSAGE] = row + 1
    bid = scalars[_BID]
    ask = scalars[_ASK]
    bid_tick = state.level_tick[bid] if bid >= 0 else NO_BID
    scalars[_BIDS] = _change(table.bids, scalars[_BIDS], row, bid, bid_tick)
    if ask < state.level_tick.shape[0]:
        scalars[_ASKS] = _change(table.asks, scalars[_ASKS], row, ask, state.level_tick[ask])
    else:
        scalars[_ASKS] = _change(table.asks, scalars[_ASKS], row, NO_LEVEL, NO_ASK)


# -- evidence ----------------------------------------------------------------------------------------------------


@njit_inline
def _witness(state: _State, level: int, exch_ns: int, place: int, by_print: int) -> None:
    one = state.levels[level]
    one["stamp"] = exch_ns
    one["place"] = place
    one["by_print"] = by_print


@njit_inline
def _correct(
    table: _Table, state: _State, ns: int, level: int, qty: int, flags: int, exch_ns: int, seq: int, place: int,
    by_print: int,
) -> None:  # fmt: skip
    """Overrule what depth shows of a level, unless what is known about it is newer than this evidence.

    A quote or depth of the print's own millisecond, applied before it, already contains it.
    """
    one = state.levels[level]
    if one["place"] >= state.scalars[_CLEARED] and (
        one["stamp"] > exch_ns or (by_print and one["stamp"] == exch_ns and not one["by_print"])
    ):
        return
    _witness(state, level, exch_ns, place, by_print)
    entry = one["correction"] - 1
    if entry < 0:
        entry = state.scalars[_CORRECTIONS]
        state.scalars[_CORRECTIONS] = entry + 1
        one["correction"] = entry + 1
        state.corrections[entry]["level"] = level
        state.corrections[entry]["shown"] = one["qty"]
    state.corrections[entry]["seq"] = seq
    if one["qty"] != qty:
        _set_level(table, state, ns, level, qty, flags)


@njit_inline
def _empty_asks(
    table: _Table, state: _State, ns: int, tick: int, exch_ns: int, seq: int, place: int, by_print: int
) -> None:
    """Empty every ask below `tick`."""
    end = state.level_tick.shape[0]
    level = state.scalars[_ASK]
    while level < end and state.level_tick[level] < tick:
        _correct(table, state, ns, level, 0, IMPLIED, exch_ns, seq, place, by_print)
        level = first_above(state.full, level, end)


@njit_inline
def _empty_bids(
    table: _Table, state: _State, ns: int, tick: int, exch_ns: int, seq: int, place: int, by_print: int
) -> None:
    """Empty every bid above `tick`."""
    level = state.scalars[_BID]
    while level >= 0 and state.level_tick[level] > tick:
        _correct(table, state, ns, level, 0, IMPLIED, exch_ns, seq, place, by_print)
        level = last_below(state.full, level)


@njit_inline
def _empty(
    table: _Table, state: _State, ns: int, side: int, asks_below: int, bids_above: int, exch_ns: int, seq: int,
    place: int, by_print: int,
) -> None:  # fmt: skip
    """Empty the levels that evidence has passed, those of `side` first."""
    for turn in range(2):
        if (turn == 0) == (side == BUY):
            _empty_bids(table, state, ns, bids_above, exch_ns, seq, place, by_print)
        else:
            _empty_asks(table, state, ns, asks_below, exch_ns, seq, place, by_print)


@njit_inline
def _imply(table: _Table, state: _State, event: np.void, ns: int, level: int, place: int) -> None:
    """What a print or a best quote says about the book; `level` is the one that it hit or quotes."""
    by_print = event["kind"] == TRADE
    side = -event["side"] if by_print else event["side"]  # of that level
    tick = event["price_ticks"]
    exch_ns = event["exch_ns"]
    qty = event["qty_lots"]
    # On its own side the better levels are gone, on the other one all that it would cross.
    asks_below, bids_above = (tick + 1, tick) if side == BUY else (tick, tick - 1)
    seq = 0 if by_print else event["seq"]
    _empty(table, state, ns, side, asks_below, bids_above, exch_ns, seq, place, by_print)
    flags = 0
    if by_print:
        if level < 0 or state.levels[level]["qty"] == 0:
            return
        qty = max(0, state.levels[level]["qty"] - qty)
        flags = IMPLIED
    _correct(table, state, ns, level, qty, flags, exch_ns, seq, place, by_print)


@njit_inline
def _depth_level(table: _Table, state: _State, event: np.void, ns: int, level: int, place: int) -> None:
    one = state.levels[level]
    qty = event["qty_lots"]
    exch_ns = event["exch_ns"]
    entry = one["correction"] - 1
    if entry >= 0:
        correction = state.corrections[entry]
        correction["shown"] = qty
        if one["stamp"] > exch_ns or (correction["seq"] > 0 and correction["seq"] > event["seq"]):
            return
        one["correction"] = 0
    _witness(state, level, exch_ns, place, 0)
    _set_level(table, state, ns, level, qty, 0)


@njit_lean
def _end_corrections(table: _Table, state: _State, ns: int, exch_ns: int, seq: int, place: int) -> None:
    """A depth message has ended: every correction that it is newer than gives way to what depth shows."""
    kept = 0
    for entry in range(state.scalars[_CORRECTIONS]):
        correction = state.corrections[entry]
        level = correction["level"]
        one = state.levels[level]
        if one["correction"] != entry + 1:
            continue
        if one["stamp"] < exch_ns or (0 < correction["seq"] <= seq):
            one["correction"] = 0
            _witness(state, level, exch_ns, place, 0)
            if one["qty"] != correction["shown"]:
                _set_level(table, state, ns, level, correction["shown"], IMPLIED)
        else:
            state.corrections[kept]["level"] = level
            state.corrections[kept]["shown"] = correction["shown"]
            state.corrections[kept]["seq"] = correction["seq"]
            kept += 1
            one["correction"] = kept
    state.scalars[_CORRECTIONS] = kept


@njit_inline
def _is_crossed(state: _State) -> bool:
    bid = state.scalars[_BID]
    ask = state.scalars[_ASK]
    return bool(bid >= 0 and ask < state.level_tick.shape[0] and state.level_tick[bid] >= state.level_tick[ask])


@njit_lean
def _uncross(table: _Table, state: _State, ns: int) -> None:
    """Empty the older of two bests that cross until none do."""
    while _is_crossed(state):
        bid = state.scalars[_BID]
        ask = state.scalars[_ASK]
        of_bid = state.levels[bid]
        of_ask = state.levels[ask]
        bid_older = of_bid["stamp"] < of_ask["stamp"] or (
            of_bid["stamp"] == of_ask["stamp"] and of_bid["place"] < of_ask["place"]
        )
        level = bid if bid_older else ask
        newer = state.levels[ask if bid_older else bid]
        entry = newer["correction"] - 1
        seq = state.corrections[entry]["seq"] if entry >= 0 else 0
        _correct(table, state, ns, level, 0, IMPLIED, newer["stamp"], seq, newer["place"], 0)


@njit_lean
def _clear(table: _Table, state: _State, ns: int, place: int) -> None:
    """Everything is void, evidence included; levels that displayed something get a row."""
    scalars = state.scalars
    epoch = table.epochs[scalars[_EPOCHS]]
    epoch["row"] = scalars[_ROWS]
    epoch["low"] = NO_ASK
    epoch["high"] = -NO_ASK
    scalars[_EPOCHS] += 1
    scalars[_CLEARED] = place
    scalars[_DEPTH_SEQ] = 0
    for entry in range(scalars[_CORRECTIONS]):
        state.levels[state.corrections[entry]["level"]]["correction"] = 0
    scalars[_CORRECTIONS] = 0
    _append(table, scalars, ns, ROW_CLEAR, -1)
    end = state.level_tick.shape[0]
    level = first_above(state.full, -1, end)
    while level < end:
        _set_level(table, state, ns, level, 0, IMPLIED | RESET)
        level = first_above(state.full, level, end)


@njit_lean
def _end_snapshot(table: _Table, state: _State, ns: int) -> None:
    """Levels that the reset emptied and that the snapshot covers but does not name are empty: say so."""
    epoch = table.epochs[state.scalars[_EPOCHS] - 1]
    row = epoch["row"] + 1
    while row_flags(table.rows[row]["word"]) & RESET:
        level = int(table.rows[row]["key"])
        if state.levels[level]["qty"] == 0 and epoch["low"] <= state.level_tick[level] <= epoch["high"]:
            _set_level(table, state, ns, level, 0, IMPLIED)
        row += 1


@njit_lean
def _run(
    events: NDArray[np.void], order: NDArray[np.int64], level_of: NDArray[np.int32], slack: int, implied: bool,
    table: _Table, state: _State,
) -> None:  # fmt: skip
    """Apply events from the one to go on with, to the last or until there may be no room for the next one's rows."""
    scalars = state.scalars
    by_arrival = order.shape[0] > 0
    room = table.rows.shape[0] - slack
    for k in range(scalars[_EVENT], events.shape[0]):
        if scalars[_ROWS] > room:
            scalars[_EVENT] = k
            return
        e = order[k] if by_arrival else k
        event = events[e]
        kind = event["kind"]
        ns = event["local_ns"] if by_arrival else event["exch_ns"]
        if kind == DEPTH or kind == SNAPSHOT:
            _depth_level(table, state, event, ns, int(level_of[e]), k)
            if kind == SNAPSHOT:
                epoch = table.epochs[scalars[_EPOCHS] - 1]
                epoch["low"] = min(epoch["low"], event["price_ticks"])
                epoch["high"] = max(epoch["high"], event["price_ticks"])
        elif kind == BBO or kind == TRADE:
            says = implied
            if kind == TRADE:
                _print(table, scalars, ns, event["side"], event["price_ticks"], event["qty_lots"])
            # A best quote that arrives after a depth message which already contains it says nothing new.
            elif event["qty_lots"] == 0 or 0 < event["seq"] <= scalars[_DEPTH_SEQ]:
                says = False
            if says:
                _imply(table, state, event, ns, int(level_of[e]), k)
        elif kind == CLEAR:
            _clear(table, state, ns, k)
        if event["flags"] & LAST:
            if kind == DEPTH or kind == SNAPSHOT:  # the rows of a message are of one family
                _end_corrections(table, state, ns, event["exch_ns"], event["seq"], k)
                scalars[_DEPTH_SEQ] = max(scalars[_DEPTH_SEQ], event["seq"])
                if kind == SNAPSHOT:
                    _end_snapshot(table, state, ns)
            if scalars[_ROWS] > scalars[_MESSAGE]:
                if _is_crossed(state):
                    _uncross(table, state, ns)
                _end_message(table, state)
    scalars[_EVENT] = events.shape[0]
