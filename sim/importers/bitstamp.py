"""Bitstamp's single orders made into an order tape, and into a tape of levels and prints.

The log of the feed is enough. A table of the same orders, given besides, is compared with it; a table alone gives
levels without prints.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from lobgym.sim import records as rec
from lobgym.sim.errors import FeedError
from lobgym.sim.importers.bitstamp_book import DEPTHS, Replay
from lobgym.sim.importers.bitstamp_log import TABLE, UNITS, Line, Order, Print, read_log, read_table
from lobgym.sim.importers.bitstamp_prints import Seen, origins_of
from lobgym.sim.importers.columns import blank_rows
from lobgym.sim.importers.order_tape import ORDER_EVENT_DTYPE, OrderTape
from lobgym.sim.importers.source import file_facts, read_header
from lobgym.sim.instrument import Instrument
from lobgym.sim.tape import Tape

__all__ = ["BTCUSD", "LATENCY_NS_MAX", "import_bitstamp"]

PathLike = str | os.PathLike[str]
LATENCY_NS_MAX: Final = 10_000_000_000
# A lot of 1e-6: with 1e-8, a tick times a lot would be less than the smallest amount of money.
BTCUSD: Final = Instrument.from_json(
    {
        **{"symbol": "BTCUSD", "venue": "bitstamp", "kind": "spot", "base": "BTC", "quote": "USD"},
        **{"tick_size": "0.01", "lot_size": "0.000001", "maker_fee_ppb": 2_500_000, "taker_fee_ppb": 2_500_000},
    }
)
Row = tuple[int, int, int, int, int]  # message, kind, side, tick, lots


class _Recording(NamedTuple):
    """What one pass over the messages gives."""

    local_ns: list[int]
    orders: list[tuple[int, Order]]  # (message, event)
    rows: list[Row]
    prints: list[Seen]
    replay: Replay
    first_picture: int  # its message, -1 where there is none


def import_bitstamp(
    paths: PathLike | Iterable[PathLike], instrument: Instrument = BTCUSD, latency_ns: int = 0
) -> tuple[Tape, OrderTape]:
    """Tape of levels and prints, and tape of orders.

    The feed dates no event, so an event is taken to have happened `latency_ns` before it was received. Raises
    `FeedError`, one line that begins with the file and the line.
    """
    if not 0 <= latency_ns <= LATENCY_NS_MAX:
        raise FeedError(f"latency is {latency_ns} ns, expected 0 to {LATENCY_NS_MAX}")
    files = [Path(paths)] if isinstance(paths, str | os.PathLike) else [Path(path) for path in paths]
    log, table = _told_apart(files)
    source = read_log(log, instrument) if log else read_table(table or Path(), instrument)
    found = _replay(source, instrument, log or table or Path())
    facts = [file_facts(log or table or Path(), len(found.local_ns))]
    if log and table:
        facts.append(file_facts(table, _compare(table, instrument, [order for _, order in found.orders], log)))
    provenance = {
        "source": "bitstamp",
        "venue": instrument.venue,
        "files": facts,
        "exchange_stamps": f"receive stamp - {latency_ns} ns; a print has that of the first message that shows it",
        "dropped": dict(sorted(found.replay.ignored.items())),
    }
    return _tape(found, instrument, latency_ns, provenance), _order_tape(found, instrument, latency_ns, provenance)


def _told_apart(files: list[Path]) -> tuple[Path | None, Path | None]:
    """The log and the table among the files. Raises `FeedError`."""
    tables = [file for file in files if read_header(file) == list(TABLE)]
    logs = [file for file in files if file not in tables]
    if len(tables) > 1 or len(logs) > 1 or not files:
        raise FeedError(f"{len(logs)} logs and {len(tables)} tables of orders; expected one log, one table, or both")
    return (logs[0] if logs else None), (tables[0] if tables else None)


def _replay(lines: Iterator[Line], instrument: Instrument, file: Path) -> _Recording:
    """One pass: the book after each message, as changes of displayed lots."""
    units = instrument.lot_size * UNITS
    if units != int(units):
        raise FeedError(f"instrument {instrument.symbol}: lot {instrument.lot_size} is finer than the feed's 1e-8")
    found = _Recording([], [], [], [], Replay(), -1)
    replay, shown = found.replay, Counter[tuple[int, int]]()
    for message, line in enumerate(lines):
        found.local_ns.append(line.local_ns)
        if isinstance(line.message, Print):
            if line.message.qty:
                found.prints.append(Seen(message, line.message, replay.best(rec.BUY), replay.best(rec.SELL)))
            else:
                replay.ignored["trades_of_no_amount"] += 1
            continue
        if isinstance(line.message, Order):
            found.orders.append((message, line.message))
            replay.order(message, line.message)
        else:
            replay.picture(line.message)
        if (beginning := replay.pictures == 1 and found.first_picture < 0) or message == 0:
            shown.clear()
            replay.touched.update(replay.all_levels())
            found.rows.append((message, rec.CLEAR, 0, 0, 0))
            found = found._replace(first_picture=message) if beginning else found
        for side, tick in sorted(replay.touched):
            lots = _half_even(replay.displayed((side, tick)), int(units))
            if lots != shown[side, tick]:
                shown[side, tick] = lots
                found.rows.append((message, rec.DEPTH, side, tick, lots))
        replay.touched.clear()
    if not found.rows:
        raise FeedError(f"{file}: holds no order")
    return found


def _half_even(quantity: int, units: int) -> int:
    lots, rest = divmod(max(0, quantity), units)
    return lots + (1 if 2 * rest > units or (2 * rest == units and lots & 1) else 0)


def _compare(table: Path, instrument: Instrument, orders: list[Order], log: Path) -> int:
    """Rows of a table that agrees with the log's orders, save that its volumes are cut off. Raises `FeedError`."""
    rows = 0
    for rows, line in enumerate(read_table(table, instrument), start=1):
        ours = orders[rows - 1] if rows <= len(orders) else None
        theirs = line.message
        assert isinstance(theirs, Order), "a table holds nothing else"
        if ours is None or ours._replace(qty=0) != theirs._replace(qty=0) or not 0 <= ours.qty - theirs.qty <= 1:
            raise FeedError(f"{table}:{line.number}: order {theirs.id} is not the event of {log} in that place")
    if rows != len(orders):
        raise FeedError(f"{table}: {rows} events of orders, {log} has {len(orders)}: not of one recording")
    return rows


