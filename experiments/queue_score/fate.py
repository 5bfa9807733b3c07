"""What became of every order of a recording of single orders: Bitstamp's feed read as probes and their tape.

The importer's rules say what the venue displayed (`lobgym.sim.importers.bitstamp_book`) and whose each print was
(`bitstamp_prints`). Kept besides is every displayed order in order of arrival, hence what stood before it. Two things
differ from an imported tape. Lots are the feed's own 1e-8 BTC, with prices counted in whole cents, so that no remainder
of an order is rounded. And every message has a stamp of its own: within a millisecond, a nanosecond later each.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from lobgym.experiments.queue_score.cancellations import Cancellations
from lobgym.experiments.queue_score.probes import AGES_NS, CANCELLED, FILLED, OPEN, Probe, ProbeError, Recorded
from lobgym.sim import records as rec
from lobgym.sim.importers.bitstamp import BTCUSD
from lobgym.sim.importers.bitstamp_book import Replay
from lobgym.sim.importers.bitstamp_log import Order, Picture, Print, read_log
from lobgym.sim.importers.bitstamp_prints import WINDOW_NS, Origin, Seen, origins_of
from lobgym.sim.importers.order_tape import CREATED, DELETED
from lobgym.sim.instrument import Instrument
from lobgym.sim.tape import Tape

__all__ = ["CENTS", "read_bitstamp_orders"]

# A tick of one cent and a lot of 1e-8 BTC: what a tick times a lot is worth must be a whole unit of money.
CENTS: Final = Instrument.from_json(
    {
        **{"symbol": "BTCUSD", "venue": "bitstamp", "kind": "spot", "base": "BTC", "quote": "cent"},
        **{"tick_size": "1", "lot_size": "0.00000001", "maker_fee_ppb": 0, "taker_fee_ppb": 0},
    }
)
_STAMPS_MAX: Final = 1_000_000  # messages of one millisecond
Level = tuple[int, int]  # (side, tick)


@dataclass
class _Standing:
    """A displayed order."""

    id: int
    side: int
    tick: int
    qty: int
    left: int
    entry_ns: int
    front: int
    probe: bool  # displayed by the very message that created it, in a book that was known
    fills: list[tuple[int, int]] = field(default_factory=list)
    fronts: list[tuple[int, int]] = field(default_factory=list)


class _Queues:
    """Displayed orders by level in order of arrival, next to the importer's replay."""

    def __init__(self) -> None:
        self.replay = Replay()
        self.facts: Counter[str] = Counter()
        self.probes: list[Probe] = []
        self.cancellations = Cancellations()
        self._at: dict[Level, dict[int, _Standing]] = defaultdict(dict)
        self._standing: dict[int, _Standing] = {}
        self._held: dict[int, Order] = {}  # takes, and is not displayed yet
        self._seen: set[int] = set()  # ids that a created order had, or that are deleted
        self._older: dict[Level, int] = {}  # displayed lots of orders that no message created
        self._due: list[tuple[int, int, int]] = []  # (stamp, age, id) of a sample of a true front

    def older(self, level: Level) -> int:
        """Displayed lots that belong to none of the orders seen; they came before all of them."""
        mine = sum(one.left for one in self._at[level].values()) if level in self._at else 0
        left = self.replay.displayed(level) - mine
        if left < 0:
            raise ProbeError(f"{-left} lots more stand in the queue at {level} than are displayed")
        return left

    def ahead(self, order: _Standing) -> int:
        """Lots that stand before a displayed order."""
        total = self.older((order.side, order.tick))
        for one in self._at[order.side, order.tick].values():
            if one is order:
                break
            total += one.left
        return total

    def sample(self, before_ns: int) -> None:
        """Note true fronts at ages that are reached before a stamp."""
        while self._due and self._due[0][0] < before_ns:
            _, age, number = heapq.heappop(self._due)
            if (order := self._standing.get(number)) and order.probe:
                order.fronts.append((age, self.ahead(order)))

    def order(self, message: int, ns: int, order: Order) -> None:
        """Take one event of an order."""
        known = order.id in self._standing or order.id in self._held
        if known and order.action == CREATED:
            self.replay.order(message, order)  # which leaves it out
            return
        other = self.replay.best(-order.side)
        crosses = other > 0 and order.side * order.tick >= order.side * other
        new = order.action == CREATED and order.id not in self._seen
        if standing := self._standing.get(order.id):
            self._changes(standing, order, ns, crosses)
        elif order.id in self._held:
            self._held[order.id] = order
        if order.action in (CREATED, DELETED):
            self._seen.add(order.id)
        self.replay.order(message, order)
        if order.action == DELETED:
            self._held.pop(order.id, None)
        elif new and (crosses or order.qty == 0):
            self._held[order.id] = order
        elif new:
            self._comes(order, ns, self.replay.pictures > 0)
        self._released(ns)

    def picture(self, ns: int, picture: Picture) -> None:
        """Learn of older orders. Where more of them come into view, nobody knew what stood before an order."""
        before = {level: self.older(level) for level, orders in self._at.items() if orders}
        self.replay.picture(picture)
        self._released(ns)
        for level in self.replay.touched:
            if level in before and self.older(level) > before[level]:
                for one in self._at[level].values():
                    self.facts["orders_behind_some_that_came_into_view_later"] += one.probe
                    one.probe = False

    def end(self, ns: int) -> None:
        """The recording ends."""
        for one in list(self._standing.values()):
            self._goes(one, ns, OPEN)

    def _comes(self, order: Order, ns: int, probe: bool) -> None:
        level = (order.side, order.tick)
        one = _Standing(
            order.id, order.side, order.tick, order.qty, order.qty, ns, self.replay.displayed(level) - order.qty, probe
        )
        self._standing[order.id] = self._at[level][order.id] = one
        self.facts["orders_displayed"] += 1
        if probe:
            for age in AGES_NS:
                heapq.heappush(self._due, (ns + age, age, order.id))

    def _changes(self, one: _Standing, order: Order, ns: int, crosses: bool) -> None:
        """A displayed order became less, more, something else, or ended."""
        moved = (order.side, order.tick) != (one.side, one.tick) or order.qty > one.left
        if order.qty < one.left and not moved:
            one.fills.append((ns, one.left - order.qty))
            self.facts["fills_of_displayed_orders"] += 1
            self.facts["fills_of_orders_not_first_in_their_queue"] += self.ahead(one) > 0
        if order.action != DELETED and order.qty and not moved and not crosses:
            one.left = order.qty
            return
        if order.qty:
            self._cancelled(one)
        one.left = order.qty
        self._goes(one, ns, CANCELLED if order.qty else FILLED)
        if order.action != DELETED and order.qty:
            self.facts["orders_that_changed_otherwise"] += 1
            if crosses:
                self._held[order.id] = order
            else:  # at the end of a queue, and no probe any more
                self._standing[order.id] = self._at[order.side, order.tick][order.id] = _Standing(
                    order.id, order.side, order.tick, order.qty, order.qty, ns, 0, False
                )

    def _cancelled(self, gone: _Standing) -> None:
        """Note, for each order that stays at its level, where it stands and whether what goes stood before it."""
        level = (gone.side, gone.tick)
        queue = self._at[level].values()
        self.cancellations.note(
            self.older(level), [one.left for one in queue], next(n for n, one in enumerate(queue) if one is gone)
        )

    def _goes(self, one: _Standing, ns: int, ended: str) -> None:
        del self._standing[one.id]
        del self._at[one.side, one.tick][one.id]
        if one.probe:
            self.probes.append(
                Probe(
                    one.id, one.side, one.tick, one.qty, one.entry_ns, one.front, ns, ended,
                    tuple(one.fills), tuple(one.fronts),
                )
            )  # fmt: skip

    def _released(self, ns: int) -> None:
        """Orders that took and no longer cross are displayed, and are no probes: their front is nothing."""
        for order in list(self._held.values()):
            other = self.replay.best(-order.side)
            if not (other > 0 and order.side * order.tick >= order.side * other):
                del self._held[order.id]
                if order.qty:
                    self.facts["orders_displayed_after_they_took"] += 1
                    self._comes(order, ns, False)


