"""Bitstamp's order feed of 2015 as text: a log of `<receive ms> <event> <JSON>` a line, and a table of its orders.

The log holds every order (created, changed, deleted), prints without a taker's side, and pictures of the 20 best
levels. The stamp inside a message is when the order was created, in whole seconds, whatever happens to it now: an event
has no exchange stamp of its own. The table's volumes are cut off, not rounded, at 1e-8: the log is the better source.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

import msgspec
import pyarrow as pa

from lobgym.sim import records as rec
from lobgym.sim.errors import FeedError, InstrumentError
from lobgym.sim.importers.columns import whole
from lobgym.sim.importers.order_tape import CHANGED, CREATED, DELETED
from lobgym.sim.importers.source import open_source, read_batches
from lobgym.sim.instrument import Instrument

__all__ = ["TABLE", "UNITS", "Line", "Order", "Picture", "Print", "read_log", "read_table"]

UNITS: Final = 10**8  # quantities are counted in these parts of the base currency
TABLE: Final = ("id", "timestamp", "exchange.timestamp", "price", "volume", "action", "direction")
_ACTIONS: Final = {"created": CREATED, "changed": CHANGED, "deleted": DELETED}
_LINE_BYTES_MAX: Final = 1 << 20
_MS: Final = (10**12, 10**13)
_QTY_MAX: Final = 2**62
_FLOAT_DIGITS: Final = Decimal("1e-8")  # a trade's numbers are binary fractions, written out: 236.61000000000001


class Order(NamedTuple):
    """One event of an order; `qty` is what is left of it, in 1e-8."""

    action: int
    id: int
    side: int
    tick: int
    qty: int
    created_ns: int


class Print(NamedTuple):
    """A trade."""

    id: int
    tick: int
    qty: int


class Picture(NamedTuple):
    """The best levels, (tick, quantity), best first."""

    bids: list[tuple[int, int]]
    asks: list[tuple[int, int]]


class Line(NamedTuple):
    """One message, its line and when it was received."""

    number: int
    local_ns: int
    message: Order | Print | Picture


class _OrderMessage(msgspec.Struct):
    price: str
    amount: str
    datetime: str
    id: int
    order_type: int


class _TradeMessage(msgspec.Struct):
    price: Decimal
    amount: Decimal
    id: int


class _BookMessage(msgspec.Struct):
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]


_Decoder: TypeAlias = msgspec.json.Decoder
_ORDER: Final = _Decoder(_OrderMessage)
_TRADE: Final = _Decoder(_TradeMessage)
_BOOK: Final = _Decoder(_BookMessage)


def read_log(path: Path, instrument: Instrument) -> Iterator[Line]:
    """Every message of a log, in order of receipt. Raises `FeedError`."""
    ticks: dict[str, int] = {}
    number, newest = 0, 0
    with open_source(path) as stream:
        while text := stream.readline(_LINE_BYTES_MAX):
            number += 1
            if len(text) == _LINE_BYTES_MAX:
                raise FeedError(f"{path}:{number}: a line of more than {_LINE_BYTES_MAX} bytes")
            stamp, _, rest = text.partition(b" ")
            event, _, body = rest.partition(b" ")
            if not stamp.isdigit() or len(stamp) > 13 or not _MS[0] <= int(stamp) < _MS[1]:
                found = text[:40].decode("latin-1")
                raise FeedError(f"{path}:{number}: expected '<receive ms> <event> <JSON>', found {found!r}")
            if int(stamp) < newest:
                raise FeedError(f"{path}:{number}: the receive stamp goes back")
            newest = int(stamp)
            try:
                message = _typed(event.decode("latin-1"), body, instrument, ticks)
            except (msgspec.MsgspecError, InstrumentError, InvalidOperation, UnicodeDecodeError) as error:
                raise FeedError(f"{path}:{number}: {error}") from None
            yield Line(number, newest * 1_000_000, message)


def _typed(event: str, body: bytes, instrument: Instrument, ticks: dict[str, int]) -> Order | Print | Picture:
    if event == "order_book":
        book = _BOOK.decode(body)
        bids, asks = ([(_ticks(p, instrument, ticks), _units(q)) for p, q in side] for side in (book.bids, book.asks))
        return Picture(bids, asks)
    if event == "trade":
        trade = _TRADE.decode(body)
        price = str(trade.price.quantize(_FLOAT_DIGITS))
        return Print(trade.id, _ticks(price, instrument, ticks), _units(str(trade.amount)))
    if not event.startswith("order_") or event[6:] not in _ACTIONS:
        raise InstrumentError(f"an event {event[:40]!r}; expected order_created, _changed, _deleted, _book or trade")
    order = _ORDER.decode(body)
    if order.order_type not in (0, 1) or not order.datetime.isdecimal() or len(order.datetime) > 10 or order.id <= 0:
        raise InstrumentError("order_type is not 0 or 1, datetime no seconds since 1970, or id not above 0")
    side = rec.SELL if order.order_type else rec.BUY
    tick = _ticks(order.price, instrument, ticks)
    return Order(_ACTIONS[event[6:]], order.id, side, tick, _units(order.amount), int(order.datetime) * 10**9)


def _ticks(price: str, instrument: Instrument, known: dict[str, int]) -> int:
    tick = known.get(price)
    if tick is None:
        tick = known[price] = instrument.price_to_ticks(price)
    return tick


@lru_cache(maxsize=1 << 16)  # pictures repeat what earlier ones showed
def _units(amount: str) -> int:
    """Quantity in 1e-8, rounded to it."""
    value = Decimal(amount) * UNITS
    if not value.is_finite() or not 0 <= value < _QTY_MAX:
        raise InstrumentError(f"amount {amount!r} is no decimal from 0 to {_QTY_MAX // UNITS}")
    return int(value.to_integral_value())


def read_table(path: Path, instrument: Instrument) -> Iterator[Line]:
    """Every order event of a table, in its order. Raises `FeedError`."""
    types = {name: pa.int64() for name in TABLE} | {name: pa.string() for name in ("price", "action", "direction")}
    ticks: dict[str, int] = {}
    newest = 0
    for batch in read_batches(path, types):
        values = {name: batch.columns[name].to_numpy() for name in TABLE if types[name] == pa.int64()}
        local = values["timestamp"]
        batch.require((local >= _MS[0]) & (local < _MS[1]), "the timestamp is not in milliseconds since 1970")
        batch.require(local >= [newest, *local[:-1].tolist()], "the timestamp goes back")
        created = values["exchange.timestamp"]
        batch.require((created >= 0) & (created < _MS[1]), "the exchange.timestamp is not in milliseconds since 1970")
        batch.require((values["id"] > 0) & (values["volume"] >= 0), "an id or a volume below 0")
        tick = whole(batch, batch.columns["price"], ticks, instrument.price_to_ticks)
        action = whole(batch, batch.columns["action"], {}, _Choice("action", _ACTIONS))
        side = whole(batch, batch.columns["direction"], {}, _Choice("direction", {"bid": rec.BUY, "ask": rec.SELL}))
        newest = int(local[-1])
        columns = (action, values["id"], side, tick, values["volume"], created * 1_000_000)
        rows = zip(local.tolist(), *(column.tolist() for column in columns), strict=True)
        for k, (local_ms, *order) in enumerate(rows):
            yield Line(batch.line + k, local_ms * 1_000_000, Order(*order))


class _Choice:
    """Number of a word."""

    def __init__(self, name: str, words: dict[str, int]) -> None:
        self._name, self._words = name, words

    def __call__(self, text: str) -> int:
        if text not in self._words:
            raise InstrumentError(f"{self._name} {text[:40]!r} is none of {', '.join(self._words)}")
        return self._words[text]
