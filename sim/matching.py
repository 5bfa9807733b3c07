"""Matching at the exchange: what a tape row does to the resting orders of a lane, and what an arriving order takes.

The `conservative` profile. A lane sees the recorded market plus its own orders; the recorded market never sees the
lane, except that depth which the lane took stays taken (`SPENT_DTYPE`) and that a print's volume is spent once.

Only three kinds of rows can fill a resting order: prints at or beyond its price, and changes of a best that reach it.
The book lists both; `apply_rows` walks the lists. While a best stands at or through an own order every end of a
message can fill it, and rows are looked at one by one.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from lobgym.sim.answers import answer, answer_order
from lobgym.sim.book import MESSAGE_END, NO_ASK, NO_BID, ROW_LEVEL, ROW_PRINT, row_flags, row_kind, row_side
from lobgym.sim.calls import call_on_best, call_on_print, call_scan_rows, call_sync_front, entry
from lobgym.sim.jit import njit_inner, njit_leaf
from lobgym.sim.money import MONEY_MAX, cash_of, entry_after, fee_of, fits, realised_of
from lobgym.sim.queue import after_print, available
from lobgym.sim.records import BUY, DONE, ERR_LEDGER, EXPIRED, FILL, LIVE, REDUCE_ONLY, SELL
from lobgym.sim.spent import left_of, spend
from lobgym.sim.view import (
    ask_index,
    ask_row,
    ask_tick,
    best_ask,
    best_bid,
    bid_index,
    bid_row,
    bid_tick,
    find_level,
    known_range,
    level_tick,
    next_level,
    print_index,
    print_of,
    print_row,
    row_key,
    row_ns,
    row_word,
)
from lobgym.sim.world import World, econ_of, exch_of, fee_tier, lane_at, order_at

__all__ = [
    "apply_rows",
    "book_trade",
    "end_order",
    "fill",
    "next_resting",
    "raise_fee_tier",
    "rebound",
    "sync_lists",
    "takeable",
    "walk",
]

_NO_TICK: Final = -1
_ONE: Final = np.uint64(1)
_BITS: Final = np.int64(63)
_NEAR: Final = 256  # rows that the list cursors are moved by stepping rather than by search


# -- an order trades, an order ends ------------------------------------------------------------------------------------


@njit_leaf
def end_order(w: World, i: int, slot: int) -> None:
    """An order is over at the exchange; whatever it rested with rests no more."""
    lane = lane_at(w, i)
    order = order_at(w, i, slot)
    if order["state"] == LIVE:
        lane["live_orders"] -= 1
        if order["side"] == BUY:
            lane["open_bid"] -= order["leaves"]
        else:
            lane["open_ask"] -= order["leaves"]
        if lane["live_orders"] == 0:
            lane["bid_high"] = NO_BID
            lane["ask_low"] = NO_ASK
            lane["bid_mask"] = np.uint64(0)
            lane["ask_mask"] = np.uint64(0)
    order["state"] = DONE


@njit_inner
def raise_fee_tier(w: World, i: int) -> None:
    """Set the lane's fees to those of the tier that its turnover has reached, and where the next one begins."""
    lane = lane_at(w, i)
    turnover = lane["turnover"] + w["prior_turnover"]
    lane["fee_tier_at"] = MONEY_MAX
    for k in range(w["fee_tier_count"]):
        if fee_tier(w, k, 0) > turnover:
            lane["fee_tier_at"] = fee_tier(w, k, 0) - w["prior_turnover"]
            return
        lane["maker_fee_ppb"] = fee_tier(w, k, 1)
        lane["taker_fee_ppb"] = fee_tier(w, k, 2)


@njit_leaf
def _reducible(w: World, i: int, slot: int) -> int:
    """Lots that a reduce-only order may still trade."""
    order = order_at(w, i, slot)
    return int(max(0, -int(order["side"]) * lane_at(w, i)["position"]))


