"""What the venue does to accounts by its own calendar: funding settlements, margin checks, liquidation.

A lane stops for it between two stamps (`lobgym.sim.kernel.advance`): the book's rows up to and with that stamp have
been applied; requests that arrive then come after (docs/economics.md).
"""

from __future__ import annotations

from typing import Final

from lobgym.sim.answers import answer, answer_order
from lobgym.sim.book import NO_ASK, NO_BID
from lobgym.sim.calls import entry
from lobgym.sim.jit import njit_inner
from lobgym.sim.margin import equity_at, maintenance_margin, mark_price
from lobgym.sim.money import funding_payment, is_money, notional_at_mark
from lobgym.sim.records import BUY, CANCELLED, ERR_LEDGER, FILL, FUNDED, LIQUIDATED, LIVE, OK, SELL
from lobgym.sim.spent import left_of, spend
from lobgym.sim.timeline import is_check, next_due, settlement_at, settlement_rate
from lobgym.sim.trades import book_trade, end_order
from lobgym.sim.view import best_ask, best_bid, find_level, level_tick, next_level
from lobgym.sim.world import World, econ_of, exch_of, lane_at, order_at, peer_at

__all__ = ["cancel_all", "close_position", "fund", "schedule", "settle"]

_VENUE: Final = -1  # the slot of an answer that is about no order


@njit_inner
def schedule(w: World, i: int, ns: int) -> None:
    """Set when lane `i`, which is past `ns`, has to stop next: for itself, or for a market that shares its account."""
    due = next_due(w, ns)
    for k in range(w["peer_count"]):
        due = min(due, next_due(peer_at(w, k), ns))
    lane_at(w, i)["check_ns"] = due


@entry("settle")
def settle(w: World, i: int, ns: int, cursor: int) -> int:
    """Deal with what is due at `ns`; `cursor` is that of the exchange's book after the rows of this stamp.

    Returns 1 where the lane has to wait for the other markets of its account, which are then checked as one.
    """
    lane = lane_at(w, i)
    schedule(w, i, ns)
    waits = w["peer_count"] > 0
    # The account also stops where nothing is due: a stamp that is past was settled when it was reached.
    if lane["position"] == 0 or (waits and ns <= lane["t_ns"]):
        return int(waits)
    mark = mark_price(w, ns, cursor)
    due = settlement_at(w, ns)
    if due >= 0:
        fund(w, i, ns, mark, settlement_rate(w, due))
    if lane["error"] == 0 and not waits and is_check(w, ns):
        notional = notional_at_mark(econ_of(w), lane["position"], mark)
        if equity_at(w, i, mark) < maintenance_margin(w, notional) and lane["error"] == 0:
            _liquidate(w, i, ns, cursor)
    return int(waits)


@njit_inner
def fund(w: World, i: int, ns: int, mark_1e8: int, rate_1e12: int) -> None:
    """The position pays or receives funding; an answer says so even where the amount is 0."""
    lane = lane_at(w, i)
    payment = funding_payment(econ_of(w), lane["position"], mark_1e8, rate_1e12)
    if not is_money(lane["funding"] + payment):
        lane["error"] = ERR_LEDGER
        return
    lane["funding"] += payment
    answer(w, i, _VENUE, 0, FUNDED, ns, 0, 0, -payment, 0, 0, OK)


# -- liquidation -------------------------------------------------------------------------------------------------------


@njit_inner
def _liquidate(w: World, i: int, ns: int, cursor: int) -> None:
    """The venue takes over: no order rests any more, and the position is closed as far as the book allows."""
    lane = lane_at(w, i)
    lane["liquidations"] += 1
    cancel_all(w, i, ns)
    close_position(w, i, ns, cursor)
    if lane["position"] == 0:
        lane["deficit"] = max(lane["deficit"], -equity_at(w, i, 0))


@njit_inner
def cancel_all(w: World, i: int, ns: int) -> None:
    """Cancel every resting order, in the order of their ids."""
    lane = lane_at(w, i)
    while lane["live_orders"] > 0 and lane["error"] == 0:
        first = -1
        for slot in range(lane["slot_count"]):
            order = order_at(w, i, slot)
            if order["state"] == LIVE and (first < 0 or order["id"] < order_at(w, i, first)["id"]):
                first = slot
        end_order(w, i, first)
        answer_order(w, i, first, CANCELLED, ns, LIQUIDATED)


@njit_inner
def close_position(w: World, i: int, ns: int, cursor: int) -> None:
    """Trade the position away against what is displayed, best level first, whatever the price."""
    book = exch_of(w)
    lane = lane_at(w, i)
    side = SELL if lane["position"] > 0 else BUY
    best = best_ask(book, cursor) if side == BUY else best_bid(book, cursor)
    if best == NO_ASK or best == NO_BID:
        return
    level = find_level(book, -side, best)
    while level >= 0 and lane["position"] != 0 and lane["error"] == 0:
        tick = level_tick(book, level)
        qty = min(abs(lane["position"]), left_of(w, i, level, cursor))
        if qty > 0:
            cash, fee = book_trade(w, i, side, tick, qty, 0, w["liquidation_fee_ppb"])
            if lane["error"] != 0:
                return
            answer(w, i, _VENUE, side, FILL, ns, tick, qty, cash, fee, 0, LIQUIDATED)
            spend(w, i, level, qty, cursor)
        level = next_level(book, -side, level, cursor)
