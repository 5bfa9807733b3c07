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
from typing import Final

from lobgym.sim.book import (
    FLAGS_SHIFT,
    IMPLIED,
    MESSAGE_END,
    NO_ASK,
    NO_BID,
    NO_LEVEL,
    QTY_SHIFT,
    RESET,
    ROW_LEVEL,
    SIDE_SHIFT,
)
from lobgym.sim.jit import njit_inner, njit_leaf, njit_lean
from lobgym.sim.market import Market
from lobgym.sim.records import CLEAR, DEPTH, SNAPSHOT, TRADE
from lobgym.sim.rows import append, begin_epoch, begin_row, end_rows, take_event, widen_epoch, write_print
from lobgym.sim.tables import compile_events
from lobgym.sim.tape import Tape
from lobgym.sim.work import (
    Work,
    ask_at,
    bid_at,
    event_at,
    first_above,
    flip_if,
    last_below,
    level_at,
    level_of_event,
    tick_of,
)

__all__ = ["compile_depth_market"]

_END: Final = MESSAGE_END << FLAGS_SHIFT
_RESET_WORD: Final = (MESSAGE_END | IMPLIED | RESET) << FLAGS_SHIFT | ROW_LEVEL


def compile_depth_market(tape: Tape) -> Market:
    """Compile a tape in both orders, for the profiles `hftbacktest` and `hftbacktest-partial`.

    Raises:
        TapeFormatError: the tape never shows a bid and an ask at once, or more than a book can hold.
    """
    digest = hashlib.sha256(f"{tape.digest}|depth".encode()).hexdigest()
    return Market(tape, False, digest, *compile_events(tape.events, _run, False), depth_only=True)


@njit_leaf
def _new_bid(w: Work, row: int, level: int) -> None:
    w["bid"] = level
    entry = bid_at(w, w["bid_count"])
    entry["row"] = row
    entry["level"] = level
    entry["tick"] = tick_of(w, level) if level >= 0 else NO_BID
    w["bid_count"] += 1


@njit_leaf
def _new_ask(w: Work, row: int, level: int) -> None:
    w["ask"] = level
    there = level < w["level_count"]
    entry = ask_at(w, w["ask_count"])
    entry["row"] = row
    entry["level"] = level if there else NO_LEVEL
    entry["tick"] = tick_of(w, level) if there else NO_ASK
    w["ask_count"] += 1


@njit_inner
def _ask_above(w: Work, level: int, tick: int) -> int:
    """The first ask behind `level` and above `tick` that displays something and is not beyond the bound."""
    end = int(w["level_count"])
    level = first_above(w, level)
    while level < end and tick_of(w, level) <= tick:
        level = first_above(w, level)
    return level if level <= w["high"] else end


@njit_inner
def _bid_below(w: Work, level: int, tick: int) -> int:
    """The first bid behind `level` and below `tick` that displays something and is not beyond the bound."""
    level = last_below(w, level)
    while level >= 0 and tick_of(w, level) >= tick:
        level = last_below(w, level)
    return level if level >= w["low"] else -1


@njit_inner
def _best_moves(w: Work, row: int, level: int, qty: int) -> None:
    """A row sets a level in front of its side's best, or empties the best."""
    bid = w["bid"]
    ask = w["ask"]
    end = w["level_count"]
    tick = tick_of(w, level)
    if level < w["bid_levels"]:
        if qty > 0:
            _new_bid(w, row, level)
            if ask < end and tick >= tick_of(w, ask):
                _new_ask(w, row, _ask_above(w, ask, tick))
        else:
            _new_bid(w, row, _bid_below(w, level, NO_ASK))
            if w["bid"] < 0:
                w["low"] = end
    elif qty > 0:
        _new_ask(w, row, level)
        if bid >= 0 and tick <= tick_of(w, bid):
            _new_bid(w, row, _bid_below(w, bid, tick))
    else:
        _new_ask(w, row, _ask_above(w, level, NO_BID))
        if w["ask"] == end:
            w["high"] = -1


@njit_inner
def _clear(w: Work) -> None:
    """Both sides are void; levels that displayed something get a row."""
    row = w["row_count"]
    begin_epoch(w, MESSAGE_END)
    end = w["level_count"]
    level = first_above(w, -1)
    while level < end:
        begin_row(w)
        flip_if(w, level, True)
        one = level_at(w, level)
        one["qty"] = 0
        one["touches"] += 1
        append(w, _RESET_WORD | (1 << SIDE_SHIFT if level < w["bid_levels"] else 0), level)
        level = first_above(w, level)
    if w["bid"] >= 0:
        _new_bid(w, row, -1)
    if w["ask"] < end:
        _new_ask(w, row, end)
    w["low"] = end
    w["high"] = -1


@njit_leaf
def _level_row(w: Work, qty: int, level: int) -> None:
    """Depth sets a level. Which side, and whether it fills or empties, is a toss: no branches until a best moves."""
    begin_row(w)
    row = w["row_count"]
    one = level_at(w, level)
    fills = qty > 0
    flip_if(w, level, fills != (one["qty"] > 0))
    one["qty"] = qty
    one["touches"] += 1
    is_bid = level < w["bid_levels"]
    append(w, qty << QTY_SHIFT | _END | int(is_bid) << SIDE_SHIFT | ROW_LEVEL, level)
    end = w["level_count"]
    w["low"] = min(w["low"], level + (end - level) * int(not (fills and is_bid)))
    w["high"] = max(w["high"], (level + 1) * int(fills and not is_bid) - 1)
    bid = w["bid"]
    ask = w["ask"]
    if (fills and bid < level < ask) or (not fills and (level == bid or level == ask)):
        _best_moves(w, row, level, qty)


@njit_lean
def _run(w: Work) -> None:
    """Apply events from the next one on, to the last or until there may be no room for the rows of one more."""
    for place in range(w["next_event"], w["event_count"]):
        if w["row_count"] > w["rows_max"]:
            w["next_event"] = place
            return
        number = take_event(w, place)
        event = event_at(w, number)
        kind = event["kind"]
        if kind == DEPTH or kind == SNAPSHOT:
            _level_row(w, event["qty_lots"], level_of_event(w, number))
            if kind == SNAPSHOT:
                widen_epoch(w, event["price_ticks"])
        elif kind == TRADE:
            write_print(w, event, MESSAGE_END)
        elif kind == CLEAR:
            _clear(w)
    w["next_event"] = w["event_count"]
    end_rows(w)
