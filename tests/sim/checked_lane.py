"""The reference lane that watches itself: what must hold after every event, whatever the rules in between say."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from lobgym.sim import records as rec
from tests.sim.reference import Change, Print
from tests.sim.reference_lane import RefLane
from tests.sim.reference_messages import RefOrder


class CheckedLane(RefLane):
    """A `RefLane` whose every step is checked: money adds up, nothing is spent twice, nothing comes too early."""

    def _moment(self, now: int) -> None:
        assert now >= self.t_ns
        before = len(self.history)
        super()._moment(now)
        if len(self.history) > before:
            self.check_ledger()
        self.check_queues()

    def _give(self, kind: int, order: RefOrder | None, now: int, *args: Any, **more: Any) -> None:
        super()._give(kind, order, now, *args, **more)
        last = self.history[-1]
        assert last.due_ns >= last.exch_ns
        assert len(self.history) < 2 or last.due_ns >= self.history[-2].due_ns
        if order is not None and order.id:
            assert 0 <= order.leaves <= order.qty
            assert kind in (rec.REJECTED, rec.CANCEL_REJECTED, rec.MODIFY_REJECTED) or now >= order.arrive_ns > 0
            assert kind in (rec.REJECTED, rec.CANCEL_REJECTED, rec.MODIFY_REJECTED) or now >= (
                order.submit_ns + self.params.entry_ns
            )

    def _fill(self, order: RefOrder, tick: int, qty: int, maker: bool, now: int, extra_ppb: int = 0) -> None:
        before = self.position
        assert 0 < qty <= order.leaves
        assert order.id == 0 or order.tif == rec.MARKET or order.side * tick <= order.side * order.tick
        super()._fill(order, tick, qty, maker, now, extra_ppb)
        if order.reduce_only or order.id == 0:
            assert abs(self.position) == abs(before) - qty

    def _spend(self, side: int, tick: int, qty: int) -> None:
        super()._spend(side, tick, qty)
        assert 0 <= self.avail[side, tick] <= self.exch.qty(side, tick)

    def _on_print(self, event: Print, now: int) -> None:
        before = len(self.history)
        super()._on_print(event, now)
        fills = [answer for answer in self.history[before:] if answer.kind == rec.FILL]
        assert sum(fill.qty for fill in fills) <= event.qty
        assert all(fill.maker and fill.side == -event.side for fill in fills)
        # Better prices first.
        ranks = [-fill.side * fill.tick for fill in fills]
        assert ranks == sorted(ranks)

    def _on_change(self, event: Change) -> None:
        before = {order.id: order.front for order in self.orders.values() if order.state == rec.LIVE}
        super()._on_change(event)
        fronts = [(order, front) for order in self._resting(event.side) if (front := before[order.id]) != order.front]
        assert all(order.tick == event.tick and 0 <= order.front < front for order, front in fronts)

    def check_ledger(self) -> None:
        fills = self.fills
        assert self.position == sum(fill.side * fill.qty for fill in fills)
        assert self.cash == sum(fill.cash for fill in fills)
        assert self.fees == sum(fill.fee for fill in fills)
        assert self.funding == -sum(answer.cash for answer in self.history if answer.kind == rec.FUNDED)
        assert self.turnover == sum(abs(fill.cash) for fill in fills)
        filled: dict[int, int] = defaultdict(int)
        for fill in fills:
            filled[fill.order_id] += fill.qty
        assert all(order.filled == filled[order.id] for order in self.orders.values())

    def check_queues(self) -> None:
        for side in (rec.BUY, rec.SELL):
            fronts: dict[int, list[int]] = defaultdict(list)
            for order in self._resting(side):
                assert order.leaves > 0
                fronts[order.tick].append(order.front)
            assert all(queue == sorted(queue) and queue[0] >= 0 for queue in fronts.values())

    def check_end(self) -> None:
        """After everything has been seen: the lane's view is the truth."""
        if not self.answers and not self.requests:
            assert (self.view_position, self.view_cash, self.view_fees) == (self.position, self.cash, self.fees)
            assert self.view_funding == self.funding
            assert all(
                (o.view_state, o.view_leaves) == (o.state, o.leaves) for o in self.orders.values() if o.state < 3
            )
            assert all(order.view_state == order.state for order in self.orders.values())
