"""The reactive flow's kernel: candidates of a Poisson process, thinned by the queues that they meet.

The efficient price v decides where quotes belong: bids at or below floor(v), asks above it. See docs/flow.md.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np

from lobgym.sim.exchange.board import AUCTION, FLOW, NONE, OPEN, STREAM_VENUE, Board, best_at, level_at, node_at
from lobgym.sim.exchange.book import next_at, rest
from lobgym.sim.exchange.feed import say, settle_feed
from lobgym.sim.exchange.flows import FOREVER, low_on_room
from lobgym.sim.exchange.trading import flow_cancel, flow_submit, flow_take
from lobgym.sim.flow.draws import QUANTILES, bit_length, exponential, faded, quantile_place
from lobgym.sim.flow.record import (
    BUCKETS_MAX,
    CELL_CANCEL,
    CELL_JUMP,
    PRICE_BITS,
    QUEUE_BUCKETS,
    START_ORDERS,
    FlowState,
    accept_at,
    alias_cut,
    alias_to,
    flow_of,
    hold_of,
    size_entry,
    size_mean,
    start_cut,
    taker_entry,
    taker_scale,
    units_of,
)
from lobgym.sim.flow.value import drift, fresh_bits, impact, jump, later, say_value
from lobgym.sim.jit import njit_inner, njit_leaf, njit_lean
from lobgym.sim.records import BUY, REGIME, SELL

__all__ = ["act"]

Int: TypeAlias = "int | np.int64"

_ONE: Final = np.uint64(1)
_S1: Final = np.uint64(1)
_S7: Final = np.uint64(7)
_S8: Final = np.uint64(8)
_S27: Final = np.uint64(27)
_S32: Final = np.uint64(32)
_S42: Final = np.uint64(42)
_M6: Final = np.uint64(63)
_M8: Final = np.uint64(255)
_M15: Final = np.uint64(0x7FFF)
_M16: Final = np.uint64(0xFFFF)
_M20: Final = np.uint64(0xFFFFF)
_M32: Final = np.uint64(0xFFFFFFFF)
_LOOK_BACK: Final = 15  # a cancel finds one of the last 16 orders of its queue
_STEPS_MAX: Final = 32  # orders, and levels, that a search for one of the flow's own looks at
_ORDERS_MAX: Final = 12_000  # that the book begins with


@njit_leaf
def _size(s: FlowState, bits: np.uint64, b: Int) -> int:
    """Lots of a limit order of a distance bucket; `bits` 0 to 15 choose."""
    k = np.int64((bits >> _S8) & _M8)
    if b > 0:
        k += QUANTILES + 1
    of_mean = quantile_place(size_entry(s, k), size_entry(s, k + 1), np.int64(bits & _M8))
    return max(1, (of_mean * size_mean(s, b) + (1 << 23)) >> 24)


@njit_leaf
def _take_size(s: FlowState, bits: np.uint64, mean: int) -> int:
    k = np.int64((bits >> _S8) & _M8)
    of_mean = quantile_place(taker_entry(s, k), taker_entry(s, k + 1), np.int64(bits & _M8))
    return max(1, (of_mean * mean + (1 << 23)) >> 24)


@njit_leaf
def _queue_bucket(s: FlowState, b: Int, lots: int) -> int:
    if lots == 0:
        return 0
    return min(QUEUE_BUCKETS - 1, 1 + bit_length(int(lots * units_of(s, b))))


# -- limit orders and cancels ------------------------------------------------------------------------------------------


@njit_inner
def _place(x: Board, s: FlowState, side: int, b: Int, d: Int, chance: Int) -> None:
    reference = s["v"] >> PRICE_BITS
    at = reference - d if side == BUY else reference + 1 + d
    if x["phase"] == OPEN:
        opposite = best_at(x, -side)
        if opposite != NONE and side * at >= side * opposite:
            if b != 0:
                return
            at = opposite - side
    if at < 0 or at >= x["width"]:
        return
    q = _queue_bucket(s, b, level_at(x, side, at)["qty"])
    row = (s["volatility"] * 3 + s["liquidity"]) * 2
    if chance >= accept_at(s, (row * BUCKETS_MAX + b) * QUEUE_BUCKETS + q):
        return
    s["accepted"] += 1
    _send(x, side, at, _size(s, fresh_bits(s), b))


@njit_inner
def _send(x: Board, side: int, at: int, lots: int) -> None:
    """A limit order, unless trading is halted; in an auction it only gathers."""
    if x["phase"] == OPEN:
        flow_submit(x, side, at, lots)
    elif x["phase"] == AUCTION:
        x["messages"] += 1
        x["refused"] += rest(x, side, at, lots, FLOW, 0) == 0
        settle_feed(x)


@njit_leaf
def _gap(x: Board, s: FlowState, side: int) -> int:
    """The best place that value and the other side leave to a quote, if nothing stands there; else NONE."""
    at = s["v"] >> PRICE_BITS
    if side == BUY:
        if x["best_ask"] != NONE:
            at = min(at, x["best_ask"] - 1)
        return at if at > x["best_bid"] and at >= 0 else NONE
    at = max(at, x["best_bid"]) + 1
    return at if (at < x["best_ask"] or x["best_ask"] == NONE) and at < x["width"] else NONE


@njit_inner
def _repair(x: Board, s: FlowState) -> None:
    """Somebody quotes at a best place that is free, on either side if both are."""
    s["repair_ns"] = FOREVER
    bits = fresh_bits(s)
    side = BUY if bits & _ONE else SELL
    at = _gap(x, s, side)
    if at == NONE:
        side = -side
        at = _gap(x, s, side)
    if at != NONE:
        s["repairs"] += 1
        _send(x, side, at, _size(s, bits >> _S8, 0))


@njit_inner
def _cancel_one(x: Board, s: FlowState, side: int, at: int, bits: np.uint64) -> bool:
    """Cancel one of the flow's last orders of a queue; whether there was one."""
    level = level_at(x, side, at)
    back = np.int64(bits & np.uint64(_LOOK_BACK))
    if back >= level["count"]:
        back = back % level["count"]
    node = int(level["tail"])
    for _ in range(back):
        node = int(node_at(x, node)["prev"])
    for _ in range(_STEPS_MAX):
        if node == 0:
            return False
        if node_at(x, node)["lane"] == FLOW:
            flow_cancel(x, node, node_at(x, node)["qty"])
            return True
        node = int(node_at(x, node)["prev"])
    return False


