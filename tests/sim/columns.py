"""A packed book unfolded into plain columns, one entry a row, for tests that state a rule about all of them at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lobgym.sim import book as packed
from lobgym.sim.book import Book
from lobgym.sim.records import BUY, SELL

Ints = NDArray[np.int64]


class Columns(NamedTuple):
    """Int64[R] each, read off the words and keys without the accessors of `lobgym.sim.book`."""

    ns: Ints
    kind: Ints
    side: Ints  # 0 for clears
    flags: Ints
    tick: Ints  # 0 for clears
    qty: Ints
    prev: Ints  # of level rows: what the level displayed before, 0 for the others
    level: Ints  # -1 for all but level rows
    bid: Ints  # best after the row; means something only where the book is observable
    ask: Ints


def columns_of(book: Book) -> Columns:
    word, key = book.rows["word"], book.rows["key"].astype(np.int64)
    kind, flags, qty = word % 4, word // 16 % 16, word // 256
    is_level, is_print = kind == packed.ROW_LEVEL, kind == packed.ROW_PRINT
    tick = np.zeros(len(word), np.int64)
    tick[is_level] = book.level_tick[key[is_level]]
    tick[is_print] = book.prints["tick"][key[is_print]]
    level = np.where(is_level, key, -1)
    prev = np.zeros(len(word), np.int64)
    shown: dict[int, int] = {}
    for row in np.flatnonzero(is_level).tolist():
        prev[row] = shown.get(int(level[row]), 0)
        shown[int(level[row])] = int(qty[row])
    rows = np.arange(len(word))
    bests = [changes["tick"][np.searchsorted(changes["row"], rows, "right") - 1] for changes in (book.bids, book.asks)]
    side = np.where(word // 4 % 2 == 1, BUY, SELL) * (is_level | is_print)
    return Columns(book.ns, kind, side, flags, tick, qty, prev, level, *bests)
