"""An `Exchange` and the plain reference under the same calls: random scripts of flow and members, and the comparison.

Every choice of a member is made by a seeded `Random` from what the reference shows, so that a difference cannot hide by
changing the script.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Any

import numpy as np

from lobgym.sim import records as rec
from lobgym.sim.exchange import Exchange
from lobgym.sim.instrument import SYNTH, Instrument
from lobgym.sim.params import SimParams
from tests.sim.differential import compare_answers, random_latency
from tests.sim.exchange.reference_exchange import AUCTION, FEED, PHASE, PRINT, RefExchange
from tests.sim.exchange.reference_member import RefMember, Venue
from tests.sim.exchange.scripted_flow import CANCEL, INDEX, SUBMIT, TAKE, Act, ScriptedFlow
from tests.sim.reference_messages import RefAnswer

MS = 1_000_000
START_NS = 1_704_067_200_000_000_000
SELF_TRADE = ("expire_maker", "expire_taker", "expire_both", "none")
TIFS = (rec.GTC,) * 5 + (rec.GTX,) * 3 + (rec.IOC, rec.FOK, rec.FOK, rec.MARKET)
ROOMY = {"max_orders": 256, "max_requests": 1024, "max_responses": 4096}


def random_acts(chance: Random, count: int, mid: int, gap_ns: int, spread: int = 12, far: int = 0) -> list[Act]:
    """A flow around a price that wanders; it posts, crosses, takes, and takes back what it posted."""
    acts: list[Act] = []
    posted: list[int] = []
    ns = START_NS
    for k in range(count):
        ns += chance.choice((0, 0, 1, chance.randrange(2 * gap_ns)))
        which = chance.random()
        side = chance.choice((rec.BUY, rec.SELL))
        if chance.random() < 0.01:
            mid += chance.choice((-3, -1, 1, 3))
        if which < 0.5 or not posted:
            distance = chance.choice((-2, 0, 1, 1, 2, 3, chance.randrange(spread), chance.randrange(spread)))
            tick = mid - side * distance
            if far and chance.random() < 0.02:
                tick += chance.choice((-far, far, chance.randrange(-far, far)))
            posted.append(k)
            acts.append(Act(ns, SUBMIT, side, max(1, tick), 1 + chance.randrange(20)))
        elif which < 0.6:
            acts.append(Act(ns, TAKE, side, mid + side * chance.choice((0, 1, 3, 6)), 1 + chance.randrange(40)))
        elif which < 0.61:
            usual = mid * 10_000_000
            index = chance.choice(
                (usual, usual + chance.randrange(-(10**8), 10**8), usual * chance.randrange(5, 16) // 10)
            )
            acts.append(Act(ns, INDEX, rec.BUY, 1, max(1, index)))
        else:
            ref = posted[-1 - min(chance.randrange(1 + chance.randrange(200)), len(posted) - 1)]
            acts.append(Act(ns, CANCEL, rec.BUY, 1, chance.choice((1, 5, 1000)), ref))
    return acts


def random_schedule(chance: Random, end_ns: int, span_ns: int) -> tuple[tuple[int, int, int, int], ...]:
    """Halts, auctions, outages and bad prints, some in each `span_ns`."""
    out, stamp = [], START_NS
    while stamp < end_ns:
        # Out of trading is no place to stay for long.
        stamp += chance.randrange(1, max(2, span_ns // (8 if not out or out[-1][1:3] == (PHASE, 0) else 60)))
        closed = any(task[2] for task in [task for task in out if task[1] == PHASE][-1:])
        what = PHASE if closed else chance.choice((PHASE, PHASE, PHASE, PHASE, FEED, PRINT))
        a = {PHASE: chance.choice((0, 0, 0, 1, 2)), FEED: chance.randrange(2), PRINT: 50_000}[what]
        out.append((stamp, what, a, chance.choice((-7, 3)) if what == PRINT else 0))
    chance.shuffle(out)
    return tuple(out)


def random_params(chance: Random, number: int, scale_ns: int, worth: int, span_ns: int) -> SimParams:
    """Rules of every kind; `number` steps through the modes of self-trade prevention, the rest is chance."""
    fee_tiers = (
        (0, chance.choice((0, 100_000)), 500_000),
        (4 * worth, -20_000, 400_001),
        (20 * worth, -50_000, 300_000),
    )
    margin_tiers = ((0, 50_000, 25_000), (5 * worth, 100_000, 50_000), (10 * worth, 250_000, 125_000))
    return SimParams(
        entry_ns=chance.choice((0, scale_ns, 3 * scale_ns)),
        response_ns=chance.choice((0, scale_ns, 2 * scale_ns)),
        latency=random_latency(chance, START_NS, span_ns, scale_ns),
        submit_extra_ns=chance.choice((0, 0, scale_ns // 2)),
        cancel_extra_ns=chance.choice((0, 0, scale_ns)),
        modify_extra_ns=chance.choice((0, 0, 2 * scale_ns)),
        maker_fee_ppb=chance.choice((None, -70_001, 0, 333_333)),
        taker_fee_ppb=chance.choice((None, 500_000)),
        fee_tiers=chance.choice((None, fee_tiers)),
        prior_turnover=chance.choice((0, 3 * worth)),
        self_trade=SELF_TRADE[number % len(SELF_TRADE)],
        rate_limit=chance.choice((0, 0, 0, 3, 6)),
        rate_window_ns=chance.choice((scale_ns * 4 + 1, max(1, span_ns // 30))),
        market_band_ppm=chance.choice((50_000, 50, 0)),
        capital=chance.choice((None, worth // 20, worth // 5, worth)),
        margin_tiers=margin_tiers,
        liquidation_fee_ppb=chance.choice((0, 12_500_000)),
        **ROOMY,
    )


class Duel:
    """An exchange and its reference."""

    def __init__(
        self, acts: Sequence[Act], params: SimParams, members: int = 2, seed: int = 0, instrument: Instrument = SYNTH,
        start_tick: int = 50_000, width: int = 4096, node_room: int = 1 << 14, mark_every_ns: int = 0,
        funding_every_ns: int = 0, schedule: Sequence[tuple[int, int, int, int]] = (), **more: Any,
    ) -> None:  # fmt: skip
        made = (START_NS, start_tick, width, node_room, mark_every_ns, funding_every_ns)
        self.flow = ScriptedFlow(acts)
        self.exchange = Exchange(
            instrument, members, self.flow, params, seed, start_ns=START_NS, start_tick=start_tick, width=width,
            node_room=node_room, mark_every_ns=mark_every_ns, funding_every_ns=funding_every_ns, schedule=schedule,
            **{"record": "all", "log": "full", "log_rows": 1 << 16, **more},
        )  # fmt: skip
        traders = [RefMember(instrument, params, seed + k, START_NS) for k in range(members)]
        self.reference = RefExchange(Venue(instrument, *made, tuple(schedule)), traders, acts)
        self.met: Counter[str] = Counter()
        self._answers = [0] * members
        self._said = self._prints = self._rows = 0

    # -- calls ---------------------------------------------------------------------------------------------------------

    def advance(self, t_ns: int) -> None:
        self.exchange.advance(t_ns)
        self.reference.advance(t_ns)

    def submit(self, member: int, side: int, tick: int, qty: int, tif: int = rec.GTC, reduce_only: bool = False) -> int:
        expected = self.reference.members[member].submit(side, tick, qty, tif, reduce_only)
        assert self.exchange.submit(member, side, tick, qty, tif, reduce_only) == expected
        return expected

    def cancel(self, member: int, order_id: int) -> None:
        self.reference.members[member].cancel(order_id)
        self.exchange.cancel(member, order_id)

    def modify(self, member: int, order_id: int, tick: int, qty: int) -> None:
        self.reference.members[member].modify(order_id, tick, qty)
        self.exchange.modify(member, order_id, tick, qty)

    def act(self, chance: Random, member: int, worth: int = 30) -> None:
        """Cancel, modify or send something: mostly near the touch, at times absurd."""
        who = self.reference.members[member]
        open_ids = [order.id for order in who.orders.values() if order.view_state != rec.DONE]
        bid = self.reference.best(rec.BUY) or self.reference.venue.start_tick
        ask = self.reference.best(rec.SELL) or bid + 1
        if open_ids and chance.random() < (0.7 if len(open_ids) > 8 else 0.2):
            self.cancel(member, chance.choice(open_ids))
        if open_ids and chance.random() < 0.3:
            order = who.orders[chance.choice(open_ids)]
            stands = order.tick or bid
            tick = chance.choice((stands, stands, bid, ask, bid - order.side, stands + order.side))
            most = max(1, 2 * order.qty)
            self.modify(
                member, order.id, max(1, tick), chance.choice((max(1, order.qty), 1, 1 + chance.randrange(most)))
            )
        for _ in range(chance.choice((0, 1, 1, 2))):
            side = chance.choice((rec.BUY, rec.SELL))
            near, far = (bid, ask) if side == rec.BUY else (ask, bid)
            prices = (near, near, near - side, near + side, near - side * chance.randrange(12), far, far, far + side)
            prices += (far + side * chance.randrange(12), near - side * chance.randrange(4000))
            tif = chance.choice(TIFS)
            tick = 0 if tif == rec.MARKET else max(1, chance.choice(prices))
            self.submit(member, side, tick, 1 + chance.randrange(worth), tif, chance.random() < 0.25)

    # -- the comparison ------------------------------------------------------------------------------------------------

    def compare(self) -> None:
        """Everything, as it stands."""
        board, reference = self.exchange._board[0], self.reference
        compare_books(self.exchange, reference)
        mine = reference.messages, reference.refused, reference.count, reference.flow_position, reference.flow_cash
        names = ("messages", "refused", "resting", "flow_position", "flow_cash")
        assert tuple(int(board[name]) for name in names) == mine
        assert (board["mark_1e8"], board["rate_1e12"], board["basis_1e8"]) == (
            reference.mark, reference.rate, reference.basis
        )  # fmt: skip
        for k, member in enumerate(reference.members):
            compare_member(self.exchange, k, member)
            member.forget()
        self._compare_records()
        self.check_conservation()

    def _compare_records(self) -> None:
        log = self.exchange.drain_log()
        for k, member in enumerate(self.reference.members):
            fresh: Sequence[RefAnswer] = member.history[self._answers[k] :]
            self.met["answers"] += compare_answers(log[log["lane"] == k], fresh)
            self._answers[k] = len(member.history)
        rows = self.exchange.events()[self._rows :]
        self._rows += len(rows)
        prints = rows[rows["kind"] == rec.TRADE]
        fresh_prints = self.reference.prints[self._prints :]
        self._prints += len(fresh_prints)
        got = list(
            zip(*(prints[name].tolist() for name in ("exch_ns", "side", "price_ticks", "qty_lots")), strict=True)
        )
        assert got == fresh_prints
        table = self.exchange._arrays.order_rows[self._said : int(self.exchange._board["order_count"][0])]
        self._said += len(table)
        unit = int(self.reference.venue.instrument.lot_size * 10**8)
        names = ("exch_ns", "created_ns", "order_id", "price_ticks", "qty", "side", "action")
        said = [(*one[:4], one[4] * unit, *one[5:]) for one in self.reference.said[self._said - len(table) :]]
        assert list(zip(*(table[name].tolist() for name in names), strict=True)) == said
        self.met["order events"] += len(said)
        self.met["prints"] += len(got)

    def check_conservation(self) -> None:
        """Nothing is created: every lot and every coin has two sides."""
        lanes, board = self.exchange.state.lane[: self.exchange.members], self.exchange._board[0]
        assert int(lanes["position"].sum()) + int(board["flow_position"]) == 0
        cash = int(lanes["cash"].sum()) + int(board["flow_cash"])
        if self.reference.venue.instrument.is_inverse:
            assert -2 * int(board["trades"]) <= cash <= 0  # each side is rounded against its trader
        else:
            assert cash == 0
        bid, ask = int(board["best_bid"]), int(board["best_ask"])
        assert board["phase"] == AUCTION or bid < 0 or ask < 0 or bid < ask

    def finish(self) -> Counter[str]:
        """Compare once more; what was met."""
        self.compare()
        for member in self.reference.members:
            self.met += member.branches
        self.met += self.reference.branches
        self.met["messages"] += self.reference.messages
        return self.met


def queues(exchange: Exchange, side: int) -> dict[int, list[tuple[int, int, int]]]:
    """Tick -> (number, member or -1, lots) of each order, by following the links of the book."""
    arrays, board = exchange._arrays, exchange._board[0]
    levels = arrays.levels[0 if side == rec.BUY else 1]
    found: dict[int, list[tuple[int, int, int]]] = {}
    for at in np.flatnonzero(levels["count"]).tolist():
        queue, node, before = [], int(levels["head"][at]), 0
        while node:
            order = arrays.nodes[node]
            assert (order["side"], order["at"], order["prev"]) == (side, at, before)
            queue.append((int(order["id"]), int(order["lane"]), int(order["qty"])))
            before, node = node, int(order["next"])
        assert levels["tail"][at] == before
        assert levels["count"][at] == len(queue)
        assert levels["qty"][at] == sum(one[2] for one in queue)
        found[at + int(board["base_tick"])] = queue
    return found


def compare_books(exchange: Exchange, reference: RefExchange) -> None:
    """Every queue order by order, the best prices, and each member's true place."""
    numbers: dict[Any, int] = {id(member): k for k, member in enumerate(reference.members)}
    for side in (rec.BUY, rec.SELL):
        expected = {
            tick: [(rest.number, numbers.get(id(rest.member), -1), rest.qty) for rest in queue]
            for tick, queue in reference.book[side].items()
        }
        assert queues(exchange, side) == expected
        best = exchange.ladder(side, 1)
        assert (int(best[0, 0]) if len(best) else None) == reference.best(side)
        at = int(exchange._board["best_bid" if side == rec.BUY else "best_ask"][0])
        assert (at + int(exchange._board["base_tick"][0]) if at >= 0 else None) == reference.best(side)
    for k, member in enumerate(reference.members):
        for order_id, rest in member.rests.items():
            queue = reference.book[rest.side][rest.tick]
            ahead = sum(other.qty for other in queue[: queue.index(rest)])
            assert exchange.queue_ahead(k, order_id) == ahead
            assert exchange.venue_number(k, order_id) == rest.number


