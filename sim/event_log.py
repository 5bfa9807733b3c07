"""The event log as a Parquet file: codes with their names beside them, so that any tool can read it.

The file has the columns of LOG_DTYPE, and `kind_name`, `reason_name`, `side_name`, `tif_name` as dictionaries of
strings. Prices stay ticks and quantities lots; the metadata holds the instrument, its tick_size, lot_size and
money_unit as exact decimals, how many rows there are, and the digest of their content.

A writer appends to a file aside and moves it to its place when it is closed, so a file that is there is whole. Where
its block ends by an error or Ctrl-C, what was appended by then is closed in the same way: a log is worth most when
something went wrong. Only a process that is killed leaves none (and the file aside, whose name begins with `.tmp-`).
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lobgym.sim import records as rec
from lobgym.sim.errors import InstrumentError, LogError, LogFormatError
from lobgym.sim.instrument import Instrument

__all__ = ["EVENT_NAMES", "SIDE_NAMES", "TIF_NAMES", "EventLog", "EventLogWriter", "read_log", "write_log"]

EVENT_NAMES: Final = {
    rec.ACK: "ack",
    rec.FILL: "fill",
    rec.CANCELLED: "cancelled",
    rec.EXPIRED: "expired",
    rec.REJECTED: "rejected",
    rec.CANCEL_REJECTED: "cancel_rejected",
    rec.MODIFIED: "modified",
    rec.MODIFY_REJECTED: "modify_rejected",
    rec.FUNDED: "funded",
    rec.SENT_SUBMIT: "sent_submit",
    rec.SENT_CANCEL: "sent_cancel",
    rec.SENT_MODIFY: "sent_modify",
}
SIDE_NAMES: Final = {rec.BUY: "buy", rec.SELL: "sell", 0: "none"}
TIF_NAMES: Final = {rec.GTC: "gtc", rec.GTX: "gtx", rec.IOC: "ioc", rec.FOK: "fok", rec.MARKET: "market"}

FORMAT: Final = "lobgym.log/1"
_COLUMNS: Final[tuple[str, ...]] = rec.LOG_DTYPE.names or ()
_NAMED: Final = {"kind": EVENT_NAMES, "reason": rec.REASON_NAMES, "side": SIDE_NAMES, "tif": TIF_NAMES}
_TEXT: Final = pa.dictionary(pa.int8(), pa.string())
_TYPES: Final = [(name, pa.from_numpy_dtype(rec.LOG_DTYPE[name])) for name in _COLUMNS]
_BROKEN: Final = (pa.ArrowException, OSError, ValueError, TypeError, KeyError)


class EventLog(NamedTuple):
    """A log as it was read."""

    rows: NDArray[np.void]  # [K] LOG_DTYPE
    instrument: Instrument
    digest: str  # of the rows


class EventLogWriter:
    """Writes a log in pieces: `append(session.drain_log())` as often as wanted, then `close()`, or use it with `with`.

    Args:
        path: the file; what is there is replaced at the close.
        instrument: whose ticks and lots these are.

    Raises:
        LogError: the file cannot be written; nothing is left behind.
    """

    def __init__(self, path: str | os.PathLike[str], instrument: Instrument) -> None:
        self.path = Path(path)
        self.instrument = instrument
        self.rows = 0
        self._sha = hashlib.sha256()
        self._aside = self.path.with_name(f".tmp-{self.path.name}-{os.getpid()}-{threading.get_ident()}-{id(self)}")
        self._writer: Any = None
        if self.path.exists() and not self.path.is_file():
            raise LogError(f"{self.path}: cannot write the log: it exists and is no regular file")
        fields = [pa.field(name, kind, nullable=False) for name, kind in _TYPES]
        fields += [pa.field(f"{name}_name", _TEXT, nullable=False) for name in _NAMED]
        metadata = {
            "lobgym.format": FORMAT,
            "lobgym.instrument": json.dumps(instrument.to_json(), sort_keys=True),
            "tick_size": str(instrument.tick_size),
            "lot_size": str(instrument.lot_size),
            "money_unit": str(instrument.money_unit),
        }
        self._schema = pa.schema(fields, metadata=metadata)
        try:
            self._writer = pq.ParquetWriter(self._aside, self._schema, compression="zstd")
        except (pa.ArrowException, OSError) as error:
            raise self._failed(error) from None

    def append(self, rows: NDArray[np.void]) -> None:
        """Write LOG_DTYPE[K] as it comes. Raises LogFormatError for other rows, or codes that nothing has."""
        if self._writer is None:
            raise LogError(f"{self.path}: this log is closed; open another one")
        if not isinstance(rows, np.ndarray) or rows.dtype != rec.LOG_DTYPE or rows.ndim != 1:
            raise LogFormatError(f"{self.path}: a log takes LOG_DTYPE[K], what Session.drain_log() gives")
        names = {name: _names_of(rows[name], known, name) for name, known in _NAMED.items()}
        if not len(rows):
            return
        columns = [pa.array(np.ascontiguousarray(rows[name])) for name in _COLUMNS]
        table = pa.Table.from_arrays(columns + list(names.values()), schema=self._schema)
        try:
            self._writer.write_table(table)
        except (pa.ArrowException, OSError) as error:
            raise self._failed(error) from None
        _digest_more(self._sha, rows)
        self.rows += len(rows)

    def close(self) -> None:
        """Finish the file and move it to its place; nothing if that was done."""
        if self._writer is None:
            return
        try:
            found = {"lobgym.rows": str(self.rows), "lobgym.digest": self._sha.hexdigest()}
            self._writer.add_key_value_metadata(found)
            self._writer.close()
            self._writer = None
            with open(self._aside, "rb") as file:
                os.fsync(file.fileno())
            os.replace(self._aside, self.path)
        except (pa.ArrowException, OSError) as error:
            raise self._failed(error) from None

    def _failed(self, error: BaseException) -> LogError:
        writer, self._writer = self._writer, None
        if writer is not None:
            with suppress(*_BROKEN):
                writer.close()
        with suppress(OSError):
            self._aside.unlink()
        reason = error.strerror if isinstance(error, OSError) and error.strerror else " ".join(str(error).split())
        return LogError(f"{self.path}: cannot write the log: {reason}")

    def __enter__(self) -> EventLogWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def write_log(rows: NDArray[np.void], instrument: Instrument, path: str | os.PathLike[str]) -> None:
    """Write LOG_DTYPE[K] as one file. Raises LogError, leaving nothing behind."""
    with EventLogWriter(path, instrument) as writer:
        writer.append(rows)


def read_log(path: str | os.PathLike[str]) -> EventLog:
    """Read a log. Raises LogError where there is no such file, LogFormatError where it is no log, or not the one that
    was written.
    """
    file = Path(path)
    if not os.path.isfile(file):
        raise LogError(f"{file}: no such log")
    try:
        with pq.ParquetFile(file) as parquet:
            schema = parquet.schema_arrow
            stated = {key.decode(): value.decode() for key, value in (parquet.metadata.metadata or {}).items()}
            if stated.get("lobgym.format") != FORMAT:
                raise LogFormatError(f"{file}: a Parquet file, but no event log ({FORMAT})")
            if [(field.name, field.type) for field in schema][: len(_TYPES)] != _TYPES:
                raise LogFormatError(f"{file}: its columns are not {', '.join(_COLUMNS)}")
            table = parquet.read(columns=list(_COLUMNS))
        instrument = Instrument.from_json(json.loads(stated["lobgym.instrument"]))
        rows = np.zeros(table.num_rows, rec.LOG_DTYPE)
        for name in _COLUMNS:
            rows[name] = table.column(name).to_numpy()
    except PermissionError as error:
        raise LogError(f"{file}: cannot read the log: {error.strerror}") from None
    except InstrumentError as error:
        raise LogFormatError(f"{file}: broken metadata: {error}") from None
    except _BROKEN as error:
        raise LogFormatError(f"{file}: not a readable event log: {' '.join(str(error).split())[:200]}") from None
    sha = hashlib.sha256()
    _digest_more(sha, rows)
    if sha.hexdigest() != stated.get("lobgym.digest"):
        raise LogFormatError(f"{file}: its rows do not have the digest that it states; it was changed after writing")
    return EventLog(rows, instrument, sha.hexdigest())


def _digest_more(sha: Any, rows: NDArray[np.void]) -> None:
    """Row by row, each column little-endian without padding: how a log was cut into pieces does not matter."""
    packed = np.zeros(len(rows), np.dtype([(name, rec.LOG_DTYPE[name].newbyteorder("<")) for name in _COLUMNS]))
    for name in _COLUMNS:
        packed[name] = rows[name]
    sha.update(packed.tobytes())


def _names_of(codes: NDArray[Any], known: dict[int, str], name: str) -> pa.DictionaryArray:
    numbers = sorted(known)
    places = np.searchsorted(numbers, codes).clip(max=len(numbers) - 1)
    strange = np.asarray(numbers)[places] != codes
    if strange.any():
        raise LogFormatError(f"no {name} has the number {int(codes[strange][0])}: these rows are no event log")
    return pa.DictionaryArray.from_arrays(
        pa.array(places.astype(np.int8)), pa.array([known[number] for number in numbers])
    )
