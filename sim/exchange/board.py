"""`Board`: the one record that the exchange's kernels take: order book, feed, clock, the way to the members.

Prices are counted as `at`, ticks above the lowest price that the book has room for; sides are rows of the tables, bids
0 and asks 1. A node is an order that rests; node 0 is none. Members of the exchange are the lanes of a `World`
(`lobgym.sim.world`), with the orders, requests, answers and accounts of every other lane; background flow has none of
that, and its nodes say lane -1.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np

from lobgym.sim.importers.order_tape import ORDER_EVENT_DTYPE
from lobgym.sim.jit import njit_leaf
from lobgym.sim.memory import table, target
from lobgym.sim.records import BUY, EVENT_DTYPE
from lobgym.sim.world import WORLD_DTYPE

__all__ = [
    "AUCTION",
    "BOARD_ADDRESSES",
    "BOARD_DTYPE",
    "BOARD_FIELDS",
    "DO_FEED",
    "DO_LATENCY",
    "DO_PHASE",
    "DO_PREMIUM",
    "DO_PRINT",
    "ENTRIES",
    "FLOW",
    "HALTED_PHASE",
    "LADDER_DEPTH",
    "LADDER_DTYPE",
    "LEVEL_DTYPE",
    "NODE_DTYPE",
    "NONE",
    "OPEN",
    "RECORD_LEVELS",
    "RECORD_OFF",
    "RECORD_ORDERS",
    "RUNG_DTYPE",
    "SCHEDULE_DTYPE",
    "STREAM_BBO",
    "STREAM_DEPTH",
    "STREAM_DTYPE",
    "STREAM_TRADE",
    "STREAM_VENUE",
    "WORD_BITS",
    "Board",
    "best_at",
    "block_at",
    "dirty_at",
    "event_at",
    "ladder_at",
    "level_at",
    "node_at",
    "order_event_at",
    "row_of_side",
    "rung_at",
    "schedule_at",
    "stream_at",
    "tick_of",
    "word_at",
    "world_of",
]

Board: TypeAlias = Any  # a record of BOARD_DTYPE

FLOW: Final = -1  # lane of what the background flow trades
NONE: Final = -1  # `at` of an empty side

# Phases of trading.
OPEN: Final = 0  # continuous matching
HALTED_PHASE: Final = 1  # new orders are refused, cancels accepted
AUCTION: Final = 2  # orders gather without trading; the book may be crossed

# What is recorded, as bits.
RECORD_OFF: Final = 0
RECORD_LEVELS: Final = 1
RECORD_ORDERS: Final = 2

LADDER_DEPTH: Final = 10
WORD_BITS: Final = 64

NODE_DTYPE: Final = np.dtype(
    [
        ("qty", np.int64),  # lots that rest
        ("id", np.int64),  # order number, in order of arrival at the venue, never reused
        ("ns", np.int64),  # when it came to rest here
        ("at", np.int32),
        ("next", np.int32),  # behind it in its queue; of a free node the next free one
        ("prev", np.int32),
        ("lane", np.int32),
        ("slot", np.int32),  # of the lane's order
        ("side", np.int8),
    ],
    align=True,
)
LEVEL_DTYPE: Final = np.dtype(
    [
        ("qty", np.int64),  # lots that rest
        ("shown", np.int64),  # lots as the depth stream last said
        ("head", np.int32),  # first in the queue
        ("tail", np.int32),
        ("count", np.int32),  # orders
        ("dirty", np.int32),  # 1 while listed as changed
    ],
    align=True,
)
_CELL_DTYPE: Final = np.dtype([("value", np.uint64)])
_INDEX_DTYPE: Final = np.dtype([("at", np.int32)])

# What the venue has on its calendar.
SCHEDULE_DTYPE: Final = np.dtype([("ns", np.int64), ("what", np.int64), ("a", np.int64), ("b", np.int64)])
DO_PHASE: Final = 0  # a: OPEN, HALTED_PHASE or AUCTION
DO_FEED: Final = 1  # a: 1 the feed of levels falls silent, 0 it comes back with a snapshot
DO_PRINT: Final = 2  # a print that no trade stands behind: a its tick, b its lots, negative for a seller's
DO_LATENCY: Final = 3  # every stream's floor and mean become a and b
DO_PREMIUM: Final = 4  # a is added to the funding rate, 1e-12

STREAM_DEPTH: Final = 0
STREAM_TRADE: Final = 1
STREAM_BBO: Final = 2
STREAM_VENUE: Final = 3  # marks, funding rates, halts
STREAM_DTYPE: Final = np.dtype(
    [
        ("floor_ns", np.int64),  # feed latency: a floor, and the mean of a skewed part
        ("mean_ns", np.int64),
        ("seen_ns", np.int64),  # newest receive stamp: a stream is first in, first out
    ]
)
# The best levels as a member's feed shows them, newest last: one whenever a best quote changed or depth was published.
LADDER_DTYPE: Final = np.dtype([("ns", np.int64)])
RUNG_DTYPE: Final = np.dtype([("tick", np.int64), ("qty", np.int64)])  # tick 0 where there is no such level

# Kernels behind an address (`lobgym.sim.exchange.calls`), by how many integers they take beside the board.
ENTRIES: Final = {
    "cross": 5,  # lane, slot, side, limit, qty
    "arrives": 5,  # lane, slot, kind, tick, qty
    "uncross": 0,
    "agenda": 0,
    "say_best": 0,
    "say_depth": 0,
    "say_snapshot": 0,
}
BOARD_ADDRESSES: Final = (
    "world", "nodes", "levels", "words", "blocks", "dirty", "rows", "order_rows", "schedule", "streams", "ladders",
    "rungs",
    "flow",  # state of the background flow, whatever it is
    "fn_flow",  # its kernel, see `lobgym.sim.exchange.flows`
    *(f"fn_{name}" for name in ENTRIES),
)  # fmt: skip
BOARD_FIELDS: Final = (
    *BOARD_ADDRESSES,
    # sizes
    "width",  # prices that the book has room for
    "word_width",  # words of bits a side
    "block_width",
    "base_tick",  # tick of `at` 0
    "node_room",
    "row_room",
    "order_room",
    "ladder_room",
    "schedule_count",
    "members",
    "flow_kind",
    "record",  # RECORD_*
    "depth_every_ns",  # between two messages of depth; 0: at once
    "mark_every_ns",  # between two mark prices; 0: none
    "funding_every_ns",  # between two settlements; 0: none
    "order_unit",  # a lot, in 1e-8 of the base currency, for the order tape
    "mark_factor",  # 1e-8 quote units a half tick
    # the book
    "now_ns",
    "phase",
    "low_used",  # `at` of the lowest and the highest price that ever had an order
    "high_used",
    "free_node",
    "node_high",  # nodes ever used
    "resting",  # orders that rest
    "best_bid",  # `at`, or NONE
    "best_ask",
    "last_at",  # of the last trade, or NONE
    "dirty_bids",
    "dirty_asks",
    "next_id",
    "updates",  # changes of levels so far
    "trades",
    "traded_lots",
    "messages",  # submits, cancels and modifies that arrived, of members and of the flow
    "refused",  # flow orders beyond the book's prices or room
    # the calendar
    "depth_due",
    "mark_due",
    "funding_due",
    "schedule_next",
    "flow_due",
    # what the flow says of value, and what the venue makes of it
    "index_1e8",
    "mark_1e8",
    "basis_1e8",  # smoothed difference of mid and index
    "premium_sum",  # since the last settlement: mid over index, 1e-12
    "premium_count",
    "rate_1e12",
    "extra_rate",
    # the feed
    "row_count",
    "order_count",
    "ladder_count",  # ever written; the ring holds the last `ladder_room`
    "feed_draws",
    "feed_off",  # 1 during an outage of the feed
    "said_bid",
    "said_bid_qty",
    "said_ask",
    "said_ask_qty",
    "order_seen_ns",  # newest receive stamp of the feed of orders
    # account of the background flow
    "flow_position",
    "flow_cash",
    "error",
)
BOARD_DTYPE: Final = np.dtype(
    [(name, np.int64) for name in BOARD_FIELDS] + [("feed_key", np.uint64), ("digest", np.uint64)], align=True
)

world_of = target(BOARD_DTYPE, "world", WORLD_DTYPE)  # (x): the world whose lanes are the members
node_at = table(BOARD_DTYPE, "nodes", NODE_DTYPE)  # (x, node)
event_at = table(BOARD_DTYPE, "rows", EVENT_DTYPE)  # (x, row)
order_event_at = table(BOARD_DTYPE, "order_rows", ORDER_EVENT_DTYPE)  # (x, row)
schedule_at = table(BOARD_DTYPE, "schedule", SCHEDULE_DTYPE)  # (x, k)
stream_at = table(BOARD_DTYPE, "streams", STREAM_DTYPE)  # (x, STREAM_*)
ladder_at = table(BOARD_DTYPE, "ladders", LADDER_DTYPE)  # (x, place in the ring)
_rungs = table(BOARD_DTYPE, "rungs", RUNG_DTYPE)
_levels = table(BOARD_DTYPE, "levels", LEVEL_DTYPE)
_words = table(BOARD_DTYPE, "words", _CELL_DTYPE)
_blocks = table(BOARD_DTYPE, "blocks", _CELL_DTYPE)
_dirty = table(BOARD_DTYPE, "dirty", _INDEX_DTYPE)


@njit_leaf
def row_of_side(side: int) -> int:
    """Row of a side's tables."""
    return 0 if side == BUY else 1


