"""`World`: the one record that every kernel takes. Addresses of the market and of the lanes' state, and the rules.

Made by `lobgym.sim.lanes.make_world`. A compiled strategy passes it on to the functions of `lobgym.sim.kernel`, and
reads through the accessors here and in `lobgym.sim.view`.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np

from lobgym.sim.jit import njit_leaf
from lobgym.sim.memory import CACHE_LINE, column, copier, grid, prefetcher, table, target
from lobgym.sim.money import Economics
from lobgym.sim.records import (
    LANE_DTYPE,
    LOG_DTYPE,
    ORDER_DTYPE,
    QUEUE_ENTRY_DTYPE,
    REQUEST_DTYPE,
    RESPONSE_DTYPE,
    SPENT_DTYPE,
)
from lobgym.sim.view import VIEW_DTYPE

__all__ = [
    "ENTRIES",
    "PEER_DTYPE",
    "WORLD_DTYPE",
    "World",
    "econ_of",
    "exch_of",
    "fee_tier",
    "fetch_lane",
    "fetch_log",
    "lane_at",
    "local_of",
    "log_at",
    "order_at",
    "peer_at",
    "queue_entry_at",
    "queue_start",
    "request_at",
    "response_at",
    "restore_defaults",
    "spent_at",
]

World: TypeAlias = Any  # a record of WORLD_DTYPE

_ADDRESSES: Final = ("exch", "local", "lane", "orders", "requests", "responses", "spent", "log", "defaults")
_SIZES: Final = ("lanes", "max_orders", "max_requests", "max_responses", "max_spent", "log_rows", "log_count")
_WIDTHS: Final = ("orders_width", "requests_width", "responses_width", "spent_width")  # columns of the tables
# Markets that share an account with this one (`lobgym.sim.shared`); all 0 where none does.
_PEERS: Final = (
    "peers",  # address of PEER_DTYPE[peer_count], this world among them
    "peer_count",
    "peer_index",  # which of them this one is
    "stepping",  # 1 while the account brings its markets forward one by one
)
_RULES: Final = (
    "profile",  # 0, or one of the compatibility profiles
    "full_scan",  # 1: every row is looked at and every queue kept current; the oracle of the indexed kernel
    "log_level",  # LOG_*
    "self_trade",  # SELF_TRADE_MODES
    "rate_limit",
    "rate_window_ns",
    "market_band_ppm",
    "submit_extra_ns",
    "cancel_extra_ns",
    "modify_extra_ns",
    "latency",  # MODEL_*
    "entry_table",  # addresses of int64[2, K], see `lobgym.sim.latency`
    "entry_rows",  # K
    "response_table",
    "response_rows",
    "fee_tiers",  # address of int64[fee_tier_count, 3]
    "fee_tier_count",
    "prior_turnover",
    "margin",  # 1: orders need margin
    "margin_tiers",  # address of int64[margin_tier_count, 7], see `lobgym.sim.tiers`
    "margin_tier_count",
    "liquidation_fee_ppb",
    "queue_start",  # addresses of the tables of single orders, see `lobgym.sim.order_queues`
    "queue_entries",
    "stamped",  # address of the venue's calendar and the sizes of its parts, see `lobgym.sim.timeline`
    "mark_count",
    "status_count",
    "settlement_count",
    "margin_checks",
    "gated",  # 1: not every order that comes is let in
    "money_per_tick_lot",  # `lobgym.sim.money.Economics`
    "inverse_scale",
    "is_inverse",
    "tick_num",
    "tick_den",
    "unit_num",
    "unit_den",
)
# Kernels behind an address (`lobgym.sim.calls`), by how many integers they take beside the world.
ENTRIES: Final = {
    "advance": 2,  # lane, t_ns
    "submit": 6,  # lane, side, tick, qty, tif, reduce_only
    "cancel": 2,  # lane, slot
    "modify": 4,  # lane, slot, tick, qty
    "wait_answer": 3,  # lane, slot, until_ns
    "on_print": 2,  # lane, print
    "on_best": 2,  # lane, row
    "scan_rows": 3,  # lane, start, end
    "advance_account": 2,  # lane, t_ns
    "others_spare": 2,  # lane, ns
    "submit_arrives": 4,  # lane, slot, ns, cursor
    "settle": 3,  # lane, ns, cursor
    "modify_arrives": 7,  # lane, slot, ns, cursor, tick, qty, leaves that the sender believed in
    "sync_front": 3,  # lane, slot, row
    "mark_rivals": 3,  # lane, slot, row
    "answer": 10,  # lane, slot, side, kind, exch_ns, tick, qty, cash, fee, maker * 256 + reason
}
WORLD_DTYPE: Final = np.dtype(
    [(name, np.int64) for name in (*_ADDRESSES, *_SIZES, *_WIDTHS, *_PEERS, *_RULES)]
    + [(f"fn_{name}", np.int64) for name in ENTRIES]
    + [("lot_units", np.float64), ("lot_numerator", np.float64), ("lot_denominator", np.float64)],
    align=True,
)
PEER_DTYPE: Final = np.dtype([("world", np.int64)])

exch_of = target(WORLD_DTYPE, "exch", VIEW_DTYPE)  # (w): view of the exchange's book
# (w): view of the book in order of arrival; a lane may read it before its local cursor.
local_of = target(WORLD_DTYPE, "local", VIEW_DTYPE)
lane_at = table(WORLD_DTYPE, "lane", LANE_DTYPE)  # (w, i): a lane's record
order_at = grid(WORLD_DTYPE, "orders", "orders_width", ORDER_DTYPE)  # (w, i, slot)
request_at = grid(WORLD_DTYPE, "requests", "requests_width", REQUEST_DTYPE)  # (w, i, place in the ring)
response_at = grid(WORLD_DTYPE, "responses", "responses_width", RESPONSE_DTYPE)  # (w, i, place in the ring)
spent_at = grid(WORLD_DTYPE, "spent", "spent_width", SPENT_DTYPE)  # (w, i, k)
log_at = table(WORLD_DTYPE, "log", LOG_DTYPE)  # (w, row)
fetch_log = prefetcher(WORLD_DTYPE, "log", LOG_DTYPE, to_write=True)  # (w, row)
# (w, i): make a lane what its defaults are: its parameters, and 0 everywhere else.
restore_defaults = copier(WORLD_DTYPE, "lane", "defaults", LANE_DTYPE)
queue_start = column(WORLD_DTYPE, "queue_start", np.int64)  # (w, level)
queue_entry_at = table(WORLD_DTYPE, "queue_entries", QUEUE_ENTRY_DTYPE)  # (w, entry)
# A line of the processor's cache. Tables begin with one.
_LINE_DTYPE: Final = np.dtype([("words", np.int64, CACHE_LINE // 8)])
_fetch_of_lanes = prefetcher(WORLD_DTYPE, "lane", _LINE_DTYPE)
_fetch_of_orders = prefetcher(WORLD_DTYPE, "orders", _LINE_DTYPE)
_fetch_request = prefetcher(WORLD_DTYPE, "requests", REQUEST_DTYPE)
_fetch_response = prefetcher(WORLD_DTYPE, "responses", RESPONSE_DTYPE)
_LANE_BYTES: Final = LANE_DTYPE.itemsize
_LANE_LINES: Final = -(-LANE_DTYPE.itemsize // CACHE_LINE) + 1
_ORDER_LINES: Final = ORDER_DTYPE.itemsize // CACHE_LINE
_FETCHED_ORDERS: Final = 3
_FETCHED_MESSAGES: Final = 3
_peers = table(WORLD_DTYPE, "peers", PEER_DTYPE)
_world_of = target(PEER_DTYPE, "world", WORLD_DTYPE)
_fee_tiers = column(WORLD_DTYPE, "fee_tiers", np.int64)


@njit_leaf
def fetch_lane(w: World, i: int) -> None:
    """Ask for lane `i`'s record, its first orders and where its rings begin, and wait for nothing."""
    first = i * _LANE_BYTES // CACHE_LINE
    for line in range(first, first + _LANE_LINES):
        _fetch_of_lanes(w, line)
    first = i * w["orders_width"] * _ORDER_LINES
    for line in range(first, first + _FETCHED_ORDERS * _ORDER_LINES):
        _fetch_of_orders(w, line)
    first = i * w["requests_width"]
    for place in range(0, _FETCHED_MESSAGES, 2):
        _fetch_request(w, first + place)
    first = i * w["responses_width"]
    for place in range(_FETCHED_MESSAGES):
        _fetch_response(w, first + place)


@njit_leaf
def peer_at(w: World, k: int) -> World:
    """The world of the k-th market of the account that this one shares."""
    return _world_of(_peers(w, k))


@njit_leaf
def fee_tier(w: World, k: int, column: int) -> int:
    """Turnover (0), maker ppb (1) or taker ppb (2) of a fee tier."""
    return int(_fee_tiers(w, 3 * k + column))


@njit_leaf
def econ_of(w: World) -> Economics:
    """The instrument's money constants."""
    return Economics(
        w["money_per_tick_lot"], w["inverse_scale"], w["is_inverse"], w["tick_num"], w["tick_den"], w["unit_num"],
        w["unit_den"],
    )  # fmt: skip
