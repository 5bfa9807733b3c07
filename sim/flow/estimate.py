"""What a tape says directly about a flow's parameters: events counted in each state of the queue, over time in it.

A tape shows levels, not orders, and most of them only in batches, so that what happened between two of its rows counts
once, by its net. `lobgym.sim.flow.calibrate` corrects what that hides. numpy only; nothing here is drawn.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.errors import MeasureError
from lobgym.sim.flow.record import QUEUE_BUCKETS
from lobgym.sim.market import Market
from lobgym.sim.records import BBO, BUY, CLEAR, DEPTH, SELL, SNAPSHOT, TRADE

__all__ = ["Estimates", "estimate", "rounded"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

SAMPLES: Final = 600  # pictures of the book that time in each state is counted on
WINDOW_MAX: Final = 1 << 22  # prices of such a picture
BUCKETS_FEWEST: Final = 13
BUCKETS_MOST: Final = 15
REACH_MOVES: Final = 5.0  # the book reaches as many standard deviations of a 10 s move
CLUSTER_NS: Final = 100_000_000  # changes of the mid within it are one jump
SHAPE_STEPS: Final = 64
PRIOR_S: Final = 20.0  # a cell's rate is drawn to its bucket's mean as if that had been seen for so long
CAP: Final = 6.0  # a cell's rate is at most so many times its bucket's mean: the largest is what candidates cost
CLIP: Final = 0.99  # sizes beyond this quantile count as it: single walls must not be the mean
TAIL: Final = 0.996  # quantile that stands for what is beyond it in the tables of sizes, whose last step is 1/64
JUMPS_FEWEST: Final = 20
TAKERS_FEWEST: Final = 50


class Estimates(NamedTuple):
    """Parameters by name as `ReactiveFlow` takes them, and the price that the tape was at."""

    parameters: dict[str, Any]
    price_ticks: float


def rounded(value: float) -> float:
    """Six significant digits: what is beyond them depends on the machine that counted."""
    return float(f"{value:.6g}")


def estimate(market: Market) -> Estimates:
    """Count. Raises MeasureError where the tape has too few trades or price moves."""
    events = market.tape.events
    bests = _Bests(market)
    seconds = (int(events["exch_ns"][-1]) - bests.start_ns) / 1e9
    moves = bests.moves()
    if len(moves) < JUMPS_FEWEST:
        raise MeasureError(f"the mid moved {len(moves)} times, fitting needs {JUMPS_FEWEST}: take a longer tape")
    buckets = _buckets(bests)
    changes = _changes(events, bests, buckets)
    lots = _mean_sizes(changes, buckets)
    limit, cancel, best_sizes = _rates(events, bests, changes, lots, seconds)
    takers = _takers(events)
    parameters = {
        "limit_per_s": _rows(limit),
        "cancel_per_s": _rows(cancel),
        "limit_lots": tuple(rounded(one) for one in lots),
        "best_shape": _shape(best_sizes),
        "size_shape": _shape(_relative(changes, lots)),
        "jump_per_s": rounded(len(moves) / seconds),
        "jump_ticks": _shape(moves),
        **takers,
    }
    return Estimates(parameters, float(np.median(bests.mid2[bests.mid2 > 0])) / 2.0)


# -- bests -------------------------------------------------------------------------------------------------------------


class _Bests:
    """The best quotes by time, from the compiled book."""

    def __init__(self, market: Market) -> None:
        book = market.exch
        self.start_ns, self.end_ns = market.start_ns, int(book.ns[-1])
        self.ns, self.tick = [], []  # bids, asks
        for changes in (book.bids, book.asks):
            kept = changes[(changes["row"] >= 0) & (changes["level"] >= 0)]
            stamps = book.ns[kept["row"]]
            last = np.append(stamps[1:] != stamps[:-1], True)
            self.ns.append(stamps[last].astype(np.int64))
            self.tick.append(kept["tick"][last].astype(np.int64))
        self.stamps = np.unique(np.concatenate(self.ns))
        self.stamps = self.stamps[self.stamps >= self.start_ns]
        self.mid2 = self.at(0, self.stamps) + self.at(1, self.stamps)

    def at(self, side: int, ns: Ints) -> Ints:
        """Best price of side 0 or 1 at each stamp."""
        place = np.searchsorted(self.ns[side], ns, side="right") - 1
        found: Ints = self.tick[side][np.maximum(place, 0)]
        return found

    def moves(self) -> Floats:
        """Ticks by which the mid moved in each cluster of changes, one tick and more, without sign."""
        mid2 = self.mid2
        changed = np.flatnonzero(np.diff(mid2)) + 1
        if not len(changed):
            return np.zeros(0)
        stamps = self.stamps[changed]
        first = np.flatnonzero(np.append(True, np.diff(stamps) > CLUSTER_NS))
        last = np.append(first[1:], len(changed)) - 1
        sizes = np.abs(mid2[changed[last]] - mid2[changed[first] - 1]) / 2.0
        made: Floats = sizes[sizes >= 1.0]
        return made


def _buckets(bests: _Bests) -> int:
    grid = np.arange(bests.start_ns, bests.end_ns, 10_000_000_000, dtype=np.int64)
    mid = (bests.at(0, grid) + bests.at(1, grid)) / 2.0
    spread = float(np.sqrt(np.mean(np.diff(mid) ** 2))) if len(mid) > 1 else 0.0
    wanted = 1 + math.ceil(math.log2(max(1.0, REACH_MOVES * spread)))
    return max(BUCKETS_FEWEST, min(BUCKETS_MOST, wanted))


# -- changes of levels -------------------------------------------------------------------------------------------------


class _Changes(NamedTuple):
    """What rows of levels say, by the state before: int64[k] each."""

    bucket: Ints  # of distance
    before: Ints  # lots
    by: Ints  # lots that came, negative: went


def _distance_bucket(distance: Ints) -> Ints:
    made: Ints = np.frexp(np.maximum(distance, 0).astype(np.float64))[1].astype(np.int64)
    return made


def _queue_bucket(lots: Ints, mean: Floats | float) -> Ints:
    units = np.floor(lots / mean)
    made: Ints = np.where(lots == 0, 0, np.minimum(QUEUE_BUCKETS - 1, 1 + np.frexp(units)[1])).astype(np.int64)
    return made


def _changes(events: NDArray[Any], bests: _Bests, buckets: int) -> _Changes:
    """Changes of single levels that the depth stream told, within reach."""
    epoch = np.cumsum(events["kind"] == CLEAR)
    of_level = np.flatnonzero((events["kind"] == DEPTH) | (events["kind"] == SNAPSHOT))
    rows = events[of_level]
    key = (epoch[of_level] << 1) | (rows["side"] == BUY)
    order = np.lexsort((np.arange(len(rows)), rows["price_ticks"], key))
    same = np.append(False, np.diff(key[order]) == 0) & np.append(False, np.diff(rows["price_ticks"][order]) == 0)
    before = np.zeros(len(rows), np.int64)
    before[order[1:]] = rows["qty_lots"][order[:-1]]
    before[order[~same]] = 0
    kept = (rows["kind"] == DEPTH) & (rows["exch_ns"] >= bests.start_ns)
    rows, before = rows[kept], before[kept]
    bid = rows["side"] == BUY
    best = np.where(bid, bests.at(0, rows["exch_ns"]), bests.at(1, rows["exch_ns"]))
    distance = np.where(bid, best - rows["price_ticks"], rows["price_ticks"] - best)
    bucket = _distance_bucket(distance)
    near = bucket < buckets
    return _Changes(bucket[near], before[near], (rows["qty_lots"] - before)[near])


def _clipped(values: NDArray[Any]) -> NDArray[Any]:
    return np.minimum(values, np.quantile(values, CLIP)) if len(values) else values


def _mean_sizes(changes: _Changes, buckets: int) -> Floats:
    out = np.ones(buckets)
    for b in range(buckets):
        came = changes.by[(changes.bucket == b) & (changes.by > 0)]
        out[b] = max(1.0, float(_clipped(came).mean())) if len(came) else out[b - 1]
    return out


def _relative(changes: _Changes, lots: Floats) -> Floats:
    """Sizes of what came, in means of their bucket."""
    came = changes.by > 0
    made: Floats = changes.by[came] / lots[changes.bucket[came]]
    return np.minimum(made, np.quantile(made, TAIL))


def _shape(values: Floats) -> tuple[float, ...]:
    at = np.quantile(values, np.arange(SHAPE_STEPS + 1) / SHAPE_STEPS)
    return tuple(rounded(float(one)) for one in at)


def _rows(table: Floats) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(rounded(float(one)) for one in row) for row in table)


# -- rates -------------------------------------------------------------------------------------------------------------


def _rates(
    events: NDArray[Any], bests: _Bests, changes: _Changes, lots: Floats, seconds: float
) -> tuple[Floats, Floats, Floats]:
    """Limit orders and cancels a second and tick by state of the queue, float64[B, 8] each; sizes at distance 0.

    `lots` of distance 0 is set to what the best quotes say, where the tape has them.
    """
    buckets = len(lots)
    shape = (buckets, QUEUE_BUCKETS)
    states = changes.bucket * QUEUE_BUCKETS + _queue_bucket(changes.before, lots[changes.bucket])
    came, went = changes.by > 0, changes.by < 0
    arrivals = np.bincount(states[came], minlength=buckets * QUEUE_BUCKETS).reshape(shape).astype(np.float64)
    leaves = np.bincount(states[went], minlength=buckets * QUEUE_BUCKETS).reshape(shape).astype(np.float64)
    held = _time_in_states(events, bests, lots, seconds)
    sizes = _best_queue(events, lots, arrivals, leaves, held)
    if not len(sizes):
        sizes = changes.by[came & (changes.bucket == 0)]
    if not len(sizes):
        sizes = changes.by[came]
    taken = float(_first_prints(events[events["kind"] == TRADE]).sum())
    if leaves[0].sum() > 0.0:
        leaves[0] *= max(0.2, 1.0 - taken / leaves[0].sum())
    leaves[:, 0] = 0.0
    limit, cancel = np.zeros(shape), np.zeros(shape)
    for b in range(buckets):
        total = max(float(held[b].sum()), 1e-9)
        mean_in, mean_out = arrivals[b].sum() / total, leaves[b].sum() / max(float(held[b, 1:].sum()), 1e-9)
        limit[b] = np.minimum((arrivals[b] + PRIOR_S * mean_in) / (held[b] + PRIOR_S), CAP * mean_in)
        cancel[b] = np.minimum((leaves[b] + PRIOR_S * mean_out) / (held[b] + PRIOR_S), CAP * mean_out)
        cancel[b, 0] = 0.0
    return limit, cancel, np.minimum(sizes, np.quantile(sizes, CLIP)).astype(np.float64)


def _time_in_states(events: NDArray[Any], bests: _Bests, lots: Floats, seconds: float) -> Floats:
    """Seconds that one tick of a side spent in each state, summed over ticks and sides: float64[B, 8]."""
    buckets = len(lots)
    reach = 1 << (buckets - 1)
    low = min(int(bests.tick[0].min()), int(bests.tick[1].min())) - reach
    width = max(int(bests.tick[0].max()), int(bests.tick[1].max())) + reach + 1 - low
    if width > WINDOW_MAX:
        raise MeasureError(f"the tape's best prices span {width} ticks, fitting handles {WINDOW_MAX}: cut it up")
    bucket = _distance_bucket(np.arange(reach))
    mean = lots[bucket]
    qty = np.zeros((2, width), np.int64)
    rows = events[np.isin(events["kind"], (DEPTH, SNAPSHOT, CLEAR))]
    stamps = rows["exch_ns"]
    times = bests.start_ns + np.arange(1, SAMPLES + 1) * ((bests.end_ns - bests.start_ns) // (SAMPLES + 1))
    found = np.zeros(buckets * QUEUE_BUCKETS)
    done = 0
    for ns in times.tolist():
        until = int(np.searchsorted(stamps, ns, side="right"))
        _apply(qty, rows[done:until], low)
        done = until
        here = np.array([ns], np.int64)
        bid, ask = int(bests.at(0, here)[0]) - low, int(bests.at(1, here)[0]) - low
        for queue in (qty[0, bid - reach + 1 : bid + 1][::-1], qty[1, ask : ask + reach]):
            found += np.bincount(bucket * QUEUE_BUCKETS + _queue_bucket(queue, mean), minlength=len(found))
    return found.reshape(buckets, QUEUE_BUCKETS) * (seconds / SAMPLES)


def _apply(qty: Ints, rows: NDArray[Any], low: int) -> None:
    clears = np.flatnonzero(rows["kind"] == CLEAR)
    if len(clears):
        qty[:] = 0
        rows = rows[clears[-1] + 1 :]
    at = rows["price_ticks"] - low
    inside = (at >= 0) & (at < qty.shape[1])
    qty[np.where(rows["side"] == BUY, 0, 1)[inside], at[inside]] = rows["qty_lots"][inside]


def _best_queue(events: NDArray[Any], lots: Floats, arrivals: Floats, leaves: Floats, held: Floats) -> Ints:
    """The best queue as the stream of best quotes tells it, finer than batches of depth; the sizes that came."""
    quotes = events[events["kind"] == BBO]
    if not len(quotes):
        return np.zeros(0, np.int64)
    by, before, length = [], [], []
    for side in (BUY, SELL):
        rows = quotes[quotes["side"] == side]
        stays = np.diff(rows["price_ticks"]) == 0
        by.append(np.where(stays, np.diff(rows["qty_lots"]), 0))
        before.append(rows["qty_lots"][:-1])
        length.append(np.diff(rows["exch_ns"]) / 1e9)
    change, stood = np.concatenate(by), np.concatenate(before)
    if not (change > 0).any():
        return np.zeros(0, np.int64)
    lots[0] = max(1.0, float(_clipped(change[change > 0]).mean()))
    bucket = _queue_bucket(stood, float(lots[0]))
    arrivals[0] = np.bincount(bucket[change > 0], minlength=QUEUE_BUCKETS)
    leaves[0] = np.bincount(bucket[change < 0], minlength=QUEUE_BUCKETS)
    held[0] = np.bincount(bucket, np.concatenate(length), QUEUE_BUCKETS)
    return change[change > 0]


# -- takers ------------------------------------------------------------------------------------------------------------


def _takers(events: NDArray[Any]) -> dict[str, Any]:
    """Rates, sizes and excitation of takers: prints of one stamp and side are one taker's."""
    prints = events[events["kind"] == TRADE]
    if not len(prints):
        raise MeasureError("the tape has no trades: there is nothing to fit takers to")
    new = _first_prints(prints)
    lots = np.add.reduceat(prints["qty_lots"], np.flatnonzero(new)).astype(np.float64)
    ns, side = prints["exch_ns"][new], prints["side"][new]
    if len(lots) < TAKERS_FEWEST:
        raise MeasureError(f"the tape has {len(lots)} takers, fitting needs {TAKERS_FEWEST}: take a longer tape")
    seconds = (int(ns[-1]) - int(ns[0])) / 1e9
    branching, decay = _excitation(ns)
    signs = side.astype(np.float64)
    follows = float(np.mean(signs[1:] * signs[:-1]))
    own = min(0.98, max(0.5, (1.0 + follows / branching) / 2.0))
    return {
        "taker_per_s": rounded(len(lots) / seconds * (1.0 - branching)),
        "excite_self": rounded(branching * own),
        "excite_cross": rounded(branching * (1.0 - own)),
        "excite_decay_per_s": rounded(decay),
        "taker_lots": rounded(max(1.0, float(lots.mean()))),
        "taker_shape": _shape(np.minimum(lots, np.quantile(lots, TAIL))),
    }


