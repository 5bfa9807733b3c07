"""The venue's timeline: marks, settlements and halts of a tape, at every stamp what a plain loop over its rows says.

Method: hypothesis draws little tapes of rows without a book, many of them at equal stamps; the restatement walks
all rows for every question. Statuses are rows of a tape like others: their rules, their figures in the report, and that
a slice begins in the state of its start.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lobgym.sim import records as rec
from lobgym.sim import timeline as tl
from lobgym.sim.errors import TapeFormatError
from lobgym.sim.importers.binance import import_binance
from lobgym.sim.instrument import SYNTH
from lobgym.sim.jit import njit_lean
from lobgym.sim.memory import address_of
from lobgym.sim.tape import Tape, inspect
from lobgym.sim.world import WORLD_DTYPE
from tests.recordings import BINANCE

MS = 1_000_000
SECOND = 1_000_000_000
Row = tuple[int, int, int, int]  # exch_ns, kind, value, seq


def tape_of(table: list[Row], late: int = 0) -> Tape:
    """A tape of single-row messages; the last one is received `late` ns after it happened."""
    events = np.zeros(len(table), rec.EVENT_DTYPE)
    for row, (ns, kind, value, seq) in zip(events, table, strict=True):
        row["exch_ns"] = row["local_ns"] = ns
        row["kind"], row["qty_lots"], row["seq"], row["flags"] = kind, value, seq, rec.LAST
        if kind == rec.TRADE:
            row["side"], row["price_ticks"] = rec.BUY, 5
    events["local_ns"][-1] += late
    return Tape(events, SYNTH)


VALUE = st.integers(0, 5)
ROW = st.one_of(
    st.tuples(st.sampled_from((rec.MARK, rec.INDEX)), VALUE, st.just(0)),
    st.tuples(st.just(rec.STATUS), st.integers(0, 1), st.just(0)),
    st.tuples(st.just(rec.FUNDING), st.integers(-5, 5), st.sampled_from((-(2**62), -1, 0, 2, 4, 6, 2**62))),
    st.tuples(st.just(rec.TRADE), st.integers(1, 9), st.just(0)),
)
STEPS = st.sampled_from((0, 0, 1, MS - 1, MS, MS, 2 * MS))


@st.composite
def tapes(draw: st.DrawFn) -> Tape:
    ns, table = draw(st.sampled_from((0, MS))), []
    for kind, value, seq in draw(st.lists(ROW, min_size=1, max_size=25)):
        ns += draw(STEPS)
        table.append((ns, kind, value, seq))
    return tape_of(table, draw(st.sampled_from((0, MS))))


def rows_of(tape: Tape) -> list[tuple[int, int, int, int]]:
    events = tape.events
    return [(int(e["exch_ns"]), int(e["kind"]), int(e["qty_lots"]), int(e["seq"])) for e in events]


def last_of(tape: Tape, kind: int, ns: int) -> int:
    found = 0
    for at, its, value, _ in rows_of(tape):
        if its == kind and at <= ns and (value > 0 or kind == rec.STATUS):
            found = value
    return found


def settlements(tape: Tape) -> dict[int, int]:
    found = {}
    for at, kind, rate, seq in rows_of(tape):
        if kind == rec.FUNDING and at <= seq * MS <= tape.end_ns:
            found[seq * MS] = rate
    return found


def world_of(timeline: tl.Timeline, settles: bool = True, checks: bool = True) -> tuple[Any, Any]:
    """A world that holds nothing but a calendar, and what must live as long as it."""
    stamped, values = tl.bind_timeline(timeline, settles, checks)
    world = np.zeros(1, WORLD_DTYPE)
    world["stamped"] = address_of(stamped)
    for name, value in values.items():
        world[name] = value
    return world[0], stamped


@given(tapes())
@settings(max_examples=200, deadline=None)
def test_state_at_every_stamp(tape: Tape) -> None:
    timeline = tl.compile_timeline(tape)
    w, _kept = world_of(timeline)
    for ns in sorted({at + by for at, *_ in rows_of(tape) for by in (-1, 0, 1)}):
        assert tl.mark_at(w, ns) == last_of(tape, rec.MARK, ns)
        assert tl.index_at(timeline, ns) == last_of(tape, rec.INDEX, ns)
        assert tl.is_halted(w, ns) == bool(last_of(tape, rec.STATUS, ns))


@given(tapes())
@settings(max_examples=200, deadline=None)
def test_settlements(tape: Tape) -> None:
    timeline = tl.compile_timeline(tape)
    assert dict(timeline.settlements.tolist()) == settlements(tape)
    assert (np.diff(timeline.settlements["ns"]) > 0).all()


Due = tuple[int, int | None, bool]  # stamp, rate of its settlement, whether margin is checked


def restated(tape: Tape, start: int, end: int, settles: bool = True, checks: bool = True) -> list[Due]:
    """All that is due after `start` up to `end`, from the rows alone."""
    rates = settlements(tape) if settles else {}
    marked = {at for at, kind, value, _ in rows_of(tape) if kind == rec.MARK and value > 0}
    checked = (marked or set(range(0, end + 1, SECOND))) if checks else set()
    return [(ns, rates.get(ns), ns in checked) for ns in sorted(rates.keys() | checked) if start < ns <= end]


def walked(timeline: tl.Timeline, start: int, end: int, settles: bool = True, checks: bool = True) -> list[Due]:
    w, _kept = world_of(timeline, settles, checks)
    seen: list[Due] = []
    ns = int(tl.next_due(w, start))
    while ns <= end:
        k = int(tl.settlement_at(w, ns))
        seen.append((ns, rate_of(w, k) if k >= 0 else None, bool(tl.is_check(w, ns))))
        ns = int(tl.next_due(w, ns))
    return seen


@njit_lean
def rate_of(w: Any, k: int) -> int:
    rate: int = tl.settlement_rate(w, k)
    return rate


@given(tapes(), st.integers(0, 8), st.sampled_from((0, 1, MS, SECOND)), st.booleans(), st.booleans())
@settings(max_examples=200, deadline=None)
def test_a_lane_meets_all_that_is_due_once(
    tape: Tape, start_ms: int, beyond: int, settles: bool, checks: bool
) -> None:  # fmt: skip
    start, end = start_ms * MS, tape.end_ns + beyond
    due = restated(tape, start, end, settles, checks)
    assert walked(tl.compile_timeline(tape), start, end, settles, checks) == due


def test_checks_on_whole_seconds_where_there_are_no_marks() -> None:
    third = 3 * SECOND
    tape = tape_of(
        [
            (1, rec.TRADE, 1, 0),
            (2 * SECOND, rec.FUNDING, 8, 3000),
            (third, rec.STATUS, 1, 0),
            (third + 5, rec.STATUS, 0, 0),
        ]
    )
    timeline = tl.compile_timeline(tape)
    due = [(2 * SECOND, None, True), (third, 8, True), (4 * SECOND, None, True)]
    assert walked(timeline, SECOND, 4 * SECOND) == due
    assert walked(timeline, SECOND - 1, SECOND) == [(SECOND, None, True)]


def test_a_market_without_any_of_it(small_tape: Tape) -> None:
    timeline = tl.compile_timeline(small_tape)
    assert [len(array) for array in timeline] == [0] * 4
    start = small_tape.start_ns
    w, _kept = world_of(timeline)
    assert tl.mark_at(w, start) == 0
    assert not tl.is_halted(w, start)
    whole = list(range(-(-(start + 1) // SECOND) * SECOND, start + 10 * SECOND + 1, SECOND))
    assert walked(timeline, start, start + 10 * SECOND) == [(ns, None, True) for ns in whole]
    assert tl.next_due(world_of(timeline, checks=False)[0], start) == tl.FOREVER


def test_arrays_do_not_change() -> None:
    timeline = tl.compile_timeline(tape_of([(1, rec.MARK, 3, 0)]))
    with pytest.raises(ValueError, match="read-only"):
        timeline.marks["value"][0] = 4


SCRIPT = """
import numpy as np
from lobgym.sim import records as rec
from lobgym.sim import timeline as tl
from lobgym.sim.instrument import SYNTH
from lobgym.sim.tape import Tape
from tests.sim.test_timeline import world_of
events = np.zeros(60, rec.EVENT_DTYPE)
events["exch_ns"] = events["local_ns"] = np.arange(60) // 3 * 400_000_000
events["kind"] = [(rec.MARK, rec.INDEX, rec.FUNDING, rec.STATUS)[k * k % 7 % 4] for k in range(60)]
events["qty_lots"], events["flags"] = np.arange(60) % 2, rec.LAST
events["seq"] = np.arange(60) // 3 * 450
for kept in (events, events[events["kind"] != rec.MARK]):
    timeline = tl.compile_timeline(Tape(kept, SYNTH))
    print(*timeline)
    w, stamped = world_of(timeline)
    ns = 5
    for _ in range(40):
        ns = int(tl.next_due(w, ns))
        state = tl.mark_at(w, ns), tl.index_at(timeline, ns), tl.is_halted(w, ns)
        print(ns, int(tl.settlement_at(w, ns)), int(tl.is_check(w, ns)), *map(int, state))
        if ns == tl.FOREVER:
            break
