"""G0 accepts a sound tape, and each way in which a tape can lie fails the check that is there for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lobgym.governance.g0 import GAPS_MAX, _rows, gate_g0
from lobgym.governance.rebuild import NO_TICK, rebuild
from lobgym.governance.result import GateResult
from lobgym.sim import records as rec
from lobgym.sim.importers import import_binance
from lobgym.sim.market import Market
from lobgym.sim.tape import Tape
from lobgym.sim.view import best_ask, best_bid, best_bid_qty
from tests.recordings import BINANCE, FOLDER, missing

Events = NDArray[np.void]


def failed(result: GateResult) -> list[str]:
    return [check.name for check in result.failures]


def test_a_synthetic_tape_is_sound(tape: Tape, tape_file: Path) -> None:
    for one in (tape, tape_file, str(tape_file)):
        result = gate_g0(one)
        assert result.passed, result.failures
        assert result.name == "G0"


@pytest.mark.skipif(bool(missing()), reason=missing())
@pytest.mark.parametrize("name", BINANCE)
def test_recordings_are_sound(name: str) -> None:
    result = gate_g0(import_binance(BINANCE[name].paths(FOLDER)))
    assert result.passed, result.failures
    compared = next(check.name for check in result.checks if check.name.startswith("best quotes"))
    assert int(compared.split()[-2]) > 500, compared


def test_the_rebuilt_book_is_the_markets(tape: Tape) -> None:
    """Two implementations: plain application of depth here, the compiled market without implied depth there."""
    states = rebuild(tape.events)
    market = Market.compile(tape, print_implied_depth=False)
    book = market.exch_view[0]
    cursors = np.searchsorted(market.exch.ns, states.ns, side="right").tolist()
    assert states.two_sided.all()
    last = np.append(np.diff(states.ns) > 0, True)  # of several messages with one stamp only the last is comparable
    for mine, accessor in ((states.bid, best_bid), (states.ask, best_ask), (states.bid_qty, best_bid_qty)):
        theirs = np.array([accessor(book, cursor) for cursor in cursors])
        assert (mine[last] == theirs[last]).all()


def test_a_rebuilt_book_by_hand() -> None:
    rows = [
        (rec.CLEAR, 0, 0, 0, 0),
        (rec.SNAPSHOT, rec.BUY, 99, 5, 0),
        (rec.SNAPSHOT, rec.SELL, 101, 7, rec.LAST),
        (rec.DEPTH, rec.BUY, 100, 2, rec.LAST),
        (rec.DEPTH, rec.BUY, 100, 0, 0),
        (rec.DEPTH, rec.SELL, 101, 0, rec.LAST),
        (rec.TRADE, rec.BUY, 101, 1, rec.LAST),
        (rec.CLEAR, 0, 0, 0, rec.LAST),
    ]
    events = np.zeros(len(rows), rec.EVENT_DTYPE)
    for event, (kind, side, tick, qty, flags) in zip(events, rows, strict=True):
        event["kind"], event["side"], event["price_ticks"], event["qty_lots"], event["flags"] = (
            kind,
            side,
            tick,
            qty,
            flags,
        )
    states = rebuild(events)
    assert states.bid.tolist() == [99, 100, 99, NO_TICK]
    assert states.bid_qty.tolist() == [5, 2, 5, 0]
    assert states.ask.tolist() == [101, 101, NO_TICK, NO_TICK]
    assert states.ask_qty.tolist() == [7, 7, 0, 0]


# -- tapes that lie --------------------------------------------------------------------------------------------------


def first(events: Events, kind: int, side: int = 0, after: int = 2000) -> int:
    """Row of the first event of a kind (and side) with a quantity, some way into the tape."""
    match = (events["kind"] == kind) & (events["qty_lots"] > 0) & ((events["side"] == side) | (side == 0))
    return after + int(np.argmax(match[after:]))


def crossed(events: Events) -> Events:
    row = first(events, rec.DEPTH, rec.BUY)
    events["price_ticks"][row] += 3000
    return events


def best_quote_size(events: Events) -> Events:
    depth = set(events["seq"][events["kind"] == rec.DEPTH].tolist())
    rows = [int(row) for row in np.flatnonzero(events["kind"] == rec.BBO) if int(events["seq"][row]) in depth]
    events["qty_lots"][rows[len(rows) // 2]] += 1
    return events


def best_quote_price(events: Events) -> Events:
    depth = set(events["seq"][events["kind"] == rec.DEPTH].tolist())
    rows = [int(row) for row in np.flatnonzero(events["kind"] == rec.BBO) if int(events["seq"][row]) in depth]
    events["price_ticks"][rows[len(rows) // 2]] += 1
    return events


def stray_print(events: Events) -> Events:
    row = first(events, rec.TRADE)
    events["price_ticks"][row] = events["price_ticks"][row] * 102 // 100
    return events


def with_clears(events: Events, rows: list[int]) -> Events:
    """CLEAR messages without a snapshot after the messages that end at these rows or later."""
    ends = np.flatnonzero(events["flags"] & rec.LAST)
    places = ends[np.searchsorted(ends, rows)] + 1
    clear = events[places - 1].copy()
    clear["kind"], clear["side"], clear["price_ticks"], clear["qty_lots"], clear["flags"] = rec.CLEAR, 0, 0, 0, rec.LAST
    return np.insert(events, places, clear)


def gaps(events: Events) -> Events:
    return with_clears(events, [1000 * k for k in range(1, GAPS_MAX + 2)])


def long_without_book(events: Events) -> Events:
    """One gap, and no depth message for a tenth of the tape after it."""
    made = with_clears(events, [3000])
    at = int(np.flatnonzero(made["kind"] == rec.CLEAR)[-1])
    start, end = int(made["exch_ns"][at]), int(made["exch_ns"][-1])
    depth = (made["kind"] == rec.DEPTH) & (made["exch_ns"] < start + (end - start) // 10) & (np.arange(len(made)) > at)
    return made[~depth]


@pytest.mark.parametrize(
    ("change", "check"),
    [
        (crossed, "crossed or locked"),
        (best_quote_size, "best quotes that differ"),
        (best_quote_price, "best quotes that differ"),
        (stray_print, "furthest print"),
        (gaps, "gaps"),
        (long_without_book, "time without a bid and an ask"),
    ],
)
def test_a_tape_that_lies_fails_the_check_for_it(tape: Tape, change: Callable[[Events], Events], check: str) -> None:
    result = gate_g0(Tape(change(tape.events.copy()), tape.instrument, tape.provenance))
    assert not result.passed
    assert any(name.startswith(check) for name in failed(result)), failed(result)


@pytest.mark.parametrize("provenance", [{}, {"clock": {}}, {"clock": {"correction_ns": "5"}}, {"source": "binance"}])
def test_a_tape_whose_clock_is_not_stated_fails(tape: Tape, provenance: dict[str, object]) -> None:
    assert failed(gate_g0(Tape(tape.events, tape.instrument, provenance))) == ["clock correction of the receive stamps"]
    stated = Tape(tape.events, tape.instrument, {"source": "binance", "clock": {"correction_ns": -1_270_000_000}})
    assert gate_g0(stated).passed


def test_a_file_that_was_altered_fails_and_does_not_raise(tape_file: Path, tmp_path: Path) -> None:
    data = bytearray(tape_file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    (tmp_path / "bad.parquet").write_bytes(data)
    for path in (tmp_path / "bad.parquet", tmp_path / "missing.parquet", "nonsense"):
        result = gate_g0(path)
        assert not result.passed
        assert len(result.checks) == 1


@pytest.mark.parametrize(
    ("field", "row", "value", "check"),
    [
        ("exch_ns", 500, 0, "exchange stamps that go back"),
        ("local_ns", 500, 0, "rows received before they happened"),
        ("flags", -1, 0, "messages without their last row"),
        ("price_ticks", 5, 0, "prices of 0 or below"),
        ("qty_lots", 5, -1, "negative quantities"),
    ],
)
def test_rows_that_a_tape_would_refuse_are_seen_here_too(
    tape: Tape, field: str, row: int, value: int, check: str
) -> None:
    """`Tape` refuses these itself; the gate does not rely on it."""
    events = tape.events.copy()
    assert all(one.passed for one in _rows(events))
    events[field][row] = value
    assert check in [one.name for one in _rows(events) if not one.passed]


def test_prints_without_a_quantity_are_seen(tape: Tape) -> None:
    events = tape.events.copy()
    events["qty_lots"][first(events, rec.TRADE)] = 0
    assert [one.name for one in _rows(events) if not one.passed] == ["prints without a quantity"]