@njit_leaf
def book_trade(
    w: World, i: int, side: int, tick: int, qty: int, maker: int, extra_ppb: int
) -> tuple[int, int]:  # fmt: skip
    """Enter a trade into a lane's account, at its fee plus `extra_ppb`; returns the cash it moved and its fee.

    One that the ledger cannot hold is an error of the lane.
    """
    lane = lane_at(w, i)
    econ = econ_of(w)
    if not fits(econ, tick, qty):
        lane["error"] = ERR_LEDGER
        return 0, 0
    if lane["turnover"] >= lane["fee_tier_at"]:
        raise_fee_tier(w, i)
    cash = cash_of(econ, side, tick, qty)
    fee = fee_of(cash, (lane["maker_fee_ppb"] if maker else lane["taker_fee_ppb"]) + extra_ppb)
    lane["open_cost"] = entry_after(lane["position"], lane["open_cost"], side, qty, cash)
    lane["position"] += side * qty
    lane["cash"] += cash
    lane["realised"] = realised_of(lane["cash"], lane["open_cost"])
    lane["fees"] += fee
    lane["fills"] += 1
    lane["maker_fills"] += maker
    lane["filled_lots"] += qty
    lane["turnover"] += abs(cash)
    # The margin of eight leaves room for the price to move before the position's value would not fit.
    if abs(lane["cash"]) > MONEY_MAX or lane["turnover"] > MONEY_MAX or not fits(econ, tick, 8 * abs(lane["position"])):
        lane["error"] = ERR_LEDGER
    return cash, fee


@njit_inner
def fill(
    w: World, i: int, slot: int, exch_ns: int, tick: int, qty: int, maker: int
) -> int:  # fmt: skip
    """Trade up to `qty` lots of an order at `tick`: ledger, counters, answer. Returns the lots that it traded.

    A reduce-only order trades no more than what is left of the position, and ends when that is gone.
    """
    lane = lane_at(w, i)
    order = order_at(w, i, slot)
    if order["reduce_only"]:
        qty = min(qty, _reducible(w, i, slot))
        if qty == 0:
            end_order(w, i, slot)
            answer_order(w, i, slot, EXPIRED, exch_ns, REDUCE_ONLY)
            return 0
    side = int(order["side"])
    cash, fee = book_trade(w, i, side, tick, qty, maker, 0)
    if lane["error"] != 0:
        return 0
    if order["leaves"] == order["qty"]:
        lane["filled_orders"] += 1
        lane["first_fill_wait_ns"] += exch_ns - order["arrive_ns"]
    if order["state"] == LIVE:
        if side == BUY:
            lane["open_bid"] -= qty
        else:
            lane["open_ask"] -= qty
    order["leaves"] -= qty
    if order["leaves"] == 0:
        end_order(w, i, slot)
    answer(w, i, slot, side, FILL, exch_ns, tick, qty, cash, fee, maker, 0)
    if order["reduce_only"] and order["leaves"] > 0 and _reducible(w, i, slot) == 0:
        end_order(w, i, slot)
        answer_order(w, i, slot, EXPIRED, exch_ns, REDUCE_ONLY)
    return qty


# -- displayed depth ---------------------------------------------------------------------------------------------------


@njit_inner
def walk(
    w: World, i: int, slot: int, exch_ns: int, cursor: int, limit: int,
    own_price: bool,
) -> None:  # fmt: skip
    """Fill an order against displayed depth, best level first, as far as `limit` reaches.

    At the levels' prices as a taker; at its own price as a maker where the opposite side moved into it.
    """
    book = exch_of(w)
    order = order_at(w, i, slot)
    side = int(order["side"])
    best = best_ask(book, cursor) if side == BUY else best_bid(book, cursor)
    if best == NO_ASK or best == NO_BID:
        return
    level = find_level(book, -side, best)
    while level >= 0 and order["state"] != DONE and lane_at(w, i)["error"] == 0:
        tick = level_tick(book, level)
        if side * tick > side * limit:
            return
        qty = min(order["leaves"], left_of(w, i, level, cursor))
        if qty > 0:
            price = order["tick"] if own_price else tick
            traded = fill(w, i, slot, exch_ns, price, qty, 1 if own_price else 0)
            spend(w, i, level, traded, cursor)
        level = next_level(book, -side, level, cursor)


