"""Whose print was it? Bitstamp's trades name no side, so it is inferred from the orders that became less.

A trade makes one bid and one ask less by its amount. Where both are seen, the younger order was the aggressor, since
the older one rested. Where one is seen, it tells by having been held back as crossing, or by a price that is not the
trade's (trades take place at the resting order's price). Where none is, the nearer best price decides.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final, NamedTuple

from lobgym.sim import records as rec
from lobgym.sim.importers.bitstamp_book import Fill
from lobgym.sim.importers.bitstamp_log import Print

__all__ = ["Origin", "Seen", "origins_of"]

WINDOW_NS: Final = 5_000_000_000


class Seen(NamedTuple):
    """A print, the message it came in, and the best prices displayed then (0: none)."""

    message: int
    print: Print
    bid: int
    ask: int


class Origin(NamedTuple):
    """The aggressor's side, the first message that shows the trade, and what told the side."""

    side: int
    message: int
    told_by: str


def origins_of(prints: Sequence[Seen], fills: Sequence[Fill], local_ns: Sequence[int]) -> list[Origin]:
    """One entry for each print. `local_ns` are the receive stamps of all messages; a fill serves one print only."""
    waiting: dict[tuple[int, int], list[Fill]] = defaultdict(list)
    for fill in fills:
        waiting[fill.side, fill.qty].append(fill)
    out: list[Origin] = []
    for seen in prints:
        bid, ask = (_take(waiting[side, seen.print.qty], side, seen, local_ns) for side in (rec.BUY, rec.SELL))
        found = [fill for fill in (bid, ask) if fill]
        message = min([seen.message, *(fill.message for fill in found)])
        if bid and ask:
            out.append(Origin(rec.BUY if bid.order_id > ask.order_id else rec.SELL, message, "both_orders"))
        elif found:
            (one,) = found
            took = one.taking or one.tick != seen.print.tick
            out.append(Origin(one.side if took else -one.side, message, "one_order"))
        else:
            out.append(Origin(_by_quotes(seen, out[-1].side if out else rec.BUY), message, "best_prices"))
    return out


def _take(fills: list[Fill], side: int, seen: Seen, local_ns: Sequence[int]) -> Fill | None:
    """The fill nearest in time that the print may have caused, removed from the list; None where there is none."""
    now = local_ns[seen.message]
    best, least = -1, WINDOW_NS + 1
    for k, fill in enumerate(fills):
        away = abs(local_ns[fill.message] - now)
        if away < least and side * fill.tick >= side * seen.print.tick:
            best, least = k, away
    return fills.pop(best) if best >= 0 else None


def _by_quotes(seen: Seen, before: int) -> int:
    """Side by the nearer best price; the previous print's where they are equally near or unknown."""
    tick = seen.print.tick
    if seen.bid and seen.ask and 2 * tick != seen.bid + seen.ask:
        return rec.BUY if 2 * tick > seen.bid + seen.ask else rec.SELL
    return before
