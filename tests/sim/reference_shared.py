"""docs/several-markets.md in plain Python: reference lanes on several markets with one capital.

At one stamp: every market's book, status, mark and funding; then the check of the account; then what arrives, market
by market. Everything else is the reference lane's, which knows nothing of the others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from lobgym.sim import records as rec
from tests.sim.reference_lane import RefLane
from tests.sim.reference_messages import RefOrder
from tests.sim.reference_rules import margin


class SharedLane(RefLane):
    """A lane whose venue looks at the whole account; `SharedAccount` moves it."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.others: list[SharedLane] = []
        self.has_check = False

    @property
    def needs_margin(self) -> bool:
        return not self.is_spot and bool(self.params.margin_tiers)

    def made(self) -> int:
        """Cash, costs and value of this market alone."""
        return self.cash - self.fees - self.funding + self.money.value(self.position, self._price())

    def need(self, lots: int, column: int) -> int:
        if not self.needs_margin:
            return 0
        return margin(self.money.notional(lots, self._price()), self.params.margin_tiers, column)

    def _margin_equity(self) -> int:
        """What a new order here may lean on: the account's equity without what the other markets need."""
        spare = 0
        for other in self.others:
            live = [order for order in other.orders.values() if order.state == rec.LIVE]
            bids, asks = (sum(order.leaves for order in live if order.side == side) for side in (rec.BUY, rec.SELL))
            spare += other.made() - other.need(max(abs(other.position + bids), abs(other.position - asks)), 1)
        return int(self.params.capital + self.made() + spare)

    def _check_margin(self, now: int) -> None:
        self.has_check |= self.needs_margin

    def data(self, now: int) -> None:
        """What the venue itself does at a stamp; requests wait."""
        waiting, self.requests = self.requests, deque()
        self._moment(now)
        self.requests = waiting

    def close(self, now: int) -> None:
        side, lots = (rec.SELL, self.position) if self.position > 0 else (rec.BUY, -self.position)
        closing = RefOrder(0, side, 0, lots, rec.IOC, False, now, lots, lots)
        for tick, qty in self._takeable(side, None):
            if closing.leaves:
                self._take(closing, tick, qty, now, self.params.liquidation_fee_ppb or 0)

    def cancel_all(self, now: int) -> None:
        self.liquidations += 1
        for order in self.orders.values():
            if order.state == rec.LIVE:
                self._end(order, rec.CANCELLED, rec.LIQUIDATED, now)


class SharedAccount:
    """One trader on all markets."""

    def __init__(self, lanes: Sequence[SharedLane]) -> None:
        self.lanes = lanes
        for lane in lanes:
            lane.others = [other for other in lanes if other is not lane]

    def equity(self) -> int:
        return int(self.lanes[0].params.capital + sum(lane.made() for lane in self.lanes))

    def advance(self, t_ns: int) -> None:
        while (now := min(lane._next_moment() for lane in self.lanes)) <= t_ns:
            for lane in self.lanes:
                lane.has_check = False
                lane.data(now)
            if any(lane.has_check for lane in self.lanes):
                self._check(now)
            for lane in self.lanes:
                lane._moment(now)  # nothing is left of this stamp but what arrives
        for lane in self.lanes:
            lane._see(t_ns)
            lane.t_ns = t_ns

    def _check(self, now: int) -> None:
        holds = any(lane.position for lane in self.lanes)
        if not holds or self.equity() >= sum(lane.need(lane.position, 2) for lane in self.lanes):
            return
        for lane in self.lanes:
            lane.cancel_all(now)
        for lane in self.lanes:
            lane.close(now)
