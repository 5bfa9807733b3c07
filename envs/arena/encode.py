"""The arena's encoder: one row of `ARENA_COLUMNS`, from the picture that an agent's feed shows and from what it knows.

Only +, -, * and / touch a float, and sums run in a fixed order, so that a row's bits depend on its inputs alone.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lobgym.envs.arena.columns import ARENA_COLUMNS, BACK, LEVELS, NUMBERS, VOLATILITY_STEPS
from lobgym.envs.arena.tables import HISTORY, Members, Run
from lobgym.sim.book import NO_ASK, NO_BID
from lobgym.sim.exchange.board import Board, ladder_at, rung_at
from lobgym.sim.jit import njit_lean
from lobgym.sim.money import Economics, mark_value
from lobgym.sim.own import own_view
from lobgym.sim.records import BUY, SELL
from lobgym.sim.world import World, lane_at

__all__ = ["FEED_LOST", "best_shown", "encode", "look", "shown_place"]

FEED_LOST: Final = -2  # the ring of pictures does not reach back as far as the feed is late
NO_PLACE: Final = -1  # no picture has come yet

_COUNT: Final = len(ARENA_COLUMNS)
_TWO_SIDED: Final = NUMBERS["two_sided"]
_SPREAD: Final = NUMBERS["spread"]
_BOOK_AGE: Final = NUMBERS["book_age"]
_IMBALANCE_1: Final = NUMBERS["imbalance_1"]
_IMBALANCE_5: Final = NUMBERS["imbalance_5"]
_PRESSURE_5: Final = NUMBERS["pressure_5"]
_MICROPRICE: Final = NUMBERS["microprice"]
_WIDTH_5: Final = NUMBERS["width_5"]
_RETURN: Final = NUMBERS[f"return_{BACK[0]}"]
_VOLATILITY: Final = NUMBERS["volatility"]
_INVENTORY: Final = NUMBERS["inventory"]
_OPEN_BID: Final = NUMBERS["open_bid_lots"]
_OPEN_ASK: Final = NUMBERS["open_ask_lots"]
_BID_DISTANCE: Final = NUMBERS["bid_distance"]
_ASK_DISTANCE: Final = NUMBERS["ask_distance"]
_PENDING: Final = NUMBERS["pending"]
_PNL: Final = NUMBERS["episode_pnl"]
_TASK_SIDE: Final = NUMBERS["task_side"]
_TASK_LEFT: Final = NUMBERS["task_left"]
_TASK_TIME: Final = NUMBERS["task_time_left"]
_TASK_PACE: Final = NUMBERS["task_pace"]
_TASK_SHORTFALL: Final = NUMBERS["task_shortfall"]
_STEPS: Final = np.array(BACK, np.int64)


@njit_lean
def shown_place(x: Board, w: World, i: int) -> int:
    """Place in the ring of the picture that agent `i`'s feed shows now: NO_PLACE before the first, or FEED_LOST."""
    seen = lane_at(w, i)["t_ns"] - lane_at(w, i)["feed_delay_ns"]
    room = x["ladder_room"]
    newest = x["ladder_count"] - 1
    oldest = max(0, x["ladder_count"] - room)
    while newest >= oldest and ladder_at(x, newest % room)["ns"] > seen:
        newest -= 1
    if newest < oldest:
        return FEED_LOST if oldest > 0 else NO_PLACE
    return int(newest % room)


@njit_lean
def best_shown(x: Board, place: int, side: int) -> int:
    """Best price of `side` of a picture in ticks; NO_BID or NO_ASK where there is none, or no picture."""
    tick = rung_at(x, place, side, 0)["tick"] if place >= 0 else 0
    if tick > 0:
        return int(tick)
    return NO_BID if side == BUY else NO_ASK


@njit_lean
def look(x: Board, w: World, run: Run, i: int) -> int:
    """Find what agent `i`'s feed shows now: its place in the ring, best quotes and age. FEED_LOST, or 0."""
    place = shown_place(x, w, i)
    run.place[i] = max(place, NO_PLACE)
    run.touch[i, 0] = best_shown(x, place, BUY)
    run.touch[i, 1] = best_shown(x, place, SELL)
    run.touch[i, 2] = 0
    if place >= 0:
        run.touch[i, 2] = lane_at(w, i)["t_ns"] - lane_at(w, i)["feed_delay_ns"] - ladder_at(x, place)["ns"]
    return FEED_LOST if place == FEED_LOST else 0


@njit_lean
def _balance(plus: float, minus: float) -> float:
    total = plus + minus
    return (plus - minus) / total if total > 0.0 else 0.0


@njit_lean
def _clip(value: float) -> float:
    return min(max(value, -1.0), 1.0)


@njit_lean
def _squash(value: float, scale: float) -> float:
    return value / (scale + abs(value))


