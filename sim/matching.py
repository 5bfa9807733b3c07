"""Matching at the exchange: what a tape row does to the resting orders of a lane, and what an arriving order takes.

The `conservative` profile. A lane sees the recorded market plus its own orders; the recorded market never sees the
lane, except that depth which the lane took stays taken (`SPENT_DTYPE`) and that a print's volume is spent once.
"""

from __future__ import annotations

from typing import Final

from lobgym.sim.book import (
    MESSAGE_END,
    NO_ASK,
    NO_BID,
    RESET,
    ROW_LEVEL,
    ROW_PRINT,
    Book,
    ask_index,
    best_ask,
    best_bid,
    bid_index,
    find_level,
    level_qty_by_id,
    next_level,
    row_flags,
    row_kind,
    row_qty,
    row_side,
    touch_at,
)
from lobgym.sim.jit import njit_inline, njit_lean
from lobgym.sim.lanes import Lanes, push_response
from lobgym.sim.money import MONEY_MAX, Economics, cash_of, fee_of, fits
from lobgym.sim.queue import after_depth, after_print, available
from lobgym.sim.records import BUY, DONE, ERR_LEDGER, ERR_SPENT_FULL, FILL, LIVE, SELL

__all__ = ["apply_rows", "take"]

_NO_TICK: Final = -1
_LAST_ID: Final = 1 << 62  # behind every order of a price


@njit_lean
def _fill(econ: Economics, lanes: Lanes, i: int, slot: int, exch_ns: int, tick: int, qty: int, maker: int) -> None:
    """Trade `qty` lots of an order at `tick`: ledger, counters, answer."""
    lane = lanes.lane[i]
    order = lanes.orders[i, slot]
    if not fits(econ, tick, qty):
        lane["error"] = ERR_LEDGER
        return
    cash = cash_of(econ, order["side"], tick, qty)
    fee = fee_of(cash, lane["maker_fee_ppb"] if maker else lane["taker_fee_ppb"])
    if order["leaves"] == order["qty"]:
        lane["filled_orders"] += 1
        lane["first_fill_wait_ns"] += exch_ns - order["arrive_ns"]
    order["leaves"] -= qty
    lane["position"] += int(order["side"]) * qty
    lane["cash"] += cash
    lane["fees"] += fee
    lane["fills"] += 1
    lane["maker_fills"] += maker
    lane["filled_lots"] += qty
    lane["turnover"] += abs(cash)
    # The margin of eight leaves room for the price to move before the position's value would not fit.
    if abs(lane["cash"]) > MONEY_MAX or lane["turnover"] > MONEY_MAX or not fits(econ, tick, 8 * abs(lane["position"])):
        lane["error"] = ERR_LEDGER
    if order["leaves"] == 0:
        if order["state"] == LIVE:
            lane["live_orders"] -= 1
        order["state"] = DONE
    push_response(lanes, i, slot, FILL, exch_ns, tick, qty, cash, fee, maker, 0)


# -- depth that the lane itself consumed ---------------------------------------------------------------------------


@njit_lean
def _left_after(book: Book, level: int, avail: int, since: int, cursor: int) -> int:
    """Roll what is left of a level forward over rows [since, cursor): only what is newly displayed comes back."""
    low = touch_at(book, level, since)
    end = book.touch_start[level + 1]
    prev = level_qty_by_id(book, level, since)
    while low < end and book.touch_row[low] < cursor:
        new = row_qty(book.rows[book.touch_row[low]]["word"])
        avail = min(new, avail + max(0, new - prev))
        prev = new
        low += 1
    return avail


@njit_lean
def _spent_entry(lanes: Lanes, i: int, level: int) -> int:
    for k in range(lanes.lane[i]["spent_count"]):
        if lanes.spent[i, k]["level"] == level:
            return k
    return -1


@njit_lean
def _left_of(book: Book, lanes: Lanes, i: int, level: int, cursor: int) -> int:
    """Lots of a level that this lane can still take."""
    k = _spent_entry(lanes, i, level)
    if k < 0:
        return level_qty_by_id(book, level, cursor)
    entry = lanes.spent[i, k]
    entry["avail"] = _left_after(book, level, entry["avail"], entry["cursor"], cursor)
    entry["cursor"] = cursor
    return int(entry["avail"])


@njit_lean
def _drop_recovered(book: Book, lanes: Lanes, i: int, cursor: int) -> None:
    kept = 0
    for k in range(lanes.lane[i]["spent_count"]):
        level = lanes.spent[i, k]["level"]
        left = _left_after(book, level, lanes.spent[i, k]["avail"], lanes.spent[i, k]["cursor"], cursor)
        if left < level_qty_by_id(book, level, cursor):
            lanes.spent[i, kept]["level"] = level
            lanes.spent[i, kept]["avail"] = left
            lanes.spent[i, kept]["cursor"] = cursor
            kept += 1
    lanes.lane[i]["spent_count"] = kept


