"""The desk's kernels: they take one record that leads to a `Tables`, so that a call from Python unpacks a pointer.

A lane's step is plan, commit, advance, observe, and what it did as integers in one row of a *block*: int64[N, columns],
a column each for the names of BLOCK, in their order. A row and not a column: what is known of a lane lies together, and
is written while that lane's memory is in the cache.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.bars import (
    Bars,
    fetch_count,
    fetch_entries,
    fetch_mark,
    fetch_moment,
    fetch_searches,
    last_mid2,
    last_ns,
    moment_at,
    quote_at,
)
from lobgym.sim.calls import call_cancel, call_submit
from lobgym.sim.columns.header import OBSERVED_TOGETHER
from lobgym.sim.encoder import Encoder, encode_lane, fetch_counts, fetch_marks, prepare_lane
from lobgym.sim.jit import njit_inner, njit_leaf, njit_lean
from lobgym.sim.money import Economics, mark_value
from lobgym.sim.pace import advance_step
from lobgym.sim.packed import PackedTuples
from lobgym.sim.quoter import INTENT_CANCEL, QuoterValues, Touch, plan_lane
from lobgym.sim.records import OK, RISK_OPEN_ORDERS
from lobgym.sim.risk import LimitValues
from lobgym.sim.world import World, econ_of, exch_of, fetch_lane, lane_at, local_of

__all__ = [
    "BLOCK",
    "BLOCK_COLUMNS",
    "DESK_DTYPE",
    "OBSERVED_TOGETHER",
    "TABLES",
    "Tables",
    "advance_lanes",
    "codes_in_range",
    "commit_lanes",
    "equity_of",
    "exhausted_lane",
    "look_ahead",
    "mid2_of_lane",
    "observe_lanes",
    "observe_some",
    "plan_lanes",
    "step_lane",
    "step_lanes",
    "view_equity_of",
]


class Tables(NamedTuple):
    """What a desk's kernels read; of these they write `intents` and `counts` alone."""

    world: World
    bars: Bars
    limits: LimitValues
    quoter: QuoterValues
    encoder: Encoder
    tasks: NDArray[np.void]  # TASK_DTYPE[N]
    intents: NDArray[np.void]  # INTENT_DTYPE[N, K]: the last plan
    counts: NDArray[np.int64]  # [N] how many of them are meant
    interval_ns: int
    end_ns: int
    pace: int  # PACE_*
    pace_min_ns: int


DESK_DTYPE: Final = np.dtype([("tables", np.int64)])
Desk: TypeAlias = Any  # a record of DESK_DTYPE

TABLES: Final = PackedTuples(DESK_DTYPE, "tables")
_tables_of = TABLES.at

# What a step did to a lane. Money in money units; the first ten are what an environment's info tells of a step.
BLOCK: Final = (
    "pnl",  # equity - equity_before, exactly
    "equity",
    "position",  # at the exchange, lots
    "fills",  # in this step, as are the following ones
    "maker_fills",
    "fees",
    "funding",
    "turnover",  # sum of |cash|
    "refused",  # intents that were not permitted
    "t_ns",  # the lane's clock after it
    "filled_orders",  # orders that had their first fill
    "submits",
    "cancels",
    "equity_before",
    "mid2",  # twice the local mid that equity is marked at, ticks
    "mid2_before",  # the same before the step
    "cash",  # change of cash, fees and funding not included
    "lots",  # change of position
    "liquidations",
    "ended",  # 1: no further interval fits on the tape
)
BLOCK_COLUMNS: Final = len(BLOCK)

_PNL: Final = BLOCK.index("pnl")
_EQUITY: Final = BLOCK.index("equity")
_POSITION: Final = BLOCK.index("position")
_FILLS: Final = BLOCK.index("fills")
_MAKER_FILLS: Final = BLOCK.index("maker_fills")
_FEES: Final = BLOCK.index("fees")
_FUNDING: Final = BLOCK.index("funding")
_TURNOVER: Final = BLOCK.index("turnover")
_REFUSED: Final = BLOCK.index("refused")
_T_NS: Final = BLOCK.index("t_ns")
_FILLED_ORDERS: Final = BLOCK.index("filled_orders")
_SUBMITS: Final = BLOCK.index("submits")
_CANCELS: Final = BLOCK.index("cancels")
_EQUITY_BEFORE: Final = BLOCK.index("equity_before")
_MID2: Final = BLOCK.index("mid2")
_MID2_BEFORE: Final = BLOCK.index("mid2_before")
_CASH: Final = BLOCK.index("cash")
_LOTS: Final = BLOCK.index("lots")
_LIQUIDATIONS: Final = BLOCK.index("liquidations")
_ENDED: Final = BLOCK.index("ended")


@njit_lean
def codes_in_range(codes: NDArray[np.int32], bins: NDArray[np.int64]) -> bool:
    """Whether every code [N, A] is one of its dimension's [A] bins."""
    for i in range(codes.shape[0]):
        for j in range(codes.shape[1]):
            if codes[i, j] < 0 or codes[i, j] >= bins[j]:
                return False
    return True


