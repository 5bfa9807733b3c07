"""Replaying single orders into the levels that a venue displays.

Two things keep the sum of all orders from being that. An order that takes is reported like any other, before its
fills: it is held back until it no longer crosses the other side. And orders that are older than the recording are never
reported: the pictures show them, each price when it first comes into view, and from then on they can only become less.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from typing import Final, NamedTuple

from lobgym.sim import records as rec
from lobgym.sim.importers.bitstamp_log import Order, Picture
from lobgym.sim.importers.order_tape import CHANGED, CREATED, DELETED

__all__ = ["DEPTHS", "Fill", "Replay"]

DEPTHS: Final = (1, 5, 10, 20)
Level = tuple[int, int]  # (side, tick)


class Fill(NamedTuple):
    """An order became less by `qty` in message `message`, not by being cancelled."""

    message: int
    order_id: int
    side: int
    tick: int
    qty: int
    taking: bool  # it was held back at that time


class _Resting(NamedTuple):
    side: int
    tick: int
    qty: int


class Replay:
    """State of the book, fed with messages in order of receipt.

    `touched` collects the levels that may have changed; the reader empties it. `met` counts, before a picture is
    used, how many sides of pictures agree with the book to each of `DEPTHS`.
    """

    def __init__(self) -> None:
        self.touched: set[Level] = set()
        self.fills: list[Fill] = []
        self.ignored: Counter[str] = Counter()
        self.met: Counter[int] = Counter()
        self.compared = 0
        self.pictures = 0
        self._orders: dict[int, _Resting] = {}
        self._taking: dict[int, None] = {}  # orders held back, oldest first
        self._deleted: set[int] = set()
        self._known: dict[Level, int] = {}
        self._older: dict[Level, int] = {}
        self._keys: dict[int, list[int]] = {rec.BUY: [], rec.SELL: []}  # -side * tick of displayed levels, best first
        self._farthest: dict[int, int] = {}  # the worst price that any picture has shown

    @property
    def held_back(self) -> int:
        """Orders that cross the other side now."""
        return len(self._taking)

    def displayed(self, level: Level) -> int:
        """Quantity of a level."""
        return self._known.get(level, 0) + self._older.get(level, 0)

    def best(self, side: int) -> int:
        """Best tick of a side, 0 where it is empty."""
        keys = self._keys[side]
        return abs(keys[0]) if keys else 0

    def levels(self, side: int, most: int) -> list[tuple[int, int]]:
        """The best levels of a side as (tick, quantity)."""
        return [(abs(key), self.displayed((side, abs(key)))) for key in self._keys[side][:most]]

    def all_levels(self) -> list[Level]:
        """Every displayed level."""
        return [(side, abs(key)) for side, keys in self._keys.items() for key in keys]

    def order(self, message: int, order: Order) -> None:
        """Take one event of an order."""
        if order.id in self._deleted:
            self.ignored[f"{_NAMES[order.action]}_after_its_delete"] += 1
            return
        before = self._orders.get(order.id)
        if order.action == CREATED and before is not None:
            self.ignored["created_twice"] += 1
            return
        if order.action == DELETED:
            self._deleted.add(order.id)
        if before is None and order.action != CREATED:
            self.ignored[f"{_NAMES[order.action]}_of_an_older_order"] += 1
            self._older_order(order)
        elif before is not None:
            self._known_order(message, order, before)
        if order.action != DELETED:
            self._orders[order.id] = _Resting(order.side, order.tick, order.qty)
            if self._crosses(order.side, order.tick):
                self._taking[order.id] = None
            elif order.id not in self._taking:
                self._add(self._known, (order.side, order.tick), order.qty)
        self._release()

    def _known_order(self, message: int, order: Order, before: _Resting) -> None:
        """Take an order that is known off its level, and note a fill."""
        if order.qty < before.qty:
            taking = order.id in self._taking
            filled = before.qty - order.qty
            self.fills.append(Fill(message, order.id, before.side, before.tick, filled, taking))
        if order.id not in self._taking:
            self._add(self._known, (before.side, before.tick), -before.qty)
        if order.action == DELETED:
            self._taking.pop(order.id, None)
            del self._orders[order.id]

    def _older_order(self, order: Order) -> None:
        """An order from before the recording shows what is left of it, or that it is gone."""
        level = (order.side, order.tick)
        older = self._older.get(level, 0)
        gone = order.qty if order.qty or order.action == CHANGED else older  # filled: by how much is not said
        self._add(self._older, level, -min(older, gone))

    def _crosses(self, side: int, tick: int) -> bool:
        other = self.best(-side)
        return other > 0 and side * tick >= side * other

    def _release(self) -> None:
        """Display orders that no longer cross."""
        for order_id in list(self._taking):
            order = self._orders[order_id]
            if not self._crosses(order.side, order.tick):
                del self._taking[order_id]
                self._add(self._known, (order.side, order.tick), order.qty)

    def _add(self, quantities: dict[Level, int], level: Level, change: int) -> None:
        if not change:
            return
        before = self.displayed(level)
        quantities[level] = quantities.get(level, 0) + change
        now = self.displayed(level)
        self.touched.add(level)
        keys, key = self._keys[level[0]], -level[0] * level[1]
        if before <= 0 < now:
            insort(keys, key)
        elif now <= 0 < before:
            del keys[bisect_left(keys, key)]
        if not quantities[level]:
            del quantities[level]

    def picture(self, picture: Picture) -> None:
        """Compare the book with a picture, then learn of older orders from it."""
        self.pictures += 1
        for side, shown in ((rec.BUY, picture.bids), (rec.SELL, picture.asks)):
            if self.pictures > 1:
                self.compared += 1
                ours = self.levels(side, max(DEPTHS))
                self.met.update(depth for depth in DEPTHS if ours[:depth] == shown[:depth])
            if shown:
                self._learn(side, shown)
        self._release()

    def _learn(self, side: int, shown: list[tuple[int, int]]) -> None:
        now, far = dict(shown), shown[-1][0]
        farthest = self._farthest.get(side)
        for tick, qty in shown:
            level = (side, tick)
            unexplained = max(0, qty - self._known.get(level, 0))
            if farthest is None or side * tick < side * farthest:
                self._add(self._older, level, unexplained - self._older.get(level, 0))
            elif level in self._older:
                self._add(self._older, level, min(0, unexplained - self._older[level]))
        for level in [
            one for one in self._older if one[0] == side and side * one[1] >= side * far and one[1] not in now
        ]:
            self._add(self._older, level, -self._older[level])
        self._farthest[side] = far if farthest is None or side * far < side * farthest else farthest


_NAMES: Final = {CREATED: "created", CHANGED: "changed", DELETED: "deleted"}