@njit_inner
def takeable(w: World, i: int, side: int, cursor: int, limit: int, wanted: int) -> int:
    """Lots that an order of `side` could take up to `limit`, counted no further than `wanted`."""
    book = exch_of(w)
    best = best_ask(book, cursor) if side == BUY else best_bid(book, cursor)
    total = 0
    if best == NO_ASK or best == NO_BID:
        return total
    level = find_level(book, -side, best)
    while level >= 0 and total < wanted and side * level_tick(book, level) <= side * limit:
        total += left_of(w, i, level, cursor)
        level = next_level(book, -side, level, cursor)
    return min(total, wanted)


# -- resting orders ----------------------------------------------------------------------------------------------------


@njit_inner
def rebound(w: World, i: int) -> None:
    """Make the lane's bounds on its resting orders tight again."""
    lane = lane_at(w, i)
    bid_high = NO_BID
    ask_low = NO_ASK
    bid_mask = np.uint64(0)
    ask_mask = np.uint64(0)
    for slot in range(lane["slot_count"]):
        order = order_at(w, i, slot)
        if order["state"] == LIVE:
            tick = order["tick"]
            bit = _ONE << np.uint64(tick & _BITS)
            if order["side"] == BUY:
                bid_high = max(bid_high, tick)
                bid_mask |= bit
            else:
                ask_low = min(ask_low, tick)
                ask_mask |= bit
    lane["bid_high"] = bid_high
    lane["ask_low"] = ask_low
    lane["bid_mask"] = bid_mask
    lane["ask_mask"] = ask_mask


@njit_inner
def next_resting(w: World, i: int, side: int, after_tick: int, after_rank: int) -> int:
    """The live order of `side` that follows (after_tick, after_rank) in price-time order, or -1."""
    found = -1
    for slot in range(lane_at(w, i)["slot_count"]):
        order = order_at(w, i, slot)
        if order["state"] != LIVE or order["side"] != side:
            continue
        tick = order["tick"]
        if after_tick != _NO_TICK and (
            side * tick > side * after_tick or (tick == after_tick and order["rank"] <= after_rank)
        ):
            continue
        if found >= 0:
            best = order_at(w, i, found)
            if side * tick < side * best["tick"] or (tick == best["tick"] and order["rank"] > best["rank"]):
                continue
        found = slot
    return found


@njit_leaf
def _reach_of(w: World, i: int, side: int, price: int) -> tuple[int, int]:
    """How many resting orders of `side` a print at `price` reaches, and one of them."""
    count = 0
    found = -1
    for slot in range(lane_at(w, i)["slot_count"]):
        order = order_at(w, i, slot)
        if order["state"] == LIVE and order["side"] == side and side * order["tick"] >= side * price:
            found = slot
            count += 1
    return count, found


@entry("on_print")
def _on_print(w: World, i: int, at: int) -> int:
    """A print meets own orders: better-priced first, then those at its price behind their queues.

    No more is filled than was printed. What better-priced own orders took no longer reaches the queue at the price.
    """
    lane = lane_at(w, i)
    printed = print_of(exch_of(w), at)
    side = -int(printed["side"])  # of the resting orders
    price = printed["tick"]
    live = lane["live_orders"]
    count, slot = _reach_of(w, i, side, price)
    if count == 1:
        _print_meets(w, i, slot, printed, printed["qty"], 0, 0)
    elif count > 1:
        volume = printed["qty"]
        taken = 0  # by own orders at this very price
        queue_floor = 0
        slot = next_resting(w, i, side, _NO_TICK, 0)
        while slot >= 0:
            order = order_at(w, i, slot)
            tick = order["tick"]
            if side * tick < side * price:
                break
            rank = order["rank"]
            traded, queue_floor = _print_meets(w, i, slot, printed, volume, taken, queue_floor)
            if tick == price:
                taken += traded
            else:
                volume -= traded
            slot = next_resting(w, i, side, tick, rank)
    if count == 0 or lane["live_orders"] != live:
        rebound(w, i)
    return 0


