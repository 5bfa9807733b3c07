"""The index of stamps: every search in it against a count over all rows.

Goal: numbers of stamps and cursors at, before and between stamps, from any row or stamp on, for as many stamps as fill
groups and blocks exactly, by one less and by one more. Method: numpy's searches over the plain column of stamps.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lobgym.sim import book as packed
from lobgym.sim.book import Book
from lobgym.sim.book_index import index_stamps
from lobgym.sim.jit import njit_lean
from lobgym.sim.view import cursor_at, make_view, seek_forward, seek_stamp, stamp_of, stamp_row, stamps_at


@njit_lean
def of_cursor(book: Any, cursor: int) -> int:
    return stamp_of(book, cursor)


@njit_lean
def forward(book: Any, start: int, t_ns: int) -> int:
    return seek_forward(book, start, t_ns)


@njit_lean
def forward_by_stamps(book: Any, start: int, t_ns: int) -> int:
    return seek_stamp(book, start, t_ns)


@njit_lean
def row_of(book: Any, stamp: int) -> int:
    return stamp_row(book, stamp)


def book_of(ns: NDArray[np.int64]) -> Book:
    """A book that is nothing but stamps."""
    empty: dict[str, Any] = dict.fromkeys(Book._fields, np.empty(0, np.int64))
    return Book(**{**empty, "bid_levels": 0, "ns": ns, **index_stamps(ns)})


def stamps(count: int, seed: int) -> NDArray[np.int64]:
    """`count` different stamps of one to a hundred rows each, some of them next to each other."""
    rng = np.random.default_rng(seed)
    different = np.cumsum(rng.choice(np.array([1, 2, 1000, 10**9]), count)) - 10
    return np.repeat(different, rng.choice(np.array([1, 1, 2, 7, 100]), count)).astype(np.int64)


COUNTS = [1, 7, 8, 9, 63, 64, 65, 127, 128, 511, 512, 513, 4096, 5000]


@pytest.mark.parametrize("count", COUNTS)
def test_stamps_and_their_rows_are_listed_once(count: int) -> None:
    ns = stamps(count, count)
    book = book_of(ns)
    different, first = np.unique(ns, return_index=True)
    assert len(book.stamp_row) == count + 1
    np.testing.assert_array_equal(book.stamp_ns[:count], different)
    np.testing.assert_array_equal(book.stamp_row, [*first, len(ns)])
    np.testing.assert_array_equal(book.stamp_ns[count:], np.iinfo(np.int64).max)
    marks = range(0, len(ns) + 1, packed.MARK_EVERY)
    np.testing.assert_array_equal(book.stamp_mark, [np.count_nonzero(first < row) for row in marks])
    assert len(book.block_ns) * packed.GROUP_STAMPS**2 == len(book.stamp_ns)


@pytest.mark.parametrize("count", COUNTS)
def test_searches_count_stamps_and_rows(count: int) -> None:
    ns = stamps(count, 7 * count)
    book = book_of(ns)
    view = make_view(book)[0]
    different = np.unique(ns)
    rng = np.random.default_rng(count)
    times = rng.choice(different, min(count, 60))
    times = np.unique([*(times - 1), *times, *(times + 1), ns[0] - 1, ns[-1], ns[-1] + 10**12])
    for t in times.tolist():
        passed = int(np.searchsorted(different, t, "right"))
        rows = int(np.searchsorted(ns, t, "right"))
        assert (stamps_at(view, t), cursor_at(view, t), row_of(view, passed)) == (passed, rows, rows)
        assert of_cursor(view, rows) == passed
        for start in {0, passed, passed // 2, max(0, passed - 1), int(rng.integers(0, passed + 1))}:
            assert forward_by_stamps(view, start, t) == passed
        for start in {0, rows, rows // 2, max(0, rows - 1), int(rng.integers(0, rows + 1))}:
            assert forward(view, start, t) == rows
        for start in {len(ns), min(len(ns), rows + 1)}:  # no search goes back
            assert forward(view, start, t) == start


@pytest.mark.parametrize("count", [9, 513])
def test_a_cursor_within_a_message_counts_the_stamps_begun(count: int) -> None:
    ns = stamps(count, 3 * count)
    book = book_of(ns)
    view = make_view(book)[0]
    first = np.unique(ns, return_index=True)[1]
    for cursor in range(len(ns) + 1):
        assert of_cursor(view, cursor) == np.count_nonzero(first < cursor)
