"""docs/compare.md in plain Python: every measure of a tape by brute force over its states, for small tapes.

The book is that of `tests/sim/reference.py`. Nothing of `lobgym.sim.measures` is used.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

from lobgym.sim import records as rec
from lobgym.sim.tape import Tape
from tests.sim.reference import RefBook, messages_of

STEP = 100_000_000
Ladder = list[tuple[int, int]]


class State(NamedTuple):
    """The book from a stamp on: ladders best first, and whether what depth rows show crosses."""

    ns: int
    bids: Ladder
    asks: Ladder
    crossed: bool

    @property
    def bests(self) -> tuple[Ladder, Ladder]:
        return [(tick, 0) for tick, _ in self.bids[:1]], [(tick, 0) for tick, _ in self.asks[:1]]

    @property
    def mid2(self) -> int:
        return self.bids[0][0] + self.asks[0][0] if self.bids and self.asks else 0


class Print(NamedTuple):
    ns: int
    side: int
    tick: int
    lots: int


class Summary(NamedTuple):
    """Of a distribution: weight by the bounds of a bin, how many values, their mean."""

    bins: dict[tuple[int, int], int]
    count: int
    mean: float


class Point(NamedTuple):
    y: float
    se: float
    count: int


def bin_bounds(value: int) -> tuple[int, int]:
    """Smallest and largest integer of the bin of a value: all that share its ten leading binary digits."""
    cut = max(value.bit_length() - 10, 0)
    return value >> cut << cut, (value >> cut << cut) + (1 << cut) - 1


def summary(values: Sequence[float], integers: Sequence[int], weights: Sequence[int] | None = None) -> Summary:
    weights = weights if weights is not None else [1] * len(values)
    bins: Counter[tuple[int, int]] = Counter()
    for integer, weight in zip(integers, weights, strict=True):
        bins[bin_bounds(integer)] += weight
    total = math.fsum(value * weight for value, weight in zip(values, weights, strict=True))
    return Summary(dict(bins), len(values), total / sum(weights) if values else math.nan)


def states_of(tape: Tape) -> list[State]:
    """One for each stamp with rows about the book or prints."""
    book = RefBook()
    shown: dict[int, dict[int, int]] = {rec.BUY: {}, rec.SELL: {}}
    out: list[State] = []
    for message in messages_of(tape.events):
        book.message(message)
        for row in message:
            if row.kind == rec.CLEAR:
                shown = {rec.BUY: {}, rec.SELL: {}}
            elif row.kind in (rec.DEPTH, rec.SNAPSHOT):
                shown[row.side][row.tick] = row.qty
        if message[0].kind > rec.BBO:
            continue
        bids, asks = ([tick for tick, lots in shown[side].items() if lots] for side in (rec.BUY, rec.SELL))
        crossed = bool(bids and asks) and max(bids) >= min(asks)
        state = State(message[0].exch_ns, book.ladder(rec.BUY, 10), book.ladder(rec.SELL, 10), crossed)
        out = [*(out[:-1] if out and out[-1].ns == state.ns else out), state]
    return out


class RefMeasures:
    """Everything at once; names are those of the catalog."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        instrument = tape.instrument
        self.lot = float(instrument.lot_size * instrument.contract_size)
        self.tick = float(instrument.tick_size) if instrument.is_inverse else None
        self.states = states_of(tape)
        self.start = next(state.ns for state in self.states if state.mid2)
        self.end = self.states[-1].ns
        self.span = self.end - self.start
        rows = [row for row in tape.events if row["kind"] <= rec.BBO and row["exch_ns"] > self.start]
        self.row_ns = [int(row["exch_ns"]) for row in rows]
        self.depth_rows = sum(row["kind"] == rec.DEPTH for row in rows)
        self.prints = [
            Print(int(row["exch_ns"]), int(row["side"]), int(row["price_ticks"]), int(row["qty_lots"]))
            for row in rows
            if row["kind"] == rec.TRADE
        ]
        self.trades = list(dict.fromkeys((one.ns, one.side) for one in self.prints))
        self.grid = list(range(self.start, self.end + 1, STEP))
        self.mids = [self.mid2_at(t) for t in self.grid]

    # -- lookups --

    def state_at(self, t: int) -> State:
        return [state for state in self.states if state.ns <= t][-1]

    def mid2_at(self, t: int) -> int:
        return next((state.mid2 for state in reversed(self.states) if state.ns <= t and state.mid2), 0)

    def base(self, lots: int, tick: int) -> float:
        return lots * self.lot / (tick * self.tick) if self.tick else lots * self.lot

    def whole(self, lots: int, tick: int) -> int:
        """What a quantity is counted by."""
        return round(self.base(lots, tick) * 1e8) if self.tick else lots

    # -- measures --

    def held(self) -> list[tuple[State, int]]:
        """States and for how long each stood within the span."""
        ends = [*(state.ns for state in self.states[1:]), self.end]
        return [
            (state, end - max(state.ns, self.start))
            for state, end in zip(self.states, ends, strict=True)
            if end > max(state.ns, self.start)
        ]

    def spreads(self) -> tuple[Summary, Summary]:
        merged: list[tuple[State, int]] = []
        for state, held in self.held():
            if merged and merged[-1][0].bests == state.bests:
                merged[-1] = state, merged[-1][1] + held
            else:
                merged.append((state, held))
        two = [(state, held) for state, held in merged if state.mid2]
        ticks = [state.asks[0][0] - state.bids[0][0] for state, _ in two]
        bps = [1e4 * spread / (state.mid2 / 2) for spread, (state, _) in zip(ticks, two, strict=True)]
        weights = [held for _, held in two]
        whole = [math.floor(value * 1e6 + 0.5) for value in bps]
        return summary(ticks, ticks, weights), summary(bps, whole, weights)

    def shares(self) -> tuple[float, float]:
        one_sided = sum(held for state, held in self.held() if not state.mid2)
        return one_sided / self.span, sum(held for state, held in self.held() if state.crossed) / self.span

    @cached_property
    def samples(self) -> list[State]:
        return [state for state in map(self.state_at, self.grid) if state.mid2]

    def depth(self, side: int, k: int) -> Summary:
        levels = []
        for state in self.samples:
            ladder = state.bids if side == rec.BUY else state.asks
            levels.append((ladder[k][1], ladder[k][0]) if k < len(ladder) else (0, 1))
        return summary([self.base(*one) for one in levels], [self.whole(*one) for one in levels])

    def top_lots(self) -> float:
        tops = [lots for state in self.samples for lots in (state.bids[0][1], state.asks[0][1])]
        return sum(tops) / len(tops)

    @staticmethod
    def imbalance_of(state: State, levels: int) -> tuple[float, int, int]:
        bid, ask = (sum(lots for _, lots in ladder[:levels]) for ladder in (state.bids, state.asks))
        return (bid - ask) / (bid + ask), 2000 * bid // (bid + ask), 10 * bid // (bid + ask)

    def imbalance(self, levels: int) -> tuple[dict[int, int], float]:
        """Samples by cell, and the mean."""
        all_of = [self.imbalance_of(state, levels) for state in self.samples]
        return dict(Counter(cell for _, cell, _ in all_of)), math.fsum(one for one, _, _ in all_of) / len(all_of)

    def gaps(self, stamps: Sequence[int]) -> Summary:
        apart = [after - before for before, after in pairwise(stamps)]
        return summary([gap / 1e6 for gap in apart], apart)

    def log_returns(self, seconds: int) -> list[float]:
        mids = self.mids[:: seconds * 10]
        return [1e4 * math.log(after / before) for before, after in pairwise(mids)]

    def by_imbalance(self, steps: int) -> list[Point]:
        found: list[list[tuple[int, float]]] = [[] for _ in range(10)]
        for n, t in enumerate(self.grid[: len(self.grid) - steps]):
            state = self.state_at(t)
            if state.mid2:
                move = 1e4 * (self.mids[n + steps] / self.mids[n] - 1)
                found[min(self.imbalance_of(state, 1)[2], 9)].append(((t - self.start) // 30_000_000_000, move))
        return [mean_of(one) for one in found]

    def response(self, delay_ms: int) -> Point:
        found = []
        for ns, side in self.trades:
            if ns + delay_ms * 1_000_000 <= self.end:
                before, after = self.mid2_at(ns - 1), self.mid2_at(ns + delay_ms * 1_000_000)
                found.append(((ns - self.start) // 30_000_000_000, 1e4 * side * (after / before - 1)))
        return mean_of(found)


def mean_of(found: list[tuple[int, float]]) -> Point:
    """Mean of (cluster, value) and its standard error."""
    if not found:
        return Point(math.nan, math.nan, 0)
    mean = math.fsum(value for _, value in found) / len(found)
    clusters = sorted({cluster for cluster, _ in found})
    if len(clusters) < 2:
        return Point(mean, math.nan, len(found))
    rest = [math.fsum(value - mean for one, value in found if one == cluster) for cluster in clusters]
    size = len(clusters)
    return Point(mean, math.sqrt(size / (size - 1) * math.fsum(r * r for r in rest)) / len(found), len(found))


def deviation(values: Sequence[float]) -> tuple[float, float]:
    """Standard deviation and kurtosis of a population."""
    mean = math.fsum(values) / len(values)
    m2, m4 = (math.fsum((value - mean) ** p for value in values) / len(values) for p in (2, 4))
    return math.sqrt(m2), m4 / m2**2 if m2 else math.nan


def correlation(values: Sequence[float], lag: int) -> float:
    mean = math.fsum(values) / len(values)
    below = math.fsum((value - mean) ** 2 for value in values)
    pairs = zip(values[: len(values) - lag], values[lag:], strict=True)
    return math.fsum((one - mean) * (other - mean) for one, other in pairs) / below


def everything(tape: Tape) -> dict[str, Any]:
    """Scalars by name."""
    one = RefMeasures(tape)
    spreads = one.spreads()
    shares = one.shares()
    seconds = one.span / 1e9
    tops = [one.depth(side, 0) for side in (rec.BUY, rec.SELL)]
    sizes = [one.base(each.lots, each.tick) for each in one.prints]
    out: dict[str, Any] = {
        "spread_mean_ticks": spreads[0].mean,
        "spread_mean_bps": spreads[1].mean,
        "top_depth_mean": (tops[0].mean + tops[1].mean) / 2,
        "top_depth_mean_lots": one.top_lots(),
        "row_rate": len(one.row_ns) / seconds,
        "trade_rate": len(one.prints) / seconds,
        "trade_event_rate": len(one.trades) / seconds,
        "print_size_mean": math.fsum(sizes) / len(sizes),
        "print_size_mean_lots": sum(each.lots for each in one.prints) / len(sizes),
        "order_to_trade": one.depth_rows / len(sizes),
        "one_sided_share": shares[0],
        "crossed_share": shares[1],
    }
    for s in (1, 10, 60):
        returns = one.log_returns(s)
        both = deviation(returns) if len(returns) > 1 else (None, None)
        out[f"volatility_{s}s_bps"], out[f"kurtosis_{s}s"] = both
    return out
