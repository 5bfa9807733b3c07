"""LOBSTER's pairs: levels, prints, halts, and what is out of view.

Oracle: after each event, the best levels of a dict fed by the tape are the line of the file, level by level; prints are
read from the text with Decimal.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lobgym.sim import records as rec
from lobgym.sim.errors import FeedError
from lobgym.sim.importers.lobster import Day, import_lobster, stock
from lobgym.sim.tape import Tape
from tests.sim.importers import files as f
from tests.sim.importers.books import best_levels, books_of, rows

DAY = Day(dt.date(2012, 6, 21))
MIDNIGHT = 1_340_251_200_000_000_000  # 2012-06-21 04:00 UTC: New York keeps summer time
Line = dict[int, list[tuple[int, int]]]


def levels_of(line: str) -> Line:
    """Best levels (tick, shares) of each side of a line of the orderbook file."""
    cells = [int(cell) for cell in line.split(",")]
    out: Line = {rec.BUY: [], rec.SELL: []}
    for k in range(0, len(cells), 4):
        for side, at in ((rec.SELL, k), (rec.BUY, k + 2)):
            if abs(cells[at]) != 9_999_999_999:
                out[side].append((cells[at] // 100, cells[at + 1]))
    return out


def books_met(tape: Tape, books: list[str]) -> int:
    """How many lines the tape's book meets, one after the other, without missing one that differs from the last."""
    depth = (books[0].count(",") + 1) // 4
    wanted = [levels_of(line) for line in books]
    met = 0
    for _, kind, book in books_of(tape):
        if kind not in (rec.DEPTH, rec.SNAPSHOT):
            continue
        now = {side: best_levels(book, side, depth) for side in (rec.BUY, rec.SELL)}
        while met and met < len(wanted) and wanted[met] == wanted[met - 1]:
            met += 1
        assert now == wanted[met]
        met += 1
    while met < len(wanted) and wanted[met] == wanted[met - 1]:
        met += 1
    return met


def test_a_little_pair_becomes_the_tape_that_it_says(tmp_path: Path) -> None:
    messages, books = f.lobster_lines()
    tape = import_lobster(f.write_lobster(tmp_path, messages, books), stock("ABC"), replace_day(latency_ns=7))
    assert books_met(tape, books) == len(books)
    assert [(row[0] - MIDNIGHT, *row[3:]) for row in rows(tape, rec.TRADE)] == [
        (34_200_500_000_000, rec.BUY, 10001, 4),
        (34_201_250_000_000, rec.BUY, 10001, 50),  # hidden, on the grid; the other one lies between ticks
        (34_208_123_456_789, rec.SELL, 10000, 40),
    ]
    assert [(row[0] - MIDNIGHT, row[5]) for row in rows(tape, rec.STATUS)] == [
        (34_203_100_000_000, 1), (34_205_000_000_000, 0)
    ]  # fmt: skip
    assert [row[3:] for row in rows(tape, rec.DEPTH)] == [
        (rec.SELL, 10001, 9),  # 100.03 leaves the view: no row
        (rec.SELL, 10001, 5),
        (rec.SELL, 10001, 0), (rec.SELL, 10004, 8), (rec.SELL, 10003, 0),  # in view again, it is missed
        (rec.BUY, 10000, 40),
        (rec.BUY, 10000, 0),
    ]  # fmt: skip
    assert (tape.events["local_ns"] - tape.events["exch_ns"] == 7).all()
    said = tape.provenance
    assert said["dropped"] == {
        "hidden_executions_between_ticks": 1, "cross_trades": 1, "halt_messages_that_only_resume_quoting": 1
    }  # fmt: skip
    assert (said["executions"], said["hidden_executions"], said["visible_events_without_effect"]) == (2, 2, 0)


def replace_day(**changes: object) -> Day:
    return DAY._replace(**changes)  # type: ignore[arg-type]


def test_a_finer_tick_keeps_prints_between_cents(tmp_path: Path) -> None:
    fine = replace(stock("ABC"), tick_size=Decimal("0.0001"))
    tape = import_lobster(f.write_lobster(tmp_path, *f.lobster_lines()), fine, DAY)
    assert [row[4] for row in rows(tape, rec.TRADE)] == [1_000_100, 1_000_050, 1_000_100, 1_000_000]


