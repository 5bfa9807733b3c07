"""What the venue does by its own calendar: depth, mark prices and margin checks, funding, halts, auctions, outages."""

from __future__ import annotations

from typing import Final

from lobgym.sim.answers import answer_order
from lobgym.sim.exchange.arrival import leave
from lobgym.sim.exchange.board import (
    AUCTION,
    DO_FEED,
    DO_LATENCY,
    DO_PHASE,
    DO_PREMIUM,
    DO_PRINT,
    NONE,
    OPEN,
    STREAM_TRADE,
    STREAM_VENUE,
    Board,
    schedule_at,
    stream_at,
    world_of,
)
from lobgym.sim.exchange.calls import call_cross, call_say_depth, call_say_snapshot, call_uncross, entry
from lobgym.sim.exchange.feed import say, settle_feed
from lobgym.sim.exchange.flows import FOREVER
from lobgym.sim.exchange.trading import VENUE
from lobgym.sim.jit import njit_inner
from lobgym.sim.margin import equity_at, maintenance_margin
from lobgym.sim.memory import table
from lobgym.sim.money import mul_div_floor, notional_at_mark
from lobgym.sim.records import BUY, CANCELLED, FUNDING, INDEX, LIQUIDATED, LIVE, MARK, SELL, STATUS, TRADE
from lobgym.sim.settlement import fund
from lobgym.sim.timeline import STAMPED_DTYPE
from lobgym.sim.world import WORLD_DTYPE, econ_of, lane_at, order_at

__all__ = ["agenda_due", "do_agenda", "set_mark"]

_NS_PER_MS: Final = 1_000_000
_STREAMS: Final = 4
# Funding rate: the premium, drawn to the interest of an interval by at most the damper; all in 1e-12.
_INTEREST: Final = 100_000_000
_DAMPER: Final = 500_000_000
_RATE_MAX: Final = 7_500_000_000
_ONE: Final = 1_000_000_000_000

_SMOOTHING: Final = 16  # mark prices over which the basis is smoothed

_stamped = table(WORLD_DTYPE, "stamped", STAMPED_DTYPE)


@njit_inner
def set_mark(x: Board, mark_1e8: int) -> None:
    """From now on this is what positions are worth (`lobgym.sim.timeline.mark_at` reads it)."""
    x["mark_1e8"] = mark_1e8
    _stamped(world_of(x), 0)["value"] = mark_1e8


@njit_inner
def agenda_due(x: Board) -> int:
    """The stamp of what comes next."""
    due = x["depth_due"]
    due = min(due, x["mark_due"])
    due = min(due, x["funding_due"])
    if x["schedule_next"] < x["schedule_count"]:
        due = min(due, schedule_at(x, x["schedule_next"])["ns"])
    return int(due)


@entry("agenda")
def do_agenda(x: Board) -> int:
    """Everything that is due at `now_ns`: what is scheduled, mark price, funding, margin, depth at last."""
    ns = x["now_ns"]
    marked = False
    while x["schedule_next"] < x["schedule_count"] and schedule_at(x, x["schedule_next"])["ns"] <= ns:
        _do(x, x["schedule_next"])
        x["schedule_next"] += 1
    if x["mark_due"] <= ns:
        x["mark_due"] = ns + x["mark_every_ns"]
        marked = _mark(x)
    if x["funding_due"] <= ns:
        _settle_funding(x)
    if marked and world_of(x)["margin"]:
        for lane in range(x["members"]):
            _check_margin(x, lane)
    settle_feed(x)
    if x["depth_due"] <= ns:
        x["depth_due"] = ns + x["depth_every_ns"]
        if x["phase"] != AUCTION and x["dirty_bids"] + x["dirty_asks"] > 0:
            call_say_depth(x)
    return 0


# -- scheduled ---------------------------------------------------------------------------------------------------------


@njit_inner
def _do(x: Board, k: int) -> None:
    task = schedule_at(x, k)
    what = task["what"]
    if what == DO_PHASE:
        _enter_phase(x, task["a"])
    elif what == DO_FEED:
        x["feed_off"] = task["a"]
        if task["a"] == 0 and x["phase"] != AUCTION:
            call_say_snapshot(x)
    elif what == DO_PRINT:
        lots = task["b"]
        side = BUY if lots > 0 else SELL
        say(x, STREAM_TRADE, TRADE, side, task["a"], abs(lots), x["trades"], 1, 1)
    elif what == DO_LATENCY:
        for stream in range(_STREAMS):
            stream_at(x, stream)["floor_ns"] = task["a"]
            stream_at(x, stream)["mean_ns"] = task["b"]
    elif what == DO_PREMIUM:
        x["extra_rate"] = task["a"]


