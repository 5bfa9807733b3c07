"""Parts of the plain-Python hftbacktest: its arithmetic, its book and its latency. See `reference_hft`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["NO_ASK", "NO_BID", "Depth", "Latency", "Settings", "least", "probability", "round_half_away"]

NO_BID, NO_ASK = -(2**63), 2**63 - 1


@dataclass
class Settings:
    """What a case is run with. Times in ns, fees as fractions, `latency` rows (sent, at exchange, answered, 0)."""

    tick_size: float
    lot_size: float
    queue: str = "power3"
    power: float = 3.0
    partial: bool = False
    inverse: bool = False
    contract_size: float = 1.0
    maker_fee: float = 0.0
    taker_fee: float = 0.0
    entry_ns: int = 0
    response_ns: int = 0
    latency: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 4), np.int64))


def div(a: float, b: float) -> float:
    if b != 0.0:
        return a / b
    return math.nan if a == 0.0 or math.isnan(a) else math.copysign(math.inf, a) * math.copysign(1.0, b)


def power(x: float, n: float) -> float:
    try:
        return math.pow(x, n)
    except ValueError:
        return math.inf if x == 0.0 else math.nan


def ln(x: float) -> float:
    return math.log(x) if x > 0.0 else (-math.inf if x == 0.0 else math.nan)


def least(a: float, b: float) -> float:
    """The smaller; a NaN loses."""
    if math.isnan(a):
        return b
    return a if math.isnan(b) or a < b else b


def round_half_away(x: float) -> int:
    """Nearest integer, halves away from zero."""
    whole = math.trunc(x)
    return whole + (1 if x > 0 else -1) if abs(x - whole) >= 0.5 else whole


def probability(queue: str, n: float, front: float, back: float) -> float:
    """Probability that a cancellation was behind the order."""
    if queue == "power":
        return div(power(back, n), power(back, n) + power(front, n))
    if queue == "power2":
        return div(power(back, n), power(back + front, n))
    if queue == "power3":
        return 1.0 - power(div(front, front + back), n)
    if queue == "log":
        return div(ln(1.0 + back), ln(1.0 + back) + ln(1.0 + front))
    return div(ln(1.0 + back), ln(1.0 + (back + front)))


class Depth:
    """Best prices and a map of quantities a side, with the levels that a crossing leaves behind."""

    def __init__(self) -> None:
        self.bounded = 0  # searches that ended at a bound, with a level left beyond it
        self.clear()

    def clear(self) -> None:
        self.bids: dict[int, float] = {}
        self.asks: dict[int, float] = {}
        self.bid, self.ask = NO_BID, NO_ASK
        self.low, self.high = NO_ASK, NO_BID

    def _below(self, start: int, end: int) -> int:
        for tick in range(start - 1, max(end, start - 64) - 1, -1):  # near, most of the time
            if tick in self.bids:
                return tick
        found = max((t for t in self.bids if end <= t < start), default=NO_BID)
        self.bounded += found == NO_BID and any(t < start for t in self.bids)
        return found

    def _above(self, start: int, end: int) -> int:
        for tick in range(start + 1, min(end, start + 64) + 1):
            if tick in self.asks:
                return tick
        found = min((t for t in self.asks if start < t <= end), default=NO_ASK)
        self.bounded += found == NO_ASK and any(t > start for t in self.asks)
        return found

    def set_bid(self, tick: int, qty: float, lots: int) -> float:
        """New quantity of a bid; returns the old one."""
        prev = self.bids.get(tick, 0.0)
        if lots > 0:
            self.bids[tick] = qty
            if tick > self.bid:
                self.bid = tick
                if self.bid >= self.ask:
                    self.ask = self._above(self.bid, self.high)
            self.low = min(self.low, tick)
        else:
            self.bids.pop(tick, None)
            if tick == self.bid:
                self.bid = self._below(self.bid, self.low)
                if self.bid == NO_BID:
                    self.low = NO_ASK
        return prev

    def set_ask(self, tick: int, qty: float, lots: int) -> float:
        """New quantity of an ask; returns the old one."""
        prev = self.asks.get(tick, 0.0)
        if lots > 0:
            self.asks[tick] = qty
            if tick < self.ask:
                self.ask = tick
                if self.bid >= self.ask:
                    self.bid = self._below(self.ask, self.low)
            self.high = max(self.high, tick)
        else:
            self.asks.pop(tick, None)
            if tick == self.ask:
                self.ask = self._above(self.ask, self.high)
                if self.ask == NO_ASK:
                    self.high = NO_BID
        return prev

    def apply(self, kind: int, side: int, tick: int, qty: float, lots: int) -> None:
        """A row, for someone who has no orders in the book."""
        if kind == 3:
            self.clear()
        elif kind in (1, 4):
            (self.set_bid if side > 0 else self.set_ask)(tick, qty, lots)


def between(x: int, x1: int, y1: int, x2: int, y2: int) -> int:
    return math.trunc(float(y2 - y1) / float(x2 - x1) * float(x - x1)) + y1


class Latency:
    """Constant, or interpolated over a table whose cursors only go forward."""

    def __init__(self, settings: Settings) -> None:
        self.constant = (settings.entry_ns, settings.response_ns)
        self.rows = [tuple(int(v) for v in row[:3]) for row in settings.latency]
        self.entry_row = self.response_row = 0

    def entry(self, now: int) -> int:
        """Delay of a request sent now; negative: lost, and its size is the time until that is known."""
        rows = self.rows
        if not rows:
            return self.constant[0]
        if now < rows[0][0]:
            return rows[0][1] - rows[0][0]
        while self.entry_row + 1 < len(rows):
            (sent, exch, seen), (sent2, exch2, seen2) = rows[self.entry_row], rows[self.entry_row + 1]
            if sent <= now < sent2:
                if exch <= 0 or exch2 <= 0:
                    return -between(now, sent, seen - sent, sent2, seen2 - sent2)
                return between(now, sent, exch - sent, sent2, exch2 - sent2)
            self.entry_row += 1
        return rows[-1][1] - rows[-1][0]

    def response(self, now: int) -> int:
        """Delay of an answer given now."""
        rows = self.rows
        if not rows:
            return self.constant[1]
        if now < rows[0][1]:
            return rows[0][2] - rows[0][1]
        while self.response_row + 1 < len(rows):
            (_, exch, seen), (_, exch2, seen2) = rows[self.response_row], rows[self.response_row + 1]
            if exch <= now < exch2:
                return between(now, exch, seen - exch, exch2, seen2 - exch2)
            self.response_row += 1
        return rows[-1][2] - rows[-1][1]
