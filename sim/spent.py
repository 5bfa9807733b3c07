"""Depth that a lane itself consumed: what it took from a level stays taken for it (docs/market.md, section 4)."""

from __future__ import annotations

from lobgym.sim.jit import njit_inner
from lobgym.sim.records import ERR_SPENT_FULL
from lobgym.sim.view import BookView, level_qty_by_id, touch_at, touch_row, touch_start, touched_qty
from lobgym.sim.world import World, exch_of, lane_at, spent_at

__all__ = ["left_of", "spend"]


@njit_inner
def _left_after(book: BookView, level: int, avail: int, since: int, cursor: int) -> int:
    """Roll what is left of a level forward over rows [since, cursor): only what is newly displayed comes back."""
    at = touch_at(book, level, since)
    end = touch_start(book, level + 1)
    if at >= end or touch_row(book, at) >= cursor:
        return avail
    prev = touched_qty(book, at - 1) if at > touch_start(book, level) else 0
    while at < end and touch_row(book, at) < cursor:
        new = touched_qty(book, at)
        avail = min(new, avail + max(0, new - prev))
        prev = new
        at += 1
    return avail


@njit_inner
def _entry_of(w: World, i: int, level: int) -> int:
    for k in range(lane_at(w, i)["spent_count"]):
        if spent_at(w, i, k)["level"] == level:
            return k
    return -1


@njit_inner
def left_of(w: World, i: int, level: int, cursor: int) -> int:
    """Lots of a level that this lane can still take."""
    k = _entry_of(w, i, level)
    book = exch_of(w)
    if k < 0:
        return level_qty_by_id(book, level, cursor)
    entry = spent_at(w, i, k)
    entry["avail"] = _left_after(book, level, entry["avail"], entry["cursor"], cursor)
    entry["cursor"] = cursor
    return int(entry["avail"])


@njit_inner
def _drop_recovered(w: World, i: int, cursor: int) -> None:
    book = exch_of(w)
    kept = 0
    for k in range(lane_at(w, i)["spent_count"]):
        level = spent_at(w, i, k)["level"]
        left = _left_after(book, level, spent_at(w, i, k)["avail"], spent_at(w, i, k)["cursor"], cursor)
        if left < level_qty_by_id(book, level, cursor):
            spent_at(w, i, kept)["level"] = level
            spent_at(w, i, kept)["avail"] = left
            spent_at(w, i, kept)["cursor"] = cursor
            kept += 1
    lane_at(w, i)["spent_count"] = kept


@njit_inner
def spend(w: World, i: int, level: int, qty: int, cursor: int) -> None:
    """Record that the lane took `qty` lots of a level; a full table is an error of the lane."""
    k = _entry_of(w, i, level)
    if k < 0:
        book = exch_of(w)
        if lane_at(w, i)["spent_count"] == w["max_spent"]:
            _drop_recovered(w, i, cursor)
        k = lane_at(w, i)["spent_count"]
        if k == w["max_spent"]:
            lane_at(w, i)["error"] = ERR_SPENT_FULL
            return
        lane_at(w, i)["spent_count"] = k + 1
        spent_at(w, i, k)["level"] = level
        spent_at(w, i, k)["avail"] = level_qty_by_id(book, level, cursor)
    spent_at(w, i, k)["avail"] -= qty
    spent_at(w, i, k)["cursor"] = cursor