"""


def test_equal_without_compilation() -> None:
    def run(**env: str) -> str:
        return subprocess.run(
            [sys.executable, "-W", "error", "-c", SCRIPT],
            capture_output=True, text=True, check=True, env={**os.environ, **env},
        ).stdout  # fmt: skip

    plain = run(NUMBA_DISABLE_JIT="1")
    assert plain.count("\n") > 60
    assert plain == run()


# -- statuses on a tape ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("qty_lots", 2, "a status has qty_lots 1"),
        ("qty_lots", -1, "must not be negative"),
        ("price_ticks", 5, "a status has qty_lots 1"),
        ("side", 1, "side does not fit"),
        ("flags", 0, "cannot share a message"),
        ("kind", rec.REGIME + 1, "unknown kind"),
    ],
)
def test_a_status_keeps_the_rules(field: str, value: int, says: str) -> None:
    events: Any = tape_of([(1, rec.STATUS, 1, 0), (1, rec.MARK, 9, 0)]).events.copy()
    events[field][0] = value
    with pytest.raises(TapeFormatError, match=says):
        Tape(events, SYNTH)


def test_the_report_counts_halts_and_settlements() -> None:
    rows = [
        (0, rec.STATUS, 0, 0),
        (SECOND, rec.STATUS, 1, 0),
        (2 * SECOND, rec.STATUS, 1, 0),
        (3 * SECOND, rec.STATUS, 0, 0),
        (4 * SECOND, rec.FUNDING, 1, 5000),
        (9 * SECOND, rec.STATUS, 1, 0),
    ]
    report = inspect(tape_of(rows, late=SECOND // 2))
    assert (report.halts, report.halted_s, report.settlements) == (2, 2.5, 1)
    assert report.rows_by_kind["status"] == 5


@given(tapes(), st.integers(0, 30))
@settings(max_examples=200, deadline=None)
def test_a_slice_begins_in_the_state_of_its_start(tape: Tape, halves: int) -> None:
    """From its start on, a slice answers as the whole tape does."""
    start = halves * MS // 2
    if start > int(tape.events["exch_ns"][-1]):
        return
    cut = tape.slice_time(start, 1 << 61)
    timelines = tl.compile_timeline(tape), tl.compile_timeline(cut)
    (whole, _kept), (part, _too) = (world_of(timeline) for timeline in timelines)
    for ns in range(start, cut.end_ns + MS, MS // 2):
        assert tl.mark_at(part, ns) == tl.mark_at(whole, ns)
        assert tl.index_at(timelines[1], ns) == tl.index_at(timelines[0], ns)
        assert tl.is_halted(part, ns) == tl.is_halted(whole, ns)
    later = {ns: rate for ns, rate in settlements(tape).items() if ns >= start}
    assert dict(timelines[1].settlements.tolist()) == later


def test_the_settlement_of_a_recording(recordings_dir: Any) -> None:
    """The recording of 2023-04-04 ends 7 ms after a settlement at midnight UTC, its mark prices tick once a second."""
    one = BINANCE["usdm-btc-2023"]
    tape = import_binance(one.paths(recordings_dir))
    timeline = tl.compile_timeline(tape)
    assert timeline.settlements.tolist() == list(settlements(tape).items())
    ((due, rate),) = timeline.settlements.tolist()
    assert due % (8 * 3600 * SECOND) == 0
    assert 0 < rate < 10**10  # below 1%
    w, _kept = world_of(timeline)
    assert tl.mark_at(w, due) == last_of(tape, rec.MARK, due) > 0
    assert len(timeline.marks) > 90
    assert walked(timeline, tape.start_ns, tape.end_ns) == restated(tape, tape.start_ns, tape.end_ns)
