"""Exchange stamps for messages that the venue sends without: on spot, every best quote.

A guess from the receipt alone is wrong by milliseconds, and in a burst by tens of them, because the best quotes then
lag behind the prints. A quote that is dated after a print which has already emptied it would be tradable again. So the
guess is held between bounds that prints set: a quote that shows what a print did is not older than the print, and the
quote before that one is.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from lobgym.sim import records as rec

__all__ = ["PrintBounds", "Prints", "Quotes", "bounds_by_prints", "usual_latency"]

LATENCY_WINDOW: Final = 41  # messages of the running median
LAG_MAX_NS: Final = 50_000_000  # a quote later than this after a print is not taken for its consequence
NEVER: Final = np.int64(2**62)


class Prints(NamedTuple):
    """Prints in order of their ids, one entry each."""

    stamp_ns: Any
    side: Any
    tick: Any
    qty: Any


class Quotes(NamedTuple):
    """Best quotes in order of their update ids, one entry each; an empty side has tick 0."""

    local_ns: Any
    bid: Any
    bid_qty: Any
    ask: Any
    ask_qty: Any


class PrintBounds(NamedTuple):
    """For each quote: not before `low_ns`, not after `high_ns`; and how many runs of prints set bounds, of how many."""

    low_ns: Any
    high_ns: Any
    matched: int
    runs: int


def usual_latency(stamp_ns: Any, local_ns: Any, base_latency_ns: int) -> Any:
    """int64[n]: the median latency of the LATENCY_WINDOW stamped messages received around each message.

    `stamp_ns` is 0 where there is none. Without any stamped message it is the base latency.
    """
    stamped = np.flatnonzero(stamp_ns > 0)
    if not len(stamped):
        return np.full(len(stamp_ns), base_latency_ns, np.int64)
    stamped = stamped[np.argsort(local_ns[stamped], kind="stable")]
    latency = np.pad((local_ns - stamp_ns)[stamped], LATENCY_WINDOW // 2, mode="edge")
    median = np.median(np.lib.stride_tricks.sliding_window_view(latency, LATENCY_WINDOW), axis=1).astype(np.int64)
    nearest = np.searchsorted(local_ns[stamped], local_ns).clip(0, len(stamped) - 1)
    return median[nearest]


def bounds_by_prints(prints: Prints, quotes: Quotes) -> PrintBounds:
    """Bounds for the stamps of best quotes, from what prints did to them.

    Prints of one stamp and aggressor are a run; it ends at a price, where it took some quantity. The first quote after
    it that lies beyond that price, or came to it, or lost just that quantity at it, shows the run. Prints come before
    quotes of their own stamp (docs/decisions/0004), so that quote has the run's stamp at least, and the quote before
    it less.
    """
    low = np.zeros(len(quotes.local_ns), np.int64)
    high = np.full(len(quotes.local_ns), NEVER)
    if not len(prints.stamp_ns):
        return PrintBounds(low, high, 0, 0)
    changes = (prints.stamp_ns[1:] != prints.stamp_ns[:-1]) | (prints.side[1:] != prints.side[:-1])
    starts = np.flatnonzero(np.append(True, changes))
    ends = np.append(starts[1:], len(prints.side))
    next_quote = {rec.BUY: 1, rec.SELL: 1}
    matched = 0
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        side, stamp_ns, tick = int(prints.side[start]), prints.stamp_ns[start], prints.tick[end - 1]
        at_end = prints.tick[start:end] == tick
        first = max(next_quote[side], int(np.searchsorted(quotes.local_ns, stamp_ns, side="right")))
        found = _first_that_shows(quotes, side, int(tick), int(prints.qty[start:end][at_end].sum()), first, stamp_ns)
        if found > 0:
            matched += 1
            next_quote[side] = found
            low[found] = max(low[found], stamp_ns)
            high[found - 1] = min(high[found - 1], stamp_ns - 1)
    return PrintBounds(np.maximum.accumulate(low), np.minimum.accumulate(high[::-1])[::-1], matched, len(starts))


def _first_that_shows(quotes: Quotes, side: int, tick: int, qty: int, first: int, stamp_ns: int) -> int:
    """The first quote from `first` on that shows a run ending with `qty` at `tick`, or -1.

    Counted in the aggressor's direction, so that one comparison serves both sides.
    """
    best, shown = (quotes.ask, quotes.ask_qty) if side == rec.BUY else (quotes.bid, quotes.bid_qty)
    end = side * tick
    for k in range(first, len(best)):
        if quotes.local_ns[k] > stamp_ns + LAG_MAX_NS:
            return -1
        before = side * int(best[k - 1])
        now = side * int(best[k]) if best[k] > 0 else int(NEVER)
        if before > end:
            return -1  # it lay beyond already: nothing to be seen
        if now > end or (now == end and (before < end or shown[k - 1] - shown[k] == qty)):
            return k
    return -1