@njit_lean
def _book_columns(x: Board, place: int, mid2: int, scales: NDArray[np.float64], out: NDArray[np.float32]) -> None:
    """Columns of one picture that has both sides."""
    bid, ask = rung_at(x, place, BUY, 0), rung_at(x, place, SELL, 0)
    spread = (ask["tick"] - bid["tick"]) * 2e4 / mid2
    lean = _balance(float(bid["qty"]), float(ask["qty"]))
    bids = asks = bid_weight = ask_weight = 0.0
    low, high = bid["tick"], ask["tick"]
    for k in range(LEVELS):
        one = rung_at(x, place, BUY, k)
        if one["tick"] > 0:
            bids += float(one["qty"])
            bid_weight += float(one["qty"]) / (k + 1)
            low = one["tick"]
        other = rung_at(x, place, SELL, k)
        if other["tick"] > 0:
            asks += float(other["qty"])
            ask_weight += float(other["qty"]) / (k + 1)
            high = other["tick"]
    out[_TWO_SIDED] = 1.0
    out[_SPREAD] = _squash(spread, scales[_SPREAD])
    out[_IMBALANCE_1] = lean
    out[_IMBALANCE_5] = _balance(bids, asks)
    out[_PRESSURE_5] = _balance(bid_weight, ask_weight)
    out[_MICROPRICE] = _squash(0.5 * spread * lean, scales[_MICROPRICE])
    out[_WIDTH_5] = _squash((high - low) * 2e4 / mid2, scales[_WIDTH_5])


@njit_lean
def _history_columns(
    mids: NDArray[np.int64], steps: int, mid2: int, scales: NDArray[np.float64], out: NDArray[np.float32]
) -> None:
    for k in range(len(_STEPS)):
        then = mids[(steps - min(_STEPS[k], steps)) % HISTORY]
        if mid2 > 0 and then > 0:
            out[_RETURN + k] = _squash((mid2 - then) * 1e4 / then, scales[_RETURN + k])
    total = 0.0
    count = min(VOLATILITY_STEPS, steps)
    for k in range(count):
        later, then = mids[(steps - k) % HISTORY], mids[(steps - k - 1) % HISTORY]
        if later > 0 and then > 0:
            total += abs(later - then) * 1e4 / then
    if count > 0:
        out[_VOLATILITY] = _squash(total / count, scales[_VOLATILITY])


@njit_lean
def _own_columns(
    econ: Economics, w: World, i: int, mid2: int, mark2: int, lots_max: int, scales: NDArray[np.float64],
    out: NDArray[np.float32],
) -> None:  # fmt: skip
    lane = lane_at(w, i)
    own = own_view(w, i)
    limit = float(lots_max)
    out[_INVENTORY] = _clip(lane["view_position"] / limit)
    out[_OPEN_BID] = _clip(own.bid_lots / limit)
    out[_OPEN_ASK] = _clip(own.ask_lots / limit)
    out[_PENDING] = _squash(float(own.pending), scales[_PENDING])
    out[_BID_DISTANCE] = 1.0
    out[_ASK_DISTANCE] = 1.0
    if mid2 > 0 and own.best_bid > 0:
        out[_BID_DISTANCE] = _squash((mid2 - 2 * own.best_bid) * 1e4 / mid2, scales[_BID_DISTANCE])
    if mid2 > 0 and own.best_ask > 0:
        out[_ASK_DISTANCE] = _squash((2 * own.best_ask - mid2) * 1e4 / mid2, scales[_ASK_DISTANCE])
    worth = abs(mark_value(econ, lots_max, mark2))
    if worth > 0:
        cash = lane["view_cash"] - lane["view_fees"] - lane["view_funding"]
        equity = cash + mark_value(econ, lane["view_position"], mark2)
        out[_PNL] = _squash(equity * 1e4 / worth, scales[_PNL])


@njit_lean
def _task_columns(
    econ: Economics, w: World, i: int, task: Any, mark2: int, scales: NDArray[np.float64], out: NDArray[np.float32]
) -> None:
    side, lots = task["side"], task["lots"]
    if side == 0 or lots <= 0:
        return
    lane = lane_at(w, i)
    done = side * lane["view_position"]
    passed = _clip((lane["t_ns"] - task["start_ns"]) / float(task["end_ns"] - task["start_ns"]))
    filled = _clip(done / float(lots))
    out[_TASK_SIDE] = float(side)
    out[_TASK_LEFT] = min(1.0 - filled, 1.0)
    out[_TASK_TIME] = 1.0 - passed
    out[_TASK_PACE] = _clip(filled - passed)
    worth = mark_value(econ, lots, task["arrival2"])
    if worth > 0:
        # What the whole order costs if the rest fills at the mid, less what it would have cost at arrival.
        equity = lane["view_cash"] - lane["view_fees"] + mark_value(econ, lane["view_position"], mark2)
        lost = mark_value(econ, side * lots, mark2) - mark_value(econ, side * lots, task["arrival2"]) - equity
        out[_TASK_SHORTFALL] = _squash(lost * 1e4 / worth, scales[_TASK_SHORTFALL])


@njit_lean
def encode(x: Board, w: World, econ: Economics, members: Members, run: Run, i: int) -> None:
    """Write agent `i`'s observation; `look` was called at this time, and `run.mids` has this step's mid."""
    out = run.observations[i]
    for k in range(_COUNT):
        out[k] = 0.0
    steps = run.clock[0]
    mids = run.mids[i]
    mid2 = mids[steps % HISTORY]
    mark2 = mid2
    for k in range(min(steps, HISTORY - 1)):  # the last mid that the feed showed, for what is held
        if mark2 > 0:
            break
        mark2 = mids[(steps - k - 1) % HISTORY]
    out[_BOOK_AGE] = _squash(run.touch[i, 2] / 1e9, members.scales[_BOOK_AGE])
    if mid2 > 0:
        _book_columns(x, run.place[i], mid2, members.scales, out)
    _history_columns(mids, steps, mid2, members.scales, out)
    _own_columns(econ, w, i, mid2, mark2, members.lots_max[i], members.scales, out)
    _task_columns(econ, w, i, run.tasks[i], mark2, members.scales, out)
