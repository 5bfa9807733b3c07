"""`Market`: a tape compiled for random access, once, for any number of lanes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from lobgym.sim.book import Book
from lobgym.sim.compile import compile_book
from lobgym.sim.errors import TapeFormatError
from lobgym.sim.instrument import Instrument
from lobgym.sim.levels import number_levels
from lobgym.sim.mids import first_quoted_ns
from lobgym.sim.money import Economics, economics_of
from lobgym.sim.queue import LOTS_MAX
from lobgym.sim.tape import Tape
from lobgym.sim.timeline import Timeline, compile_timeline
from lobgym.sim.view import make_view

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
        depth_only: made by `lobgym.sim.compile_depth` for the compatibility profiles.
        exch_view, local_view: VIEW_DTYPE[1] of the two books, what kernels take.
        timeline: mark prices, funding settlements and halts.
    """

    tape: Tape
    exch: Book
    local: Book
    print_implied_depth: bool
    start_ns: int
    end_ns: int
    digest: str
    depth_only: bool = False
    exch_view: NDArray[Any] = field(init=False, repr=False)
    local_view: NDArray[Any] = field(init=False, repr=False)
    timeline: Timeline = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "exch_view", make_view(self.exch))
        object.__setattr__(self, "local_view", make_view(self.local))
        object.__setattr__(self, "timeline", compile_timeline(self.tape))

    def __reduce__(self) -> tuple[Any, ...]:
        """Compiled anew where it is unpickled: views hold addresses, which no other process has."""
        if self.depth_only:
            from lobgym.sim.compile_depth import compile_depth_market  # here, because it imports this module

            return compile_depth_market, (self.tape,)
        return Market.compile, (self.tape, self.print_implied_depth)

    @property
    def instrument(self) -> Instrument:
        """The tape's instrument."""
        return self.tape.instrument

    def economics(self) -> Economics:
        """The instrument's money constants, as the kernels take them."""
        return economics_of(self.instrument)

    @classmethod
    def compile(cls, tape: Tape, print_implied_depth: bool = True) -> Market:
        """Compile a tape in both orders.

        Raises:
            TapeFormatError: the tape never shows a bid and an ask at once, or more lots than queues can count.
        """
        levels = number_levels(tape.events)
        if levels.lots_max >= LOTS_MAX:
            raise TapeFormatError(
                f"a row of this tape has {levels.lots_max} lots, a market counts fewer than {LOTS_MAX}: "
                "give the instrument a coarser lot_size"
            )
        exch = compile_book(tape.events, None, levels, print_implied_depth)
        local = compile_book(tape.events, tape.local_order(), levels, print_implied_depth)
        starts = [int(first_quoted_ns(make_view(book)[0])) for book in (exch, local)]
        if min(starts) < 0:
            raise TapeFormatError("a market needs a bid and an ask at once; this tape never shows both")
        digest = hashlib.sha256(f"{tape.digest}|implied={int(print_implied_depth)}".encode()).hexdigest()
        return cls(tape, exch, local, print_implied_depth, max(starts), tape.end_ns, digest)
