"""Mids along a book: the best quotes walked change by change, of which there are far fewer than rows."""

from __future__ import annotations

from lobgym.sim.jit import njit_inline, njit_lean
from lobgym.sim.view import BookView, ask_change, ask_index, bid_change, bid_index, row_ns

__all__ = ["first_quoted_ns", "last_quoted_mid2", "mid2_of", "next_stamp", "quoted_mid2"]


@njit_inline
def mid2_of(book: BookView, i: int, j: int) -> int:
    """Twice the mid of entry `i` of the bids and entry `j` of the asks; 0 where one of them is empty."""
    bid = bid_change(book, i)
    ask = ask_change(book, j)
    return int(bid["tick"] + ask["tick"]) if bid["level"] >= 0 and ask["level"] >= 0 else 0


@njit_lean
def quoted_mid2(book: BookView, cursor: int) -> int:
    """Twice the mid in ticks at a cursor; 0 where the book is not two-sided."""
    return mid2_of(book, bid_index(book, cursor) - 1, ask_index(book, cursor) - 1)


@njit_lean
def last_quoted_mid2(book: BookView, cursor: int, from_ns: int) -> int:
    """Twice the last two-sided mid by an observable cursor; 0 where there was none.

    Only what stood after the last row of a stamp counts. The search stops before `from_ns`.
    """
    i = bid_index(book, cursor) - 1
    j = ask_index(book, cursor) - 1
    end = cursor - 1
    while end >= 0 and row_ns(book, end) >= from_ns:
        # This pair stood after rows start to end.
        bid_row = bid_change(book, i)["row"]
        ask_row = ask_change(book, j)["row"]
        start = max(bid_row, ask_row)
        if start < 0:
            break
        if end == cursor - 1 or row_ns(book, start) < row_ns(book, end + 1):
            mid2 = mid2_of(book, i, j)
            if mid2 > 0:
                return mid2
        i -= bid_row == start
        j -= ask_row == start
        end = start - 1
    return 0


@njit_inline
def next_stamp(book: BookView, i: int, j: int) -> tuple[int, int, int]:
    """The next stamp after which a best is another one than after entries `i` and `j`, and its last entries.

    Returns:
        (stamp, i, j); the stamp is -1 where nothing changes any more.
    """
    bids = book["bid_changes"]
    asks = book["ask_changes"]
    row = book["size"]
    if i + 1 < bids:
        row = min(row, bid_change(book, i + 1)["row"])
    if j + 1 < asks:
        row = min(row, ask_change(book, j + 1)["row"])
    if row == book["size"]:
        return -1, i, j
    ns = row_ns(book, row)
    while i + 1 < bids and row_ns(book, bid_change(book, i + 1)["row"]) == ns:
        i += 1
    while j + 1 < asks and row_ns(book, ask_change(book, j + 1)["row"]) == ns:
        j += 1
    return int(ns), i, j


@njit_lean
def first_quoted_ns(book: BookView) -> int:
    """Stamp of the first message after which the book has a bid and an ask; -1 where it never has."""
    i = 0
    j = 0
    while mid2_of(book, i, j) == 0:
        bid_row = bid_change(book, i + 1)["row"] if i + 1 < book["bid_changes"] else book["size"]
        ask_row = ask_change(book, j + 1)["row"] if j + 1 < book["ask_changes"] else book["size"]
        row = min(bid_row, ask_row)
        if row == book["size"]:
            return -1
        i += bid_row == row
        j += ask_row == row
    return int(row_ns(book, max(bid_change(book, i)["row"], ask_change(book, j)["row"])))