def read_bitstamp_orders(log: Path) -> Recorded:
    """The tape and the probes of a log of the feed, as `import_bitstamp` takes it. Raises `FeedError`, `ProbeError`."""
    queues = _Queues()
    replay, shown = queues.replay, Counter[Level]()
    stamps: list[int] = []
    rows: list[tuple[int, int, int, int, int]] = []
    prints: list[Seen] = []
    begin = -1
    for message, line in enumerate(read_log(log, BTCUSD)):
        ns = max(line.local_ns, stamps[-1] + 1 if stamps else 0)
        if ns - line.local_ns >= _STAMPS_MAX:
            raise ProbeError(f"{log}:{line.number}: more than {_STAMPS_MAX} messages in a millisecond")
        stamps.append(ns)
        queues.sample(ns)
        if isinstance(line.message, Print):
            if line.message.qty:
                prints.append(Seen(message, line.message, replay.best(rec.BUY), replay.best(rec.SELL)))
            continue
        if isinstance(line.message, Order):
            queues.order(message, ns, line.message)
        else:
            queues.picture(ns, line.message)
            if begin < 0:
                begin = message
                rows = [(message, rec.CLEAR, 0, 0, 0)]
                shown.clear()
                replay.touched.update(replay.all_levels())
        for side, tick in sorted(replay.touched):
            lots = max(0, replay.displayed((side, tick)))
            if lots != shown[side, tick]:
                shown[side, tick] = lots
                rows.append((message, rec.DEPTH, side, tick, lots))
        replay.touched.clear()
    if begin < 0:
        raise ProbeError(f"{log}: holds no picture of the book; without one, nobody knows what stood before an order")
    queues.end(stamps[-1])
    origins = origins_of(prints, replay.fills, stamps)
    tape = _tape(np.array(rows), np.array(stamps), begin, prints, origins)
    probes = sorted(queues.probes, key=lambda one: (one.entry_ns, one.id))
    return Recorded(tape, tuple(probes), _facts(queues, probes, prints, origins, stamps))


