"""The parts of docs/market.md that need no lane: random numbers, latencies, feed, queues, money, margin.

Written from that page in plain Python, without looking at the kernels. The numbers in the comments are its sections.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from math import ceil, floor, frexp
from typing import Any

from lobgym.sim.instrument import Instrument

UNIT = 1 << 20  # fronts are counted in 2^-20 lots
SECOND = 1_000_000_000
WORD = (1 << 64) - 1

# -- random numbers, docs/determinism.md ---------------------------------------------------------------------------


def mix(z: int) -> int:
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & WORD
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & WORD
    return z ^ (z >> 31)


def draw(seed: int, stream: int, counter: int) -> int:
    golden = 0x9E3779B97F4A7C15
    key = mix(mix((seed + golden) & WORD) ^ ((stream * 0xD1342543DE82EF95) & WORD))
    return mix((key + counter * golden) & WORD)


# -- latency and feed, 2 ---------------------------------------------------------------------------------------------


class Constant:
    """No model: nothing is added."""

    def entry(self, at: int, seed: int, counter: int) -> int:
        return 0

    response = entry


@dataclass
class Table:
    """Recorded triples: when a request was sent, when it was served, when its answer came."""

    sent: Sequence[int]
    served: Sequence[int]
    answered: Sequence[int]

    def entry(self, at: int, seed: int, counter: int) -> int:
        return between(self.sent, [b - a for a, b in zip(self.sent, self.served, strict=True)], at)

    def response(self, at: int, seed: int, counter: int) -> int:
        return max(0, between(self.served, [b - a for a, b in zip(self.served, self.answered, strict=True)], at))


def between(xs: Sequence[int], ys: Sequence[int], at: int) -> int:
    k = bisect_right(xs, at)
    if k == 0:
        return ys[0]
    if k == len(xs):
        return ys[-1]
    slope = float(ys[k] - ys[k - 1]) / float(xs[k] - xs[k - 1])
    return ys[k - 1] + int(slope * float(at - xs[k - 1]))


@dataclass
class Quantiles:
    """Latencies drawn from their distribution."""

    entries: Sequence[int]
    responses: Sequence[int]

    def entry(self, at: int, seed: int, counter: int) -> int:
        return quantile(self.entries, draw(seed, 11, counter))

    def response(self, at: int, seed: int, counter: int) -> int:
        return quantile(self.responses, draw(seed, 12, counter))


def quantile(values: Sequence[int], u: int) -> int:
    k = ((u >> 32) * (len(values) - 1)) >> 32
    part = (u & 0xFFFFFFFF) >> 16
    return values[k] + (((values[k + 1] - values[k]) * part) >> 16)


def latency_model(latency: Any) -> Constant | Table | Quantiles:
    """The reference's model of what `SimParams.latency` holds."""
    if latency is None:
        return Constant()
    if hasattr(latency, "request_ns"):
        return Table(*(list(map(int, column)) for column in (latency.request_ns, latency.exch_ns, latency.response_ns)))
    return Quantiles(list(map(int, latency.entry_ns)), list(map(int, latency.response_ns)))


def received_up_to(t_ns: int, delay_ns: int, jitter_ns: int, seed: int) -> int:
    """Up to which receive stamp a lane at `t_ns` has seen the feed."""

    def jitter(block: int) -> int:
        return draw(seed, 13, block) % (jitter_ns + 1)

    block = t_ns // SECOND
    return max(t_ns - jitter(block), block * SECOND - 1 - jitter(block - 1)) - delay_ns


# -- queues, 5 ------------------------------------------------------------------------------------------------------


def log_table() -> list[float]:
    digits = Context(prec=40)
    return [float((1 + Decimal(k) / 1024).ln(digits)) for k in range(1025)]


LOGS = log_table()


def ln1p(x: float) -> float:
    mantissa, exponent = frexp(1.0 + x)
    place = (mantissa * 2.0 - 1.0) * 1024.0
    k = int(place)
    within = LOGS[k] + (place - float(k)) * (LOGS[k + 1] - LOGS[k])
    return float(exponent - 1) * LOGS[1024] + within


