"""The feed of levels: prints and best quotes as they happen, depth in batches, marks, funding rates and halts.

Rows are those of a tape (`lobgym.sim.tape`). Each stream has a latency of its own, drawn per message, and is first in,
first out, so that streams race each other as they do on real venues.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from lobgym.sim.exchange.board import (
    AUCTION,
    LADDER_DEPTH,
    NONE,
    RECORD_LEVELS,
    STREAM_BBO,
    STREAM_DEPTH,
    STREAM_TRADE,
    STREAM_VENUE,
    Board,
    best_at,
    dirty_at,
    event_at,
    ladder_at,
    level_at,
    rung_at,
    stream_at,
    tick_of,
)
from lobgym.sim.exchange.book import next_at
from lobgym.sim.exchange.calls import call_say_best, call_say_depth, entry
from lobgym.sim.jit import njit_inner, njit_leaf
from lobgym.sim.records import BBO, BUY, CLEAR, DEPTH, LAST, SELL, SNAPSHOT, TRADE
from lobgym.sim.rng import GOLDEN, mix64

__all__ = ["say", "say_best", "say_depth", "say_print", "say_snapshot", "settle_feed"]

_U10: Final = np.uint64(1023)
_S10: Final = np.uint64(10)
_S20: Final = np.uint64(20)


@njit_leaf
def _late(x: Board, stream: int) -> int:
    """Latency of the next message: the floor and a skewed part, the product of three uniforms."""
    made = stream_at(x, stream)
    if made["mean_ns"] == 0:
        return int(made["floor_ns"])
    x["feed_draws"] += 1
    bits = mix64(x["feed_key"] + np.uint64(x["feed_draws"]) * GOLDEN)
    a, b, c = np.int64(bits & _U10), np.int64((bits >> _S10) & _U10), np.int64((bits >> _S20) & _U10)
    return int(made["floor_ns"] + ((8 * made["mean_ns"] * a >> 10) * b * c >> 20))


@njit_inner
def say(x: Board, stream: int, kind: int, side: int, tick: int, lots: int, seq: int, first: int, last: int) -> None:
    """Append a row; the `first` row of a message draws the message's receive stamp."""
    if x["record"] & RECORD_LEVELS == 0 or (x["feed_off"] and stream != STREAM_VENUE):
        return
    made = stream_at(x, stream)
    if first:
        made["seen_ns"] = max(made["seen_ns"], x["now_ns"] + _late(x, stream))
    row = x["row_count"]
    x["row_count"] = row + 1
    if row >= x["row_room"]:
        return  # as in `lobgym.sim.exchange.order_feed`
    event = event_at(x, row)
    event["exch_ns"] = x["now_ns"]
    event["local_ns"] = made["seen_ns"]
    event["seq"] = seq
    event["price_ticks"] = tick
    event["qty_lots"] = lots
    event["kind"] = kind
    event["side"] = side
    event["flags"] = LAST if last else 0


@njit_leaf
def say_print(x: Board, aggressor: int, at: int, lots: int) -> None:
    """A trade, as it happens."""
    say(x, STREAM_TRADE, TRADE, aggressor, tick_of(x, at), lots, x["trades"], 1, 1)


@njit_leaf
def _qty(x: Board, side: int, at: int) -> int:
    return 0 if at == NONE else int(level_at(x, side, at)["qty"])


@njit_leaf
def _best_is_said(x: Board) -> bool:
    bid, ask = x["best_bid"], x["best_ask"]
    same = x["said_bid"] == bid and x["said_ask"] == ask
    return bool(same and x["said_bid_qty"] == _qty(x, BUY, bid) and x["said_ask_qty"] == _qty(x, SELL, ask))


