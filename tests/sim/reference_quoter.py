"""The quoter restated in plain Python, from its documents: fractions instead of half ticks, lists instead of slots.

`plan_of(desk, lane, codes)` is what `Desk.plan` must give for a lane, as tuples
(kind, order_id, side, tick, qty, tif, reason). It shares no code with the quoter; the pre-trade check is that of
`tests.sim.test_risk`.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor
from typing import Any, NamedTuple

from lobgym.sim import records as rec
from lobgym.sim.book import NO_ASK, NO_BID
from lobgym.sim.desk import INTENT_CANCEL, INTENT_SUBMIT, Desk
from tests.sim.test_risk import restated

# Rows of the tables of docs/environments.
SLICES = [None, 0, Fraction(1, 4), Fraction(1, 2), Fraction(3, 4), 1, Fraction(5, 4), Fraction(3, 2), 2, 4, "all"]
FINE = 1 << 20

Intent = tuple[int, int, int, int, int, int, int]


class Own(NamedTuple):
    id: int
    side: int
    tick: int
    leaves: int
    tif: int
    leaving: bool  # a cancel is on its way


class Seen(NamedTuple):
    """What a lane knows."""

    t_ns: int
    bid: int | None
    ask: int | None
    age_ns: int
    position: int
    own: list[Own]
    slots: int

    def open_lots(self, side: int) -> int:
        return sum(one.leaves for one in self.own if one.side == side)


def seen_by(desk: Desk, lane: int) -> Seen:
    row = desk.session.state.lane[lane]
    bid, ask = desk.session.bests(lane)
    orders = [one for one in desk.session.state.orders[lane][: int(row["slot_count"])] if one["state"] != rec.FREE]
    own = [
        Own(*(int(one[name]) for name in ("id", "side", "view_tick", "view_leaves", "tif")), bool(one["cancel_sent"]))
        for one in orders
        if one["view_state"] in (rec.SENT, rec.LIVE)
    ]
    stamp = int(desk.market.local.ns[int(row["local_cursor"]) - 1])
    t_ns = int(row["t_ns"])
    return Seen(t_ns, bid, ask, t_ns - stamp, int(row["view_position"]), own, len(orders))


class Sheet:
    """Writes intents down; permitted orders count against the ones after them."""

    def __init__(self, desk: Desk, seen: Seen) -> None:
        self.desk = desk
        self.seen = seen
        self.intents: list[Intent] = []
        self.added = {rec.BUY: 0, rec.SELL: 0}
        self.sent = 0

    def cancel(self, one: Own) -> None:
        self.intents.append((INTENT_CANCEL, one.id, one.side, one.tick, one.leaves, one.tif, rec.OK))

    def room(self, side: int) -> int:
        """Lots that may still be added before the position limit, should everything open fill."""
        spec = self.desk.spec
        limit = spec.position_lots_max if side == rec.BUY or spec.risk.short else 0
        return limit - side * self.seen.position - self.seen.open_lots(side) - self.added[side]

    def submit(self, side: int, tick: int, qty: int, tif: int, counting_open: bool = True) -> None:
        seen = self.seen
        order: dict[str, Any] = {
            "bid": NO_BID if seen.bid is None else seen.bid,
            "ask": NO_ASK if seen.ask is None else seen.ask,
            "age": seen.age_ns,
            "side": side,
            "tick": tick,
            "qty": qty,
            "position": seen.position,
            "open_side": (seen.open_lots(side) if counting_open else 0) + self.added[side],
            "open_orders": seen.slots + self.sent,
            "sent": self.sent,
        }
        reason = restated(self.desk.spec.risk, self.desk.session.econ, order)
        self.intents.append((INTENT_SUBMIT, 0, side, tick, qty, tif, reason))
        if reason == rec.OK:
            self.added[side] += qty
            self.sent += 1


def plan_of(desk: Desk, lane: int, codes: list[int]) -> list[Intent]:
    seen = seen_by(desk, lane)
    sheet = Sheet(desk, seen)
    task = {name: int(desk.tasks[lane][name]) for name in desk.tasks.dtype.names or ()}
    if desk.spec.kind == "execution":
        _execution(sheet, task, *codes)
    elif desk.spec.kind == "target":
        _target(sheet, codes[0])
    else:
        wanted, qty = _grid(sheet, *codes) if desk.spec.kind == "grid" else _maker(sheet, *codes)
        _ladders(sheet, wanted, qty)
    return sheet.intents


def _ladders(sheet: Sheet, wanted: dict[int, list[int]], qty: int) -> None:
    """Cancel what stands where nothing is wanted, then send what is missing: bids and asks in turn, from the inside."""
    missing = {side: list(ticks) for side, ticks in wanted.items()}
    for one in sheet.seen.own:
        if one.leaving:
            continue
        if one.tick in missing[one.side] and one.leaves <= qty and one.tif == rec.GTX:
            missing[one.side].remove(one.tick)
        else:
            sheet.cancel(one)
    for rank in range(max(len(ticks) for ticks in wanted.values())):
        for side in (rec.BUY, rec.SELL):
            if rank < len(wanted[side]) and wanted[side][rank] in missing[side] and wanted[side][rank] > 0:
                lots = min(qty, sheet.desk.spec.risk.order_lots_max, sheet.room(side))
                if lots > 0:
                    sheet.submit(side, wanted[side][rank], lots, rec.GTX)


def _on_lattice(x: Fraction, step: Fraction) -> Fraction:
    """The multiple of `step` next to x; of two equally near ones the upper. Cuts in between are whole half ticks."""
    return floor(x / step + Fraction(1, 2)) * step


def _grid(
    sheet: Sheet, spacing_code: int, levels: int, skew: int, size: int, pause: int
) -> tuple[dict[int, list[int]], int]:
    bid, ask, spec = sheet.seen.bid, sheet.seen.ask, sheet.desk.spec
    if pause == 2 or bid is None or ask is None:
        return {rec.BUY: [], rec.SELL: []}, 0
    spacing = spec.spacing_ticks[spacing_code]
    quarter = Fraction(spacing, 4)
    # floor(x + floor(spacing / 2) / spacing): for an odd spacing the cut lies just below the middle.
    centre = floor(Fraction(bid + ask, 2) / quarter + Fraction(spacing // 2, spacing)) * quarter + (skew - 4) * quarter
    first_bid = min(floor(centre - Fraction(spacing, 2)), ask - 1)
    first_ask = max(ceil(centre + Fraction(spacing, 2)), bid + 1)
    ranks = range(levels + 1)
    bids, asks = [first_bid - k * spacing for k in ranks], [first_ask + k * spacing for k in ranks]
    return {rec.BUY: bids, rec.SELL: asks}, (size + 1) * spec.order_lots


def _maker(sheet: Sheet, bid_offset: int, ask_offset: int, size: int, skew: int) -> tuple[dict[int, list[int]], int]:
    bid, ask, spec = sheet.seen.bid, sheet.seen.ask, sheet.desk.spec
    wanted: dict[int, list[int]] = {rec.BUY: [], rec.SELL: []}
    if bid is None or ask is None:
        return wanted, 0
    # Towards zero, in half ticks: a lean shorter than half a tick moves nothing.
    lean = Fraction(int(Fraction(2 * skew * spec.lean_ticks * sheet.seen.position, spec.position_lots_max)), 2)
    centre = Fraction(bid + ask, 2) - lean
    for side, code in ((rec.BUY, bid_offset), (rec.SELL, ask_offset)):
        if code == 14:
            continue
        offset = spec.offset_ticks[code]
        step = Fraction(max(1, offset // 2), 2)  # a quarter of the offset, in whole half ticks
        place = floor(centre / step + Fraction((2 * step) // 2, 2 * step)) * step
        if side == rec.BUY:
            wanted[side] = [min(floor(place - offset), ceil(place) - 1, ask - 1)]
        else:
            wanted[side] = [max(ceil(place + offset), floor(place) + 1, bid + 1)]
    return wanted, (size + 1) * spec.order_lots


def _target(sheet: Sheet, code: int) -> None:
    seen, spec = sheet.seen, sheet.desk.spec
    missing = spec.target_lots[code] - seen.position
    if missing == 0 or seen.own or seen.bid is None or seen.ask is None:
        return
    side = rec.BUY if missing > 0 else rec.SELL
    tick = seen.ask + spec.sweep_ticks if side == rec.BUY else max(seen.bid - spec.sweep_ticks, 1)
    sheet.submit(side, tick, min(abs(missing), spec.risk.order_lots_max), rec.IOC, counting_open=False)


def slice_lots(pace: Any, pool: int, task: dict[str, int], t_ns: int, interval_ns: int) -> int:
    """A slice of the lots that were not sent yet, at `pace` times the even one over the time that is left."""
    if pace == "all":
        return pool
    left_us = (task["end_ns"] - t_ns) // 1000
    share = FINE if interval_ns >= task["end_ns"] - t_ns else interval_ns // 1000 * FINE // max(left_us, 1)
    number = (t_ns - task["start_ns"]) // interval_ns
    return min(pool, (int(pace * pool * share) + number * 648055 % FINE) // FINE)


def _execution(sheet: Sheet, task: dict[str, int], slice_code: int, aggressiveness: int) -> None:
    seen, spec, side = sheet.seen, sheet.desk.spec, task["side"]
    left = task["lots"] - side * seen.position
    pace = SLICES[slice_code]
    live = [one for one in seen.own if not one.leaving]
    idle = side == 0 or left <= 0 or pace is None or seen.t_ns >= task["end_ns"] or seen.bid is None or seen.ask is None
    if idle:
        for one in live:
            if one.tif != rec.IOC:
                sheet.cancel(one)
        return
    assert seen.bid is not None
    assert seen.ask is not None
    near, far = (seen.bid, seen.ask) if side == rec.BUY else (seen.ask, seen.bid)
    mid = Fraction(seen.bid + seen.ask, 2)
    tick = [
        near - side * spec.behind_ticks[0],
        near - side * spec.behind_ticks[1],
        near,
        near + side if seen.ask - seen.bid > 1 else near,
        floor(mid) if side == rec.BUY else ceil(mid),
        far,
        far + side * spec.sweep_ticks,
    ][aggressiveness]
    tick = max(tick, 1)
    takes = aggressiveness >= 5
    moved = 0
    for one in live:
        if one.tif == rec.IOC:
            continue
        if takes or one.side != side or one.tick != tick:
            sheet.cancel(one)
            moved += one.leaves if one.side == side else 0
    pool = max(0, left - seen.open_lots(side))
    fresh = slice_lots(pace, pool, task, seen.t_ns, spec.interval_ns)
    lots = min(fresh + moved, pool, spec.risk.order_lots_max)
    if lots > 0 and seen.slots < spec.risk.open_orders_max:
        sheet.submit(side, tick, lots, rec.IOC if takes else rec.GTX)
