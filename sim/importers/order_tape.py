"""The order tape: every event of every order, kept beside the tape of levels that is derived from it.

A table of integers in one Parquet file. The market does not read it; it is there for what levels cannot say, such as
the true place of an order in its queue.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lobgym.sim.errors import InstrumentError, TapeDigestError, TapeError, TapeFormatError
from lobgym.sim.importers.output import written_aside
from lobgym.sim.instrument import Instrument

__all__ = ["CHANGED", "CREATED", "DELETED", "ORDER_EVENT_DTYPE", "OrderTape"]

FORMAT: Final = "lobgym.orders/1"
CREATED: Final = 1
CHANGED: Final = 2
DELETED: Final = 3

ORDER_EVENT_DTYPE: Final = np.dtype(
    [
        ("exch_ns", np.int64),  # when it happened, as far as the feed says
        ("local_ns", np.int64),  # when it was received
        ("created_ns", np.int64),  # the venue's stamp of the order's creation
        ("order_id", np.int64),
        ("price_ticks", np.int64),
        ("qty", np.int64),  # what is left of the order, in 1e-8 of the base currency
        ("side", np.int8),
        ("action", np.int8),
    ],
    align=True,
)
_NAMES: Final[tuple[str, ...]] = ORDER_EVENT_DTYPE.names or ()
_COLUMNS: Final = [(name, pa.from_numpy_dtype(ORDER_EVENT_DTYPE[name])) for name in _NAMES]


@dataclass(frozen=True)
class OrderTape:
    """Events of all orders of one instrument, in the order in which they were received.

    `events` is ORDER_EVENT_DTYPE[rows]. Raises `TapeFormatError` when a stamp goes back or a value has no meaning.
    """

    events: Any
    instrument: Instrument
    provenance: dict[str, Any]

    def __post_init__(self) -> None:
        events = self.events
        if not isinstance(events, np.ndarray) or events.dtype != ORDER_EVENT_DTYPE or events.ndim != 1:
            raise TapeFormatError("order events must be a one-dimensional array of ORDER_EVENT_DTYPE")
        rules = {
            "local_ns must not go back": np.diff(events["local_ns"], prepend=0) >= 0,
            "exch_ns must lie between 0 and local_ns": (events["exch_ns"] >= 0)
            & (events["exch_ns"] <= events["local_ns"]),
            "order_id and price_ticks must be above 0": (events["order_id"] > 0) & (events["price_ticks"] > 0),
            "qty must not be negative": events["qty"] >= 0,
            "side must be 1 or -1": np.abs(events["side"]) == 1,
            "action must be 1, 2 or 3": (events["action"] >= CREATED) & (events["action"] <= DELETED),
        }
        for rule, ok in rules.items():
            if not ok.all():
                raise TapeFormatError(f"row {int(np.argmin(ok))} of {len(events)}: {rule}")

    @property
    def digest(self) -> str:
        """sha256 of the instrument and the columns, as hex."""
        sha = hashlib.sha256(json.dumps(self.instrument.to_json(), sort_keys=True).encode())
        for name in _NAMES:
            sha.update(f"\n{name} {len(self.events)}\n".encode())
            column = np.ascontiguousarray(self.events[name])
            sha.update(column.astype(column.dtype.newbyteorder("<"), copy=False).data)
        return sha.hexdigest()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write as Parquet: all of it or, with a `TapeError`, nothing."""
        metadata = {
            "lobgym.format": FORMAT,
            "lobgym.digest": self.digest,
            "lobgym.instrument": json.dumps(self.instrument.to_json(), sort_keys=True),
            "lobgym.provenance": json.dumps(self.provenance, sort_keys=True),
        }
        schema = pa.schema([pa.field(name, kind, nullable=False) for name, kind in _COLUMNS], metadata=metadata)
        table = pa.Table.from_arrays(
            [pa.array(np.ascontiguousarray(self.events[name])) for name in _NAMES], schema=schema
        )
        encodings = {name: "PLAIN" if kind == pa.int8() else "DELTA_BINARY_PACKED" for name, kind in _COLUMNS}
        with written_aside(Path(path), "orders") as file:
            pq.write_table(table, file, use_dictionary=False, column_encoding=encodings, compression="zstd")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> OrderTape:
        """Order tape of a file. Raises `TapeError`, `TapeFormatError` or, for altered content, `TapeDigestError`."""
        try:
            with open(path, "rb") as file:
                table = pq.ParquetFile(file).read()
        except OSError as error:
            raise TapeError(f"{path}: cannot read the orders: {error.strerror or error}") from None
        except (pa.ArrowException, ValueError) as error:
            raise TapeFormatError(
                f"{path}: not a readable Parquet file: {' '.join(str(error).split())[:160]}"
            ) from None
        said = {key.decode(): value for key, value in (table.schema.metadata or {}).items()}
        if said.get("lobgym.format") != FORMAT.encode() or [(f.name, f.type) for f in table.schema] != _COLUMNS:
            raise TapeFormatError(f"{path}: not an order tape ({FORMAT}); import the recording it came from")
        events = np.zeros(table.num_rows, dtype=ORDER_EVENT_DTYPE)
        for name in _NAMES:
            if table.column(name).null_count:
                raise TapeFormatError(f"{path}: column {name} holds nulls; an order tape has none")
            events[name] = table.column(name).to_numpy()
        try:
            instrument = Instrument.from_json(json.loads(said["lobgym.instrument"]))
            tape = cls(events, instrument, json.loads(said["lobgym.provenance"]))
            stated = said["lobgym.digest"].decode()
        except (KeyError, ValueError, InstrumentError, TapeFormatError) as error:
            raise TapeFormatError(f"{path}: {error}") from None
        if tape.digest != stated:
            raise TapeDigestError(f"{path}: the content has the digest {tape.digest}, the file states {stated}")
        return tape