@njit_inner
def _print_meets(w: World, i: int, slot: int, printed: Any, volume: int, taken: int, floor: int) -> tuple[int, int]:
    """One order that a print reaches; returns the lots that it traded, and the front that the next one cannot pass."""
    order = order_at(w, i, slot)
    row = printed["row"]
    ns = row_ns(exch_of(w), row)
    if order["tick"] != printed["tick"]:
        return (fill(w, i, slot, ns, order["tick"], min(order["leaves"], volume), 1) if volume > 0 else 0), floor
    call_sync_front(w, i, slot, row)
    front = max(order["front"], floor)
    qty = max(0, min(order["leaves"], available(front, volume) - taken))
    order["front"] = after_print(front, volume)
    order["printed"] += printed["qty"]
    return (fill(w, i, slot, ns, order["tick"], qty, 1) if qty > 0 else 0), front


@njit_inner
def _reached(w: World, i: int, side: int, row: int) -> None:
    """The opposite best stands at or through own orders of `side`: they trade with what is displayed there."""
    book = exch_of(w)
    opposite = best_ask(book, row + 1) if side == BUY else best_bid(book, row + 1)
    slot = next_resting(w, i, side, _NO_TICK, 0)
    while slot >= 0:
        tick = order_at(w, i, slot)["tick"]
        rank = order_at(w, i, slot)["rank"]
        if side * tick < side * opposite:
            break
        walk(w, i, slot, row_ns(book, row), row + 1, tick, True)
        slot = next_resting(w, i, side, tick, rank)


@entry("on_best")
def _on_best(w: World, i: int, row: int) -> int:
    """A message ended with row `row`: own bids that the best ask has reached trade, then own asks."""
    book = exch_of(w)
    lane = lane_at(w, i)
    if best_ask(book, row + 1) <= lane["bid_high"]:
        _reached(w, i, BUY, row)
    if best_bid(book, row + 1) >= lane["ask_low"]:
        _reached(w, i, SELL, row)
    rebound(w, i)
    return 0


# -- rows --------------------------------------------------------------------------------------------------------------


@njit_leaf
def sync_lists(w: World, i: int, cursor: int) -> None:
    """Move the lane's places in the book's lists to row `cursor`."""
    book = exch_of(w)
    lane = lane_at(w, i)
    if cursor > lane["known_until"]:
        lane["known_low"], lane["known_high"], lane["known_until"] = known_range(book, cursor)
    gap = cursor - lane["list_cursor"]
    if gap == 0:
        return
    if 0 < gap <= _NEAR:
        at = lane["bid_at"]
        while at < book["bid_changes"] and bid_row(book, at) < cursor:
            at += 1
        lane["bid_at"] = at
        at = lane["ask_at"]
        while at < book["ask_changes"] and ask_row(book, at) < cursor:
            at += 1
        lane["ask_at"] = at
        at = lane["print_at"]
        while at < book["print_count"] and print_row(book, at) < cursor:
            at += 1
        lane["print_at"] = at
    else:
        lane["bid_at"] = bid_index(book, cursor)
        lane["ask_at"] = ask_index(book, cursor)
        lane["print_at"] = print_index(book, cursor)
    lane["list_cursor"] = cursor