@njit_inner
def _withdraw(x: Board, s: FlowState, side: int, b: Int, d: Int, chance: Int) -> None:
    reference = s["v"] >> PRICE_BITS
    at = reference - d if side == BUY else reference + 1 + d
    if at < 0 or at >= x["width"]:
        return
    lots = level_at(x, side, at)["qty"]
    if lots == 0:
        return
    q = _queue_bucket(s, b, lots)
    row = (s["volatility"] * 3 + s["liquidity"]) * 2 + 1
    if chance >= accept_at(s, (row * BUCKETS_MAX + b) * QUEUE_BUCKETS + q):
        return
    s["accepted"] += _cancel_one(x, s, side, at, fresh_bits(s))


@njit_inner
def _trim(x: Board, s: FlowState, side: int) -> None:
    """Cancel an order that the price has left so far behind that no distance bucket reaches it."""
    edge = (s["v"] >> PRICE_BITS) + (1 if side == SELL else 0) - side * s["reach"]
    bits = fresh_bits(s)
    at = edge - side * (np.int64(bits & _M15) * s["reach"] >> 13)
    if edge < 0 or edge >= x["width"]:
        return
    found = NONE
    if 0 <= at < x["width"]:
        found = next_at(x, side, at)
    if found == NONE:
        found = next_at(x, side, edge)
    if found != NONE:
        _cancel_one(x, s, side, found, bits >> _S32)


@njit_inner
def _candidate(x: Board, s: FlowState) -> None:
    bits = fresh_bits(s)
    side = BUY if bits & _ONE else SELL
    cell = np.int64((bits >> _S1) & _M6)
    if np.int64((bits >> _S7) & _M20) >= alias_cut(s, cell):
        cell = alias_to(s, cell)
    s["candidates"] += 1
    if cell >= CELL_JUMP:
        if cell == CELL_JUMP:
            jump(x, s)
        else:
            _trim(x, s, side)
        return
    b = cell & (CELL_CANCEL - 1)
    low = (1 << b) >> 1
    d = low + (np.int64((bits >> _S27) & _M15) * low >> 15)
    chance = np.int64(bits >> _S42)
    if cell < CELL_CANCEL:
        _place(x, s, side, b, d, chance)
    else:
        _withdraw(x, s, side, b, d, chance)


# -- takers ------------------------------------------------------------------------------------------------------------


