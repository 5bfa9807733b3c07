"""Level ids: every (side, price) that a tape names, numbered in order of price, bids before asks.

One pass over the events with a hash table of the distinct levels, then a sort of those alone: a tape names a level
some thirty times, so that sorting its rows would cost more than compiling them.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.jit import njit_inline, njit_lean
from lobgym.sim.records import BBO, BUY, CLEAR, DEPTH, LAST, SNAPSHOT, TRADE

__all__ = ["Levels", "number_levels"]

_SLOTS_AT_FIRST: Final = 1 << 12
_EMPTY: Final = -1
_LINE: Final = 3  # 2^3 neighbouring prices of a side share a cache line of the table

# Where the counts stand that the first pass makes on the way.
_AT: Final = 0  # the event to go on with
_DISTINCT: Final = 1
_LOTS_MAX: Final = 2
_PRINTS: Final = 3
_CLEARS: Final = 4
_MESSAGES: Final = 5
_COUNTS: Final = 6


class Levels(NamedTuple):
    """The levels of a tape and what else the first pass over it finds out."""

    tick: NDArray[np.int64]  # [L] bids ascending, then asks ascending
    bids: int  # how many of the L are bids
    of_event: NDArray[np.int32]  # [events] its level; of a print the one that it hit; -1 where there is none
    lots_max: int  # of levels and prints
    prints: int
    clears: int
    messages: int


def number_levels(events: NDArray[np.void]) -> Levels:
    """Number the levels of EVENT_DTYPE[n]."""
    of_event = np.empty(len(events), np.int32)
    counts = np.zeros(_COUNTS, np.int64)
    keys = np.full(_SLOTS_AT_FIRST, _EMPTY, np.int64)
    ids = np.empty(_SLOTS_AT_FIRST, np.int32)
    distinct = np.empty(_SLOTS_AT_FIRST // 2, np.int64)
    while True:
        _gather(events, keys, ids, distinct, of_event, counts)
        if counts[_AT] == len(events):
            break
        keys, ids = np.full(2 * len(keys), _EMPTY, np.int64), np.empty(2 * len(keys), np.int32)
        distinct = np.concatenate([distinct, np.empty_like(distinct)])
        _insert_all(keys, ids, distinct, int(counts[_DISTINCT]))
    found = distinct[: counts[_DISTINCT]]
    # A key is tick * 2 + (side is SELL): sorted by side, then tick.
    order = np.lexsort((found, found & 1))
    rank = np.empty(len(found), np.int32)
    rank[order] = np.arange(len(found), dtype=np.int32)
    _renumber(events, keys, ids, rank, of_event)
    bids = len(found) - int((found & 1).sum())
    _, _, lots_max, prints, clears, messages = (int(count) for count in counts)
    return Levels(found[order] >> 1, bids, of_event, lots_max, prints, clears, messages)


@njit_inline
def _slot(keys: NDArray[np.int64], key: int) -> int:
    """Where a key stands, or the empty slot where it belongs. The products fit 64 bits."""
    line = key >> _LINE
    mixed = (line & 0x7FFFFFFF) * 0x5BD1E995 + (line >> 31) * 0x1B873593
    mask = keys.shape[0] - 1
    slot = (((mixed >> 20) << _LINE) | (key & ((1 << _LINE) - 1))) & mask
    while keys[slot] != key and keys[slot] != _EMPTY:
        slot = (slot + 1) & mask
    return int(slot)


@njit_inline
def _key(event: np.void, flip: int) -> int:
    """The level of an event, `flip` 1: the level on the other side."""
    return int(event["price_ticks"] << 1 | ((0 if event["side"] == BUY else 1) ^ flip))


@njit_lean
def _gather(
    events: NDArray[np.void], keys: NDArray[np.int64], ids: NDArray[np.int32], distinct: NDArray[np.int64],
    of_event: NDArray[np.int32], counts: NDArray[np.int64],
) -> None:  # fmt: skip
    """Number levels in order of appearance, and count; stops where the table is half full."""
    known = counts[_DISTINCT]
    lots_max = counts[_LOTS_MAX]
    prints = counts[_PRINTS]
    clears = counts[_CLEARS]
    messages = counts[_MESSAGES]
    e = counts[_AT]
    while e < events.shape[0] and known < distinct.shape[0]:
        event = events[e]
        kind = event["kind"]
        messages += event["flags"] & LAST
        if kind == DEPTH or kind == BBO or kind == SNAPSHOT:
            lots_max = max(lots_max, event["qty_lots"])
            key = _key(event, 0)
            slot = _slot(keys, key)
            if keys[slot] == _EMPTY:
                keys[slot] = key
                ids[slot] = known
                distinct[known] = key
                known += 1
            of_event[e] = ids[slot]
        elif kind == TRADE:
            lots_max = max(lots_max, event["qty_lots"])
            prints += 1
        elif kind == CLEAR:
            clears += 1
        e += 1
    counts[_AT] = e
    counts[_DISTINCT] = known
    counts[_LOTS_MAX] = lots_max
    counts[_PRINTS] = prints
    counts[_CLEARS] = clears
    counts[_MESSAGES] = messages


@njit_lean
def _insert_all(keys: NDArray[np.int64], ids: NDArray[np.int32], distinct: NDArray[np.int64], count: int) -> None:
    for k in range(count):
        slot = _slot(keys, distinct[k])
        keys[slot] = distinct[k]
        ids[slot] = k


@njit_lean
def _renumber(
    events: NDArray[np.void], keys: NDArray[np.int64], ids: NDArray[np.int32], rank: NDArray[np.int32],
    of_event: NDArray[np.int32],
) -> None:  # fmt: skip
    """Numbers in order of appearance become numbers in order of price; prints find the level that they hit."""
    for e in range(events.shape[0]):
        event = events[e]
        kind = event["kind"]
        if kind == DEPTH or kind == BBO or kind == SNAPSHOT:
            of_event[e] = rank[of_event[e]]
        elif kind == TRADE:
            slot = _slot(keys, _key(event, 1))
            of_event[e] = rank[ids[slot]] if keys[slot] != _EMPTY else -1
        else:
            of_event[e] = -1
