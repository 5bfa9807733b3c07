"""Hand-made files of every format that is imported, as small as they can be and still say something of everything."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from lobgym.sim.instrument import Instrument

LINEAR = Instrument.from_json(
    {"symbol": "ABC-PERP", "venue": "anywhere", "kind": "linear", "base": "ABC", "quote": "USD", "tick_size": "0.1",
     "lot_size": "0.001", "maker_fee_ppb": 0, "taker_fee_ppb": 0}
)  # fmt: skip

# -- hftbacktest: the layout stated once more, so that the importer's own is not its witness ---------------------------
EXCH, LOCAL, BUY, SELL = 0x8000_0000, 0x4000_0000, 0x2000_0000, 0x1000_0000
DEPTH, TRADE, CLEAR, SNAPSHOT, BBO = 1, 2, 3, 4, 5
HFT_EVENT = np.dtype(
    [("ev", "u8"), ("exch_ts", "i8"), ("local_ts", "i8"), ("px", "f8"), ("qty", "f8"), ("order_id", "u8"),
     ("ival", "i8"), ("fval", "f8")], align=True
)  # fmt: skip
T0 = 1_700_000_000_000_000_000
Event = tuple[int, int, int, float, float]  # flags, exchange and local stamp after T0, price, quantity


def hft_events(events: Iterable[Event]) -> Any:
    rows = [(ev, T0 + exch, T0 + local, px, qty, 0, 0, 0.0) for ev, exch, local, px, qty in events]
    return np.array(rows, dtype=HFT_EVENT)


def hft_lines() -> list[Event]:
    both = EXCH | LOCAL
    return [
        (both | CLEAR | BUY, 0, 50, 99.8, 0.0),
        (both | SNAPSHOT | BUY, 0, 50, 99.9, 1.5),
        (both | SNAPSHOT | BUY, 0, 50, 99.8, 2.0),
        (both | CLEAR | SELL, 0, 50, 100.2, 0.0),
        (both | SNAPSHOT | SELL, 0, 50, 100.1, 0.3),
        (both | SNAPSHOT | SELL, 0, 50, 100.2, 4.0),
        (both | TRADE | BUY, 100, 160, 100.1, 0.3),
        (EXCH | DEPTH | SELL, 200, 330, 100.1, 0.0),
        (EXCH | TRADE | SELL, 210, 270, 99.9, 0.5),
        (LOCAL | TRADE | SELL, 210, 270, 99.9, 0.5),
        (LOCAL | DEPTH | SELL, 200, 330, 100.1, 0.0),
        (both | BBO | BUY, 400, 450, 99.9, 1.0),
        (both | BBO | SELL, 400, 450, 100.2, 4.0),
        (both | DEPTH | BUY, 500, 560, 99.9, 1.0),
        (both | DEPTH | BUY, 500, 560, 99.7, 7.0),
        (both | CLEAR | BUY, 600, 660, 99.8, 0.0),
        (both | DEPTH | SELL, 700, 760, 100.3, 0.001),
        (both | CLEAR, 800, 860, float("nan"), 0.0),
    ]


def write_hft(path: Path, events: Any) -> Path:
    np.savez_compressed(path, data=events)
    return path


# -- Tardis ------------------------------------------------------------------------------------------------------------
COMMON = "exchange,symbol,timestamp,local_timestamp"
TARDIS_HEADERS = {
    "incremental_book_L2": f"{COMMON},is_snapshot,side,price,amount",
    "trades": f"{COMMON},id,side,price,amount",
    "book_ticker": f"{COMMON},ask_amount,ask_price,bid_price,bid_amount",
    "derivative_ticker": f"{COMMON},funding_timestamp,funding_rate,predicted_funding_rate,open_interest,last_price,"
    "index_price,mark_price",
}
US0 = 1_600_000_000_000_000


def tardis_line(exch: int, local: int, *cells: str, symbol: str = "ABC-PERP") -> str:
    return ",".join(["nowhere", symbol, str(US0 + exch), str(US0 + local), *cells])


def tardis_lines() -> dict[str, list[str]]:
    line = tardis_line
    return {
        "incremental_book_L2": [
            line(0, 90, "false", "bid", "98.0", "3"),  # before the snapshot
            line(100, 100, "true", "bid", "99.9", "1.5"),
            line(100, 100, "true", "bid", "99.8", "2"),
            line(100, 100, "true", "ask", "100.1", "0.3"),
            line(100, 101, "true", "ask", "100.2", "4"),  # the snapshot's second message
            line(200, 260, "false", "ask", "100.1", "0"),
            line(200, 260, "false", "ask", "100.2", "1e-3"),
            line(190, 270, "false", "bid", "99.9", "0.0005"),  # an exchange stamp that goes back; half a lot
            line(900, 950, "true", "bid", "99.7", "1"),
            line(900, 950, "true", "ask", "100.4", "0.0015"),
            line(960, 990, "false", "bid", "99.8", "1"),
        ],
        "trades": [
            line(200, 255, "17", "buy", "100.1", "0.3"),
            line(300, 340, "c0ffee-1", "sell", "99.9", "1"),
            line(310, 350, "", "unknown", "99.9", "1"),
            line(320, 360, "19", "buy", "100.2", "0.0001"),
        ],
        "book_ticker": [
            line(200, 250, "0.3", "100.1", "99.9", "1.5"),
            line(400, 430, "", "", "99.9", "1.5"),
            line(410, 440, "1", "100.2", "0", "0"),
        ],
        "derivative_ticker": [
            line(150, 200, "1600003600000000", "0.0001", "0.0002", "12", "100", "100.05", "100.123456785"),
            line(500, 560, "", "-0.00002754", "", "", "", "", "100.2"),
            line(510, 570, "", "", "", "13", "", "", ""),
        ],
    }


def write_tardis(folder: Path, lines: dict[str, list[str]], packed: bool = True) -> list[Path]:
    paths = []
    for kind, rows in lines.items():
        text = "\n".join([TARDIS_HEADERS[kind], *rows]) + "\n"
        path = folder / (f"{kind}.csv.gz" if packed else f"{kind}.csv")
        path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
        paths.append(path)
    return paths


# -- LOBSTER -----------------------------------------------------------------------------------------------------------
NO_ASK, NO_BID = "9999999999,0", "-9999999999,0"


def lobster_lines() -> tuple[list[str], list[str]]:
    """Events and pictures of two levels. Level 100.03 leaves the view, is removed out of sight, and is missed later."""
    pairs = [
        ("34200.000000001,1,11,100,1000000,1", "1000200,5,1000000,100,1000300,7,999900,20"),
        ("34200.5,1,12,9,1000100,-1", "1000100,9,1000000,100,1000200,5,999900,20"),
        ("34200.5,4,12,4,1000100,-1", "1000100,5,1000000,100,1000200,5,999900,20"),
        ("34201.25,5,0,50,1000050,1", "1000100,5,1000000,100,1000200,5,999900,20"),
        ("34201.25,5,0,50,1000100,-1", "1000100,5,1000000,100,1000200,5,999900,20"),
        ("34202,3,12,5,1000100,-1", "1000200,5,1000000,100,1000400,8,999900,20"),
        ("34203.1,7,-1,0,-1,-1", "1000200,5,1000000,100,1000400,8,999900,20"),
        ("34204,7,-1,0,0,-1", "1000200,5,1000000,100,1000400,8,999900,20"),
        ("34205,7,-1,0,1,-1", "1000200,5,1000000,100,1000400,8,999900,20"),
        ("34206,6,-1,500,1000000,1", "1000200,5,1000000,100,1000400,8,999900,20"),
        ("34207,2,11,60,1000000,1", "1000200,5,1000000,40,1000400,8,999900,20"),
        ("34208.123456789,4,11,40,1000000,1", f"1000200,5,999900,20,1000400,8,{NO_BID}"),
    ]
    return [a for a, _ in pairs], [b for _, b in pairs]


def write_lobster(folder: Path, messages: list[str], books: list[str]) -> list[Path]:
    paths = [folder / "message.csv", folder / "orderbook.csv"]
    for path, lines in zip(paths, (messages, books), strict=True):
        path.write_text("\n".join(lines) + "\n")
    return paths


# -- Bitstamp ----------------------------------------------------------------------------------------------------------
MS0 = 1_430_438_400_000


def order(ms: int, what: str, number: int, side: str, price: str, amount: str) -> str:
    body = {"price": price, "amount": amount, "datetime": str(MS0 // 1000), "id": number,
            "order_type": 0 if side == "bid" else 1}  # fmt: skip
    return f"{MS0 + ms} order_{what} {json.dumps(body)}"


def trade(ms: int, number: int, price: float, amount: float) -> str:
    return f"{MS0 + ms} trade {json.dumps({'price': price, 'amount': amount, 'id': number})}"


def picture(ms: int, bids: list[tuple[str, str]], asks: list[tuple[str, str]]) -> str:
    return f"{MS0 + ms} order_book {json.dumps({'bids': bids, 'asks': asks})}"


def bitstamp_lines() -> list[str]:
    return [
        order(0, "created", 50, "bid", "99.90", "1.00000000"),
        picture(10, [("99.90", "3.00000000"), ("99.80", "1.00000000")], [("100.00", "2.00000000")]),
        order(20, "created", 51, "ask", "100.00", "0.50000000"),
        order(30, "created", 52, "bid", "100.00", "0.80000000"),  # takes: held back
        order(40, "changed", 51, "ask", "100.00", "0.20000000"),
        order(41, "changed", 52, "bid", "100.00", "0.50000000"),
        trade(45, 900, 100.0, 0.30000000000000004),
        order(50, "deleted", 52, "bid", "100.00", "0.50000000"),
        order(60, "deleted", 50, "bid", "99.90", "1.00000000"),
        order(61, "created", 50, "bid", "99.90", "1.00000000"),  # after its delete
        order(70, "deleted", 7, "bid", "99.90", "0.50000000"),  # older than the recording
        order(80, "deleted", 51, "ask", "100.00", "0.00000000"),
        trade(85, 901, 100.0, 0.2),
        picture(90, [("99.90", "1.50000000"), ("99.80", "1.00000000")], [("100.00", "2.00000000")]),
        order(99, "created", 60, "ask", "100.10", "0.00000049"),  # less than half a lot
        order(100, "deleted", 60, "ask", "100.10", "0.00000049"),
    ]


def write_lines(path: Path, lines: Iterable[str]) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path
