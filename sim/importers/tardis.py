"""Tardis's downloadable CSV files made into a tape: levels and prints, best quotes and the derivative ticker besides.

The files may be given in any order, plain or gzip, several days of a kind one after the other. Levels are needed,
because without a book there is no market.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from lobgym.sim import records as rec
from lobgym.sim.errors import FeedError, InstrumentError
from lobgym.sim.importers.columns import Exact, blank_rows, merge_streams, shift_clock
from lobgym.sim.importers.source import file_facts, read_batches
from lobgym.sim.importers.tardis_streams import KINDS, Feed, kind_of_file
from lobgym.sim.instrument import Instrument, find_instrument
from lobgym.sim.tape import Tape

__all__ = ["import_tardis"]

PathLike = str | os.PathLike[str]
_VENUES: Final = {"binance": "binance-spot", "binance-futures": "binance-usdm", "binance-delivery": "binance-coinm"}
# At equal stamps prints come first, then best quotes, then levels (docs/decisions/0004), then mark prices.
_ORDER: Final = ("trades", "book_ticker", "incremental_book_L2", "derivative_ticker")
STAMP_BACK_NS_MAX: Final = 3_600 * 10**9


def import_tardis(
    paths: PathLike | Iterable[PathLike], instrument: Instrument | None = None, base_latency_ns: int = 0
) -> Tape:
    """Tape of the files of one instrument.

    `instrument` is needed where the symbol is not built in. Receive stamps are shifted, all by the same, where a
    message would take less than `base_latency_ns`. Raises `FeedError` or `InstrumentError`, one line that begins with
    the file and the line.
    """
    files = [Path(paths)] if isinstance(paths, str | os.PathLike) else [Path(path) for path in paths]
    if not files:
        raise FeedError("no file given: name at least one of incremental_book_L2")
    by_kind: dict[str, list[Path]] = {}
    for file in files:
        by_kind.setdefault(kind_of_file(file), []).append(file)
    if "incremental_book_L2" not in by_kind:
        raise FeedError(f"{files[0]}: no file of incremental_book_L2 among those given, so there is no book")
    exchange, symbol, instrument = _identify(by_kind["incremental_book_L2"][0], instrument)
    exact = Exact(instrument)
    said: dict[str, Any] = {"files": [], "dropped": {}, "stamps_raised": {}, "without_exchange_stamp": {}}
    streams, fastest = [], []
    for kind in _ORDER:
        if kind not in by_kind:
            continue
        feed = Feed(kind, exchange, symbol, exact)
        events = _read(feed, by_kind[kind], said)
        if kind == "incremental_book_L2":
            events = _from_the_first_snapshot(events, by_kind[kind][0], said)
        said["dropped"].update(feed.dropped)
        stamped = events["exch_ns"] != events["local_ns"]
        said["without_exchange_stamp"][kind] = int((~stamped).sum())
        fastest.append(events[["exch_ns", "local_ns"]][stamped])
        said["stamps_raised"][kind] = _raise_stamps(events, by_kind[kind][0])
        if kind == "incremental_book_L2":
            events = _join_snapshots(events, said)
        _end_messages(events)
        streams.append(events)
    stamps = np.concatenate(fastest)
    clock = shift_clock(stamps["exch_ns"], stamps["local_ns"], base_latency_ns)
    events = merge_streams(streams)
    events["local_ns"] += clock["correction_ns"]
    early = events["local_ns"] < events["exch_ns"]
    events["local_ns"][early] = events["exch_ns"][early]
    said["receive_stamps_raised_to_the_exchange_stamp"] = int(early.sum())
    provenance = {"source": "tardis", "venue": instrument.venue, "exchange": exchange, **said, "clock": clock}
    return Tape(events, instrument, provenance)


def _identify(path: Path, instrument: Instrument | None) -> tuple[str, str, Instrument]:
    """Exchange and symbol of the first line, and the instrument. Raises `InstrumentError` or `FeedError`."""
    first = next(read_batches(path, {"exchange": pa.string(), "symbol": pa.string()}), None)
    if first is None:
        raise FeedError(f"{path}: holds no line of data; there was none on that day, or the download failed")
    exchange, symbol = first.columns["exchange"][0].as_py(), first.columns["symbol"][0].as_py()
    try:
        if instrument is None:
            return exchange, symbol, find_instrument(_VENUES.get(exchange, exchange), symbol)
    except InstrumentError as error:
        raise InstrumentError(f"{path}:2: {error}") from None
    if instrument.symbol.upper() != symbol.upper():
        raise InstrumentError(f"{path}:2: the file is of {symbol}, the given instrument is {instrument.symbol}")
    return exchange, symbol, instrument


def _read(feed: Feed, paths: list[Path], said: dict[str, Any]) -> Any:
    """All rows of the files of one kind, the earliest file first."""
    started = [(_first_local_us(path), path) for path in paths]
    parts = [blank_rows(0)]
    for _, path in sorted(started):
        lines = 0
        for rows, events in feed.read(path):
            lines += rows
            parts.append(events)
        said["files"].append({"kind": feed.kind, **file_facts(path, lines)})
    return np.concatenate(parts)


def _first_local_us(path: Path) -> int:
    first = next(read_batches(path, {"local_timestamp": pa.int64()}), None)
    return int(first.columns["local_timestamp"][0].as_py()) if first else 0


def _from_the_first_snapshot(events: Any, path: Path, said: dict[str, Any]) -> Any:
    """Levels from the first snapshot on: before it the book is unknown. Raises `FeedError` where there is none."""
    snapshot = events["flags"] > 0
    if not snapshot.any():
        raise FeedError(f"{path}: no row has is_snapshot true, so the book is unknown; give the whole day's file")
    begin = int(np.argmax(snapshot))
    said["dropped"]["levels_before_the_first_snapshot"] = begin
    return events[begin:]


def _join_snapshots(events: Any, said: dict[str, Any]) -> Any:
    """The same levels with a CLEAR before each run of snapshot rows.

    Only the first message of a run can follow its CLEAR; the rest of the run are changes of the emptied book.
    """
    snapshot = events["flags"] > 0
    events["flags"] = 0
    starts = np.flatnonzero(snapshot & ~np.append(False, snapshot[:-1]))
    run = np.cumsum(np.isin(np.arange(len(events)), starts)) - 1
    first = starts[run]
    of_first = snapshot & (events["exch_ns"] == events["exch_ns"][first])
    of_first &= events["local_ns"] == events["local_ns"][first]
    events["kind"][of_first] = rec.SNAPSHOT
    clears = events[starts]
    clears["kind"], clears["side"], clears["price_ticks"], clears["qty_lots"] = rec.CLEAR, 0, 0, 0
    said["snapshots"] = len(starts)
    return np.insert(events, starts, clears)


def _raise_stamps(events: Any, path: Path) -> int:
    """Raise exchange stamps that go back to the newest before them; returns how many were."""
    newest = np.maximum.accumulate(events["exch_ns"])
    lag = newest - events["exch_ns"]
    if len(lag) and int(lag.max()) > STAMP_BACK_NS_MAX:
        raise FeedError(f"{path}: exchange stamps go back by {int(lag.max()) // 10**9} s; the limit is an hour")
    events["exch_ns"] = newest
    return int((lag > 0).sum())


def _end_messages(events: Any) -> None:
    """Set LAST where a message ends: at other stamps, after a print or an ask of best quotes, before a CLEAR."""
    if not len(events):
        return
    before, after = events[:-1], events[1:]
    ends = (before["exch_ns"] != after["exch_ns"]) | (before["local_ns"] != after["local_ns"])
    ends |= (before["kind"] == rec.TRADE) | (after["kind"] == rec.CLEAR)
    ends |= (before["kind"] == rec.BBO) & (before["side"] == rec.SELL)
    ends |= (before["kind"] == rec.SNAPSHOT) & (after["kind"] == rec.DEPTH)
    ends |= (before["kind"] >= rec.MARK) & (after["kind"] <= before["kind"])
    events["flags"][:-1] = np.where(ends, rec.LAST, 0)
    events["flags"][-1] = rec.LAST


assert set(_ORDER) == set(KINDS), "every kind of file has its place at equal stamps"
