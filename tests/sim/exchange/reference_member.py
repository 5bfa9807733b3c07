"""A member of the reference exchange, and the records that the reference is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from lobgym.sim import records as rec
from lobgym.sim.instrument import Instrument
from tests.sim.reference_account import RefAccount
from tests.sim.reference_messages import RefOrder


class Venue(NamedTuple):
    """The arguments of an `Exchange` that the rules depend on."""

    instrument: Instrument
    start_ns: int
    start_tick: int
    width: int
    node_room: int
    mark_every_ns: int
    funding_every_ns: int
    schedule: tuple[tuple[int, int, int, int], ...]


@dataclass(eq=False)
class Rest:
    """An order in the book; `order` is None where it is the flow's."""

    number: int
    side: int
    tick: int
    qty: int
    ns: int
    member: RefMember | None = None
    order: RefOrder | None = None


class RefMember(RefAccount):
    """A member: its messages, its account, and which of its orders rests where."""

    def __init__(self, instrument: Instrument, params: Any, seed: int, start_ns: int) -> None:
        super().__init__(np.zeros(0, rec.EVENT_DTYPE), np.zeros(0, np.int64), instrument, params, seed)
        self.t_ns = start_ns
        self.rests: dict[int, Rest] = {}
        self.window, self.window_count = -1, 0
        self.submitted = 0

    def submit(self, side: int, tick: int, qty: int, tif: int = rec.GTC, reduce_only: bool = False) -> int:
        self.submitted += 1
        order = RefOrder(self.submitted, side, tick, qty, tif, reduce_only, self.t_ns, qty, qty)
        self.orders[order.id] = order
        self._send(rec.REQ_SUBMIT, order, self.params.submit_extra_ns)
        return order.id

    def forget(self) -> None:
        """Drop orders that are done for both sides: a long run has many."""
        for order in list(self.orders.values()):
            if order.state == order.view_state == rec.DONE:
                del self.orders[order.id]

    def reducible(self, side: int) -> int:
        return max(0, -side * self.position)

    def end(self, order: RefOrder, kind: int, reason: int, now: int) -> None:
        order.state = rec.DONE
        self._give(kind, order, now, reason)

    def over_rate(self, now: int) -> bool:
        window = now // self.params.rate_window_ns
        self.window_count = self.window_count + 1 if window == self.window else 1
        self.window = window
        return 0 < self.params.rate_limit < self.window_count

    def trade(self, order: RefOrder, tick: int, lots: int, maker: bool, now: int, extra_ppb: int = 0) -> None:
        """One side of a trade; an order that only reduces ends where nothing is left to reduce."""
        self._fill(order, tick, lots, maker, now, extra_ppb)
        if order.id and order.reduce_only and order.leaves and self.reducible(order.side) == 0:
            self.end(order, rec.EXPIRED, rec.REDUCE_ONLY, now)