def test_sides_of_hidden_executions_are_stated_until_they_are_not(tmp_path: Path) -> None:
    messages = ["1,1,1,5,1000000,1", "2,5,0,1,1000000,1", "3,5,0,1,1000300,1", "4,5,0,1,1000100,1", "5,5,0,1,1000200,1"]
    books = ["1000300,5,1000000,5"] * 5
    paths = f.write_lobster(tmp_path, messages, books)
    before = import_lobster(paths, stock("ABC"), replace_day(date=dt.date(2014, 7, 13)))
    assert [row[3] for row in rows(before, rec.TRADE)] == [rec.SELL] * 4  # a hidden buy order is sold to
    after = import_lobster(paths, stock("ABC"), replace_day(date=dt.date(2014, 7, 14)))
    assert [row[3] for row in rows(after, rec.TRADE)] == [rec.SELL, rec.BUY, rec.SELL, rec.BUY]
    assert after.provenance["aggressor_of_hidden_executions"] != before.provenance["aggressor_of_hidden_executions"]


def test_midnight_is_that_of_the_timezone(tmp_path: Path) -> None:
    paths = f.write_lobster(tmp_path, *f.lobster_lines())
    winter = import_lobster(paths, stock("ABC"), replace_day(date=dt.date(2012, 1, 10)))
    assert winter.start_ns == 1_326_171_600_000_000_000 + 34_200_000_000_001
    utc = import_lobster(paths, stock("ABC"), replace_day(timezone="UTC"))
    assert utc.start_ns == MIDNIGHT - 4 * 3600 * 10**9 + 34_200_000_000_001
    with pytest.raises(FeedError, match="timezone 'Mars/Olympus' is unknown"):
        import_lobster(paths, stock("ABC"), replace_day(timezone="Mars/Olympus"))


@st.composite
def days(draw: st.DrawFn) -> tuple[list[str], list[str]]:
    """A market of single levels whose file shows the best two or three of each side."""
    depth = draw(st.integers(1, 3))
    book: dict[int, dict[int, int]] = {1: {9: 5, 8: 5}, -1: {11: 5, 12: 5}}
    messages, books = [], []
    for second in range(draw(st.integers(1, 40))):
        side = draw(st.sampled_from([1, -1]))
        best = max(book[1], default=1), min(book[-1], default=30)
        if draw(st.booleans()):
            tick = draw(st.integers(2, max(2, best[1] - 1)) if side == 1 else st.integers(min(29, best[0] + 1), 29))
            kind, size = 1, draw(st.integers(1, 3))
            if (side == 1 and tick >= best[1]) or (side == -1 and tick <= best[0]):
                continue
            book[side][tick] = book[side].get(tick, 0) + size
        elif book[side]:
            tick = draw(st.sampled_from(sorted(book[side])))
            kind, size = draw(st.sampled_from([2, 3, 4])), book[side][tick]
            size = draw(st.integers(1, size)) if kind != 3 else size
            book[side][tick] -= size
            book[side] = {level: left for level, left in book[side].items() if left}
        else:
            continue
        sides = {s: sorted(book[s].items(), key=lambda level: -s * level[0])[:depth] for s in (1, -1)}
        cells = []
        for k in range(depth):
            ask, bid = sides[-1][k : k + 1], sides[1][k : k + 1]
            cells.append(f"{ask[0][0] * 100},{ask[0][1]}" if ask else f.NO_ASK)
            cells.append(f"{bid[0][0] * 100},{bid[0][1]}" if bid else f.NO_BID)
        # An event out of view changes no line and is not in the file; here it is one that LOBSTER would leave out.
        line = ",".join(cells)
        if books and books[-1] == line:
            continue
        messages.append(f"{second},{kind},{second},{size},{tick * 100},{side}")
        books.append(line)
    if not books:
        return ["1,1,1,5,900,1"], ["1100,5,900,5"]
    return messages, books