@njit_inner
def _took(x: Board, s: FlowState, side: int, limit: int, lots: int) -> int:
    if limit < 0 or limit >= x["width"]:
        return 0
    traded = flow_take(x, side, limit, lots)
    s["seen_position"] = x["flow_position"]
    return int(traded)


@njit_inner
def _next_taker(x: Board, s: FlowState) -> None:
    """Ogata's thinning: until the next event the intensity only falls, so that its present value bounds it."""
    s["taker_bound"] = 2.0 * s["taker_rate"] * taker_scale(s, s["volatility"]) + s["excited_buy"] + s["excited_sell"]
    if s["taker_bound"] > 0.0:
        s["taker_ns"] = later(s, x["now_ns"], 1.0 / s["taker_bound"])
    else:
        s["taker_ns"] = FOREVER


@njit_inner
def _fade(x: Board, s: FlowState) -> None:
    left = faded((x["now_ns"] - s["taken_ns"]) * s["decay"])
    s["excited_buy"] *= left
    s["excited_sell"] *= left
    s["taken_ns"] = x["now_ns"]


@njit_inner
def _noise(x: Board, s: FlowState) -> None:
    """A candidate of the pair of self- and cross-exciting processes of buyers and sellers."""
    _fade(x, s)
    base = s["taker_rate"] * taker_scale(s, s["volatility"])
    chance = np.float64(fresh_bits(s) >> np.uint64(11)) * (1.0 / 9007199254740992.0) * s["taker_bound"]
    buy = base + s["excited_buy"]
    if chance < buy + base + s["excited_sell"]:
        side = BUY if chance < buy else SELL
        s["excited_buy"] += s["excite_self"] if side == BUY else s["excite_cross"]
        s["excited_sell"] += s["excite_cross"] if side == BUY else s["excite_self"]
        s["noise_takes"] += 1
        best = best_at(x, -side)
        lots = _take_size(s, fresh_bits(s), s["taker_lots"])
        if best != NONE and x["phase"] == OPEN:
            limit = max(0, min(x["width"] - 1, best + side * s["noise_reach"]))
            impact(x, s, side * _took(x, s, side, limit, lots))
    _next_taker(x, s)


@njit_inner
def _informed(x: Board, s: FlowState) -> None:
    """Take what the efficient price has left behind by at least the edge, up to there."""
    s["informed_ns"] = FOREVER
    if x["phase"] != OPEN:
        return
    reference = s["v"] >> PRICE_BITS
    for side in (BUY, SELL):
        limit = reference - s["edge"] if side == BUY else reference + 1 + s["edge"]
        best = best_at(x, -side)
        if best != NONE and side * best <= side * limit:
            s["informed_takes"] += 1
            _took(x, s, side, limit, _take_size(s, fresh_bits(s), s["informed_lots"]))
            best = best_at(x, -side)
            if best != NONE and side * best <= side * limit:
                s["informed_ns"] = later(s, x["now_ns"], s["informed_mean"])


@njit_inner
def _stale(x: Board, s: FlowState) -> None:
    """Market makers take back the quote that is furthest on the wrong side of the efficient price."""
    s["stale_ns"] = FOREVER
    reference = s["v"] >> PRICE_BITS
    for side in (BUY, SELL):
        limit = reference + 1 if side == BUY else reference
        at = best_at(x, side)
        for _ in range(_STEPS_MAX):
            if at == NONE or side * at < side * limit:
                break
            node = int(level_at(x, side, at)["head"])
            for _ in range(_STEPS_MAX):
                if node == 0 or node_at(x, node)["lane"] == FLOW:
                    break
                node = int(node_at(x, node)["next"])
            if node != 0 and node_at(x, node)["lane"] == FLOW:
                flow_cancel(x, node, node_at(x, node)["qty"])
                s["stale_cancels"] += 1
                s["stale_ns"] = later(s, x["now_ns"], s["stale_mean"])
                return
            at = next_at(x, side, at)


# -- regimes -----------------------------------------------------------------------------------------------------------


@njit_leaf
def _held(s: FlowState, ns: int, dimension: int) -> int:
    """End of a stay: a quarter of the mean, and two exponential times that make up the rest (Erlang 2)."""
    mean = hold_of(s, dimension)
    if mean <= 0.0:
        return FOREVER
    return int(ns + int(0.25 * mean + 0.375 * mean * (exponential(fresh_bits(s)) + exponential(fresh_bits(s)))))


