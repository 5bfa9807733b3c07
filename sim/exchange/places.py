"""The true place of an order in its queue, read off an order tape: what queue models only guess."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lobgym.sim.errors import UnknownOrderError
from lobgym.sim.importers.order_tape import DELETED, OrderTape

__all__ = ["NOT_RESTING", "true_places"]

NOT_RESTING: Final = -1


def true_places(tape: OrderTape, order_id: int, times: ArrayLike) -> NDArray[np.int64]:
    """What stands before an order at given times, in 1e-8 of the base currency, the tape's own unit of quantity.

    Queues are first in, first out: an order stands behind all that were at its price when it came there. One that is
    given another price joins that queue at its end; one that only becomes less, or more, keeps its place. A lot is
    `instrument.lot_size * 10**8` of these units.

    Args:
        tape: events of all orders; those before its first event are unknown and not counted.
        order_id: as the tape numbers it (`Exchange.venue_number`).
        times: int64[k], exchange stamps in any order; each is answered as of after all events stamped up to it.

    Returns:
        int64[k], NOT_RESTING where the order is not in the book.

    Raises:
        UnknownOrderError: the tape has no such order.
    """
    events = tape.events
    own = np.flatnonzero(events["order_id"] == order_id)
    if len(own) == 0:
        raise UnknownOrderError(f"the tape has no order {order_id}")
    ends = own[events["action"][own] == DELETED]
    last = int(ends[0]) if len(ends) else len(events) - 1
    own = own[own <= last]
    stamps, places = [0], [NOT_RESTING]
    # Where the order stands changes at its first row, and wherever its price does.
    moves = np.append(True, np.diff(events["price_ticks"][own]) != 0)
    starts = own[moves].tolist()
    for start, end in zip(starts, [*starts[1:], last + 1], strict=True):
        if events["action"][start] != DELETED:
            _follow(events, start, end, stamps, places)
    if len(ends):
        stamps.append(int(events["exch_ns"][last]))
        places.append(NOT_RESTING)
    found = np.searchsorted(np.array(stamps), np.asarray(times, np.int64), "right") - 1
    return np.array(places, np.int64)[np.maximum(found, 0)]


def _follow(events: NDArray[np.void], start: int, end: int, stamps: list[int], places: list[int]) -> None:
    """Append what stands before the order of row `start` from there on, up to row `end`."""
    side, tick, own = (events[name][start] for name in ("side", "price_ticks", "order_id"))
    here = (events["price_ticks"][:end] == tick) & (events["side"][:end] == side)
    rows = np.flatnonzero(np.isin(events["order_id"][:end], np.unique(events["order_id"][:end][here])))
    columns = [events[name][rows].tolist() for name in ("order_id", "qty", "action", "exch_ns")]
    before: dict[int, int] = {}  # orders at this price that came before
    gone: set[int] = set()  # what is said of an order after its own delete is no event
    for row, at_price, order, qty, action, ns in zip(rows.tolist(), here[rows].tolist(), *columns, strict=True):
        if order in gone or order == own:
            pass
        elif action == DELETED or not at_price:
            before.pop(order, None)
        elif row < start or order in before:
            before[order] = qty
        if action == DELETED:
            gone.add(order)
        if row >= start:
            stamps.append(ns)
            places.append(sum(before.values()))
