"""Binance recordings as text: lines of `<receive stamp> <raw websocket JSON>`, plain or gzip, decoded and typed.

Stamps, ids and texts are passed on as they stand; only the receive stamp is brought to nanoseconds. Every error is a
`FeedError` that begins with `file:line:`.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

import msgspec

from lobgym.sim.errors import FeedError

__all__ = ["BookTicker", "Depth", "Ignored", "Line", "MarkPrice", "Snapshot", "Trade", "file_sha256", "read_messages"]

Levels: TypeAlias = list[tuple[str, str]]  # (price, quantity)
_GZIP_MAGIC: Final = b"\x1f\x8b"
_LINE_BYTES_MAX: Final = 1 << 24  # the longest message, a snapshot of 5,000 levels, has a fiftieth of it
# Receive stamps by magnitude: microseconds of 1973 to 5138 end where nanoseconds of 1973 begin.
_MICROSECONDS: Final = (10**14, 10**17)
_NANOSECONDS: Final = (10**17, 2**62)


class Depth(msgspec.Struct):
    """Change of levels. Spot has neither `transaction_ms` nor `previous_id`; only COIN-M has a pair."""

    symbol: str = msgspec.field(name="s")
    event_ms: int = msgspec.field(name="E")
    first_id: int = msgspec.field(name="U")
    last_id: int = msgspec.field(name="u")
    bids: Levels = msgspec.field(name="b")
    asks: Levels = msgspec.field(name="a")
    transaction_ms: int = msgspec.field(name="T", default=0)
    previous_id: int = msgspec.field(name="pu", default=-1)
    pair: str = msgspec.field(name="ps", default="")


class BookTicker(msgspec.Struct):
    """Best prices and quantities. Spot has no stamp."""

    symbol: str = msgspec.field(name="s")
    last_id: int = msgspec.field(name="u")
    bid: str = msgspec.field(name="b")
    bid_qty: str = msgspec.field(name="B")
    ask: str = msgspec.field(name="a")
    ask_qty: str = msgspec.field(name="A")
    transaction_ms: int = msgspec.field(name="T", default=0)
    pair: str = msgspec.field(name="ps", default="")


class Trade(msgspec.Struct):
    """A print. Futures say in `execution` what kind it is: only MARKET came from the book."""

    symbol: str = msgspec.field(name="s")
    trade_id: int = msgspec.field(name="t")
    price: str = msgspec.field(name="p")
    qty: str = msgspec.field(name="q")
    transaction_ms: int = msgspec.field(name="T")
    buyer_is_maker: bool = msgspec.field(name="m")
    execution: str = msgspec.field(name="X", default="MARKET")


class MarkPrice(msgspec.Struct):
    """Mark price, index price, predicted funding rate and the next funding time; texts may be empty."""

    symbol: str = msgspec.field(name="s")
    event_ms: int = msgspec.field(name="E")
    mark: str = msgspec.field(name="p")
    index: str = msgspec.field(name="i", default="")
    rate: str = msgspec.field(name="r", default="")
    next_funding_ms: int = msgspec.field(name="T", default=0)


class Snapshot(msgspec.Struct):
    """REST depth snapshot. Spot has no stamp; only COIN-M has symbol and pair."""

    last_id: int = msgspec.field(name="lastUpdateId")
    bids: Levels
    asks: Levels
    transaction_ms: int = msgspec.field(name="T", default=0)
    symbol: str = ""
    pair: str = ""


class Ignored(NamedTuple):
    """A message of a stream that a tape has no place for, or an answer to a subscription."""

    stream: str


Message: TypeAlias = Depth | BookTicker | Trade | MarkPrice | Snapshot | Ignored


class Line(NamedTuple):
    """One message with the place it was read from."""

    file: Path
    number: int
    recv_ns: int
    message: Message

    @property
    def place(self) -> str:
        """Beginning of every message about this line."""
        return f"{self.file}:{self.number}"


class _Envelope(msgspec.Struct):
    stream: str = ""
    data: msgspec.Raw = msgspec.Raw(b"")
    last_id: int = msgspec.field(name="lastUpdateId", default=-1)
    id: object = None  # of an answer to a subscription


_ENVELOPE: Final = msgspec.json.Decoder(_Envelope)
_SNAPSHOT: Final = msgspec.json.Decoder(Snapshot)
_STREAMS: Final[dict[str, msgspec.json.Decoder[Message]]] = {
    "depth": msgspec.json.Decoder(Depth),
    "bookTicker": msgspec.json.Decoder(BookTicker),
    "trade": msgspec.json.Decoder(Trade),
    "markPrice": msgspec.json.Decoder(MarkPrice),
}


def file_sha256(path: Path) -> str:
    """sha256 of the file as it lies on disk, as hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _decode(body: bytes) -> Message | None:
    """Message of a line's JSON, or None where it is none of Binance's."""
    envelope = _ENVELOPE.decode(body)
    if envelope.stream:
        # "btcusdt@depth@100ms" is the stream of changes; "btcusdt@depth5" another one, which is left out.
        parts = envelope.stream.split("@")
        decoder = _STREAMS.get(parts[1] if len(parts) > 1 else "")
        return decoder.decode(envelope.data) if decoder else Ignored(envelope.stream.partition("@")[2] or parts[0])
    if envelope.last_id >= 0:
        return _SNAPSHOT.decode(body)
    return Ignored("answer") if envelope.id is not None else None


def _receive_ns(text: bytes) -> int:
    """Nanoseconds of a receive stamp, or -1 where it is none."""
    if not text.isdigit() or len(text) > 19:
        return -1
    stamp = int(text)
    if _NANOSECONDS[0] <= stamp < _NANOSECONDS[1]:
        return stamp
    return stamp * 1_000 if _MICROSECONDS[0] <= stamp < _MICROSECONDS[1] else -1


def read_messages(path: Path) -> Iterator[Line]:
    """Every message of a file, in order of receipt; blank lines are skipped. Raises `FeedError`."""
    number = 0
    try:
        if path.exists() and not path.is_file() and not path.is_dir():  # a device has no end, a pipe no second reading
            raise FeedError(f"{path}: cannot read the recording: not a regular file")
        with open(path, "rb") as raw:
            packed = raw.read(2) == _GZIP_MAGIC
            raw.seek(0)
            with gzip.open(raw) if packed else raw as lines:
                while line := lines.readline(_LINE_BYTES_MAX):
                    number += 1
                    if len(line) == _LINE_BYTES_MAX:
                        raise FeedError(f"{path}:{number}: a line of more than {_LINE_BYTES_MAX} bytes")
                    if line.strip():
                        yield _parse(path, number, line)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        what = "truncated" if isinstance(error, EOFError) else f"damaged ({error})"
        raise FeedError(f"{path}:{number + 1}: the gzip data is {what} after line {number}") from None
    except OSError as error:
        raise FeedError(f"{path}: cannot read the recording: {error.strerror or error}") from None


def _parse(path: Path, number: int, line: bytes) -> Line:
    stamp, _, body = line.partition(b" ")
    recv_ns = _receive_ns(stamp)
    if recv_ns < 0 or not body.lstrip().startswith(b"{"):
        found = line[:40].decode("latin-1")
        raise FeedError(
            f"{path}:{number}: not a Binance recording: expected '<receive stamp in us or ns> <JSON>', found {found!a}"
        )
    try:
        message = _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise FeedError(f"{path}:{number}: not a Binance message: {error}") from None
    if message is None:
        found = body[:60].decode("latin-1")
        raise FeedError(f"{path}:{number}: neither a stream's message nor a depth snapshot: {found!a}")
    return Line(path, number, recv_ns, message)
