"""The reactive flow in plain Python: dictionaries of lists, one event after the other, the same random numbers.

It reads a flow's tables (`ReactiveFlow.state`), and nothing else of `lobgym.sim`: what a flow does with them, and the
book that it does it to, are written here a second time.
"""

from __future__ import annotations

from decimal import Context, Decimal
from typing import Any

BUY, SELL, NONE = 1, -1, -1
FOREVER = (1 << 63) - 1
MASK = (1 << 64) - 1
CREATED, CHANGED, DELETED = 1, 2, 3
_EXACT = Context(prec=40)
_LN = [float(_EXACT.ln(1 + Decimal(k) / 1024)) for k in range(1025)]
_LN2 = float(_EXACT.ln(Decimal(2)))
_PER_LN2 = float(1 / _EXACT.ln(Decimal(2)))


def mix64(z: int) -> int:
    z &= MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def exponential(bits: int) -> float:
    kept = bits | 1
    top = kept.bit_length() - 1
    mantissa = ((kept << (63 - top)) & MASK) >> 11
    place = float(mantissa - (1 << 52)) / float(1 << 42)
    k = int(place)
    return (64 - top) * _LN2 - (_LN[k] + (place - k) * (_LN[k + 1] - _LN[k]))


def faded(x: float) -> float:
    n = int(x * _PER_LN2)
    if n > 62:
        return 0.0
    r = x - n * _LN2
    total = 1.0
    for k in range(12, 0, -1):
        total = 1.0 - total * r / k
    return total * (1.0 / (1 << n))


