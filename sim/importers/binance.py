"""Binance recordings, made into tapes: spot, USD-M (linear) and COIN-M (inverse).

A recording is one file or several, `<receive stamp> <raw websocket JSON>` a line, with one REST depth snapshot near
its beginning. What it is told by the messages, never by the names of the files.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np

from lobgym.sim import records as rec
from lobgym.sim.errors import FeedError, InstrumentError
from lobgym.sim.importers.binance_collect import VENUE_KINDS, Collector, symbol_of, venue_of
from lobgym.sim.importers.binance_order import by_update_id, measure_clock, order_messages, tame_stamps
from lobgym.sim.importers.binance_raw import file_sha256, read_messages
from lobgym.sim.importers.binance_stamps import Prints, Quotes, bounds_by_prints, usual_latency
from lobgym.sim.instrument import Instrument, find_instrument
from lobgym.sim.tape import Tape

__all__ = ["BASE_LATENCY_NS", "import_binance"]

BASE_LATENCY_NS: Final = 1_000_000
BASE_LATENCY_NS_MAX: Final = 10_000_000_000

PathLike = str | os.PathLike[str]


def import_binance(
    paths: PathLike | Iterable[PathLike],
    instrument: Instrument | None = None,
    base_latency_ns: int = BASE_LATENCY_NS,
) -> Tape:
    """Tape of one recording.

    `paths` are its files, in any order. `instrument` is needed where the symbol is not built in. Receive stamps are
    corrected so that the fastest message takes `base_latency_ns`. The tape's provenance says what was read, left out
    and adjusted. Raises `FeedError` or `InstrumentError`, one line that begins with the file.
    """
    if not 0 <= base_latency_ns <= BASE_LATENCY_NS_MAX:
        raise FeedError(f"base latency is {base_latency_ns} ns, expected 0 to {BASE_LATENCY_NS_MAX}")
    files = _in_order([Path(paths)] if isinstance(paths, str | os.PathLike) else [Path(path) for path in paths])
    collector = Collector(_identify(files, instrument))
    sources: list[dict[str, Any]] = []
    last_recv_ns = 0
    for file in files:
        lines = 0
        for line in read_messages(file):
            if lines == 0 and line.recv_ns < last_recv_ns:
                raise FeedError(f"{line.place}: begins before {sources[-1]['name']} ends: not one recording in parts")
            collector.add(line)
            last_recv_ns = max(last_recv_ns, line.recv_ns)
            lines += 1
        sources.append({"name": file.name, "sha256": file_sha256(file), "messages": lines})
    if collector.sync.waiting:
        raise FeedError(
            f"{files[0]}: no depth snapshot joins the {collector.sync.waiting} depth messages, so the book is unknown; "
            "give all files of the recording, the first one holds the snapshot"
        )
    return _assemble(collector, sources, base_latency_ns)


def _in_order(paths: list[Path]) -> list[Path]:
    """Files by their first receive stamp."""
    if not paths:
        raise FeedError("no recording given: name at least one file")
    first: list[tuple[int, Path]] = []
    for path in paths:
        line = next(read_messages(path), None)
        if line is None:
            raise FeedError(f"{path}: holds no message")
        first.append((line.recv_ns, path))
    return [path for _, path in sorted(first)]


def _identify(files: list[Path], instrument: Instrument | None) -> Instrument:
    """Instrument of the recording, from its first messages that tell. Raises `InstrumentError`."""
    symbol, venue = "", None
    for line in (line for file in files for line in read_messages(file)):
        symbol, venue = symbol or symbol_of(line.message), venue or venue_of(line.message)
        if symbol and venue:
            break
    else:
        raise FeedError(f"{files[0]}: no depth and no bookTicker message, so neither symbol nor venue is known")
    try:
        if instrument is None:
            return find_instrument(venue, symbol)
        if (instrument.symbol, instrument.kind) != (symbol, VENUE_KINDS[venue]):
            raise InstrumentError(
                f"the recording is of {venue} {symbol} ({VENUE_KINDS[venue]}), "
                f"the given instrument is {instrument.symbol} ({instrument.kind})"
            )
    except InstrumentError as error:
        raise InstrumentError(f"{line.place}: {error}") from None
    return instrument


def _assemble(collector: Collector, sources: list[dict[str, Any]], base_latency_ns: int) -> Tape:
    kind = np.array(collector.kind, dtype=np.int64)
    recv, stamp = np.array(collector.recv_ns), np.array(collector.stamp_ns)
    seq, floor = np.array(collector.seq), np.array(collector.floor_ns)
    clock = measure_clock(recv, stamp, base_latency_ns)

    late = floor > recv
    local = np.maximum(recv, floor) + clock.correction_ns

    keep = np.array(collector.keep, dtype=bool)
    chain = by_update_id(kind, seq)
    chain = chain[keep[chain]]
    guess, shown, runs = _guess_stamps(collector, kind, stamp, local, chain, base_latency_ns)
    stamp[chain], raised, held = tame_stamps(stamp[chain], guess)
    order = order_messages(kind, stamp, chain)
    early = local < stamp
    local = np.maximum(local, stamp)

    first = np.append(np.array(collector.first_row), len(collector.rows_kind))
    events = _expand(collector, order, first, stamp, local, seq)
    provenance = {
        "source": "binance",
        "venue": collector.venue,
        "files": sources,
        "messages": dict(sorted(collector.messages.items())),
        "dropped": _dropped(collector, first),
        "gaps": collector.gaps,
        "depth_messages_on_a_lost_book": collector.sync.blind,
        "clock": clock._asdict(),
        "adjusted": {
            "exchange_stamps_raised_to_follow_update_ids": raised,
            "estimated_stamps_held_between_depth_stamps": held,
            "runs_of_prints_seen_in_quotes_without_stamps": shown,
            "runs_of_prints_looked_for_in_quotes_without_stamps": runs,
            "depth_seen_later_because_the_snapshot_came_later": int((late & keep).sum()),
            "receive_stamps_raised_because_the_clock_went_back": collector.clock_went_back,
            "receive_stamps_raised_to_the_exchange_stamp": int(early[order].sum()),
        },
    }
    return Tape(events, collector.instrument, provenance)


def _guess_stamps(
    collector: Collector, kind: Any, stamp: Any, local: Any, chain: Any, base_latency_ns: int
) -> tuple[Any, int, int]:
    """Exchange stamps that the messages of `chain` may have had, used where they have none.

    Also how many runs of prints were found again in best quotes without stamps, and how many were looked for.
    """
    guess = local[chain] - usual_latency(stamp[chain], local[chain], base_latency_ns)
    unstamped = np.flatnonzero((kind[chain] == rec.BBO) & (stamp[chain] == 0))
    if not len(unstamped):
        return guess, 0, 0
    first, tick, qty = (np.array(column) for column in (collector.first_row, collector.rows_tick, collector.rows_qty))
    bid = first[chain[unstamped]]
    trades = np.flatnonzero(kind == rec.TRADE)
    trades = trades[np.argsort(np.array(collector.seq)[trades], kind="stable")]
    row = first[trades]
    bounds = bounds_by_prints(
        Prints(stamp[trades], np.array(collector.rows_side)[row], tick[row], qty[row]),
        Quotes(local[chain[unstamped]], tick[bid], qty[bid], tick[bid + 1], qty[bid + 1]),
    )
    guess[unstamped] = np.maximum(np.minimum(guess[unstamped], bounds.high_ns), bounds.low_ns)
    return guess, bounds.matched, bounds.runs


def _dropped(collector: Collector, first: Any) -> dict[str, int]:
    """Messages that are not on the tape, by reason."""
    counts = {
        "depth_before_snapshot": collector.sync.before_snapshot,
        "depth_stale": collector.sync.stale,
        "depth_without_levels": int(
            ((np.diff(first) == 0) & (np.array(collector.kind) == rec.DEPTH) & (np.array(collector.keep) == 1)).sum()
        ),
        "snapshots_unused": collector.sync.snapshots_unused,
        **collector.dropped,
    }
    return dict(sorted(counts.items()))


def _expand(collector: Collector, order: Any, first: Any, stamp: Any, local: Any, seq: Any) -> Any:
    """EVENT_DTYPE[rows] of messages in exchange order."""
    lengths = np.diff(first)[order]
    order, lengths = order[lengths > 0], lengths[lengths > 0]
    ends = np.cumsum(lengths)
    if not len(ends):
        raise FeedError("the recording holds nothing that belongs on a tape")
    message = np.repeat(order, lengths)
    row = np.arange(ends[-1]) - np.repeat(ends - lengths, lengths) + first[message]
    events = np.zeros(ends[-1], dtype=rec.EVENT_DTYPE)
    events["exch_ns"], events["local_ns"], events["seq"] = stamp[message], local[message], seq[message]
    events["kind"] = np.array(collector.rows_kind)[row]
    events["side"] = np.array(collector.rows_side)[row]
    events["price_ticks"] = np.array(collector.rows_tick)[row]
    events["qty_lots"] = np.array(collector.rows_qty)[row]
    events["flags"][ends - 1] = rec.LAST
    # The stored number of a mark price message is its next funding time, which only FUNDING rows carry.
    events["seq"][np.isin(events["kind"], (rec.MARK, rec.INDEX))] = 0
    return events
