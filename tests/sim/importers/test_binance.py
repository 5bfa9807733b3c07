"""The Binance importer on hand-made recordings: each rule, each kind of trouble, each sentence that it says of it."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lobgym.sim import records as rec
from lobgym.sim.errors import FeedError, InstrumentError
from lobgym.sim.importers import import_binance
from lobgym.sim.instrument import find_instrument, load_instrument
from lobgym.sim.tape import Tape
from tests.sim.importers.feeds import ASKS, BIDS, T0_MS, Futures, Spot, futures_lines, line, stream, write

MS = 1_000_000


def book_of(tape: Tape) -> dict[int, dict[int, int]]:
    """Levels at the end of a tape, by a plain dict."""
    book: dict[int, dict[int, int]] = {rec.BUY: {}, rec.SELL: {}}
    for row in tape.events:
        if row["kind"] == rec.CLEAR:
            book = {rec.BUY: {}, rec.SELL: {}}
        elif row["kind"] in (rec.DEPTH, rec.SNAPSHOT):
            book[int(row["side"])][int(row["price_ticks"])] = int(row["qty_lots"])
    return {side: {tick: qty for tick, qty in levels.items() if qty} for side, levels in book.items()}


def kinds(tape: Tape, *only: int) -> list[tuple[int, int]]:
    """(kind, seq) of each message, in exchange order."""
    ends = tape.events[(tape.events["flags"] & rec.LAST) != 0]
    return [(int(r["kind"]), int(r["seq"])) for r in ends if not only or r["kind"] in only]


# -- what is read ------------------------------------------------------------------------------------------------------


def test_a_little_recording_becomes_the_tape_that_it_says(tmp_path: Path) -> None:
    path = write(tmp_path / "feed.gz", futures_lines())
    tape = import_binance(path)
    assert tape.instrument == find_instrument("binance-usdm", "BTCUSDT")
    assert kinds(tape) == [
        (rec.BBO, 90), (rec.SNAPSHOT, 100), (rec.DEPTH, 105), (rec.TRADE, 1), (rec.BBO, 107), (rec.DEPTH, 110),
        (rec.FUNDING, T0_MS + 60_000), (rec.TRADE, 2), (rec.DEPTH, 112),
    ]  # fmt: skip
    assert book_of(tape) == {rec.BUY: {600_000: 1_000}, rec.SELL: {600_020: 3_000}}
    trades = tape.events[tape.events["kind"] == rec.TRADE]
    assert trades["side"].tolist() == [rec.SELL, rec.BUY]
    assert trades["price_ticks"].tolist() == [600_000, 600_001]
    assert trades["qty_lots"].tolist() == [500, 400]
    marks = tape.events[np.isin(tape.events["kind"], (rec.MARK, rec.INDEX, rec.FUNDING))]
    assert marks["kind"].tolist() == [rec.MARK, rec.INDEX, rec.FUNDING]
    assert marks["qty_lots"].tolist() == [6_000_012_345_678, 6_000_150_000_000, -27_540_000]
    assert marks["seq"].tolist() == [0, 0, T0_MS + 60_000]
    assert marks["exch_ns"].tolist() == [(T0_MS + 70) * MS] * 3


def test_the_provenance_says_what_was_read_left_out_and_corrected(tmp_path: Path) -> None:
    path = write(tmp_path / "feed.gz", futures_lines())
    said = import_binance(path, base_latency_ns=2 * MS).provenance
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert said["files"] == [{"name": "feed.gz", "sha256": digest, "messages": 10}]
    assert said["messages"] == {"bookTicker": 2, "depth": 4, "markPriceUpdate": 1, "snapshot": 1, "trade": 2}
    assert said["dropped"]["depth_before_snapshot"] == 1
    assert said["gaps"] == []
    assert said["clock"] == {
        "receive_minus_exchange_min_ns": 5 * MS, "base_latency_ns": 2 * MS, "correction_ns": -3 * MS
    }  # fmt: skip
    assert str(tmp_path) not in json.dumps(said)


def test_plain_text_and_gzip_and_blank_lines_give_the_same_tape(tmp_path: Path) -> None:
    packed = import_binance(write(tmp_path / "a.gz", futures_lines()))
    plain = import_binance(write(tmp_path / "b.txt", [*futures_lines(), "\n", " \n"], packed=False))
    assert plain == packed


def test_receive_stamps_in_micro_and_nanoseconds_are_told_apart(tmp_path: Path) -> None:
    f = Futures()

    def lines(us: bool) -> list[str]:
        return [
            f.snapshot(100, 20, BIDS, ASKS, us=us),
            f.depth((95, 105, 92), 30, asks=[["60000.1", "0.4"]], us=us),
            f.depth((106, 110, 105), 60, bids=[["60000.0", "1"]], us=us, late_ns=6 * MS),
        ]

    tapes = [import_binance(write(tmp_path / f"{us}.gz", lines(us))) for us in (False, True)]
    assert tapes[0] == tapes[1]
    assert (tapes[0].events["local_ns"] - tapes[0].events["exch_ns"]).tolist()[-2:] == [1 * MS, 2 * MS]


def test_the_parts_of_a_recording_are_ordered_by_their_first_stamp(tmp_path: Path) -> None:
    lines = futures_lines()
    late = write(tmp_path / "a.gz", lines[5:])
    early = write(tmp_path / "z.gz", lines[:5])
    tape = import_binance([late, early])
    assert tape == import_binance(write(tmp_path / "whole.gz", lines))
    assert [file["name"] for file in tape.provenance["files"]] == ["z.gz", "a.gz"]


@pytest.mark.parametrize(
    ("feed", "venue", "qty", "lots"),
    [(Futures(), "binance-usdm", "2", 2_000), (Futures("BTCUSD_PERP", "BTCUSD"), "binance-coinm", "2", 2)],
)
def test_linear_and_inverse_are_told_from_the_messages(
    tmp_path: Path, feed: Futures, venue: str, qty: str, lots: int
) -> None:
    lines = [feed.snapshot(100, 0, [["60000.0", qty]], [["60000.1", qty]]), feed.depth((99, 101, 98), 5)]
    tape = import_binance(write(tmp_path / "btcusdt_spot_20240808.gz", lines))
    assert tape.instrument.venue == venue
    assert tape.events["qty_lots"].tolist() == [0, lots, lots]


def test_spot_is_told_from_the_messages_and_joined_by_its_own_rule(tmp_path: Path) -> None:
    s = Spot()
    lines = [
        s.depth(90, 100, 0, bids=[["1.00", "1"]]),  # u <= lastUpdateId: dropped
        s.snapshot(100, 5, [["60000.00", "1"]], [["60000.01", "1"]]),
        s.depth(99, 103, 100, bids=[["60000.00", "2"]]),
        s.trade(7, 150, "60000.00", "0.00001"),
        s.depth(104, 104, 200, asks=[["60000.01", "0.50000000"]]),
    ]
    tape = import_binance(write(tmp_path / "btcusd_perp.gz", lines))
    assert tape.instrument.venue == "binance-spot"
    assert kinds(tape) == [(rec.SNAPSHOT, 100), (rec.DEPTH, 103), (rec.TRADE, 7), (rec.DEPTH, 104)]
    assert book_of(tape) == {rec.BUY: {6_000_000: 200_000}, rec.SELL: {6_000_001: 50_000}}
    assert tape.provenance["gaps"] == []


def test_an_instrument_file_stands_in_for_an_unknown_symbol(tmp_path: Path) -> None:
    f = Futures("DOGEUSDT")
    lines = [f.snapshot(1, 0, [["0.10001", "7"]], [["0.10002", "8"]]), f.depth((1, 2, 0), 5)]
    path = write(tmp_path / "doge.gz", lines)
    with pytest.raises(InstrumentError, match=r"doge\.gz:2: no built-in instrument binance-usdm DOGEUSDT") as caught:
        import_binance(path)
    assert "\n" not in str(caught.value)
    described = replace(
        find_instrument("binance-usdm", "BTCUSDT"), symbol="DOGEUSDT", tick_size=Decimal("0.00001"), lot_size=Decimal(1)
    )
    file = tmp_path / "doge.json"
    file.write_text(json.dumps(described.to_json()))
    tape = import_binance(path, instrument=load_instrument(file))
    assert tape.events["price_ticks"].tolist() == [0, 10_001, 10_002]
    with pytest.raises(InstrumentError, match=r"doge\.gz:2: .* DOGEUSDT \(linear\), .* BTCUSD_PERP \(inverse\)"):
        import_binance(path, instrument=find_instrument("binance-coinm", "BTCUSD_PERP"))


# -- order -------------------------------------------------------------------------------------------------------------


def joined(*lines: str) -> list[str]:
    f = Futures()
    return [f.snapshot(100, 0, BIDS, ASKS), f.depth((95, 105, 92), 5, asks=[["60000.1", "0.4"]]), *lines]


def test_messages_with_update_ids_are_ordered_by_them_and_prints_by_stamp(tmp_path: Path) -> None:
    f = Futures()
    lines = joined(
        f.depth((106, 120, 105), 50, bids=[["60000.0", "1"]]),
        # Received after the depth message, but inside its range: they show the book before it is complete.
        f.best(110, 30, ("60000.0", "1.2"), ("60000.1", "0.4"), late_ns=30 * MS),
        f.best(120, 50, ("60000.0", "1"), ("60000.1", "0.4"), late_ns=11 * MS),
        f.trade(1, 50, "60000.0", "0.1", late_ns=12 * MS),  # equal stamp: before quotes and depth
        f.best(121, 50, ("60000.0", "0.9"), ("60000.1", "0.4"), late_ns=13 * MS),
        f.trade(2, 40, "60000.0", "0.1", late_ns=24 * MS),
    )
    tape = import_binance(write(tmp_path / "feed.gz", lines))
    assert kinds(tape)[2:] == [
        (rec.BBO, 110), (rec.TRADE, 2), (rec.TRADE, 1), (rec.BBO, 120), (rec.DEPTH, 120), (rec.BBO, 121)
    ]  # fmt: skip
    # The observer sees them in order of receipt.
    seen = tape.events[tape.local_order()]
    ends = seen[(seen["flags"] & rec.LAST) != 0]
    assert ends["seq"].tolist()[2:] == [120, 110, 120, 1, 121, 2]


def test_at_an_equal_stamp_prints_come_before_quotes_and_quotes_before_their_depth(tmp_path: Path) -> None:
    f = Futures()
    quote = ("60000.0", "1"), ("60000.1", "0.4")
    lines = joined(
        f.trade(1, 50, "60000.0", "0.1"), f.best(110, 50, *quote), f.trade(2, 50, "60000.0", "0.1"),
        f.depth((106, 110, 105), 50, bids=[["60000.0", "1"]]), f.trade(3, 50, "60000.0", "0.1"),
    )  # fmt: skip
    tape = import_binance(write(tmp_path / "feed.gz", lines))
    assert kinds(tape)[2:] == [(rec.TRADE, 1), (rec.TRADE, 2), (rec.TRADE, 3), (rec.BBO, 110), (rec.DEPTH, 110)]


def test_a_stamp_that_goes_back_along_the_update_ids_is_raised_and_counted(tmp_path: Path) -> None:
    f = Futures()
    lines = joined(
        f.best(110, 60, ("60000.0", "1"), ("60000.1", "0.4")),
        f.depth((106, 112, 105), 50, bids=[["60000.0", "1"]], late_ns=20 * MS),
    )
    tape = import_binance(write(tmp_path / "feed.gz", lines))
    assert kinds(tape)[2:] == [(rec.BBO, 110), (rec.DEPTH, 112)]
    assert tape.events["exch_ns"].tolist()[-3:] == [(T0_MS + 60) * MS] * 3
    assert tape.provenance["adjusted"]["exchange_stamps_raised_to_follow_update_ids"] == 1


def test_spot_best_quotes_are_stamped_between_their_depth_messages(tmp_path: Path) -> None:
    s = Spot()
    quote = ("60000.00", "1"), ("60000.01", "1")
    lines = [
        s.snapshot(100, 5, [["60000.00", "1"]], [["60000.01", "1"]]),
        s.depth(99, 103, 100, bids=[["60000.00", "2"]]),
        s.best(104, 150, *quote),  # received 5 ms later, so it is taken to have happened at 150 + 5 - 5
        s.depth(104, 110, 200, bids=[["60000.00", "3"]]),
        s.best(108, 210, *quote),  # of the message above: not later than it
        s.best(111, 195, *quote, late_ns=25 * MS),  # of the next one: 220 - 5
    ]
    tape = import_binance(write(tmp_path / "feed.gz", lines))
    best = tape.events[(tape.events["kind"] == rec.BBO) & (tape.events["side"] == rec.BUY)]
    assert best["seq"].tolist() == [104, 108, 111]
    assert ((best["exch_ns"] // MS) - T0_MS).tolist() == [150, 200, 215]
    assert tape.provenance["adjusted"]["estimated_stamps_held_between_depth_stamps"] >= 1


def test_changes_received_before_the_snapshot_are_seen_with_it(tmp_path: Path) -> None:
    f = Futures()
    lines = [
        f.depth((95, 105, 92), 5, asks=[["60000.1", "0.4"]]),
        f.depth((106, 110, 105), 10, bids=[["60000.0", "0"]]),
        f.snapshot(100, 2, BIDS, ASKS, late_ns=40 * MS),
    ]
    tape = import_binance(write(tmp_path / "feed.gz", lines))
    assert kinds(tape) == [(rec.SNAPSHOT, 100), (rec.DEPTH, 105), (rec.DEPTH, 110)]
    assert (np.diff(tape.local_order()) > 0).all()
    assert len(set(tape.events["local_ns"].tolist())) == 1
    assert tape.provenance["adjusted"]["depth_seen_later_because_the_snapshot_came_later"] == 2
    assert book_of(tape) == {rec.BUY: {599_990: 2_000}, rec.SELL: {600_001: 400, 600_020: 3_000}}


# -- gaps --------------------------------------------------------------------------------------------------------------


def test_a_gap_empties_the_book_which_then_grows_back_from_changes(tmp_path: Path) -> None:
    f = Futures()
    lines = joined(
        f.depth((130, 140, 125), 50, bids=[["59998.0", "4"]]),
        f.depth((141, 145, 140), 60, asks=[["60003.0", "5"]]),
    )
    tape = import_binance(write(tmp_path / "feed.gz", lines))
    assert kinds(tape)[2:] == [(rec.CLEAR, 140), (rec.DEPTH, 140), (rec.DEPTH, 145)]
    assert book_of(tape) == {rec.BUY: {599_980: 4_000}, rec.SELL: {600_030: 5_000}}
    clear = tape.events[tape.events["kind"] == rec.CLEAR][-1]
    assert (clear["exch_ns"], clear["flags"]) == ((T0_MS + 50) * MS, rec.LAST)
    assert tape.provenance["depth_messages_on_a_lost_book"] == 2
    assert tape.provenance["gaps"] == [
        {
            "after_id": 105,
            "next_first_id": 130,
            "next_previous_id": 125,
            "exch_ns": (T0_MS + 50) * MS,
            "found_at": "feed.gz:3",
        }
    ]


def test_a_snapshot_after_a_gap_makes_the_book_whole_again(tmp_path: Path) -> None:
    f = Futures()
    lines = joined(
        f.depth((130, 140, 125), 50, bids=[["59998.0", "4"]]),
        f.depth((141, 145, 140), 60, asks=[["60003.0", "5"]]),
        f.snapshot(143, 58, [["60000.0", "1"], ["59998.0", "4"]], [["60000.1", "1"]], late_ns=30 * MS),
        f.depth((146, 150, 145), 90, bids=[["60000.0", "2"]]),
    )
    tape = import_binance(write(tmp_path / "feed.gz", lines))
    assert kinds(tape)[2:] == [
        (rec.CLEAR, 140), (rec.DEPTH, 140), (rec.SNAPSHOT, 143), (rec.DEPTH, 145), (rec.DEPTH, 150)
    ]  # fmt: skip
    assert book_of(tape) == {
        rec.BUY: {600_000: 2_000, 599_980: 4_000},
        rec.SELL: {600_001: 1_000, 600_030: 5_000},
    }
    book = tape.events[np.isin(tape.events["kind"], (rec.DEPTH, rec.SNAPSHOT, rec.CLEAR))]
    assert (np.diff(book["local_ns"]) >= 0).all()


def test_a_snapshot_inside_the_gap_message_comes_after_the_clear(tmp_path: Path) -> None:
    f = Futures()
    lines = joined(
        f.depth((130, 140, 125), 50, bids=[["59998.0", "4"]]),
        f.snapshot(135, 45, [["60000.0", "1"]], [["60000.1", "1"]], late_ns=30 * MS),
    )
    tape = import_binance(write(tmp_path / "feed.gz", lines))
    assert kinds(tape)[2:] == [(rec.CLEAR, 135), (rec.SNAPSHOT, 135), (rec.DEPTH, 140)]
    assert book_of(tape) == {rec.BUY: {600_000: 1_000, 599_980: 4_000}, rec.SELL: {600_001: 1_000}}


def test_a_spot_gap_is_found_by_its_first_id(tmp_path: Path) -> None:
    s = Spot()
    lines = [
        s.snapshot(100, 5, [["60000.00", "1"]], [["60000.01", "1"]]),
        s.depth(101, 103, 100, bids=[["60000.00", "2"]]),
        s.depth(105, 106, 200, bids=[["60000.00", "3"]]),
    ]
    tape = import_binance(write(tmp_path / "feed.gz", lines))
    assert kinds(tape) == [(rec.SNAPSHOT, 100), (rec.DEPTH, 103), (rec.CLEAR, 106), (rec.DEPTH, 106)]
    assert tape.provenance["gaps"][0]["after_id"] == 103


def test_a_snapshot_that_is_too_old_is_a_gap(tmp_path: Path) -> None:
    f = Futures()
    lines = [f.snapshot(100, 0, BIDS, ASKS), f.depth((110, 112, 108), 5, bids=[["60000.0", "1"]])]
    tape = import_binance(write(tmp_path / "feed.gz", lines))
    assert kinds(tape) == [(rec.SNAPSHOT, 100), (rec.CLEAR, 112), (rec.DEPTH, 112)]
    assert len(tape.provenance["gaps"]) == 1


def test_repeated_changes_and_needless_snapshots_are_left_out_and_counted(tmp_path: Path) -> None:
    f = Futures()
    again = f.depth((95, 105, 92), 5, asks=[["60000.1", "0.4"]], late_ns=9 * MS)
    lines = joined(again, f.snapshot(105, 8, BIDS, ASKS), f.depth((106, 107, 105), 20, bids=[["60000.0", "3"]]))
    tape = import_binance(write(tmp_path / "feed.gz", lines))
    assert kinds(tape) == [(rec.SNAPSHOT, 100), (rec.DEPTH, 105), (rec.DEPTH, 107)]
    assert tape.provenance["dropped"]["depth_stale"] == 1
    assert tape.provenance["dropped"]["snapshots_unused"] == 1


# -- what does not belong on a tape ------------------------------------------------------------------------------------


def test_prints_that_did_not_come_from_the_book_are_left_out_and_counted(tmp_path: Path) -> None:
    f = Futures()
    lines = joined(
        f.trade(1, 50, "61200.0", "0.1", X="INSURANCE_FUND"), f.trade(2, 51, "61200.0", "0.1", X="ADL"),
        f.trade(3, 52, "60000.0", "0.1"), f.trade(4, 53, "60000.0", "0.0001"),
    )  # fmt: skip
    tape = import_binance(write(tmp_path / "feed.gz", lines))
    assert kinds(tape, rec.TRADE) == [(rec.TRADE, 3)]
    dropped = tape.provenance["dropped"]
    assert (dropped["trade_INSURANCE_FUND"], dropped["trade_ADL"], dropped["trade_of_0_lots"]) == (1, 1, 1)


def test_other_streams_and_answers_are_left_out_and_counted(tmp_path: Path) -> None:
    lines = joined(
        line(stream("aggTrade", {"e": "aggTrade"}), 20), line(stream("depth5@100ms", {"bids": []}), 21),
        line({"result": None, "id": 1}, 22),
    )  # fmt: skip
    said = import_binance(write(tmp_path / "feed.gz", lines)).provenance["messages"]
    assert (said["ignored_aggTrade"], said["ignored_depth5@100ms"], said["ignored_answer"]) == (1, 1, 1)


def test_an_empty_side_of_the_best_quotes_is_a_row_without_quantity(tmp_path: Path) -> None:
    lines = joined(Futures().best(106, 50, ("0", "0"), ("60000.1", "0.4")))
    rows = import_binance(write(tmp_path / "feed.gz", lines)).events[-2:]
    assert rows["price_ticks"].tolist() == [0, 600_001]
    assert rows["qty_lots"].tolist() == [0, 400]


# -- trouble -----------------------------------------------------------------------------------------------------------


def refused(path: Path | list[Path], says: str, error: type[Exception] = FeedError, **options: Any) -> None:
    with pytest.raises(error, match=says) as caught:
        import_binance(path, **options)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("lost", [1, 9, 40])
def test_a_truncated_gzip_file_is_refused(tmp_path: Path, lost: int) -> None:
    path = write(tmp_path / "feed.gz", futures_lines() * 3)
    path.write_bytes(path.read_bytes()[:-lost])
    refused(path, r"feed\.gz:\d+: the gzip data is truncated after line \d+")


def test_a_damaged_gzip_file_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "feed.gz", futures_lines())
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))
    refused(path, r"feed\.gz:\d+: ")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"time,price\n1,2\n", ":1: not a Binance recording"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", ":1: not a Binance recording"),
        (bytes(1000), ":1: not a Binance recording"),
        (b"PAR1" + bytes(20), ":1: not a Binance recording"),
        (gzip.compress(b"hello\n", mtime=0), ":1: not a Binance recording"),
        (b"1723161256000 {}\n", ":1: not a Binance recording"),  # milliseconds
        (b"1723161256000000000 {}\n", ":1: neither a stream's message nor a depth snapshot"),
        (b"1723161256000000000 {\n", ":1: not a Binance message"),
        (b"1723161256000000000 []\n", ":1: not a Binance recording"),
        (b'1723161256000000000 {"stream":"btcusdt@trade","data":{}}\n', ":1: not a Binance message: .*missing"),
        (b'1723161256000000000 {"stream":"b@trade","data":"\xff"}\n', ":1: not a Binance message"),
        (b"", ": holds no message"),
        (gzip.compress(b"", mtime=0), ": holds no message"),
    ],
)
def test_a_foreign_file_is_refused_at_its_first_line(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "foreign"
    path.write_bytes(content)
    refused(path, "foreign" + says)


def changed(lines: list[str], at: int, old: str, new: str) -> list[str]:
    assert old in lines[at]
    return [one.replace(old, new) if i == at else one for i, one in enumerate(lines)]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda x: changed(x, 6, '"60000.0"', '"60000.05"'), ":7: BTCUSDT: price '60000.05' is no positive multiple"),
        (lambda x: changed(x, 4, '"60000.0"', '"-60000.0"'), ":5: BTCUSDT: price '-60000.0'"),
        (lambda x: changed(x, 6, '"1"', '"-1"'), ":7: BTCUSDT: quantity '-1'"),
        (lambda x: changed(x, 6, '"1"', '"NaN"'), ":7: BTCUSDT: quantity 'NaN'"),
        (lambda x: changed(x, 6, '"1"', "1"), ":7: not a Binance message: Expected `str`"),
        (lambda x: changed(x, 8, '"s": "BTCUSDT"', '"s": "ETHUSDT"'), ":9: a message of ETHUSDT in a recording of BTC"),
        (lambda x: changed(x, 7, "60001.5", "dear"), ":8: 'dear' is not a decimal"),
        (lambda x: changed(x, 6, '"u": 110', '"u": 10'), ":7: update ids U 106, u 10"),
        (
            lambda x: changed(x, 4, '"t": 1', f'"t": {2**64}'),
            ":5: a number that does not fit|:5: not a Binance message",
        ),
        (lambda x: [*x, Spot().depth(113, 114, 120)], ":11: a message of binance-spot in a recording of binance-usdm"),
        (lambda x: [*x, x[-1][:50]], ":11: not a Binance message"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, change: Callable[[list[str]], list[str]], says: str) -> None:
    refused(write(tmp_path / "feed.gz", change(futures_lines())), r"feed\.gz" + says)


def test_files_that_are_not_one_recording_are_refused(tmp_path: Path) -> None:
    lines = futures_lines()
    one, two = write(tmp_path / "one.gz", lines[:6]), write(tmp_path / "two.gz", lines[3:])
    refused([one, two], r"two\.gz:1: begins before one\.gz ends")
    refused([], "no recording given")
    refused([tmp_path / "none.gz"], r"none\.gz: cannot read the recording: No such file")
    refused([tmp_path], "cannot read the recording: Is a directory")
    refused([Path("/dev/zero")], "not a regular file")
    endless = tmp_path / "endless.gz"
    endless.write_bytes(gzip.compress(bytes(1 << 25)))
    refused([endless], r"endless\.gz:1: a line of more than 16777216 bytes")


def test_a_recording_without_its_snapshot_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "part2.gz", futures_lines()[3:])
    refused(path, r"part2\.gz: no depth snapshot joins the 3 depth messages")


def test_a_recording_that_tells_no_venue_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "trades.gz", [Futures().trade(1, 0, "60000.0", "1")])
    refused(path, r"trades\.gz: no depth and no bookTicker message")


@pytest.mark.parametrize("latency", [-1, 10**11])
def test_a_base_latency_out_of_range_is_refused(tmp_path: Path, latency: int) -> None:
    refused(write(tmp_path / "feed.gz", futures_lines()), "base latency", base_latency_ns=latency)


def test_a_receive_clock_that_goes_back_does_not_reorder_the_book(tmp_path: Path) -> None:
    f = Futures()
    lines = joined(
        f.depth((106, 107, 105), 50, bids=[["60000.0", "3"]], late_ns=30 * MS),
        f.depth((108, 109, 107), 60, bids=[["60000.0", "4"]], late_ns=6 * MS),
    )
    tape = import_binance(write(tmp_path / "feed.gz", lines))
    assert (np.diff(tape.local_order()) > 0).all()
    assert tape.provenance["adjusted"]["receive_stamps_raised_because_the_clock_went_back"] == 1
