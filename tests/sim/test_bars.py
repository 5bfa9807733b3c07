"""Bars and marks while a side of the book is missing, on a tape written by hand."""

from __future__ import annotations

import numpy as np
import pytest

from lobgym.sim import records as rec
from lobgym.sim.bars import Bars, bars_done, compile_bars, last_mid2, natr_bps, stamps_by
from lobgym.sim.desk import Desk
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.instrument import SYNTH
from lobgym.sim.jit import njit
from lobgym.sim.market import Market
from lobgym.sim.observation import COLUMNS, ObservationLayout
from lobgym.sim.tape import Tape

S = 1_000_000_000


@njit
def _stamps_by(bars: Bars, t_ns: int) -> int:
    return stamps_by(bars, t_ns)


@njit
def _mark_at(bars: Bars, t_ns: int) -> int:
    return last_mid2(bars, stamps_by(bars, t_ns))


T0 = 1_700_000_000 * S


def market_of(*messages: tuple[float, list[tuple[int, int, int]]]) -> Market:
    """A snapshot at T0 (bid 1000 x 5, ask 1010 x 5), then depth messages of (side, tick, lots) at T0 + seconds."""
    rows = [
        (T0, rec.CLEAR, 0, 0, 0, 0),
        (T0, rec.SNAPSHOT, rec.BUY, 1000, 5, 0),
        (T0, rec.SNAPSHOT, rec.SELL, 1010, 5, 1),
    ]
    for seconds, levels in messages:
        ns = T0 + round(seconds * 1000) * 1_000_000
        rows += [(ns, rec.DEPTH, side, tick, qty, k == len(levels) - 1) for k, (side, tick, qty) in enumerate(levels)]
    events = np.zeros(len(rows), rec.EVENT_DTYPE)
    for row, (ns, kind, side, tick, qty, last) in zip(events, rows, strict=True):
        row["exch_ns"] = row["local_ns"] = ns
        row["kind"], row["side"], row["price_ticks"], row["qty_lots"], row["flags"] = kind, side, tick, qty, last
    return Market.compile(Tape(events, SYNTH))


@pytest.fixture(scope="module")
def gap() -> Market:
    """Mid 1005 until 2.5 s, then no bid until 5.5 s, then mid 1015, and a last word at 9 s."""
    return market_of(
        (1.2, [(rec.BUY, 1000, 7)]),
        (2.5, [(rec.BUY, 1000, 0)]),
        (4.0, [(rec.SELL, 1012, 3)]),
        (5.5, [(rec.BUY, 1020, 4), (rec.SELL, 1010, 0), (rec.SELL, 1012, 0), (rec.SELL, 1030, 2)]),
        (9.0, [(rec.BUY, 1020, 5)]),
    )


def test_the_mark_is_the_last_two_sided_mid(gap: Market):
    bars = compile_bars(gap.local)
    marks = {}
    for tenth in range(0, 91):
        marks[tenth / 10] = _mark_at(bars, T0 + tenth * S // 10)
    assert {t for t, mark in marks.items() if mark == 2010} == {t for t in marks if t < 5.5}
    assert {t for t, mark in marks.items() if mark == 2050} == {t for t in marks if t >= 5.5}


def test_a_range_reaches_back_to_the_previous_close(gap: Market):
    bars = compile_bars(gap.local)
    seconds = bars.base.kept[0]
    np.testing.assert_array_equal(seconds["close2"][[1, 2, 3, 5, 6, 10]], [2010, 2010, 2010, 2010, 2050, 2050])
    assert natr_bps(bars, bars_done(bars, T0 + S - 1), 14) == 0.0
    assert natr_bps(bars, bars_done(bars, T0 + 6 * S - 1), 14) == 0.0  # the bar of the jump is not complete
    assert natr_bps(bars, bars_done(bars, T0 + 6 * S), 14) == pytest.approx(40 / 6 / 2050 * 1e4)
    assert natr_bps(bars, bars_done(bars, T0 + 8 * S), 14) == pytest.approx(40 / 8 / 2050 * 1e4)


@pytest.mark.parametrize("seed", range(4))
def test_the_count_of_stamps_by_a_time_is_what_a_search_finds(seed: int):
    """Bursts and silences, so that marks in time find many stamps and none."""
    rng = np.random.default_rng(seed)
    gaps = rng.choice([0, 1, 1000, 2_000_000_000], 400, p=[0.3, 0.4, 0.2, 0.1])
    events = np.zeros(len(gaps) + 1, rec.EVENT_DTYPE)
    events["kind"], events["side"], events["qty_lots"], events["price_ticks"] = rec.DEPTH, rec.BUY, 1, 1000
    events["side"][::2], events["price_ticks"][::2] = rec.SELL, 1010
    events[0] = 0
    events[0]["kind"], events["flags"] = rec.CLEAR, 1
    events["local_ns"] = events["exch_ns"] = T0 + np.concatenate(([0], np.cumsum(gaps)))
    market = Market.compile(Tape(events, SYNTH))
    bars = compile_bars(market.local)
    stamps = np.unique(events["local_ns"])
    times = np.concatenate([stamps - 1, stamps, stamps + 1, rng.integers(T0 - S, stamps[-1] + S, 500)])
    found = [_stamps_by(bars, int(t)) for t in times]
    np.testing.assert_array_equal(found, np.searchsorted(stamps, times, side="right"))


def test_without_two_sides_market_columns_are_zero_and_nothing_is_quoted(gap: Market):
    layout = ObservationLayout(tuple(column.name for column in COLUMNS))
    spec = DeskSpec.for_market(gap, "grid", interval_ns=S // 2, layout=layout)
    desk = Desk(spec, gap)
    desk.reset(T0 + S)
    quote = np.array([[3, 1, 4, 0, 0]], np.int32)
    desk.step(quote)
    desk.step(quote)
    assert len(desk.session.orders()) > 0
    desk.step(quote)
    assert desk.session.t_ns() == T0 + 5 * S // 2
    row = dict(zip(layout.names, desk.observe()[0].tolist(), strict=True))
    for name in ("two_sided", "spread", "imbalance_1", "imbalance_5", "microprice", "return_1s", "return_5s"):
        assert row[name] == 0.0, name
    desk.step(quote)
    assert len(desk.session.orders()) == 0
    assert desk.plan(quote)[1][0] == 0
    assert desk.mid2() == 2010
