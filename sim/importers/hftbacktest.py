"""hftbacktest's event files made into tapes, and tapes made into such files.

Such a file is one sequence for two readers: a row is for the exchange, for the receiver, or for both. Where the two
orders differ, an event stands in it twice, once for each. A tape has it once, in the exchange's order, with both
stamps.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import numpy as np

from lobgym.sim import records as rec
from lobgym.sim.errors import FeedError
from lobgym.sim.importers.columns import blank_rows, lot_count, shift_clock, tick_count
from lobgym.sim.importers.hftbacktest_book import restate_clears
from lobgym.sim.importers.hftbacktest_npz import BUY, EVENT, EXCH, KIND_BITS, LOCAL, SELL, read_events, write_events
from lobgym.sim.importers.source import Batch, file_facts
from lobgym.sim.instrument import Instrument
from lobgym.sim.tape import Tape

__all__ = ["export_hftbacktest", "import_hftbacktest"]

PathLike = str | os.PathLike[str]
_BOOK: Final = (rec.DEPTH, rec.CLEAR, rec.SNAPSHOT)


def import_hftbacktest(
    path: PathLike, instrument: Instrument, base_latency_ns: int = 0, drop_one_sided: bool = False
) -> Tape:
    """Tape of one event file of `instrument`.

    Receive stamps are shifted, all by the same, where a message would take less than `base_latency_ns`. A row for one
    side only that has no counterpart for the other is refused, or left out and counted with `drop_one_sided`. Raises
    `FeedError`, one line that begins with the file and the row, counted from 1.
    """
    file = Path(path)
    raw = read_events(file)
    _check(Batch(file, 1, {}, len(raw)), raw)
    keep, dropped = _one_row_each(file, raw, drop_one_sided)
    clock = shift_clock(raw["exch_ts"][keep], raw["local_ts"][keep], base_latency_ns)
    events = _typed(Batch(file, 1, {}, len(raw)), raw, instrument)[keep]
    events["local_ns"] += clock["correction_ns"]
    empty = (events["kind"] == rec.TRADE) & (events["qty_lots"] == 0)
    events = _messages(events[~empty])
    if not len(events):
        raise FeedError(f"{file}: holds nothing that belongs on a tape")
    events, clears = restate_clears(events)
    provenance = {
        "source": "hftbacktest",
        "venue": instrument.venue,
        "files": [file_facts(file, len(raw))],
        "dropped": {**dropped, "trade_of_0_lots": int(empty.sum())},
        "clears_made_into_whole_books": clears,
        "clock": clock,
    }
    return Tape(events, instrument, provenance)


def _check(batch: Batch, raw: Any) -> None:
    """What every row must keep. Raises `FeedError`."""
    ev, kind = raw["ev"], raw["ev"] & np.uint64(KIND_BITS)
    batch.require((kind < 10) | (kind > 13), "an order of an L3 file; only L2 files can be imported")
    batch.require((kind >= rec.DEPTH) & (kind <= rec.BBO), "an unknown kind of event; expected 1 to 5 in the low byte")
    known = np.uint64(EXCH | LOCAL | BUY | SELL | KIND_BITS)
    batch.require((ev & ~known) == 0, "unknown bits in the event's flags")
    batch.require(
        (ev & np.uint64(EXCH | LOCAL)) > 0, "a row for neither side; expected EXCH_EVENT, LOCAL_EVENT or both"
    )
    sides = ev & np.uint64(BUY | SELL)
    batch.require(sides != np.uint64(BUY | SELL), "both BUY_EVENT and SELL_EVENT")
    batch.require((sides > 0) | (kind == rec.CLEAR), "neither BUY_EVENT nor SELL_EVENT")
    for name in ("exch_ts", "local_ts"):
        batch.require((raw[name] >= 0) & (raw[name] < 2**61), f"{name} is outside 0 to 2**61 nanoseconds")
    for name, side in (("exch_ts", EXCH), ("local_ts", LOCAL)):
        rows = np.flatnonzero((ev & np.uint64(side)) > 0)
        back = np.flatnonzero(np.diff(raw[name][rows]) < 0)
        if len(back):
            raise FeedError(f"{batch.path}:{rows[back[0] + 1] + 1}: {name} goes back; put the events into order first")


def _one_row_each(file: Path, raw: Any, drop: bool) -> tuple[Any, dict[str, int]]:
    """Indices of the rows that a tape keeps, in file order, and how many one-sided ones are left out.

    Kept are the rows for both sides and those for the exchange that stand once more for the receiver.
    """
    ev = raw["ev"]
    exch, local = (ev & np.uint64(EXCH)) > 0, (ev & np.uint64(LOCAL)) > 0
    alone = {"exchange": _unpaired(raw, exch & ~local, local & ~exch)}
    alone["receiver"] = _unpaired(raw, local & ~exch, exch & ~local)
    for side, rows in alone.items():
        if len(rows) and not drop:
            raise FeedError(
                f"{file}:{rows[0] + 1}: a row for the {side} only, without its counterpart ({len(rows)} of these); a "
                "tape holds what happened and was seen: mend the file, or leave such rows out (--drop-one-sided)"
            )
    exch[alone["exchange"]] = False
    return np.flatnonzero(exch), {f"rows_for_the_{side}_only": len(rows) for side, rows in alone.items()}


def _unpaired(raw: Any, these: Any, others: Any) -> Any:
    """Indices of rows among `these` that occur more often than among `others`, the flags of the sides aside."""
    indices, counterparts = np.flatnonzero(these), np.flatnonzero(others)
    rows = raw[np.concatenate([indices, counterparts])]
    rows["ev"] &= ~np.uint64(EXCH | LOCAL)
    if not len(indices):
        return indices
    _, group = np.unique(np.ascontiguousarray(rows).view(f"V{EVENT.itemsize}"), return_inverse=True)
    mine, theirs = group[: len(indices)], group[len(indices) :]
    available = np.bincount(theirs, minlength=int(group.max()) + 1)
    order = np.argsort(mine, kind="stable")
    ordered = mine[order]
    nth = np.arange(len(ordered)) - np.searchsorted(ordered, ordered, side="left")
    return np.sort(indices[order[nth >= available[ordered]]])


def _typed(batch: Batch, raw: Any, instrument: Instrument) -> Any:
    """EVENT_DTYPE[rows] without flags: exact ticks and lots. A clear's tick is its limit, 0 where it has none."""
    events = blank_rows(len(raw))
    events["exch_ns"], events["local_ns"] = raw["exch_ts"], raw["local_ts"]
    events["kind"] = kind = raw["ev"] & np.uint64(KIND_BITS)
    buy, sell = (raw["ev"] & np.uint64(BUY)) > 0, (raw["ev"] & np.uint64(SELL)) > 0
    events["side"] = np.where(buy, rec.BUY, np.where(sell, rec.SELL, 0))
    limited = np.isfinite(raw["px"]) & (events["side"] != 0)
    counted = kind != rec.CLEAR
    events["qty_lots"] = lot_count(batch, raw["qty"], instrument, counted)
    empty = (kind == rec.BBO) & (events["qty_lots"] == 0)
    priced = np.where(counted, ~empty, limited)
    events["price_ticks"] = tick_count(batch, raw["px"], instrument, priced)
    return events


