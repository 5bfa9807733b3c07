"""The arena's kernels: from actions to orders, and from the exchange's state to observations and rewards.

`send` and `settle` stand before and after `Exchange.advance`; both are one call for all agents.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lobgym.envs.arena.encode import FEED_LOST, encode, look
from lobgym.envs.arena.tables import COUNTERS, HISTORY, Members, Run
from lobgym.sim.calls import call_cancel, call_submit
from lobgym.sim.exchange.board import BOARD_DTYPE, NONE, Board, tick_of, world_of
from lobgym.sim.jit import njit_lean
from lobgym.sim.memory import target
from lobgym.sim.money import Economics, mark_value
from lobgym.sim.quoter import INTENT_CANCEL, QuoterValues, Touch, plan_lane
from lobgym.sim.records import BUY, FREE, LIVE, MARKET, OK, SELL, SENT
from lobgym.sim.risk import LimitValues
from lobgym.sim.world import World, econ_of, lane_at, order_at

__all__ = [
    "BANKRUPT",
    "FILLED",
    "LIQUIDATED",
    "RUNNING",
    "Handle",
    "board_of",
    "handle_of",
    "look_all",
    "send",
    "settle",
]

RUNNING: Final = 0
BANKRUPT: Final = 1
LIQUIDATED: Final = 2
FILLED: Final = 3

_SLACK: Final = 1e-6  # of a bound of 1, for what was rounded on its way
_PNL, _FEES, _TURNOVER, _SHORTFALL, _FILLS, _MAKER_FILLS, _SUBMITS, _CANCELS, _REFUSED, _LIQUIDATIONS = range(
    len(COUNTERS)
)
_HANDLE_DTYPE: Final = np.dtype([("board", np.int64)])
board_of = target(_HANDLE_DTYPE, "board", BOARD_DTYPE)  # (h): the board

Handle = Any  # a record of _HANDLE_DTYPE


def handle_of(board: Any) -> Handle:
    """The way to an exchange's board, which must outlive it (see `lobgym.sim.handle`)."""
    handle = np.zeros(1, _HANDLE_DTYPE)
    handle["board"] = board.__array_interface__["data"][0]
    return handle[0]


@njit_lean
def decode(members: Members, run: Run) -> int:
    """`run.actions` of live agents as codes; -1, or the first agent whose action lies outside its space."""
    for i in range(run.live.shape[0]):
        if not run.live[i]:
            continue
        for j in range(members.bins.shape[1]):
            bins = members.bins[i, j]
            if bins == 0:
                continue
            value = run.actions[i, j]
            if members.is_box[i] == 1:
                if not abs(value) <= 1.0 + _SLACK:  # nor is NaN
                    return i
                value = min(max(value, -1.0), 1.0)
                run.codes[i, j] = min(int((value + 1.0) / 2.0 * bins), bins - 1)
            else:
                if not 0.0 <= value < bins:
                    return i
                run.codes[i, j] = int(value)
    return -1


@njit_lean
def _limits(row: NDArray[np.int64]) -> LimitValues:
    return LimitValues(row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7], row[8])


@njit_lean
def _quoter(members: Members, i: int) -> QuoterValues:
    row = members.numbers[i]
    return QuoterValues(
        row[0], row[1], row[2], row[3], members.spacing[i], members.targets[i], row[4], members.offsets[i], row[5],
        members.behind[i], row[6],
    )  # fmt: skip


@njit_lean
def send(h: Handle, members: Members, run: Run) -> int:
    """Decode every live agent's action, plan it on what its feed shows, and send what the risk check permits.

    Returns:
        -1, or the first agent whose action lies outside its space; then nothing was sent.
    """
    wrong = decode(members, run)
    if wrong >= 0:
        return wrong
    x = board_of(h)
    w = world_of(x)
    econ = econ_of(w)
    for i in range(run.live.shape[0]):
        if not run.live[i]:
            continue
        touch = Touch(run.touch[i, 0], run.touch[i, 1], run.touch[i, 2])
        intents = run.intents[i]
        run.deltas[i, _REFUSED] = 0
        count = plan_lane(
            touch, econ, _limits(members.limits[i]), _quoter(members, i), w, i, run.tasks[i], run.codes[i], intents
        )
        for k in range(count):
            intent = intents[k]
            if intent["reason"] != OK:
                run.deltas[i, _REFUSED] += 1
            elif intent["kind"] == INTENT_CANCEL:
                call_cancel(w, i, intent["slot"])
            elif call_submit(w, i, intent["side"], intent["tick"], intent["qty"], intent["tif"], 0) == 0:
                run.deltas[i, _REFUSED] += 1
    return -1