@njit_leaf
def _crossed(w: World, i: int) -> bool:
    """Whether a best stands at or through an own order, at the lane's places in the lists."""
    book = exch_of(w)
    lane = lane_at(w, i)
    return bool(
        ask_tick(book, lane["ask_at"] - 1) <= lane["bid_high"] or bid_tick(book, lane["bid_at"] - 1) >= lane["ask_low"]
    )


@njit_inner
def _sync_touched(w: World, i: int, row: int) -> None:
    """Full scan only: bring every queue at the row's level up to date as soon as the level changes."""
    book = exch_of(w)
    word = row_word(book, row)
    tick = level_tick(book, row_key(book, row))
    for slot in range(lane_at(w, i)["slot_count"]):
        order = order_at(w, i, slot)
        if order["state"] == LIVE and order["side"] == row_side(word) and order["tick"] == tick:
            call_sync_front(w, i, slot, row + 1)


@entry("scan_rows")
def _scan(w: World, i: int, start: int, end: int) -> int:
    """Apply rows one by one until no best stands at an own order any more; return the row that was reached."""
    book = exch_of(w)
    lane = lane_at(w, i)
    row = start
    while row < end and lane["live_orders"] > 0 and lane["error"] == 0:
        word = row_word(book, row)
        kind = row_kind(word)
        if kind == ROW_PRINT:
            at = row_key(book, row)
            tick = print_of(book, at)["tick"]
            if row_side(word) == SELL:
                if tick <= lane["bid_high"]:
                    call_on_print(w, i, at)
            elif tick >= lane["ask_low"]:
                call_on_print(w, i, at)
        elif kind == ROW_LEVEL and w["full_scan"]:
            _sync_touched(w, i, row)
        row += 1
        if row_flags(word) & MESSAGE_END:
            if best_ask(book, row) <= lane["bid_high"] or best_bid(book, row) >= lane["ask_low"]:
                call_on_best(w, i, row - 1)
            if not w["full_scan"] and best_ask(book, row) > lane["bid_high"] and best_bid(book, row) < lane["ask_low"]:
                break
    return row


@njit_leaf
def apply_rows(w: World, i: int, start: int, end: int) -> None:
    """Apply tape rows [start, end) to the resting orders of lane `i`, of which there is at least one."""
    book = exch_of(w)
    lane = lane_at(w, i)
    prints = book["print_count"]
    bids = book["bid_changes"]
    asks = book["ask_changes"]
    sync_lists(w, i, start)
    while start < end and lane["live_orders"] > 0 and lane["error"] == 0:
        if w["full_scan"] or _crossed(w, i):
            start = call_scan_rows(w, i, start, end)
            sync_lists(w, i, start)
            continue
        bid_high = lane["bid_high"]
        ask_low = lane["ask_low"]
        # The next row of each list that can concern an own order; the earliest of them is next.
        row = end
        event = 0
        at = lane["print_at"]
        while at < prints:
            one = print_of(book, at)
            if one["row"] >= row:
                break
            if (one["side"] < 0 and one["tick"] <= bid_high) or (one["side"] > 0 and one["tick"] >= ask_low):
                row = one["row"]
                event = ROW_PRINT
                break
            at += 1
        print_at = at
        ask_at = lane["ask_at"]
        while ask_at < asks and ask_row(book, ask_at) < row:
            if ask_tick(book, ask_at) <= bid_high:
                row = ask_row(book, ask_at)
                event = ROW_LEVEL
                break
            ask_at += 1
        bid_at = lane["bid_at"]
        while bid_at < bids and bid_row(book, bid_at) < row:
            if bid_tick(book, bid_at) >= ask_low:
                row = bid_row(book, bid_at)
                event = ROW_LEVEL
                break
            bid_at += 1
        if event == 0:
            lane["print_at"] = print_at
            lane["ask_at"] = ask_at
            lane["bid_at"] = bid_at
            lane["list_cursor"] = end
            break
        if event == ROW_PRINT:
            call_on_print(w, i, print_at)
        else:
            call_on_best(w, i, row)
        start = row + 1
        sync_lists(w, i, start)