def _first_prints(prints: NDArray[Any]) -> NDArray[np.bool_]:
    """Which prints begin a taker's: another stamp or side than the one before."""
    made: NDArray[np.bool_] = np.ones(len(prints), np.bool_)
    made[1:] = (np.diff(prints["exch_ns"]) != 0) | (np.diff(prints["side"]) != 0)
    return made


def _excitation(ns: Ints) -> tuple[float, float]:
    """Branching ratio and decay from how counts vary: Hawkes (1971) with an exponential kernel.

    With branching ratio n and decay b the counts of windows w have variance over mean
    1 + n (2 - n) / (1 - n)^2 (1 - (1 - exp(-k w)) / (k w)), k = b (1 - n): 1 / (1 - n)^2 for long windows.
    """
    long, short = _dispersion(ns, 5.0), _dispersion(ns, 0.2)
    branching = min(0.9, max(0.1, 1.0 - 1.0 / math.sqrt(max(long, 1.05))))
    most = 1.0 / (1.0 - branching) ** 2 - 1.0
    share = min(0.95, max(0.02, (short - 1.0) / most))
    low, high = 1e-3, 1e3
    for _ in range(80):
        middle = math.sqrt(low * high)
        if 1.0 - (1.0 - math.exp(-middle)) / middle < share:
            low = middle
        else:
            high = middle
    return branching, min(200.0, max(0.2, low / 0.2 / (1.0 - branching)))


def _dispersion(ns: Ints, window_s: float) -> float:
    counts = np.bincount(((ns - ns[0]) / (window_s * 1e9)).astype(np.int64))[:-1]
    return float(counts.var() / counts.mean()) if len(counts) > 1 and counts.mean() > 0 else 1.0
