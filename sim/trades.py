"""An order trades, an order ends: ledger, counters, answers (docs/market.md, sections 5 and 6)."""

from __future__ import annotations

import numpy as np

from lobgym.sim.answers import answer, answer_order
from lobgym.sim.book import NO_ASK, NO_BID
from lobgym.sim.jit import njit_inner, njit_leaf
from lobgym.sim.money import MONEY_MAX, cash_of, entry_after, fee_of, fits, realised_of
from lobgym.sim.records import BUY, DONE, ERR_LEDGER, EXPIRED, FILL, LIVE, REDUCE_ONLY
from lobgym.sim.world import World, econ_of, fee_tier, lane_at, order_at

__all__ = ["book_trade", "end_order", "fill", "raise_fee_tier"]


@njit_leaf
def end_order(w: World, i: int, slot: int) -> None:
    """An order is over at the exchange; whatever it rested with rests no more."""
    lane = lane_at(w, i)
    order = order_at(w, i, slot)
    if order["state"] == LIVE:
        lane["live_orders"] -= 1
        # Who replaces all quotes of a side leaves no wide bounds behind.
        if order["side"] == BUY:
            lane["open_bid"] -= order["leaves"]
            if lane["open_bid"] == 0:
                lane["bid_high"] = NO_BID
                lane["bid_mask"] = np.uint64(0)
        else:
            lane["open_ask"] -= order["leaves"]
            if lane["open_ask"] == 0:
                lane["ask_low"] = NO_ASK
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
