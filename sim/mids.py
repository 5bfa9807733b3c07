"""Mids along a book: the best quotes walked change by change, of which there are far fewer than rows."""

from __future__ import annotations

from lobgym.sim.book import Book, ask_index, bid_index
from lobgym.sim.jit import njit_inline, njit_lean

__all__ = ["first_quoted_ns", "last_quoted_mid2", "mid2_of", "next_stamp", "quoted_mid2"]


@njit_inline
def mid2_of(book: Book, i: int, j: int) -> int:
    """Twice the mid of entry `i` of the bids and entry `j` of the asks; 0 where one of them is empty."""
    bid = book.bids[i]
    ask = book.asks[j]
    return int(bid["tick"] + ask["tick"]) if bid["level"] >= 0 and ask["level"] >= 0 else 0


@njit_lean
def quoted_mid2(book: Book, cursor: int) -> int:
    """Twice the mid in ticks at a cursor; 0 where the book is not two-sided."""
    return mid2_of(book, bid_index(book, cursor) - 1, ask_index(book, cursor) - 1)


@njit_lean
def last_quoted_mid2(book: Book, cursor: int, from_ns: int) -> int:
    """Twice the last two-sided mid by an observable cursor; 0 where there was none.

    Only what stood after the last row of a stamp counts. The search stops before `from_ns`.
    """
    i = bid_index(book, cursor) - 1
    j = ask_index(book, cursor) - 1
    end = cursor - 1
    while end >= 0 and book.ns[end] >= from_ns:
        # This pair stood after rows start to end.
        bid_row = book.bids[i]["row"]
        ask_row = book.asks[j]["row"]
        start = max(bid_row, ask_row)
        if start < 0:
            break
        if end == cursor - 1 or book.ns[start] < book.ns[end + 1]:
            mid2 = mid2_of(book, i, j)
            if mid2 > 0:
                return mid2
        i -= bid_row == start
        j -= ask_row == start
        end = start - 1
    return 0


@njit_inline
def next_stamp(book: Book, i: int, j: int) -> tuple[int, int, int]:
    """The next stamp after which a best is another one than after entries `i` and `j`, and its last entries.

    Returns:
        (stamp, i, j); the stamp is -1 where nothing changes any more.
    """
    bids = book.bids.shape[0]
    asks = book.asks.shape[0]
    row = book.ns.shape[0]
    if i + 1 < bids:
        row = min(row, book.bids[i + 1]["row"])
    if j + 1 < asks:
        row = min(row, book.asks[j + 1]["row"])
    if row == book.ns.shape[0]:
        return -1, i, j
    ns = book.ns[row]
    while i + 1 < bids and book.ns[book.bids[i + 1]["row"]] == ns:
        i += 1
    while j + 1 < asks and book.ns[book.asks[j + 1]["row"]] == ns:
        j += 1
    return int(ns), i, j


@njit_lean
def first_quoted_ns(book: Book) -> int:
    """Stamp of the first message after which the book has a bid and an ask; -1 where it never has."""
    i = 0
    j = 0
    while mid2_of(book, i, j) == 0:
        bid_row = book.bids[i + 1]["row"] if i + 1 < book.bids.shape[0] else book.ns.shape[0]
        ask_row = book.asks[j + 1]["row"] if j + 1 < book.asks.shape[0] else book.ns.shape[0]
        row = min(bid_row, ask_row)
        if row == book.ns.shape[0]:
            return -1
        i += bid_row == row
        j += ask_row == row
    return int(book.ns[max(book.bids[i]["row"], book.asks[j]["row"])])
