"""`Market`: a tape compiled for random access, once, for any number of lanes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.book import Book
from lobgym.sim.compile import compile_effective
from lobgym.sim.errors import ParamsError, TapeFormatError
from lobgym.sim.importers.order_tape import OrderTape
from lobgym.sim.instrument import Instrument
from lobgym.sim.money import Economics, economics_of
from lobgym.sim.order_queues import NO_QUEUES, OrderQueues, index_orders
from lobgym.sim.params import SimParams
from lobgym.sim.queue import L3_FIFO, QUEUE_MODELS
from lobgym.sim.tape import Tape
from lobgym.sim.timeline import Timeline
from lobgym.sim.view import make_view

__all__ = ["Market"]


@dataclass(frozen=True, eq=False)
class Market:
    """The book of one tape at every row, seen twice: as the exchange had it, and as it reached the trader.

    Attributes:
        tape: where it came from.
        print_implied_depth: whether prints and best quotes corrected the depth (see `lobgym.sim.compile`).
        digest: SHA-256 over the tape's digest and the switch.
        exch: rows in exchange order; orders are matched at a cursor into it.
        local: rows in order of arrival; everything a lane may know lies before its cursor into it.
        start_ns, end_ns: first time at which both books have a bid and an ask; last receive stamp.
        timeline: mark prices, funding settlements and halts.
        orders: the single orders of the same feed, for the queue model `l3_fifo`; None without them.
        queues: what they say of the queues of `exch`.
        depth_only: made by `lobgym.sim.compile_depth` for the compatibility profiles.
        exch_view, local_view: VIEW_DTYPE[1] of the two books, what kernels take.
    """

    tape: Tape
    print_implied_depth: bool
    digest: str
    exch: Book
    local: Book
    start_ns: int
    end_ns: int
    timeline: Timeline
    depth_only: bool = False
    orders: OrderTape | None = None
    queues: OrderQueues = NO_QUEUES
    exch_view: NDArray[Any] = field(init=False, repr=False)
    local_view: NDArray[Any] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "exch_view", make_view(self.exch, self.depth_only))
        object.__setattr__(self, "local_view", make_view(self.local, self.depth_only))

    def __reduce__(self) -> tuple[Any, ...]:
        """Compiled anew where it is unpickled: views hold addresses, which no other process has."""
        if self.depth_only:
            from lobgym.sim.compile_depth import compile_depth_market  # here, because it imports this module

            return compile_depth_market, (self.tape,)
        return Market.compile, (self.tape, self.print_implied_depth, self.orders)

    @property
    def instrument(self) -> Instrument:
        """The tape's instrument."""
        return self.tape.instrument

    def economics(self) -> Economics:
        """The instrument's money constants, as the kernels take them."""
        return economics_of(self.instrument)

    def require(self, params: SimParams) -> None:
        """Raise ParamsError if the market was not compiled for what these parameters ask."""
        if (params.profile != "conservative") != self.depth_only:
            wanted = "Market.compile" if self.depth_only else "compile_depth_market"
            raise ParamsError(f"the profile {params.profile!r} needs a market made by {wanted}")
        if params.print_implied_depth != self.print_implied_depth and not self.depth_only:
            raise ParamsError(
                f"params.print_implied_depth is {params.print_implied_depth} but the market was compiled with "
                f"{self.print_implied_depth}: compile it with the same switch"
            )
        self.require_orders(np.array([QUEUE_MODELS[params.queue]]))

    def require_orders(self, models: NDArray[np.int64]) -> None:
        """Raise ParamsError if one of the queue models (numbers) asks for single orders and there are none."""
        if self.orders is None and (models == L3_FIFO).any():
            raise ParamsError(
                "queue 'l3_fifo' needs the feed's single orders: Market.compile(tape, orders=OrderTape.load(...)), "
                "with what was imported or recorded beside the tape"
            )

    @classmethod
    def compile(cls, tape: Tape, print_implied_depth: bool = True, orders: OrderTape | None = None) -> Market:
        """Compile a tape in both orders; with `orders`, those of the same feed, its queues can be known exactly.

        Raises:
            TapeFormatError: the orders are of another instrument, the tape never shows a bid and an ask at once, has
                more lots in a row than queues can count, or makes more rows than row numbers can count.
        """
        made = compile_effective(tape.events, print_implied_depth)
        said = f"{tape.digest}|implied={int(print_implied_depth)}"
        queues = NO_QUEUES
        if orders is not None:
            if orders.instrument != tape.instrument:
                one, other = tape.instrument.symbol, orders.instrument.symbol
                raise TapeFormatError(f"the tape is of {one}, the orders are of {other} or state other sizes")
            queues = index_orders(orders, made.exch.level_tick, made.exch.bid_levels)
            said += f"|orders={orders.digest}"
        digest = hashlib.sha256(said.encode()).hexdigest()
        return cls(tape, print_implied_depth, digest, *made, orders=orders, queues=queues)
