"""Passes over the compiled book: the spread by time, mids at given times, ladders on a clock grid.

A state is the book after all rows of one stamp; it stands until the next stamp at which a best changes.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.jit import njit_leaf, njit_lean
from lobgym.sim.ladder import LADDER_SCRATCH, ladder_with
from lobgym.sim.measures.bins import BIN_COUNT, bin_of
from lobgym.sim.mids import mid2_of, next_stamp
from lobgym.sim.records import BUY, SELL
from lobgym.sim.view import BookView, ask_tick, bid_tick, seek_forward

__all__ = [
    "BPS_UNIT",
    "IMBALANCE_CELLS",
    "IMBALANCE_LEVELS",
    "QTY_UNIT",
    "LadderSums",
    "base_qty",
    "first_state_ns",
    "mids_at",
    "new_ladder_sums",
    "sample_ladders",
    "spread_by_time",
    "whole_qty",
]

BPS_UNIT: Final = 1e-6  # spreads are counted in whole millionths of a basis point
QTY_UNIT: Final = 1e-8  # of the base currency: what quantities are counted in where a lot is worth this and that
IMBALANCE_CELLS: Final = 2_000
IMBALANCE_LEVELS: Final = 5
_BPS_SCALE: Final = 2e4 / BPS_UNIT  # of a spread by twice a mid


@njit_lean
def first_state_ns(book: BookView) -> int:
    """Stamp of the first state with a bid and an ask; -1 where there is none."""
    ns, i, j = next_stamp(book, 0, 0)
    while ns >= 0 and mid2_of(book, i, j) == 0:
        ns, i, j = next_stamp(book, i, j)
    return int(ns)


@njit_lean
def spread_by_time(
    book: BookView, end_ns: int, ticks: NDArray[np.int64], bps: NDArray[np.int64], sums: NDArray[np.float64]
) -> int:
    """Add the nanoseconds for which each spread stood before `end_ns` to two histograms of fine bins.

    Returns how many pairs of bests there were, one after another.

    Args:
        sums: float64[3]: nanoseconds with two sides, and those times the spread in ticks, and in BPS_UNIT.
    """
    pairs = 0
    bid = ask = 0  # the last pair
    ns, i, j = next_stamp(book, 0, 0)
    while ns >= 0 and ns < end_ns:
        after, next_i, next_j = next_stamp(book, i, j)
        held = (end_ns if after < 0 else min(after, end_ns)) - ns
        mid2 = mid2_of(book, i, j)
        if held > 0 and mid2 > 0:
            spread = ask_tick(book, j) - bid_tick(book, i)
            share = spread * _BPS_SCALE / mid2
            ticks[bin_of(spread)] += held
            bps[bin_of(int(share + 0.5))] += held
            sums[0] += held
            sums[1] += float(held) * spread
            sums[2] += held * share
            pairs += bid_tick(book, i) != bid or ask_tick(book, j) != ask
        if held > 0:
            bid, ask = bid_tick(book, i), ask_tick(book, j)
        ns, i, j = after, next_i, next_j
    return pairs


@njit_lean
def mids_at(book: BookView, times: NDArray[np.int64], out: NDArray[np.int64]) -> None:
    """Twice the last two-sided mid in ticks by each of int64[n] ascending times; 0 where there was none yet."""
    last = 0
    ns, i, j = next_stamp(book, 0, 0)
    for n in range(times.shape[0]):
        while 0 <= ns <= times[n]:
            mid2 = mid2_of(book, i, j)
            if mid2 > 0:
                last = mid2
            ns, i, j = next_stamp(book, i, j)
        out[n] = last


class LadderSums(NamedTuple):
    """What `sample_ladders` adds to, with room for the ladders that it reads."""

    counts: NDArray[np.int64]  # [2, D, BIN_COUNT] quantities as `whole_qty` has them, by side (0 bids) and level
    qty_sum: NDArray[np.float64]  # [2, D] in base units
    lots_sum: NDArray[np.float64]  # [2] at the best prices
    cells: NDArray[np.int32]  # [2, samples] imbalance of 1 and of 5 levels, as one of IMBALANCE_CELLS; -1: no sample
    imbalance_sum: NDArray[np.float64]  # [2]
    bid_tick: NDArray[np.int64]  # [D], as are the following three
    bid_qty: NDArray[np.int64]
    ask_tick: NDArray[np.int64]
    ask_qty: NDArray[np.int64]
    scratch: NDArray[np.int64]  # [2, LADDER_SCRATCH]


def new_ladder_sums(depth: int, samples: int) -> LadderSums:
    """Zeroed sums over ladders of `depth` levels."""
    tick, qty = np.zeros((2, depth), np.int64), np.zeros((2, depth), np.int64)
    return LadderSums(
        np.zeros((2, depth, BIN_COUNT), np.int64), np.zeros((2, depth)), np.zeros(2),
        np.full((2, samples), -1, np.int32), np.zeros(2), tick[0], qty[0], tick[1], qty[1],
        np.zeros((2, LADDER_SCRATCH), np.int64),
    )  # fmt: skip


@njit_leaf
def base_qty(lots: int, tick: int, unit: float, per_tick: float) -> float:
    """Base units of some lots: each is worth `unit`, by the price if a tick is worth `per_tick` > 0 (inverse)."""
    return lots * unit / (tick * per_tick) if per_tick > 0 else lots * unit


@njit_leaf
def whole_qty(lots: int, qty: float, per_tick: float) -> int:
    """A quantity as the integer that it is counted by: lots, or QTY_UNIT where lots differ in worth."""
    return int(qty / QTY_UNIT + 0.5) if per_tick > 0 else lots


@njit_leaf
def _note(sums: LadderSums, side: int, k: int, tick: int, lots: int, unit: float, per_tick: float) -> None:
    qty = base_qty(lots, tick, unit, per_tick)
    sums.counts[side, k, bin_of(whole_qty(lots, qty, per_tick))] += 1
    sums.qty_sum[side, k] += qty


@njit_leaf
def _note_imbalance(sums: LadderSums, which: int, n: int, bid: int, ask: int) -> None:
    sums.cells[which, n] = IMBALANCE_CELLS * bid // (bid + ask)
    sums.imbalance_sum[which] += (bid - ask) / (bid + ask)


@njit_lean
def sample_ladders(
    book: BookView, start_ns: int, step_ns: int, samples: int, unit: float, per_tick: float, sums: LadderSums
) -> int:
    """Look at both ladders at start + n * step for n below `samples`, at what is two-sided; returns how often it was.

    A level that a side does not have counts as 0. `unit` and `per_tick` as `base_qty` takes them.
    """
    depth = sums.bid_qty.shape[0]
    cursor = 0
    seen = 0
    for n in range(samples):
        cursor = seek_forward(book, cursor, start_ns + n * step_ns)
        bids = ladder_with(book, BUY, cursor, depth, sums.bid_tick, sums.bid_qty, sums.scratch)
        asks = ladder_with(book, SELL, cursor, depth, sums.ask_tick, sums.ask_qty, sums.scratch)
        if bids == 0 or asks == 0:
            continue
        near_bid = 0
        near_ask = 0
        for k in range(depth):
            bid = sums.bid_qty[k] if k < bids else 0
            ask = sums.ask_qty[k] if k < asks else 0
            _note(sums, 0, k, sums.bid_tick[min(k, bids - 1)], bid, unit, per_tick)
            _note(sums, 1, k, sums.ask_tick[min(k, asks - 1)], ask, unit, per_tick)
            if k < IMBALANCE_LEVELS:
                near_bid += bid
                near_ask += ask
        sums.lots_sum[0] += sums.bid_qty[0]
        sums.lots_sum[1] += sums.ask_qty[0]
        _note_imbalance(sums, 0, n, sums.bid_qty[0], sums.ask_qty[0])
        _note_imbalance(sums, 1, n, near_bid, near_ask)
        seen += 1
    return seen
