"""A two-sided quote: one post-only order a side.

The centre is the mid less position / limit * skew * `lean_ticks`, so it leans against the inventory. Each side lies its
own offset away from the centre, rounded outwards, after the centre was put on a lattice of a quarter of that offset: a
quote keeps its place in the queue while the centre moves by less. A quote lies strictly on its side of the centre,
also at offset 0, so that own orders never meet; and one that would touch the opposite best moves back behind it. The
last code of an offset withdraws that side.

An order that already stands where it is wanted stays, unless it shows more than is wanted; it is never enlarged, which
would cost its place in the queue. Bids stop where the position and all open bids would reach the position limit (asks:
mirror, or at a position of zero where the desk may not be short).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.actions import CODE_ASK_OFFSET, CODE_BID_OFFSET, CODE_LEAN, CODE_MAKER_SIZE, NO_QUOTE
from lobgym.sim.jit import njit_lean
from lobgym.sim.money import Economics
from lobgym.sim.own import OwnView
from lobgym.sim.quotes.intents import QuoterValues, Touch, is_open, is_two_sided, write_cancel, write_submit
from lobgym.sim.records import BUY, GTX, OK, SELL
from lobgym.sim.risk import LimitValues, check
from lobgym.sim.world import World, lane_at, order_at

__all__ = ["MakerQuotes", "maker_quotes", "plan_maker"]


class MakerQuotes(NamedTuple):
    """Wanted prices in ticks, 0 where nothing is wanted, and lots."""

    bid: int
    ask: int
    qty: int


@njit_lean
def _on_lattice(centre2: int, offset: int) -> int:
    """The centre on the lattice of an offset, in half ticks."""
    step2 = max(1, offset // 2)
    return (centre2 + step2 // 2) // step2 * step2


@njit_lean
def maker_quotes(
    quoter: QuoterValues, codes: NDArray[np.int32], position: int, bid: int, ask: int
) -> MakerQuotes:  # fmt: skip
    """Quotes that `codes` want around the bests `bid` < `ask`, in ticks, with `position` lots held."""
    lean2 = 2 * codes[CODE_LEAN] * quoter.lean_ticks * abs(position) // quoter.position_lots_max
    centre2 = bid + ask - lean2 if position > 0 else bid + ask + lean2
    wanted_bid = 0
    wanted_ask = 0
    if codes[CODE_BID_OFFSET] != NO_QUOTE:
        offset = quoter.offset_ticks[codes[CODE_BID_OFFSET]]
        place2 = _on_lattice(centre2, offset)
        wanted_bid = max(0, min((place2 - 2 * offset) // 2, (place2 + 1) // 2 - 1, ask - 1))
    if codes[CODE_ASK_OFFSET] != NO_QUOTE:
        offset = quoter.offset_ticks[codes[CODE_ASK_OFFSET]]
        place2 = _on_lattice(centre2, offset)
        wanted_ask = max(-((-place2 - 2 * offset) // 2), place2 // 2 + 1, bid + 1)
    return MakerQuotes(wanted_bid, wanted_ask, (codes[CODE_MAKER_SIZE] + 1) * quoter.order_lots)


@njit_lean
def _keep_or_cancel(w: World, i: int, wanted: MakerQuotes, intents: NDArray[np.void]) -> tuple[int, bool, bool]:
    """Write a cancel for every order that stands where nothing is wanted; how many, and whether bid and ask stay."""
    n = 0
    bid_stays = False
    ask_stays = False
    for slot in range(lane_at(w, i)["slot_count"]):
        order = order_at(w, i, slot)
        if not is_open(w, i, slot) or order["cancel_sent"] != 0:
            continue
        if order["view_leaves"] <= wanted.qty and order["tif"] == GTX:
            if order["side"] == BUY and order["view_tick"] == wanted.bid and not bid_stays:
                bid_stays = True
                continue
            if order["side"] == SELL and order["view_tick"] == wanted.ask and not ask_stays:
                ask_stays = True
                continue
        write_cancel(intents, n, w, i, slot)
        n += 1
    return n, bid_stays, ask_stays


@njit_lean
def plan_maker(
    touch: Touch, econ: Economics, limits: LimitValues, quoter: QuoterValues, w: World, i: int,
    codes: NDArray[np.int32], own: OwnView, intents: NDArray[np.void],
) -> int:  # fmt: skip
    """Intents of a maker desk; see `plan_lane`."""
    if not is_two_sided(touch):
        return _keep_or_cancel(w, i, MakerQuotes(0, 0, 0), intents)[0]
    bid = touch.bid
    ask = touch.ask
    position = lane_at(w, i)["view_position"]
    wanted = maker_quotes(quoter, codes, position, bid, ask)
    n, bid_stays, ask_stays = _keep_or_cancel(w, i, wanted, intents)
    slots = own.slots
    sent = 0
    qty = min(wanted.qty, limits.order_lots_max, quoter.position_lots_max - position - own.bid_lots)
    if wanted.bid > 0 and not bid_stays and qty > 0:
        reason = check(
            limits, econ, bid, ask, touch.age_ns, BUY, wanted.bid, qty, position, own.bid_lots, slots, sent
        )  # fmt: skip
        write_submit(intents, n, BUY, wanted.bid, qty, GTX, reason)
        n += 1
        if reason == OK:
            slots += 1
            sent += 1
    qty = min(wanted.qty, limits.order_lots_max, quoter.short_lots_max + position - own.ask_lots)
    if wanted.ask > 0 and not ask_stays and qty > 0:
        reason = check(
            limits, econ, bid, ask, touch.age_ns, SELL, wanted.ask, qty, position, own.ask_lots, slots, sent
        )  # fmt: skip
        write_submit(intents, n, SELL, wanted.ask, qty, GTX, reason)
        n += 1
    return n
