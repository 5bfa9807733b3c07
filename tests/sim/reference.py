"""docs/market.md once more, in plain Python: the effective book. Slow and obvious on purpose.

Written from that page without looking at the kernels, so that a mistake has to be made twice to go unnoticed. Only
the names of constants are taken from `lobgym.sim.records`. The numbers in the comments are the page's sections; the
lanes are in `tests/sim/reference_lane.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from lobgym.sim import records as rec

SIDES = (rec.BUY, rec.SELL)


class Row(NamedTuple):
    """One event of a tape, in the order of EVENT_DTYPE."""

    exch_ns: int
    local_ns: int
    seq: int
    tick: int
    qty: int
    kind: int
    side: int
    flags: int


class Evidence(NamedTuple):
    """Why a level displays what it displays."""

    stamp: int
    place: int
    quote_id: int | None = None  # update id, of a best quote
    is_print: bool = False


class Change(NamedTuple):
    """A level went from `prev` to `new`, or was named once more. `void`: because of a clear."""

    side: int
    tick: int
    prev: int
    new: int
    void: bool


class Print(NamedTuple):
    side: int
    tick: int
    qty: int


class MessageEnd(NamedTuple):
    pass


def worse(side: int, tick: int, other: int) -> bool:
    """Whether `tick` is further from the touch than `other`, for an order of `side`."""
    return side * tick < side * other


@dataclass
class RefBook:
    """Section 1: the effective book. Events are applied in the order given."""

    implied: bool = True
    shown: dict[int, dict[int, int]] = field(default_factory=lambda: {s: {} for s in SIDES})
    effective: dict[int, dict[int, int]] = field(default_factory=lambda: {s: {} for s in SIDES})
    evidence: dict[int, dict[int, Evidence]] = field(default_factory=lambda: {s: {} for s in SIDES})
    corrected: dict[int, set[int]] = field(default_factory=lambda: {s: set() for s in SIDES})
    set_since_clear: dict[int, set[int]] = field(default_factory=lambda: {s: set() for s in SIDES})
    snapshot_range: tuple[int, int] | None = None
    depth_id: int = 0  # greatest update id of a depth message since the last clear; 0 is no id
    place: int = 0

    # -- what can be asked --

    def best(self, side: int) -> int | None:
        ticks = self.effective[side]
        if not ticks:
            return None
        return max(ticks) if side == rec.BUY else min(ticks)

    def qty(self, side: int, tick: int) -> int:
        return self.effective[side].get(tick, 0)

    def ladder(self, side: int, depth: int) -> list[tuple[int, int]]:
        return sorted(self.effective[side].items(), key=lambda level: -side * level[0])[:depth]

    def known(self, side: int, tick: int) -> bool:
        bid, ask = self.best(rec.BUY), self.best(rec.SELL)
        if bid is not None and ask is not None and bid < tick < ask:
            return True
        if self.snapshot_range and self.snapshot_range[0] <= tick <= self.snapshot_range[1]:
            return True
        return tick in self.set_since_clear[side]

    # -- events --

    def message(self, rows: list[Row]) -> list[Change | Print | MessageEnd]:
        """Apply the rows of one message; return all that changed, in order."""
        out: list[Change | Print | MessageEnd] = []
        kinds = {row.kind for row in rows}
        before = {side: set(self.effective[side]) for side in SIDES} if rec.CLEAR in kinds else {}
        for row in rows:
            self.place += 1
            stamp, _, seq, tick, lots, kind, side, _ = row
            if kind == rec.DEPTH or kind == rec.SNAPSHOT:
                out += self._depth(side, tick, lots, stamp, seq)
            elif kind == rec.TRADE:
                out.append(Print(side, tick, lots))
                if self.implied:
                    out += self._print(side, tick, lots, stamp)
            elif kind == rec.BBO and self.implied and lots > 0:
                out += self._quote(side, tick, lots, stamp, seq)
            elif kind == rec.CLEAR:
                out += self._clear()
        last = rows[-1]
        if rec.DEPTH in kinds:
            out += self._end_of_depth(last.exch_ns, last.seq)
        if rec.SNAPSHOT in kinds:
            self.depth_id = max(self.depth_id, last.seq)
            out += self._end_of_snapshot(rows, before)
        out += self._uncross()
        out.append(MessageEnd())
        return out

    def _set(self, side: int, tick: int, lots: int, evidence: Evidence, correct: bool) -> Iterator[Change]:
        prev = self.qty(side, tick)
        self.evidence[side][tick] = evidence
        self.set_since_clear[side].add(tick)
        (self.corrected[side].add if correct else self.corrected[side].discard)(tick)
        if lots:
            self.effective[side][tick] = lots
        else:
            self.effective[side].pop(tick, None)
        if lots != prev:
            yield Change(side, tick, prev, lots, void=False)

    def _depth(self, side: int, tick: int, lots: int, stamp: int, update_id: int) -> Iterator[Change]:
        # 1.1
        self.set_since_clear[side].add(tick)
        self.shown[side][tick] = lots
        if tick in self.corrected[side]:
            newest = self.evidence[side][tick]
            if newest.stamp > stamp or (newest.quote_id is not None and newest.quote_id > update_id):
                return
        prev = self.qty(side, tick)
        yield from self._set(side, tick, lots, Evidence(stamp, self.place), correct=False)
        if lots == prev:
            yield Change(side, tick, lots, lots, void=False)

    def _end_of_depth(self, stamp: int, update_id: int) -> Iterator[Change]:
        # 1.2
        self.depth_id = max(self.depth_id, update_id)
        for side in SIDES:
            for tick in sorted(self.corrected[side]):
                why = self.evidence[side][tick]
                if why.stamp < stamp or (why.quote_id is not None and why.quote_id <= update_id):
                    lots = self.shown[side].get(tick, 0)
                    yield from self._set(side, tick, lots, Evidence(stamp, self.place), correct=False)

    def _print(self, side: int, tick: int, lots: int, stamp: int) -> Iterator[Change]:
        # 1.3: `hit` is the side that the aggressor took from.
        hit = -side
        why = Evidence(stamp, self.place, is_print=True)

        def open_to(level_side: int, level_tick: int) -> bool:
            old = self.evidence[level_side][level_tick]
            return old.stamp < stamp or (old.stamp == stamp and old.is_print)

        for level in sorted(self.effective[hit]):
            if worse(hit, tick, level) and open_to(hit, level):
                yield from self._set(hit, level, 0, why, correct=True)
        for level in sorted(self.effective[side]):
            if not worse(side, level, tick) and open_to(side, level):
                yield from self._set(side, level, 0, why, correct=True)
        displayed = self.qty(hit, tick)
        if displayed and open_to(hit, tick):
            yield from self._set(hit, tick, displayed - min(lots, displayed), why, correct=True)

    def _quote(self, side: int, tick: int, lots: int, stamp: int, update_id: int) -> Iterator[Change]:
        # 1.4
        if update_id and update_id <= self.depth_id:
            return
        why = Evidence(stamp, self.place, quote_id=update_id or None)
        for level in sorted(self.effective[side]):
            if worse(side, tick, level) and self.evidence[side][level].stamp <= stamp:
                yield from self._set(side, level, 0, why, correct=True)
        for level in sorted(self.effective[-side]):
            if not worse(-side, level, tick) and self.evidence[-side][level].stamp <= stamp:
                yield from self._set(-side, level, 0, why, correct=True)
        old = self.evidence[side].get(tick)
        if old is None or old.stamp <= stamp:
            yield from self._set(side, tick, lots, why, correct=True)

    def _clear(self) -> Iterator[Change]:
        # 1.5
        for side in SIDES:
            for tick, lots in sorted(self.effective[side].items()):
                yield Change(side, tick, lots, 0, void=True)
            self.shown[side], self.effective[side], self.evidence[side] = {}, {}, {}
            self.corrected[side], self.set_since_clear[side] = set(), set()
        self.snapshot_range, self.depth_id = None, 0

    def _end_of_snapshot(self, rows: list[Row], before: dict[int, set[int]]) -> Iterator[Change]:
        listed = {(row.side, row.tick) for row in rows if row.kind == rec.SNAPSHOT}
        ticks = [tick for _, tick in listed]
        self.snapshot_range = min(ticks), max(ticks)
        for side in SIDES:
            for tick in sorted(before[side]):
                if min(ticks) <= tick <= max(ticks) and (side, tick) not in listed:
                    yield Change(side, tick, 0, 0, void=False)

    def _uncross(self) -> Iterator[Change]:
        # 1.6
        while True:
            bid, ask = self.best(rec.BUY), self.best(rec.SELL)
            if bid is None or ask is None or bid < ask:
                return
            of_bid, of_ask = self.evidence[rec.BUY][bid], self.evidence[rec.SELL][ask]
            # Where both are of one message's end, the ask gives way.
            bid_is_older = (of_bid.stamp, of_bid.place) < (of_ask.stamp, of_ask.place)
            side, tick = (rec.BUY, bid) if bid_is_older else (rec.SELL, ask)
            newer = (of_ask if bid_is_older else of_bid)._replace(is_print=False)
            yield from self._set(side, tick, 0, newer, correct=True)


def messages_of(events: Any) -> list[list[Row]]:
    """Rows cut into messages, each closed by its LAST row."""
    out: list[list[Row]] = [[]]
    for row in map(Row._make, events.tolist()):
        out[-1].append(row)
        if row.flags & rec.LAST:
            out.append([])
    return out[:-1]
