"""Sections 2 to 6 of docs/market.md in plain Python: one lane with its latency, orders, queues and account.

Written from that page like `tests/sim/reference.py`, which has the book. The numbers in the comments are its sections.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from typing import Any, NamedTuple

from lobgym.sim import records as rec
from lobgym.sim.instrument import Instrument
from lobgym.sim.params import SimParams
from tests.sim.reference import SIDES, Change, Print, RefBook, Row, messages_of, worse

UNIT = 1 << 20  # fronts are counted in 2^-20 lots


@dataclass
class RefMoney:
    """Section 6."""

    instrument: Instrument

    def cash(self, side: int, tick: int, qty: int) -> int:
        one = self.instrument
        if not one.is_inverse:
            exact = Fraction(one.tick_size) * tick * Fraction(one.lot_size) * qty * Fraction(one.contract_size)
            return int(-side * exact / Fraction(one.money_unit))
        value = Fraction(one.contract_size) * Fraction(one.lot_size) * qty
        base = value / (Fraction(one.tick_size) * tick) / Fraction(one.money_unit)
        # A long inverse contract is short the quote currency: buying it receives base currency.
        return floor(base) if side == rec.BUY else -ceil(base)

    def fee(self, cash: int, ppb: int) -> int:
        return ceil(Fraction(abs(cash) * ppb, 10**9))

    def equity(self, cash: int, fees: int, position: int, bests: tuple[int, int] | None) -> int:
        """Marked at the mid of `bests`, a bid and an ask; without one, a position is worth nothing."""
        if bests is None or position == 0:
            return cash - fees
        one = self.instrument
        mid = Fraction(one.tick_size) * sum(bests) / 2
        size = Fraction(one.contract_size) * Fraction(one.lot_size) * position
        value = -size / mid if one.is_inverse else size * mid
        return cash - fees + floor(value / Fraction(one.money_unit))


@dataclass
class RefOrder:
    id: int
    side: int
    tick: int
    qty: int
    tif: int
    submit_ns: int
    leaves: int
    view_leaves: int
    front: int = 0  # in 2^-20 lots
    printed: int = 0  # lots printed at this price while it stood there, since the level's last change
    state: int = rec.SENT
    view_state: int = rec.SENT
    arrive_ns: int = 0


class RefFill(NamedTuple):
    exch_ns: int
    seen_ns: int
    order_id: int
    tick: int
    qty: int
    cash: int
    fee: int
    submit_ns: int
    side: int
    maker: int


class RefAnswer(NamedTuple):
    seen_ns: int
    kind: int
    order: RefOrder
    reason: int
    fill: RefFill | None


class RefLane:
    """Sections 2 to 6: one lane. Feed it the same calls as a `Session`."""

    def __init__(self, events: Any, local_order: Any, instrument: Instrument, params: SimParams, start_ns: int) -> None:
        self.params, self.money = params, RefMoney(instrument)
        maker, taker = params.maker_fee_ppb, params.taker_fee_ppb
        self.maker_ppb = instrument.maker_fee_ppb if maker is None else maker
        self.taker_ppb = instrument.taker_fee_ppb if taker is None else taker
        self.exch, self.local = RefBook(params.print_implied_depth), RefBook(params.print_implied_depth)
        self.exch_feed, self.local_feed = messages_of(events), messages_of(events[local_order])
        self.orders: dict[int, RefOrder] = {}
        self.requests: list[tuple[int, str, RefOrder]] = []  # arrival, what, order
        self.answers: list[RefAnswer] = []  # given, not yet seen
        self.history: list[RefAnswer] = []
        self.fills: list[RefFill] = []
        self.avail: dict[tuple[int, int], int] = {}  # levels that this lane took from: what is left of them
        self.position = self.cash = self.fees = 0
        self.view_position = self.view_cash = self.view_fees = 0
        self.two_sided: tuple[int, int] | None = None  # the last bid and ask that it saw together
        self.t_ns = start_ns
        while self.exch_feed and self.exch_feed[0][0].exch_ns <= start_ns:
            self.exch.message(self.exch_feed.pop(0))
        self._see(start_ns)

    # -- calls --

    def submit(self, side: int, tick: int, qty: int, tif: int) -> int:
        order = RefOrder(len(self.orders) + 1, side, tick, qty, tif, self.t_ns, qty, qty)
        self.orders[order.id] = order
        self.requests.append((self.t_ns + self.params.entry_ns, "submit", order))
        return order.id

    def cancel(self, order_id: int) -> None:
        self.requests.append((self.t_ns + self.params.entry_ns, "cancel", self.orders[order_id]))

    def advance(self, t_ns: int) -> None:
        # 2: by stamp; at equal stamps data before the orders that arrive.
        while True:
            data = self.exch_feed[0][0].exch_ns if self.exch_feed else t_ns + 1
            arrival = self.requests[0][0] if self.requests else t_ns + 1
            if min(data, arrival) > t_ns:
                break
            if data <= arrival:
                self._message(self.exch_feed.pop(0), data)
            else:
                _, what, order = self.requests.pop(0)
                (self._arrive if what == "submit" else self._cancel)(order, arrival)
        self._see(t_ns)
        self.t_ns = t_ns

    def equity(self) -> int:
        return self.money.equity(self.cash, self.fees, self.position, self.two_sided)

    def view_equity(self) -> int:
        return self.money.equity(self.view_cash, self.view_fees, self.view_position, self.two_sided)

    # -- what the lane sees --

    def _see(self, t_ns: int) -> None:
        while self.local_feed and (stamp := self.local_feed[0][0].local_ns) <= t_ns:
            self.local.message(self.local_feed.pop(0))
            bid, ask = self.local.best(rec.BUY), self.local.best(rec.SELL)
            ends = not self.local_feed or self.local_feed[0][0].local_ns > stamp
            if ends and bid is not None and ask is not None:
                self.two_sided = bid, ask
        while self.answers and self.answers[0].seen_ns <= t_ns:
            answer = self.answers.pop(0)
            order = answer.order
            if answer.fill:
                order.view_leaves -= answer.fill.qty
                self.view_position += order.side * answer.fill.qty
                self.view_cash += answer.fill.cash
                self.view_fees += answer.fill.fee
                if order.view_leaves == 0:
                    order.view_state = rec.DONE
            elif answer.kind == rec.ACK:
                order.view_state = rec.LIVE
            elif answer.kind != rec.CANCEL_REJECTED:
                order.view_state = rec.DONE

    def _answer(self, kind: int, order: RefOrder, now: int, reason: int = rec.OK, fill: RefFill | None = None) -> None:
        answer = RefAnswer(now + self.params.response_ns, kind, order, reason, fill)
        self.answers.append(answer)
        self.history.append(answer)

    def _fill(self, order: RefOrder, tick: int, qty: int, maker: bool, now: int) -> None:
        cash = self.money.cash(order.side, tick, qty)
        fee = self.money.fee(cash, self.maker_ppb if maker else self.taker_ppb)
        fill = RefFill(
            now, now + self.params.response_ns, order.id, tick, qty, cash, fee, order.submit_ns, order.side, int(maker)
        )
        self.fills.append(fill)
        self._answer(rec.FILL, order, now, fill=fill)
        self.position += order.side * qty
        self.cash += cash
        self.fees += fee
        order.leaves -= qty
        if order.leaves == 0:
            order.state = rec.DONE

    # -- requests, section 3 --

    def _arrive(self, order: RefOrder, now: int) -> None:
        order.arrive_ns = now
        best = self.exch.best(-order.side)
        takes = best is not None and not worse(order.side, order.tick, best)
        if order.tif == rec.GTX and takes:
            return self._end(order, rec.EXPIRED, rec.WOULD_TAKE, now)
        if order.tif == rec.IOC or takes:
            for tick, qty in self._takeable(order.side, order.tick):
                if order.leaves:
                    take = min(order.leaves, qty)
                    self._spend(-order.side, tick, take)
                    self._fill(order, tick, take, False, now)
        if order.leaves == 0:
            return None
        if order.tif == rec.IOC:
            return self._end(order, rec.EXPIRED, rec.NOTHING_TO_TAKE, now)
        if not takes and not self.exch.known(order.side, order.tick):
            return self._end(order, rec.REJECTED, rec.UNKNOWN_LEVEL, now)
        order.state = rec.LIVE
        order.front = 0 if takes else self.exch.qty(order.side, order.tick) * UNIT
        self._keep_fronts_in_order(order.side, order.tick)
        return self._answer(rec.ACK, order, now)

    def _cancel(self, order: RefOrder, now: int) -> None:
        if order.state == rec.DONE:
            self._answer(rec.CANCEL_REJECTED, order, now, rec.ALREADY_DONE)
        else:
            self._end(order, rec.CANCELLED, rec.OK, now)

    def _end(self, order: RefOrder, kind: int, reason: int, now: int) -> None:
        order.state = rec.DONE
        self._answer(kind, order, now, reason)

    # -- depth is spent once, section 4 --

    def _takeable(self, side: int, limit: int) -> list[tuple[int, int]]:
        """Levels on the other side up to `limit`, best first, with what this lane has not yet taken."""
        levels = sorted(self.exch.effective[-side].items(), key=lambda level: side * level[0])
        return [
            (tick, left)
            for tick, qty in levels
            if not worse(side, limit, tick) and (left := self.avail.get((-side, tick), qty)) > 0
        ]

    def _spend(self, side: int, tick: int, qty: int) -> None:
        self.avail[side, tick] = self.avail.get((side, tick), self.exch.qty(side, tick)) - qty

    # -- market data, section 5 --

    def _message(self, rows: list[Row], now: int) -> None:
        # The book changes first as a whole: nothing in here looks at it until the message ends.
        for event in self.exch.message(rows):
            if isinstance(event, Print):
                self._on_print(event, now)
            elif isinstance(event, Change):
                self._on_change(event)
            else:
                self._cross(now)

    def _resting(self, side: int) -> list[RefOrder]:
        """Own resting orders of a side, best price first, then oldest."""
        live = [o for o in self.orders.values() if o.state == rec.LIVE and o.side == side]
        return sorted(live, key=lambda o: (-side * o.tick, o.id))

    def _on_print(self, event: Print, now: int) -> None:
        side = -event.side
        volume = event.qty
        for order in self._resting(side):
            if worse(side, event.tick, order.tick) and volume > 0:
                take = min(order.leaves, volume)
                volume -= take
                self._fill(order, order.tick, take, True, now)
        taken = 0
        for order in self._resting(side):
            if order.tick != event.tick:
                continue
            reach = max(0, volume * UNIT - order.front) // UNIT
            take = min(order.leaves, max(0, reach - taken))
            taken += take
            order.front = max(0, order.front - volume * UNIT)
            order.printed += event.qty
            if take:
                self._fill(order, order.tick, take, True, now)

    def _on_change(self, event: Change) -> None:
        key = event.side, event.tick
        if key in self.avail:
            self.avail[key] = min(event.new, self.avail[key] + max(0, event.new - event.prev))
        for order in self._resting(event.side):
            if order.tick != event.tick:
                continue
            printed, order.printed = order.printed, 0
            if event.void:
                continue
            cancelled = event.prev - event.new - printed
            if cancelled > 0:
                order.front = self._after_cancels(order.front, event.prev, cancelled)
            order.front = min(order.front, event.new * UNIT)
        self._keep_fronts_in_order(event.side, event.tick)

    def _keep_fronts_in_order(self, side: int, tick: int) -> None:
        """Fronts at one price never decrease from older to younger orders."""
        front = 0
        for order in self._resting(side):
            if order.tick == tick:
                front = order.front = max(front, order.front)

    def _after_cancels(self, front: int, prev: int, cancelled: int) -> int:
        ahead = Fraction(front, UNIT)
        chance = (ahead / prev) ** self.params.queue_power
        excess = max(Fraction(0), cancelled * (1 - chance) - (prev - ahead))
        return ceil((ahead - cancelled * chance - excess) * UNIT)

    def _cross(self, now: int) -> None:
        for side in SIDES:
            best = self.exch.best(-side)
            for order in self._resting(side):
                if best is None or worse(side, order.tick, best):
                    continue
                for tick, qty in self._takeable(side, order.tick):
                    if order.leaves:
                        take = min(order.leaves, qty)
                        self._spend(-side, tick, take)
                        self._fill(order, order.tick, take, True, now)