def compare_member(exchange: Exchange, k: int, member: RefMember) -> None:
    got = exchange.account(k)
    assert (got.position_lots, got.cash, got.fees, got.funding, got.liquidations) == (
        member.position, member.cash, member.fees, member.funding, member.liquidations
    )  # fmt: skip
    seen = member.view_position, member.view_cash, member.view_fees, member.view_funding
    assert (got.view_position_lots, got.view_cash, got.view_fees, got.view_funding) == seen
    row = exchange.state.lane[k]
    assert row["turnover"] == member.turnover
    assert row["live_orders"] == len(member.rests)
    for name, side in (("open_bid", rec.BUY), ("open_ask", rec.SELL)):
        assert row[name] == sum(rest.qty for rest in member.rests.values() if rest.side == side)
    known = {int(order["id"]): order for order in exchange.orders(k)}
    for order in member.orders.values():
        found = known.pop(order.id, None)
        if found is None:
            assert order.state == order.view_state == rec.DONE, f"{order} is missing"
            continue
        for name in ("side", "tif", "reduce_only", "state", "view_state", "submit_ns"):
            assert found[name] == getattr(order, name), f"{name} of {order}, got {found}"
        if order.state == rec.LIVE:
            for name in ("tick", "qty", "leaves", "view_leaves", "arrive_ns"):
                assert found[name] == getattr(order, name), f"{name} of {order}, got {found}"
    assert all(order["state"] == order["view_state"] == rec.DONE for order in known.values())


