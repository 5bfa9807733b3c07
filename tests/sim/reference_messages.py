"""Section 2 of docs/market.md in plain Python: requests and answers in flight, the feed, and what a lane knows.

Written from that page; `tests/sim/reference_account.py` and `tests/sim/reference_lane.py` build on it.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import Any, NamedTuple

from lobgym.sim import records as rec
from lobgym.sim.instrument import Instrument
from tests.sim.reference import RefBook, messages_of
from tests.sim.reference_rules import RefMoney, latency_model, received_up_to

NO_ANSWER = {
    rec.REQ_SUBMIT: rec.REJECTED,
    rec.REQ_CANCEL: rec.CANCEL_REJECTED,
    rec.REQ_MODIFY: rec.MODIFY_REJECTED,
}


@dataclass
class RefOrder:
    id: int
    side: int
    tick: int
    qty: int
    tif: int
    reduce_only: bool
    submit_ns: int
    leaves: int
    view_leaves: int
    filled: int = 0
    front: int = 0  # in 2^-20 lots
    printed: int = 0  # lots printed at this price while it stood there, since the level's last change
    place: int = 0  # when it joined its queue, as a running number
    state: int = rec.SENT
    view_state: int = rec.SENT
    arrive_ns: int = 0
    cancel_sent: int = 0


class RefRequest(NamedTuple):
    due_ns: int
    kind: int
    order: RefOrder
    tick: int  # of a modify
    qty: int


class RefAnswer(NamedTuple):
    kind: int
    order_id: int
    exch_ns: int
    due_ns: int
    tick: int
    qty: int
    cash: int
    fee: int
    maker: int
    reason: int
    side: int
    leaves: int  # of the order, after it


class RefMessages:
    """What a lane sends, is told, and sees. `branches` counts which rule was met how often."""

    def __init__(self, events: Any, local_order: Any, instrument: Instrument, params: Any, seed: int) -> None:
        self.params, self.seed, self.t_ns = params, seed, 0
        self.money, self.latency = RefMoney(instrument), latency_model(params.latency)
        self.local, self.local_feed = RefBook(params.print_implied_depth), deque(messages_of(events[local_order]))
        self.orders: dict[int, RefOrder] = {}
        self.requests: deque[RefRequest] = deque()
        self.answers: deque[RefAnswer] = deque()  # given, not yet seen
        self.history: list[RefAnswer] = []
        self.branches: Counter[str] = Counter()
        self.sent = self.last_request_ns = self.last_answer_ns = 0
        self.view_position = self.view_cash = self.view_fees = self.view_funding = 0
        self.two_sided: tuple[int, int] | None = None  # the last bid and ask that it saw together

    # -- calls --

    def submit(self, side: int, tick: int, qty: int, tif: int = rec.GTC, reduce_only: bool = False) -> int:
        order = RefOrder(len(self.orders) + 1, side, tick, qty, tif, reduce_only, self.t_ns, qty, qty)
        self.orders[order.id] = order
        self._send(rec.REQ_SUBMIT, order, self.params.submit_extra_ns)
        return order.id

    def cancel(self, order_id: int) -> None:
        order = self.orders[order_id]
        if not order.cancel_sent:
            order.cancel_sent = 1
            self._send(rec.REQ_CANCEL, order, self.params.cancel_extra_ns)

    def modify(self, order_id: int, tick: int, qty: int) -> None:
        self._send(rec.REQ_MODIFY, self.orders[order_id], self.params.modify_extra_ns, tick, qty)

    def view_equity(self) -> int:
        known = self.money.equity(self.view_cash, self.view_fees, self.view_position, self.two_sided)
        return known - self.view_funding

    # -- in flight --

    def _send(self, kind: int, order: RefOrder, extra: int, tick: int = 0, qty: int = 0) -> None:
        delay = self.latency.entry(self.t_ns, self.seed, self.sent)
        self.sent += 1
        if delay < 0:
            if kind == rec.REQ_SUBMIT:
                order.state = rec.DONE
            self._give(NO_ANSWER[kind], order, self.t_ns, rec.LOST, travel=-delay)
            return
        due = max(self.t_ns + self.params.entry_ns + delay + extra, self.last_request_ns)
        self.branches["request queued"] += due > self.t_ns + self.params.entry_ns + delay + extra
        self.last_request_ns = due
        self.requests.append(RefRequest(due, kind, order, tick, qty))

    def _give(
        self, kind: int, order: RefOrder | None, now: int, reason: int = rec.OK, tick: int = 0, qty: int = 0,
        cash: int = 0, fee: int = 0, maker: int = 0, travel: int | None = None,
    ) -> None:  # fmt: skip
        if travel is None:
            travel = self.params.response_ns + self.latency.response(now, self.seed, len(self.history))
        due = max(now + travel, self.last_answer_ns)
        self.branches["answer queued"] += due > now + travel
        self.branches[f"answer {kind}: {rec.REASON_NAMES[reason]}"] += 1
        self.last_answer_ns = due
        if order is None:
            answer = RefAnswer(kind, 0, now, due, tick, qty, cash, fee, maker, reason, 0, 0)
        else:
            place = order.id, now, due, tick, qty, cash, fee, maker, reason, order.side, order.leaves
            answer = RefAnswer(kind, *place)
        self.answers.append(answer)
        self.history.append(answer)

    def _see(self, t_ns: int) -> None:
        limit = received_up_to(t_ns, self.params.feed_delay_ns, self.params.feed_jitter_ns, self.seed)
        while self.local_feed and (stamp := self.local_feed[0][0].local_ns) <= limit:
            self.local.message(self.local_feed.popleft())
            bid, ask = self.local.best(rec.BUY), self.local.best(rec.SELL)
            ends = not self.local_feed or self.local_feed[0][0].local_ns > stamp
            if ends and bid is not None and ask is not None:
                self.two_sided = bid, ask
        while self.answers and self.answers[0].due_ns <= t_ns:
            self._learn(self.answers.popleft())

    def _learn(self, answer: RefAnswer) -> None:
        if answer.kind == rec.FUNDED:
            self.view_funding -= answer.cash
        elif answer.kind == rec.FILL:
            self.view_position += answer.side * answer.qty
            self.view_cash += answer.cash
            self.view_fees += answer.fee
        order = self.orders.get(answer.order_id)
        if order is None:
            return
        if answer.kind in (rec.ACK, rec.FILL, rec.MODIFIED):
            order.view_leaves = answer.leaves
        if answer.kind in (rec.ACK, rec.MODIFIED):
            order.view_state = rec.LIVE
        elif answer.kind == rec.CANCEL_REJECTED:
            order.cancel_sent = 0
        elif answer.kind in (rec.CANCELLED, rec.EXPIRED, rec.REJECTED) or (
            answer.kind == rec.FILL and not answer.leaves
        ):
            order.view_state = rec.DONE
