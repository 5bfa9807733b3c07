"""`Market`: a tape compiled for random access, once, for any number of lanes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from lobgym.sim.book import Book
from lobgym.sim.compile import compile_book
from lobgym.sim.errors import TapeFormatError
from lobgym.sim.instrument import Instrument
from lobgym.sim.money import Economics, economics_of
from lobgym.sim.queue import LOTS_MAX
from lobgym.sim.records import BBO, DEPTH, SNAPSHOT, TRADE
from lobgym.sim.tape import Tape

__all__ = ["Market"]


@dataclass(frozen=True, eq=False)
class Market:
    """The book of one tape at every row, seen twice: as the exchange had it, and as it reached the trader.

    Attributes:
        tape: where it came from.
        exch: rows in exchange order; orders are matched at a cursor into it.
        local: rows in order of arrival; everything a lane may know lies before its cursor into it.
        print_implied_depth: whether prints and best quotes corrected the depth (see `lobgym.sim.compile`).
        start_ns, end_ns: first time at which both books have a bid and an ask; last receive stamp.
        digest: SHA-256 over the tape's digest and the switch.
    """

    tape: Tape
    exch: Book
    local: Book
    print_implied_depth: bool
    start_ns: int
    end_ns: int
    digest: str

    @property
    def instrument(self) -> Instrument:
        """The tape's instrument."""
        return self.tape.instrument

    def economics(self, queue_power: int) -> Economics:
        """The instrument's money constants, as the kernels take them."""
        return economics_of(self.instrument, queue_power)

    @classmethod
    def compile(cls, tape: Tape, print_implied_depth: bool = True) -> Market:
        """Compile a tape in both orders.

        Raises:
            TapeFormatError: the tape never shows a bid and an ask at once, or more lots than queues can count.
        """
        lots = tape.events["qty_lots"][np.isin(tape.events["kind"], (DEPTH, SNAPSHOT, BBO, TRADE))]
        if len(lots) and lots.max() >= LOTS_MAX:
            raise TapeFormatError(
                f"a row of this tape has {lots.max()} lots, a market counts fewer than {LOTS_MAX}: "
                "give the instrument a coarser lot_size"
            )
        exch = compile_book(tape.events, "exch_ns", print_implied_depth)
        local = compile_book(tape.events[tape.local_order()], "local_ns", print_implied_depth)
        starts = [_first_two_sided(book) for book in (exch, local)]
        if starts[0] is None or starts[1] is None:
            raise TapeFormatError("a market needs a bid and an ask at once; this tape never shows both")
        digest = hashlib.sha256(f"{tape.digest}|implied={int(print_implied_depth)}".encode()).hexdigest()
        return cls(tape, exch, local, print_implied_depth, max(starts[0], starts[1]), tape.end_ns, digest)


def _first_two_sided(book: Book) -> int | None:
    both = (book.bid_qty > 0) & (book.ask_qty > 0)
    first = int(both.argmax()) if len(both) else 0
    return int(book.ns[first]) if len(both) and both[first] else None
