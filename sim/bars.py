"""`Bars`: all that observations look up of the past, compiled once along the tape.

Bars of a second, and the lists of `lobgym.sim.trail`. What an observation remembers comes from here or from a lookup at
an earlier time, never from state that a lane accumulates; so a lane that starts in the middle of the tape sees what one
that came all the way sees. Sums are integers and run along the tape: those over any window are two lookups, and exact.
"""

from __future__ import annotations

import math
import weakref
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.book import Book
from lobgym.sim.jit import njit_inline, njit_leaf, njit_lean
from lobgym.sim.kept import keep
from lobgym.sim.memory import address_of, column, member, prefetcher, table
from lobgym.sim.mids import mid2_of, next_stamp
from lobgym.sim.records import EVENT_DTYPE, FUNDING
from lobgym.sim.tops import TOP_DTYPE
from lobgym.sim.trail import (
    MARK_DTYPE,
    MOMENT_DTYPE,
    NEVER_NS,
    QUOTE_DTYPE,
    TRADE_DTYPE,
    TRAIL_FIELDS,
    compile_trail,
    mark_before,
)
from lobgym.sim.view import BookView, fetch_stamp, make_view

if TYPE_CHECKING:
    from lobgym.sim.market import Market

__all__ = [
    "BARS_DTYPE",
    "BAR_NS",
    "SQUARE_UNIT",
    "Bars",
    "atr_ticks",
    "bars_done",
    "bars_of",
    "compile_bars",
    "fetch_count",
    "fetch_entries",
    "fetch_mark",
    "fetch_moment",
    "fetch_searches",
    "fetch_top",
    "funding_at",
    "funding_before",
    "last_mid2",
    "last_ns",
    "moment_at",
    "natr_bps",
    "quote_at",
    "stamps_by",
    "top_at",
    "trade_at",
    "volatility_bps",
]

BAR_NS: Final = 1_000_000_000
SQUARE_UNIT: Final = 10_000_000  # changes from bar to bar are counted in 1e-7 of the price
_NS_PER_MS: Final = 1_000_000
_CHANGE_MAX: Final = 1_000_000  # a tenth of the price, so that the squares of a year fit 64 bits

# Entry s is about the bars before bar s; bar s covers local stamps in [origin + s * BAR_NS, origin + (s + 1) * BAR_NS).
# Mids are doubled ticks.
SECOND_DTYPE: Final = np.dtype([
    ("close2", np.int64),  # last two-sided mid by then; 0 before the first
    ("ranges", np.int64),  # sum of the bars' true ranges
    ("quoted", np.int64),  # how many of them had a mid by their end
    ("squares", np.int64),  # sum of the squared changes of the close, in 1 / SQUARE_UNIT of the close before
])  # fmt: skip

# What a FUNDING row said, in the order of arrival. Entry 0 is stamped before all times.
FUNDING_DTYPE: Final = np.dtype([("ns", np.int64), ("rate", np.int64), ("next_ns", np.int64)])

BARS_DTYPE: Final = np.dtype([
    (name, np.int64)
    for name in (*TRAIL_FIELDS, "seconds", "second_count", "origin_ns", "fundings", "funding_count")
])  # fmt: skip

Bars: TypeAlias = Any  # a record of BARS_DTYPE


second_at = table(BARS_DTYPE, "seconds", SECOND_DTYPE)  # (bars, index), as are the following ones
quote_at = table(BARS_DTYPE, "quotes", QUOTE_DTYPE)
trade_at = table(BARS_DTYPE, "trades", TRADE_DTYPE)
funding_at = table(BARS_DTYPE, "fundings", FUNDING_DTYPE)
_funding_ns = member(BARS_DTYPE, "fundings", FUNDING_DTYPE, "ns")
top_at = table(BARS_DTYPE, "tops", TOP_DTYPE)  # (bars, number of stamps)
moment_at = table(BARS_DTYPE, "moments", MOMENT_DTYPE)  # (bars, number of stamps)
_mark_at = table(BARS_DTYPE, "marks", MARK_DTYPE)
_stamp_ns = column(BARS_DTYPE, "stamps", np.int64)
_fetch_mark = prefetcher(BARS_DTYPE, "marks", MARK_DTYPE, once=True)
_fetch_stamp = prefetcher(BARS_DTYPE, "stamps", np.int64, once=True)
_fetch_moment = prefetcher(BARS_DTYPE, "moments", MOMENT_DTYPE, once=True)
_fetch_quote = prefetcher(BARS_DTYPE, "quotes", QUOTE_DTYPE, once=True)
_fetch_trade = prefetcher(BARS_DTYPE, "trades", TRADE_DTYPE, once=True)
_fetch_top = prefetcher(BARS_DTYPE, "tops", TOP_DTYPE, once=True)