def _tape(found: _Recording, instrument: Instrument, latency_ns: int, provenance: dict[str, Any]) -> Tape:
    """Levels from the first picture on (from the first order where there is none), prints merged in."""
    replay, begin = found.replay, max(0, found.first_picture)
    origins = origins_of(found.prints, replay.fills, found.local_ns)
    units = int(instrument.lot_size * UNITS)
    local = np.array(found.local_ns)
    book = np.array([row for row in found.rows if row[0] >= begin], dtype=np.int64)
    kept = [
        (seen.message, origin.message, origin.side, seen.print.tick, _half_even(seen.print.qty, units), seen.print.id)
        for seen, origin in zip(found.prints, origins, strict=True)
        if origin.message >= begin
    ]
    prints = np.array([one for one in kept if one[4]], dtype=np.int64).reshape(-1, 6)
    rows = blank_rows(len(book) + len(prints))
    levels, trades = rows[: len(book)], rows[len(book) :]
    levels["exch_ns"] = levels["local_ns"] = local[book[:, 0]]
    levels["kind"], levels["side"], levels["price_ticks"], levels["qty_lots"] = book[:, 1:].T
    levels["kind"][(book[:, 0] == begin) & (levels["kind"] == rec.DEPTH)] = rec.SNAPSHOT
    levels["flags"] = np.append(np.diff(book[:, 0]) != 0, True)
    trades["local_ns"], trades["exch_ns"] = local[prints[:, 0]], local[prints[:, 1]]
    trades["kind"], trades["flags"] = rec.TRADE, rec.LAST
    trades["side"], trades["price_ticks"], trades["qty_lots"], trades["seq"] = prints[:, 2:].T
    message = np.concatenate([book[:, 0], prints[:, 1]])
    level = np.append(np.ones(len(book), np.int8), np.zeros(len(prints), np.int8))
    rows["exch_ns"] -= latency_ns
    rows = rows[np.lexsort((level, message))]  # what a message shows of a trade comes after its print
    compared = max(1, replay.compared)
    said = {
        **provenance,
        "orders_older_than_the_recording": "from the 20 levels of the pictures, each price when first in view",
        "pictures": replay.pictures,
        "sides_of_pictures_compared": replay.compared,
        "share_that_agrees_to_depth": {str(depth): round(replay.met[depth] / compared, 6) for depth in DEPTHS},
        "orders_held_back_as_crossing_at_the_end": replay.held_back,
        "aggressor_told_by": dict(sorted(Counter(origin.told_by for origin in origins).items())),
        "prints_before_the_first_picture": len(origins) - len(kept),
        "prints_of_less_than_half_a_lot": len(kept) - len(prints),
    }
    return Tape(rows, instrument, said)


def _order_tape(found: _Recording, instrument: Instrument, latency_ns: int, provenance: dict[str, Any]) -> OrderTape:
    """Every event of an order, also those that the levels leave out."""
    events = np.zeros(len(found.orders), dtype=ORDER_EVENT_DTYPE)
    table = np.array([(found.local_ns[message], *order) for message, order in found.orders], dtype=np.int64).reshape(
        -1, 7
    )
    names = ("local_ns", "action", "order_id", "side", "price_ticks", "qty", "created_ns")
    for name, column in zip(names, table.T, strict=True):
        events[name] = column
    events["exch_ns"] = events["local_ns"] - latency_ns
    return OrderTape(events, instrument, provenance)
