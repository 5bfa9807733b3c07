"""What the best levels hold together at every stamp, against a book kept as a plain dictionary."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lobgym.sim import records as rec
from lobgym.sim.bars import Bars, bars_of, compile_bars, stamps_by, top_at
from lobgym.sim.book import LADDER_EVERY, LADDER_LEVELS, ROW_LEVEL, Book
from lobgym.sim.compile_depth import compile_depth_market
from lobgym.sim.instrument import SYNTH
from lobgym.sim.jit import njit
from lobgym.sim.market import Market
from lobgym.sim.tape import Tape
from tests.sim.columns import columns_of

S = 10**9


@njit
def _looked_up(bars: Bars, t_ns: int, out: NDArray[np.float64]) -> None:
    top = top_at(bars, stamps_by(bars, t_ns))
    out[0] = top["lots"]
    out[1] = top["width"]
    out[2] = top["imbalance_1"]
    out[3] = top["imbalance_5"]
    out[4] = top["pressure_5"]


def looked_up(bars: Bars, t_ns: int) -> list[float]:
    """[lots, width, imbalance_1, imbalance_5, pressure_5]"""
    out = np.full(5, np.nan)
    _looked_up(bars, t_ns, out)
    return [float(value) for value in out]


def wild_tape(seed: int, messages: int, span: int, overlap: int = 0) -> Tape:
    """Depth messages that take away runs of the best levels, now and then all of a side, and bring new ones.

    With an overlap each side comes so many ticks into the other one.
    """
    rng = np.random.default_rng(seed)
    rows = [(0, rec.CLEAR, 0, 0, 0)]
    rows += [(0, rec.SNAPSHOT, rec.BUY, 1000 - k, int(rng.integers(1, 50))) for k in range(span)]
    rows += [(0, rec.SNAPSHOT, rec.SELL, 1001 + k, int(rng.integers(1, 50))) for k in range(span)]
    for t in range(1, messages + 1):
        side = rec.BUY if rng.random() < 0.5 else rec.SELL
        towards = -1 if side == rec.BUY else 1
        best = 1000 + overlap if side == rec.BUY else 1001 - overlap
        what = rng.random()
        if what < 0.04:
            places = range(int(rng.integers(1, span + 1)))  # a run from the best outwards goes
            rows += [(t, rec.DEPTH, side, best + towards * k, 0) for k in places]
        elif what < 0.2:
            places = range(int(rng.integers(1, span + 1)))
            rows += [(t, rec.DEPTH, side, best + towards * k, int(rng.integers(1, 50))) for k in places]
        else:
            for k in rng.integers(0, span, 3).tolist():
                rows.append((t, rec.DEPTH, side, best + towards * k, int(rng.integers(0, 3)) * 7))
    return tape_of(rows)


def tape_of(rows: list[tuple[int, int, int, int, int]]) -> Tape:
    """Rows of (milliseconds, kind, side, tick, lots); those of one time are one message."""
    events = np.zeros(len(rows), rec.EVENT_DTYPE)
    for k, (event, (t, kind, side, tick, lots)) in enumerate(zip(events, rows, strict=True)):
        event["exch_ns"] = event["local_ns"] = S + t * 1_000_000
        event["kind"], event["side"], event["price_ticks"], event["qty_lots"] = kind, side, tick, lots
        event["flags"] = k + 1 == len(rows) or rows[k + 1][0] != t
    return Tape(events, SYNTH)


def expected(book: Book, ghosts: bool) -> list[tuple[float, ...]]:
    """At every stamp (ns, lots, width, imbalance_1, imbalance_5, pressure_5), each from the whole book."""
    rows = columns_of(book)
    shown: dict[tuple[int, int], int] = {}
    made = []
    for row in range(len(rows.ns)):
        if rows.kind[row] == ROW_LEVEL:
            shown[int(rows.side[row]), int(rows.tick[row])] = int(rows.qty[row])
        if row + 1 < len(rows.ns) and rows.ns[row + 1] == rows.ns[row]:
            continue
        bids = sorted(((t, q) for (s, t), q in shown.items() if s == rec.BUY and q > 0), reverse=True)
        asks = sorted((t, q) for (s, t), q in shown.items() if s == rec.SELL and q > 0)
        if ghosts:  # levels that the best has passed are none
            bids = [one for one in bids if one[0] <= rows.bid[row]]
            asks = [one for one in asks if one[0] >= rows.ask[row]]
        bids, asks = bids[:5], asks[:5]
        bid_lots, ask_lots = sum(q for _, q in bids), sum(q for _, q in asks)
        values: tuple[float, ...] = (float(bid_lots + ask_lots), 0, 0.0, 0.0, 0.0)
        if bids and asks:
            near_bid = sum(q / k for k, (_, q) in enumerate(bids, start=1))
            near_ask = sum(q / k for k, (_, q) in enumerate(asks, start=1))
            values = (
                float(bid_lots + ask_lots),
                asks[-1][0] - bids[-1][0],
                (bids[0][1] - asks[0][1]) / (bids[0][1] + asks[0][1]),
                (bid_lots - ask_lots) / (bid_lots + ask_lots),
                (near_bid - near_ask) / (near_bid + near_ask),
            )
        made.append((int(rows.ns[row]), *values))
    return made


def check(market: Market, ghosts: bool = False) -> int:
    """Look every stamp up, and the time just before it; returns how many stamps there were."""
    bars = bars_of(market, with_flow=False, with_tops=True)
    before: tuple[float, ...] = (0.0,) * 5
    rows = expected(market.local, ghosts)
    for ns, *values in rows:
        assert looked_up(bars, ns - 1) == pytest.approx(before, abs=1e-7), ns
        assert looked_up(bars, ns) == pytest.approx(values, abs=1e-7), ns
        before = tuple(values)
    return len(rows)


@pytest.mark.parametrize("span", [2, 7, LADDER_LEVELS, LADDER_LEVELS + 20])
def test_every_stamp_holds_what_the_whole_book_says(span: int):
    assert check(Market.compile(wild_tape(span, 1500, span))) > 1000


def test_levels_beyond_the_checkpoint_are_found():
    """One run of deletions takes all levels that the checkpoint before it has, and leaves those behind them."""
    span = LADDER_LEVELS + 10
    rows = [(0, rec.CLEAR, 0, 0, 0), (0, rec.SNAPSHOT, rec.SELL, 2000, 9)]
    rows += [(0, rec.SNAPSHOT, rec.BUY, 1000 - k, k + 1) for k in range(span)]
    rows += [(1, rec.DEPTH, rec.SELL, 2000, k) for k in range(LADDER_EVERY - len(rows), 0, -1)]  # up to a checkpoint
    rows += [(2 + k, rec.DEPTH, rec.BUY, 1000 - k, 0) for k in range(LADDER_LEVELS + 3)]
    market = Market.compile(tape_of(rows))
    check(market)
    bars = compile_bars(market.local, with_tops=True)
    left = [k + 1 for k in range(LADDER_LEVELS + 3, LADDER_LEVELS + 8)]
    assert looked_up(bars, market.end_ns)[0] == sum(left) + 1


def test_levels_that_the_best_has_passed_are_left_out():
    check(compile_depth_market(wild_tape(3, 600, 9, overlap=3)), ghosts=True)


def test_nothing_is_known_before_the_first_stamp():
    market = Market.compile(wild_tape(1, 50, 7))
    bars = compile_bars(market.local, with_tops=True)
    assert looked_up(bars, int(market.local.ns[0]) - 1) == [0.0] * 5
    assert looked_up(bars, market.end_ns)[0] > 0.0