@njit_lean
def _mark(x: Board, run: Run) -> int:
    """Twice the exchange's own mid, or the last one where the book is crossed or one-sided."""
    bid, ask = x["best_bid"], x["best_ask"]
    if bid != NONE and ask != NONE and bid < ask:
        run.clock[1] = tick_of(x, bid) + tick_of(x, ask)
    return int(run.clock[1])


@njit_lean
def _total(econ: Economics, w: World, i: int, task: Any, mark2: int, counter: int) -> int:
    lane = lane_at(w, i)
    if counter == _FEES:
        return int(lane["fees"])
    if counter == _TURNOVER:
        return int(lane["turnover"])
    if counter == _FILLS:
        return int(lane["fills"])
    if counter == _MAKER_FILLS:
        return int(lane["maker_fills"])
    if counter == _SUBMITS:
        return int(lane["submits"])
    if counter == _CANCELS:
        return int(lane["cancels"])
    if counter == _LIQUIDATIONS:
        return int(lane["liquidations"])
    equity = int(lane["cash"] - lane["fees"] - lane["funding"] + mark_value(econ, lane["position"], mark2))
    if counter == _PNL:
        return equity
    if task["side"] == 0:
        return 0
    lots = task["side"] * task["lots"]
    return int(mark_value(econ, lots, mark2) - mark_value(econ, lots, task["arrival2"]) - equity)


@njit_lean
def _count(econ: Economics, w: World, members: Members, run: Run, i: int, mark2: int) -> None:
    """Bring agent `i`'s totals up to date; `deltas` are what they changed by since the last time."""
    for k in range(len(COUNTERS)):
        if k == _REFUSED:  # counted as they are refused
            run.totals[i, k] += run.deltas[i, k]
            continue
        now = _total(econ, w, i, run.tasks[i], mark2, k)
        run.deltas[i, k] = now - run.totals[i, k]
        run.totals[i, k] = now
    run.positions[i] = lane_at(w, i)["position"]
    terms = members.rewards[i]
    gain = terms[0] * (run.deltas[i, _PNL] * members.unit) - terms[1] * (run.deltas[i, _SHORTFALL] * members.unit)
    gain -= terms[2] * abs(run.positions[i]) / members.lots_max[i]
    run.gains[i] = terms[3] * gain


@njit_lean
def _end_of(w: World, members: Members, run: Run, i: int) -> int:
    if run.deltas[i, _LIQUIDATIONS] > 0:
        return LIQUIDATED
    if run.totals[i, _PNL] <= -members.capital[i]:
        return BANKRUPT
    task = run.tasks[i]
    if task["side"] != 0 and task["side"] * run.positions[i] >= task["lots"]:
        return FILLED
    return RUNNING


@njit_lean
def _retire(w: World, run: Run, i: int) -> None:
    """Take back an agent's orders; who is bankrupt is closed out by a market order that only reduces."""
    lane = lane_at(w, i)
    for slot in range(lane["slot_count"]):
        order = order_at(w, i, slot)
        view = order["view_state"]
        if order["state"] != FREE and (view == SENT or view == LIVE) and order["cancel_sent"] == 0:
            call_cancel(w, i, slot)
    position = lane["position"]
    if run.end[i] == BANKRUPT and position != 0:
        call_submit(w, i, SELL if position > 0 else BUY, max(1, run.clock[1] // 2), abs(position), MARKET, 1)


@njit_lean
def look_all(h: Handle, run: Run) -> None:
    """Find what every agent's feed shows now, and the exchange's mid."""
    x = board_of(h)
    w = world_of(x)
    for i in range(run.live.shape[0]):
        look(x, w, run, i)
    _mark(x, run)


@njit_lean
def settle(h: Handle, members: Members, run: Run, begins: int) -> int:
    """Totals, ends, rewards and observations of every live agent, at the exchange's time.

    Args:
        begins: 1 at a reset, where nothing has happened yet; else a step has passed.

    Returns:
        -1, or the first agent whose feed is further behind than the pictures that are kept.
    """
    x = board_of(h)
    w = world_of(x)
    econ = econ_of(w)
    mark2 = _mark(x, run)
    if begins == 0:
        run.clock[0] += 1
    for i in range(run.live.shape[0]):
        if not run.live[i]:
            continue
        if look(x, w, run, i) == FEED_LOST:
            return i
        bid, ask = run.touch[i, 0], run.touch[i, 1]
        both = run.place[i] >= 0 and bid > 0 and bid < ask and ask < 1 << 61
        run.mids[i, run.clock[0] % HISTORY] = bid + ask if both else 0
        _count(econ, w, members, run, i, mark2)
        if begins == 0:
            run.end[i] = _end_of(w, members, run, i)
            if run.end[i] != RUNNING:
                _retire(w, run, i)
        encode(x, w, econ, members, run, i)
    return -1
