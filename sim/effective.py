"""The effective book while it is compiled: its levels, the evidence about them, and the rows that come of it.

The rules are those of docs/market.md, section 1; `lobgym.sim.compile` tells the story.
"""

from __future__ import annotations

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
    row_flags,
)
from lobgym.sim.jit import njit_inner, njit_leaf
from lobgym.sim.records import BUY
from lobgym.sim.rows import append, begin_epoch, begin_row
from lobgym.sim.work import (
    Work,
    ask_at,
    bid_at,
    correction_at,
    epoch_at,
    first_above,
    flip_if,
    last_below,
    level_at,
    row_at,
    tick_of,
)

__all__ = ["clear", "correct", "depth_level", "empty", "end_depth", "end_message", "end_snapshot"]

_BID_BIT = 1 << SIDE_SHIFT


# -- levels ------------------------------------------------------------------------------------------------------


@njit_leaf
def _set_level(w: Work, level: int, qty: int, flags: int) -> None:
    """Give a level of the effective book a new quantity, keep the bests, and write the row."""
    begin_row(w)
    one = level_at(w, level)
    is_bid = level < w["bid_levels"]
    # On recordings 15 to 60 of 100 changes fill or empty their level, and no processor foresees which: no branch.
    flip_if(w, level, (one["qty"] > 0) != (qty > 0))
    if is_bid:
        if level >= w["bid"]:
            w["bid"] = level if qty > 0 else last_below(w, w["bid"] + 1)
    elif level <= w["ask"]:
        w["ask"] = level if qty > 0 else first_above(w, w["ask"] - 1)
    one["qty"] = qty
    one["touches"] += 1
    append(w, qty << QTY_SHIFT | flags << FLAGS_SHIFT | (_BID_BIT if is_bid else 0) | ROW_LEVEL, level)


@njit_inner
def _write_level(w: Work, level: int, qty: int, flags: int) -> None:
    """`_set_level` where it is rare: called, not inlined."""
    _set_level(w, level, qty, flags)


# -- evidence ----------------------------------------------------------------------------------------------------


@njit_leaf
def _witness(w: Work, level: int, by_print: int) -> None:
    one = level_at(w, level)
    one["stamp"] = w["exch_ns"]
    one["place"] = w["place"]
    one["by_print"] = by_print


@njit_leaf
def depth_level(w: Work, level: int, qty: int, seq: int) -> None:
    """A row of depth: what is shown, and unless something newer corrects it, what is."""
    one = level_at(w, level)
    entry = one["correction"] - 1
    if entry >= 0:
        correction = correction_at(w, entry)
        correction["shown"] = qty
        if one["stamp"] > w["exch_ns"] or (correction["seq"] > 0 and correction["seq"] > seq):
            return
        one["correction"] = 0
    _witness(w, level, 0)
    _set_level(w, level, qty, 0)


@njit_inner
def correct(w: Work, level: int, qty: int, flags: int) -> None:
    """Overrule what depth shows of a level, unless what is known about it is newer than the evidence at hand.

    A quote or depth of the print's own millisecond, applied before it, already contains it.
    """
    one = level_at(w, level)
    by_print = w["by_print"]
    if one["place"] >= w["cleared"] and (
        one["stamp"] > w["exch_ns"] or (by_print and one["stamp"] == w["exch_ns"] and not one["by_print"])
    ):
        return
    _witness(w, level, by_print)
    entry = one["correction"] - 1
    if entry < 0:
        entry = w["correction_count"]
        w["correction_count"] = entry + 1
        one["correction"] = entry + 1
        correction_at(w, entry)["level"] = level
        correction_at(w, entry)["shown"] = one["qty"]
    correction_at(w, entry)["seq"] = w["seq"]
    if one["qty"] != qty:
        _set_level(w, level, qty, flags)


@njit_leaf
def _empty_bids(w: Work, tick: int) -> None:
    """Empty every bid above `tick`."""
    level = w["bid"]
    while level >= 0 and tick_of(w, level) > tick:
        correct(w, level, 0, IMPLIED)
        level = last_below(w, level)


@njit_leaf
def _empty_asks(w: Work, tick: int) -> None:
    """Empty every ask below `tick`."""
    level = w["ask"]
    while level < w["level_count"] and tick_of(w, level) < tick:
        correct(w, level, 0, IMPLIED)
        level = first_above(w, level)


@njit_leaf
def empty(w: Work, side: int, tick: int) -> None:
    """Somebody trades or quotes at (side, tick): better levels of that side are gone, and all that it would cross."""
    if side == BUY:
        _empty_bids(w, tick)
        _empty_asks(w, tick + 1)
    else:
        _empty_asks(w, tick)
        _empty_bids(w, tick - 1)