@njit_leaf
def level_at(x: Board, side: int, at: int) -> Any:
    """A level's record."""
    return _levels(x, row_of_side(side) * x["width"] + at)


@njit_leaf
def word_at(x: Board, side: int, k: int) -> Any:
    """64 prices as bits: which of them have orders."""
    return _words(x, row_of_side(side) * x["word_width"] + k)


@njit_leaf
def block_at(x: Board, side: int, k: int) -> Any:
    """64 words as bits: which of them are not 0."""
    return _blocks(x, row_of_side(side) * x["block_width"] + k)


@njit_leaf
def dirty_at(x: Board, side: int, k: int) -> Any:
    """The k-th level that changed since depth was last published."""
    return _dirty(x, row_of_side(side) * x["width"] + k)


@njit_leaf
def rung_at(x: Board, place: int, side: int, k: int) -> Any:
    """The k-th best level of a side in a place of the ring of ladders."""
    return _rungs(x, (2 * place + row_of_side(side)) * LADDER_DEPTH + k)


@njit_leaf
def best_at(x: Board, side: int) -> int:
    """`at` of the best price of a side, or NONE."""
    return int(x["best_bid"]) if side == BUY else int(x["best_ask"])


@njit_leaf
def tick_of(x: Board, at: int) -> int:
    """Price in ticks."""
    return int(x["base_tick"] + at)