@njit_lean
def _spend(book: Book, lanes: Lanes, i: int, level: int, qty: int, cursor: int) -> None:
    k = _spent_entry(lanes, i, level)
    if k < 0:
        if lanes.lane[i]["spent_count"] == lanes.spent.shape[1]:
            _drop_recovered(book, lanes, i, cursor)
        k = lanes.lane[i]["spent_count"]
        if k == lanes.spent.shape[1]:
            lanes.lane[i]["error"] = ERR_SPENT_FULL
            return
        lanes.lane[i]["spent_count"] = k + 1
        lanes.spent[i, k]["level"] = level
        lanes.spent[i, k]["avail"] = level_qty_by_id(book, level, cursor)
    lanes.spent[i, k]["avail"] -= qty
    lanes.spent[i, k]["cursor"] = cursor


@njit_lean
def take(
    book: Book, econ: Economics, lanes: Lanes, i: int, slot: int, exch_ns: int, cursor: int, own_price: bool
) -> None:
    """Fill an order against displayed depth, best level first, as far as its limit reaches.

    At the levels' prices as a taker; at its own price as a maker where the opposite side moved into it.
    """
    order = lanes.orders[i, slot]
    side = order["side"]
    limit = order["tick"]
    best = best_ask(book, cursor) if side == BUY else best_bid(book, cursor)
    if best == NO_ASK or best == NO_BID:
        return
    level = find_level(book, -side, best)
    while level >= 0 and order["leaves"] > 0 and lanes.lane[i]["error"] == 0:
        tick = book.level_tick[level]
        if side * tick > side * limit:
            return
        qty = min(order["leaves"], _left_of(book, lanes, i, level, cursor))
        if qty > 0:
            _spend(book, lanes, i, level, qty, cursor)
            _fill(econ, lanes, i, slot, exch_ns, limit if own_price else tick, qty, 1 if own_price else 0)
        level = next_level(book, -side, level, cursor)


# -- resting orders ----------------------------------------------------------------------------------------------------


@njit_lean
def _next_resting(lanes: Lanes, i: int, side: int, after_tick: int, after_id: int) -> int:
    """The live order of `side` that follows (after_tick, after_id) in price-time order, or -1."""
    found = -1
    for slot in range(lanes.lane[i]["slot_count"]):
        order = lanes.orders[i, slot]
        if order["state"] != LIVE or order["side"] != side:
            continue
        tick = order["tick"]
        if after_tick != _NO_TICK and (
            side * tick > side * after_tick or (tick == after_tick and order["id"] <= after_id)
        ):
            continue
        if found >= 0:
            best = lanes.orders[i, found]
            if side * tick < side * best["tick"] or (tick == best["tick"] and order["id"] > best["id"]):
                continue
        found = slot
    return found


@njit_lean
def _on_print(book: Book, econ: Economics, lanes: Lanes, i: int, row: int) -> None:
    """A print meets own orders: better-priced first, then those at its price behind their queues.

    No more is filled than was printed. What better-priced own orders took no longer reaches the queue at the price.
    """
    printed = book.prints[book.rows[row]["key"]]
    side = -printed["side"]  # of the resting orders
    price = printed["tick"]
    volume = printed["qty"]
    taken = 0  # by own orders at this very price
    queue_floor = 0
    slot = _next_resting(lanes, i, side, _NO_TICK, 0)
    while slot >= 0:
        order = lanes.orders[i, slot]
        tick = order["tick"]
        if side * tick < side * price:
            return
        order_id = order["id"]
        if tick != price:
            qty = min(order["leaves"], volume)
            volume -= qty
        else:
            front = max(order["front"], queue_floor)
            queue_floor = front
            qty = max(0, min(order["leaves"], available(front, volume) - taken))
            taken += qty
            order["front"] = after_print(front, volume)
            order["since_print"] += printed["qty"]
        if qty > 0:
            _fill(econ, lanes, i, slot, book.ns[row], tick, qty, 1)
        slot = _next_resting(lanes, i, side, tick, order_id)


@njit_inline
def _on_level(book: Book, lanes: Lanes, i: int, row: int, power: int) -> None:
    """A level changed: own orders at it advance in the queue. Fronts never decrease in order of arrival."""
    word = book.rows[row]["word"]
    level = book.rows[row]["key"]
    side = row_side(word)
    tick = book.level_tick[level]
    only = -1
    count = 0
    for slot in range(lanes.lane[i]["slot_count"]):
        order = lanes.orders[i, slot]
        if order["tick"] == tick and order["state"] == LIVE and order["side"] == side:
            only = slot
            count += 1
    if count == 0:
        return
    reset = (row_flags(word) & RESET) != 0
    prev = level_qty_by_id(book, level, row)
    if count == 1:  # nearly always; spares the walk in order of arrival
        _requeue(lanes, i, only, prev, row_qty(word), power, reset, 0)
    else:
        _requeue_all(lanes, i, side, tick, prev, row_qty(word), power, reset)