def _tape(rows: Any, stamps: Any, begin: int, prints: list[Seen], origins: list[Origin]) -> Tape:
    """Levels from the first picture on, prints merged in before what their message shows."""
    kept = [
        (origin.message, origin.side, seen.print.tick, seen.print.qty, seen.print.id)
        for seen, origin in zip(prints, origins, strict=True)
        if origin.message >= begin
    ]
    trades = np.array(kept, dtype=np.int64).reshape(-1, 5)
    events = np.zeros(len(rows) + len(trades), rec.EVENT_DTYPE)
    levels, traded = events[: len(rows)], events[len(rows) :]
    levels["kind"], levels["side"], levels["price_ticks"], levels["qty_lots"] = rows[:, 1:].T
    levels["kind"][(rows[:, 0] == begin) & (levels["kind"] == rec.DEPTH)] = rec.SNAPSHOT
    levels["flags"] = np.append(np.diff(rows[:, 0]) != 0, True)
    traded["kind"], traded["flags"] = rec.TRADE, rec.LAST
    traded["side"], traded["price_ticks"], traded["qty_lots"], traded["seq"] = trades[:, 1:].T
    message = np.concatenate([rows[:, 0], trades[:, 0]])
    events["exch_ns"] = events["local_ns"] = stamps[message]
    second = np.append(np.ones(len(rows), np.int8), np.zeros(len(trades), np.int8))
    return Tape(events[np.lexsort((second, message))], CENTS)


def _facts(
    queues: _Queues, probes: list[Probe], prints: list[Seen], origins: list[Origin], stamps: list[int]
) -> dict[str, Any]:
    """Counts that say how far to trust the recording."""
    printed: dict[tuple[int, int], list[int]] = defaultdict(list)
    for seen in prints:
        printed[seen.print.tick, seen.print.qty].append(stamps[seen.message])
    alone = 0  # fills of probes that no print of that price and amount tells of
    fills = [(probe, stamp, lots) for probe in probes for stamp, lots in probe.fills]
    for probe, stamp, lots in sorted(fills, key=lambda one: one[1]):
        near = [ns for ns in printed[probe.tick, lots] if abs(ns - stamp) <= WINDOW_NS]
        if near:
            printed[probe.tick, lots].remove(near[0])
        alone += not near
    return {
        **dict(sorted(queues.facts.items())),
        "messages": len(stamps),
        "prints": len(prints),
        "aggressor_told_by": dict(sorted(Counter(origin.told_by for origin in origins).items())),
        "probes": len(probes),
        "probes_ended": dict(sorted(Counter(probe.ended for probe in probes).items())),
        "probes_with_any_fill": sum(bool(probe.fills) for probe in probes),
        "fills_of_probes": len(fills),
        "fills_of_probes_without_a_print": alone,
        "cancellations": queues.cancellations.to_json(),
    }
