"""What the importers of tables share: exact integers of columns of texts, and streams of rows made into one tape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Context, Decimal, InvalidOperation
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lobgym.sim import records as rec
from lobgym.sim.errors import FeedError, InstrumentError
from lobgym.sim.importers.source import Batch
from lobgym.sim.instrument import INT_MAX, Instrument

__all__ = ["Exact", "billionths", "blank_rows", "lot_count", "merge_streams", "shift_clock", "tick_count", "whole"]

_SCALE: Final = 9  # digits after the point that the fast way keeps
_WIDE: Final = pa.decimal128(38, _SCALE)
_EXACT: Final = Context(prec=80)


class Exact:
    """Ticks, lots and other integers of columns of decimal texts, exactly.

    Texts are made 128-bit decimals all at once; a batch where that fails (a longer fraction, an exponent too far, no
    number) is done text by text, which also says what is wrong where.
    """

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self._ticks: dict[str, int] = {}
        self._lots: dict[str, int] = {}

    def ticks(self, batch: Batch, name: str) -> Any:
        """int64[rows] of a column of prices. Raises `FeedError` at a price that is no positive multiple of the tick."""
        column = batch.columns[name]
        value = _scaled_integers(column)
        unit = _unit(self.instrument.tick_size)
        if value is not None and unit and (value > 0).all() and not (value % unit).any():
            return value // unit
        return whole(batch, column, self._ticks, self.instrument.price_to_ticks)

    def lots(self, batch: Batch, name: str) -> Any:
        """int64[rows] of a column of quantities, rounded half to even. Raises `FeedError`."""
        column = batch.columns[name]
        value = _scaled_integers(column)
        unit = _unit(self.instrument.lot_size)
        if value is None or not unit or (value < 0).any():
            return whole(batch, column, self._lots, self.instrument.qty_to_lots)
        lots, rest = np.divmod(value, unit)
        return lots + ((2 * rest > unit) | ((2 * rest == unit) & (lots % 2 == 1)))


def billionths(batch: Batch, name: str) -> Any:
    """int64[rows] of a column of decimals in units of 1e-9. Raises `FeedError` where one has more digits."""
    value = _scaled_integers(batch.columns[name])
    return whole(batch, batch.columns[name], {}, _billionths) if value is None else value


def _billionths(text: str) -> int:
    try:
        value = _EXACT.scaleb(Decimal(text), _SCALE)
        if value == value.to_integral_value() and abs(value) < INT_MAX:
            return int(value)
    except (InvalidOperation, ValueError):
        pass
    raise InstrumentError(f"{text!r} is no decimal with at most {_SCALE} digits after the point")


def _scaled_integers(column: Any) -> Any:
    """int64[rows] of a column of decimals in units of 10**-_SCALE, or None where that is not exact."""
    try:
        wide = pc.cast(column, _WIDE)
    except pa.ArrowInvalid:
        return None
    words = np.frombuffer(wide.buffers()[1], dtype="<i8").reshape(-1, 2)[wide.offset : wide.offset + len(wide)]
    low = words[:, 0].astype(np.int64)
    return low if (words[:, 1] == low >> 63).all() else None


def _unit(size: Decimal) -> int:
    """`size` in units of 10**-_SCALE, 0 where it is no whole number of them or too many."""
    scaled = _EXACT.scaleb(size, _SCALE)
    return int(scaled) if scaled == scaled.to_integral_value() and scaled < INT_MAX else 0


def whole(batch: Batch, column: Any, known: dict[str, int], convert: Callable[[str], int]) -> Any:
    """int64[rows]: `convert` of each text of a column, once for each different one; `known` keeps them.

    Raises `FeedError` at the first line whose text cannot be converted.
    """
    packed = column.dictionary_encode()
    codes = packed.indices.to_numpy(zero_copy_only=False)
    values = np.zeros(len(packed.dictionary), dtype=np.int64)
    wrong: list[tuple[int, str]] = []
    for code, text in enumerate(packed.dictionary.to_pylist()):
        value = known.get(text)
        if value is None:
            try:
                value = known[text] = convert(text)
            except InstrumentError as error:
                wrong.append((int(np.argmax(codes == code)), str(error)))
                continue
        values[code] = value
    if wrong:
        row, message = min(wrong)
        raise FeedError(f"{batch.path}:{batch.line + row}: {message}")
    return values[codes]


def tick_count(batch: Batch, price: Any, instrument: Instrument, ok: Any) -> Any:
    """int64[rows]: ticks of float prices, checked to lie on the grid where `ok`, bool[rows], says so.

    A float price is the nearest double to a decimal, so it stands within a few units in its last place of a multiple
    of the tick; one further away than 1e-4 ticks was no multiple. Raises `FeedError`.
    """
    with np.errstate(all="ignore"):
        exact = price / float(instrument.tick_size)
        near = np.rint(exact)
        batch.require(~ok | (np.isfinite(exact) & (near < 2.0**52)), "a price that is no number, or too large a one")
        on_grid = (near >= 1) & (np.abs(exact - near) <= 1e-4)
    batch.require(~ok | on_grid, f"a price that is no positive multiple of the tick {instrument.tick_size}")
    return np.where(ok, near, 0).astype(np.int64)


def lot_count(batch: Batch, qty: Any, instrument: Instrument, ok: Any) -> Any:
    """int64[rows]: lots of float quantities where `ok`, rounded half to even. Raises `FeedError`."""
    with np.errstate(all="ignore"):
        near = np.rint(qty / float(instrument.lot_size))
        batch.require(~ok | ((near >= 0) & (near < 2.0**52)), "a quantity that is negative, no number, or too large")
    return np.where(ok, near, 0).astype(np.int64)


def blank_rows(rows: int, kind: int = 0) -> Any:
    """EVENT_DTYPE[rows] of zeros, of one kind."""
    events = np.zeros(rows, dtype=rec.EVENT_DTYPE)
    events["kind"] = kind
    return events


def shift_clock(exch_ns: Any, local_ns: Any, base_latency_ns: int) -> dict[str, int]:
    """By how much receive stamps must be shifted so that no message takes less than the base latency.

    A clock that is right already is left alone: the shift is never negative.
    """
    fastest = int((local_ns - exch_ns).min()) if len(exch_ns) else base_latency_ns
    return {
        "receive_minus_exchange_min_ns": fastest,
        "base_latency_ns": base_latency_ns,
        "correction_ns": max(0, base_latency_ns - fastest),
    }


def merge_streams(streams: Sequence[Any]) -> Any:
    """EVENT_DTYPE[rows] of several streams, each in its own order, by exchange stamp.

    At equal stamps an earlier stream comes first, so that messages stay whole.
    """
    events = np.concatenate(list(streams))
    return events[np.argsort(events["exch_ns"], kind="stable")]