# -- ends --------------------------------------------------------------------------------------------------------


@njit_inner
def end_depth(w: Work, seq: int) -> None:
    """A depth message has ended: every correction that it is newer than gives way to what depth shows."""
    w["depth_seq"] = max(w["depth_seq"], seq)
    kept = 0
    for entry in range(w["correction_count"]):
        correction = correction_at(w, entry)
        level = correction["level"]
        one = level_at(w, level)
        if one["correction"] != entry + 1:
            continue
        if one["stamp"] < w["exch_ns"] or (0 < correction["seq"] <= seq):
            one["correction"] = 0
            _witness(w, level, 0)
            if one["qty"] != correction["shown"]:
                _write_level(w, level, correction["shown"], IMPLIED)
        else:
            one["correction"] = kept + 1
            other = correction_at(w, kept)
            other["level"] = level
            other["shown"] = correction["shown"]
            other["seq"] = correction["seq"]
            kept += 1
    w["correction_count"] = kept


@njit_leaf
def _is_crossed(w: Work) -> bool:
    bid = w["bid"]
    ask = w["ask"]
    return bool(bid >= 0 and ask < w["level_count"] and tick_of(w, bid) >= tick_of(w, ask))


@njit_inner
def _uncross(w: Work) -> None:
    """Empty the older of two bests that cross until none do."""
    while _is_crossed(w):
        bid = w["bid"]
        ask = w["ask"]
        of_bid = level_at(w, bid)
        of_ask = level_at(w, ask)
        bid_older = of_bid["stamp"] < of_ask["stamp"] or (
            of_bid["stamp"] == of_ask["stamp"] and of_bid["place"] < of_ask["place"]
        )
        newer = level_at(w, ask if bid_older else bid)
        entry = newer["correction"] - 1
        w["exch_ns"] = newer["stamp"]
        w["place"] = newer["place"]
        w["seq"] = correction_at(w, entry)["seq"] if entry >= 0 else 0
        w["by_print"] = 0
        correct(w, bid if bid_older else ask, 0, IMPLIED)


@njit_leaf
def _end_side(change: Work, last: Work, row: int, level: int, tick: int) -> int:
    """Note a best after `row` where it is another one than before; returns how many entries that makes."""
    if last["level"] == level:
        return 0
    change["row"] = row
    change["level"] = level
    change["tick"] = tick
    return 1


@njit_leaf
def end_message(w: Work) -> None:
    """A message that wrote rows has ended: uncross the book, which is observable after its last row."""
    if _is_crossed(w):
        _uncross(w)
    row = w["row_count"] - 1
    row_at(w, row)["word"] |= MESSAGE_END << FLAGS_SHIFT
    w["message"] = row + 1
    count = w["bid_count"]
    level = w["bid"]
    tick = tick_of(w, level) if level >= 0 else NO_BID
    w["bid_count"] = count + _end_side(bid_at(w, count), bid_at(w, count - 1), row, level, tick)
    count = w["ask_count"]
    level = w["ask"] if w["ask"] < w["level_count"] else NO_LEVEL
    tick = tick_of(w, level) if level >= 0 else NO_ASK
    w["ask_count"] = count + _end_side(ask_at(w, count), ask_at(w, count - 1), row, level, tick)


# -- resets ------------------------------------------------------------------------------------------------------


@njit_inner
def clear(w: Work) -> None:
    """Everything is void, evidence included; levels that displayed something get a row."""
    begin_epoch(w, 0)
    w["cleared"] = w["place"]
    w["depth_seq"] = 0
    for entry in range(w["correction_count"]):
        level_at(w, correction_at(w, entry)["level"])["correction"] = 0
    w["correction_count"] = 0
    level = first_above(w, -1)
    while level < w["level_count"]:
        _write_level(w, level, 0, IMPLIED | RESET)
        level = first_above(w, level)


@njit_inner
def end_snapshot(w: Work) -> None:
    """Levels that the reset emptied and that the snapshot covers but does not name are empty: say so."""
    epoch = epoch_at(w, w["epoch_count"] - 1)
    row = epoch["row"] + 1
    while row_flags(row_at(w, row)["word"]) & RESET:
        level = int(row_at(w, row)["key"])
        if level_at(w, level)["qty"] == 0 and epoch["low"] <= tick_of(w, level) <= epoch["high"]:
            _write_level(w, level, 0, IMPLIED)
        row += 1
