"""Who cancels: for orders with others of their level before and behind them, where the one that left had stood."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

__all__ = ["PLACES", "Cancellations"]

PLACES: Final = 10  # into which the queue is cut


class Cancellations:
    """Pairs of an order that stays and another one of its level that is cancelled, by the place of the first."""

    def __init__(self) -> None:
        self._orders = [0] * PLACES
        self._share = [0.0] * PLACES
        self._before = [0] * PLACES

    def note(self, older: int, queue: Sequence[int], gone: int) -> None:
        """One of a level is cancelled: number `gone` of `queue`, the lots of its orders in order of arrival.

        `older` lots of orders that are not known one by one stand before all of these.
        """
        total = older + sum(queue)
        front = older
        for n, left in enumerate(queue):
            if n != gone and 0 < front < total - left:
                share = front / (total - left)
                at = min(int(share * PLACES), PLACES - 1)
                self._orders[at] += 1
                self._share[at] += share
                self._before[at] += gone < n
            front += left

    def to_json(self) -> list[dict[str, float]]:
        """For tenths of the queue: how often an order stood there, with others before and behind it, when another one
        was cancelled, the mean share of the level that stood before it, and how often the other one stood before it.
        """
        return [
            {"orders": orders, "before_it": share / orders, "cancelled_before_it": before / orders}
            for orders, share, before in zip(self._orders, self._share, self._before, strict=True)
            if orders
        ]