@entry("say_best")
def say_best(x: Board) -> int:
    """One message of two rows: the best prices and their quantities."""
    bid, ask = x["best_bid"], x["best_ask"]
    bid_qty, ask_qty = _qty(x, BUY, bid), _qty(x, SELL, ask)
    x["said_bid"], x["said_bid_qty"], x["said_ask"], x["said_ask_qty"] = bid, bid_qty, ask, ask_qty
    bid_tick = 0 if bid == NONE else tick_of(x, bid)
    ask_tick = 0 if ask == NONE else tick_of(x, ask)
    say(x, STREAM_BBO, BBO, BUY, bid_tick, bid_qty, x["updates"], 1, 0)
    say(x, STREAM_BBO, BBO, SELL, ask_tick, ask_qty, x["updates"], 0, 1)
    _keep_ladder(x)
    return 0


@entry("say_depth")
def say_depth(x: Board) -> int:
    """One message of every level that changed since the last one."""
    left = 0
    for row in range(2):
        side = BUY if row == 0 else SELL
        for k in range(x["dirty_bids"] if row == 0 else x["dirty_asks"]):
            level = level_at(x, side, dirty_at(x, side, k)["at"])
            left += level["qty"] != level["shown"]
    first = 1
    for row in range(2):
        side = BUY if row == 0 else SELL
        for k in range(x["dirty_bids"] if row == 0 else x["dirty_asks"]):
            at = dirty_at(x, side, k)["at"]
            level = level_at(x, side, at)
            level["dirty"] = 0
            if level["qty"] != level["shown"]:
                left -= 1
                level["shown"] = level["qty"]
                say(x, STREAM_DEPTH, DEPTH, side, tick_of(x, at), level["qty"], x["updates"], first, left == 0)
                first = 0
    x["dirty_bids"] = 0
    x["dirty_asks"] = 0
    _keep_ladder(x)
    return 0


@entry("say_snapshot")
def say_snapshot(x: Board) -> int:
    """One message of the whole book, which voids what was said before; then the best quotes."""
    empty = x["best_bid"] == NONE and x["best_ask"] == NONE
    say(x, STREAM_DEPTH, CLEAR, 0, 0, 0, x["updates"], 1, 1 if empty else 0)
    for row in range(2):
        side = BUY if row == 0 else SELL
        for k in range(x["dirty_bids"] if row == 0 else x["dirty_asks"]):
            level = level_at(x, side, dirty_at(x, side, k)["at"])
            level["dirty"] = 0
            level["shown"] = level["qty"]
    x["dirty_bids"] = 0
    x["dirty_asks"] = 0
    for row in range(2):
        side = BUY if row == 0 else SELL
        at = best_at(x, side)
        while at != NONE:
            worse = next_at(x, side, at)
            level = level_at(x, side, at)
            level["shown"] = level["qty"]
            ends = worse == NONE and (side == SELL or x["best_ask"] == NONE)
            say(x, STREAM_DEPTH, SNAPSHOT, side, tick_of(x, at), level["qty"], x["updates"], 0, ends)
            at = worse
    call_say_best(x)
    return 0


@njit_inner
def _keep_ladder(x: Board) -> None:
    """Add the best levels to the ring that members see their market in."""
    if x["ladder_room"] == 0 or x["feed_off"]:
        return
    place = x["ladder_count"] % x["ladder_room"]
    x["ladder_count"] += 1
    ladder_at(x, place)["ns"] = x["now_ns"]
    for row in range(2):
        side = BUY if row == 0 else SELL
        at = best_at(x, side)
        for k in range(LADDER_DEPTH):
            rung = rung_at(x, place, side, k)
            rung["tick"] = 0 if at == NONE else tick_of(x, at)
            rung["qty"] = _qty(x, side, at)
            if at != NONE:
                at = next_at(x, side, at)


@njit_leaf
def settle_feed(x: Board) -> None:
    """After everything that one message did: best quotes at once, depth if it is not batched; silent in an auction."""
    if x["phase"] == AUCTION:
        return
    if not _best_is_said(x):
        call_say_best(x)
    if x["depth_every_ns"] == 0 and x["dirty_bids"] + x["dirty_asks"] > 0:
        call_say_depth(x)
