"""Level ids: every (side, price) that a tape names, numbered in order of price, bids before asks.

One pass over the events with a hash table of the distinct levels, then a sort of those alone: a tape names a level
some thirty times, so that sorting its rows would cost more than compiling them. Whatever else a compilation wants to
know of all events is found out on the same pass.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.jit import njit_leaf, njit_lean
from lobgym.sim.records import BBO, BUY, CLEAR, DEPTH, SNAPSHOT, TRADE

__all__ = ["Levels", "number_levels"]

_SLOTS_MIN: Final = 1 << 8  # of the hash table; it grows with the levels that it holds
_SLOTS_AT_FIRST_MAX: Final = 1 << 16
_LINE: Final = 3  # 2^3 neighbouring prices of a side share a cache line of the table
_EMPTY: Final = -1
_ASKS: Final = 1 << 62  # added to an ask's tick, all of which are smaller

# Entries of `of_event` that are no slots.
_NONE: Final = -1  # the event is about no level
_PRINT: Final = -2  # the level that it hit is not looked up yet
_OTHER: Final = -3  # the event is no row of a book

# Where the counts stand that the first pass makes on the way.
_EVENT: Final = 0  # the event to go on with
_DISTINCT: Final = 1
_LOTS_MAX: Final = 2
_PRINTS: Final = 3
_CLEARS: Final = 4
_OTHERS: Final = 5
_LATE: Final = 6  # events received before the one that happened before them
_RECEIVED: Final = 7  # receive stamp of the last event
_COUNTS: Final = 8


class Levels(NamedTuple):
    """The levels of a tape and what else the first pass over it finds out."""

    tick: NDArray[np.int64]  # [L] bids ascending, then asks ascending
    bids: int  # how many of the L are bids
    of_event: NDArray[np.int32]  # [events] its level; of a print the one that it hit; -1 where there is none
    lots_max: int  # of levels and prints
    prints: int
    clears: int
    others: NDArray[np.int64]  # [n] the events that are no rows of a book: marks, funding, halts
    in_order: bool  # whether the order of arrival is the exchange's


def number_levels(events: NDArray[np.void]) -> Levels:
    """Number the levels of EVENT_DTYPE[n]."""
    slots = _SLOTS_MIN
    while slots < min(len(events) // 4, _SLOTS_AT_FIRST_MAX):
        slots *= 2
    keys = np.full(slots, _EMPTY, np.int64)
    of_event = np.empty(len(events), np.int32)
    counts = np.zeros(_COUNTS, np.int64)
    _gather(events, keys, of_event, counts)
    while counts[_EVENT] < len(events):
        old, keys = keys, np.full(2 * len(keys), _EMPTY, np.int64)
        _move(old, keys, np.empty(len(old), np.int32), of_event[: counts[_EVENT]])
        _gather(events, keys, of_event, counts)
    tick = np.sort(keys[keys != _EMPTY])
    others = np.flatnonzero(of_event == _OTHER) if counts[_OTHERS] else np.empty(0, np.int64)
    _renumber(events, keys, tick, np.empty(len(keys), np.int32), of_event)
    bids = int(np.searchsorted(tick, _ASKS))
    tick[bids:] -= _ASKS
    lots_max, prints, clears = (int(count) for count in counts[_LOTS_MAX : _CLEARS + 1])
    return Levels(tick, bids, of_event, lots_max, prints, clears, others, counts[_LATE] == 0)


@njit_leaf
def _key(tick: int, side: int) -> int:
    """A level as one number; in their order the levels are numbered."""
    return tick if side == BUY else tick + _ASKS


@njit_leaf
def _slot(keys: NDArray[np.int64], key: int) -> int:
    """Where a key stands, or the empty slot where it belongs. The product fits 64 bits."""
    line = key >> _LINE
    mixed = ((line ^ (line >> 31)) & 0x7FFFFFFF) * 0x5BD1E995 >> 20
    mask = keys.shape[0] - 1
    slot = (mixed << _LINE | (key & ((1 << _LINE) - 1))) & mask
    while keys[slot] != key and keys[slot] != _EMPTY:
        slot = (slot + 1) & mask
    return int(slot)


@njit_lean
def _gather(
    events: NDArray[np.void], keys: NDArray[np.int64], of_event: NDArray[np.int32], counts: NDArray[np.int64]
) -> None:
    """Put levels into the table, note their slots, and count; stops where the table is half full."""
    known = counts[_DISTINCT]
    lots_max = counts[_LOTS_MAX]
    late = counts[_LATE]
    received = counts[_RECEIVED]
    e = counts[_EVENT]
    while e < events.shape[0] and 2 * known < keys.shape[0]:
        event = events[e]
        kind = event["kind"]
        if kind == DEPTH or kind == BBO or kind == SNAPSHOT:
            lots_max = max(lots_max, event["qty_lots"])
            key = _key(event["price_ticks"], event["side"])
            slot = _slot(keys, key)
            if keys[slot] == _EMPTY:
                keys[slot] = key
                known += 1
        elif kind == TRADE:
            lots_max = max(lots_max, event["qty_lots"])
            counts[_PRINTS] += 1
            slot = _PRINT
        elif kind == CLEAR:
            counts[_CLEARS] += 1
            slot = _NONE
        else:
            counts[_OTHERS] += 1
            slot = _OTHER
        of_event[e] = slot
        late += event["local_ns"] < received
        received = event["local_ns"]
        e += 1
    counts[_DISTINCT] = known
    counts[_LOTS_MAX] = lots_max
    counts[_LATE] = late
    counts[_RECEIVED] = received
    counts[_EVENT] = e


@njit_lean
def _move(
    old: NDArray[np.int64], keys: NDArray[np.int64], moved: NDArray[np.int32], of_event: NDArray[np.int32]
) -> None:
    """Fill a larger table from a smaller one; `moved` [old slots] is where each slot went."""
    for slot in range(old.shape[0]):
        if old[slot] != _EMPTY:
            moved[slot] = _slot(keys, old[slot])
            keys[moved[slot]] = old[slot]
    for e in range(of_event.shape[0]):
        if of_event[e] >= 0:
            of_event[e] = moved[of_event[e]]


@njit_lean
def _renumber(
    events: NDArray[np.void], keys: NDArray[np.int64], ordered: NDArray[np.int64], rank: NDArray[np.int32],
    of_event: NDArray[np.int32],
) -> None:  # fmt: skip
    """Slots become numbers in the order of the keys `ordered`; prints get the level that they hit."""
    for level in range(ordered.shape[0]):
        rank[_slot(keys, ordered[level])] = level
    for e in range(of_event.shape[0]):
        slot = of_event[e]
        if slot >= 0:
            of_event[e] = rank[slot]
        elif slot == _PRINT:
            hit = _slot(keys, _key(events[e]["price_ticks"], -events[e]["side"]))
            of_event[e] = rank[hit] if keys[hit] != _EMPTY else _NONE
        else:
            of_event[e] = _NONE
