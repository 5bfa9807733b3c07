"""What is on a tape, in figures: span, rows by kind, rates, spread, gaps, crossed states, halts, settlements."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from lobgym.sim import records as rec
from lobgym.sim.jit import njit
from lobgym.sim.timeline import compile_timeline

if TYPE_CHECKING:
    from lobgym.sim.tape import Tape

__all__ = ["TapeReport", "inspect"]

KIND_NAMES: Final = {
    rec.DEPTH: "depth",
    rec.TRADE: "trade",
    rec.CLEAR: "clear",
    rec.SNAPSHOT: "snapshot",
    rec.BBO: "bbo",
    rec.MARK: "mark",
    rec.INDEX: "index",
    rec.FUNDING: "funding",
    rec.STATUS: "status",
    rec.REGIME: "regime",
}
_FAR: Final = np.int64(2**62)


@dataclass(frozen=True)
class TapeReport:
    """Figures of one tape. Spreads are in ticks, weighted by the time that they stood at the exchange."""

    venue: str
    symbol: str
    digest: str
    rows: int
    rows_by_kind: dict[str, int]
    messages: int
    start_ns: int
    end_ns: int
    span_s: float
    rows_per_s: float
    messages_per_s: float
    prints_per_s: float
    traded_lots: int
    price_min_ticks: int  # of the mid, rounded down; 0 where there never was one
    price_max_ticks: int
    spread_ticks_mean: float
    spread_ticks_median: int
    spread_ticks_max: int
    two_sided_share: float  # share of the span with a best bid and a best ask
    book_states: int
    crossed_states: int  # after a depth message, best bid at or above best ask
    gaps: int  # CLEAR without a snapshot: the book was lost
    silence_s_max: float  # longest time without a row about the book or a print
    halts: int  # times that trading stopped
    halted_s: float
    settlements: int  # funding settlements within the tape
    feed_latency_ns_median: int
    feed_latency_ns_max: int
    raced_rows: int  # rows received before a row that happened earlier
    provenance: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@njit
def _best_states(
    kind: npt.NDArray[np.uint8],
    side: npt.NDArray[np.int8],
    level: npt.NDArray[np.int64],
    qty: npt.NDArray[np.int64],
    levels: int,
    bid: npt.NDArray[np.int64],
    ask: npt.NDArray[np.int64],
) -> None:
    """Best levels (indices into the sorted prices; -1 and `levels` where there is none) after each book row."""
    bids = np.zeros(levels + 1, np.int64)
    asks = np.zeros(levels + 1, np.int64)
    best_bid, best_ask = -1, levels
    for row in range(len(kind)):
        at = level[row]
        if kind[row] == rec.CLEAR:
            bids[:] = 0
            asks[:] = 0
            best_bid, best_ask = -1, levels
        elif side[row] == rec.BUY:
            bids[at] = qty[row]
            if qty[row] > 0 and at > best_bid:
                best_bid = at
            while best_bid >= 0 and bids[best_bid] == 0:
                best_bid -= 1
        else:
            asks[at] = qty[row]
            if qty[row] > 0 and at < best_ask:
                best_ask = at
            while best_ask < levels and asks[best_ask] == 0:
                best_ask += 1
        bid[row] = best_bid
        ask[row] = best_ask


def book_states(events: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Stamp, best bid tick (-1: none) and best ask tick (2**62: none) after each depth or snapshot message."""
    rows = events[np.isin(events["kind"], (rec.DEPTH, rec.SNAPSHOT, rec.CLEAR))]
    ticks, level = np.unique(rows["price_ticks"], return_inverse=True)
    bid, ask = np.empty(len(rows), np.int64), np.empty(len(rows), np.int64)
    kind, side, qty = (np.ascontiguousarray(rows[name]) for name in ("kind", "side", "qty_lots"))
    _best_states(kind, side, level.astype(np.int64), qty, len(ticks), bid, ask)
    end = (rows["flags"] & rec.LAST) != 0
    bid_ticks = np.append(ticks, -1)[bid[end]]
    ask_ticks = np.append(ticks, _FAR)[ask[end]]
    return np.ascontiguousarray(rows["exch_ns"][end]), bid_ticks, ask_ticks


