"""What the dealer of `lobgym.sim.flow.dealer` does, event by event.

Six kinds of events, each with exponential gaps: a trade of somebody anonymous, public news, a step of the planted
drift, the hidden signal's beginning and end, and new sizes of the best quotes. Gaps are drawn by von Neumann's
comparison of uniforms (1951), which needs no logarithm: integers only, the same on every machine.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from lobgym.sim.exchange.board import (
    BOARD_DTYPE,
    FLOW,
    NONE,
    OPEN,
    STREAM_VENUE,
    Board,
    best_at,
    level_at,
    node_at,
)
from lobgym.sim.exchange.book import drop, rest
from lobgym.sim.exchange.calls import call_cross, call_say_snapshot
from lobgym.sim.exchange.feed import say, settle_feed
from lobgym.sim.exchange.flows import FOREVER, low_on_room, register_flow
from lobgym.sim.jit import njit_inner, njit_leaf, njit_lean
from lobgym.sim.memory import target
from lobgym.sim.records import BUY, REGIME, SELL
from lobgym.sim.rng import GOLDEN, mix64

__all__ = ["DEALER_DTYPE", "DEALER_KIND", "REGIME_DOWN", "REGIME_NONE", "REGIME_UP"]

# qty_lots of a REGIME row.
REGIME_NONE: Final = 0
REGIME_UP: Final = 1
REGIME_DOWN: Final = 2

DEALER_DTYPE: Final = np.dtype(
    [
        ("key", np.uint64),  # random stream
        ("draws", np.int64),
        ("started", np.int64),
        ("mid", np.int64),  # `at` of the dealer's value
        ("signal", np.int64),  # -1, 0 or 1
        ("trade_due", np.int64),
        ("news_due", np.int64),
        ("drift_due", np.int64),
        ("signal_due", np.int64),
        ("sizes_due", np.int64),
        # parameters, see `lobgym.sim.flow.dealer.DealerFlow`
        ("half_spread_ticks", np.int64),
        ("impact_ticks", np.int64),
        ("levels", np.int64),
        ("trade_gap_ns", np.int64),
        ("take_lots_max", np.int64),
        ("news_gap_ns", np.int64),
        ("news_spreads_max", np.int64),
        ("sizes_gap_ns", np.int64),
        ("lots_min", np.int64),
        ("lots_max", np.int64),
        ("drift_ticks", np.int64),
        ("drift_gap_ns", np.int64),
        ("stay_ns", np.int64),
        ("rest_ns", np.int64),
        ("thin_min", np.int64),
        ("thin_max", np.int64),
        ("thick_min", np.int64),
        ("thick_max", np.int64),
    ],
    align=True,
)
_dealer_of = target(BOARD_DTYPE, "flow", DEALER_DTYPE)

_S32: Final = np.uint64(32)
_MEAN_SHIFT: Final = 10  # a mean gap is below 2^40 ns (`DealerFlow`): what follows stays below 2^62
_ANCHOR_AT: Final = 1  # distance of the outermost orders from the ends of the book's range


@njit_leaf
def _bits(f: Any) -> np.uint64:
    f["draws"] += 1
    return mix64(f["key"] + np.uint64(f["draws"]) * GOLDEN)


@njit_leaf
def _between(f: Any, low: int, high: int) -> int:
    """Random integer in [low, high]."""
    return int(low + np.int64(_bits(f) % np.uint64(high - low + 1)))


@njit_leaf
def _sign(f: Any) -> int:
    """1 or -1, equally likely: the highest bit of a draw."""
    return int(1 - 2 * np.int64(_bits(f) >> np.uint64(63)))


@njit_inner
def _gap(f: Any, mean_ns: int) -> int:
    """Exponential time in ns, at least 1: whole means, each passed with probability 1/e, and a part of the next.

    A run u1 > u2 > ... of uniforms that ends at odd length has, given u1, the probability exp(-u1).
    """
    total = 1
    while True:
        first = np.int64(_bits(f) >> _S32)
        last = first
        odd = 1
        while True:
            drawn = np.int64(_bits(f) >> _S32)
            if drawn >= last:
                break
            last = drawn
            odd = 1 - odd
        if odd == 1:
            return int(total + ((mean_ns >> _MEAN_SHIFT) * first >> (32 - _MEAN_SHIFT)))
        total += mean_ns


# -- quotes ------------------------------------------------------------------------------------------------------------


@njit_leaf
def _price(f: Any, side: int, k: int) -> int:
    """`at` of the dealer's k-th quote of a side: the half spread from its value, then as much from each other."""
    return f["mid"] - side * (k + 1) * f["half_spread_ticks"]


@njit_inner
def _withdraw(x: Board, f: Any, levels: int) -> None:
    """Take the dealer's best `levels` quotes out of the book, whatever members have left of them."""
    for k in range(levels):
        for row in range(2):
            side = BUY if row == 0 else SELL
            node = int(level_at(x, side, _price(f, side, k))["head"])
            while node != 0:
                behind = int(node_at(x, node)["next"])
                if node_at(x, node)["lane"] == FLOW:
                    drop(x, node)
                node = behind


@njit_inner
def _place(x: Board, side: int, at: int, lots: int) -> None:
    """A quote; members' orders that it meets are taken first."""
    x["messages"] += 1
    best = best_at(x, -side)
    left = call_cross(x, FLOW, 0, side, at, lots) if best != NONE and side * at >= side * best else lots
    if left > 0:
        x["refused"] += rest(x, side, at, left, FLOW, 0) == 0


@njit_leaf
def _lots(f: Any, side: int, k: int) -> int:
    """Size of a quote. That of a best one shows the signal, in ranges that never meet; all else says nothing."""
    if k > 0 or f["signal"] == 0:
        return _between(f, f["lots_min"], f["lots_max"])
    if f["signal"] == side:
        return _between(f, f["thick_min"], f["thick_max"])
    return _between(f, f["thin_min"], f["thin_max"])


