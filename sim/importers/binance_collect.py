"""From typed messages to columns: exact ticks and lots, the snapshot joined, everything left out counted."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from lobgym.sim import records as rec
from lobgym.sim.errors import FeedError, InstrumentError
from lobgym.sim.importers.binance_raw import (
    BookTicker,
    Depth,
    Ignored,
    Levels,
    Line,
    MarkPrice,
    Message,
    Snapshot,
    Trade,
)
from lobgym.sim.importers.binance_sync import Change, DepthSync, Step
from lobgym.sim.instrument import Instrument

__all__ = ["VENUE_KINDS", "Collector", "symbol_of", "venue_of"]

VENUE_KINDS: Final = {"binance-spot": "spot", "binance-usdm": "linear", "binance-coinm": "inverse"}
NS_PER_MS: Final = 1_000_000


def venue_of(message: Message) -> str | None:
    """Venue that a message's own fields show, or None where they do not."""
    if isinstance(message, Depth | BookTicker | Snapshot):
        if message.pair:
            return "binance-coinm"
        return "binance-usdm" if message.transaction_ms else "binance-spot"
    return None


def symbol_of(message: Message) -> str:
    """Symbol that a message names, or an empty text."""
    return "" if isinstance(message, Ignored) else message.symbol


class _Memo(dict[str, int]):
    """Integers of decimal texts. Prices repeat so often that looking them up is most of the work saved."""

    def __init__(self, convert: Callable[[str], int]) -> None:
        super().__init__()
        self._convert = convert

    def __missing__(self, text: str) -> int:
        value = self[text] = self._convert(text)
        return value


