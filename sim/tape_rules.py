"""What makes a table of events a tape: the rules that its rows keep, and the digest of its content."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from lobgym.sim import records as rec
from lobgym.sim.errors import TapeFormatError
from lobgym.sim.instrument import Instrument

__all__ = ["STAMP_MAX", "events_digest", "validate_events"]

STAMP_MAX: Final = 2**62
_PRICED: Final = (rec.DEPTH, rec.TRADE, rec.SNAPSHOT)
_UNSIDED: Final = (rec.CLEAR, rec.MARK, rec.INDEX, rec.FUNDING, rec.STATUS, rec.REGIME)
# Kinds that may share a message with the row before them.
_FAMILY: Final = np.array([0, 1, 2, 3, 3, 4, 5, 5, 5, 6, 7], dtype=np.uint8)


def _require(ok: npt.NDArray[np.bool_], events: npt.NDArray[Any], what: str) -> None:
    """Raises `TapeFormatError` that names the first row where `ok` is false."""
    if not ok.all():
        row = int(np.argmin(ok))
        raise TapeFormatError(f"row {row} of {len(events)}: {what}; it is {events[min(row, len(events) - 1)].item()}")


def validate_events(events: npt.NDArray[Any]) -> None:
    """Check every rule of the event table. Raises `TapeFormatError`: which rule, and which row breaks it."""
    if not isinstance(events, np.ndarray) or events.dtype != rec.EVENT_DTYPE or events.ndim != 1:
        got = f"{events.dtype} of shape {events.shape}" if isinstance(events, np.ndarray) else type(events).__name__
        raise TapeFormatError(f"events must be a one-dimensional array of EVENT_DTYPE, not {got}")
    if len(events) == 0:
        raise TapeFormatError("a tape needs at least one row")
    exch, local, kind = events["exch_ns"], events["local_ns"], events["kind"]
    tick, qty, side, flags = events["price_ticks"], events["qty_lots"], events["side"], events["flags"]

    _require((exch >= 0) & (local < STAMP_MAX), events, "stamps must lie between 0 and 2**62 nanoseconds")
    _require(np.diff(exch, prepend=exch[0]) >= 0, events, "exch_ns must not go back")
    _require(local >= exch, events, "local_ns must not lie before exch_ns (nothing is seen before it happens)")
    _require((kind >= rec.DEPTH) & (kind <= rec.REGIME), events, "unknown kind")
    unsided = np.isin(kind, _UNSIDED)
    _require(np.where(unsided, side == 0, (side == rec.BUY) | (side == rec.SELL)), events, "side does not fit the kind")
    priced = np.isin(kind, _PRICED) | ((kind == rec.BBO) & (qty > 0))
    _require((tick >= 0) & (tick < STAMP_MAX) & ((tick > 0) | ~priced), events, "price_ticks does not fit the kind")
    _require((qty < STAMP_MAX) & (qty > -STAMP_MAX), events, "qty_lots must be below 2**62")
    _require((qty >= 0) | (kind == rec.FUNDING), events, "qty_lots must not be negative")
    _require((qty > 0) | (kind != rec.TRADE), events, "a print needs a quantity")
    plain = (tick == 0) & ((qty == 0) | (qty == 1))
    _require(plain | (kind != rec.STATUS), events, "a status has qty_lots 1 (halted) or 0 (trading) and price_ticks 0")
    _require(flags <= rec.LAST, events, "unknown flags")
    _validate_messages(events)


def _validate_messages(events: npt.NDArray[Any]) -> None:
    if not events["flags"][-1] & rec.LAST:
        raise TapeFormatError("the last row does not end its message (flag LAST)")
    if len(events) < 2:
        return
    before, after = events[:-1], events[1:]
    inside = (before["flags"] & rec.LAST) == 0  # the row after belongs to the same message
    same_stamps = (before["exch_ns"] == after["exch_ns"]) & (before["local_ns"] == after["local_ns"])
    _require(same_stamps | ~inside, events, "the rows of a message must share both stamps")
    same_family = _FAMILY[before["kind"]] == _FAMILY[after["kind"]]
    _require(same_family | ~inside, events, "rows of these kinds cannot share a message")
    _require(~inside | (after["kind"] != rec.CLEAR), events, "CLEAR must begin its message")
    follows = inside & np.isin(before["kind"], (rec.CLEAR, rec.SNAPSHOT))
    _require(follows | (after["kind"] != rec.SNAPSHOT), events, "SNAPSHOT rows must follow a CLEAR in its message")


def events_digest(events: npt.NDArray[Any], instrument: Instrument) -> str:
    """sha256, as hex, over the instrument and the columns (little-endian, in the order of EVENT_DTYPE)."""
    sha = hashlib.sha256(json.dumps(instrument.to_json(), sort_keys=True).encode())
    for name in rec.EVENT_DTYPE.names or ():
        column = np.ascontiguousarray(events[name])
        sha.update(f"\n{name} {column.dtype.str} {len(column)}\n".encode())
        sha.update(column.astype(column.dtype.newbyteorder("<"), copy=False).data)
    return sha.hexdigest()