class ReferenceFlow:
    """`orders` and `prints` collect what happened: (ns, action, id, tick, lots, side) and (ns, side, tick, lots)."""

    def __init__(self, flow: Any, seed: int, start_ns: int, base_tick: int, width: int, start_tick: int) -> None:
        record = flow.state(seed, start_ns, base_tick, width, start_tick)[0]
        self.s: dict[str, Any] = {}
        for name in record.dtype.names:
            value = record[name]
            self.s[name] = value.tolist() if hasattr(value, "tolist") else value
        self.base, self.width = base_tick, width
        self.book: dict[int, dict[int, list[list[int]]]] = {BUY: {}, SELL: {}}
        self.next_id = 1
        self.ns = start_ns
        self.orders: list[tuple[int, ...]] = []
        self.prints: list[tuple[int, ...]] = []
        self.regimes: list[tuple[int, int]] = []
        self._begin()

    # -- book ------------------------------------------------------------------------------------------------------

    def best(self, side: int) -> int:
        if not self.book[side]:
            return NONE
        return max(self.book[side]) if side == BUY else min(self.book[side])

    def qty(self, side: int, at: int) -> int:
        return sum(lots for _, lots in self.book[side].get(at, []))

    def rest(self, side: int, at: int, lots: int) -> None:
        self.book[side].setdefault(at, []).append([self.next_id, lots])
        self.orders.append((self.ns, CREATED, self.next_id, self.base + at, lots, side))
        self.next_id += 1

    def drop(self, side: int, at: int, place: int) -> None:
        order, _ = self.book[side][at].pop(place)
        if not self.book[side][at]:
            del self.book[side][at]
        self.orders.append((self.ns, DELETED, order, self.base + at, 0, side))

    def take(self, side: int, limit: int, lots: int) -> int:
        done = 0
        while lots > 0:
            at = self.best(-side)
            if at == NONE or side * at > side * limit:
                break
            head = self.book[-side][at][0]
            here = min(lots, head[1])
            self.prints.append((self.ns, side, self.base + at, here))
            if here == head[1]:
                self.drop(-side, at, 0)
            else:
                head[1] -= here
                self.orders.append((self.ns, CHANGED, head[0], self.base + at, head[1], -side))
            lots -= here
            done += here
        return done

    def submit(self, side: int, at: int, lots: int) -> None:
        left = lots - self.take(side, at, lots)
        if left > 0:
            self.rest(side, at, left)

    # -- draws -----------------------------------------------------------------------------------------------------

    def bits(self) -> int:
        self.s["count"] += 1
        return mix64(self.s["key"] + self.s["count"] * 0x9E3779B97F4A7C15)

    def after(self, ns: int, mean: float) -> int:
        return ns + 1 + int(exponential(self.bits()) * mean)

    def quantile(self, table: list[int], bits: int) -> int:
        k = (bits >> 8) & 255
        return table[k] + ((table[k + 1] - table[k]) * (bits & 255) >> 8)

    def size(self, table: list[int], bits: int, mean: int) -> int:
        return max(1, (self.quantile(table, bits) * mean + (1 << 23)) >> 24)

    def limit_size(self, b: int, bits: int) -> int:
        return self.size(self.s["sizes"][1 if b > 0 else 0], bits, self.s["size_mean"][b])

    # -- value -----------------------------------------------------------------------------------------------------

    @property
    def reference(self) -> int:
        return self.s["v"] >> 16

    def move(self, by: int) -> None:
        s = self.s
        v, low, high = s["v"] + by, s["low"], s["high"]
        if v < low:
            v = 2 * low - v
        if v > high:
            v = 2 * high - v
        s["v"] = max(low, min(high, v))
        bid, ask = self.best(BUY), self.best(SELL)
        if (ask != NONE and ask <= self.reference) or bid > self.reference:
            if s["stale_ns"] == FOREVER:
                s["stale_ns"] = self.after(self.ns, s["stale_mean"])
            if s["informed_ns"] == FOREVER:
                s["informed_ns"] = s["informed_floor"] + self.after(self.ns, s["informed_mean"])

    def drift(self) -> None:
        s = self.s
        by = s["drift"][s["trend"]] * ((self.ns - s["moved_ns"]) // 1000) // 1_000_000
        s["moved_ns"] = self.ns
        if by:
            self.move(by)

    # -- acts ------------------------------------------------------------------------------------------------------

    def accepted(self, kind: int, b: int, lots: int, chance: int) -> bool:
        s = self.s
        q = 0 if lots == 0 else min(7, 1 + int(lots * s["units"][b]).bit_length())
        return chance < s["accept"][s["volatility"]][s["liquidity"]][kind][b][q]

    def candidate(self) -> None:
        s = self.s
        bits = self.bits()
        side = BUY if bits & 1 else SELL
        cell = (bits >> 1) & 63
        if ((bits >> 7) & 0xFFFFF) >= s["alias_cut"][cell]:
            cell = s["alias_to"][cell]
        if cell == 32:
            jump = self.bits()
            size = self.quantile(s["jumps"], jump) * s["scale"][s["volatility"]] >> 8
            self.move(size if (jump >> 16) & 1 else -size)
            return
        if cell == 33:
            self.trim(side)
            return
        b = cell % 16
        low = (1 << b) >> 1
        d = low + (((bits >> 27) & 0x7FFF) * low >> 15)
        chance = bits >> 42
        at = self.reference - d if side == BUY else self.reference + 1 + d
        if cell < 16:
            opposite = self.best(-side)
            if opposite != NONE and side * at >= side * opposite:
                if b != 0:
                    return
                at = opposite - side
            if 0 <= at < self.width and self.accepted(0, b, self.qty(side, at), chance):
                self.submit(side, at, self.limit_size(b, self.bits()))
        elif 0 <= at < self.width and at in self.book[side] and self.accepted(1, b, self.qty(side, at), chance):
            self.cancel_one(side, at, self.bits())

    def cancel_one(self, side: int, at: int, bits: int) -> None:
        queue = self.book[side][at]
        back = bits & 15
        if back >= len(queue):
            back %= len(queue)
        self.drop(side, at, len(queue) - 1 - back)

    def trim(self, side: int) -> None:
        edge = self.reference + (1 if side == SELL else 0) - side * self.s["reach"]
        bits = self.bits()
        at = edge - side * ((bits & 0x7FFF) * self.s["reach"] >> 13)
        if not 0 <= edge < self.width:
            return
        for start in (at, edge):
            behind = [p for p in self.book[side] if side * p < side * start] if 0 <= start < self.width else []
            if behind:
                self.cancel_one(side, max(behind) if side == BUY else min(behind), bits >> 32)
                return

    def next_taker(self) -> None:
        s = self.s
        base = 2.0 * s["taker_rate"] * s["taker_scale"][s["volatility"]]
        s["taker_bound"] = base + s["excited_buy"] + s["excited_sell"]
        s["taker_ns"] = self.after(self.ns, 1.0 / s["taker_bound"])

    def fade(self) -> None:
        s = self.s
        left = faded((self.ns - s["taken_ns"]) * s["decay"])
        s["excited_buy"] *= left
        s["excited_sell"] *= left
        s["taken_ns"] = self.ns

    def noise(self) -> None:
        s = self.s
        self.fade()
        base = s["taker_rate"] * s["taker_scale"][s["volatility"]]
        chance = float(self.bits() >> 11) / float(1 << 53) * s["taker_bound"]
        buy = base + s["excited_buy"]
        if chance < buy + base + s["excited_sell"]:
            side = BUY if chance < buy else SELL
            own, other = ("excited_buy", "excited_sell") if side == BUY else ("excited_sell", "excited_buy")
            s[own] += s["excite_self"]
            s[other] += s["excite_cross"]
            best = self.best(-side)
            lots = self.size(s["takers"], self.bits(), s["taker_lots"])
            if best != NONE:
                limit = max(0, min(self.width - 1, best + side * s["noise_reach"]))
                by = side * self.take(side, limit, lots) * s["impact"] >> 8
                self.move(max(-(64 << 16), min(64 << 16, by)))
        self.next_taker()

    def informed(self) -> None:
        s = self.s
        s["informed_ns"] = FOREVER
        for side in (BUY, SELL):
            limit = self.reference - s["edge"] if side == BUY else self.reference + 1 + s["edge"]
            if self.reaches(side, limit):
                lots = self.size(s["takers"], self.bits(), s["informed_lots"])
                if 0 <= limit < self.width:
                    self.take(side, limit, lots)
                if self.reaches(side, limit):
                    s["informed_ns"] = self.after(self.ns, s["informed_mean"])

    def reaches(self, side: int, limit: int) -> bool:
        best = self.best(-side)
        return best != NONE and side * best <= side * limit

    def stale(self) -> None:
        s = self.s
        s["stale_ns"] = FOREVER
        for side in (BUY, SELL):
            at = self.best(side)
            wrong = at != NONE and (at > self.reference if side == BUY else at <= self.reference)
            if wrong:
                self.drop(side, at, 0)
                s["stale_ns"] = self.after(self.ns, s["stale_mean"])
                return

    def gap(self, side: int) -> int:
        bid, ask = self.best(BUY), self.best(SELL)
        if side == BUY:
            at = self.reference if ask == NONE else min(self.reference, ask - 1)
            return at if at > bid and at >= 0 else NONE
        at = max(self.reference, bid) + 1
        return at if (ask == NONE or at < ask) and at < self.width else NONE

    def repair(self) -> None:
        self.s["repair_ns"] = FOREVER
        bits = self.bits()
        first = BUY if bits & 1 else SELL
        for side in (first, -first):
            at = self.gap(side)
            if at != NONE:
                self.submit(side, at, self.limit_size(0, bits >> 8))
                return

    # -- regimes and clock -----------------------------------------------------------------------------------------

    def held(self, dimension: int) -> int:
        mean = self.s["hold"][dimension]
        if mean <= 0.0:
            return FOREVER
        first = exponential(self.bits())
        return self.ns + int(0.25 * mean + 0.375 * mean * (first + exponential(self.bits())))

    def neighbour(self, state: int) -> int:
        bits = self.bits()
        return (2 if bits & 1 else 0) if state == 1 else 1

    def regime(self) -> None:
        s = self.s
        if s["volatility_ns"] <= self.ns:
            s["volatility"] = self.neighbour(s["volatility"])
            s["volatility_ns"] = self.held(0)
            self.fade()
            self.next_taker()
        if s["liquidity_ns"] <= self.ns:
            s["liquidity"] = self.neighbour(s["liquidity"])
            s["liquidity_ns"] = self.held(1)
        if s["trend_ns"] <= self.ns:
            self.drift()
            s["trend"] = self.neighbour(s["trend"])
            s["trend_ns"] = self.held(2)
        s["regime_ns"] = min(s["volatility_ns"], s["liquidity_ns"], s["trend_ns"])
        self.regimes.append((self.ns, s["volatility"] * 9 + s["liquidity"] * 3 + s["trend"]))

    def _begin(self) -> None:
        s = self.s
        s["moved_ns"] = s["taken_ns"] = self.ns
        s["volatility_ns"], s["liquidity_ns"], s["trend_ns"] = self.held(0), self.held(1), self.held(2)
        s["regime_ns"] = min(s["volatility_ns"], s["liquidity_ns"], s["trend_ns"])
        self.regimes.append((self.ns, s["volatility"] * 9 + s["liquidity"] * 3 + s["trend"]))
        for side in (BUY, SELL):
            for d in range(s["reach"]):
                at = self.reference - d if side == BUY else self.reference + 1 + d
                if not 0 <= at < self.width:
                    break
                b = d.bit_length()
                chance = self.bits() & 0xFFFFFFFF
                n = 0
                while n < 15 and chance >= s["start"][b][n]:
                    n += 1
                for _ in range(n):
                    self.rest(side, at, self.limit_size(b, self.bits()))
        s["next_ns"] = self.after(self.ns, s["mean_ns"])
        self.next_taker()

    def advance(self, until_ns: int) -> None:
        s = self.s
        clocks = ("regime_ns", "next_ns", "taker_ns", "repair_ns", "informed_ns", "stale_ns")
        while True:
            due = min(s[name] for name in clocks)
            if due > until_ns:
                return
            self.ns = due
            first = next(name for name in clocks if s[name] == due)
            if first == "regime_ns":
                self.regime()
            elif first == "next_ns":
                s["next_ns"] = self.after(due, s["mean_ns"])
                self.candidate()
            elif first == "taker_ns":
                self.drift()
                self.noise()
            elif first == "repair_ns":
                self.repair()
            elif first == "informed_ns":
                self.informed()
            else:
                self.stale()
            if s["repair_ns"] == FOREVER and (self.gap(BUY) != NONE or self.gap(SELL) != NONE):
                s["repair_ns"] = self.after(due, s["repair_mean"])
