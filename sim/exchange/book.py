"""The order book itself: queues of orders by price, and where the next price with orders is.

An order is appended to its price's queue and leaves from wherever it stands; prices with orders are bits of words, and
words that are not 0 are bits of blocks, so that the next price is found in a few instructions however far it is.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from lobgym.sim.exchange.bits import highest_bit, lowest_bit
from lobgym.sim.exchange.board import NONE, Board, best_at, block_at, dirty_at, level_at, node_at, tick_of, word_at
from lobgym.sim.exchange.order_feed import order_said
from lobgym.sim.importers.order_tape import CHANGED, CREATED, DELETED
from lobgym.sim.jit import njit_inner, njit_leaf
from lobgym.sim.records import BUY

__all__ = ["drop", "lots_ahead", "next_at", "reduce", "rest"]

_ONE: Final = np.uint64(1)
_ZERO: Final = np.uint64(0)
_ALL: Final = np.uint64(0xFFFFFFFFFFFFFFFF)


@njit_leaf
def _below(k: int) -> np.uint64:
    """Bits 0 to k - 1."""
    return (_ONE << np.uint64(k)) - _ONE


@njit_leaf
def _above(k: int) -> np.uint64:
    """Bits k + 1 to 63."""
    return (_ALL << np.uint64(k)) ^ (_ONE << np.uint64(k))


@njit_inner
def next_at(x: Board, side: int, at: int) -> int:
    """The next price with orders, worse than `at` for its side; NONE where there is none."""
    k = at >> 6
    if side == BUY:
        bits = word_at(x, side, k)["value"] & _below(at & 63)
        if bits != _ZERO:
            return int((k << 6) + highest_bit(bits))
        block = k >> 6
        bits = block_at(x, side, block)["value"] & _below(k & 63)
        while bits == _ZERO:
            block -= 1
            if block < 0:
                return NONE
            bits = block_at(x, side, block)["value"]
        k = (block << 6) + highest_bit(bits)
        return int((k << 6) + highest_bit(word_at(x, side, k)["value"]))
    bits = word_at(x, side, k)["value"] & _above(at & 63)
    if bits != _ZERO:
        return int((k << 6) + lowest_bit(bits))
    block = k >> 6
    bits = block_at(x, side, block)["value"] & _above(k & 63)
    while bits == _ZERO:
        block += 1
        if block >= x["block_width"]:
            return NONE
        bits = block_at(x, side, block)["value"]
    k = (block << 6) + lowest_bit(bits)
    return int((k << 6) + lowest_bit(word_at(x, side, k)["value"]))


@njit_leaf
def _touched(x: Board, side: int, at: int, level: Any) -> None:
    """A level changed: the next message of depth says so."""
    x["updates"] += 1
    if level["dirty"] == 0:
        level["dirty"] = 1
        name = x["dirty_bids"] if side == BUY else x["dirty_asks"]
        dirty_at(x, side, name)["at"] = at
        if side == BUY:
            x["dirty_bids"] += 1
        else:
            x["dirty_asks"] += 1


@njit_inner
def rest(x: Board, side: int, at: int, qty: int, lane: int, slot: int) -> int:
    """Append an order to the queue at its price; its node, or 0 if the book has no room for one more."""
    node = x["free_node"]
    if node != 0:
        x["free_node"] = node_at(x, node)["next"]
    else:
        node = x["node_high"]
        if node >= x["node_room"]:
            return 0
        x["node_high"] = node + 1
    order = node_at(x, node)
    order["qty"] = qty
    order["id"] = x["next_id"]
    x["next_id"] += 1
    order["ns"] = x["now_ns"]
    order["at"] = at
    order["lane"] = lane
    order["slot"] = slot
    order["side"] = side
    order["next"] = 0
    level = level_at(x, side, at)
    order["prev"] = level["tail"]
    if level["tail"] != 0:
        node_at(x, level["tail"])["next"] = node
    else:
        level["head"] = node
        x["low_used"] = min(x["low_used"], at)
        x["high_used"] = max(x["high_used"], at)
        word = word_at(x, side, at >> 6)
        word["value"] |= _ONE << np.uint64(at & 63)
        block_at(x, side, at >> 12)["value"] |= _ONE << np.uint64((at >> 6) & 63)
        if side == BUY:
            if at > x["best_bid"]:
                x["best_bid"] = at
        elif at < x["best_ask"] or x["best_ask"] == NONE:
            x["best_ask"] = at
    level["tail"] = node
    level["qty"] += qty
    level["count"] += 1
    x["resting"] += 1
    _touched(x, side, at, level)
    order_said(x, CREATED, order["id"], order["ns"], tick_of(x, at), qty, side)
    return int(node)


@njit_inner
def reduce(x: Board, node: int, lots: int) -> None:
    """Take `lots` off an order that keeps some, and its place."""
    order = node_at(x, node)
    order["qty"] -= lots
    side, at = int(order["side"]), int(order["at"])
    level = level_at(x, side, at)
    level["qty"] -= lots
    _touched(x, side, at, level)
    order_said(x, CHANGED, order["id"], order["ns"], tick_of(x, at), order["qty"], side)


@njit_inner
def drop(x: Board, node: int) -> None:
    """Take an order out of the book."""
    order = node_at(x, node)
    side = int(order["side"])
    at = int(order["at"])
    level = level_at(x, side, at)
    before, behind = order["prev"], order["next"]
    if before != 0:
        node_at(x, before)["next"] = behind
    else:
        level["head"] = behind
    if behind != 0:
        node_at(x, behind)["prev"] = before
    else:
        level["tail"] = before
    level["qty"] -= order["qty"]
    level["count"] -= 1
    x["resting"] -= 1
    _touched(x, side, at, level)
    order_said(x, DELETED, order["id"], order["ns"], tick_of(x, at), 0, side)
    order["next"] = x["free_node"]
    order["lane"] = NONE
    order["qty"] = 0
    x["free_node"] = node
    if level["head"] == 0:
        word = word_at(x, side, at >> 6)
        word["value"] &= ~(_ONE << np.uint64(at & 63))
        if word["value"] == _ZERO:
            block_at(x, side, at >> 12)["value"] &= ~(_ONE << np.uint64((at >> 6) & 63))
        if at == best_at(x, side):
            worse = next_at(x, side, at)
            if side == BUY:
                x["best_bid"] = worse
            else:
                x["best_ask"] = worse


@njit_inner
def lots_ahead(x: Board, node: int) -> int:
    """Lots that are before an order in its queue: its true place."""
    total = 0
    before = node_at(x, node)["prev"]
    while before != 0:
        total += node_at(x, before)["qty"]
        before = node_at(x, before)["prev"]
    return int(total)
