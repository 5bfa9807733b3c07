"""The tape: a validated, immutable, hashed table of everything that a feed said, in the exchange's order.

A message is a run of rows with one stamp pair, closed by the `LAST` flag; between its rows no book is observable.
Tapes are stored as Parquet with plain integer columns, so that any other tool can read them. Making the synthetic
tape is `lobgym.sim.synthetic`; importing recordings is `lobgym.sim.importers`.
"""

from __future__ import annotations

import json
import os
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
import numpy.typing as npt

from lobgym.sim import records as rec
from lobgym.sim.errors import TapeDigestError, TapeError, TapeFormatError
from lobgym.sim.instrument import Instrument
from lobgym.sim.tape_file import read_tape, write_tape
from lobgym.sim.tape_report import TapeReport, inspect
from lobgym.sim.tape_rules import events_digest, validate_events

__all__ = ["Tape", "TapeReport", "inspect", "open_tape"]


class Tape:
    """Immutable events of one instrument, in exchange order.

    Arguments: `events`, EVENT_DTYPE[rows], copied; `instrument`; `provenance`, JSON-able facts about where the rows
    come from, which are kept beside the digest and not in it. Raises `TapeFormatError` when a rule is broken.
    """

    __slots__ = ("_digest", "_events", "_instrument", "_provenance")

    def __init__(
        self, events: npt.NDArray[Any], instrument: Instrument, provenance: dict[str, Any] | None = None
    ) -> None:
        validate_events(events)
        self._fill(events.copy(), instrument, provenance)

    @classmethod
    def taking(cls, events: npt.NDArray[Any], instrument: Instrument, provenance: dict[str, Any] | None = None) -> Tape:
        """A tape of rows that nobody else keeps: they become read-only instead of being copied, a day is gigabytes."""
        validate_events(events)
        made = cls.__new__(cls)
        made._fill(events, instrument, provenance)
        return made

    def _fill(self, events: npt.NDArray[Any], instrument: Instrument, provenance: dict[str, Any] | None) -> None:
        self._events = events
        self._events.setflags(write=False)
        self._instrument = instrument
        try:
            self._provenance: dict[str, Any] = json.loads(json.dumps(provenance or {}, allow_nan=False))
        except (TypeError, ValueError) as error:
            raise TapeFormatError(f"provenance cannot be written as JSON: {error}") from None
        self._digest = events_digest(self._events, instrument)

    @property
    def events(self) -> npt.NDArray[Any]:
        """EVENT_DTYPE[rows], read-only."""
        return self._events

    @property
    def instrument(self) -> Instrument:
        """What is traded."""
        return self._instrument

    @property
    def provenance(self) -> dict[str, Any]:
        """Where the rows come from; plain data."""
        return self._provenance

    @property
    def digest(self) -> str:
        """sha256 of the instrument and the rows, as hex."""
        return self._digest

    @property
    def start_ns(self) -> int:
        """Stamp of the first row at the exchange."""
        return int(self._events["exch_ns"][0])

    @property
    def end_ns(self) -> int:
        """Stamp at which the last row is received."""
        return int(self._events["local_ns"].max())

    def __len__(self) -> int:
        return len(self._events)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tape) and other._digest == self._digest

    def __hash__(self) -> int:
        return hash(self._digest)

    def __repr__(self) -> str:
        one = self._instrument
        return f"Tape({one.venue} {one.symbol}, {len(self)} rows, {self._digest[:12]})"

    def __reduce__(self) -> tuple[Any, ...]:
        # Unpickled arrays are writable: going through the constructor keeps the copy as safe as the original.
        return Tape, (self._events, self._instrument, self._provenance)

    def local_order(self) -> npt.NDArray[np.int64]:
        """int64[rows]: the rows in the order in which they are received; equal stamps stay in exchange order."""
        return np.argsort(self._events["local_ns"], kind="stable").astype(np.int64, copy=False)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write as Parquet: all of it or, with a `TapeError`, nothing."""
        write_tape(Path(path), self._events, self._instrument, self._provenance, self._digest)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Tape:
        """Tape of a Parquet file. Raises `TapeError`, `TapeFormatError` or, for altered content, `TapeDigestError`."""
        events, instrument, provenance, digest = read_tape(Path(path))
        try:
            tape = cls.taking(events, instrument, provenance)
        except TapeFormatError as error:
            raise TapeFormatError(f"{path}: {error}") from None
        if tape.digest != digest:
            raise TapeDigestError(f"{path}: the content has the digest {tape.digest}, the file states {digest}")
        return tape

    def slice_time(self, start_ns: int, end_ns: int) -> Tape:
        """Rows with an exchange stamp in [start_ns, end_ns) as a tape of their own.

        Where rows precede them, it begins with a CLEAR and the book as it stood at `start_ns`, and with the mark and
        index price, the funding rates still to be settled and the trading status of then, all stamped `start_ns` on
        both clocks: what was still on its way to the observer then counts as seen. Raises `TapeError` when no row
        lies in the range.
        """
        exch = self._events["exch_ns"]
        first, last = (int(row) for row in np.searchsorted(exch, [start_ns, end_ns], side="left"))
        if last <= first:
            raise TapeError(f"no rows from {start_ns} to {end_ns}; the tape spans {self.start_ns} to {int(exch[-1])}")
        rows = self._events[first:last]
        if first:
            before = self._events[:first]
            rows = np.concatenate([_standing_book(before, start_ns), _standing_state(before, start_ns), rows])
        source = {"digest": self._digest, "start_ns": int(start_ns), "end_ns": int(end_ns)}
        return Tape(rows, self._instrument, {**self._provenance, "slice_of": source})


def _standing_book(events: npt.NDArray[Any], now_ns: int) -> npt.NDArray[Any]:
    """One message, CLEAR and SNAPSHOT rows, of the book after all of `events`; bids first, best first."""
    clears = np.flatnonzero(events["kind"] == rec.CLEAR)
    rows = events[clears[-1] if len(clears) else 0 :]
    rows = rows[np.isin(rows["kind"], (rec.DEPTH, rec.SNAPSHOT))]
    key = rows["price_ticks"] * rows["side"]
    _, newest = np.unique(key[::-1], return_index=True)  # a price's last row, per side
    levels = rows[len(rows) - 1 - newest]
    levels = levels[levels["qty_lots"] > 0]
    levels = levels[np.lexsort((-levels["price_ticks"] * levels["side"], -levels["side"]))]
    out = np.zeros(len(levels) + 1, dtype=rec.EVENT_DTYPE)
    out[1:] = levels
    out["kind"] = rec.SNAPSHOT
    out["kind"][0] = rec.CLEAR
    out["exch_ns"] = out["local_ns"] = now_ns
    out["seq"] = rows["seq"][-1] if len(rows) else 0
    out["flags"] = 0
    out["flags"][-1] = rec.LAST
    return out


def _standing_state(events: npt.NDArray[Any], now_ns: int) -> npt.NDArray[Any]:
    """Last status and price above 0 of each kind, and of each settlement not before `now_ns` the last rate."""
    chosen = []
    for kind in (rec.STATUS, rec.MARK, rec.INDEX, rec.FUNDING):
        says = (events["qty_lots"] > 0) | (kind in (rec.STATUS, rec.FUNDING))
        rows = np.flatnonzero((events["kind"] == kind) & says)
        if kind == rec.FUNDING:
            due = events["seq"][rows]
            _, newest = np.unique(due[::-1], return_index=True)
            rows = np.sort(rows[len(rows) - 1 - newest])
            rows = rows[events["seq"][rows] >= -(-now_ns // 1_000_000)]
        else:
            rows = rows[-1:]
        chosen.append(rows)
    out: npt.NDArray[Any] = events[np.concatenate(chosen)]
    out["exch_ns"] = out["local_ns"] = now_ns
    out["flags"] = rec.LAST
    return out


def open_tape(name: str | os.PathLike[str] | Tape) -> Tape:
    """Tape by name: a tape itself, the path of a `.parquet` file, or a generated one.

    Generated are the scenarios, `synth:flash-crash?seed=3&minutes=20` (`lobgym.sim.scenarios`), and the small market
    of `lobgym.sim.synthetic`, `synth`, `synth?seed=3&minutes=20`. Raises `TapeError` that lists what a name can be.
    """
    if isinstance(name, Tape):
        return name
    text = os.fspath(name)
    head, _, query = text.partition("?")
    if head == "synth":
        return _open_synthetic(text, query)
    if text.startswith("synth:"):
        from lobgym.sim.scenarios import open_scenario  # here, because it imports this module

        return open_scenario(text)
    if text.endswith(".parquet") or os.path.isfile(text):
        return Tape.load(text)
    raise TapeError(
        f"no tape {text!r}: expected 'synth:calm?seed=3&minutes=20' (`lobgym tape scenarios` lists more), 'synth' or "
        "the path of a .parquet file"
    )


@lru_cache(maxsize=4)  # every environment asks for the same few
def _synthetic(seed: int, minutes: float) -> Tape:
    from lobgym.sim.synthetic import synthetic_tape  # here, because it imports this module

    return synthetic_tape(seed=seed, minutes=minutes)


def _open_synthetic(text: str, query: str) -> Tape:
    try:
        given = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
        seed, minutes = int(given.pop("seed", "0")), float(given.pop("minutes", "20"))
    except ValueError:
        raise TapeError(f"tape {text!r}: expected numbers, as in 'synth?seed=3&minutes=20'") from None
    if given:
        raise TapeError(f"tape {text!r}: unknown {', '.join(given)}; a synthetic tape takes seed and minutes")
    return _synthetic(seed, minutes)