def _weighted_median(values: npt.NDArray[np.int64], weights: npt.NDArray[np.int64]) -> int:
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weights[order])
    return int(values[order][np.searchsorted(total, total[-1] / 2)]) if len(values) and total[-1] else 0


def _halts(statuses: npt.NDArray[np.void], end_ns: int) -> tuple[int, int]:
    """How often trading stopped, and for how many nanoseconds in all."""
    halted = statuses["value"] != 0
    begins = halted & ~np.concatenate(([False], halted[:-1]))[: len(halted)]
    held = np.diff(statuses["ns"], append=end_ns)
    return int(begins.sum()), int(held[halted].sum())


def _silence_ns(events: npt.NDArray[Any]) -> int:
    stamps = events["exch_ns"][events["kind"] <= rec.BBO]
    return int(np.diff(stamps).max()) if len(stamps) > 1 else 0


def inspect(tape: Tape) -> TapeReport:
    """Figures of a tape, from one pass over its book."""
    events = tape.events
    counts = np.bincount(events["kind"], minlength=max(KIND_NAMES) + 1)
    span_s = max((tape.end_ns - tape.start_ns) / 1e9, 1e-9)
    messages = int((events["flags"] & rec.LAST).sum())
    timeline = compile_timeline(tape)
    halts, halted_ns = _halts(timeline.statuses, tape.end_ns)
    stamp, bid, ask = book_states(events)
    held = np.diff(stamp, append=max(int(events["exch_ns"][-1]), int(stamp[-1]) if len(stamp) else 0))
    both = (bid >= 0) & (ask < _FAR)
    spread, weight = (ask - bid)[both], held[both]
    mid = (bid[both] + ask[both]) // 2
    total = int(weight.sum())
    latency = events["local_ns"] - events["exch_ns"]
    clear = events["kind"] == rec.CLEAR
    trades = events["kind"] == rec.TRADE
    return TapeReport(
        venue=tape.instrument.venue,
        symbol=tape.instrument.symbol,
        digest=tape.digest,
        rows=len(events),
        rows_by_kind={name: int(counts[kind]) for kind, name in KIND_NAMES.items()},
        messages=messages,
        start_ns=tape.start_ns,
        end_ns=tape.end_ns,
        span_s=span_s,
        rows_per_s=len(events) / span_s,
        messages_per_s=messages / span_s,
        prints_per_s=int(trades.sum()) / span_s,
        traded_lots=int(events["qty_lots"][trades].sum()),
        price_min_ticks=int(mid.min()) if len(mid) else 0,
        price_max_ticks=int(mid.max()) if len(mid) else 0,
        spread_ticks_mean=float((spread * weight).sum() / total) if total else 0.0,
        spread_ticks_median=_weighted_median(spread, weight),
        spread_ticks_max=int(spread.max()) if len(spread) else 0,
        two_sided_share=total / max(int(events["exch_ns"][-1]) - tape.start_ns, 1),
        book_states=len(stamp),
        crossed_states=int((both & (bid >= ask)).sum()),
        gaps=int((clear & ((events["flags"] & rec.LAST) != 0)).sum()),
        silence_s_max=_silence_ns(events) / 1e9,
        halts=halts,
        halted_s=halted_ns / 1e9,
        settlements=len(timeline.settlements),
        feed_latency_ns_median=int(np.sort(latency)[len(latency) // 2]),
        feed_latency_ns_max=int(latency.max()),
        raced_rows=int((np.minimum.accumulate(events["local_ns"][::-1])[::-1] < events["local_ns"]).sum()),
        provenance=tape.provenance,
    )