_MOMENTS_ON: Final = 3  # from the count at a mark to the one that is looked for, at most as a rule

_COMPILED: weakref.WeakKeyDictionary[Market, tuple[Bars, bool, bool]] = weakref.WeakKeyDictionary()


def bars_of(market: Market, with_flow: bool, with_tops: bool) -> Bars:
    """The bars of a market's local book, compiled when first asked for."""
    bars, has_flow, has_tops = _COMPILED.get(market, (None, False, False))
    if bars is None or (with_flow and not has_flow) or (with_tops and not has_tops):
        with_flow, with_tops = with_flow or has_flow, with_tops or has_tops
        bars = compile_bars(market.local, with_flow, with_tops, market.tape.events, market.depth_only, market.exch)
        _COMPILED[market] = (bars, with_flow, with_tops)
    return bars


def compile_bars(
    local: Book, with_flow: bool = False, with_tops: bool = False, events: NDArray[np.void] | None = None,
    ghosts: bool = False, exch: Book | None = None,
) -> Bars:  # fmt: skip
    """Bars and trail of a local book, a record that keeps its tables. O(bars + stamps + prints).

    Only `with_flow` can the order flow be looked up, only `with_tops` what the best levels hold; each costs a pass over
    all rows. Funding comes from the tape's events, EVENT_DTYPE[n]; `ghosts` is that of `make_view`. Where the
    exchange's book is given, marks tell of it too, which saves time and changes no result.
    """
    values, kept = compile_trail(local, ghosts, with_flow, with_tops, exch)
    origin = int(local.ns[0]) // BAR_NS * BAR_NS if len(local.ns) else 0
    size = (int(local.ns[-1]) - origin) // BAR_NS + 1 if len(local.ns) else 0
    seconds = np.zeros(size + 1, SECOND_DTYPE)
    _fill(make_view(local)[0], origin, seconds)
    header = np.zeros(1, BARS_DTYPE)
    for name, value in values.items():
        header[name] = value
    header["seconds"], header["second_count"], header["origin_ns"] = address_of(seconds), size, origin
    fundings = _fundings(events)
    header["fundings"], header["funding_count"] = address_of(fundings), len(fundings)
    for array in (seconds, fundings, *kept):
        array.setflags(write=False)
    return keep(header, seconds, fundings, *kept)[0]


def _fundings(events: NDArray[np.void] | None) -> NDArray[np.void]:
    rows = np.zeros(0, EVENT_DTYPE) if events is None else events[events["kind"] == FUNDING]
    rows = rows[np.argsort(rows["local_ns"], kind="stable")]
    made = np.zeros(len(rows) + 1, FUNDING_DTYPE)
    made["ns"][0] = NEVER_NS
    made["ns"][1:], made["rate"][1:], made["next_ns"][1:] = rows["local_ns"], rows["qty_lots"], rows["seq"] * _NS_PER_MS
    return made