@njit_inline
def _requeue(lanes: Lanes, i: int, slot: int, prev: int, new: int, power: int, reset: bool, floor: int) -> int:
    """Move one order in its queue, not before `floor`; returns where it stands."""
    order = lanes.orders[i, slot]
    if not reset:
        order["front"] = max(floor, after_depth(order["front"], prev, new, order["since_print"], power))
    order["since_print"] = 0
    return int(order["front"])


@njit_lean
def _requeue_all(lanes: Lanes, i: int, side: int, tick: int, prev: int, new: int, power: int, reset: bool) -> None:
    floor = 0
    slot = _next_resting(lanes, i, side, tick + side, _LAST_ID)
    while slot >= 0 and lanes.orders[i, slot]["tick"] == tick:
        floor = _requeue(lanes, i, slot, prev, new, power, reset, floor)
        slot = _next_resting(lanes, i, side, tick, lanes.orders[i, slot]["id"])


@njit_lean
def _on_best(book: Book, econ: Economics, lanes: Lanes, i: int, side: int, row: int) -> None:
    """The opposite best stands at or through own orders of `side`: they trade with what is displayed there."""
    slot = _next_resting(lanes, i, side, _NO_TICK, 0)
    while slot >= 0:
        tick = lanes.orders[i, slot]["tick"]
        order_id = lanes.orders[i, slot]["id"]
        opposite = best_ask(book, row + 1) if side == BUY else best_bid(book, row + 1)
        if side * tick < side * opposite:
            return
        take(book, econ, lanes, i, slot, book.ns[row], row + 1, True)
        slot = _next_resting(lanes, i, side, tick, order_id)


@njit_inline
def _bounds(lanes: Lanes, i: int) -> tuple[int, int, int, int]:
    """Lowest and highest own bid, lowest and highest own ask; empty ranges where there are none."""
    bid_low = NO_ASK
    bid_high = NO_BID
    ask_low = NO_ASK
    ask_high = NO_BID
    for slot in range(lanes.lane[i]["slot_count"]):
        order = lanes.orders[i, slot]
        if order["state"] != LIVE:
            continue
        tick = order["tick"]
        if order["side"] == BUY:
            bid_low = min(bid_low, tick)
            bid_high = max(bid_high, tick)
        else:
            ask_low = min(ask_low, tick)
            ask_high = max(ask_high, tick)
    return bid_low, bid_high, ask_low, ask_high


@njit_inline
def apply_rows(book: Book, econ: Economics, lanes: Lanes, i: int, start: int, end: int) -> None:
    """Apply tape rows [start, end) to the resting orders of lane `i`."""
    lane = lanes.lane[i]
    bid_low, bid_high, ask_low, ask_high = _bounds(lanes, i)
    live = lane["live_orders"]
    bid_at = bid_index(book, start)
    ask_at = ask_index(book, start)
    for row in range(start, end):
        if live == 0 or lane["error"] != 0:
            return
        word = book.rows[row]["word"]
        key = book.rows[row]["key"]
        kind = row_kind(word)
        side = row_side(word)
        fills = lane["fills"]
        if kind == ROW_PRINT:
            tick = book.prints[key]["tick"]
            if (side == SELL and tick <= bid_high) or (side == BUY and tick >= ask_low):
                _on_print(book, econ, lanes, i, row)
        elif kind == ROW_LEVEL:
            tick = book.level_tick[key]
            if side == BUY:
                if bid_low <= tick <= bid_high:
                    _on_level(book, lanes, i, row, econ.queue_power)
            elif ask_low <= tick <= ask_high:
                _on_level(book, lanes, i, row, econ.queue_power)
        if row_flags(word) & MESSAGE_END:
            while bid_at < book.bids.shape[0] and book.bids[bid_at]["row"] <= row:
                bid_at += 1
            while ask_at < book.asks.shape[0] and book.asks[ask_at]["row"] <= row:
                ask_at += 1
            if book.asks[ask_at - 1]["tick"] <= bid_high:
                _on_best(book, econ, lanes, i, BUY, row)
            if book.bids[bid_at - 1]["tick"] >= ask_low:
                _on_best(book, econ, lanes, i, SELL, row)
        if lane["fills"] != fills:
            bid_low, bid_high, ask_low, ask_high = _bounds(lanes, i)
            live = lane["live_orders"]
