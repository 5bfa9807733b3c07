"""Goal: the exchange's book and matching are those of a real venue.

Method: all orders of twelve hours of Bitstamp, 2015, go through an exchange as flow. The venue also published pictures
of its 20 best levels; each is compared with the exchange's before anything is learnt from it.
"""

from __future__ import annotations

from collections import Counter, deque
from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from lobgym.sim import records as rec
from lobgym.sim.exchange import Exchange
from lobgym.sim.importers.bitstamp import BTCUSD
from lobgym.sim.importers.bitstamp_log import Line, Order, Picture, Print, read_log
from lobgym.sim.importers.order_tape import DELETED
from tests.recordings import FOLDER
from tests.sim.exchange.single_orders import TAKING, UNTOUCHED, SingleOrders, best_levels

LOG = FOLDER / "bitstamp_l3/btcusd_20150501_00-12h_feed.log.bz2"
pytestmark = pytest.mark.skipif(
    not LOG.is_file(), reason=f"no recording {LOG} (LOBGYM_RECORDINGS names another folder)"
)
DEPTHS = (1, 5, 10, 20)
NEAR = 60  # events
Levels = list[tuple[int, int]]


@cache
def lines() -> list[Line]:
    return list(read_log(LOG, BTCUSD))


def order_events() -> list[tuple[int, int, int, int, int, int]]:
    """What the flow does, stamped with the message's place; events after the own delete are no events."""
    deleted: set[int] = set()
    made = []
    for k, line in enumerate(lines(), start=1):
        order = line.message
        if isinstance(order, Order) and order.id not in deleted:
            made.append((k, order.action, order.id, order.side, order.tick, order.qty))
            if order.action == DELETED:
                deleted.add(order.id)
    return made


class Replayed:
    """One pass over the recording; lots are of 1e-8, and the flow has nobody to settle with."""

    def __init__(self, learns: bool) -> None:
        self.met: Counter[str] = Counter()
        self.flow = SingleOrders(order_events())
        self.exchange = Exchange(
            BTCUSD, flow=self.flow, start_ns=0, start_tick=1 + (1 << 19), width=1 << 20, mark_every_ns=0
        )
        self._out = np.zeros((4096, 3), np.int64)
        self._past: dict[int, deque[Levels]] = {side: deque(maxlen=NEAR) for side in (rec.BUY, rec.SELL)}
        self._waiting: dict[int, list[tuple[int, Levels]]] = {rec.BUY: [], rec.SELL: []}
        self._farthest: dict[int, int] = {}
        pictures = 0
        for k, line in enumerate(lines(), start=1):
            if isinstance(line.message, Order) and learns:  # who only compares needs no more than the pictures
                self.exchange.advance(k)
                self._after_event(k)
            elif isinstance(line.message, Picture):
                self.exchange.advance(k)
                for side, shown in ((rec.BUY, line.message.bids), (rec.SELL, line.message.asks)):
                    if pictures:
                        self._compare(k, side, shown)
                    if learns and shown:
                        self._learn(side, shown)
                pictures += 1
        self.met["unexplained"] += sum(len(waiting) for waiting in self._waiting.values())

    def share(self, name: str) -> float:
        return self.met[name] / self.met["sides"]

    def count(self, column: int) -> int:
        return int(self.flow.counts[f"c{column}"][0])

    def _top(self, side: int, depth: int) -> tuple[Levels, dict[int, tuple[int, int]]]:
        found = self._out[: best_levels(self.exchange.board, side, self._out[:depth])].tolist()
        return [(tick, lots) for tick, lots, _ in found], {tick: (lots, older) for tick, lots, older in found}

    def _after_event(self, k: int) -> None:
        for side, waiting in self._waiting.items():
            ours = self._top(side, 20)[0]
            self._past[side].append(ours)
            met = [shown == ours for _, shown in waiting]
            self.met["later"] += sum(met)
            self.met["unexplained"] += sum(
                not same and k >= until for same, (until, _) in zip(met, waiting, strict=True)
            )
            self._waiting[side] = [
                one for same, one in zip(met, waiting, strict=True) if not same and k < one[0]
            ]  # fmt: skip

    def _compare(self, k: int, side: int, shown: Levels) -> None:
        ours = self._top(side, 20)[0]
        self.met["sides"] += 1
        self.met.update(f"to depth {depth}" for depth in DEPTHS if ours[:depth] == shown[:depth])
        if ours == shown:
            return
        if shown in self._past[side]:
            self.met["earlier"] += 1
        else:
            self._waiting[side].append((k + NEAR, shown))

    def _learn(self, side: int, shown: Levels) -> None:
        """What no known order explains is older than the recording, and from then on only becomes less."""
        far, farthest = shown[-1][0], self._farthest.get(side)
        ours = self._top(side, len(self._out))[1]
        for tick, lots in shown:
            displayed, older = ours.get(tick, (0, 0))
            unexplained = max(0, lots - (displayed - older))
            is_new = farthest is None or side * tick < side * farthest
            if unexplained < older or (is_new and unexplained > older):
                self.flow.learn(side, tick, unexplained - older)
        said = dict(shown)
        for tick, (_, older) in ours.items():
            if older and side * tick >= side * far and tick not in said:
                self.flow.learn(side, tick, -older)
        if farthest is None or side * far < side * farthest:
            self._farthest[side] = far


@cache
def replayed(learns: bool = True) -> Replayed:
    return Replayed(learns)


def test_the_book_is_the_venues() -> None:
    run = replayed()
    assert run.met["sides"] > 26_000
    assert run.share("to depth 1") > 0.997
    assert run.share("to depth 5") > 0.995
    assert run.share("to depth 20") > 0.99
    assert run.share("unexplained") < 0.003  # neither is a state of the book at most NEAR events away


def test_taking_orders_trade_as_they_did() -> None:
    """The venue matches about 0.1 s after it reports an order; what is taken back by then never trades."""
    run = replayed()
    prints = [line.message for line in lines() if isinstance(line.message, Print) and line.message.qty]
    board = run.exchange.board
    assert abs(int(board["trades"]) / len(prints) - 1) < 0.02
    assert abs(int(board["traded_lots"]) / sum(one.qty for one in prints) - 1) < 0.02
    assert run.count(TAKING) > 1_200
    assert 40 < run.count(UNTOUCHED) < 80


def test_orders_older_than_the_recording_matter() -> None:
    assert replayed(False).share("to depth 20") < replayed().share("to depth 20") - 0.1


def test_the_book_is_never_crossed() -> None:
    for learns in (True, False):
        board = replayed(learns).exchange.board
        assert int(board["best_bid"]) < int(board["best_ask"])
    assert all(a.number < b.number for a, b in pairwise(lines()[:100]))