@njit_lean
def _fill(local: BookView, origin_ns: int, seconds: NDArray[np.void]) -> None:
    """Walk the stamps at which a best changes: between them the mid stands still."""
    close = 0
    ns, i, j = next_stamp(local, 0, 0)
    for s in range(seconds.shape[0] - 1):
        end_ns = origin_ns + (s + 1) * BAR_NS
        before = close
        high = close
        low = close
        while 0 <= ns < end_ns:
            mid2 = mid2_of(local, i, j)
            if mid2 > 0:
                close = mid2
                high = close if high == 0 else max(high, close)
                low = close if low == 0 else min(low, close)
            ns, i, j = next_stamp(local, i, j)
        change = min(abs(close - before) * SQUARE_UNIT // before, _CHANGE_MAX) if before > 0 else 0
        seconds[s + 1]["close2"] = close
        seconds[s + 1]["ranges"] = seconds[s]["ranges"] + high - low
        seconds[s + 1]["quoted"] = seconds[s]["quoted"] + (1 if close > 0 else 0)
        seconds[s + 1]["squares"] = seconds[s]["squares"] + change * change


# -- by time -----------------------------------------------------------------------------------------------------------


@njit_leaf
def stamps_by(bars: Bars, t_ns: int) -> int:
    """How many different stamps the local book has by a time."""
    stamps = int(_mark_at(bars, mark_before(bars, t_ns))["stamp"])
    while stamps < bars["stamp_count"] and _stamp_ns(bars, stamps) <= t_ns:
        stamps += 1
    return stamps


@njit_inline
def last_ns(bars: Bars, stamps: int) -> int:
    """The last of so many different stamps, NEVER_NS where there are none."""
    return _stamp_ns(bars, stamps - 1) if stamps > 0 else NEVER_NS


@njit_leaf
def funding_before(bars: Bars, t_ns: int) -> int:
    """The last announcement of funding that arrived at or before `t_ns`."""
    low = 1
    high = bars["funding_count"]
    while low < high:
        middle = (low + high) >> 1
        if _funding_ns(bars, middle) <= t_ns:
            low = middle + 1
        else:
            high = middle
    return int(low - 1)


@njit_leaf
def last_mid2(bars: Bars, stamps: int) -> int:
    """Twice the last two-sided mid by so many stamps, in ticks; 0 where there was none."""
    return int(quote_at(bars, moment_at(bars, stamps)["quote"])["mark2"])


# -- asking ahead ------------------------------------------------------------------------------------------------------
# What waits for nothing: the processor is asked to bring near what will be read. Nothing here changes a result.


@njit_leaf
def fetch_mark(bars: Bars, t_ns: int) -> None:
    """Ask for the mark at which a count for a time begins."""
    _fetch_mark(bars, mark_before(bars, t_ns))


@njit_leaf
def fetch_count(bars: Bars, t_ns: int) -> None:
    """Ask for what the count for a time reads after its mark, and for the moment that it leads to."""
    stamps = _mark_at(bars, mark_before(bars, t_ns))["stamp"]
    _fetch_stamp(bars, stamps)
    _fetch_moment(bars, stamps)
    _fetch_moment(bars, stamps + _MOMENTS_ON)


@njit_leaf
def fetch_searches(local: BookView, exch: BookView, bars: Bars, t_ns: int) -> None:
    """Ask for what searches of both books for a time read."""
    mark = _mark_at(bars, mark_before(bars, t_ns))
    fetch_stamp(local, mark["stamp"])
    fetch_stamp(exch, mark["exch_stamp"])


@njit_inline
def fetch_moment(bars: Bars, stamps: int) -> None:
    """Ask for a moment."""
    _fetch_moment(bars, stamps)


@njit_leaf
def fetch_entries(bars: Bars, stamps: int) -> None:
    """Ask for the entries that a moment leads to."""
    moment = moment_at(bars, stamps)
    _fetch_quote(bars, moment["quote"])
    _fetch_trade(bars, moment["trade"])


@njit_inline
def fetch_top(bars: Bars, stamps: int) -> None:
    """Ask for what the best levels hold after so many stamps."""
    _fetch_top(bars, stamps)


# -- bars --------------------------------------------------------------------------------------------------------------


@njit_inline
def bars_done(bars: Bars, t_ns: int) -> int:
    """How many bars are complete at `t_ns`."""
    return int(min(max((t_ns - bars["origin_ns"]) // BAR_NS, 0), bars["second_count"]))


@njit_inline
def natr_bps(bars: Bars, done: int, count: int) -> float:
    """Mean true range of the last `count` of `done` bars, in bps of the last close; 0 before any mid.

    The window starts with the previous close included, which is what makes a range a true one.
    """
    last = second_at(bars, done)
    if last["close2"] == 0:
        return 0.0
    first = second_at(bars, max(0, done - count))
    quoted = last["quoted"] - first["quoted"]
    bps: float = (last["ranges"] - first["ranges"]) * 1e4 / (float(quoted) * last["close2"])
    return bps


@njit_inline
def atr_ticks(bars: Bars, done: int, count: int) -> float:
    """Mean true range of the last `count` of `done` bars, in ticks; 0 before any mid."""
    last = second_at(bars, done)
    first = second_at(bars, max(0, done - count))
    quoted = last["quoted"] - first["quoted"]
    return (last["ranges"] - first["ranges"]) * 0.5 / quoted if quoted > 0 else 0.0


@njit_inline
def volatility_bps(bars: Bars, done: int, count: int) -> float:
    """Root of the mean squared change of the close over the last `count` of `done` bars, in bps; 0 before any mid."""
    last = second_at(bars, done)
    first = second_at(bars, max(0, done - count))
    quoted = last["quoted"] - first["quoted"]
    if quoted == 0:
        return 0.0
    return math.sqrt((last["squares"] - first["squares"]) / quoted) * (1e4 / SQUARE_UNIT)