@dataclass
class Collector:
    """Messages of one recording, fed in order of receipt, as one column per field; `rows_*` are flat over all.

    `seq` is the update id (trade id of prints); `stamp_ns` is 0 where the venue gives none; `floor_ns` is the receive
    stamp before which the message cannot be used, because the snapshot that it builds on came later.
    """

    instrument: Instrument
    kind: array[int] = field(default_factory=lambda: array("b"))
    recv_ns: array[int] = field(default_factory=lambda: array("q"))
    stamp_ns: array[int] = field(default_factory=lambda: array("q"))
    floor_ns: array[int] = field(default_factory=lambda: array("q"))
    seq: array[int] = field(default_factory=lambda: array("q"))
    keep: array[int] = field(default_factory=lambda: array("b"))
    first_row: array[int] = field(default_factory=lambda: array("q"))
    rows_kind: array[int] = field(default_factory=lambda: array("b"))
    rows_side: array[int] = field(default_factory=lambda: array("b"))
    rows_tick: array[int] = field(default_factory=lambda: array("q"))
    rows_qty: array[int] = field(default_factory=lambda: array("q"))
    messages: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    gaps: list[dict[str, Any]] = field(default_factory=list)
    clock_went_back: int = 0  # messages with a receive stamp before an earlier message's, which they then take

    def __post_init__(self) -> None:
        self.venue = {kind: venue for venue, kind in VENUE_KINDS.items()}[self.instrument.kind]
        self.sync = DepthSync(spot=self.instrument.kind == "spot")
        self._ticks = _Memo(self.instrument.price_to_ticks)
        self._lots = _Memo(self.instrument.qty_to_lots)
        self._clears: dict[int, int] = {}  # change -> the CLEAR put before it
        self._newest_ns = 0
        self._take: dict[type, Callable[[Line, Any], None]] = {
            Depth: self._depth,
            BookTicker: self._best,
            Trade: self._trade,
            MarkPrice: self._mark,
            Snapshot: self._snapshot,
            Ignored: self._ignored,
        }

    def add(self, line: Line) -> None:
        """Take one message. Raises `FeedError` when it is of another symbol or venue, or no multiple of the tick."""
        message = line.message
        symbol, venue = symbol_of(message), venue_of(message)
        if symbol and symbol != self.instrument.symbol:
            raise FeedError(f"{line.place}: a message of {symbol} in a recording of {self.instrument.symbol}")
        if venue and venue != self.venue:
            raise FeedError(f"{line.place}: a message of {venue} in a recording of {self.venue}")
        if line.recv_ns < self._newest_ns:
            self.clock_went_back += 1
            line = line._replace(recv_ns=self._newest_ns)
        self._newest_ns = line.recv_ns
        try:
            self._take[type(message)](line, message)
        except InstrumentError as error:
            raise FeedError(f"{line.place}: {error}") from None
        except OverflowError:
            raise FeedError(f"{line.place}: a number that does not fit 64 bits") from None

    def _begin(self, kind: int, line: Line, stamp_ms: int, seq: int) -> int:
        """Open a message; the rows appended from now on are its rows. Returns its index."""
        self.kind.append(kind)
        self.recv_ns.append(line.recv_ns)
        self.stamp_ns.append(stamp_ms * NS_PER_MS)
        self.floor_ns.append(0)
        self.seq.append(seq)
        self.keep.append(1)
        self.first_row.append(len(self.rows_kind))
        return len(self.kind) - 1

    def _row(self, kind: int, side: int, tick: int, qty: int) -> None:
        self.rows_kind.append(kind)
        self.rows_side.append(side)
        self.rows_tick.append(tick)
        self.rows_qty.append(qty)

    def _levels(self, kind: int, bids: Levels, asks: Levels) -> None:
        ticks, lots = self._ticks, self._lots
        for side, levels in ((rec.BUY, bids), (rec.SELL, asks)):
            self.rows_tick.extend([ticks[price] for price, _ in levels])
            self.rows_qty.extend([lots[qty] for _, qty in levels])
            self.rows_kind.extend([kind] * len(levels))
            self.rows_side.extend([side] * len(levels))

    def _depth(self, line: Line, depth: Depth) -> None:
        self.messages["depth"] += 1
        if depth.first_id > depth.last_id or (not self.sync.spot and depth.previous_id < 0):
            raise FeedError(f"{line.place}: update ids U {depth.first_id}, u {depth.last_id}, pu {depth.previous_id}")
        stamp_ms = depth.event_ms if self.sync.spot else depth.transaction_ms
        index = self._begin(rec.DEPTH, line, stamp_ms, depth.last_id)
        self._levels(rec.DEPTH, depth.bids, depth.asks)
        self.keep[index] = 0  # until it is applied
        step = self.sync.change(Change(index, depth.first_id, depth.last_id, depth.previous_id))
        if step is not None:
            self._apply(step, line, 0)

    def _snapshot(self, line: Line, snapshot: Snapshot) -> None:
        self.messages["snapshot"] += 1
        steps = self.sync.snapshot(snapshot.last_id)
        if steps is None:
            return
        self._begin(rec.SNAPSHOT, line, snapshot.transaction_ms, snapshot.last_id)
        self._row(rec.CLEAR, 0, 0, 0)
        self._levels(rec.SNAPSHOT, snapshot.bids, snapshot.asks)
        for step in steps:
            # What a gap emptied was emptied before this snapshot filled it again.
            clear = self._clears.pop(step.change.message, None)
            if clear is not None:
                self.seq[clear] = snapshot.last_id
                self.stamp_ns[clear] = 0
            self._apply(step, line, line.recv_ns)

    def _apply(self, step: Step, line: Line, floor_ns: int) -> None:
        index = step.change.message
        self.keep[index] = 1
        self.floor_ns[index] = floor_ns
        if step.gap_after < 0:
            return
        clear = self._begin(rec.CLEAR, line, 0, step.change.last_id)
        self._row(rec.CLEAR, 0, 0, 0)
        self.recv_ns[clear], self.stamp_ns[clear] = self.recv_ns[index], self.stamp_ns[index]
        self.floor_ns[clear] = floor_ns
        self._clears[index] = clear
        self.gaps.append(
            {
                "after_id": step.gap_after,
                "next_first_id": step.change.first_id,
                "next_previous_id": step.change.previous_id,
                "exch_ns": self.stamp_ns[index],
                "found_at": f"{line.file.name}:{line.number}",
            }
        )

    def _best(self, line: Line, best: BookTicker) -> None:
        self.messages["bookTicker"] += 1
        self._begin(rec.BBO, line, best.transaction_ms, best.last_id)
        for side, price, qty in ((rec.BUY, best.bid, best.bid_qty), (rec.SELL, best.ask, best.ask_qty)):
            lots = self._lots[qty]
            # An empty side is sent as price 0, quantity 0.
            self._row(rec.BBO, side, self._ticks[price] if lots or price.strip("0.") else 0, lots)

    def _trade(self, line: Line, trade: Trade) -> None:
        self.messages["trade"] += 1
        lots = self._lots[trade.qty]
        if trade.execution != "MARKET":
            self.dropped[f"trade_{trade.execution}"] += 1
        elif lots == 0:
            self.dropped["trade_of_0_lots"] += 1
        else:
            self._begin(rec.TRADE, line, trade.transaction_ms, trade.trade_id)
            aggressor = rec.SELL if trade.buyer_is_maker else rec.BUY
            self._row(rec.TRADE, aggressor, self._ticks[trade.price], lots)

    def _mark(self, line: Line, mark: MarkPrice) -> None:
        self.messages["markPriceUpdate"] += 1
        self._begin(rec.MARK, line, mark.event_ms, mark.next_funding_ms)
        for kind, text, digits in ((rec.MARK, mark.mark, 8), (rec.INDEX, mark.index, 8), (rec.FUNDING, mark.rate, 12)):
            if text:
                self._row(kind, 0, 0, _scaled(text, digits, line))

    def _ignored(self, line: Line, ignored: Ignored) -> None:
        self.messages[f"ignored_{ignored.stream}"] += 1


def _scaled(text: str, digits: int, line: Line) -> int:
    """Integer of a decimal text in units of 10**-digits, rounded half to even."""
    try:
        return int(Decimal(text).scaleb(digits).to_integral_value())
    except (InvalidOperation, ValueError, OverflowError):
        raise FeedError(f"{line.place}: {text!r} is not a decimal") from None