@njit_leaf
def _neighbour(s: FlowState, state: int) -> int:
    """From either end to the middle, from there to either end."""
    bits = fresh_bits(s)
    if state == 1:
        return 2 if bits & _ONE else 0
    return 1


@njit_inner
def _regime(x: Board, s: FlowState) -> None:
    ns = x["now_ns"]
    if s["volatility_ns"] <= ns:
        s["volatility"] = _neighbour(s, s["volatility"])
        s["volatility_ns"] = _held(s, ns, 0)
        _fade(x, s)
        _next_taker(x, s)  # the waiting time forgets, so that it may be drawn again
    if s["liquidity_ns"] <= ns:
        s["liquidity"] = _neighbour(s, s["liquidity"])
        s["liquidity_ns"] = _held(s, ns, 1)
    if s["trend_ns"] <= ns:
        drift(x, s)
        s["trend"] = _neighbour(s, s["trend"])
        s["trend_ns"] = _held(s, ns, 2)
    s["regime_ns"] = min(s["volatility_ns"], min(s["liquidity_ns"], s["trend_ns"]))
    _say_regime(x, s)


@njit_leaf
def _say_regime(x: Board, s: FlowState) -> None:
    say(x, STREAM_VENUE, REGIME, 0, 0, s["volatility"] * 9 + s["liquidity"] * 3 + s["trend"], 0, 1, 1)


# -- the clock ---------------------------------------------------------------------------------------------------------


@njit_inner
def _begin(x: Board, s: FlowState) -> None:
    """The first book: at each price as many orders as a queue there has in the long run, left to itself."""
    ns = x["now_ns"]
    s["started"] = 1
    s["moved_ns"] = ns
    s["taken_ns"] = ns
    s["volatility_ns"] = _held(s, ns, 0)
    s["liquidity_ns"] = _held(s, ns, 1)
    s["trend_ns"] = _held(s, ns, 2)
    s["regime_ns"] = min(s["volatility_ns"], min(s["liquidity_ns"], s["trend_ns"]))
    say_value(x, s)
    _say_regime(x, s)
    reference = s["v"] >> PRICE_BITS
    orders = 0
    for side in (BUY, SELL):
        for d in range(s["reach"]):
            at = reference - d if side == BUY else reference + 1 + d
            if at < 0 or at >= x["width"]:
                break
            b = bit_length(d)
            chance = np.int64(fresh_bits(s) & _M32)
            n = 0
            while n < START_ORDERS - 1 and chance >= start_cut(s, b * START_ORDERS + n):
                n += 1
            for _ in range(n):
                if orders < _ORDERS_MAX:
                    orders += rest(x, side, at, _size(s, fresh_bits(s), b), FLOW, 0) != 0
    settle_feed(x)
    s["next_ns"] = later(s, ns, s["mean_ns"])
    s["stale_ns"] = FOREVER
    s["informed_ns"] = FOREVER
    _next_taker(x, s)


@njit_lean
def act(x: Board, until_ns: int, room: int) -> int:
    """Do what is due up to and with `until_ns`; see `lobgym.sim.exchange.flows`.

    Where stamps are equal: regime, candidate, noise taker, repair, informed taker, stale quote.
    """
    s = flow_of(x)
    if s["started"] == 0:
        x["now_ns"] = x["flow_due"]
        _begin(x, s)
    while True:
        other = min(min(s["taker_ns"], s["regime_ns"]), min(s["stale_ns"], s["informed_ns"]))
        due = min(min(other, s["repair_ns"]), s["next_ns"])
        if due > until_ns or low_on_room(x, room):
            return int(due)
        x["now_ns"] = due
        if x["flow_position"] != s["seen_position"]:  # members took from the flow
            lots = s["seen_position"] - x["flow_position"]
            s["seen_position"] = x["flow_position"]
            impact(x, s, lots)
        if s["regime_ns"] == due:
            _regime(x, s)
        elif s["next_ns"] == due:
            s["next_ns"] = later(s, due, s["mean_ns"])
            _candidate(x, s)
        elif s["taker_ns"] == due:
            drift(x, s)
            _noise(x, s)
        elif s["repair_ns"] == due:
            _repair(x, s)
        elif s["informed_ns"] == due:
            _informed(x, s)
        else:
            _stale(x, s)
        if s["repair_ns"] == FOREVER and (_gap(x, s, BUY) != NONE or _gap(x, s, SELL) != NONE):
            s["repair_ns"] = later(s, due, s["repair_mean"])
