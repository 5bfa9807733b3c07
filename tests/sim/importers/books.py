"""Reading a tape with a plain dict, one row at a time."""

from __future__ import annotations

from collections.abc import Iterator

from lobgym.sim import records as rec
from lobgym.sim.tape import Tape

Book = dict[int, dict[int, int]]


def books_of(tape: Tape) -> Iterator[tuple[int, int, Book]]:
    """(exchange stamp, kind of the last row, book) after each message."""
    book: Book = {rec.BUY: {}, rec.SELL: {}}
    for exch, _, _, tick, qty, kind, side, flags in tape.events.tolist():
        if kind == rec.CLEAR:
            book = {rec.BUY: {}, rec.SELL: {}}
        elif kind in (rec.DEPTH, rec.SNAPSHOT):
            book[side][tick] = qty
            if not qty:
                del book[side][tick]
        if flags & rec.LAST:
            yield exch, kind, book


def best_levels(book: Book, side: int, most: int) -> list[tuple[int, int]]:
    """The best levels of a side as (tick, lots)."""
    return sorted(book[side].items(), key=lambda level: -side * level[0])[:most]


def rows(tape: Tape, *kinds: int) -> list[tuple[int, ...]]:
    """(exchange stamp, local stamp, kind, side, tick, lots) of the rows of these kinds, or of all."""
    names = ["exch_ns", "local_ns", "kind", "side", "price_ticks", "qty_lots"]
    return [row for row in tape.events[names].tolist() if not kinds or row[2] in kinds]