def _messages(events: Any) -> Any:
    """The same rows with LAST where a message ends.

    A print is a message, so is a bid and ask of best quotes; rows of the book are one while both stamps stay.
    """
    if not len(events):
        return events
    before, after = events[:-1], events[1:]
    same = (before["exch_ns"] == after["exch_ns"]) & (before["local_ns"] == after["local_ns"])
    book = np.isin(before["kind"], _BOOK) & np.isin(after["kind"], _BOOK)
    quotes = (before["kind"] == rec.BBO) & (after["kind"] == rec.BBO)
    quotes &= (before["side"] == rec.BUY) & (after["side"] == rec.SELL)
    events["flags"][:-1] = np.where(same & (book | quotes), 0, rec.LAST)
    events["flags"][-1] = rec.LAST
    return events


def export_hftbacktest(tape: Tape, path: PathLike) -> dict[str, int]:
    """Write a tape as an event file. Returns what the format has no place for, as counts by kind of row.

    A CLEAR voids both sides and has no price. Raises `TapeError`.
    """
    events = tape.events
    fits = events["kind"] <= rec.BBO
    left_out = {str(kind): int((events["kind"] == kind).sum()) for kind in np.unique(events["kind"][~fits]).tolist()}
    events = events[fits]
    raw = np.zeros(len(events), dtype=EVENT)
    raw["exch_ts"], raw["local_ts"] = events["exch_ns"], events["local_ns"]
    raw["ev"] = events["kind"].astype(np.uint64)
    raw["ev"] |= np.where(events["side"] == rec.BUY, np.uint64(BUY), np.uint64(0))
    raw["ev"] |= np.where(events["side"] == rec.SELL, np.uint64(SELL), np.uint64(0))
    raw["px"] = _floats(events["price_ticks"], tape.instrument.tick_size)
    raw["qty"] = _floats(events["qty_lots"], tape.instrument.lot_size)
    write_events(Path(path), _for_both_readers(raw))
    return left_out


def _floats(count: Any, size: Any) -> Any:
    """float64[rows]: the doubles nearest to `count` times a decimal, for products below 2**53."""
    numerator, denominator = size.as_integer_ratio()
    return (count * numerator) / denominator


def _for_both_readers(raw: Any) -> Any:
    """Rows in an order that serves both: where the orders differ, a stretch stands once for each side."""
    place = np.empty(len(raw), dtype=np.int64)
    by_local = np.argsort(raw["local_ts"], kind="stable")
    place[by_local] = np.arange(len(raw))
    ends = np.maximum.accumulate(place) == np.arange(len(raw))  # all rows so far are the first ones received, too
    stretch = np.cumsum(np.append(0, ends[:-1]))
    lonely = np.bincount(stretch)[stretch] == 1
    both, exch = raw[lonely], raw[~lonely]
    local = raw[by_local][~lonely[by_local]]
    both["ev"] |= np.uint64(EXCH | LOCAL)
    exch["ev"] |= np.uint64(EXCH)
    local["ev"] |= np.uint64(LOCAL)
    key = np.concatenate([2 * stretch[lonely], 2 * stretch[~lonely], 2 * stretch[by_local][~lonely[by_local]] + 1])
    return np.concatenate([both, exch, local])[np.argsort(key, kind="stable")]