@settings(max_examples=150, deadline=None)
@given(day=days())
def test_any_pair_is_met_line_by_line(
    day: tuple[list[str], list[str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    messages, books = day
    tape = import_lobster(f.write_lobster(tmp_path_factory.mktemp("lob"), messages, books), stock("ABC"), DAY)
    assert books_met(tape, books) == len(books)
    prints = [
        (MIDNIGHT + int(Decimal(time) * 10**9), -int(side), int(price) // 100, int(size))
        for time, kind, _, size, price, side in (line.split(",") for line in messages)
        if kind == "4"
    ]
    assert [(row[0], *row[3:]) for row in rows(tape, rec.TRADE)] == prints


def test_many_levels_out_of_view_are_remembered(tmp_path: Path) -> None:
    """A ladder of 6,000 asks is walked down into and back up again: more levels out of view than the first guess."""
    messages, books = [], []
    for k in range(6_000):
        messages.append(f"{k},1,{k},1,{(9_000 - k) * 100},-1")
        books.append(f"{(9_000 - k) * 100},1,100,5")
    messages.append("6000,3,1,1,100,-1")
    books.append("900000,2,100,5")
    tape = import_lobster(f.write_lobster(tmp_path, messages, books), stock("ABC"), DAY)
    *_, (_, _, book) = books_of(tape)
    assert book[rec.SELL] == {9_000: 2}


Change = Callable[[list[str]], list[str]]


@pytest.mark.parametrize(
    ("which", "change", "says"),
    [
        (0, lambda t: ["x,1,11,100,1000000,1", *t[1:]], r"message\.csv:1: 'x' is no decimal"),
        (0, lambda t: [t[0], t[1].replace("34200.5", "34200.1234567891"), *t[2:]], ":2: .*at most 9 digits"),
        (0, lambda t: [t[0], t[1].replace("34200.5", "nan"), *t[2:]], ":2: 'nan' is no decimal"),
        (0, lambda t: [t[0], t[1].replace("34200.5", "-1"), *t[2:]], ":2: the time is outside the day"),
        (0, lambda t: [t[0], t[1].replace("34200.5", "99999"), *t[2:]], ":2: the time is outside the day"),
        (0, lambda t: [t[0], t[1].replace("34200.5", "34199"), *t[2:]], ":2: the time goes back"),
        (0, lambda t: [t[0], t[1].replace(",1,12", ",8,12"), *t[2:]], ":2: the type is none of 1 to 7"),
        (0, lambda t: [t[0], t[1].replace(",9,", ",0,"), *t[2:]], ":2: the size is not above 0"),
        (0, lambda t: [t[0], t[1].replace("1000100", "-1000100"), *t[2:]], ":2: the price is not above 0"),
        (0, lambda t: [t[0], t[1][:-2] + "2", *t[2:]], ":2: the direction is neither"),
        (0, lambda t: [*t[:2], t[2].replace("1000100", "1000150"), *t[3:]], ":3: an execution at no multiple"),
        (0, lambda t: [*t[:6], t[6].replace("0,-1,-1", "0,5,-1"), *t[7:]], ":7: a trading halt"),
        (0, lambda t: [*t[:6], t[6] + ",1", *t[7:]], ":7: Expected 6 columns, got 7"),
        (0, lambda t: t[:-1], "12 lines of levels for 11 events"),
        (0, lambda t: [], ":1: no line"),
        (1, lambda t: t[:-1], "11 lines of levels for 12 events"),
        (
            1,
            lambda t: [t[0], t[1].replace("1000100", "1000150"), *t[2:]],
            r"orderbook\.csv:2: .*no multiple of the tick",
        ),
        (1, lambda t: [t[0], t[1].replace(",9,", ",-9,"), *t[2:]], ":2: a level whose price or size"),
        (1, lambda t: [t[0], t[1].replace(",9,", ",x,"), *t[2:]], ":2: .*invalid value 'x'"),
        (1, lambda t: [t[0], t[1].replace("1000200", "1000000"), *t[2:]], ":2: the levels do not stand best first"),
        (1, lambda t: [t[0]] * len(t), "not the pair of"),
        (1, lambda t: [line + ",5" for line in t], ":1: 9 columns; a file of levels has 4"),
        (1, lambda t: [t[0], t[1][:20], *t[2:]], ":2: Expected 8 columns, got"),
    ],
)
def test_a_line_that_cannot_be_is_named(tmp_path: Path, which: int, change: Change, says: str) -> None:
    paths = f.write_lobster(tmp_path, *f.lobster_lines())
    lines = change(paths[which].read_text().splitlines())
    paths[which].write_text("".join(line + "\n" for line in lines))
    with pytest.raises(FeedError, match=says):
        import_lobster(paths, stock("ABC"), DAY)


def test_two_files_of_a_kind_are_no_pair(tmp_path: Path) -> None:
    paths = f.write_lobster(tmp_path, *f.lobster_lines())
    for given_paths in ([paths[0], paths[0]], paths[:1], [paths[1], paths[1]], []):
        with pytest.raises(FeedError, match="expected a file of events"):
            import_lobster(given_paths, stock("ABC"), DAY)
    coarse = replace(stock("ABC"), tick_size=Decimal("0.00005"), lot_size=Decimal(1))
    with pytest.raises(FeedError, match=r"whole 0\.0001 dollars"):
        import_lobster(paths, coarse, DAY)
