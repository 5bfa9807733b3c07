"""Tardis's CSV files, one kind at a time, as rows of a tape in the file's own order.

The kinds are told by their columns, not by the names of the files: incremental_book_L2, trades, book_ticker (quotes
has the same columns) and derivative_ticker. Stamps are microseconds since 1970; `timestamp` is the exchange's, and
equals `local_timestamp` where the exchange gave none. Rows are ordered by `local_timestamp`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from decimal import Context, Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lobgym.sim import records as rec
from lobgym.sim.errors import FeedError, InstrumentError
from lobgym.sim.importers.columns import Exact, blank_rows, whole
from lobgym.sim.importers.source import Batch, read_batches, read_header

__all__ = ["KINDS", "Feed", "kind_of_file"]

_COMMON: Final = ("exchange", "symbol", "timestamp", "local_timestamp")
KINDS: Final = {
    "trades": (*_COMMON, "id", "side", "price", "amount"),
    "book_ticker": (*_COMMON, "ask_amount", "ask_price", "bid_price", "bid_amount"),
    "incremental_book_L2": (*_COMMON, "is_snapshot", "side", "price", "amount"),
    "derivative_ticker": (
        *(*_COMMON, "funding_timestamp", "funding_rate", "predicted_funding_rate", "open_interest", "last_price"),
        *("index_price", "mark_price"),
    ),
}
# Columns that say nothing that a tape has a place for are not even parsed.
_UNUSED: Final = ("predicted_funding_rate", "open_interest", "last_price")
_STAMPS_US: Final = (10**12, 10**16)
_NS: Final = 1_000
_ROUND: Final = Context(prec=80)


def kind_of_file(path: Path) -> str:
    """Which of `KINDS` a file is, by its columns. Raises `FeedError` that lists what they may be."""
    found = read_header(path)
    for kind, names in KINDS.items():
        if sorted(found) == sorted(names):
            return kind
    expected = "; ".join(f"{kind}: {','.join(names)}" for kind, names in KINDS.items())
    raise FeedError(f"{path}:1: columns {','.join(found)[:200]} of no known kind of file; expected {expected}")


class Feed:
    """Rows of all files of one kind; what was left out is counted in `dropped`."""

    def __init__(self, kind: str, exchange: str, symbol: str, exact: Exact) -> None:
        self.kind = kind
        self.dropped: Counter[str] = Counter()
        self._ids = {"exchange": exchange, "symbol": symbol}
        self._exact = exact
        self._newest_us = 0
        self._known: dict[str, dict[str, int]] = {"price": {}, "rate": {}, "time": {}}
        self._make = {
            "trades": self._trades,
            "book_ticker": self._quotes,
            "incremental_book_L2": self._levels,
            "derivative_ticker": self._ticker,
        }[kind]

    def read(self, path: Path) -> Iterator[tuple[int, Any]]:
        """(lines, EVENT_DTYPE[rows]) of each batch of a file. Rows lack only the flag LAST. Raises `FeedError`."""
        types = {name: pa.string() for name in KINDS[self.kind] if name not in _UNUSED}
        types.update(timestamp=pa.int64(), local_timestamp=pa.int64())
        for batch in read_batches(path, types):
            for name, value in self._ids.items():
                same = _where(batch, name, value)
                if not same.all():
                    other = batch.columns[name][int(np.argmin(same))].as_py()
                    batch.require(same, f"{name} is {other!r} in a recording of {value!r}")
            exch, local = (batch.columns[name].to_numpy() for name in ("timestamp", "local_timestamp"))
            for name, stamp in (("timestamp", exch), ("local_timestamp", local)):
                sane = (stamp >= _STAMPS_US[0]) & (stamp < _STAMPS_US[1])
                batch.require(sane, f"{name} is no stamp in microseconds since 1970")
            back = np.diff(local, prepend=self._newest_us) < 0
            batch.require(~back, "local_timestamp goes back; give whole files, one of a kind and day, unsorted by you")
            self._newest_us = int(local[-1])
            yield batch.rows, self._make(batch, exch * _NS, local * _NS)

    def _rows(self, rows: int, kind: int, exch_ns: Any, local_ns: Any) -> Any:
        events = blank_rows(rows, kind)
        events["exch_ns"], events["local_ns"] = exch_ns, local_ns
        return events

    def _trades(self, batch: Batch, exch_ns: Any, local_ns: Any) -> Any:
        events = self._rows(batch.rows, rec.TRADE, exch_ns, local_ns)
        events["price_ticks"], events["qty_lots"] = self._exact.ticks(batch, "price"), self._exact.lots(batch, "amount")
        events["side"] = _sides(batch, {"buy": rec.BUY, "sell": rec.SELL, "unknown": 0})
        numbered = pc.match_substring_regex(batch.columns["id"], r"^[0-9]{1,18}$")
        events["seq"] = pc.cast(pc.if_else(numbered, batch.columns["id"], "0"), pa.int64()).to_numpy()
        unknown, empty = events["side"] == 0, events["qty_lots"] == 0
        self.dropped["trades_without_a_side"] += int(unknown.sum())
        self.dropped["trades_of_0_lots"] += int((empty & ~unknown).sum())
        return events[~unknown & ~empty]

    def _quotes(self, batch: Batch, exch_ns: Any, local_ns: Any) -> Any:
        events = self._rows(2 * batch.rows, rec.BBO, np.repeat(exch_ns, 2), np.repeat(local_ns, 2))
        for first, side, name in ((0, rec.BUY, "bid"), (1, rec.SELL, "ask")):
            price, amount = batch.columns[f"{name}_price"], batch.columns[f"{name}_amount"]
            # An empty side is sent as empty cells, or as zeros.
            nothing = pa.array(["", "0"])
            empty = pc.or_(pc.is_in(amount, nothing), pc.is_in(price, nothing))
            stand_in = str(self._exact.instrument.tick_size)
            filled = {"price": pc.if_else(empty, stand_in, price), "amount": pc.if_else(empty, "0", amount)}
            whole_sides = Batch(batch.path, batch.line, filled, batch.rows)
            ticks, lots = self._exact.ticks(whole_sides, "price"), self._exact.lots(whole_sides, "amount")
            events["side"][first::2] = side
            events["price_ticks"][first::2], events["qty_lots"][first::2] = np.where(lots > 0, ticks, 0), lots
        return events

    def _levels(self, batch: Batch, exch_ns: Any, local_ns: Any) -> Any:
        """Levels; `flags` says of each whether it is of a snapshot, until the messages are made."""
        events = self._rows(batch.rows, rec.DEPTH, exch_ns, local_ns)
        events["side"] = _sides(batch, {"bid": rec.BUY, "ask": rec.SELL})
        events["price_ticks"], events["qty_lots"] = self._exact.ticks(batch, "price"), self._exact.lots(batch, "amount")
        events["flags"] = _flags(batch, "is_snapshot")
        return events

    def _ticker(self, batch: Batch, exch_ns: Any, local_ns: Any) -> Any:
        """MARK, INDEX and FUNDING of each line, as far as its cells are filled."""
        columns = (("mark_price", rec.MARK, 8), ("index_price", rec.INDEX, 8), ("funding_rate", rec.FUNDING, 12))
        events = self._rows(3 * batch.rows, 0, np.repeat(exch_ns, 3), np.repeat(local_ns, 3))
        given = np.zeros(3 * batch.rows, dtype=bool)
        for place, (name, kind, digits) in enumerate(columns):
            known = self._known.setdefault(name, {"": 0})
            events["kind"][place::3] = kind
            events["qty_lots"][place::3] = whole(batch, batch.columns[name], known, _Scaled(name, digits))
            given[place::3] = ~_where(batch, name, "")
        batch.require((events["qty_lots"][0::3] >= 0) & (events["qty_lots"][1::3] >= 0), "a price below 0")
        due_us = whole(batch, batch.columns["funding_timestamp"], self._known["time"], _microseconds)
        nameless = given[2::3] & (due_us == 0)
        self.dropped["funding_rates_without_their_time"] += int(nameless.sum())
        given[2::3] &= due_us > 0
        events["seq"][2::3] = due_us // 1_000
        return events[given]


class _Scaled:
    """Integers of decimal texts in units of 10**-digits, rounded half to even."""

    def __init__(self, name: str, digits: int) -> None:
        self._name, self._digits = name, digits

    def __call__(self, text: str) -> int:
        try:
            value = int(_ROUND.scaleb(Decimal(text), self._digits).to_integral_value())
        except (InvalidOperation, ValueError, OverflowError):
            raise InstrumentError(f"{self._name} {text!r} is not a decimal") from None
        if abs(value) >= 2**62:
            raise InstrumentError(f"{self._name} {text!r} is too large")
        return value


def _microseconds(text: str) -> int:
    """A stamp of a cell, 0 where it is empty."""
    if not text:
        return 0
    if not text.isdecimal() or not _STAMPS_US[0] <= int(text[:20]) < _STAMPS_US[1]:
        raise InstrumentError(f"funding_timestamp {text!r} is no stamp in microseconds since 1970")
    return int(text)


def _sides(batch: Batch, names: dict[str, int]) -> Any:
    out = np.zeros(batch.rows, dtype=np.int8)
    known = np.zeros(batch.rows, dtype=bool)
    for name, side in names.items():
        here = _where(batch, "side", name)
        out[here] = side
        known |= here
    batch.require(known, f"side is none of {', '.join(names)}")
    return out


def _flags(batch: Batch, name: str) -> Any:
    yes = _where(batch, name, "true")
    batch.require(yes | _where(batch, name, "false"), f"{name} is neither true nor false")
    return yes


def _where(batch: Batch, name: str, text: str) -> Any:
    """bool[rows]: the cells of a column that are just `text`."""
    return pc.equal(batch.columns[name], text).to_numpy(zero_copy_only=False)