def power_of(x: float, n: int) -> float:
    y = x
    for _ in range(n - 1):
        y *= x
    return y


def share_ahead(model: str, n: int, front: int, prev: int, unit: float) -> float:
    """Which share of the cancellations at a level of `prev` lots happened before an order at `front`."""
    f, total, b = float(front), float(prev * UNIT), float(prev * UNIT - front)
    if model == "power3":
        return power_of(f / total, n)
    if model == "power":
        fs, bs = power_of(f / total, n), power_of(b / total, n)
        return fs / (bs + fs)
    if model == "power2":
        return 1.0 - power_of(b / total, n)
    if model == "log":
        before, behind = ln1p(f / 1048576.0 * unit), ln1p(b / 1048576.0 * unit)
        return before / (behind + before) if behind + before else 0.0
    if model == "log2":
        whole = ln1p(total / 1048576.0 * unit)
        return 1.0 - ln1p(b / 1048576.0 * unit) / whole if whole else 0.0
    return {"risk_averse": 0.0, "optimistic": 1.0}[model]


def after_cancels(model: str, n: int, front: int, prev: int, cancelled: int, unit: float) -> int:
    """The front after `cancelled` of `prev` lots went."""
    ahead = share_ahead(model, n, front, prev, unit)
    return min(front, max(0, ceil(float(front) - ahead * float(cancelled * UNIT))))


# -- money and margin, 6 and 7 -----------------------------------------------------------------------------------------


@dataclass
class RefMoney:
    """Amounts of one instrument, each rounded once, against the trader."""

    instrument: Instrument

    def cash(self, side: int, tick: int, qty: int) -> int:
        # Paid amounts up, received ones down: both are a floor of what comes in.
        return floor(-self.worth(side * qty, Fraction(self.instrument.tick_size) * tick))

    def fee(self, cash: int, ppb: int) -> int:
        return ceil(Fraction(abs(cash) * ppb, 10**9))

    def worth(self, position: int, price: Fraction) -> Fraction:
        """Exact value of `position` lots at `price` quote units.

        A long inverse contract is short the base currency that its notional is worth.
        """
        one = self.instrument
        size = Fraction(one.contract_size) * Fraction(one.lot_size) * position
        return (-size / price if one.is_inverse else size * price) / Fraction(one.money_unit)

    def value(self, position: int, price: Fraction | None) -> int:
        return floor(self.worth(position, price)) if position and price else 0

    def notional(self, position: int, price: Fraction | None) -> int:
        return ceil(abs(self.worth(position, price))) if position and price else 0

    def funding(self, position: int, price: Fraction | None, rate: int) -> int:
        # What is owed is the notional's, which is positive for a long position of either kind of contract.
        exact = abs(self.worth(position, price)) * rate / 10**12 if position and price else Fraction(0)
        return ceil(exact if position > 0 else -exact)

    def mid(self, bests: tuple[int, int] | None) -> Fraction | None:
        return Fraction(self.instrument.tick_size) * sum(bests) / 2 if bests else None

    def equity(self, cash: int, fees: int, position: int, bests: tuple[int, int] | None) -> int:
        """Marked at the mid of `bests`, a bid and an ask; without one, a position is worth nothing."""
        return cash - fees + self.value(position, self.mid(bests))


def margin(notional: int, tiers: Sequence[tuple[int, int, int]] | None, which: int) -> int:
    """What a notional needs; `which` is 1 for the initial and 2 for the maintenance rate."""
    need = Fraction(0)
    for k, tier in enumerate(tiers or ()):
        upper = tiers[k + 1][0] if tiers and k + 1 < len(tiers) else notional
        need += Fraction(max(0, min(notional, upper) - tier[0]) * tier[which], 10**6)
    return ceil(need)


def fee_rates(tiers: Sequence[tuple[int, int, int]], turnover: int) -> tuple[int, int]:
    """Maker and taker ppb at a turnover: the last tier that it has reached, the first if none."""
    reached = [tier for tier in tiers if tier[0] <= turnover] or [tiers[0]]
    return reached[-1][1], reached[-1][2]
