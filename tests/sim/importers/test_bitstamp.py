"""Bitstamp's single orders: the order tape, the levels, the prints and whose they were.

Oracle: the feed's own pictures of the 20 best levels, read here once more from the bytes, against the levels that a
dict holds just before each of them.
"""

from __future__ import annotations

import bz2
import json
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from functools import cache
from pathlib import Path

import pytest

from lobgym.sim import records as rec
from lobgym.sim.errors import FeedError, TapeDigestError, TapeError, TapeFormatError
from lobgym.sim.importers.bitstamp import BTCUSD, import_bitstamp
from lobgym.sim.importers.order_tape import CHANGED, CREATED, DELETED, OrderTape
from lobgym.sim.tape import Tape
from tests.recordings import FOLDER
from tests.sim.importers import files as f
from tests.sim.importers.books import best_levels, books_of, rows

MS = 1_000_000
START = f.MS0 * MS


def at(tape: Tape, *kinds: int) -> list[tuple[int, ...]]:
    """(exchange stamp and local stamp in ms from the start, side, tick, lots)."""
    return [((row[0] - START) // MS, (row[1] - START) // MS, *row[3:]) for row in rows(tape, *kinds)]


def test_a_little_log_becomes_the_tape_that_it_says(tmp_path: Path) -> None:
    tape, orders = import_bitstamp(f.write_lines(tmp_path / "feed.log", f.bitstamp_lines()))
    assert at(tape, rec.CLEAR, rec.SNAPSHOT) == [
        (10, 10, 0, 0, 0), (10, 10, rec.SELL, 10000, 2_000_000), (10, 10, rec.BUY, 9980, 1_000_000),
        (10, 10, rec.BUY, 9990, 3_000_000),
    ]  # fmt: skip
    assert at(tape, rec.DEPTH) == [
        (20, 20, rec.SELL, 10000, 2_500_000),
        (40, 40, rec.SELL, 10000, 2_200_000),  # the order that took it is never displayed
        (60, 60, rec.BUY, 9990, 2_000_000),
        (70, 70, rec.BUY, 9990, 1_500_000),  # an order that only the picture told of
        (80, 80, rec.SELL, 10000, 2_000_000),
    ]
    assert at(tape, rec.TRADE) == [(40, 45, rec.BUY, 10000, 300_000), (80, 85, rec.BUY, 10000, 200_000)]
    said = tape.provenance
    assert said["aggressor_told_by"] == {"both_orders": 1, "one_order": 1}
    assert said["dropped"] == {"created_after_its_delete": 1, "deleted_of_an_older_order": 1}
    assert said["share_that_agrees_to_depth"] == {"1": 1.0, "5": 1.0, "10": 1.0, "20": 1.0}
    assert said["sides_of_pictures_compared"] == 2
    assert len(orders.events) == 12
    assert orders.events["action"].tolist()[:5] == [CREATED, CREATED, CREATED, CHANGED, CHANGED]
    assert orders.events["qty"].tolist()[-2:] == [49, 49]  # finer than a lot, and kept
    assert (orders.events["action"] == DELETED).sum() == 5


def test_a_print_comes_before_the_levels_that_show_it(tmp_path: Path) -> None:
    tape, _ = import_bitstamp(f.write_lines(tmp_path / "feed.log", f.bitstamp_lines()))
    kinds = tape.events["kind"].tolist()
    for k, (kind, stamp) in enumerate(zip(kinds, tape.events["exch_ns"].tolist(), strict=True)):
        if kind == rec.TRADE:
            assert kinds[k + 1] == rec.DEPTH
            assert tape.events["exch_ns"][k + 1] == stamp


def test_the_feed_dates_no_event_so_a_latency_is_assumed(tmp_path: Path) -> None:
    path = f.write_lines(tmp_path / "feed.log", f.bitstamp_lines())
    (plain, _), (shifted, orders) = import_bitstamp(path), import_bitstamp(path, latency_ns=3 * MS)
    assert (shifted.events["exch_ns"] == plain.events["exch_ns"] - 3 * MS).all()
    assert (shifted.events["local_ns"] == plain.events["local_ns"]).all()
    assert (orders.events["local_ns"] - orders.events["exch_ns"] == 3 * MS).all()
    with pytest.raises(FeedError, match="latency is -1 ns"):
        import_bitstamp(path, latency_ns=-1)


def table_of(lines: list[str]) -> list[str]:
    """The table of a log's orders; volumes one unit low where the venue's table would have cut them off."""
    out = ["id,timestamp,exchange.timestamp,price,volume,action,direction"]
    for line in lines:
        stamp, event, body = line.split(" ", 2)
        if event.startswith("order_") and event != "order_book":
            order = json.loads(body)
            qty = int(Decimal(order["amount"]) * 10**8)
            side = "ask" if order["order_type"] else "bid"
            price = f"{float(order['price']):g}"
            out.append(f"{order['id']},{stamp},{order['datetime']}000,{price},{qty - qty % 10 // 9},{event[6:]},{side}")
    return out


def test_a_table_is_compared_with_the_log_and_serves_alone(tmp_path: Path) -> None:
    log = f.write_lines(tmp_path / "feed.log", f.bitstamp_lines())
    lines = table_of(f.bitstamp_lines())
    table = f.write_lines(tmp_path / "orders.csv", lines)
    both, orders = import_bitstamp([table, log])
    assert both == import_bitstamp(log)[0]
    alone, alone_orders = import_bitstamp(table)
    assert not rows(alone, rec.TRADE)
    assert alone_orders.events["order_id"].tolist() == orders.events["order_id"].tolist()
    f.write_lines(table, [*lines[:3], lines[3].replace("bid", "ask"), *lines[4:]])
    with pytest.raises(FeedError, match=r"orders\.csv:4: order 52 is not the event of"):
        import_bitstamp([table, log])
    f.write_lines(table, lines[:-1])
    with pytest.raises(FeedError, match=r"11 events of orders, .* has 12"):
        import_bitstamp([table, log])


def test_the_order_tape_is_saved_and_read_back(tmp_path: Path) -> None:
    _, orders = import_bitstamp(f.write_lines(tmp_path / "feed.log", f.bitstamp_lines()))
    path = tmp_path / "orders.parquet"
    orders.save(path)
    back = OrderTape.load(path)
    assert (back.events == orders.events).all()
    assert (back.digest, back.instrument, back.provenance) == (orders.digest, orders.instrument, orders.provenance)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["feed.log", "orders.parquet"]
    with pytest.raises(TapeError, match="regular file"):
        orders.save(tmp_path)
    events = orders.events.copy()
    events["qty"][3] = -1
    with pytest.raises(TapeFormatError, match="row 3 of 12: qty must not be negative"):
        OrderTape(events, BTCUSD, {})
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    pq.write_table(table.slice(1), path)
    with pytest.raises(TapeDigestError, match="the file states"):
        OrderTape.load(path)
    path.write_bytes(b"PAR1")
    with pytest.raises(TapeFormatError, match="not a readable Parquet file"):
        OrderTape.load(path)
    with pytest.raises(TapeError, match="cannot read the orders"):
        OrderTape.load(tmp_path / "missing")


def swap(row: int, old: str, new: str) -> Callable[[list[str]], list[str]]:
    return lambda lines: [*lines[:row], lines[row].replace(old, new), *lines[row + 1 :]]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (swap(4, "100.00", "100.005"), r"feed\.log:5: BTCUSD: price '100\.005' is no positive multiple"),
        (swap(4, "100.00", "NaN"), ":5: BTCUSD: price 'NaN'"),
        (swap(4, "100.00", "-100.00"), ":5: BTCUSD: price '-100.00'"),
        (swap(4, "0.20000000", "-0.2"), ":5: amount '-0.2' is no decimal"),
        (swap(4, "0.20000000", "x"), ":5: "),
        (swap(4, '"0.20000000"', "null"), ":5: Expected `str`, got `null`"),
        (swap(4, '"order_type": 1', '"order_type": 2'), ":5: order_type is not 0 or 1"),
        (swap(4, "order_changed", "order_moved"), ":5: an event 'order_moved'"),
        (swap(4, str(f.MS0 + 40), str(f.MS0 - 40)), ":5: the receive stamp goes back"),
        (swap(4, str(f.MS0 + 40), "yesterday"), ":5: expected '<receive ms> <event> <JSON>', found 'yesterday"),
        (swap(4, "}", ""), ":5: "),
        (swap(6, "100.0,", "1e999,"), ":7: "),
        (lambda lines: [], "holds no order|expected '<receive"),
    ],
)
def test_a_line_that_cannot_be_is_named(tmp_path: Path, change: Callable[[list[str]], list[str]], says: str) -> None:
    path = f.write_lines(tmp_path / "feed.log", change(f.bitstamp_lines()))
    with pytest.raises(FeedError, match=says):
        import_bitstamp(path)


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "feed.log.bz2"
    packed = bz2.compress("\n".join(f.bitstamp_lines()).encode())
    for length in range(4, len(packed) - 1, 31):
        path.write_bytes(packed[:length])
        with pytest.raises(FeedError, match="truncated"):
            import_bitstamp(path)
    with pytest.raises(FeedError, match="expected one log, one table, or both"):
        import_bitstamp([])


