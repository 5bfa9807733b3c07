"""The synthetic market: a sound book, prints at the standing best, racing streams, and the same bytes for a seed.

Method: the tape's own streams are checked against each other by a plain Python book; determinism is checked in other
processes, compiled and not.
"""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from lobgym.sim import records as rec
from lobgym.sim.errors import TapeError
from lobgym.sim.synthetic import synthetic_tape
from lobgym.sim.tape import Tape, inspect
from lobgym.sim.tape_report import book_states

DIGEST = "import lobgym.sim.synthetic as s; print(s.synthetic_tape(seed=3, minutes=0.05).digest)"


def test_a_seed_gives_the_same_bytes_in_other_processes_compiled_or_not() -> None:
    here = synthetic_tape(seed=3, minutes=0.05).digest
    for disabled in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", DIGEST],
            env={**os.environ, "NUMBA_DISABLE_JIT": disabled},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == here


def test_seeds_and_lengths_give_different_tapes() -> None:
    assert len({synthetic_tape(seed=s, minutes=m).digest for s, m in ((0, 0.05), (1, 0.05), (0, 0.1))}) == 3


def test_the_book_is_deep_and_never_crossed(small_tape: Tape) -> None:
    report = inspect(small_tape)
    assert report.crossed_states == 0
    assert report.gaps == 0
    assert report.two_sided_share == 1.0
    assert report.book_states > 1_000
    assert report.spread_ticks_median == 1
    assert 50 < report.rows_per_s < 200
    assert report.raced_rows > 100
    first = small_tape.events[:100]
    snapshot = first[first["kind"] == rec.SNAPSHOT]
    assert first["kind"][0] == rec.CLEAR
    assert min((snapshot["side"] == side).sum() for side in (rec.BUY, rec.SELL)) >= 20


def test_prints_are_at_the_standing_best(small_tape: Tape) -> None:
    """The best is known from the BBO stream; prints of one millisecond walk away from it, level by level."""
    best = {rec.BUY: 0, rec.SELL: 0}
    prints, walked = 0, {rec.BUY: 0, rec.SELL: 0}
    for row in small_tape.events:
        side = int(row["side"])
        if row["kind"] == rec.BBO:
            best[side] = int(row["price_ticks"])
            walked[side] = 0
        elif row["kind"] == rec.TRADE:
            hit = -side  # a SELL print hits the bid
            price = int(row["price_ticks"])
            if walked[hit]:
                assert (walked[hit] - price) * hit >= 0
            else:
                assert price == best[hit]
            walked[hit] = price
            prints += 1
    assert prints > 500


def test_depth_agrees_with_the_best_quotes_of_the_same_update(small_tape: Tape) -> None:
    book: dict[int, dict[int, int]] = {rec.BUY: {}, rec.SELL: {}}
    said: dict[int, list[tuple[int, int]]] = {}
    seen: list[tuple[int, list[tuple[int, int]]]] = []
    for row in small_tape.events:
        side, tick, qty = int(row["side"]), int(row["price_ticks"]), int(row["qty_lots"])
        if row["kind"] == rec.BBO:
            said.setdefault(int(row["seq"]), []).append((tick, qty))
        elif row["kind"] in (rec.DEPTH, rec.SNAPSHOT):
            book[side][tick] = qty
            if not qty:
                del book[side][tick]
            if row["flags"] & rec.LAST:
                bid, ask = max(book[rec.BUY]), min(book[rec.SELL])
                seen.append((int(row["seq"]), [(bid, book[rec.BUY][bid]), (ask, book[rec.SELL][ask])]))
    compared = [(said[seq][-2:], levels) for seq, levels in seen if seq in said]
    assert len(compared) > 200
    assert all(left == right for left, right in compared)


def test_volatility_is_that_of_a_market_and_has_regimes() -> None:
    stamps, bid, ask = book_states(synthetic_tape(seed=1, minutes=20).events)
    seconds = np.arange(stamps[0], stamps[-1], 10**9)
    mid = ((bid + ask) / 2)[np.searchsorted(stamps, seconds, side="right") - 1]
    moves = np.diff(mid) / mid[:-1] * 1e4
    assert 1.0 < moves.std() < 3.0
    by_minute = [part.std() for part in np.array_split(moves, 20)]
    assert max(by_minute) > 2 * min(by_minute)


@pytest.mark.parametrize(("seed", "minutes"), [(-1, 1), (2**63, 1), (0, 0), (0, float("nan")), (0, 10**6)])
def test_arguments_out_of_range_are_refused(seed: int, minutes: float) -> None:
    with pytest.raises(TapeError, match="expected"):
        synthetic_tape(seed=seed, minutes=minutes)
