"""The exchange in plain Python: lists of orders by price, written from docs/exchange.md and docs/market.md, sections
2, 3, 6 and 7, without looking at the kernels. Members' messages and accounts are those of the replay's reference
(`tests/sim/reference_messages.py`, `tests/sim/reference_account.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from lobgym.sim import records as rec
from tests.sim.exchange.reference_member import RefMember, Rest, Venue
from tests.sim.exchange.scripted_flow import CANCEL, INDEX, SUBMIT, TAKE, Act
from tests.sim.reference_messages import RefOrder
from tests.sim.reference_rules import margin

OPEN, HALTED, AUCTION = 0, 1, 2
PHASE, FEED, PRINT = 0, 1, 2
NEVER = 1 << 62
IMMEDIATE = (rec.IOC, rec.FOK, rec.MARKET)
CREATED, CHANGED, DELETED = 1, 2, 3


@dataclass
class RefExchange:
    """Feed it the same script, members' calls and times as an `Exchange`."""

    venue: Venue
    members: list[RefMember]
    acts: Sequence[Act]
    now: int = 0
    phase: int = OPEN
    feed_off: int = 0
    number: int = 1
    next_act: int = 0
    count: int = 0  # orders in the book
    refused: int = 0
    messages: int = 0
    last_tick: int | None = None
    index: int = 0
    basis: int = 0
    premiums: list[int] = field(default_factory=list)
    rate: int = 0
    flow_position: int = 0
    flow_cash: int = 0
    book: dict[int, dict[int, list[Rest]]] = field(default_factory=lambda: {rec.BUY: {}, rec.SELL: {}})
    of_acts: dict[int, Rest] = field(default_factory=dict)
    prints: list[tuple[int, int, int, int]] = field(default_factory=list)  # stamp, side, tick, lots
    said: list[tuple[int, int, int, int, int, int, int]] = field(default_factory=list)  # the feed of orders
    branches: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        one = self.venue
        tick_1e8 = int(one.instrument.tick_size * 10**8)
        self.half_tick = tick_1e8 // 2
        self.now = one.start_ns
        self.mark = one.start_tick * tick_1e8
        self.low = max(1, one.start_tick - one.width // 2)
        self.calendar = sorted(one.schedule, key=lambda task: task[0])
        self.mark_due = one.start_ns if one.mark_every_ns else NEVER
        self.funding_due = one.start_ns + one.funding_every_ns if one.funding_every_ns else NEVER
        for member in self.members:
            member.mark = self.mark

    # -- the clock -----------------------------------------------------------------------------------------------------

    def advance(self, t_ns: int) -> None:
        while True:
            flow = self.acts[self.next_act].ns if self.next_act < len(self.acts) else NEVER
            calendar = min(self.mark_due, self.funding_due, self.calendar[0][0] if self.calendar else NEVER)
            request, sender = NEVER, None
            for member in self.members:
                if member.requests and member.requests[0].due_ns < request:
                    request, sender = member.requests[0].due_ns, member
            stamp = min(flow, calendar, request)
            if stamp > t_ns:
                break
            self.now = stamp
            if flow == stamp:
                self.next_act += 1
                self._act(self.next_act - 1)
            elif calendar == stamp:
                self._calendar()
            elif sender:
                self._deliver(sender)
        self.now = t_ns
        for member in self.members:
            member._see(t_ns)
            member.t_ns = t_ns

    def _act(self, k: int) -> None:
        act = self.acts[k]
        if act.op == INDEX:
            self.index = act.qty
            return
        if act.op == CANCEL:
            rest = self.of_acts.get(act.ref)
            if rest is None or rest.qty == 0:
                return
            self.messages += 1
            self.branches["flow takes back " + ("all" if rest.qty <= act.qty else "a part")] += 1
            self._less(rest, min(rest.qty, act.qty))
            return
        self.messages += 1
        outside = act.op == SUBMIT and not self._inside(act.tick)
        if outside or self.phase == HALTED or (act.op == TAKE and self.phase == AUCTION):
            self.refused += 1
            self.branches[f"flow refused in phase {self.phase}"] += 1
            return
        left = act.qty if self.phase == AUCTION else self._walk(None, None, act.side, act.tick, act.qty)
        if act.op == SUBMIT and left:
            rest = self._rest(act.side, act.tick, left, None, None)
            self.refused += rest is None
            if rest:
                self.of_acts[k] = rest

    # -- the book ------------------------------------------------------------------------------------------------------

    def _inside(self, tick: int) -> bool:
        return self.low <= tick < self.low + self.venue.width

    def best(self, side: int) -> int | None:
        ticks = self.book[side]
        return (max(ticks) if side == rec.BUY else min(ticks)) if ticks else None

    def levels(self, side: int) -> list[tuple[int, int]]:
        """(tick, lots), best first."""
        queues = sorted(self.book[side].items(), key=lambda one: -side * one[0])
        return [(tick, sum(rest.qty for rest in queue)) for tick, queue in queues]

    def _within(self, side: int, limit: int | None) -> Iterator[Rest]:
        """What an order of `side` meets, best price first, then oldest; the book may change underneath."""
        while (tick := self.best(-side)) is not None and (limit is None or side * tick <= side * limit):
            yield self.book[-side][tick][0]

    def _rest(self, side: int, tick: int, qty: int, member: RefMember | None, order: RefOrder | None) -> Rest | None:
        if self.count + 1 >= self.venue.node_room:
            self.branches["no room in the book"] += 1
            return None
        self.count += 1
        rest = Rest(self.number, side, tick, qty, self.now, member, order)
        self.number += 1
        self.book[side].setdefault(tick, []).append(rest)
        if member and order:
            member.rests[order.id] = rest
            order.state = rec.LIVE
        self._say(rest, CREATED)
        return rest

    def _less(self, rest: Rest, lots: int) -> None:
        """Lots leave an order, and it the book with the last of them."""
        rest.qty -= lots
        if rest.qty:
            self._say(rest, CHANGED)
            return
        queue = self.book[rest.side][rest.tick]
        queue.remove(rest)
        if not queue:
            del self.book[rest.side][rest.tick]
        self.count -= 1
        if rest.member and rest.order:
            del rest.member.rests[rest.order.id]
        self._say(rest, DELETED)

    def _say(self, rest: Rest, action: int) -> None:
        self.said.append((self.now, rest.ns, rest.number, rest.tick, rest.qty, rest.side, action))

    # -- trading -------------------------------------------------------------------------------------------------------

    def _can_trade(self, rest: Rest, position: int | None = None) -> int:
        if rest.member is None or rest.order is None or not rest.order.reduce_only:
            return rest.qty
        held = rest.member.position if position is None else position
        return min(rest.qty, max(0, -rest.side * held))

    def _walk(self, member: RefMember | None, order: RefOrder | None, side: int, limit: int | None, qty: int) -> int:
        """Trade; the lots left. An order of a member that has ended on the way is done."""
        for rest in self._within(side, limit):
            if qty == 0 or (order is not None and order.state == rec.DONE):
                break
            if member and order and order.id and rest.member is member and member.params.self_trade != "none":
                self._meets_itself(member, order, rest)
                continue
            lots = qty
            if member and order and order.id and order.reduce_only:
                lots = min(lots, member.reducible(side))
                if lots == 0:
                    member.end(order, rec.EXPIRED, rec.REDUCE_ONLY, self.now)
                    break
            lots = min(lots, self._can_trade(rest))
            if lots == 0:
                self._expire_resting(rest)
                continue
            self._trade(side, rest.tick, lots, rest, member, order)
            qty -= lots
        return qty

    def _expire_resting(self, rest: Rest) -> None:
        assert rest.member
        assert rest.order
        self.branches["a resting order has nothing to reduce"] += 1
        rest.member.end(rest.order, rec.EXPIRED, rec.REDUCE_ONLY, self.now)
        self._less(rest, rest.qty)

    def _meets_itself(self, member: RefMember, order: RefOrder, rest: Rest) -> None:
        mode = member.params.self_trade
        if mode in ("expire_maker", "expire_both") and rest.order:
            member.end(rest.order, rec.CANCELLED, rec.SELF_TRADE, self.now)
            self._less(rest, rest.qty)
        if mode in ("expire_taker", "expire_both"):
            member.end(order, rec.EXPIRED, rec.SELF_TRADE, self.now)

    def _trade(
        self, side: int, tick: int, lots: int, rest: Rest, member: RefMember | None, order: RefOrder | None
    ) -> None:
        self.last_tick = tick
        extra = 0
        if member and order and order.id == 0:
            extra = member.liquidation_ppb
        self._one_side(rest.member, rest.order, -side, tick, lots, True, 0, bool(member or rest.member))
        self._one_side(member, order, side, tick, lots, False, extra, bool(member or rest.member))
        self._print(side, tick, lots)
        self._take_off(rest, lots)

    def _take_off(self, rest: Rest, lots: int) -> None:
        ended = rest.order is not None and rest.order.state == rec.DONE
        self._less(rest, rest.qty if ended else lots)

    def _one_side(
        self, member: RefMember | None, order: RefOrder | None, side: int, tick: int, lots: int, maker: bool,
        extra: int, of_members: bool,
    ) -> None:  # fmt: skip
        if member and order:
            member.trade(order, tick, lots, maker, self.now, extra)
        elif of_members:
            some = self.members[0].money
            self.flow_position += side * lots
            self.flow_cash += some.cash(side, tick, lots)

    def _print(self, side: int, tick: int, lots: int) -> None:
        if not self.feed_off:
            self.prints.append((self.now, side, tick, lots))
        self.branches[f"print in phase {self.phase}"] += 1

    def _fills(self, member: RefMember, order: RefOrder) -> bool:
        """Whether an order could trade all its lots at once: a rehearsal on copies of what changes."""
        left, positions = order.leaves, {id(one): one.position for one in self.members}
        for tick, queue in sorted(self.book[-order.side].items(), key=lambda one: order.side * one[0]):
            if order.side * tick > order.side * order.tick:
                break
            for rest in queue:
                own = rest.member is member
                if own and member.params.self_trade != "none":
                    if member.params.self_trade == "expire_maker":
                        continue
                    return left <= 0
                lots = min(max(left, 0), self._can_trade(rest, positions.get(id(rest.member))))
                left -= lots
                if rest.member:
                    positions[id(rest.member)] -= order.side * lots
                positions[id(member)] += order.side * lots
        return left <= 0

    # -- requests, section 3 -------------------------------------------------------------------------------------------

    def _deliver(self, member: RefMember) -> None:
        request = member.requests.popleft()
        self.messages += 1
        if request.kind == rec.REQ_SUBMIT:
            self._submit(member, request.order)
        elif request.kind == rec.REQ_CANCEL:
            rest = member.rests.get(request.order.id)
            if rest is None:
                member._give(rec.CANCEL_REJECTED, request.order, self.now, rec.ALREADY_DONE)
            else:
                self._less(rest, rest.qty)
                member.end(request.order, rec.CANCELLED, rec.OK, self.now)
        else:
            self._modify(member, request.order, request.tick, request.qty)

    def _submit(self, member: RefMember, order: RefOrder) -> None:
        order.arrive_ns = self.now
        reason = rec.RATE_LIMIT if member.over_rate(self.now) else rec.OK
        if not reason and self.phase == HALTED:
            reason = rec.HALTED
        if not reason and order.reduce_only:
            order.qty = order.leaves = min(order.leaves, member.reducible(order.side))
            reason = rec.OK if order.leaves else rec.REDUCE_ONLY
        if not reason and member._lacks_margin(order, order.leaves):
            reason = rec.MARGIN
        if not reason and self.phase == AUCTION and order.tif in IMMEDIATE:
            reason = rec.HALTED
        if reason:
            return member.end(order, rec.REJECTED, reason, self.now)
        if order.tif == rec.MARKET:
            best = self.best(-order.side)
            if best is None:
                return member.end(order, rec.EXPIRED, rec.NOTHING_TO_TAKE, self.now)
            order.tick = max(1, best + order.side * (best * member.params.market_band_ppm // 10**6))
        return self._enter(member, order, True)

    def _enter(self, member: RefMember, order: RefOrder, acknowledge: bool) -> None:
        rests, side = order.tif not in IMMEDIATE, order.side
        if rests and not self._inside(order.tick):
            return member.end(order, rec.REJECTED, rec.UNKNOWN_LEVEL, self.now)
        best = self.best(-side)
        reaches = best is not None and side * order.tick >= side * best and self.phase == OPEN
        if order.tif == rec.GTX and reaches:
            return member.end(order, rec.EXPIRED, rec.WOULD_TAKE, self.now)
        if order.tif == rec.FOK and not self._fills(member, order):
            return member.end(order, rec.EXPIRED, rec.CANNOT_FILL, self.now)
        if reaches:
            self._walk(member, order, side, order.tick, order.leaves)
        if order.tif == rec.FOK:
            assert order.leaves == 0 or order.state == rec.DONE, "a FOK was filled in part"
        if order.state == rec.DONE:
            return None
        if not rests:
            return member.end(order, rec.EXPIRED, rec.NOTHING_TO_TAKE, self.now)
        if self._rest(side, order.tick, order.leaves, member, order) is None:
            return member.end(order, rec.REJECTED, rec.UNKNOWN_LEVEL, self.now)
        if acknowledge:
            member._give(rec.ACK, order, self.now, tick=order.tick, qty=order.leaves)
        return None

    def _modify(self, member: RefMember, order: RefOrder, tick: int, qty: int) -> None:
        now = self.now
        reason = rec.RATE_LIMIT if member.over_rate(now) else rec.OK
        if not reason and self.phase == HALTED:
            reason = rec.HALTED
        if not reason and order.id not in member.rests:
            reason = rec.ALREADY_DONE
        if reason:
            return member._give(rec.MODIFY_REJECTED, order, now, reason)
        rest, leaves = member.rests[order.id], qty - order.filled
        if leaves <= 0:
            self._less(rest, rest.qty)
            return member.end(order, rec.CANCELLED, rec.OK, now)
        if tick == order.tick and leaves <= order.leaves:
            less = order.leaves - leaves
            order.leaves, order.qty = leaves, qty
            if less:
                self._less(rest, less)
            self.branches["modify keeps its place"] += 1
            return member._give(rec.MODIFIED, order, now, tick=tick, qty=leaves)
        if order.reduce_only:
            leaves = min(leaves, member.reducible(order.side))
            if leaves == 0:
                return member._give(rec.MODIFY_REJECTED, order, now, rec.REDUCE_ONLY)
        if member._lacks_margin(order, leaves):
            return member._give(rec.MODIFY_REJECTED, order, now, rec.MARGIN)
        if not self._inside(tick):
            return member._give(rec.MODIFY_REJECTED, order, now, rec.UNKNOWN_LEVEL)
        self._less(rest, rest.qty)
        self.branches["modify comes anew"] += 1
        order.state = rec.SENT
        order.tick, order.leaves, order.qty = tick, leaves, order.filled + leaves
        member._give(rec.MODIFIED, order, now, tick=tick, qty=leaves)
        return self._enter(member, order, False)

    # -- the calendar --------------------------------------------------------------------------------------------------

    def _calendar(self) -> None:
        while self.calendar and self.calendar[0][0] == self.now:
            _, what, a, b = self.calendar.pop(0)
            if what == PHASE and a != self.phase:
                before, self.phase = self.phase, a
                if before == AUCTION:
                    self._uncross()
            elif what == FEED:
                self.feed_off = a
            elif what == PRINT and not self.feed_off:
                self.prints.append((self.now, rec.BUY if b > 0 else rec.SELL, a, abs(b)))
        marked = False
        if self.mark_due == self.now:
            self.mark_due += self.venue.mark_every_ns
            marked = self._mark()
        if self.funding_due == self.now:
            self.funding_due += self.venue.funding_every_ns
            self.premiums = []
            for member in self.members:
                member._settle(self.rate, self.now)
        if marked:
            for member in self.members:
                self._check_margin(member)

    def _mark(self) -> bool:
        bid, ask = self.best(rec.BUY), self.best(rec.SELL)
        mid = (bid + ask) * self.half_tick if bid is not None and ask is not None and bid < ask else 0
        index = self.index or mid
        if index == 0:
            return False
        if mid:
            self.basis += (mid - index - self.basis) // 16
            self.premiums.append(max(-(10**12), min(10**12, (mid - index) * 10**12 // index)))
        self.mark = max(1, index + self.basis)
        for member in self.members:
            member.mark = self.mark
        if self.funding_due != NEVER:
            premium = sum(self.premiums) // max(1, len(self.premiums))
            drawn = max(-500_000_000, min(500_000_000, 100_000_000 - premium))
            self.rate = max(-7_500_000_000, min(7_500_000_000, premium + drawn))
        return True

    def _check_margin(self, member: RefMember) -> None:
        if member.params.capital is None or member.is_spot or member.position == 0:
            return
        notional = member.money.notional(member.position, member._price())
        if member._margin_equity() >= margin(notional, member.margin_tiers, 2):
            return
        member.liquidations += 1
        for number in sorted(member.rests):
            rest = member.rests[number]
            assert rest.order
            self._less(rest, rest.qty)
            member.end(rest.order, rec.CANCELLED, rec.LIQUIDATED, self.now)
        if self.phase == OPEN:
            side, lots = (rec.SELL, member.position) if member.position > 0 else (rec.BUY, -member.position)
            closing = RefOrder(0, side, 0, lots, rec.IOC, False, self.now, lots, lots)
            self._walk(member, closing, side, None, lots)
        self.branches["liquidation leaves some" if member.position else "liquidation closes all"] += 1

    # -- auctions ------------------------------------------------------------------------------------------------------

    def clearing(self) -> tuple[int, int] | None:
        """Price and surplus of bids, by trying every price."""
        bid, ask = self.best(rec.BUY), self.best(rec.SELL)
        if bid is None or ask is None or bid < ask:
            return None
        tried = []
        for tick in range(ask, bid + 1):
            wanted = sum(qty for price, qty in self.levels(rec.BUY) if price >= tick)
            offered = sum(qty for price, qty in self.levels(rec.SELL) if price <= tick)
            tried.append((-min(wanted, offered), abs(wanted - offered), tick, wanted - offered))
        best = [one for one in tried if one[:2] == min(tried)[:2]]
        if self.last_tick is None:
            chosen = best[(len(best) - 1) // 2]
        else:
            last = self.last_tick
            chosen = min(best, key=lambda one: (abs(one[2] - last), one[2]))
        return chosen[2:]

    def _uncross(self) -> None:
        rounds = 0
        while (found := self.clearing()) is not None:
            rounds += 1
            self._trade_at_one_price(*found)
        self.branches[f"auction of {min(rounds, 2)} rounds"] += 1

    def _trade_at_one_price(self, price: int, surplus: int) -> None:
        while True:
            tops = self.best(rec.BUY), self.best(rec.SELL)
            if tops[0] is None or tops[1] is None or not tops[0] >= price >= tops[1]:
                return
            bid, ask = self.book[rec.BUY][tops[0]][0], self.book[rec.SELL][tops[1]][0]
            idle = [rest for rest in (bid, ask) if self._can_trade(rest) == 0]
            if idle:
                self._expire_resting(idle[0])
                continue
            if bid.member and bid.member is ask.member and bid.member.params.self_trade != "none":
                younger = max(bid, ask, key=lambda rest: rest.number)
                assert younger.order
                bid.member.end(younger.order, rec.CANCELLED, rec.SELF_TRADE, self.now)
                self._less(younger, younger.qty)
                continue
            lots = min(self._can_trade(bid), self._can_trade(ask))
            self.last_tick = price
            self._print(rec.BUY if surplus >= 0 else rec.SELL, price, lots)
            for rest in (bid, ask):
                self._one_side(rest.member, rest.order, rest.side, price, lots, True, 0, bool(bid.member or ask.member))
                self._take_off(rest, lots)