# -- money -------------------------------------------------------------------------------------------------------------


@njit_leaf
def _mid2(tables: Tables, i: int) -> int:
    return last_mid2(tables.bars, lane_at(tables.world, i)["local_stamp"])


@njit_lean
def mid2_of_lane(h: Desk, i: int) -> int:
    """Twice the last two-sided local mid of lane `i`, in ticks."""
    return _mid2(_tables_of(h), i)


@njit_leaf
def _equity(econ: Economics, w: World, i: int, mid2: int) -> int:
    lane = lane_at(w, i)
    return int(lane["cash"] - lane["fees"] - lane["funding"] + mark_value(econ, lane["position"], mid2))


@njit_lean
def equity_of(h: Desk, i: int) -> int:
    """Equity of the exchange's account of lane `i`, money units."""
    tables = _tables_of(h)
    return _equity(econ_of(tables.world), tables.world, i, _mid2(tables, i))


@njit_lean
def view_equity_of(h: Desk, i: int) -> int:
    """Equity of the account as lane `i` knows it, money units."""
    tables = _tables_of(h)
    lane = lane_at(tables.world, i)
    value = mark_value(econ_of(tables.world), lane["view_position"], _mid2(tables, i))
    return int(lane["view_cash"] - lane["view_fees"] - lane["view_funding"] + value)


# -- piecewise ---------------------------------------------------------------------------------------------------------


@njit_leaf
def _encode(tables: Tables, w: World, econ: Economics, i: int, place: int, out: NDArray[np.float32]) -> None:
    encode_lane(local_of(w), tables.bars, tables.encoder, econ, w, i, place, tables.tasks[i], out)


@njit_inner
def observe_some(tables: Tables, w: World, econ: Economics, first: int, end: int, out: NDArray[np.float32]) -> None:
    """Observe the lanes [first, end), OBSERVED_TOGETHER at most; nothing where `out` has no rows.

    What one lane has to read is on its way while another is encoded.
    """
    if out.shape[0] == 0:
        return
    for i in range(first, end):
        prepare_lane(local_of(w), tables.bars, tables.encoder, w, i, i - first)
    for i in range(first, end):
        _encode(tables, w, econ, i, i - first, out[i])


@njit_lean
def observe_lanes(h: Desk, out: NDArray[np.float32]) -> None:
    """Write every lane's observation into `out` [N, D]."""
    tables = _tables_of(h)
    w = tables.world
    econ = econ_of(w)
    for first in range(0, w["lanes"], OBSERVED_TOGETHER):
        observe_some(tables, w, econ, first, min(first + OBSERVED_TOGETHER, w["lanes"]), out)


@njit_leaf
def _touch(tables: Tables, i: int) -> tuple[Touch, int]:
    """What lane `i` sees of its book, and twice the last two-sided mid."""
    lane = lane_at(tables.world, i)
    seen = lane["local_stamp"]
    quote = quote_at(tables.bars, moment_at(tables.bars, seen)["quote"])
    age = lane["t_ns"] - last_ns(tables.bars, seen) if seen > 0 else 0
    return Touch(quote["bid"], quote["ask"], age), quote["mark2"]


@njit_leaf
def _plan(tables: Tables, w: World, econ: Economics, i: int, touch: Touch, codes: NDArray[np.int32]) -> int:
    return plan_lane(
        touch, econ, tables.limits, tables.quoter, w, i, tables.tasks[i], codes, tables.intents[i]
    )  # fmt: skip


@njit_lean
def plan_lanes(h: Desk, codes: NDArray[np.int32]) -> None:
    """Plan every lane's step for `codes` [N, A]."""
    tables = _tables_of(h)
    w = tables.world
    econ = econ_of(w)
    for i in range(w["lanes"]):
        tables.counts[i] = _plan(tables, w, econ, i, _touch(tables, i)[0], codes[i])


@njit_inner
def _commit(w: World, i: int, intents: NDArray[np.void], count: int) -> int:
    """Send what is permitted; return how many intents were not."""
    refused = 0
    for k in range(count):
        intent = intents[k]
        if intent["reason"] != OK:
            refused += 1
        elif intent["kind"] == INTENT_CANCEL:
            call_cancel(w, i, intent["slot"])
        else:
            order_id = call_submit(w, i, intent["side"], intent["tick"], intent["qty"], intent["tif"], 0)
            intent["order_id"] = order_id
            if order_id == 0:
                intent["reason"] = RISK_OPEN_ORDERS
                refused += 1
    return refused


@njit_lean
def commit_lanes(h: Desk) -> None:
    """Send every lane's plan."""
    tables = _tables_of(h)
    for i in range(tables.world["lanes"]):
        _commit(tables.world, i, tables.intents[i], tables.counts[i])


@njit_lean
def advance_lanes(h: Desk) -> None:
    """Advance every lane by one step, which must fit on the tape."""
    tables = _tables_of(h)
    for i in range(tables.world["lanes"]):
        advance_step(tables.world, i, tables.pace, tables.pace_min_ns, tables.interval_ns)


