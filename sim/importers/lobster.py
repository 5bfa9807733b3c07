"""LOBSTER's pairs of files made into tapes: one day of one stock, events and the best levels after each.

The levels come from the file of pictures, the prints from the file of events. There is no receive stamp: what the tape
says of it is the exchange's stamp and one constant.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from lobgym.sim import records as rec
from lobgym.sim.errors import FeedError
from lobgym.sim.importers.columns import blank_rows
from lobgym.sim.importers.lobster_files import (
    CROSS,
    EXECUTION,
    HALT,
    HIDDEN,
    MESSAGE,
    Events,
    column_count,
    price_unit,
    read_events,
    read_levels,
)
from lobgym.sim.importers.source import file_facts
from lobgym.sim.instrument import Instrument
from lobgym.sim.tape import Tape

__all__ = ["LATENCY_NS_MAX", "TIMEZONE", "Day", "import_lobster", "stock"]

PathLike = str | os.PathLike[str]
TIMEZONE: Final = "America/New_York"
LATENCY_NS_MAX: Final = 10_000_000_000
# From here on the exchange states "buy" for every hidden order, whatever it was (Nasdaq, ITCH specification).
SIDES_HIDDEN_FROM: Final = dt.date(2014, 7, 14)
_NO_EFFECT_SHARE_MAX: Final = 0.05


class Day(NamedTuple):
    """Which day the seconds after midnight belong to, and how much later each event is taken to be seen."""

    date: dt.date
    timezone: str = TIMEZONE
    latency_ns: int = 0

    @property
    def midnight_ns(self) -> int:
        """Nanoseconds of its midnight since 1970, UTC. Raises `FeedError` for an unknown timezone."""
        try:
            zone = ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise FeedError(f"timezone {self.timezone!r} is unknown; expected a name such as {TIMEZONE}") from None
        midnight = dt.datetime(self.date.year, self.date.month, self.date.day, tzinfo=zone)
        return int(midnight.timestamp()) * 10**9


def stock(symbol: str) -> Instrument:
    """A stock in cents and single shares, without fees: what LOBSTER's files do not say is the caller's to state."""
    data = {"symbol": symbol, "venue": "nasdaq", "kind": "spot", "base": symbol, "quote": "USD", "tick_size": "0.01",
            "lot_size": "1", "maker_fee_ppb": 0, "taker_fee_ppb": 0}  # fmt: skip
    return Instrument.from_json(data)


def import_lobster(paths: Iterable[PathLike], instrument: Instrument, day: Day) -> Tape:
    """Tape of a pair of files, in any order: the one of 6 columns holds the events, the other one the levels.

    Raises `FeedError`, one line that begins with the file and the line.
    """
    if not 0 <= day.latency_ns <= LATENCY_NS_MAX:
        raise FeedError(f"latency is {day.latency_ns} ns, expected 0 to {LATENCY_NS_MAX}")
    files = {column_count(Path(path)): Path(path) for path in paths}
    if len(files) != 2 or len(MESSAGE) not in files:
        given = ", ".join(f"{path} has {width} columns" for width, path in files.items())
        raise FeedError(f"expected a file of events (6 columns) and one of levels (4 a level); {given or 'none given'}")
    message = files.pop(len(MESSAGE))
    ((width, book),) = files.items()
    if width % 4:
        raise FeedError(f"{book}:1: {width} columns; a file of levels has 4 a level: ask price, size, bid price, size")
    events = read_events(message)
    levels, first, effects = read_levels(book, width // 4, len(events.ns), instrument, message)
    visible = np.isin(events.type[1:], (1, 2, 3, EXECUTION))
    idle = int((visible & ~effects[1:]).sum())
    if idle > _NO_EFFECT_SHARE_MAX * max(1, int(visible.sum())):
        raise FeedError(
            f"{book}: {idle} of {int(visible.sum())} visible events change no level: not the pair of {message}"
        )
    prints, counts = _prints(events, first, instrument, message, day.date)
    rows = _in_order(levels, prints, _halts(events), events.ns)
    rows["exch_ns"] += day.midnight_ns
    rows["local_ns"] = rows["exch_ns"] + day.latency_ns
    provenance = {
        "source": "lobster",
        "venue": instrument.venue,
        "files": [file_facts(message, len(events.ns)), file_facts(book, len(events.ns))],
        "date": day.date.isoformat(),
        "timezone": day.timezone,
        "levels_in_view": width // 4,
        "receive_stamps": f"exchange stamp + {day.latency_ns} ns: the files have none",
        "visible_events_without_effect": idle,
        **counts,
    }
    return Tape(rows, instrument, provenance)


def _prints(events: Events, best: Any, instrument: Instrument, path: Path, date: dt.date) -> tuple[Any, dict[str, Any]]:
    """Executions as (line, aggressor, tick, shares), and what is to be said of them."""
    unit = price_unit(instrument)
    lines = np.flatnonzero((events.type == EXECUTION) | (events.type == HIDDEN))
    hidden = events.type[lines] == HIDDEN
    price, side = events.price[lines], -events.direction[lines]
    on_grid = price % unit == 0
    if (off := ~on_grid & ~hidden).any():
        line = lines[np.argmax(off)] + 1
        raise FeedError(f"{path}:{line}: an execution at no multiple of the tick {instrument.tick_size}")
    stated = date < SIDES_HIDDEN_FROM
    if not stated:
        bid, ask = best[lines, 0], best[lines, 1]
        above = (ask > 0) & ((price >= ask) | ((bid > 0) & (2 * price > bid + ask)))
        below = (bid > 0) & ((price <= bid) | ((ask > 0) & (2 * price < bid + ask)))
        side = np.where(hidden & above, rec.BUY, np.where(hidden & below, rec.SELL, side))
    counts = {
        "executions": int((~hidden).sum()),
        "hidden_executions": int(hidden.sum()),
        "aggressor_of_hidden_executions": "as stated"
        if stated
        else "by the nearer best price, at the middle as stated",
        "dropped": {
            "hidden_executions_between_ticks": int((hidden & ~on_grid).sum()),
            "cross_trades": int((events.type == CROSS).sum()),
            "halt_messages_that_only_resume_quoting": int(((events.type == HALT) & (events.price == 0)).sum()),
        },
    }
    table = np.stack([lines, side, price // unit, events.size[lines]], axis=1)
    return table[on_grid], counts


def _halts(events: Events) -> Any:
    """Trading halts as (line, 0, 0, 1 halted or 0 trading)."""
    lines = np.flatnonzero((events.type == HALT) & (events.price != 0))
    zeros = np.zeros(len(lines), dtype=np.int64)
    return np.stack([lines, zeros, zeros, (events.price[lines] == -1).astype(np.int64)], axis=1)


def _in_order(levels: Any, prints: Any, halts: Any, ns: Any) -> Any:
    """EVENT_DTYPE[rows]: of each event its print, then the levels, then a halt; the first levels follow a CLEAR."""
    clear = np.array([[0, 0, 0, 0]])
    parts = ((prints, rec.TRADE, 0), (clear, rec.CLEAR, 1), (levels, rec.DEPTH, 2), (halts, rec.STATUS, 3))
    table = np.concatenate([part for part, _, _ in parts])
    kind = np.repeat([kind for _, kind, _ in parts], [len(part) for part, _, _ in parts])
    rank = np.repeat([rank for _, _, rank in parts], [len(part) for part, _, _ in parts])
    order = np.lexsort((rank, table[:, 0]))
    table, kind = table[order], kind[order]
    rows = blank_rows(len(table))
    line = table[:, 0]
    rows["exch_ns"], rows["kind"] = ns[line], np.where((kind == rec.DEPTH) & (line == 0), rec.SNAPSHOT, kind)
    rows["side"], rows["price_ticks"], rows["qty_lots"] = table[:, 1], table[:, 2], table[:, 3]
    joined = (line[1:] == line[:-1]) & (kind[1:] == rec.DEPTH) & np.isin(kind[:-1], (rec.DEPTH, rec.CLEAR))
    rows["flags"][:-1] = np.where(joined, 0, rec.LAST)
    rows["flags"][-1] = rec.LAST
    return rows