@njit_inner
def _enter_phase(x: Board, phase: int) -> None:
    """Begin a phase. An auction ends with its trades; the feed then begins anew."""
    before = x["phase"]
    if before == phase:
        return
    x["phase"] = phase
    if before == AUCTION:
        call_uncross(x)
    if before == OPEN:
        say(x, STREAM_VENUE, STATUS, 0, 0, 1, 0, 1, 1)
    elif phase == OPEN:
        say(x, STREAM_VENUE, STATUS, 0, 0, 0, 0, 1, 1)
    if before == AUCTION:
        call_say_snapshot(x)


# -- mark prices, margin, funding --------------------------------------------------------------------------------------


@njit_inner
def _mid_1e8(x: Board) -> int:
    if x["best_bid"] == NONE or x["best_ask"] == NONE or x["best_bid"] >= x["best_ask"]:
        return 0
    return int((2 * x["base_tick"] + x["best_bid"] + x["best_ask"]) * x["mark_factor"])


@njit_inner
def _mark(x: Board) -> bool:
    """Publish mark and index: the index is what the flow says, else the mid; the mark adds the smoothed basis.

    Whether there was one: without either there is no mark price.
    """
    mid = _mid_1e8(x)
    index = int(x["index_1e8"])
    if index == 0:
        index = mid
    if index <= 0:
        return False
    if mid > 0:
        x["basis_1e8"] += (mid - index - x["basis_1e8"]) // _SMOOTHING
        x["premium_sum"] += max(-_ONE, min(_ONE, mul_div_floor(mid - index, _ONE, index)))
        x["premium_count"] += 1
    set_mark(x, max(1, index + x["basis_1e8"]))
    say(x, STREAM_VENUE, MARK, 0, 0, x["mark_1e8"], 0, 1, 0)
    say(x, STREAM_VENUE, INDEX, 0, 0, index, 0, 0, 1)
    if x["funding_due"] != FOREVER:
        _rate(x)
        say(x, STREAM_VENUE, FUNDING, 0, 0, x["rate_1e12"], x["funding_due"] // _NS_PER_MS, 1, 1)
    return True


@njit_inner
def _rate(x: Board) -> None:
    premium = x["premium_sum"] // max(1, x["premium_count"])
    drawn = max(-_DAMPER, min(_DAMPER, _INTEREST - premium))
    x["rate_1e12"] = max(-_RATE_MAX, min(_RATE_MAX, premium + drawn)) + x["extra_rate"]


@njit_inner
def _settle_funding(x: Board) -> None:
    w = world_of(x)
    for lane in range(x["members"]):
        if lane_at(w, lane)["position"] != 0:
            fund(w, lane, x["funding_due"], x["mark_1e8"], x["rate_1e12"])
    x["premium_sum"] = 0
    x["premium_count"] = 0
    x["funding_due"] += x["funding_every_ns"]


@njit_inner
def _check_margin(x: Board, lane: int) -> None:
    """Below the maintenance margin the venue cancels a member's orders and closes its position as a taker."""
    w = world_of(x)
    made = lane_at(w, lane)
    if made["position"] == 0 or made["error"] != 0:
        return
    notional = notional_at_mark(econ_of(w), made["position"], x["mark_1e8"])
    if equity_at(w, lane, x["mark_1e8"]) >= maintenance_margin(w, notional) or made["error"] != 0:
        return
    made["liquidations"] += 1
    while made["live_orders"] > 0:
        first = -1
        for slot in range(made["slot_count"]):
            order = order_at(w, lane, slot)
            if order["state"] == LIVE and (first < 0 or order["id"] < order_at(w, lane, first)["id"]):
                first = slot
        leave(x, lane, first)
        answer_order(w, lane, first, CANCELLED, x["now_ns"], LIQUIDATED)
    if x["phase"] == OPEN:
        side = SELL if made["position"] > 0 else BUY
        call_cross(x, lane, VENUE, side, 0 if side == SELL else x["width"], abs(made["position"]))
    if made["position"] == 0:
        made["deficit"] = max(made["deficit"], -equity_at(w, lane, 0))
