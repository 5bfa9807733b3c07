"""Goal: best quotes without stamps are never dated after a print that had emptied them.

Method: hand-made prints and quotes around single events, and the importer over a small spot feed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lobgym.sim import records as rec
from lobgym.sim.importers.binance import import_binance
from lobgym.sim.importers.binance_stamps import LAG_MAX_NS, NEVER, Prints, Quotes, bounds_by_prints, usual_latency
from tests.sim.importers.feeds import T0_MS, Spot, write


def prints(*rows: tuple[int, int, int, int]) -> Prints:
    return Prints._make(np.array(rows, np.int64).reshape(-1, 4).T)


def quotes(*rows: tuple[int, int, int, int, int]) -> Quotes:
    return Quotes._make(np.array(rows, np.int64).reshape(-1, 5).T)


MS = 1_000_000
BEFORE = (8, 100, 5, 101, 7)  # received at 8: 5 lots bid at 100, 7 offered at 101


def test_a_quote_that_lost_what_was_printed_is_not_before_the_print() -> None:
    got = bounds_by_prints(prints((10, rec.BUY, 101, 3)), quotes(BEFORE, (12, 100, 6, 101, 7), (13, 100, 6, 101, 4)))
    assert got.low_ns.tolist() == [0, 0, 10]
    assert got.high_ns.tolist() == [9, 9, NEVER]
    assert (got.matched, got.runs) == (1, 1)


def test_a_sweep_is_one_run_and_shows_at_the_price_where_it_ended() -> None:
    run = prints((10, rec.BUY, 101, 7), (10, rec.BUY, 103, 2), (10, rec.BUY, 103, 1))
    got = bounds_by_prints(run, quotes(BEFORE, (12, 100, 5, 101, 7), (13, 100, 5, 103, 9), (14, 100, 5, 103, 6)))
    assert got.low_ns.tolist() == [0, 0, 10, 10]
    assert got.high_ns.tolist() == [9, 9, NEVER, NEVER]


def test_sellers_are_the_mirror_image() -> None:
    sweep = prints((10, rec.SELL, 100, 5), (10, rec.SELL, 98, 1))
    got = bounds_by_prints(sweep, quotes(BEFORE, (12, 99, 5, 101, 7), (13, 97, 5, 101, 7)))
    assert got.low_ns.tolist() == [0, 0, 10]
    emptied = bounds_by_prints(sweep, quotes(BEFORE, (12, 0, 0, 101, 7)))
    assert emptied.low_ns.tolist() == [0, 10]


def test_what_comes_too_late_or_lay_beyond_already_shows_nothing() -> None:
    print_ = prints((10, rec.BUY, 101, 7))
    late = bounds_by_prints(print_, quotes(BEFORE, (11 + LAG_MAX_NS, 100, 5, 102, 7)))
    beyond = bounds_by_prints(print_, quotes((8, 100, 5, 102, 7), (12, 100, 5, 103, 7)))
    for got in (late, beyond, bounds_by_prints(prints(), quotes(BEFORE)), bounds_by_prints(print_, quotes(BEFORE))):
        assert got.matched == 0
        assert not got.low_ns.any()
        assert (got.high_ns == NEVER).all()


def test_the_usual_latency_is_that_of_the_stamped_messages_around() -> None:
    local = np.arange(1_000) * 10
    stamp = np.where(np.arange(1_000) % 2 == 0, local - np.where(local < 5_000, 3, 8), 0)
    latency = usual_latency(stamp, local, 1)
    assert (latency[:400] == 3).all()
    assert (latency[600:] == 8).all()
    assert usual_latency(np.zeros(3, np.int64), local[:3], 1).tolist() == [1, 1, 1]


def test_a_stale_best_quote_of_a_spot_feed_comes_before_the_print_that_emptied_it(tmp_path: Path) -> None:
    s = Spot()
    lines = [
        s.snapshot(100, 5, [["60000.00", "5"], ["59999.00", "5"]], [["60000.01", "1"]]),
        s.depth(99, 103, 100, bids=[["60000.00", "5"]]),
        s.trade(1, 120, "60000.00", "5"),
        s.trade(2, 120, "59999.00", "1"),
        s.best(104, 128, ("60000.00", "5"), ("60000.01", "2")),  # late: it still shows what was sold 8 ms ago
        s.best(106, 129, ("59999.00", "4"), ("60000.01", "2")),
        s.depth(104, 110, 200, bids=[["60000.00", "0"], ["59999.00", "4"]]),
    ]
    tape = import_binance(write(tmp_path / "feed.gz", lines))
    bids = tape.events[tape.events["side"] == rec.BUY]
    stale, fresh = bids[bids["kind"] == rec.BBO]
    stamp = (T0_MS + 120) * MS
    assert stale["exch_ns"] == stamp - 1
    assert fresh["exch_ns"] == stamp + 9 * MS  # its receipt less the usual 5 ms
    kinds = tape.events["kind"][tape.events["exch_ns"] >= stamp - 1].tolist()
    assert kinds[:6] == [rec.BBO, rec.BBO, rec.TRADE, rec.TRADE, rec.BBO, rec.BBO]
    assert tape.provenance["adjusted"]["runs_of_prints_seen_in_quotes_without_stamps"] == 1
