"""`Trail`: what the local book's past says, compiled once along the tape, to be looked up by time.

The different stamps of the local book count what is known: a *moment* for every number of stamps tells which entry of
the best quotes and of the sums of prints holds from then on, and the order flow so far; what the best levels hold
(`lobgym.sim.tops`) has an entry for each such number too. A lane knows how many stamps it has seen. For any other time
marks tell where the count begins, so that it costs one access and a few steps, not a search over the whole tape. Moment
0 and entry 0 of each list say that nothing has happened.

Everything here depends on the tape up to that time alone, not on where a lane started.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.book import NO_ASK, NO_BID, ROW_LEVEL, Book, row_kind, row_qty
from lobgym.sim.jit import njit_leaf, njit_lean
from lobgym.sim.memory import address_of, aligned_zeros, copy_into
from lobgym.sim.mids import next_stamp
from lobgym.sim.records import BUY
from lobgym.sim.tops import TOP_DTYPE, fill_tops, levels_scratch
from lobgym.sim.view import BookView, ask_change, bid_change, make_view, print_of, row_key, row_ns, row_word

__all__ = [
    "MARK_DTYPE",
    "MOMENT_DTYPE",
    "NEVER_NS",
    "QUOTE_DTYPE",
    "TRADE_DTYPE",
    "TRAIL_FIELDS",
    "VPIN_BUCKETS",
    "VPIN_WINDOW_NS",
    "compile_trail",
    "mark_before",
]

NEVER_NS: Final = -(1 << 62)  # a stamp before all others
_ROWS_PER_MARK: Final = 8

VPIN_BUCKETS: Final = 50
VPIN_WINDOW_NS: Final = 300_000_000_000  # a bucket holds a VPIN_BUCKETS-th of what was traded in so much time

Trail: TypeAlias = Any  # a record that has the fields TRAIL_FIELDS

QUOTE_DTYPE: Final = np.dtype([
    ("ns", np.int64),
    ("bid", np.int64),  # NO_BID, NO_ASK where a side is empty
    ("ask", np.int64),
    ("mark2", np.int64),  # twice the last two-sided mid by then; 0 before the first
])  # fmt: skip
TRADE_DTYPE: Final = np.dtype([
    ("ns", np.int64),
    ("bought", np.int64),  # lots printed by buyers so far
    ("sold", np.int64),
    ("vpin", np.float64),  # 0 before the first full bucket
])  # fmt: skip
# What holds after so many different stamps.
MOMENT_DTYPE: Final = np.dtype([
    ("quote", np.int32),  # entry of the best quotes
    ("trade", np.int32),  # of the sums of prints
    ("flow", np.int64),  # sum of the order flow so far, lots
])  # fmt: skip
MARK_DTYPE: Final = np.dtype([
    ("stamp", np.int32),  # different stamps before the mark, of the local book
    ("exch_stamp", np.int32),  # and of the exchange's
])  # fmt: skip

# Fields of a header that leads to a trail; all int64.
TRAIL_FIELDS: Final = (
    "quotes", "trades", "moments", "tops", "stamps", "stamp_count", "marks", "mark_count", "mark_origin", "mark_shift"
)  # fmt: skip


def compile_trail(
    local: Book, ghosts: bool, with_flow: bool, with_tops: bool, exch: Book | None = None
) -> tuple[dict[str, int], tuple[Any, ...]]:
    """Compile the trail of a local book: O(stamps + changes of its bests + prints), with the flow or the tops O(rows).

    Returns:
        values by field of TRAIL_FIELDS, and the arrays that must live as long as they are used.
    """
    view = make_view(local, ghosts)[0]
    stamps = local.stamp_ns[: len(local.stamp_row) - 1]
    quotes = np.empty(len(local.bids) + len(local.asks) + 1, QUOTE_DTYPE)
    quotes = _aligned(quotes[: _fill_quotes(view, quotes)])
    trades = np.empty(len(local.prints) + 1, TRADE_DTYPE)
    buckets = np.zeros((2, VPIN_BUCKETS), np.int64)
    trades = _aligned(trades[: _fill_trades(view, trades, buckets)])
    moments = aligned_zeros((len(stamps) + 1,), MOMENT_DTYPE)
    for name, entries in (("quote", quotes), ("trade", trades)):
        moments[name][1:] = np.searchsorted(entries["ns"], stamps, side="right") - 1
    if with_flow:
        _fill_flows(view, moments, np.zeros(len(local.level_tick), np.int64))
    tops = aligned_zeros((len(stamps) + 1 if with_tops else 1,), TOP_DTYPE)
    if with_tops:
        scratch, _levels = levels_scratch()
        fill_tops(view, scratch[0], tops)
    origin, shift, count = _grid(stamps, len(local.ns))
    marks = aligned_zeros((count,), MARK_DTYPE)
    times = origin + (np.arange(count, dtype=np.int64) << shift)
    marks["stamp"] = np.searchsorted(stamps, times, side="left")
    if exch is not None:
        marks["exch_stamp"] = np.searchsorted(exch.stamp_ns[: len(exch.stamp_row) - 1], times, side="left")
    values = {
        "quotes": address_of(quotes), "trades": address_of(trades), "moments": address_of(moments),
        "tops": address_of(tops), "stamps": address_of(local.stamp_ns), "stamp_count": len(stamps),
        "marks": address_of(marks), "mark_count": count, "mark_origin": origin, "mark_shift": shift,
    }  # fmt: skip
    return values, (quotes, trades, moments, tops, marks, local.stamp_ns)


def _aligned(array: NDArray[np.void]) -> NDArray[np.void]:
    """A copy that begins with a cache line, of which its entries are a half."""
    made = aligned_zeros(array.shape, array.dtype)
    copy_into(made, array)
    return made


def _grid(stamps: NDArray[np.int64], rows: int) -> tuple[int, int, int]:
    """Time of the first mark, the power of two that lies between two marks, and how many there are."""
    if len(stamps) == 0:
        return 0, 0, 1
    span = int(stamps[-1]) - int(stamps[0]) + 1
    shift = max(0, (span * _ROWS_PER_MARK // rows).bit_length())
    return int(stamps[0]), shift, (span >> shift) + 1


# -- compiling ---------------------------------------------------------------------------------------------------------


@njit_lean
def _fill_quotes(local: BookView, out: NDArray[np.void]) -> int:
    first = out[0]
    first["ns"] = NEVER_NS
    first["bid"] = NO_BID
    first["ask"] = NO_ASK
    first["mark2"] = 0
    count = 1
    ns, i, j = next_stamp(local, 0, 0)
    while ns >= 0:
        bid = bid_change(local, i)["tick"] if bid_change(local, i)["level"] >= 0 else NO_BID
        ask = ask_change(local, j)["tick"] if ask_change(local, j)["level"] >= 0 else NO_ASK
        before = out[count - 1]
        if bid != before["bid"] or ask != before["ask"]:
            quote = out[count]
            quote["ns"] = ns
            quote["bid"] = bid
            quote["ask"] = ask
            quote["mark2"] = bid + ask if bid != NO_BID and ask != NO_ASK else before["mark2"]
            count += 1
        ns, i, j = next_stamp(local, i, j)
    return count


@njit_lean
def _fill_trades(local: BookView, out: NDArray[np.void], buckets: NDArray[np.int64]) -> int:
    """Sums of the prints, and VPIN over the last VPIN_BUCKETS full buckets (Easley, Lopez de Prado, O'Hara 2012).

    A bucket holds a VPIN_BUCKETS-th of what was traded in the VPIN_WINDOW_NS before it began, at least one lot. A print
    that does not fit is divided among buckets.
    """
    first = out[0]
    first["ns"] = NEVER_NS
    first["bought"] = 0
    first["sold"] = 0
    first["vpin"] = 0.0
    count = 1
    full = 0  # buckets so far
    size = 1  # lots, of the bucket that is being filled, as are the following two
    buys = 0
    sells = 0
    imbalance = 0  # sums over the last full buckets
    volume = 0
    old = 0  # the last entry at the beginning of the window
    for k in range(local["print_count"]):
        made = print_of(local, k)
        ns = row_ns(local, made["row"])
        if ns != out[count - 1]["ns"]:
            out[count]["ns"] = ns
            out[count]["bought"] = out[count - 1]["bought"]
            out[count]["sold"] = out[count - 1]["sold"]
            count += 1
        entry = out[count - 1]
        left = made["qty"]
        while buys + sells + left >= size:
            part = size - buys - sells
            left -= part
            if made["side"] == BUY:
                buys += part
            else:
                sells += part
            place = full % VPIN_BUCKETS
            imbalance += abs(buys - sells) - buckets[0, place]
            volume += size - buckets[1, place]
            buckets[0, place] = abs(buys - sells)
            buckets[1, place] = size
            full += 1
            buys = 0
            sells = 0
            while old + 1 < count and out[old + 1]["ns"] < ns - VPIN_WINDOW_NS:
                old += 1
            traded = entry["bought"] + entry["sold"] + made["qty"] - left - out[old]["bought"] - out[old]["sold"]
            size = max(1, traded // VPIN_BUCKETS)
        if made["side"] == BUY:
            buys += left
            entry["bought"] += made["qty"]
        else:
            sells += left
            entry["sold"] += made["qty"]
        entry["vpin"] = imbalance / volume if volume > 0 else 0.0
    return count


@njit_lean
def _fill_flows(local: BookView, moments: NDArray[np.void], shown: NDArray[np.int64]) -> None:
    """Order flow at the bests, stamp by stamp (Cont, Kukanov, Stoikov 2014, equation 10).

    A bid that rises adds its quantity, one that falls takes that of the one before, one that stays adds what its
    quantity changed by; asks are the mirror image. `shown` int64[levels] is 0.
    """
    stamp = 0
    bid, ask, bid_qty, ask_qty = NO_BID, NO_ASK, 0, 0
    i = 0
    j = 0
    size = local["size"]
    for row in range(size):
        if row_kind(row_word(local, row)) == ROW_LEVEL:
            shown[row_key(local, row)] = row_qty(row_word(local, row))
        if row + 1 < size and row_ns(local, row + 1) == row_ns(local, row):
            continue
        while i + 1 < local["bid_changes"] and bid_change(local, i + 1)["row"] <= row:
            i += 1
        while j + 1 < local["ask_changes"] and ask_change(local, j + 1)["row"] <= row:
            j += 1
        new_bid, new_ask = bid_change(local, i)["tick"], ask_change(local, j)["tick"]
        new_bid_qty = shown[bid_change(local, i)["level"]] if bid_change(local, i)["level"] >= 0 else 0
        new_ask_qty = shown[ask_change(local, j)["level"]] if ask_change(local, j)["level"] >= 0 else 0
        flow = 0
        if new_bid >= bid:
            flow += new_bid_qty
        if new_bid <= bid:
            flow -= bid_qty
        if new_ask <= ask:
            flow -= new_ask_qty
        if new_ask >= ask:
            flow += ask_qty
        bid, ask, bid_qty, ask_qty = new_bid, new_ask, new_bid_qty, new_ask_qty
        stamp += 1
        moments[stamp]["flow"] = moments[stamp - 1]["flow"] + flow


# -- looking up --------------------------------------------------------------------------------------------------------


@njit_leaf
def mark_before(trail: Trail, t_ns: int) -> int:
    """The last mark at or before `t_ns`, where a search for that time begins; the first one for times before it."""
    mark = (t_ns - trail["mark_origin"]) >> trail["mark_shift"]
    return int(min(max(mark, 0), trail["mark_count"] - 1))
