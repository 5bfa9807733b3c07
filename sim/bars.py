"""`Bars`: the mid in fixed intervals, compiled once along the tape.

What an observation remembers of the past comes from here or from a lookup at an earlier cursor, never from state
that a lane accumulates; so a lane that starts in the middle of the tape sees what one that came all the way sees.
True ranges are integers and kept as running sums: the mean over any window is two lookups and exact.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.book import Book, seek_forward
from lobgym.sim.jit import njit_lean
from lobgym.sim.mids import last_quoted_mid2, mid2_of, next_stamp, quoted_mid2

__all__ = ["BAR_NS", "NATR_BARS", "Bars", "compile_bars", "last_mid2", "marked_cursor_at", "natr_bps"]

BAR_NS: Final = 1_000_000_000
NATR_BARS: Final = 14
_ROWS_PER_MARK: Final = 16


class Bars(NamedTuple):
    """S bars; bar s covers local stamps in [origin + s * width, origin + (s + 1) * width). Mids are doubled ticks.

    Beside them, marks in time: a search for an earlier time starts from the mark before it, which saves most of the
    memory accesses of a binary search over the whole tape.
    """

    origin_ns: int
    width_ns: int
    close2: NDArray[np.int64]  # [S] last two-sided mid by the end of the bar; 0 before the first
    range_sum: NDArray[np.int64]  # [S + 1] sum of the true ranges of the bars before s
    quoted_sum: NDArray[np.int64]  # [S + 1] how many of them had a mid
    mark_ns: int  # distance of the marks
    mark_cursor: NDArray[np.int64]  # [M] rows stamped before origin + m * mark_ns


def compile_bars(local: Book, width_ns: int = BAR_NS) -> Bars:
    """Bars of a local book. O(bars + changes of its bests)."""
    rows = local.ns.shape[0]
    if rows == 0:
        none = np.zeros(1, np.int64)
        return Bars(0, width_ns, none[:0], none, none, width_ns, none)
    origin = int(local.ns[0]) // width_ns * width_ns
    span = int(local.ns[-1]) - origin + 1
    size = -(-span // width_ns)
    mark_ns = max(1, span * _ROWS_PER_MARK // rows)
    marks = np.searchsorted(local.ns, origin + np.arange(-(-span // mark_ns)) * mark_ns, side="left")
    close2 = np.zeros(size, np.int64)
    range_sum = np.zeros(size + 1, np.int64)
    quoted_sum = np.zeros(size + 1, np.int64)
    bars = Bars(origin, width_ns, close2, range_sum, quoted_sum, mark_ns, marks.astype(np.int64))
    _fill(local, bars)
    for array in (close2, range_sum, quoted_sum, bars.mark_cursor):
        array.setflags(write=False)
    return bars


@njit_lean
def _fill(local: Book, bars: Bars) -> None:
    """Walk the stamps at which a best changes: between them the mid stands still."""
    close = 0
    ns, i, j = next_stamp(local, 0, 0)
    for s in range(bars.close2.shape[0]):
        end_ns = bars.origin_ns + (s + 1) * bars.width_ns
        high = close
        low = close
        while 0 <= ns < end_ns:
            mid2 = mid2_of(local, i, j)
            if mid2 > 0:
                close = mid2
                high = close if high == 0 else max(high, close)
                low = close if low == 0 else min(low, close)
            ns, i, j = next_stamp(local, i, j)
        bars.close2[s] = close
        bars.range_sum[s + 1] = bars.range_sum[s] + high - low
        bars.quoted_sum[s + 1] = bars.quoted_sum[s] + (1 if close > 0 else 0)


@njit_lean
def marked_cursor_at(ns: NDArray[np.int64], bars: Bars, t_ns: int) -> int:
    """`cursor_at(ns, t_ns)` of the local book that the bars were compiled from."""
    if t_ns < bars.origin_ns:
        return 0
    mark = min((t_ns - bars.origin_ns) // bars.mark_ns, bars.mark_cursor.shape[0] - 1)
    return seek_forward(ns, bars.mark_cursor[mark], t_ns)


@njit_lean
def natr_bps(bars: Bars, t_ns: int) -> float:
    """Mean true range of the last NATR_BARS bars completed by `t_ns`, in bps of the last close; 0 before any.

    The window starts with the previous close included, which is what makes a range a true one.
    """
    done = min((t_ns - bars.origin_ns) // bars.width_ns, bars.close2.shape[0])
    if done <= 0 or bars.close2[done - 1] == 0:
        return 0.0
    first = max(0, done - NATR_BARS)
    count = bars.quoted_sum[done] - bars.quoted_sum[first]
    bps: float = (bars.range_sum[done] - bars.range_sum[first]) * 1e4 / (float(count) * bars.close2[done - 1])
    return bps


@njit_lean
def last_mid2(local: Book, bars: Bars, cursor: int) -> int:
    """Twice the last two-sided mid by a cursor, in ticks; 0 where there was none. Looks back at most one bar."""
    mid2 = quoted_mid2(local, cursor)
    if mid2 > 0 or cursor == 0:
        return mid2
    bar = (local.ns[cursor - 1] - bars.origin_ns) // bars.width_ns
    mid2 = last_quoted_mid2(local, cursor, bars.origin_ns + bar * bars.width_ns)
    if mid2 > 0:
        return mid2
    return int(bars.close2[bar - 1]) if bar > 0 else 0
