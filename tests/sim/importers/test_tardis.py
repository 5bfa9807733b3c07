"""Tardis's CSV files: what is read, what is left out, what is refused.

Oracle: the same bytes read line by line with the csv module and Decimal, and sorted as a list.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lobgym.sim import records as rec
from lobgym.sim.errors import FeedError, InstrumentError
from lobgym.sim.importers.tardis import import_tardis
from lobgym.sim.tape import Tape
from tests.sim.importers import files as f
from tests.sim.importers.books import rows

ORDER = ("trades", "book_ticker", "incremental_book_L2", "derivative_ticker")
Row = tuple[int, ...]


def ticks(text: str) -> int:
    return int(Decimal(text) / Decimal("0.1"))


def lots(text: str) -> int:
    return int((Decimal(text or "0") / Decimal("0.001")).to_integral_value())


def rows_of_line(kind: str, line: dict[str, str]) -> list[tuple[int, int, int, int]]:
    """(kind, side, tick, quantity) of a line; the clear of a snapshot is not its business."""
    if kind == "trades":
        side = {"buy": rec.BUY, "sell": rec.SELL}.get(line["side"], 0)
        return [(rec.TRADE, side, ticks(line["price"]), lots(line["amount"]))] if side and lots(line["amount"]) else []
    if kind == "book_ticker":
        out = []
        for side, name in ((rec.BUY, "bid"), (rec.SELL, "ask")):
            qty = lots(line[f"{name}_amount"])
            out.append((rec.BBO, side, ticks(line[f"{name}_price"]) if qty else 0, qty))
        return out
    if kind == "incremental_book_L2":
        side = {"bid": rec.BUY, "ask": rec.SELL}[line["side"]]
        return [(rec.DEPTH, side, ticks(line["price"]), lots(line["amount"]))]
    out = []
    for kind_, name, digits in (
        (rec.MARK, "mark_price", 8),
        (rec.INDEX, "index_price", 8),
        (rec.FUNDING, "funding_rate", 12),
    ):
        if line[name] and (name != "funding_rate" or line["funding_timestamp"]):
            out.append((kind_, 0, 0, int((Decimal(line[name]) * 10**digits).to_integral_value())))
    return out


def read_plainly(paths: list[Path]) -> list[Row]:
    """(exchange stamp, local stamp, kind, side, tick, lots) of everything, in the order of a tape."""
    found: list[tuple[int, int, int, Row]] = []
    for path in paths:
        kind = path.name.split(".")[0]
        newest, snapshot, begun, run = 0, False, kind != "incremental_book_L2", (0, 0)
        with gzip.open(path, "rt") as text:
            for number, line in enumerate(csv.DictReader(text)):
                made = rows_of_line(kind, line)
                if made and (begun or line["is_snapshot"] == "true"):
                    newest = max(newest, int(line["timestamp"]))
                stamps = (newest * 1000, int(line["local_timestamp"]) * 1000)
                if kind == "incremental_book_L2":
                    was, snapshot = snapshot, line["is_snapshot"] == "true"
                    begun |= snapshot
                    if not begun:
                        continue
                    if snapshot and not was:
                        run = stamps
                        found.append((stamps[0], ORDER.index(kind), number, (*stamps, rec.CLEAR, 0, 0, 0)))
                for one in made:
                    in_first = kind == "incremental_book_L2" and snapshot and run == stamps
                    row = (rec.SNAPSHOT, *one[1:]) if in_first else one
                    found.append((stamps[0], ORDER.index(kind), number, (*stamps, *row)))
    return [row for *_, row in sorted(found, key=lambda one: one[:3])]


def test_little_files_become_the_tape_that_they_say(tmp_path: Path) -> None:
    paths = f.write_tardis(tmp_path, f.tardis_lines())
    tape = import_tardis(paths, f.LINEAR)
    assert rows(tape) == read_plainly(paths)
    assert tape == import_tardis(reversed(paths), f.LINEAR)
    assert tape == import_tardis(f.write_tardis(tmp_path, f.tardis_lines(), packed=False), f.LINEAR)
    said = tape.provenance
    assert said["dropped"] == {
        "trades_without_a_side": 1, "trades_of_0_lots": 1, "levels_before_the_first_snapshot": 1,
        "funding_rates_without_their_time": 1,
    }  # fmt: skip
    assert said["snapshots"] == 2
    assert said["stamps_raised"]["incremental_book_L2"] == 1
    assert said["without_exchange_stamp"]["incremental_book_L2"] == 3
    assert [one["rows"] for one in said["files"]] == [4, 3, 11, 3]


def test_numbers_are_exact_and_ids_kept(tmp_path: Path) -> None:
    tape = import_tardis(f.write_tardis(tmp_path, f.tardis_lines()), f.LINEAR)
    assert [row[5] for row in rows(tape, rec.MARK, rec.INDEX)] == [10_012_345_678, 10_005_000_000, 10_020_000_000]
    assert [row[5] for row in rows(tape, rec.FUNDING)] == [100_000_000]
    funding = tape.events[tape.events["kind"] == rec.FUNDING]
    assert funding["seq"].tolist() == [1_600_003_600_000]
    assert tape.events["seq"][tape.events["kind"] == rec.TRADE].tolist() == [17, 0]
    halves = [row[5] for row in rows(tape, rec.DEPTH, rec.SNAPSHOT) if row[5] in (0, 1, 2)]
    assert halves == [0, 1, 0, 2]  # removed, 1e-3, half a lot, one and a half


cells = st.tuples(
    st.integers(0, 4), st.integers(0, 3), st.booleans(), st.booleans(), st.integers(1, 9), st.integers(0, 9)
)


@settings(max_examples=80, deadline=None)
@given(lines=st.lists(cells, min_size=1, max_size=30), trades=st.lists(cells, max_size=8))
def test_any_files_give_what_a_plain_reading_gives(
    lines: list[tuple[int, int, bool, bool, int, int]], trades: list[tuple[int, int, bool, bool, int, int]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    def texts(kind: str, some: list[tuple[int, int, bool, bool, int, int]]) -> list[str]:
        local, out = 100, []
        for late, step, snapshot, side, tick, qty in some:
            local += step
            price, amount = f"{100 + tick / 10:.1f}", f"{qty / 2000:.4f}"
            if kind == "trades":
                out.append(f.tardis_line(local - late, local, "5", "buy" if side else "sell", price, amount))
            else:
                flag = "true" if snapshot else "false"
                out.append(f.tardis_line(local - late, local, flag, "bid" if side else "ask", price, amount))
        return out

    folder = tmp_path_factory.mktemp("tardis")
    book = texts("incremental_book_L2", [(0, 0, True, True, 1, 1), *lines])
    paths = f.write_tardis(folder, {"incremental_book_L2": book, "trades": texts("trades", trades)})
    assert rows(import_tardis(paths, f.LINEAR)) == read_plainly(paths)


def test_days_of_a_kind_may_be_given_in_any_order(tmp_path: Path) -> None:
    lines = f.tardis_lines()["incremental_book_L2"]
    (tmp_path / "two").mkdir()
    first = f.write_tardis(tmp_path, {"incremental_book_L2": lines[:8]})
    second = f.write_tardis(tmp_path / "two", {"incremental_book_L2": lines[8:]})
    whole = f.write_tardis(tmp_path / "two", {"incremental_book_L2": lines}, packed=False)
    assert import_tardis([*second, *first], f.LINEAR) == import_tardis(whole, f.LINEAR)


def test_a_slow_clock_is_shifted_as_a_whole(tmp_path: Path) -> None:
    lines = [f.tardis_line(100, 100, "true", "bid", "99.9", "1"), f.tardis_line(300, 250, "false", "bid", "99.9", "2")]
    tape = import_tardis(f.write_tardis(tmp_path, {"incremental_book_L2": lines}), f.LINEAR, base_latency_ns=1_000)
    assert tape.provenance["clock"]["correction_ns"] == 51_000
    assert [row[1] - row[0] for row in rows(tape, rec.DEPTH)] == [1_000]


Change = Callable[[list[str]], list[str]]


@pytest.mark.parametrize(
    ("kind", "change", "says"),
    [
        (
            "incremental_book_L2",
            lambda t: [t[0], *t[2:3], t[3].replace("99.8", "99.85"), *t[4:]],
            r"L2\.csv:3: .*99\.85",
        ),
        ("incremental_book_L2", lambda t: [*t[:6], t[6].replace(",0", ",-1"), *t[7:]], r":7: .*'-1'"),
        ("incremental_book_L2", lambda t: [*t[:6], t[6].replace(",0", ",nan"), *t[7:]], r":7: .*'nan'"),
        ("incremental_book_L2", lambda t: [*t[:6], t[6].replace("100.1", "NaN"), *t[7:]], ":7: .*'NaN'"),
        ("incremental_book_L2", lambda t: [*t[:6], t[6].replace("ask", "buy"), *t[7:]], ":7: side is none of bid, ask"),
        ("incremental_book_L2", lambda t: [*t[:6], t[6].replace("false", "no"), *t[7:]], ":7: is_snapshot is neither"),
        ("incremental_book_L2", lambda t: [*t[:6], t[6] + ",1", *t[7:]], ":7: Expected 8 columns, got 9"),
        ("incremental_book_L2", lambda t: [*t[:6], t[6][:30], *t[7:]], ":7: Expected 8 columns, got 3"),
        ("incremental_book_L2", lambda t: [*t[:6], "", *t[7:]], ":7: "),
        ("incremental_book_L2", lambda t: [*t[:6], t[6].replace("16000", "x"), *t[7:]], ":7: .*invalid value"),
        (
            "incremental_book_L2",
            lambda t: [*t[:6], t[6].replace("1600000", "1600000000"), *t[7:]],
            ":7: timestamp is no",
        ),
        ("incremental_book_L2", lambda t: [*t[:6], t[8], t[7], *t[9:]], ":8: local_timestamp goes back"),
        ("incremental_book_L2", lambda t: [*t[:6], t[6].replace("ABC", "XYZ"), *t[7:]], ":7: symbol is 'XYZ-PERP'"),
        ("incremental_book_L2", lambda t: [t[0], t[1]], "no row has is_snapshot true"),
        ("incremental_book_L2", lambda t: t[:1], "holds no line of data"),
        ("incremental_book_L2", lambda t: [], ":1: columns .* of no known kind"),
        ("incremental_book_L2", lambda t: [t[0].replace("amount", "size"), *t[1:]], ":1: columns .*expected"),
        ("trades", lambda t: [t[0], t[1].replace("100.1", "-100.1")], r"trades\.csv:2: .*'-100\.1'"),
        ("derivative_ticker", lambda t: [t[0], t[1].replace("0.0001", "x")], ":2: funding_rate 'x' is not a decimal"),
        ("derivative_ticker", lambda t: [t[0], t[1].replace("100.05", "-1")], ":2: a price below 0"),
        ("derivative_ticker", lambda t: [t[0], t[1].replace("1600003600000000", "5")], ":2: funding_timestamp '5'"),
        ("book_ticker", lambda t: [t[0], t[1].replace("100.1", "inf")], ":2: .*'inf'"),
    ],
)
def test_a_line_that_cannot_be_is_named(tmp_path: Path, kind: str, change: Change, says: str) -> None:
    paths = f.write_tardis(tmp_path, f.tardis_lines(), packed=False)
    broken = tmp_path / f"{kind}.csv"
    broken.write_text("\n".join(change(broken.read_text().splitlines())) + "\n")
    with pytest.raises(FeedError, match=says):
        import_tardis(paths, f.LINEAR)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    paths = f.write_tardis(tmp_path, f.tardis_lines())
    with pytest.raises(FeedError, match="no file of incremental_book_L2"):
        import_tardis(paths[1:], f.LINEAR)
    with pytest.raises(InstrumentError, match="no built-in instrument nowhere ABC-PERP"):
        import_tardis(paths)
    with pytest.raises(FeedError, match="name at least one"):
        import_tardis([], f.LINEAR)
    with pytest.raises(FeedError, match="cannot read"):
        import_tardis(tmp_path / "missing.csv", f.LINEAR)


def test_a_cut_or_damaged_file_is_refused(tmp_path: Path) -> None:
    paths = f.write_tardis(tmp_path, f.tardis_lines())
    packed = paths[0].read_bytes()
    for length in range(3, len(packed) - 1, 11):
        paths[0].write_bytes(packed[:length])
        with pytest.raises(FeedError, match=r"truncated|damaged"):
            import_tardis(paths, f.LINEAR)
    paths[0].write_bytes(packed[:-8] + b"\0" * 8)
    with pytest.raises(FeedError, match="damaged"):
        import_tardis(paths, f.LINEAR)


def tape_of(tmp_path: Path) -> Tape:
    return import_tardis(f.write_tardis(tmp_path, f.tardis_lines()), f.LINEAR)


def test_the_tape_is_saved_and_read_back(tmp_path: Path) -> None:
    tape = tape_of(tmp_path)
    tape.save(tmp_path / "t.parquet")
    assert Tape.load(tmp_path / "t.parquet") == tape
