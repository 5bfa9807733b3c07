"""How much was printed before a cursor, by the side that took it."""

from __future__ import annotations

from lobgym.sim.book import MARK_EVERY
from lobgym.sim.jit import njit_leaf, njit_lean
from lobgym.sim.records import BUY, SELL
from lobgym.sim.view import BookView, mark_at, print_of, print_row

__all__ = ["bought_lots", "sold_lots"]


@njit_leaf
def _printed_lots(book: BookView, cursor: int, side: int, lots: int) -> int:
    at = int(mark_at(book, cursor // MARK_EVERY)["print_at"])
    while at < book["print_count"] and print_row(book, at) < cursor:
        if print_of(book, at)["side"] == side:
            lots += print_of(book, at)["qty"]
        at += 1
    return lots


@njit_lean
def bought_lots(book: BookView, cursor: int) -> int:
    """Lots printed by buyers before the cursor."""
    return _printed_lots(book, cursor, BUY, int(mark_at(book, cursor // MARK_EVERY)["cum_buy"]))


@njit_lean
def sold_lots(book: BookView, cursor: int) -> int:
    """Lots printed by sellers before the cursor."""
    return _printed_lots(book, cursor, SELL, int(mark_at(book, cursor // MARK_EVERY)["cum_sell"]))