# -- twelve hours of 2015 ----------------------------------------------------------------------------------------------

LOG, TABLE = (FOLDER / f"bitstamp_l3/btcusd_20150501_00-12h_{name}.bz2" for name in ("feed.log", "orders.csv"))
present = pytest.mark.skipif(
    not (LOG.is_file() and TABLE.is_file()), reason=f"no recording {LOG} (LOBGYM_RECORDINGS names another folder)"
)


@cache
def twelve_hours() -> tuple[Tape, OrderTape]:
    return import_bitstamp([LOG, TABLE])


def lots(amount: str) -> int:
    return int((Decimal(amount) * 10**6).to_integral_value())


@present
def test_the_derived_levels_meet_the_feeds_own_pictures() -> None:
    tape, _ = twelve_hours()
    pictures = []
    with bz2.open(LOG, "rt") as lines:
        for line in lines:
            stamp, event, body = line.split(" ", 2)
            if event == "order_book":
                book = json.loads(body)
                pictures.append((int(stamp) * MS, book["bids"], book["asks"]))
    met: Counter[int] = Counter()
    crossed, k = 0, 1  # the first picture begins the tape
    before: dict[int, list[tuple[int, int]]] = {}
    for exch, kind, book in books_of(tape):
        while k < len(pictures) and pictures[k][0] <= exch:
            for side, shown in ((rec.BUY, pictures[k][1]), (rec.SELL, pictures[k][2])):
                wanted = [(int(Decimal(price) * 100), lots(amount)) for price, amount in shown]
                for depth in (1, 5, 20):
                    met[depth] += before[side][:depth] == wanted[:depth]
            k += 1
        if kind != rec.TRADE:
            before = {side: best_levels(book, side, 20) for side in (rec.BUY, rec.SELL)}
            crossed += bool(before[rec.BUY] and before[rec.SELL] and before[rec.BUY][0][0] >= before[rec.SELL][0][0])
    sides = 2 * (k - 1)
    assert sides > 26_000
    assert crossed == 0
    assert met[1] / sides > 0.99
    assert met[5] / sides > 0.98
    assert met[20] / sides > 0.95
    said = tape.provenance["share_that_agrees_to_depth"]  # counted message by message: a little better
    assert said["20"] >= 0.97
    assert all(abs(said[str(depth)] - met[depth] / sides) < 0.02 for depth in (1, 5, 20))


@present
def test_every_order_event_is_kept_and_every_print_has_a_side() -> None:
    tape, orders = twelve_hours()
    assert len(orders.events) == 126_049
    said = tape.provenance
    assert [one["rows"] for one in said["files"]] == [141_493, 126_049]
    assert sum(count for reason, count in said["dropped"].items() if reason.endswith("_after_its_delete")) == 78
    told = said["aggressor_told_by"]
    assert sum(told.values()) == 2_020
    assert told["both_orders"] / 2_020 > 0.95
    assert told.get("best_prices", 0) == 0
    prints = rows(tape, rec.TRADE)
    assert len(prints) == 2_019
    assert all(row[0] <= row[1] for row in prints)
