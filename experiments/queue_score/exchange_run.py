"""An exchange with a background flow and a member who puts probes into its queues and writes down where they stand.

The member knows nothing and wants nothing: at random times it sends a post-only order at the touch or some ticks
behind it, and cancels it after a random time, or waits until it is filled. The exchange says where each order stands.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import Final

from lobgym.experiments.queue_score.probes import AGES_NS
from lobgym.sim.errors import UnknownOrderError
from lobgym.sim.exchange import Exchange, Flow
from lobgym.sim.exchange.board import NONE
from lobgym.sim.importers.order_tape import OrderTape
from lobgym.sim.instrument import SYNTH
from lobgym.sim.params import SimParams
from lobgym.sim.records import BUY, GTX, SELL
from lobgym.sim.rng import below
from lobgym.sim.tape import Tape

__all__ = ["BATCH_NS", "Run", "run_exchange"]

BATCH_NS: Final = 50_000_000  # between two messages of depth, where it is batched
_STREAM: Final = 41  # of the random numbers that the member draws
_LOTS: Final = (5, 20, 50, 100, 200, 400, 800, 1_600)  # from a tenth to four times what the flow's orders have
_BEHIND: Final = (0, 0, 0, 0, 1, 2, 4, 8)  # ticks behind the best price of its side
_LIVES_NS: Final = (1_000_000_000, 4_000_000_000, 20_000_000_000, 0)  # on average; 0 waits until it is filled
_MAX_ORDERS: Final = 4_096
_CANCEL, _LOOK, _SEND = 0, 1, 2  # of equal stamps, in this order


@dataclass
class Run:
    """What an exchange recorded, and what it said of the member's orders.

    Attributes:
        tape, orders: levels and single orders, as the exchange recorded them.
        begin_ns, end_ns: what the member saw of it.
        places: by number on the order tape: (age, lots before it, as the exchange says).
    """

    tape: Tape
    orders: OrderTape
    begin_ns: int
    end_ns: int
    places: dict[int, list[tuple[int, int]]] = field(default_factory=dict)


def run_exchange(
    flow: Flow,
    seed: int,
    span_ns: int,
    gap_ns: int = 250_000_000,
    depth_every_ns: int = 0,
    warm_up_ns: int = 2_000_000_000,
) -> Run:
    """Run it for `span_ns` after a warm-up; the member sends an order every `gap_ns` on average.

    Nobody in it looks at the published depth, so what happens does not depend on `depth_every_ns`.
    """
    params = SimParams(entry_ns=0, response_ns=0, max_orders=_MAX_ORDERS, max_requests=64, max_responses=1_024)
    exchange = Exchange(
        SYNTH, 1, flow, params, seed, record="all", depth_every_ns=depth_every_ns, log="off", mark_every_ns=0
    )
    begin = exchange.now_ns + warm_up_ns
    member = _Member(exchange, seed, begin, begin + span_ns, gap_ns)
    member.run()
    return Run(exchange.tape(), exchange.order_tape(), begin, begin + span_ns, member.places)


class _Member:
    def __init__(self, exchange: Exchange, seed: int, begin_ns: int, end_ns: int, gap_ns: int) -> None:
        self.exchange, self.seed, self.end_ns, self.gap_ns = exchange, seed, end_ns, gap_ns
        self.places: dict[int, list[tuple[int, int]]] = {}
        self._drawn = 0
        self._due: list[tuple[int, int, int, int]] = [(begin_ns | 1, _SEND, 0, 0)]  # stamp, what, order, age

    def run(self) -> None:
        """Until the end. Orders that then rest stay."""
        while self._due and self._due[0][0] <= self.end_ns:
            stamp, what, order, age = heapq.heappop(self._due)
            self.exchange.advance(stamp)
            if what == _SEND:
                self._send(stamp)
            elif what == _CANCEL:
                self._cancel(order)
            else:
                self._look(order, age)
        self.exchange.advance(self.end_ns)

    def _below(self, n: int) -> int:
        self._drawn += 1
        return int(below(self.seed, _STREAM, self._drawn, n))

    def _pick(self, choices: tuple[int, ...]) -> int:
        return choices[self._below(len(choices))]

    def _send(self, stamp: int) -> None:
        # Odd stamps: depth is published at even ones, and what a member does then comes after it.
        heapq.heappush(self._due, ((stamp + 1 + self._below(2 * self.gap_ns)) | 1, _SEND, 0, 0))
        side = BUY if self._below(2) else SELL
        lots, behind, life = self._pick(_LOTS), self._pick(_BEHIND), self._pick(_LIVES_NS)
        board = self.exchange.board
        best = int(board["best_bid" if side == BUY else "best_ask"])
        if best == NONE:
            return
        order = self.exchange.submit(0, side, int(board["base_tick"]) + best - side * behind, lots, GTX)
        self.exchange.advance(stamp)
        try:
            self.places[self.exchange.venue_number(0, order)] = [(0, self.exchange.queue_ahead(0, order))]
        except UnknownOrderError:
            return  # refused
        for age in AGES_NS:
            heapq.heappush(self._due, (stamp + age, _LOOK, order, age))
        if life:
            heapq.heappush(self._due, ((stamp + 1 + self._below(2 * life)) | 1, _CANCEL, order, 0))

    def _cancel(self, order: int) -> None:
        try:
            self.exchange.cancel(0, order)
        except UnknownOrderError:
            return  # filled long ago
        self.exchange.advance(self.exchange.now_ns)

    def _look(self, order: int, age: int) -> None:
        try:
            number = self.exchange.venue_number(0, order)
        except UnknownOrderError:
            return
        self.places[number].append((age, self.exchange.queue_ahead(0, order)))
