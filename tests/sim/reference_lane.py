"""Sections 2 to 5 of docs/market.md in plain Python: the clock of one lane, its orders at the exchange, its queues.

Written from that page like `tests/sim/reference.py`, which has the book, `tests/sim/reference_rules.py`, which has
the formulas, and `tests/sim/reference_account.py`, which has the money. The numbers in the comments are its sections.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from lobgym.sim import records as rec
from lobgym.sim.instrument import Instrument
from tests.sim.reference import SIDES, Change, Print, RefBook, Row, messages_of, worse
from tests.sim.reference_account import RefAccount
from tests.sim.reference_messages import RefOrder
from tests.sim.reference_rules import SECOND, UNIT, after_cancels, margin

NEVER = 1 << 63
IMMEDIATE = (rec.IOC, rec.FOK, rec.MARKET)


class RefLane(RefAccount):
    """One lane. Feed it the same calls as a `Session`; `params` is a `SimParams`."""

    def __init__(
        self, events: Any, local_order: Any, instrument: Instrument, params: Any, start_ns: int, seed: int = 0
    ) -> None:
        super().__init__(events, local_order, instrument, params, seed)
        self.lot_unit = float(instrument.lot_size)
        self.exch, self.exch_feed = RefBook(params.print_implied_depth), deque(messages_of(events))
        self.has_marks = any(row.kind == rec.MARK and row.qty > 0 for rows in self.exch_feed for row in rows)
        self.places = 0
        self.window, self.window_count = -1, 0
        self.avail: dict[tuple[int, int], int] = {}  # levels that this lane took from: what is left of them
        self.t_ns = start_ns
        while self.exch_feed and (stamp := self.exch_feed[0][0].exch_ns) <= start_ns:
            for rows in self._take_stamp(stamp):
                self.exch.message(rows)
                self._economics(rows)
            self._end_of_stamp()
        self.funding_rates = {at: rate for at, rate in self.funding_rates.items() if at > start_ns}
        self.next_second = (start_ns // SECOND + 1) * SECOND
        self._see(start_ns)

    def advance(self, t_ns: int) -> None:
        while (now := self._next_moment()) <= t_ns:
            self._moment(now)
        self._see(t_ns)
        self.t_ns = t_ns

    # -- the clock, section 2 --

    def _next_moment(self) -> int:
        data = self.exch_feed[0][0].exch_ns if self.exch_feed else NEVER
        second = NEVER if self.has_marks or self.params.capital is None else self.next_second
        arrival = self.requests[0].due_ns if self.requests else NEVER
        return min(data, second, arrival, *self.funding_rates)

    def _moment(self, now: int) -> None:
        # At one stamp: the book, then status, mark, funding and margin, then what arrives.
        marked = False
        for rows in self._take_stamp(now):
            self._message(rows, now)
            marked |= self._economics(rows)
        self._end_of_stamp()
        if now in self.funding_rates:
            self._settle(self.funding_rates.pop(now), now)
        if now == self.next_second:
            self.next_second += SECOND
            marked |= not self.has_marks
        if marked:
            self._check_margin(now)
        while self.requests and self.requests[0].due_ns == now:
            request = self.requests.popleft()
            if request.kind == rec.REQ_SUBMIT:
                self._arrive(request.order, now)
            elif request.kind == rec.REQ_CANCEL:
                self._cancel(request.order, now)
            else:
                self._modify(request.order, request.tick, request.qty, now)
        while self.next_second <= now:
            self.next_second += SECOND

    def _take_stamp(self, now: int) -> list[list[Row]]:
        taken = []
        while self.exch_feed and self.exch_feed[0][0].exch_ns == now:
            taken.append(self.exch_feed.popleft())
        return taken

    def _end_of_stamp(self) -> None:
        bid, ask = self.exch.best(rec.BUY), self.exch.best(rec.SELL)
        if bid is not None and ask is not None:
            self.exch_bests = bid, ask

    def _check_margin(self, now: int) -> None:
        if self.params.capital is None or not self.margin_tiers or self.is_spot or self.position == 0:
            return
        self.branches["margin check"] += 1
        notional = self.money.notional(self.position, self._price())
        if self._margin_equity() >= margin(notional, self.margin_tiers, 2):
            return
        self.liquidations += 1
        for order in self.orders.values():
            if order.state == rec.LIVE:
                self._end(order, rec.CANCELLED, rec.LIQUIDATED, now)
        side, lots = (rec.SELL, self.position) if self.position > 0 else (rec.BUY, -self.position)
        closing = RefOrder(0, side, 0, lots, rec.IOC, False, now, lots, lots)
        for tick, qty in self._takeable(side, None):
            if closing.leaves:
                self._take(closing, tick, qty, now, self.liquidation_ppb)
        self.branches["liquidation left some" if closing.leaves else "liquidation closed all"] += 1

    # -- requests, section 3 --

    def _over_rate(self, now: int) -> bool:
        window = now // self.params.rate_window_ns
        self.window_count = self.window_count + 1 if window == self.window else 1
        self.window = window
        return 0 < self.params.rate_limit < self.window_count

    def _reducible(self, side: int) -> int:
        return max(0, -side * self.position)

    def _crosses(self, side: int, tick: int) -> bool:
        best = self.exch.best(-side)
        return best is not None and not worse(side, tick, best)

    def _own_best(self, side: int, limit: int) -> int | None:
        """Best price of own resting orders that an order of `side` up to `limit` would meet."""
        if self.params.self_trade == "none":
            return None
        ticks = [order.tick for order in self._resting(-side) if not worse(side, limit, order.tick)]
        return ticks[0] if ticks else None

    def _arrive(self, order: RefOrder, now: int) -> None:
        order.arrive_ns = now
        if self._over_rate(now):
            return self._end(order, rec.REJECTED, rec.RATE_LIMIT, now)
        if self.halted:
            return self._end(order, rec.REJECTED, rec.HALTED, now)
        if order.reduce_only:
            reducible = self._reducible(order.side)
            if reducible == 0:
                return self._end(order, rec.REJECTED, rec.REDUCE_ONLY, now)
            self.branches["reduce-only cut at arrival"] += reducible < order.leaves
            order.qty = order.leaves = min(order.leaves, reducible)
        if self._lacks_margin(order, order.leaves):
            return self._end(order, rec.REJECTED, rec.MARGIN, now)
        if order.tif == rec.MARKET:
            best = self.exch.best(-order.side)
            if best is None:
                return self._end(order, rec.EXPIRED, rec.NOTHING_TO_TAKE, now)
            order.tick = max(1, best + order.side * (best * self.params.market_band_ppm // 10**6))
        return self._enter(order, now, acknowledge=True)

    def _unknown(self, order: RefOrder, tick: int) -> bool:
        return not self._crosses(order.side, tick) and not self.exch.known(order.side, tick)

    def _enter(self, order: RefOrder, now: int, acknowledge: bool) -> None:
        rests = order.tif not in IMMEDIATE
        crosses = self._crosses(order.side, order.tick)
        takes = crosses or self._own_best(order.side, order.tick) is not None
        if rests and self._unknown(order, order.tick):
            return self._end(order, rec.REJECTED, rec.UNKNOWN_LEVEL, now)
        if order.tif == rec.GTX and takes:
            return self._end(order, rec.EXPIRED, rec.WOULD_TAKE, now)
        if order.tif == rec.FOK and self._fillable(order) < order.leaves:
            return self._end(order, rec.EXPIRED, rec.CANNOT_FILL, now)
        if takes or not rests:
            self._walk(order, now)
        if order.state == rec.DONE:
            return None
        if not rests:
            return self._end(order, rec.EXPIRED, rec.NOTHING_TO_TAKE, now)
        self.places += 1
        order.state, order.place, order.printed = rec.LIVE, self.places, 0
        order.front = 0 if crosses else self.exch.qty(order.side, order.tick) * UNIT
        self._keep_fronts_in_order(order.side, order.tick)
        if acknowledge:
            self._give(rec.ACK, order, now, tick=order.tick, qty=order.leaves)
        return None

    def _fillable(self, order: RefOrder) -> int:
        stop = self._own_best(order.side, order.tick) if self.params.self_trade != "expire_maker" else None
        levels = self._takeable(order.side, order.tick)
        return sum(qty for tick, qty in levels if stop is None or order.side * tick < order.side * stop)

    def _walk(self, order: RefOrder, now: int) -> None:
        mode = self.params.self_trade
        while order.leaves:
            own = self._own_best(order.side, order.tick)
            for tick, qty in self._takeable(order.side, order.tick):
                if order.leaves and (own is None or order.side * tick < order.side * own):
                    self._take(order, tick, qty, now)
            if own is None or order.leaves == 0:
                return
            if mode != "expire_taker":
                for other in self._resting(-order.side):
                    if other.tick == own:
                        self._end(other, rec.CANCELLED, rec.SELF_TRADE, now)
            if mode != "expire_maker":
                return self._end(order, rec.EXPIRED, rec.SELF_TRADE, now)

    def _cancel(self, order: RefOrder, now: int) -> None:
        if order.state != rec.LIVE:
            self._give(rec.CANCEL_REJECTED, order, now, rec.ALREADY_DONE)
        else:
            self._end(order, rec.CANCELLED, rec.OK, now)

    def _modify(self, order: RefOrder, tick: int, qty: int, now: int) -> None:
        if self._over_rate(now):
            return self._give(rec.MODIFY_REJECTED, order, now, rec.RATE_LIMIT)
        if self.halted:
            return self._give(rec.MODIFY_REJECTED, order, now, rec.HALTED)
        if order.state != rec.LIVE:
            return self._give(rec.MODIFY_REJECTED, order, now, rec.ALREADY_DONE)
        leaves = qty - order.filled
        if leaves <= 0:
            self.branches["modify to nothing"] += 1
            return self._end(order, rec.CANCELLED, rec.OK, now)
        if tick == order.tick and leaves <= order.leaves:
            self.branches["modify keeps its place"] += 1
            order.leaves, order.qty = leaves, qty
            return self._give(rec.MODIFIED, order, now, tick=tick, qty=leaves)
        if order.reduce_only:
            leaves = min(leaves, self._reducible(order.side))
            if leaves == 0:
                return self._give(rec.MODIFY_REJECTED, order, now, rec.REDUCE_ONLY)
        if self._lacks_margin(order, leaves):
            return self._give(rec.MODIFY_REJECTED, order, now, rec.MARGIN)
        if self._unknown(order, tick):
            return self._give(rec.MODIFY_REJECTED, order, now, rec.UNKNOWN_LEVEL)
        self.branches["modify comes anew"] += 1
        order.state = rec.SENT  # off the book
        order.tick, order.leaves, order.qty = tick, leaves, order.filled + leaves
        self._give(rec.MODIFIED, order, now, tick=tick, qty=leaves)
        return self._enter(order, now, acknowledge=False)

    def _end(self, order: RefOrder, kind: int, reason: int, now: int) -> None:
        order.state = rec.DONE
        self._give(kind, order, now, reason)

    # -- depth is spent once, section 4 --

    def _takeable(self, side: int, limit: int | None) -> list[tuple[int, int]]:
        """Levels on the other side up to `limit` (None: all), best first, with what this lane has not yet taken."""
        levels = sorted(self.exch.effective[-side].items(), key=lambda level: side * level[0])
        return [
            (tick, left)
            for tick, qty in levels
            if (limit is None or not worse(side, limit, tick)) and (left := self.avail.get((-side, tick), qty)) > 0
        ]

    def _take(self, order: RefOrder, tick: int, qty: int, now: int, extra_ppb: int = 0) -> None:
        take = min(order.leaves, qty)
        self._spend(-order.side, tick, take)
        self._fill(order, tick, take, False, now, extra_ppb)

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
        """Own resting orders of a side, best price first, then in order of joining."""
        live = [o for o in self.orders.values() if o.state == rec.LIVE and o.side == side]
        return sorted(live, key=lambda o: (-side * o.tick, o.place))

    def _make(self, order: RefOrder, take: int, now: int) -> int:
        """Fill a resting order with up to `take` lots at its own limit; return how many it was."""
        if order.reduce_only:
            take = min(take, self._reducible(order.side))
            if take == 0:
                self._end(order, rec.EXPIRED, rec.REDUCE_ONLY, now)
                return 0
        self._fill(order, order.tick, take, True, now)
        if order.reduce_only and order.leaves and self._reducible(order.side) == 0:
            self._end(order, rec.EXPIRED, rec.REDUCE_ONLY, now)
        return take

    def _on_print(self, event: Print, now: int) -> None:
        side = -event.side
        volume = event.qty
        for order in self._resting(side):
            if worse(side, event.tick, order.tick) and volume > 0:
                volume -= self._make(order, min(order.leaves, volume), now)
                self.branches["print beyond"] += 1
        taken = 0
        for order in self._resting(side):
            if order.tick != event.tick:
                continue
            reach = max(0, volume * UNIT - order.front) // UNIT
            take = min(order.leaves, max(0, reach - taken))
            order.front = max(0, order.front - volume * UNIT)
            order.printed += event.qty
            if take:
                taken += self._make(order, take, now)
                self.branches["print at"] += 1

    def _on_change(self, event: Change) -> None:
        key = event.side, event.tick
        if key in self.avail:
            self.avail[key] = min(event.new, self.avail[key] + max(0, event.new - event.prev))
        for order in self._resting(event.side):
            if order.tick != event.tick:
                continue
            printed, order.printed = order.printed, 0
            if event.void:
                self.branches["queue: void"] += 1
                continue
            self._move(order, event.prev, event.new, event.prev - event.new - printed)
        self._keep_fronts_in_order(event.side, event.tick)

    def _move(self, order: RefOrder, prev: int, new: int, cancelled: int) -> None:
        model, n = self.params.queue, self.params.queue_power
        if cancelled > 0 and 0 < order.front <= prev * UNIT:
            moved = after_cancels(model, n, order.front, prev, cancelled, self.lot_unit)
            self.branches[f"queue: {model} {n} {'bound' if moved > new * UNIT else 'share'}"] += 1
            order.front = moved
        elif cancelled > 0:
            self.branches["queue: first" if order.front == 0 else "queue: beyond what is displayed"] += 1
        else:
            self.branches["queue: nothing cancelled"] += 1
        order.front = min(order.front, new * UNIT)

    def _keep_fronts_in_order(self, side: int, tick: int) -> None:
        """Fronts at one price never decrease from older to younger orders."""
        front = 0
        for order in self._resting(side):
            if order.tick == tick:
                self.branches["queue: held back by an older order"] += front > order.front
                front = order.front = max(front, order.front)

    def _cross(self, now: int) -> None:
        for side in SIDES:
            best = self.exch.best(-side)
            for order in self._resting(side):
                if best is None or worse(side, order.tick, best):
                    continue
                for tick, qty in self._takeable(side, order.tick):
                    if order.state == rec.LIVE:
                        made = self._make(order, min(order.leaves, qty), now)
                        if made:
                            self._spend(-side, tick, made)
                        self.branches["crossing"] += 1
