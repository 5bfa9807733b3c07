"""Tapes: every rule of the event table is enforced, content is immutable and hashed, slices begin with a whole book."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lobgym.sim import records as rec
from lobgym.sim.errors import TapeError, TapeFormatError
from lobgym.sim.instrument import BUILTIN, SYNTH
from lobgym.sim.tape import Tape, inspect, open_tape


def rows(*table: tuple[int, ...]) -> np.ndarray:
    """EVENT_DTYPE rows of (exch_ns, local_ns, seq, price_ticks, qty_lots, kind, side, flags)."""
    return np.array(list(table), dtype=rec.EVENT_DTYPE)


def small() -> np.ndarray:
    return rows(
        (10, 12, 5, 0, 0, rec.CLEAR, 0, 0),
        (10, 12, 5, 100, 7, rec.SNAPSHOT, rec.BUY, 0),
        (10, 12, 5, 101, 3, rec.SNAPSHOT, rec.SELL, rec.LAST),
        (20, 25, 1, 101, 2, rec.TRADE, rec.BUY, rec.LAST),
        (21, 23, 6, 100, 7, rec.BBO, rec.BUY, 0),
        (21, 23, 6, 101, 1, rec.BBO, rec.SELL, rec.LAST),
        (30, 31, 7, 101, 0, rec.DEPTH, rec.SELL, 0),
        (30, 31, 7, 102, 4, rec.DEPTH, rec.SELL, 0),
        (30, 31, 7, 99, 4, rec.DEPTH, rec.BUY, rec.LAST),
        (40, 41, 900, 0, -5, rec.FUNDING, 0, rec.LAST),
    )


def spoil(row: int, **values: int) -> Callable[[np.ndarray], np.ndarray]:
    def apply(events: np.ndarray) -> np.ndarray:
        for name, value in values.items():
            events[name][row] = value
        return events

    return apply


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda e: e[:0], "at least one row"),
        (lambda e: e.tolist(), "not list"),
        (lambda e: e.astype([(n, "i8") for n in e.dtype.names]), "EVENT_DTYPE"),
        (lambda e: np.stack([e, e]), "shape"),
        (spoil(3, exch_ns=5), "row 3 of 10: exch_ns must not go back"),
        (spoil(3, local_ns=19), "row 3 of 10: local_ns must not lie before exch_ns"),
        (spoil(0, exch_ns=-1), "stamps must lie"),
        (spoil(9, local_ns=2**62), "stamps must lie"),
        (spoil(3, kind=11), "unknown kind"),
        (spoil(3, kind=0), "unknown kind"),
        (spoil(3, side=0), "side does not fit"),
        (spoil(0, side=1), "side does not fit"),
        (spoil(3, price_ticks=0), "price_ticks does not fit"),
        (spoil(3, price_ticks=-4), "price_ticks does not fit"),
        (spoil(7, qty_lots=-4), "must not be negative"),
        (spoil(3, qty_lots=0), "a print needs a quantity"),
        (spoil(7, qty_lots=2**62), "must be below"),
        (spoil(3, flags=3), "unknown flags"),
        (spoil(9, flags=0), "does not end its message"),
        (spoil(7, local_ns=32), "share both stamps"),
        (spoil(3, flags=0), "share both stamps"),
        (spoil(1, flags=1), "SNAPSHOT rows must follow a CLEAR"),
        (spoil(7, kind=rec.TRADE), "cannot share a message"),
        (spoil(1, kind=rec.CLEAR, side=0), "CLEAR must begin"),
    ],
)
def test_a_table_that_breaks_a_rule_is_refused(change: Callable[[Any], Any], says: str) -> None:
    with pytest.raises(TapeFormatError, match=says):
        Tape(change(small()), SYNTH)


def test_a_tape_does_not_change() -> None:
    events = small()
    tape = Tape(events, SYNTH, {"source": "hand"})
    digest = tape.digest
    events["qty_lots"][1] = 99
    assert tape.events["qty_lots"][1] == 7
    with pytest.raises(ValueError, match="read-only"):
        tape.events["qty_lots"][1] = 99
    with pytest.raises(AttributeError):
        tape.digest = "x"  # type: ignore[misc]
    again = copy.deepcopy(tape)
    assert again == tape
    assert again.digest == digest
    assert not again.events.flags.writeable


def test_the_digest_covers_rows_and_instrument_and_not_the_provenance() -> None:
    base = Tape(small(), SYNTH, {"a": 1})
    assert Tape(small(), SYNTH, {"b": 2}).digest == base.digest
    assert Tape(small(), BUILTIN["binance-usdm", "BTCUSDT"]).digest != base.digest
    for name in rec.EVENT_DTYPE.names:
        events = small()
        if name == "kind":
            events[name][9] = rec.MARK
            events["qty_lots"][9] = 5
        elif name == "flags":
            events[name][6] = rec.LAST
            # A message of its own may end there; nothing else changes.
        elif name == "side":
            events[name][8] = rec.SELL
        else:
            events[name][9] += 1
            events["local_ns"][9] += name == "exch_ns"
        assert Tape(events, SYNTH).digest != base.digest, name


def test_the_digest_is_fixed_forever() -> None:
    # A change of this value breaks every stored tape: it is a decision, not an accident.
    assert Tape(small(), SYNTH).digest == "e16589449038cc12e76467586b4ed36ed614381211f75b649c543da582ef1c31"


def test_provenance_must_be_plain_data() -> None:
    with pytest.raises(TapeFormatError, match="JSON"):
        Tape(small(), SYNTH, {"x": float("nan")})
    with pytest.raises(TapeFormatError, match="JSON"):
        Tape(small(), SYNTH, {"x": object()})


def test_local_order_is_by_receipt_and_keeps_ties() -> None:
    tape = Tape(small(), SYNTH)
    assert tape.local_order().tolist() == [0, 1, 2, 4, 5, 3, 6, 7, 8, 9]
    assert tape.local_order().dtype == np.int64
    assert (tape.start_ns, tape.end_ns, len(tape)) == (10, 41, 10)


def test_a_slice_begins_with_the_book_of_its_start() -> None:
    cut = Tape(small(), SYNTH).slice_time(35, 50)
    assert cut.events["kind"].tolist() == [rec.CLEAR] + [rec.SNAPSHOT] * 3 + [rec.FUNDING]
    assert cut.events["price_ticks"][1:4].tolist() == [100, 99, 102]
    assert cut.events["qty_lots"][1:4].tolist() == [7, 4, 4]
    assert set(cut.events["exch_ns"][:4].tolist()) == set(cut.events["local_ns"][:4].tolist()) == {35}
    assert cut.provenance["slice_of"]["start_ns"] == 35


def test_a_slice_from_the_start_is_the_rows_themselves() -> None:
    tape = Tape(small(), SYNTH)
    assert tape.slice_time(0, 30).events.tolist() == tape.events[:6].tolist()
    assert tape.slice_time(10, 41) == tape


def test_a_slice_after_a_lost_book_does_not_invent_one() -> None:
    events = np.concatenate([small()[:9], rows((40, 41, 8, 0, 0, rec.CLEAR, 0, 1), (50, 51, 2, 9, 1, rec.TRADE, 1, 1))])
    cut = Tape(events, SYNTH).slice_time(45, 60)
    assert cut.events["kind"].tolist() == [rec.CLEAR, rec.TRADE]
    assert cut.events["flags"].tolist() == [rec.LAST, rec.LAST]


@pytest.mark.parametrize("span", [(50, 60), (0, 5), (30, 20), (22, 30)])
def test_an_empty_slice_is_refused(span: tuple[int, int]) -> None:
    with pytest.raises(TapeError, match="no rows from"):
        Tape(small(), SYNTH).slice_time(*span)


def test_slices_of_a_market_show_the_same_book_as_the_whole(small_tape: Tape) -> None:
    """A plain dict book over the whole tape and over the slice agree after every common message."""

    def books(events: np.ndarray) -> dict[int, tuple[tuple[int, int], ...]]:
        book: dict[tuple[int, int], int] = {}
        after = {}
        for row in events:
            if row["kind"] == rec.CLEAR:
                book.clear()
            elif row["kind"] in (rec.DEPTH, rec.SNAPSHOT):
                book[int(row["side"]), int(row["price_ticks"])] = int(row["qty_lots"])
                if row["flags"] & rec.LAST:
                    after[int(row["exch_ns"])] = tuple(sorted((*key, qty) for key, qty in book.items() if qty))
        return after

    start, end = small_tape.start_ns + 40 * 10**9, small_tape.start_ns + 50 * 10**9
    whole, cut = books(small_tape.events), books(small_tape.slice_time(start, end).events)
    common = [stamp for stamp in cut if stamp in whole]
    assert len(common) > 80
    assert all(whole[stamp] == cut[stamp] for stamp in common)


def test_tapes_are_opened_by_name(tmp_path: Path, small_tape: Tape) -> None:
    assert open_tape(small_tape) is small_tape
    assert open_tape("synth?seed=1&minutes=2") == small_tape
    small_tape.save(tmp_path / "a.parquet")
    assert open_tape(tmp_path / "a.parquet") == open_tape(str(tmp_path / "a.parquet")) == small_tape


@pytest.mark.parametrize(
    "name", ["", "snyth", "synth?sed=3", "synth?seed=x", "synth?seed", "synth?minutes=-1", "nowhere.parquet", "a.gz"]
)
def test_a_wrong_name_lists_the_right_ones(name: str) -> None:
    with pytest.raises(TapeError, match=r"expected|takes seed and minutes|no such tape file") as caught:
        open_tape(name)
    assert "\n" not in str(caught.value)


def test_the_report_counts_what_is_on_the_tape() -> None:
    report = inspect(Tape(small(), SYNTH, {"source": "hand"}))
    assert report.rows_by_kind == {
        "depth": 3, "trade": 1, "clear": 1, "snapshot": 2, "bbo": 2, "mark": 0, "index": 0, "funding": 1,
        "status": 0, "regime": 0,
    }  # fmt: skip
    assert (report.rows, report.messages, report.traded_lots) == (10, 5, 2)
    assert (report.book_states, report.crossed_states, report.gaps) == (2, 0, 0)
    assert (report.spread_ticks_median, report.spread_ticks_max) == (1, 2)
    assert report.spread_ticks_mean == (1 * 20 + 2 * 10) / 30
    assert (report.price_min_ticks, report.price_max_ticks) == (100, 101)
    assert report.raced_rows == 1
    assert report.to_json()["provenance"] == {"source": "hand"}


def test_the_report_sees_crossed_books_and_lost_ones() -> None:
    events = np.concatenate(
        [
            small()[:3],
            rows((20, 21, 6, 103, 1, rec.DEPTH, rec.BUY, rec.LAST), (30, 31, 7, 0, 0, rec.CLEAR, 0, rec.LAST)),
        ]
    )
    report = inspect(Tape(events, SYNTH))
    assert (report.crossed_states, report.gaps, report.book_states) == (1, 1, 3)
    assert report.two_sided_share == 1.0


def test_a_tape_without_a_book_has_a_report() -> None:
    report = inspect(Tape(rows((20, 25, 1, 101, 2, rec.TRADE, rec.BUY, rec.LAST)), SYNTH))
    assert (report.book_states, report.spread_ticks_median, report.price_max_ticks) == (0, 0, 0)
