"""Compiling events into a `Book`: the whole history of the book, computed once.

The feed tells the same book three times, at different speeds: depth messages (complete, in batches of 50 to 100 ms),
best quotes, and prints. Between two depth messages the levels that a print or a best quote has already passed are
gone, although the last depth message still shows them. The compiler keeps two books:

- `shown`: what the depth messages say;
- `eff`, the effective book: `shown`, corrected by everything newer than the last depth message. Only this one is
  compiled, and only against this one do orders trade.

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
    IMPLIED,
    MESSAGE_END,
    NO_ASK,
    NO_BID,
    RESET,
    ROW_CLEAR,
    ROW_LEVEL,
    ROW_PRINT,
    Book,
)
from lobgym.sim.book_index import index_ladders, index_touches
from lobgym.sim.jit import njit, njit_lean
from lobgym.sim.records import BBO, BUY, CLEAR, DEPTH, LAST, SELL, SNAPSHOT, TRADE

__all__ = ["compile_book"]

# Indices into the compiler's scalars.
_ROWS: Final = 0
_BID: Final = 1  # level id of the best bid, -1
_ASK: Final = 2  # level id of the best ask, number of levels
_DIRTY: Final = 3  # how many levels are corrected
_CUM_BUY: Final = 4
_CUM_SELL: Final = 5
_EPOCHS: Final = 6
_DEPTH_SEQ: Final = 7  # update id of the last depth message
_SCALARS: Final = 8


class _Events(NamedTuple):
    stamp: NDArray[np.int64]  # in the order that is compiled
    exch_ns: NDArray[np.int64]
    seq: NDArray[np.int64]
    tick: NDArray[np.int64]
    qty: NDArray[np.int64]
    kind: NDArray[np.uint8]
    side: NDArray[np.int8]
    flags: NDArray[np.uint8]
    level: NDArray[np.int32]  # level id, -1 for events that name none


class _Rows(NamedTuple):
    ns: NDArray[np.int64]
    kind: NDArray[np.uint8]
    side: NDArray[np.int8]
    flags: NDArray[np.uint8]
    tick: NDArray[np.int64]
    qty: NDArray[np.int64]
    prev: NDArray[np.int64]
    level: NDArray[np.int32]
    bid: NDArray[np.int64]
    ask: NDArray[np.int64]
    bid_qty: NDArray[np.int64]
    ask_qty: NDArray[np.int64]
    cum_buy: NDArray[np.int64]
    cum_sell: NDArray[np.int64]


class _State(NamedTuple):
    level_tick: NDArray[np.int64]
    bid_levels: int
    shown: NDArray[np.int64]
    eff: NDArray[np.int64]
    stamp: NDArray[np.int64]  # exchange stamp of the newest evidence about a level
    seq: NDArray[np.int64]  # update id of that evidence if it was a best quote, else 0
    order: NDArray[np.int64]  # its place in the order of processing
    by_print: NDArray[np.uint8]  # whether that evidence was a print
    dirty: NDArray[np.int64]  # ids of the corrected levels
    is_dirty: NDArray[np.uint8]
    cleared: NDArray[np.uint8]  # levels that the current reset emptied
    scalars: NDArray[np.int64]


def compile_book(events: NDArray[np.void], stamp: str, print_implied_depth: bool) -> Book:
    """Compile events, already sorted by `stamp` ("exch_ns" or "local_ns"), into a read-only Book."""
    is_level = np.isin(events["kind"], (DEPTH, SNAPSHOT, BBO))
    bids = np.unique(events["price_ticks"][is_level & (events["side"] == BUY)])
    asks = np.unique(events["price_ticks"][is_level & (events["side"] == SELL)])
    level_tick = np.concatenate([bids, asks]).astype(np.int64)
    level_of = np.full(len(events), -1, np.int32)
    on_bid = is_level & (events["side"] == BUY)
    on_ask = is_level & (events["side"] == SELL)
    level_of[on_bid] = np.searchsorted(bids, events["price_ticks"][on_bid])
    level_of[on_ask] = np.searchsorted(asks, events["price_ticks"][on_ask]) + len(bids)
    names = (stamp, "exch_ns", "seq", "price_ticks", "qty_lots", "kind", "side", "flags")
    columns = _Events._make([*(np.ascontiguousarray(events[name]) for name in names), level_of])
    rows, epoch_row, epoch_low, epoch_high = _run(columns, level_tick, len(bids), print_implied_depth)
    touch_start, touch_row = index_touches(rows.level, len(level_tick))
    ladder_tick, ladder_qty, ladder_count = index_ladders(rows.level, rows.qty, level_tick, len(bids))
    parts = {name: getattr(rows, name) for name in _Rows._fields}
    book = Book(
        **parts,
        level_tick=level_tick,
        bid_levels=len(bids),
        touch_start=touch_start,
        touch_row=touch_row,
        ladder_tick=ladder_tick,
        ladder_qty=ladder_qty,
        ladder_count=ladder_count,
        epoch_row=epoch_row,
        epoch_low=epoch_low,
        epoch_high=epoch_high,
    )
    for field in book:
        if isinstance(field, np.ndarray):
            field.setflags(write=False)
    return book


@njit
def _new_rows(size: int) -> _Rows:
    return _Rows(
        np.empty(size, np.int64),
        np.empty(size, np.uint8),
        np.empty(size, np.int8),
        np.empty(size, np.uint8),
        np.empty(size, np.int64),
        np.empty(size, np.int64),
        np.empty(size, np.int64),
        np.empty(size, np.int32),
        np.empty(size, np.int64),
        np.empty(size, np.int64),
        np.empty(size, np.int64),
        np.empty(size, np.int64),
        np.empty(size, np.int64),
        np.empty(size, np.int64),
    )


@njit
def _resized(rows: _Rows, count: int, size: int) -> _Rows:
    new = _new_rows(size)
    new.ns[:count] = rows.ns[:count]
    new.kind[:count] = rows.kind[:count]
    new.side[:count] = rows.side[:count]
    new.flags[:count] = rows.flags[:count]
    new.tick[:count] = rows.tick[:count]
    new.qty[:count] = rows.qty[:count]
    new.prev[:count] = rows.prev[:count]
    new.level[:count] = rows.level[:count]
    new.bid[:count] = rows.bid[:count]
    new.ask[:count] = rows.ask[:count]
    new.bid_qty[:count] = rows.bid_qty[:count]
    new.ask_qty[:count] = rows.ask_qty[:count]
    new.cum_buy[:count] = rows.cum_buy[:count]
    new.cum_sell[:count] = rows.cum_sell[:count]
    return new


@njit_lean
def _append(
    rows: _Rows, state: _State, ns: int, kind: int, side: int, tick: int, qty: int, prev: int, level: int
) -> int:
    scalars = state.scalars
    row = int(scalars[_ROWS])
    bid = scalars[_BID]
    ask = scalars[_ASK]
    rows.ns[row] = ns
    rows.kind[row] = kind
    rows.side[row] = side
    rows.flags[row] = 0
    rows.tick[row] = tick
    rows.qty[row] = qty
    rows.prev[row] = prev
    rows.level[row] = level
    rows.bid[row] = state.level_tick[bid] if bid >= 0 else NO_BID
    rows.bid_qty[row] = state.eff[bid] if bid >= 0 else 0
    rows.ask[row] = state.level_tick[ask] if ask < state.eff.shape[0] else NO_ASK
    rows.ask_qty[row] = state.eff[ask] if ask < state.eff.shape[0] else 0
    rows.cum_buy[row] = scalars[_CUM_BUY]
    rows.cum_sell[row] = scalars[_CUM_SELL]
    scalars[_ROWS] = row + 1
    return row


@njit_lean
def _set_level(rows: _Rows, state: _State, ns: int, level: int, qty: int, flags: int) -> None:
    """Give a level of the effective book a new quantity, keep the bests, and write the row."""
    eff = state.eff
    scalars = state.scalars
    prev = eff[level]
    eff[level] = qty
    if level < state.bid_levels:
        side = BUY
        if qty > 0:
            scalars[_BID] = max(scalars[_BID], level)
        elif level == scalars[_BID]:
            best = level - 1
            while best >= 0 and eff[best] == 0:
                best -= 1
            scalars[_BID] = best
    else:
        side = SELL
        if qty > 0:
            scalars[_ASK] = min(scalars[_ASK], level)
        elif level == scalars[_ASK]:
            best = level + 1
            while best < eff.shape[0] and eff[best] == 0:
                best += 1
            scalars[_ASK] = best
    row = _append(rows, state, ns, ROW_LEVEL, side, state.level_tick[level], qty, prev, level)
    rows.flags[row] = flags


@njit_lean
def _witness(state: _State, level: int, exch_ns: int, seq: int, order: int, by_print: int) -> None:
    state.stamp[level] = exch_ns
    state.seq[level] = seq
    state.order[level] = order
    state.by_print[level] = by_print


@njit_lean
def _correct(
    rows: _Rows, state: _State, ns: int, level: int, qty: int, flags: int, exch_ns: int, seq: int, order: int,
    by_print: int,
) -> None:  # fmt: skip
    """Overrule what depth shows of a level, unless what is known about it is newer than this evidence.

    A quote or depth of the print's own millisecond, applied before it, already contains it.
    """
    if state.stamp[level] > exch_ns or (by_print and state.stamp[level] == exch_ns and not state.by_print[level]):
        return
    _witness(state, level, exch_ns, seq, order, by_print)
    if state.eff[level] != qty:
        _set_level(rows, state, ns, level, qty, flags)
    if not state.is_dirty[level]:
        state.is_dirty[level] = 1
        state.dirty[state.scalars[_DIRTY]] = level
        state.scalars[_DIRTY] += 1


@njit_lean
def _empty_asks(
    rows: _Rows, state: _State, ns: int, tick: int, exch_ns: int, seq: int, order: int, by_print: int
) -> None:
    """Empty every ask below `tick`."""
    level = state.scalars[_ASK]
    while level < state.eff.shape[0] and state.level_tick[level] < tick:
        if state.eff[level] > 0:
            _correct(rows, state, ns, level, 0, IMPLIED, exch_ns, seq, order, by_print)
        level += 1


@njit_lean
def _empty_bids(
    rows: _Rows, state: _State, ns: int, tick: int, exch_ns: int, seq: int, order: int, by_print: int
) -> None:
    """Empty every bid above `tick`."""
    level = state.scalars[_BID]
    while level >= 0 and state.level_tick[level] > tick:
        if state.eff[level] > 0:
            _correct(rows, state, ns, level, 0, IMPLIED, exch_ns, seq, order, by_print)
        level -= 1


@njit_lean
def _find(state: _State, side: int, tick: int) -> int:
    low = 0 if side == BUY else state.bid_levels
    end = state.bid_levels if side == BUY else state.level_tick.shape[0]
    high = end
    while low < high:
        middle = (low + high) >> 1
        if state.level_tick[middle] < tick:
            low = middle + 1
        else:
            high = middle
    return low if low < end and state.level_tick[low] == tick else -1


@njit_lean
def _print_implies(
    rows: _Rows, state: _State, ns: int, side: int, tick: int, qty: int, exch_ns: int, order: int
) -> None:
    if side == BUY:
        _empty_asks(rows, state, ns, tick, exch_ns, 0, order, 1)
        _empty_bids(rows, state, ns, tick - 1, exch_ns, 0, order, 1)
    else:
        _empty_bids(rows, state, ns, tick, exch_ns, 0, order, 1)
        _empty_asks(rows, state, ns, tick + 1, exch_ns, 0, order, 1)
    level = _find(state, -side, tick)
    if level >= 0 and state.eff[level] > 0:
        _correct(rows, state, ns, level, max(0, state.eff[level] - qty), IMPLIED, exch_ns, 0, order, 1)


@njit_lean
def _best_quote(
    rows: _Rows, state: _State, ns: int, side: int, level: int, qty: int, exch_ns: int, seq: int, order: int
) -> None:
    tick = state.level_tick[level]
    if side == BUY:
        _empty_bids(rows, state, ns, tick, exch_ns, seq, order, 0)
        _empty_asks(rows, state, ns, tick + 1, exch_ns, seq, order, 0)
    else:
        _empty_asks(rows, state, ns, tick, exch_ns, seq, order, 0)
        _empty_bids(rows, state, ns, tick - 1, exch_ns, seq, order, 0)
    _correct(rows, state, ns, level, qty, 0, exch_ns, seq, order, 0)


@njit_lean
def _depth_level(rows: _Rows, state: _State, ns: int, level: int, qty: int, exch_ns: int, seq: int, order: int) -> None:
    state.shown[level] = qty
    if state.is_dirty[level]:
        newer = state.stamp[level] > exch_ns or (state.seq[level] > 0 and state.seq[level] > seq)
        if newer:
            return
        state.is_dirty[level] = 0  # its place in `dirty` is given up when the message ends
    _witness(state, level, exch_ns, 0, order, 0)
    _set_level(rows, state, ns, level, qty, 0)


@njit_lean
def _end_corrections(rows: _Rows, state: _State, ns: int, exch_ns: int, seq: int, order: int) -> None:
    """A depth message has ended: every correction that it is newer than gives way to what depth shows."""
    kept = 0
    for k in range(state.scalars[_DIRTY]):
        level = state.dirty[k]
        if not state.is_dirty[level]:
            continue
        if state.stamp[level] < exch_ns or (0 < state.seq[level] <= seq):
            state.is_dirty[level] = 0
            _witness(state, level, exch_ns, 0, order, 0)
            if state.eff[level] != state.shown[level]:
                _set_level(rows, state, ns, level, state.shown[level], IMPLIED)
        else:
            state.dirty[kept] = level
            kept += 1
    state.scalars[_DIRTY] = kept


@njit_lean
def _uncross(rows: _Rows, state: _State, ns: int) -> None:
    """Empty the older of two bests that cross until none do."""
    while True:
        bid = state.scalars[_BID]
        ask = state.scalars[_ASK]
        if bid < 0 or ask >= state.eff.shape[0] or state.level_tick[bid] < state.level_tick[ask]:
            return
        bid_older = state.stamp[bid] < state.stamp[ask] or (
            state.stamp[bid] == state.stamp[ask] and state.order[bid] < state.order[ask]
        )
        level = bid if bid_older else ask
        newer = ask if bid_older else bid
        _correct(rows, state, ns, level, 0, IMPLIED, state.stamp[newer], state.seq[newer], state.order[newer], 0)


@njit_lean
def _clear(rows: _Rows, state: _State, ns: int) -> None:
    for level in range(state.eff.shape[0]):
        state.shown[level] = 0
        state.stamp[level] = 0
        state.seq[level] = 0
        state.is_dirty[level] = 0
        state.cleared[level] = state.eff[level] > 0
        if state.eff[level] > 0:
            _set_level(rows, state, ns, level, 0, IMPLIED | RESET)
    state.scalars[_DIRTY] = 0
    state.scalars[_DEPTH_SEQ] = 0


@njit_lean
def _end_snapshot(rows: _Rows, state: _State, ns: int, low: int, high: int) -> None:
    """Levels that were full before the reset and that the snapshot covers but does not name are empty: say so."""
    for level in range(state.eff.shape[0]):
        if state.cleared[level]:
            state.cleared[level] = 0
            if state.eff[level] == 0 and low <= state.level_tick[level] <= high:
                _set_level(rows, state, ns, level, 0, IMPLIED)


@njit
def _run(
    events: _Events, level_tick: NDArray[np.int64], bid_levels: int, implied: bool
) -> tuple[_Rows, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    stamps, exch_ns, seqs, ticks, qtys, kinds, sides, flags, level_of = events
    count = kinds.shape[0]
    levels = level_tick.shape[0]
    state = _State(
        level_tick,
        bid_levels,
        np.zeros(levels, np.int64),
        np.zeros(levels, np.int64),
        np.zeros(levels, np.int64),
        np.zeros(levels, np.int64),
        np.zeros(levels, np.int64),
        np.zeros(levels, np.uint8),
        np.zeros(levels, np.int64),
        np.zeros(levels, np.uint8),
        np.zeros(levels, np.uint8),
        np.zeros(_SCALARS, np.int64),
    )
    scalars = state.scalars
    scalars[_BID] = -1
    scalars[_ASK] = levels
    resets = 0
    for e in range(count):
        resets += kinds[e] == CLEAR
    # A tape that begins without a reset has an epoch of its own, of which nothing is known but what is touched.
    epoch_row = np.zeros(resets + 1, np.int64)
    epoch_low = np.full(resets + 1, NO_ASK, np.int64)
    epoch_high = np.full(resets + 1, -NO_ASK, np.int64)
    epoch = 0
    slack = 3 * levels + 8  # the most rows that one event can cause
    size = count + (count >> 2) + slack
    rows = _new_rows(size)
    message_start = 0
    touched_depth = False
    for e in range(count):
        if scalars[_ROWS] + slack > size:
            size = size + (size >> 1) + slack
            rows = _resized(rows, scalars[_ROWS], size)
        kind = kinds[e]
        ns = stamps[e]
        if kind == DEPTH or kind == SNAPSHOT:
            _depth_level(rows, state, ns, level_of[e], qtys[e], exch_ns[e], seqs[e], e)
            touched_depth = True
            if kind == SNAPSHOT:
                epoch_low[epoch] = min(epoch_low[epoch], ticks[e])
                epoch_high[epoch] = max(epoch_high[epoch], ticks[e])
        elif kind == BBO:
            # A best quote that arrives after a depth message which already contains it says nothing new.
            if implied and qtys[e] > 0 and not (0 < seqs[e] <= scalars[_DEPTH_SEQ]):
                _best_quote(rows, state, ns, sides[e], level_of[e], qtys[e], exch_ns[e], seqs[e], e)
        elif kind == TRADE:
            if sides[e] == BUY:
                scalars[_CUM_BUY] += qtys[e]
            else:
                scalars[_CUM_SELL] += qtys[e]
            _append(rows, state, ns, ROW_PRINT, sides[e], ticks[e], qtys[e], 0, -1)
            if implied:
                _print_implies(rows, state, ns, sides[e], ticks[e], qtys[e], exch_ns[e], e)
        elif kind == CLEAR:
            epoch += 1
            epoch_row[epoch] = _append(rows, state, ns, ROW_CLEAR, 0, 0, 0, 0, -1)
            _clear(rows, state, ns)
        ends = (flags[e] & LAST) != 0 or e + 1 == count
        if kind == CLEAR and e + 1 < count and kinds[e + 1] == SNAPSHOT:
            ends = False  # a reset and its snapshot are one message
        if ends:
            if touched_depth:
                _end_corrections(rows, state, ns, exch_ns[e], seqs[e], e)
                scalars[_DEPTH_SEQ] = max(scalars[_DEPTH_SEQ], seqs[e])
                touched_depth = False
            if kind == SNAPSHOT:
                _end_snapshot(rows, state, ns, epoch_low[epoch], epoch_high[epoch])
            _uncross(rows, state, ns)
            if scalars[_ROWS] > message_start:
                rows.flags[scalars[_ROWS] - 1] |= MESSAGE_END
            message_start = scalars[_ROWS]
    return _resized(rows, scalars[_ROWS], scalars[_ROWS]), epoch_row, epoch_low, epoch_high