def run_random(
    seed: int, count: int, members: int = 3, compare_every: int = 1, instrument: Instrument = SYNTH, **more: Any
) -> Counter[str]:
    """A random venue, a random flow of `count` messages, members who act now and then; what was met."""
    chance = Random(seed)
    gap_ns = chance.choice((1000, MS, 50 * MS))
    acts = random_acts(chance, count, 50_000, gap_ns, far=chance.choice((0, 2100, 9000)))
    end_ns = acts[-1].ns + 20 * gap_ns
    span_ns = min(end_ns - START_NS, 1500 * gap_ns)  # so that a long run is one of many short ones' density
    worth = 30 * 50_000 * 10_000
    params = random_params(chance, seed, gap_ns, worth, span_ns)
    mark_every_ns = chance.choice((0, max(1, span_ns // 60)))
    funded = chance.random() < 0.5 and instrument.kind != "spot"
    duel = Duel(
        acts, params, members, seed, instrument, mark_every_ns=mark_every_ns,
        funding_every_ns=max(1, span_ns // 13) if mark_every_ns and funded else 0,
        schedule=random_schedule(chance, end_ns, span_ns), depth_every_ns=chance.choice((0, max(1, span_ns // 100))),
        **{"node_room": chance.choice((1 << 14, 1 << 14, 48)), "width": chance.choice((1 << 12, 1 << 14)), **more},
    )  # fmt: skip
    t, step = START_NS, 0
    while t < end_ns:
        for member in range(members):
            duel.act(chance, member)
        t = min(end_ns, t + chance.choice((0, 1, 5 * gap_ns, chance.randrange(20 * gap_ns))))
        duel.advance(t)
        step += 1
        if step % compare_every == 0:
            duel.compare()
    return duel.finish()
