"""Tapes on disk: one Parquet file with plain integer columns, written aside and renamed, so never half a tape.

Instrument, provenance and digest travel in the schema's metadata. Stamps, ids and prices are stored as differences
(DELTA_BINARY_PACKED) and everything is compressed, because neighbouring rows are nearly equal.
"""

from __future__ import annotations

import json
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from lobgym.sim import records as rec
from lobgym.sim.errors import InstrumentError, TapeError, TapeFormatError
from lobgym.sim.instrument import Instrument

__all__ = ["read_tape", "write_tape"]

FORMAT: Final = "lobgym.tape/1"
_NAMES: Final[tuple[str, ...]] = rec.EVENT_DTYPE.names or ()
_COLUMNS: Final = [(name, pa.from_numpy_dtype(rec.EVENT_DTYPE[name])) for name in _NAMES]
_ENCODINGS: Final = {name: "PLAIN" if rec.EVENT_DTYPE[name].itemsize == 1 else "DELTA_BINARY_PACKED" for name in _NAMES}
_ROWS_PER_GROUP: Final = 1 << 20
_PYARROW_ERRORS: Final = (pa.ArrowException, OSError, ValueError, TypeError)


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if len(text) < 200 else text[:197] + "..."


def write_tape(
    path: Path, events: npt.NDArray[Any], instrument: Instrument, provenance: dict[str, Any], digest: str
) -> None:
    """Write a tape beside `path` and move it there. Raises `TapeError`, leaving nothing behind."""
    metadata = {
        "lobgym.format": FORMAT,
        "lobgym.digest": digest,
        "lobgym.instrument": json.dumps(instrument.to_json(), sort_keys=True),
        "lobgym.provenance": json.dumps(provenance, sort_keys=True),
    }
    schema = pa.schema([pa.field(name, kind, nullable=False) for name, kind in _COLUMNS], metadata=metadata)
    if not path.name:
        raise TapeError(f"{path}: cannot write the tape: this names no file")
    # The name is unique among live writers, so that two of them cannot spoil each other's file.
    aside = path.with_name(f".tmp-{digest[:16]}-{os.getpid()}-{threading.get_ident()}")
    try:
        if path.exists() and not path.is_file():  # the move would put a file where a device was
            raise TapeError(f"{path}: cannot write the tape: it exists and is no regular file")
        with open(aside, "wb") as file:
            _write_rows(events, schema, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except (pa.ArrowException, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else _one_line(error)
        raise TapeError(f"{path}: cannot write the tape: {reason}") from None
    finally:
        with suppress(OSError):  # it is gone after the move, and never was where it could not be made
            aside.unlink()


def _write_rows(events: npt.NDArray[Any], schema: pa.Schema, file: BinaryIO) -> None:
    """Group by group, so that a day of rows is never in memory twice."""
    with pq.ParquetWriter(
        file, schema, use_dictionary=False, column_encoding=_ENCODINGS, compression="zstd", compression_level=9,
        data_page_size=1 << 20,
    ) as writer:  # fmt: skip
        for start in range(0, len(events), _ROWS_PER_GROUP):
            rows = events[start : start + _ROWS_PER_GROUP]
            columns = [pa.array(np.ascontiguousarray(rows[name])) for name in _NAMES]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))


def read_tape(path: Path) -> tuple[npt.NDArray[Any], Instrument, dict[str, Any], str]:
    """Events, instrument, provenance and the digest that the file states; the caller compares it with the content.

    Raises `TapeError` when the file cannot be read, `TapeFormatError` when it is not a tape.
    """
    if not os.path.isfile(path):  # unlike pathlib, False also for names that no file can have
        raise TapeError(f"{path}: no such tape file")
    try:
        # The file is opened here, so that a missing permission is told apart from wrong content.
        with open(path, "rb") as file:
            parquet = pq.ParquetFile(file)
            instrument, provenance, digest = _read_metadata(path, parquet.schema_arrow)
            table = parquet.read()
    except (TapeError, MemoryError):
        raise
    except PermissionError as error:
        raise TapeError(f"{path}: cannot read the tape: {error.strerror}") from None
    except _PYARROW_ERRORS as error:
        raise TapeFormatError(f"{path}: not a readable Parquet file: {_one_line(error)}") from None
    events = np.zeros(table.num_rows, dtype=rec.EVENT_DTYPE)
    for name in _NAMES:
        if table.column(name).null_count:
            raise TapeFormatError(f"{path}: column {name} holds nulls; a tape has none")
        events[name] = table.column(name).to_numpy()
    return events, instrument, provenance, digest


def _read_metadata(path: Path, schema: pa.Schema) -> tuple[Instrument, dict[str, Any], str]:
    metadata = {key.decode(): value for key, value in (schema.metadata or {}).items()}
    if metadata.get("lobgym.format", b"").decode(errors="replace") != FORMAT:
        raise TapeFormatError(f"{path}: a Parquet file, but not a tape ({FORMAT}); import the recording it came from")
    found = [(field.name, field.type) for field in schema]
    if found != _COLUMNS:
        got = ", ".join(f"{name} {kind}" for name, kind in found)
        raise TapeFormatError(
            f"{path}: columns are {got}; expected {', '.join(f'{name} {kind}' for name, kind in _COLUMNS)}"
        )
    try:
        instrument = Instrument.from_json(json.loads(metadata["lobgym.instrument"]))
        provenance = json.loads(metadata["lobgym.provenance"])
        digest = metadata["lobgym.digest"].decode()
    except (KeyError, ValueError, InstrumentError) as error:
        raise TapeFormatError(f"{path}: broken metadata: {_one_line(error)}") from None
    if not isinstance(provenance, dict):
        raise TapeFormatError(f"{path}: broken metadata: provenance is no object")
    return instrument, provenance, digest