@njit_inner
def _quote(x: Board, f: Any, levels: int) -> None:
    """The best `levels` quotes anew, every size drawn anew."""
    for k in range(levels):
        for row in range(2):
            side = BUY if row == 0 else SELL
            _place(x, side, _price(f, side, k), _lots(f, side, k))
    x["index_1e8"] = 2 * (x["base_tick"] + f["mid"]) * x["mark_factor"]


@njit_inner
def _move(x: Board, f: Any, ticks: int) -> None:
    """The dealer's value changes, and at once all its quotes; one message of depth says all of it.

    The end of the book's range stops the market.
    """
    mid = f["mid"] + ticks
    reach = (f["levels"] + 1) * f["half_spread_ticks"] + 2 * _ANCHOR_AT
    if mid - reach < 0 or mid + reach >= x["width"]:
        x["error"] = 1
        return
    _withdraw(x, f, f["levels"])
    f["mid"] = mid
    _quote(x, f, f["levels"])
    settle_feed(x)


# -- events ------------------------------------------------------------------------------------------------------------


@njit_inner
def _trade(x: Board, f: Any) -> None:
    """Somebody takes from the dealer's best quote, and the value becomes what it is, given that."""
    side = _sign(f)
    lots = _between(f, 1, f["take_lots_max"])
    offered = level_at(x, -side, _price(f, -side, 0))["qty"]
    if offered > 0:
        x["messages"] += 1
        call_cross(x, FLOW, 0, side, _price(f, -side, 0), min(lots, int(offered)))
    _move(x, f, side * f["impact_ticks"])


@njit_inner
def _resize(x: Board, f: Any) -> None:
    """The best quotes get new sizes: who joined them moves forward in the queue."""
    _withdraw(x, f, 1)
    _quote(x, f, 1)
    settle_feed(x)


@njit_inner
def _say_regime(x: Board, f: Any) -> None:
    state = REGIME_NONE if f["signal"] == 0 else (REGIME_UP if f["signal"] == 1 else REGIME_DOWN)
    say(x, STREAM_VENUE, REGIME, 0, 0, state, 0, 1, 1)


@njit_inner
def _turn(x: Board, f: Any) -> None:
    """The signal begins, up or down equally likely, or ends."""
    ns = x["now_ns"]
    if f["signal"] == 0:
        f["signal"] = _sign(f)
        f["signal_due"] = ns + _gap(f, f["stay_ns"])
        f["drift_due"] = ns + _gap(f, f["drift_gap_ns"])
    else:
        f["signal"] = 0
        f["signal_due"] = ns + _gap(f, f["rest_ns"])
        f["drift_due"] = FOREVER
    _say_regime(x, f)
    _move(x, f, 0)


@njit_inner
def _open(x: Board, f: Any) -> None:
    """The first quotes, and an order at each end of the range: prices between them are known to stand empty."""
    f["started"] = 1
    ns = x["now_ns"]
    rest(x, BUY, _ANCHOR_AT, 1, FLOW, 0)
    rest(x, SELL, x["width"] - 1 - _ANCHOR_AT, 1, FLOW, 0)
    _quote(x, f, f["levels"])
    call_say_snapshot(x)
    f["trade_due"] = ns + _gap(f, f["trade_gap_ns"])
    f["news_due"] = ns + _gap(f, f["news_gap_ns"]) if f["news_gap_ns"] > 0 else FOREVER
    f["sizes_due"] = ns + _gap(f, f["sizes_gap_ns"]) if f["sizes_gap_ns"] > 0 else FOREVER
    f["drift_due"] = FOREVER
    f["signal_due"] = FOREVER
    if f["stay_ns"] > 0:
        f["signal_due"] = ns + _gap(f, f["rest_ns"])
        _say_regime(x, f)


@njit_leaf
def _due(f: Any) -> int:
    due = min(min(f["trade_due"], f["news_due"]), min(f["drift_due"], f["signal_due"]))
    return int(min(due, f["sizes_due"]))


@njit_inner
def _next_event(x: Board, f: Any) -> None:
    """What is due now; of several the first of these here. While trading halts, nothing comes of it."""
    ns = x["now_ns"]
    trading = x["phase"] == OPEN
    if f["trade_due"] == ns:
        f["trade_due"] = ns + _gap(f, f["trade_gap_ns"])
        if trading:
            _trade(x, f)
    elif f["news_due"] == ns:
        f["news_due"] = ns + _gap(f, f["news_gap_ns"])
        if trading:
            _move(x, f, _sign(f) * _between(f, 1, f["news_spreads_max"]) * f["half_spread_ticks"])
    elif f["drift_due"] == ns:
        f["drift_due"] = ns + _gap(f, f["drift_gap_ns"])
        if trading:
            _move(x, f, f["signal"] * f["drift_ticks"])
    elif f["sizes_due"] == ns:
        f["sizes_due"] = ns + _gap(f, f["sizes_gap_ns"])
        if trading:
            _resize(x, f)
    elif trading:
        _turn(x, f)
    else:
        f["signal_due"] = ns + _gap(f, f["rest_ns"] if f["signal"] == 0 else f["stay_ns"])


@njit_lean
def _act(x: Board, until_ns: int, room: int) -> int:
    """See `lobgym.sim.exchange.flows`."""
    f = _dealer_of(x)
    if f["started"] == 0:
        _open(x, f)
    while x["error"] == 0:
        due = _due(f)
        if due > until_ns or low_on_room(x, room):
            return due
        x["now_ns"] = due
        _next_event(x, f)
    return FOREVER


DEALER_KIND: Final = register_flow(_act)
