"""Hand-made Binance recordings: a few messages of each venue, as text."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

T0_MS = 1_723_161_256_000
LATE_NS = 5_000_000  # every message is received so long after its stamp, unless it says otherwise


def line(body: dict[str, Any], ms: int = 0, *, us: bool = False, late_ns: int = LATE_NS) -> str:
    """One line, received `late_ns` after T0 + `ms`."""
    stamp = (T0_MS + ms) * 1_000_000 + late_ns
    return f"{stamp // 1_000 if us else stamp} {json.dumps(body)}\n"


def stream(name: str, data: dict[str, Any], symbol: str = "BTCUSDT") -> dict[str, Any]:
    return {"stream": f"{symbol.lower()}@{name}", "data": data}


class Futures:
    """Messages of BTCUSDT, USD-M; with `pair`, of the inverse BTCUSD_PERP."""

    def __init__(self, symbol: str = "BTCUSDT", pair: str = "") -> None:
        self.symbol = symbol
        self.extra = {"ps": pair} if pair else {}
        self.rest = {"symbol": symbol, "pair": pair} if pair else {}

    def depth(self, ids: tuple[int, int, int], ms: int, bids: Any = (), asks: Any = (), **options: Any) -> str:
        first, last, previous = ids
        data = {"e": "depthUpdate", "E": T0_MS + ms + 1, "T": T0_MS + ms, "s": self.symbol, **self.extra,
                "U": first, "u": last, "pu": previous, "b": list(bids), "a": list(asks)}  # fmt: skip
        return line(stream("depth@0ms", data, self.symbol), ms, **options)

    def best(self, last: int, ms: int, bid: tuple[str, str], ask: tuple[str, str], **options: Any) -> str:
        data = {"e": "bookTicker", "u": last, "s": self.symbol, **self.extra, "b": bid[0], "B": bid[1],
                "a": ask[0], "A": ask[1], "T": T0_MS + ms, "E": T0_MS + ms + 1}  # fmt: skip
        return line(stream("bookTicker", data, self.symbol), ms, **options)

    def trade(self, number: int, ms: int, price: str, qty: str, sell: bool = True, **options: Any) -> str:
        kind = options.pop("X", "MARKET")
        data = {"e": "trade", "E": T0_MS + ms, "T": T0_MS + ms, "s": self.symbol, "t": number, "p": price, "q": qty,
                "X": kind, "m": sell}  # fmt: skip
        return line(stream("trade", data, self.symbol), ms, **options)

    def mark(self, ms: int) -> str:
        data = {"e": "markPriceUpdate", "E": T0_MS + ms, "s": self.symbol, "p": "60000.12345678", "P": "1",
                "i": "60001.5", "r": "-0.00002754", "T": T0_MS + 60_000}  # fmt: skip
        return line(stream("markPrice@1s", data, self.symbol), ms)

    def snapshot(self, last: int, ms: int, bids: Any, asks: Any, **options: Any) -> str:
        body = {"lastUpdateId": last, "E": T0_MS + ms, "T": T0_MS + ms, **self.rest, "bids": bids, "asks": asks}
        return line(body, ms, **options)


class Spot:
    """Messages of BTCUSDT, spot."""

    def depth(self, first: int, last: int, ms: int, bids: Any = (), asks: Any = (), **options: Any) -> str:
        data = {"e": "depthUpdate", "E": T0_MS + ms, "s": "BTCUSDT", "U": first, "u": last,
                "b": list(bids), "a": list(asks)}  # fmt: skip
        return line(stream("depth@100ms", data), ms, **options)

    def best(self, last: int, ms: int, bid: tuple[str, str], ask: tuple[str, str], **options: Any) -> str:
        data = {"u": last, "s": "BTCUSDT", "b": bid[0], "B": bid[1], "a": ask[0], "A": ask[1]}
        return line(stream("bookTicker", data), ms, **options)

    def trade(self, number: int, ms: int, price: str, qty: str, sell: bool = True) -> str:
        data = {"e": "trade", "E": T0_MS + ms, "s": "BTCUSDT", "t": number, "p": price, "q": qty, "T": T0_MS + ms,
                "m": sell, "M": True}  # fmt: skip
        return line(stream("trade", data), ms)

    def snapshot(self, last: int, ms: int, bids: Any, asks: Any, **options: Any) -> str:
        return line({"lastUpdateId": last, "bids": bids, "asks": asks}, ms, **options)


BIDS = [["60000.0", "1.5"], ["59999.0", "2"]]
ASKS = [["60000.1", "0.5"], ["60002.0", "3"]]


def futures_lines() -> list[str]:
    """A whole little recording: snapshot 100, joined by a message of (95, 105], prints, best quotes, a mark price."""
    f = Futures()
    return [
        f.best(90, 0, ("60000.0", "1.5"), ("60000.1", "0.4")),
        f.depth((85, 92, 84), 10, bids=[["50000.0", "9"]]),
        f.snapshot(100, 20, BIDS, ASKS),
        f.depth((95, 105, 92), 30, asks=[["60000.1", "0.4"]]),
        f.trade(1, 60, "60000.0", "0.5"),
        f.best(107, 60, ("60000.0", "1.0"), ("60000.1", "0.4")),
        f.depth((106, 110, 105), 60, bids=[["60000.0", "1"], ["59999.0", "0"]]),
        f.mark(70),
        f.trade(2, 80, "60000.1", "0.4", sell=False),
        f.depth((111, 112, 110), 110, asks=[["60000.1", "0.000"]]),
    ]


def write(path: Path, lines: list[str], *, packed: bool = True) -> Path:
    text = "".join(lines).encode()
    path.write_bytes(gzip.compress(text) if packed else text)
    return path
