"""LOBSTER's two files as columns: events, and pictures of the best levels after each of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from lobgym.sim.errors import FeedError
from lobgym.sim.importers.columns import billionths
from lobgym.sim.importers.lobster_levels import NOTHING, Pictures, changes_of
from lobgym.sim.importers.source import HEADER_BYTES_MAX, Batch, open_source, read_batches
from lobgym.sim.instrument import Instrument

__all__ = [
    "CROSS",
    "EXECUTION",
    "HALT",
    "HIDDEN",
    "MESSAGE",
    "Events",
    "column_count",
    "price_unit",
    "read_events",
    "read_levels",
]

MESSAGE: Final = ("time", "type", "order", "size", "price", "direction")
EXECUTION, HIDDEN, CROSS, HALT = 4, 5, 6, 7
_NO_ASK: Final = 9_999_999_999
_UNIT: Final = 10_000  # prices are stated in these parts of a dollar
_DAY_NS: Final = 86_400 * 10**9


class Events(NamedTuple):
    """The file of events as columns, one entry a line."""

    ns: Any
    type: Any
    size: Any
    price: Any
    direction: Any


def column_count(path: Path) -> int:
    """Number of columns of a file, by its first line: 6 of events, 4 a level of pictures. Raises `FeedError`."""
    with open_source(path) as stream:
        first = stream.readline(HEADER_BYTES_MAX)
    if not first.strip() or len(first) == HEADER_BYTES_MAX:
        raise FeedError(f"{path}:1: {'no line' if not first.strip() else 'a line without end'}; expected CSV")
    return first.count(b",") + 1


def read_events(path: Path) -> Events:
    """The whole file of events. Raises `FeedError`."""
    types = {name: pa.int64() for name in MESSAGE if name != "order"} | {"time": pa.string()}
    parts: list[Events] = []
    newest = 0
    for batch in read_batches(path, types, MESSAGE):
        ns = billionths(batch, "time")
        kind, size, price, direction = (
            batch.columns[name].to_numpy() for name in ("type", "size", "price", "direction")
        )
        batch.require((ns >= 0) & (ns < _DAY_NS), "the time is outside the day; expected seconds after midnight")
        batch.require(np.diff(ns, prepend=newest) >= 0, "the time goes back")
        newest = int(ns[-1])
        batch.require((kind >= 1) & (kind <= HALT), "the type is none of 1 to 7")
        batch.require(
            (kind != HALT) | (np.abs(price) <= 1), "a trading halt (type 7) with a price that is not -1, 0 or 1"
        )
        usual = kind < CROSS
        batch.require(~usual | ((size > 0) & (size < 2**40)), "the size is not above 0")
        batch.require(~usual | ((price > 0) & (price < 2**40)), "the price is not above 0")
        batch.require(~usual | (np.abs(direction) == 1), "the direction is neither 1 nor -1")
        parts.append(Events(ns, kind, size, price, direction))
    if not parts:
        raise FeedError(f"{path}: holds no event")
    return Events(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def read_levels(path: Path, depth: int, lines: int, instrument: Instrument, message: Path) -> tuple[Any, Any, Any]:
    """Changes of levels, the best prices before each event, and whether it changed anything.

    int64[changes, 4] (line, side, tick, shares), int64[lines, 2] (bid, ask; 0 none), bool[lines].
    """
    names = [f"{what}{k}" for k in range(depth) for what in ("ask", "asks", "bid", "bids")]
    unit = price_unit(instrument)
    pictures = Pictures.empty(depth)
    changes: list[Any] = []
    best: list[Any] = [np.zeros((1, 2), dtype=np.int64)]
    done = 0
    for batch in read_batches(path, dict.fromkeys(names, pa.int64()), names):
        key, qty = _picture(batch, names, depth, unit, instrument)
        pictures = _changes(pictures, key, qty, done, changes)
        best.append(np.where(key[:, :, 0] == NOTHING, 0, np.abs(key[:, :, 0])))
        done += batch.rows
    if done != lines:
        raise FeedError(f"{path}: {done} lines of levels for {lines} events in {message}; a pair has equally many")
    rows = np.concatenate(changes)
    effects = np.zeros(lines, dtype=bool)
    effects[rows[:, 0]] = True
    rows[:, 2] = np.abs(rows[:, 2]) // unit
    return rows, np.concatenate(best)[:lines], effects


def price_unit(instrument: Instrument) -> int:
    """A tick in the files' 0.0001 dollars. Raises `FeedError` where it is no whole number, or a lot no single share."""
    unit = instrument.tick_size * _UNIT
    if unit != int(unit) or instrument.lot_size != 1:
        raise FeedError(
            f"instrument {instrument.symbol}: tick {instrument.tick_size}, lot {instrument.lot_size}; LOBSTER's prices "
            "are whole 0.0001 dollars and its sizes whole shares"
        )
    return int(unit)


def _picture(batch: Batch, names: list[str], depth: int, unit: int, instrument: Instrument) -> tuple[Any, Any]:
    """Keys and quantities, int64[rows, 2, depth], of one batch. Raises `FeedError`."""
    columns = np.stack([batch.columns[name].to_numpy() for name in names], axis=1).reshape(batch.rows, depth, 4)
    price = columns[:, :, [2, 0]].transpose(0, 2, 1)
    qty = np.ascontiguousarray(columns[:, :, [3, 1]].transpose(0, 2, 1))
    empty = np.abs(price) == _NO_ASK
    sane = empty | ((price > 0) & (price < _NO_ASK) & (qty > 0))
    batch.require(sane.all(axis=(1, 2)), "a level whose price or size is not above 0")
    grid = empty | (price % unit == 0)
    batch.require(grid.all(axis=(1, 2)), f"a price that is no multiple of the tick {instrument.tick_size}")
    key = np.where(empty, NOTHING, price * np.array([-1, 1])[:, None])
    rising = (np.diff(key, axis=2) > 0) | empty[:, :, 1:]
    batch.require(rising.all(axis=(1, 2)), "the levels do not stand best first")
    qty[empty] = 0
    return np.ascontiguousarray(key), qty


def _changes(pictures: Pictures, key: Any, qty: Any, done: int, changes: list[Any]) -> Pictures:
    """Append the changes of one batch, whose first picture has the number `done`."""
    out = np.empty((max(1 << 16, 16 * key.shape[2]), 4), dtype=np.int64)
    row = 0
    while row < len(key):
        after, written = changes_of(pictures, key, qty, row, out)
        part = out[:written].copy()
        part[:, 0] += done
        changes.append(part)
        if after == row:
            pictures = pictures.roomier()
            out = np.empty((2 * len(out), 4), dtype=np.int64)
        row = after
    return pictures
