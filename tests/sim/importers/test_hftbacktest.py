"""hftbacktest's event files: what is read, what is refused, and the way back.

Oracle: the exchange's rows applied one by one to a dict by the format's own rules, with Decimal prices.
"""

from __future__ import annotations

import io
import zipfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lobgym.sim import records as rec
from lobgym.sim.errors import FeedError
from lobgym.sim.importers.hftbacktest import export_hftbacktest, import_hftbacktest
from lobgym.sim.tape import Tape, open_tape
from tests.sim.importers import files as f
from tests.sim.importers.books import books_of, rows

BOTH = f.EXCH | f.LOCAL


def read_plainly(events: Any) -> list[tuple[int, dict[tuple[int, int], int]]]:
    """(exchange stamp, book) after the last of the exchange's rows at each stamp."""
    tick_size, lot_size = Decimal("0.1"), Decimal("0.001")
    book: dict[tuple[int, int], int] = {}
    out: list[tuple[int, dict[tuple[int, int], int]]] = []
    for row in events:
        ev = int(row["ev"])
        kind, side = ev & 0xFF, 1 if ev & f.BUY else -1 if ev & f.SELL else 0
        if not ev & f.EXCH or kind in (f.TRADE, f.BBO):
            continue
        px = float(row["px"])
        tick = int((Decimal(repr(px)) / tick_size).to_integral_value()) if np.isfinite(px) else None
        if kind == f.CLEAR:
            gone = [k for k in book if side in (0, k[0]) and (not side or tick is None or k[0] * k[1] >= side * tick)]
            for level in gone:
                del book[level]
        else:
            assert tick is not None
            book[side, tick] = round(Decimal(repr(float(row["qty"]))) / lot_size)
        if out and out[-1][0] == int(row["exch_ts"]):
            out.pop()
        out.append((int(row["exch_ts"]), {level: qty for level, qty in book.items() if qty}))
    return out


def books_at_stamps(tape: Tape) -> list[tuple[int, dict[tuple[int, int], int]]]:
    out: list[tuple[int, dict[tuple[int, int], int]]] = []
    for exch, kind, book in books_of(tape):
        if kind in (rec.TRADE, rec.BBO):
            continue
        if out and out[-1][0] == exch:
            out.pop()
        out.append((exch, {(side, tick): qty for side, levels in book.items() for tick, qty in levels.items()}))
    return out


def test_a_little_file_becomes_the_tape_that_it_says(tmp_path: Path) -> None:
    events = f.hft_events(f.hft_lines())
    tape = import_hftbacktest(f.write_hft(tmp_path / "a.npz", events), f.LINEAR)
    assert books_at_stamps(tape) == read_plainly(events)
    assert [(row[0] - f.T0, row[1] - f.T0, *row[3:]) for row in rows(tape, rec.TRADE)] == [
        (100, 160, rec.BUY, 1001, 300), (210, 270, rec.SELL, 999, 500)
    ]  # fmt: skip
    assert [(row[0] - f.T0, *row[3:]) for row in rows(tape, rec.BBO)] == [
        (400, rec.BUY, 999, 1000), (400, rec.SELL, 1002, 4000)
    ]  # fmt: skip
    late = [row for row in rows(tape, rec.DEPTH) if row[0] == f.T0 + 200]
    assert [row[1] - f.T0 for row in late] == [330]  # it stood twice in the file, and is seen after the print
    assert tape.provenance["dropped"] == {
        "rows_for_the_exchange_only": 0, "rows_for_the_receiver_only": 0, "trade_of_0_lots": 0
    }  # fmt: skip


@st.composite
def markets(draw: st.DrawFn) -> Any:
    """A file in which every event stands twice, first all of the exchange's, then all of the receiver's."""
    exch, lines = 0, []
    for _ in range(draw(st.integers(1, 40))):
        exch += draw(st.integers(0, 3))
        kind = draw(st.sampled_from([f.DEPTH, f.DEPTH, f.TRADE, f.CLEAR, f.SNAPSHOT, f.BBO]))
        side = draw(st.sampled_from([f.BUY, f.SELL, 0] if kind == f.CLEAR else [f.BUY, f.SELL]))
        limits = [float("nan"), 100.0, 100.3]
        px = draw(st.sampled_from(limits)) if kind == f.CLEAR else draw(st.integers(995, 1005)) / 10
        qty = draw(st.integers(1 if kind == f.TRADE else 0, 5)) / 1000
        lines.append((kind | side, exch, exch + draw(st.integers(0, 9)), px, qty))
    own = [(ev | f.EXCH, *rest) for ev, *rest in lines]
    seen = [(ev | f.LOCAL, *rest) for ev, *rest in sorted(lines, key=lambda line: line[2])]
    return f.hft_events([*own, *seen])  # type: ignore[list-item]


