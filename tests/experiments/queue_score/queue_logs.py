"""Recordings of single orders as a venue would have sent them, made by a plain book with price-time priority.

The book is a list of orders per level and nothing else: it knows the true fate and place of every order, and shares no
code with what reads the recordings.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, field

from tests.sim.importers import files as f

START_MS = 0
UNIT = 10**8


@dataclass
class Resting:
    number: int
    side: int
    cents: int
    qty: int
    left: int
    entry_ms: int
    front: int
    fills: list[tuple[int, int]] = field(default_factory=list)
    end_ms: int = -1
    ended: str = "open"


def price(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


def amount(units: int) -> str:
    return f"{units // UNIT}.{units % UNIT:08d}"


class Venue:
    """Takes orders and cancels, writes the lines of the feed, and remembers everything."""

    def __init__(self) -> None:
        self.lines = [f.picture(START_MS, [("90.00", "1.00000000")], [("110.00", "1.00000000")])]
        self.levels: dict[tuple[int, int], list[Resting]] = defaultdict(list)
        self.orders: dict[int, Resting] = {}
        self.history: list[tuple[int, dict[tuple[int, int], list[tuple[int, int]]]]] = []  # (ms, level: [(id, left)])
        self.prints: list[tuple[int, int, int, int]] = []  # ms, aggressor's side, cents, units
        self._next = 100

    def _line(self, ms: int, what: str, number: int, side: int, cents: int, left: int) -> None:
        self.lines.append(f.order(ms, what, number, "bid" if side > 0 else "ask", price(cents), amount(left)))

    def note(self, ms: int) -> None:
        state = {level: [(one.number, one.left) for one in queue] for level, queue in self.levels.items() if queue}
        self.history.append((ms, state))

    def best(self, side: int) -> int:
        ticks = [level[1] for level, queue in self.levels.items() if level[0] == side and queue]
        return side * max((side * tick for tick in ticks), default=side * (90_00 if side > 0 else 110_00))

    def submit(self, ms: int, side: int, cents: int, qty: int) -> int:
        """An order comes; what it does not take rests. Its messages are a millisecond apart."""
        self._next += 1
        number, left = self._next, qty
        self._line(ms, "created", number, side, cents, left)
        if side * cents >= side * self.best(-side):
            while left and side * cents >= side * self.best(-side):
                queue = self.levels[-side, self.best(-side)]
                met = queue[0]
                traded = min(left, met.left)
                met.left -= traded
                left -= traded
                ms += 1
                met.fills.append((ms, traded))
                self._line(ms, "changed" if met.left else "deleted", met.number, met.side, met.cents, met.left)
                self.prints.append((ms, side, met.cents, traded))
                if not met.left:
                    queue.pop(0)
                    met.end_ms, met.ended = ms, "filled"
                self.note(ms)
                ms += 1
                self._line(ms, "changed" if left else "deleted", number, side, cents, left)
                ms += 1
                self.lines.append(f.trade(ms, 900 + len(self.prints), met.cents / 100, traded / UNIT))
                assert left == 0 or side * cents < side * self.best(-side) or self.levels[-side, self.best(-side)]
            assert left == 0, "what is left of an order that took is not tried here"
            return number
        front = sum(one.left for one in self.levels[side, cents])
        self.orders[number] = Resting(number, side, cents, qty, qty, ms, front)
        self.levels[side, cents].append(self.orders[number])
        self.note(ms)
        return number

    def cancel(self, ms: int, number: int) -> None:
        one = self.orders[number]
        self.levels[one.side, one.cents].remove(one)
        one.end_ms, one.ended = ms, "cancelled"
        self._line(ms, "deleted", number, one.side, one.cents, one.left)
        self.note(ms)

    def front_at(self, number: int, ms: int) -> int:
        """Lots truly before an order after everything up to `ms`."""
        state = [levels for at, levels in self.history if at <= ms][-1]
        one = self.orders[number]
        queue = state[one.side, one.cents]
        return sum(left for _, left in queue[: [number_ for number_, _ in queue].index(number)])


def by_hand() -> Venue:
    """The order B of 2 behind 4, 2 behind it that are cancelled, then 3, then 2 are sold: 1 reaches it, and it goes."""
    venue = Venue()
    venue.submit(1_000, 1, 100_00, 4 * UNIT)  # 101, A
    venue.submit(2_000, 1, 100_00, 2 * UNIT)  # 102, B
    venue.submit(2_500, 1, 100_00, 2 * UNIT)  # 103, C
    venue.cancel(3_500, 103)
    venue.submit(13_000, -1, 100_00, 3 * UNIT)  # 104
    venue.submit(14_000, -1, 100_00, 2 * UNIT)  # 105
    venue.cancel(20_000, 102)
    venue.submit(30_000, 1, 99_00, UNIT)  # 106 stands at the end
    return venue


def by_chance(seed: int, actions: int = 400) -> Venue:
    """Orders at few prices, so that queues form; cancels anywhere in them, and takers."""
    rng, venue, ms = random.Random(seed), Venue(), 0
    for _ in range(actions):
        ms += rng.choice((20, 50, 400, 3_000))
        live = [number for number, one in venue.orders.items() if one.end_ms < 0]
        what = rng.random()
        if what < 0.5 or len(live) < 8:
            side = rng.choice((1, -1))
            away = rng.randrange(0, 4)
            cents = 100_00 - side * (1 + away)
            venue.submit(ms, side, cents, rng.choice((1, 2, 5, 7)) * UNIT // 4)
        elif what < 0.8:
            venue.cancel(ms, rng.choice(live))
        else:
            side = rng.choice((1, -1))
            there = sum(one.left for one in venue.levels[-side, venue.best(-side)])
            if there:
                venue.submit(ms, side, venue.best(-side), rng.randint(1, there))
        ms += 60
    venue.submit(ms + 5_000, 1, 95_00, UNIT)
    return venue
