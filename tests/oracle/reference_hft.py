"""hftbacktest's order handling, written down in plain Python from what its source does and what running it showed.

Every float64 operation is in the engine's order, so that fills, balance, fee and position come out bit for bit. The
engine's random order among several fills of one row is replaced by the order of ids. `Counter` `branches` says how
often each rule was used.

`PeerModel(..., mended=True)` is the same engine without the two defects of partial fills that ours does not share: it
compares a modify with what is left in whole lots, and it takes an order that is filled exactly out of its book.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from copy import copy
from dataclasses import dataclass
from typing import Any

from tests.oracle.reference_parts import (
    NO_ASK,
    NO_BID,
    Depth,
    Latency,
    Settings,
    least,
    probability,
    round_half_away,
)

__all__ = ["NO_ASK", "NO_BID", "Order", "PeerError", "PeerModel", "Settings"]

LIMIT, MARKET = 0, 1
GTC, GTX, FOK, IOC = 0, 1, 2, 3  # the engine's numbers
NONE, NEW, EXPIRED, FILLED, CANCELED, PARTLY, REJECTED, REPLACED = range(8)
ENDED = (EXPIRED, FILLED, CANCELED)
ID_USED, IN_PROCESS, NOT_FOUND, BAD_STATUS = 10, 11, 12, 14
_NEVER = 2**63 - 1


class PeerError(Exception):
    """The engine stops here with an error code, and stops there again at each further call."""


@dataclass
class Order:
    """An order, as one side of the wire knows it. Quantities in base units."""

    id: int
    side: int
    tick: int
    qty: float
    leaves: float
    type: int
    tif: int
    sent: int = 0
    exch: int = 0
    exec_qty: float = 0.0
    exec_tick: int = 0
    maker: bool = False
    status: int = NONE
    req: int = NONE
    front: float = 0.0
    printed: float = 0.0

    def shown(self) -> tuple[Any, ...]:
        """What the driver looks at."""
        return (self.exch, self.tick, self.exec_tick, self.qty, self.leaves, self.exec_qty, self.status, self.req,
                int(self.maker))  # fmt: skip


# -- both sides and the wire between them ------------------------------------------------------------------------------


@dataclass
class Account:
    """What the local side believes to own."""

    position: float = 0.0
    balance: float = 0.0
    fee: float = 0.0
    trades: int = 0
    volume: float = 0.0
    value: float = 0.0


class PeerModel:
    """One instrument, one trader. `exch_rows`, `local_rows`: (stamp, kind, side, tick, qty, lots), sorted by stamp."""

    def __init__(self, settings: Settings, exch_rows: list[Any], local_rows: list[Any], mended: bool = False) -> None:
        self.settings = settings
        self.mended = mended
        self.data = (exch_rows, local_rows)
        self.cursor = [0, 0]
        self.requests: deque[tuple[int, Order]] = deque()
        self.responses: deque[tuple[int, Order]] = deque()
        self.entry, self.response = Latency(settings), Latency(settings)
        self.depth, self.local_depth = Depth(), Depth()
        self.resting: dict[int, Order] = {}  # in the exchange's book
        self.at_tick: dict[tuple[int, int], set[int]] = {}
        self.orders: dict[int, Order] = {}  # as the local side knows them
        self.account = Account()
        self.fills: list[tuple[int, int, int, float, bool]] = []  # stamp, id, tick, quantity, maker: at the exchange
        self.answers: list[tuple[Any, ...]] = []  # seen, id, *shown
        self.seen: dict[int, tuple[Any, ...]] = {}
        self.touched: set[int] = set()
        self.zombies: list[int] = []  # filled to the last lot, and still in the exchange's book
        self.revived: set[int] = set()  # those that a modify on its way brought back to life
        self.misjudged: dict[int, int] = {}  # those that a hair in a float64 sent to the back of the queue, and when
        self.branches: Counter[str] = Counter()
        firsts = [rows[0][0] for rows in self.data if rows]
        self.now = min(firsts)
        self.alarm = 0  # a zombie whose last fill the local side has just learnt of

    # -- the clock -----------------------------------------------------------------------------------------------------

    def advance(self, until: int) -> bool:
        """Everything stamped at or before `until`; False when no event is left (the clock then stays).

        Returns early, with `alarm` set, at the stamp at which the fill of a zombie is learnt.
        """
        exch_rows, local_rows = self.data
        while True:
            a, b = self.cursor
            stamps = (
                local_rows[b][0] if b < len(local_rows) else _NEVER,
                self.responses[0][0] if self.responses else _NEVER,
                exch_rows[a][0] if a < len(exch_rows) else _NEVER,
                self.requests[0][0] if self.requests else _NEVER,
            )
            at = min(stamps)
            if self.touched and at > self.now:
                self._note()
            if self.alarm and at > self.now:
                return True
            if at == _NEVER:
                return False
            if at > until:
                self.now = until
                return True
            kind = stamps.index(at)
            self.now = at
            if kind == 0:
                _, what, side, tick, qty, lots = local_rows[b]
                self.local_depth.apply(what, side, tick, qty, lots)
                self.cursor[1] += 1
            elif kind == 1:
                self._receive(at)
            elif kind == 2:
                self._row(exch_rows[a])
                self.cursor[0] += 1
            else:
                while self.requests and self.requests[0][0] == at:
                    self._request(self.requests.popleft()[1], at)

    def _note(self) -> None:
        for number in sorted(self.touched):
            if number in self.orders:
                shown = self.orders[number].shown()
                if shown != self.seen.get(number):
                    self.seen[number] = shown
                    self.answers.append((self.now, number, *shown))
        self.touched.clear()

    # -- the local side ------------------------------------------------------------------------------------------------

    def submit(self, number: int, side: int, tick: int, qty: float, kind: int = LIMIT, tif: int = GTC) -> int:
        """Send an order; 0, or the engine's code for a refusal on the spot."""
        if number in self.orders:
            return ID_USED
        order = Order(number, side, tick, qty, qty, kind, tif, sent=self.now, req=NEW)
        self._send(order)
        return 0

    def cancel(self, number: int) -> int:
        """Ask for an order to be taken out."""
        order = self.orders.get(number)
        if order is None or order.req != NONE:
            return NOT_FOUND if order is None else IN_PROCESS
        order.req, order.sent = CANCELED, self.now
        self._send(order)
        return 0

    def modify(self, number: int, tick: int, qty: float) -> int:
        """Ask for another price or quantity."""
        order = self.orders.get(number)
        if order is None or order.req != NONE:
            return NOT_FOUND if order is None else IN_PROCESS
        order.tick, order.qty, order.req, order.sent = tick, qty, REPLACED, self.now
        self._send(order)
        return 0

    def forget(self) -> int:
        """Drop ended orders from the local table."""
        for number in [k for k, order in self.orders.items() if order.status in ENDED]:
            del self.orders[number]
        return 0

    def _send(self, order: Order) -> None:
        self.orders[order.id] = order
        self.seen[order.id] = order.shown()
        sent = copy(order)
        delay = self.entry.entry(self.now)
        if delay < 0:
            sent.req = REJECTED
            self._queue(self.responses, self.now - delay, sent)
            self.branches["lost"] += 1
        else:
            self._queue(self.requests, self.now + delay, sent)

    @staticmethod
    def _queue(line: deque[tuple[int, Order]], at: int, order: Order) -> None:
        line.append((max(at, line[-1][0]) if line else at, order))

    def _receive(self, at: int) -> None:
        while self.responses and self.responses[0][0] == at:
            answer = self.responses.popleft()[1]
            if answer.status == FILLED:
                self._credit(answer)
                self.alarm = answer.id if answer.id in self.zombies else self.alarm
            known = self.orders.get(answer.id)
            self.touched.add(answer.id)
            if known is None:
                if answer.req != REJECTED:
                    self.orders[answer.id] = answer
            elif answer.req == REJECTED:
                if answer.sent == known.sent:
                    if known.req == NEW:
                        known.status = EXPIRED
                    known.req = NONE
            else:
                sent, exch = known.sent, known.exch
                known.__dict__.update(answer.__dict__)
                known.sent = sent
                known.exch = answer.exch if answer.exch > 0 else exch

    def _credit(self, order: Order) -> None:
        set_, mine = self.settings, self.account
        price = float(order.exec_tick) * set_.tick_size
        qty = order.exec_qty
        amount = set_.contract_size * qty / price if set_.inverse else set_.contract_size * price * qty
        mine.position += qty * float(order.side)
        mine.balance -= amount * float(order.side)
        mine.fee += (set_.maker_fee if order.maker else set_.taker_fee) * amount
        mine.trades += 1
        mine.volume += qty
        mine.value += amount

    # -- the exchange: requests ----------------------------------------------------------------------------------------

    def _respond(self, order: Order) -> None:
        self._queue(self.responses, order.exch + self.response.response(order.exch), order)

    def _request(self, order: Order, at: int) -> None:
        asked, order.req = order.req, NONE
        if asked == NEW:
            self._new(order, at)
        elif order.id not in self.resting:
            order.req, order.exch = REJECTED, at
            self.branches["cancel_refused" if asked == CANCELED else "modify_refused"] += 1
        elif asked == CANCELED:
            self.branches["cancel"] += 1
            order = self._take_out(order.id)
            order.status, order.exch = CANCELED, at
        else:
            self._modify(order, at)
        self._respond(order)

    def _take_out(self, number: int) -> Order:
        order = self.resting.pop(number)
        self.at_tick[order.side, order.tick].discard(number)
        if number in self.zombies:
            self.zombies.remove(number)
        return order

    def _modify(self, order: Order, at: int) -> None:
        stands = self.resting[order.id]
        if stands.status == FILLED:
            self.revived.add(order.id)
            self.branches["revived"] += 1
        grown = self._grown(order, stands, at)
        if stands.tick != order.tick or grown:
            self.branches["modify_anew_price" if stands.tick != order.tick else "modify_anew_grown"] += 1
            self._take_out(order.id)
            self._new(order, at)  # with the leaves that the sender knew of
            return
        self.branches["modify_in_place"] += 1
        stands.qty = stands.leaves = order.leaves = order.qty
        stands.exch = order.exch = at  # the status, partly filled or new, stays

    def _grown(self, order: Order, stands: Order, at: int) -> bool:
        """Whether a modify asks for more than is left: more by any hair, unless mended."""
        lot = self.settings.lot_size
        grown = order.qty > stands.leaves
        in_lots = round_half_away(order.qty / lot) > round_half_away(stands.leaves / lot)
        if grown != in_lots and stands.tick == order.tick:
            self.branches["modify_anew_rounding"] += 1
            self.misjudged.setdefault(order.id, at)
        return in_lots if self.mended else grown

    def _new(self, order: Order, at: int) -> None:
        buy = order.side > 0
        best = self.depth.ask if buy else self.depth.bid
        name = ("gtc", "gtx", "fok", "ioc")[order.tif] if order.type == LIMIT else "market"
        takes = order.type == MARKET or (order.tick >= best if buy else order.tick <= best)
        if takes and order.type == LIMIT and order.tif == GTX:
            self._expire(order, at, "gtx_expired")
        elif takes:
            self.branches[name + "_takes"] += 1
            if self.settings.partial:
                self._walk(order, at)
            else:
                self._fill(order, at, False, best, order.leaves, False)
        elif order.tif in (FOK, IOC):
            self._expire(order, at, name + "_missed")
        else:
            self.branches[name + "_rests"] += 1
            levels = self.depth.bids if buy else self.depth.asks
            order.front, order.printed = levels.get(order.tick, 0.0), 0.0
            order.status, order.exch = NEW, at
            self.resting[order.id] = copy(order)
            self.at_tick.setdefault((order.side, order.tick), set()).add(order.id)

    def _expire(self, order: Order, at: int, branch: str) -> None:
        self.branches[branch] += 1
        order.status, order.exch = EXPIRED, at

    def _walk(self, order: Order, at: int) -> None:
        """Taking with partial fills: which levels, and what becomes of the rest."""
        lot = self.settings.lot_size
        buy, gtc = order.side > 0, order.type == LIMIT and order.tif == GTC
        best = self.depth.ask if buy else self.depth.bid
        if order.type == MARKET:
            last = best + 99 if buy else best - 100
        else:
            last = order.tick - 1 if gtc and buy else order.tick
        if best in (NO_BID, NO_ASK):
            ticks: list[int] = []
        elif buy:
            ticks = sorted(t for t in self.depth.asks if best <= t <= last)
        else:
            ticks = sorted((t for t in self.depth.bids if last <= t <= best), reverse=True)
        shown = self.depth.asks if buy else self.depth.bids
        if order.type == LIMIT and order.tif == FOK:
            total, enough = 0.0, False
            for tick in ticks:
                total += shown[tick]
                enough = enough or round_half_away(total / lot) >= round_half_away(order.qty / lot)
            if not enough:
                self._expire(order, at, "fok_too_large")
                return
        for tick in ticks:
            self._fill(order, at, False, tick, min(shown[tick], order.leaves), False)
            if order.status == FILLED:
                self.branches["walk_one" if tick == ticks[0] else "walk_several"] += 1
                return
        if gtc:
            self.branches["walk_rest_at_limit"] += 1
            self._fill(order, at, False, order.tick, order.leaves, False)
        else:
            self._expire(order, at, "walk_rest_expired")

    def _fill(self, order: Order, at: int, maker: bool, tick: int, qty: float, answer: bool) -> None:
        if order.status in ENDED:
            raise PeerError(BAD_STATUS)
        order.maker, order.exec_tick, order.exec_qty = maker, order.tick if maker else tick, qty
        if self.settings.partial:
            order.leaves -= qty
            order.status = PARTLY if round_half_away(order.leaves / self.settings.lot_size) > 0 else FILLED
        else:
            order.leaves, order.status = 0.0, FILLED
        order.exch = at
        self.fills.append((at, order.id, order.exec_tick, qty, maker))
        if answer:
            self._respond(copy(order))

    # -- the exchange: rows --------------------------------------------------------------------------------------------

    def _row(self, row: Any) -> None:
        at, kind, side, tick, qty, lots = row
        if kind == 2:
            self._print(at, side, tick, qty)
        elif kind == 3:
            self.branches["clear"] += 1
            self.depth.clear()
        else:
            depth = self.depth
            before, other = (depth.bid, depth.ask) if side > 0 else (depth.ask, depth.bid)
            prev = (depth.set_bid if side > 0 else depth.set_ask)(tick, qty, lots)
            self.branches["best_pushed"] += other != (depth.ask if side > 0 else depth.bid)
            self.branches["best_bounded"] = depth.bounded
            for number in self.at_tick.get((side, tick), ()):
                self._queue_moves(self.resting[number], prev, qty)
            if side > 0 and depth.bid > before:
                self._crossed(at, -1, [o for o in self.resting.values() if o.side < 0 and o.tick <= depth.bid])
            elif side < 0 and depth.ask < before:
                self._crossed(at, 1, [o for o in self.resting.values() if o.side > 0 and o.tick >= depth.ask])

    def _crossed(self, at: int, side: int, orders: list[Order]) -> None:
        for order in sorted(orders, key=lambda o: o.id):
            self.branches["crossed"] += 1
            self._fill(order, at, True, order.tick, order.leaves, True)
            self._take_out(order.id)

    def _queue_moves(self, order: Order, prev: float, new: float) -> None:
        count = self.branches
        if self.settings.queue == "risk_averse":
            count["front_min"] += new < order.front
            order.front = least(order.front, new)
            return
        change = prev - new
        change -= order.printed
        count["printed_since"] += order.printed > 0.0
        order.printed = 0.0
        if change < 0.0:
            count["grown"] += 1
            order.front = least(order.front, new)
            return
        front = order.front
        back = prev - front
        p = probability(self.settings.queue, self.settings.power, front, back)
        if math.isnan(p):
            count["p_nan"] += 1
        if math.isinf(p):
            count["p_infinite"] += 1
            p = 1.0
        count["shrunk"] += 1
        order.front = least(front - (1.0 - p) * change + least(back - p * change, 0.0), new)
        count["front_negative"] += order.front < 0.0

    def _print(self, at: int, side: int, tick: int, qty: float) -> None:
        lot, partial = self.settings.lot_size, self.settings.partial
        for number in sorted(self.resting):
            order = self.resting[number]
            if order.side == side or order.tick * order.side < tick * order.side:
                continue
            if order.tick != tick:
                self.branches["through"] += 1
                self._fill(order, at, True, tick, order.leaves, True)
                self._take_out(number)
                continue
            order.front -= qty
            if self.settings.queue != "risk_averse":
                order.printed += qty
            past = round_half_away(-order.front / lot)
            if past <= 0:
                self.branches["print_ahead"] += 1
                continue
            order.front = 0.0
            most = past * lot
            if not partial or most > order.leaves:
                self.branches["print_fills"] += 1
                self._fill(order, at, True, tick, order.leaves, True)
                self._take_out(number)
            else:
                self._fill(order, at, True, tick, most, True)
                self.branches["print_fills_partly" if order.status == PARTLY else "print_fills_exactly"] += 1
                if order.status == FILLED and self.mended:
                    self._take_out(number)
                elif order.status == FILLED:
                    self.zombies.append(number)