@settings(max_examples=60, deadline=None)
@given(events=markets())
def test_any_file_gives_the_book_of_a_plain_reading(events: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = f.write_hft(tmp_path_factory.mktemp("hft") / "a.npz", events)
    tape = import_hftbacktest(path, f.LINEAR)
    assert books_at_stamps(tape) == read_plainly(events)
    again = path.with_name("b.npz")
    export_hftbacktest(tape, again)
    back = import_hftbacktest(again, f.LINEAR)
    assert rows(back) == rows(tape)


def test_a_tape_comes_back_from_an_export(tmp_path: Path) -> None:
    tape = open_tape("synth?minutes=1&seed=4")
    left_out = export_hftbacktest(tape, tmp_path / "a.npz")
    back = import_hftbacktest(tmp_path / "a.npz", tape.instrument)
    assert left_out == {}
    assert sorted(rows(back)) == sorted(rows(tape))  # a snapshot's levels may stand in another order
    with np.load(tmp_path / "a.npz", allow_pickle=False) as data:
        raw = data["data"]
    for stamp, side in (("exch_ts", f.EXCH), ("local_ts", f.LOCAL)):
        theirs = raw[(raw["ev"] & side) > 0]
        assert (np.diff(theirs[stamp]) >= 0).all()
        assert len(theirs) == len(tape)


def test_prices_are_exact_although_they_are_floats(tmp_path: Path) -> None:
    prices = [0.1 * k for k in (3, 7, 600_001, 123_456_789)]  # 0.1 * 3 is no 0.3
    events = f.hft_events([(BOTH | f.DEPTH | f.BUY, k, k, px, 0.001 * 3) for k, px in enumerate(prices)])
    tape = import_hftbacktest(f.write_hft(tmp_path / "a.npz", events), f.LINEAR)
    assert [row[4:] for row in rows(tape)] == [(3, 3), (7, 3), (600_001, 3), (123_456_789, 3)]


def test_a_slow_clock_is_shifted_as_a_whole(tmp_path: Path) -> None:
    events = f.hft_events([(BOTH | f.DEPTH | f.BUY, 100, 40, 99.9, 1.0), (BOTH | f.DEPTH | f.BUY, 200, 190, 99.9, 2.0)])
    tape = import_hftbacktest(f.write_hft(tmp_path / "a.npz", events), f.LINEAR, base_latency_ns=5)
    assert (tape.events["local_ns"] - f.T0).tolist() == [105, 255]
    assert tape.provenance["clock"]["correction_ns"] == 65


def test_rows_for_one_side_only_are_refused_or_counted(tmp_path: Path) -> None:
    lines = [
        *f.hft_lines(),
        (f.EXCH | f.DEPTH | f.BUY, 900, 990, 99.9, 1.0),
        (f.LOCAL | f.DEPTH | f.BUY, 1, 999, 99.8, 1.0),
    ]
    path = f.write_hft(tmp_path / "a.npz", f.hft_events(lines))
    with pytest.raises(FeedError, match=r"a\.npz:19: a row for the exchange only.*--drop-one-sided"):
        import_hftbacktest(path, f.LINEAR)
    tape = import_hftbacktest(path, f.LINEAR, drop_one_sided=True)
    assert tape.provenance["dropped"]["rows_for_the_exchange_only"] == 1
    assert tape.provenance["dropped"]["rows_for_the_receiver_only"] == 1
    assert tape == import_hftbacktest(f.write_hft(path, f.hft_events(f.hft_lines())), f.LINEAR)


@pytest.mark.parametrize(
    ("row", "change", "says"),
    [
        (1, {"px": 99.95}, r":2: a price that is no positive multiple of the tick 0\.1"),
        (1, {"px": float("nan")}, ":2: a price that is no number"),
        (1, {"px": -99.9}, ":2: a price that is no positive multiple"),
        (1, {"qty": -1.0}, ":2: a quantity that is negative"),
        (1, {"qty": float("inf")}, ":2: a quantity that is negative, no number"),
        (6, {"ev": BOTH | f.TRADE}, ":7: neither BUY_EVENT nor SELL_EVENT"),
        (6, {"ev": BOTH | f.TRADE | f.BUY | f.SELL}, ":7: both BUY_EVENT and SELL_EVENT"),
        (6, {"ev": f.TRADE | f.BUY}, ":7: a row for neither side"),
        (6, {"ev": BOTH | 10 | f.BUY}, ":7: an order of an L3 file"),
        (6, {"ev": BOTH | 77 | f.BUY}, ":7: an unknown kind"),
        (6, {"ev": BOTH | f.TRADE | f.BUY | 1 << 40}, ":7: unknown bits"),
        (6, {"exch_ts": -1}, ":7: exch_ts is outside"),
        (12, {"exch_ts": f.T0 + 150}, ":13: exch_ts goes back"),
        (13, {"local_ts": f.T0 + 20}, ":14: local_ts goes back"),
    ],
)
def test_a_row_that_cannot_be_is_named(tmp_path: Path, row: int, change: dict[str, Any], says: str) -> None:
    events = f.hft_events(f.hft_lines())
    for name, value in change.items():
        events[name][row] = value
    with pytest.raises(FeedError, match=says):
        import_hftbacktest(f.write_hft(tmp_path / "a.npz", events), f.LINEAR)


def member(array: Any) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array(out, array, allow_pickle=False)
    return out.getvalue()


def test_a_file_that_is_not_what_it_says_is_refused_before_it_is_read(tmp_path: Path) -> None:
    events = f.hft_events(f.hft_lines())
    good = member(events)
    promise = good.replace(f"({len(events)},)".encode(), b"(99,)", 1)
    objects = member(np.zeros(3, "V8")).replace(b"'|V8'", b"'|O' ")
    assert promise != good
    assert b"'|O'" in objects
    cases: list[tuple[dict[str, bytes], str]] = [
        ({}, "expected one member 'data.npy', found 0"),
        ({"data.npy": good, "more.npy": good}, "expected one member 'data.npy', found 2"),
        ({"other.npy": good}, "expected one member 'data.npy'"),
        ({"data.npy": objects}, "an array of object"),
        ({"data.npy": member(np.zeros((3, 6)))}, "version 1 must be migrated"),
        ({"data.npy": member(events.reshape(2, -1))}, "with shape"),
        ({"data.npy": member(events.astype(f.HFT_EVENT.newbyteorder(">")))}, "expected .rows,. of"),
        ({"data.npy": member(events[:0])}, "holds no event"),
        ({"data.npy": good[:-64]}, "but has"),
        ({"data.npy": good + b"x"}, "but has"),
        ({"data.npy": b"hello"}, "no array that can be read"),
        ({"data.npy": good.replace(b"'fortran_order'", b"__import__('os')")}, "no array that can be read"),
        ({"data.npy": b"\0" * 10_000_000}, "impossible|no array"),
        ({"data.npy": promise}, "but has"),
    ]
    for contents, says in cases:
        path = tmp_path / "a.npz"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in contents.items():
                archive.writestr(name, content)
        with pytest.raises(FeedError, match=says):
            import_hftbacktest(path, f.LINEAR)


def test_a_cut_or_damaged_file_is_refused(tmp_path: Path) -> None:
    path = f.write_hft(tmp_path / "a.npz", f.hft_events(f.hft_lines()))
    whole = path.read_bytes()
    for length in range(0, len(whole) - 1, 37):
        path.write_bytes(whole[:length])
        with pytest.raises(FeedError):
            import_hftbacktest(path, f.LINEAR)
    stored = tmp_path / "b.npz"
    np.savez(stored, data=f.hft_events(f.hft_lines()))
    flipped = bytearray(stored.read_bytes())
    flipped[len(flipped) // 2] ^= 0xFF
    stored.write_bytes(flipped)
    with pytest.raises(FeedError, match="not a whole npz file"):
        import_hftbacktest(stored, f.LINEAR)
