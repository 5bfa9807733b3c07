"""What became of every order of an exchange: its tape of orders read as probes, and what stood before each of them.

Every displayed order is kept in order of arrival. What an order lost in the very moment of a print at its price, being
first there, was traded; everything else that it lost was cancelled. So truth comes from single orders and prints, the
same whether depth is published at once or in batches.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from lobgym.experiments.queue_score.cancellations import Cancellations
from lobgym.experiments.queue_score.probes import AGES_NS, CANCELLED, FILLED, OPEN, Probe, ProbeError
from lobgym.sim import records as rec
from lobgym.sim.importers.order_tape import CREATED, DELETED, OrderTape
from lobgym.sim.tape import Tape

__all__ = ["Fates", "read_exchange_orders"]

_UNIT_SCALE: Final = 100_000_000
_SEARCHED: Final = 512  # ticks behind a best price that is gone, before all levels are looked at
Level = tuple[int, int]  # (side, tick)


@dataclass
class Fates:
    """Probes by entry, best quotes after every moment that changed them, and counts.

    `quotes` is int64[k, 9]: stamp, then for bids and for asks: best tick, lots there, next tick, lots there; 0 for
    what is not there.
    """

    probes: tuple[Probe, ...]
    quotes: Any
    facts: dict[str, Any]


@dataclass
class _Watched:
    """An order that becomes a probe."""

    qty: int
    entry_ns: int
    front: int
    fills: list[tuple[int, int]] = field(default_factory=list)
    fronts: list[tuple[int, int]] = field(default_factory=list)


class _Queues:
    """Displayed orders by level in order of arrival, with what each has left."""

    def __init__(self, watch_ns: int) -> None:
        self.watch_ns = watch_ns
        self.facts: Counter[str] = Counter()
        self.cancellations = Cancellations()
        self.probes: list[Probe] = []
        self.best = {rec.BUY: 0, rec.SELL: 0}
        self._queue: dict[Level, dict[int, int]] = defaultdict(dict)
        self._total: Counter[Level] = Counter()
        self._watched: dict[int, _Watched] = {}
        self._due: list[tuple[int, int, int, Level]] = []  # (stamp, age, id, level) of a sample of a true front

    def sample(self, before_ns: int) -> None:
        """Note true fronts at ages that are reached before a stamp, and let go of what was watched long enough."""
        while self._due and self._due[0][0] < before_ns:
            stamp, age, number, level = heapq.heappop(self._due)
            if one := self._watched.get(number):
                if age == self.watch_ns:
                    self._goes(number, level, stamp, OPEN)
                else:
                    one.fronts.append((age, self._ahead(number, level)))

    def _ahead(self, number: int, level: Level) -> int:
        total = 0
        for other, left in self._queue[level].items():
            if other == number:
                return total
            total += left
        raise ProbeError(f"order {number} is not in the queue at {level}")

    def comes(self, number: int, level: Level, lots: int, ns: int, watched: bool) -> None:
        """An order rests from here on."""
        if number in self._queue[level] or lots <= 0:
            raise ProbeError(f"order {number} comes to {level} with {lots} lots; was it there before?")
        if watched:
            self._watched[number] = _Watched(lots, ns, self._total[level])
            for age in (*(age for age in AGES_NS if age < self.watch_ns), self.watch_ns):
                heapq.heappush(self._due, (ns + age, age, number, level))
        self._queue[level][number] = lots
        self._total[level] += lots
        side, tick = level
        if self.best[side] == 0 or side * tick > side * self.best[side]:
            self.best[side] = tick

    def changes(self, number: int, level: Level, left: int, ns: int, prints: deque[int] | None) -> None:
        """An order has `left` lots from now on; `prints` are those of this moment and price that are not placed yet."""
        queue = self._queue[level]
        lost = queue.get(number, 0) - left
        if lost <= 0:
            raise ProbeError(f"order {number} at {level} has {queue.get(number, 0)} lots and is said to keep {left}")
        if prints and prints[0] <= lost and next(iter(queue)) == number:
            traded = prints.popleft()
            self.facts["fills"] += 1
            if one := self._watched.get(number):
                one.fills.append((ns, traded))
            if traded == lost == queue[number]:
                self._goes(number, level, ns, FILLED)
            lost -= traded
            queue[number] -= traded
            self._total[level] -= traded
        if lost:
            self.facts["orders_cancelled"] += 1
            if len(queue) > 1:
                self.cancellations.note(0, list(queue.values()), list(queue).index(number))
            self._goes(number, level, ns, CANCELLED)
        self._total[level] -= lost
        queue[number] = left
        if not left:
            del queue[number]
            if not queue:
                del self._queue[level]
                del self._total[level]
                if self.best[level[0]] == level[1]:
                    self.best[level[0]] = self._behind(*level)

    def _behind(self, side: int, tick: int) -> int:
        """The next price behind one, 0 where there is none."""
        for away in range(1, _SEARCHED):
            if (side, tick - side * away) in self._queue:
                return tick - side * away
        there = [level[1] for level in self._queue if level[0] == side and side * level[1] < side * tick]
        return side * max(side * one for one in there) if there else 0

    def quote(self) -> tuple[int, ...]:
        """A row of `Fates.quotes` without its stamp."""
        row: list[int] = []
        for side, best in self.best.items():
            behind = self._behind(side, best) if best else 0
            row += [best, self._lots(side, best), behind, self._lots(side, behind)]
        return tuple(row)

    def _lots(self, side: int, tick: int) -> int:
        return self._total[side, tick] if tick else 0

    def end(self, ns: int) -> None:
        """The recording ends."""
        at = {number: level for level, queue in self._queue.items() for number in queue if number in self._watched}
        for number, level in at.items():
            self._goes(number, level, ns, OPEN)

    def _goes(self, number: int, level: Level, ns: int, ended: str) -> None:
        if one := self._watched.pop(number, None):
            fills, fronts = tuple(one.fills), tuple(one.fronts)
            self.probes.append(Probe(number, *level, one.qty, one.entry_ns, one.front, ns, ended, fills, fronts))


def read_exchange_orders(
    orders: OrderTape, tape: Tape, begin_ns: int, end_ns: int, wanted: Callable[[int], bool], watch_ns: int
) -> Fates:
    """Fates of the orders whose number is `wanted`, of those that came from `begin_ns` on.

    Args:
        orders: every order's events.
        tape: levels of the same market; only its prints are read.
        begin_ns, end_ns: probes come after the one, the recording ends with the other.
        watch_ns: an order that lives longer is left OPEN at this age.

    Raises `ProbeError` where orders and prints contradict each other: in a sound exchange every print belongs to the
    order that was first in its queue.
    """
    instrument = orders.instrument
    unit = int(instrument.lot_size * _UNIT_SCALE)
    prints: dict[tuple[int, int, int], deque[int]] = defaultdict(deque)
    trades = tape.events[tape.events["kind"] == rec.TRADE]
    for ns, side, tick, lots in trades[["exch_ns", "side", "price_ticks", "qty_lots"]].tolist():
        prints[ns, -side, tick].append(lots)
    queues, rows = _Queues(watch_ns), list[tuple[int, ...]]()
    moment = -1
    names = ["exch_ns", "order_id", "side", "price_ticks", "qty", "action"]
    for ns, number, side, tick, qty, action in orders.events[names].tolist():
        if ns != moment:
            _note_quote(rows, moment, queues.quote())
            queues.sample(ns)
            moment = ns
        if qty % unit:
            raise ProbeError(f"order {number} has {qty} hundred-millionths, no multiple of a lot")
        level = (side, tick)
        if action == CREATED:
            queues.comes(number, level, qty // unit, ns, ns > begin_ns and wanted(number))
        else:
            queues.changes(number, level, 0 if action == DELETED else qty // unit, ns, prints.get((ns, side, tick)))
    _note_quote(rows, moment, queues.quote())
    queues.sample(end_ns + 1)
    queues.end(end_ns)
    alone = [key for key, left in prints.items() if left]
    if alone:
        raise ProbeError(f"prints at (stamp, side, tick) {alone[0]} took from no order that was first in its queue")
    probes = tuple(sorted(queues.probes, key=lambda one: (one.entry_ns, one.id)))
    facts = {
        "order_events": len(orders.events),
        "prints": len(trades),
        **dict(sorted(queues.facts.items())),
        "probes": len(probes),
        "probes_ended": dict(sorted(Counter(one.ended for one in probes).items())),
        "probes_with_any_fill": sum(bool(one.fills) for one in probes),
        "fills_of_probes": sum(len(one.fills) for one in probes),
        "cancellations": queues.cancellations.to_json(),
    }
    return Fates(probes, np.array(rows, np.int64).reshape(-1, 9), facts)


def _note_quote(rows: list[tuple[int, ...]], ns: int, quote: tuple[int, ...]) -> None:
    if ns >= 0 and (not rows or rows[-1][1:] != quote):
        rows.append((ns, *quote))
