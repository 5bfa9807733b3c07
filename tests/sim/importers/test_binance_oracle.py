"""Oracle of the Binance importer, over every recording: the book rebuilt from the tape is the exchange's own.

Method: a plain dict book applies the tape's depth rows in exchange order. At every depth message whose update id a
`bookTicker` also has, best price and quantity must be equal, without exception, and no state may be crossed. The
`bookTicker` and `trade` messages are read from the raw files a second time, with `json` and `Decimal` alone, so that
the importer can neither drop nor distort one side of the comparison.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from lobgym.sim import records as rec
from lobgym.sim.importers import import_binance
from lobgym.sim.tape import Tape
from tests.recordings import BINANCE, Recording

# (tick, lot) by venue and symbol, stated here and not taken from the code under test.
SIZES = {
    ("binance-usdm", "BTCUSDT"): ("0.1", "0.001"),
    ("binance-usdm", "ETHUSDT"): ("0.01", "0.001"),
    ("binance-coinm", "BTCUSD_PERP"): ("0.1", "1"),
    ("binance-spot", "BTCUSDT"): ("0.01", "0.00001"),
}
# How many depth messages end at an update id that a bookTicker has too.
COMPARED_MIN = {
    "usdm-btc-2023": 300,
    "usdm-btc-0718": 600,
    "usdm-btc-0808": 600,
    "usdm-eth-0808": 500,
    "coinm-btc-0808": 1_800,
    "spot-btc-0808": 1_000,
}


class Case(NamedTuple):
    name: str
    recording: Recording
    tape: Tape
    best: dict[int, tuple[int, int, int, int]]  # raw bookTicker by update id: bid, its lots, ask, its lots
    best_ids: list[int]  # in order of receipt
    trades: list[tuple[int, int, int, int]]  # raw MARKET trades: id, side, tick, lots
    depth: int  # raw depth messages


def whole(text: str, unit: str) -> int:
    number = Decimal(text) / Decimal(unit)
    assert number == int(number)
    return int(number)


def raw_messages(paths: list[Path]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in paths:
        with gzip.open(path, "rb") as lines:
            for line in lines:
                message = json.loads(line[line.index(b" ") :])
                if "stream" in message:
                    yield message["stream"].split("@")[1], message["data"]


@pytest.fixture(scope="module", params=list(BINANCE))
def case(request: pytest.FixtureRequest, recordings_dir: Path) -> Case:
    recording = BINANCE[request.param]
    paths = recording.paths(recordings_dir)
    tick, lot = SIZES[recording.venue, recording.symbol]
    best, best_ids, trades, depth = {}, [], [], 0
    for stream, data in raw_messages(paths):
        if stream == "bookTicker":
            best_ids.append(data["u"])
            best[data["u"]] = (
                whole(data["b"], tick), whole(data["B"], lot), whole(data["a"], tick), whole(data["A"], lot)
            )  # fmt: skip
        elif stream == "trade" and data.get("X", "MARKET") == "MARKET":
            side = rec.SELL if data["m"] else rec.BUY
            trades.append((data["t"], side, whole(data["p"], tick), whole(data["q"], lot)))
        depth += stream == "depth"
    return Case(request.param, recording, import_binance(paths), best, best_ids, trades, depth)


def states(events: np.ndarray) -> Iterator[tuple[int, int, tuple[int, int, int, int] | None]]:
    """(kind, update id, best bid, its lots, best ask, its lots) after each depth or snapshot message."""
    bids: dict[int, int] = {}
    asks: dict[int, int] = {}
    bid = ask = 0
    columns = (events[name].tolist() for name in ("kind", "side", "price_ticks", "qty_lots", "seq", "flags"))
    for kind, side, tick, qty, seq, flags in zip(*columns, strict=True):
        if kind == rec.CLEAR:
            bids, asks, bid, ask = {}, {}, 0, 0
        elif kind in (rec.DEPTH, rec.SNAPSHOT):
            levels = bids if side == rec.BUY else asks
            if qty:
                levels[tick] = qty
            else:
                levels.pop(tick, None)
            if side == rec.BUY:
                bid = tick if qty and tick > bid else bid if bid in bids else max(bids, default=0)
            else:
                ask = tick if qty and (not ask or tick < ask) else ask if ask in asks else min(asks, default=0)
            if flags & rec.LAST:
                yield kind, seq, (bid, bids[bid], ask, asks[ask]) if bid and ask else None


def test_the_rebuilt_book_equals_the_exchanges_best_quotes(case: Case) -> None:
    compared = different = crossed = messages = 0
    for kind, seq, best in states(case.tape.events):
        assert best is not None, f"an empty side after update {seq}"
        messages += kind == rec.DEPTH
        crossed += best[0] >= best[2]
        if kind == rec.DEPTH and seq in case.best:
            compared += 1
            different += best != case.best[seq]
    print(f"{case.name}: {messages} depth messages, {compared} compared")
    assert compared >= COMPARED_MIN[case.name]
    assert different == 0
    assert crossed == 0
    assert messages + sum(case.tape.provenance["dropped"].values()) == case.depth


def test_every_best_quote_of_the_recording_is_on_the_tape(case: Case) -> None:
    rows = case.tape.events[case.tape.events["kind"] == rec.BBO]
    bids, asks = rows[0::2], rows[1::2]
    assert (bids["side"] == rec.BUY).all()
    assert (asks["side"] == rec.SELL).all()
    assert (bids["seq"] == asks["seq"]).all()
    assert bids["seq"].tolist() == sorted(case.best_ids)
    table = np.stack([bids["price_ticks"], bids["qty_lots"], asks["price_ticks"], asks["qty_lots"]], axis=1)
    assert list(map(tuple, table.tolist())) == [case.best[seq] for seq in bids["seq"].tolist()]


def test_every_market_trade_of_the_recording_is_on_the_tape(case: Case) -> None:
    rows = case.tape.events[case.tape.events["kind"] == rec.TRADE]
    names = ("seq", "side", "price_ticks", "qty_lots")
    assert sorted(zip(*(rows[name].tolist() for name in names), strict=True)) == sorted(case.trades)


def test_update_ids_and_stamps_go_forward_together(case: Case) -> None:
    events = case.tape.events
    ids = events["seq"][np.isin(events["kind"], (rec.DEPTH, rec.BBO, rec.SNAPSHOT))]
    assert (np.diff(ids) >= 0).all()
    trades = events["seq"][events["kind"] == rec.TRADE]
    assert (np.diff(trades) > 0).all()


def test_the_book_is_received_in_the_order_in_which_it_changed(case: Case) -> None:
    """Else a late snapshot would wipe out, for the observer, changes that came after it at the exchange."""
    book = np.isin(case.tape.events["kind"], (rec.DEPTH, rec.SNAPSHOT, rec.CLEAR))
    order = case.tape.local_order()
    assert (np.diff(order[book[order]]) > 0).all()


def test_the_clock_is_corrected_to_the_base_latency(case: Case) -> None:
    clock = case.tape.provenance["clock"]
    assert clock["base_latency_ns"] == 1_000_000
    assert clock["receive_minus_exchange_min_ns"] < 0  # the receivers of all these recordings ran behind
    assert clock["correction_ns"] == 1_000_000 - clock["receive_minus_exchange_min_ns"]
    stamped = case.tape.events
    if case.recording.venue == "binance-spot":  # its best quotes have no stamp of their own
        stamped = stamped[stamped["kind"] != rec.BBO]
    assert (stamped["local_ns"] - stamped["exch_ns"]).min() == 1_000_000


def test_the_recording_is_told_from_its_messages(case: Case) -> None:
    one = case.tape.instrument
    assert (one.venue, one.symbol) == (case.recording.venue, case.recording.symbol)
    assert case.tape.provenance["gaps"] == []
    assert [file["name"] for file in case.tape.provenance["files"]] == [
        path.rsplit("/", 1)[1] for path in case.recording.files
    ]


def test_a_stored_row_costs_few_bytes(case: Case, tmp_path: Path) -> None:
    path = tmp_path / "tape.parquet"
    case.tape.save(path)
    assert path.stat().st_size <= 12 * len(case.tape)
    assert Tape.load(path) == case.tape