@njit_lean
def exhausted_lane(h: Desk, mask: NDArray[np.bool_]) -> int:
    """The first lane of `mask` whose next interval does not fit on the tape, or -1."""
    tables = _tables_of(h)
    for i in range(tables.world["lanes"]):
        if mask[i] and lane_at(tables.world, i)["t_ns"] + tables.interval_ns > tables.end_ns:
            return i
    return -1


# -- at once -----------------------------------------------------------------------------------------------------------


@njit_leaf
def step_lane(
    tables: Tables, w: World, econ: Economics, i: int, codes: NDArray[np.int32], live: bool,
    block: NDArray[np.int64],
) -> bool:  # fmt: skip
    """Step lane `i`, whose interval must fit on the tape, unless it is not `live`.

    Returns:
        whether the lane is in error.
    """
    lane = lane_at(w, i)
    touch, mid2 = _touch(tables, i)
    before = _equity(econ, w, i, mid2)
    block[i, _MID2_BEFORE] = mid2
    block[i, _EQUITY_BEFORE] = before
    position, cash, fees, funding = lane["position"], lane["cash"], lane["fees"], lane["funding"]
    fills, maker_fills, filled_orders = lane["fills"], lane["maker_fills"], lane["filled_orders"]
    turnover, submits, cancels = lane["turnover"], lane["submits"], lane["cancels"]
    liquidations = lane["liquidations"]
    refused = 0
    count = 0
    if live:
        count = _plan(tables, w, econ, i, touch, codes[i])
        refused = _commit(w, i, tables.intents[i], count)
        advance_step(w, i, tables.pace, tables.pace_min_ns, tables.interval_ns)
        mid2 = _mid2(tables, i)
    tables.counts[i] = count
    after = _equity(econ, w, i, mid2)
    block[i, _PNL] = after - before
    block[i, _EQUITY] = after
    block[i, _POSITION] = lane["position"]
    block[i, _FILLS] = lane["fills"] - fills
    block[i, _MAKER_FILLS] = lane["maker_fills"] - maker_fills
    block[i, _FEES] = lane["fees"] - fees
    block[i, _FUNDING] = lane["funding"] - funding
    block[i, _TURNOVER] = lane["turnover"] - turnover
    block[i, _REFUSED] = refused
    block[i, _T_NS] = lane["t_ns"]
    block[i, _FILLED_ORDERS] = lane["filled_orders"] - filled_orders
    block[i, _SUBMITS] = lane["submits"] - submits
    block[i, _CANCELS] = lane["cancels"] - cancels
    block[i, _MID2] = mid2
    block[i, _CASH] = lane["cash"] - cash
    block[i, _LOTS] = lane["position"] - position
    block[i, _LIQUIDATIONS] = lane["liquidations"] - liquidations
    block[i, _ENDED] = lane["t_ns"] + tables.interval_ns > tables.end_ns
    return bool(lane["error"] != 0)


@njit_inner
def look_ahead(tables: Tables, w: World, i: int) -> None:
    """While lane `i` has its turn, ask for what the next ones will wait for: a lane's record, then what that leads to.

    Nothing else has brought it near: each lane stands at a place of the tape of its own, and what a program does
    between two steps drives out of the caches what the last step left there. Where a lane will be is told by its clock.
    """
    lanes = w["lanes"]
    bars = tables.bars
    if i + 3 < lanes:
        fetch_lane(w, i + 3)
    if i + 2 < lanes:
        lane = lane_at(w, i + 2)
        t_ns = lane["t_ns"] + tables.interval_ns
        fetch_moment(bars, lane["local_stamp"])
        fetch_mark(bars, t_ns - lane["feed_delay_ns"])
        fetch_marks(bars, tables.encoder, t_ns)
    if i + 1 < lanes:
        lane = lane_at(w, i + 1)
        t_ns = lane["t_ns"] + tables.interval_ns
        fetch_entries(bars, lane["local_stamp"])
        fetch_count(bars, t_ns - lane["feed_delay_ns"])
        fetch_searches(local_of(w), exch_of(w), bars, t_ns - lane["feed_delay_ns"])
        fetch_counts(bars, tables.encoder, t_ns)


@njit_lean
def step_lanes(
    h: Desk, codes: NDArray[np.int32], mask: NDArray[np.bool_], block: NDArray[np.int64],
    observations: NDArray[np.float32],
) -> int:  # fmt: skip
    """Step the lanes of `mask`, whose intervals must fit on the tape, and observe all lanes.

    Args:
        codes: [N, A], in range.
        mask: [N]; of the others the block tells what is, and zeros for what was done.
        block: [N, BLOCK_COLUMNS], written.
        observations: [N, D], written; or [0, 0].

    Returns:
        how many lanes are in error.
    """
    tables = _tables_of(h)
    w = tables.world
    econ = econ_of(w)
    failed = 0
    for first in range(0, w["lanes"], OBSERVED_TOGETHER):
        end = min(first + OBSERVED_TOGETHER, w["lanes"])
        for i in range(first, end):
            look_ahead(tables, w, i)
            failed += step_lane(tables, w, econ, i, codes, mask[i], block)
        observe_some(tables, w, econ, first, end, observations)
    return failed
