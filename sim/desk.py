"""`Desk`: where a policy's codes become orders, on N lanes. Training and service run this very code.

One step is plan (quoter and risk check; changes nothing), commit (sends what is permitted), advance (one interval),
observe. `step` does all four for all lanes in one compiled call; the four methods do the same piecewise, for a
runtime that journals what lies between them.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lobgym.sim.actions import EXECUTION
from lobgym.sim.bars import Bars, bars_of, last_mid2
from lobgym.sim.calls import call_cancel, call_submit
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.encoder import Encoder, encode_lane, make_encoder
from lobgym.sim.errors import ActionError, ParamsError, SessionError, TapeExhaustedError
from lobgym.sim.jit import njit_lean
from lobgym.sim.market import Market
from lobgym.sim.money import mark_value
from lobgym.sim.pace import PACE_INTERVAL, PACES, advance_step
from lobgym.sim.quoter import (
    INTENT_CANCEL,
    INTENT_DTYPE,
    INTENT_SUBMIT,
    QuoterValues,
    plan_lane,
    touch_of,
)
from lobgym.sim.records import OK, RISK_OPEN_ORDERS
from lobgym.sim.risk import LimitValues
from lobgym.sim.session import Session, raise_lane_error
from lobgym.sim.task import TASK_DTYPE, assign_tasks
from lobgym.sim.world import World, econ_of, lane_at, local_of

__all__ = ["INTENT_CANCEL", "INTENT_DTYPE", "INTENT_SUBMIT", "Desk", "StepResult"]

_NO_OBSERVATIONS: Final = np.empty((0, 0), np.float32)


class Tables(NamedTuple):
    """What a desk's kernels read and never write."""

    world: World
    bars: Bars
    limits: LimitValues
    quoter: QuoterValues
    encoder: Encoder
    tasks: NDArray[np.void]  # TASK_DTYPE[N]
    interval_ns: int
    end_ns: int
    pace: int  # PACE_*
    pace_min_ns: int


class StepResult(NamedTuple):
    """What a step did, one entry a lane; money in money units. The desk reuses these arrays at its next step.

    Lanes that were masked out hold zeros, except for `equity`, `position`, `mid2` and `ended`, which are current.
    """

    equity_before: NDArray[np.int64]
    equity: NDArray[np.int64]
    pnl: NDArray[np.int64]  # equity - equity_before, exactly
    position: NDArray[np.int64]  # at the exchange, lots
    mid2: NDArray[np.int64]  # twice the local mid that equity is marked at, ticks
    fills: NDArray[np.int64]  # in this step, as are the following ones
    maker_fills: NDArray[np.int64]
    filled_orders: NDArray[np.int64]  # orders that had their first fill
    fees: NDArray[np.int64]
    turnover: NDArray[np.int64]  # sum of |cash|
    submits: NDArray[np.int64]
    cancels: NDArray[np.int64]
    refused: NDArray[np.int64]  # intents that were not permitted
    ended: NDArray[np.bool_]  # no further interval fits on the tape


class Desk:
    """N lanes of one policy's desk on one market.

    Args:
        spec: sizes, distances, limits, observation columns, venue.
        market: the compiled tape.
        lanes: how many.
        log, log_rows: the session's event log.

    Raises:
        ParamsError: a desk that may be short on a spot market.

    Attributes:
        session: the lanes' state; reading it is free, sending orders through it bypasses the risk check.
        tasks: TASK_DTYPE[N], the lanes' parent orders (`lobgym.sim.task`); written by `assign`.
    """

    def __init__(self, spec: DeskSpec, market: Market, lanes: int = 1, log: str = "off", log_rows: int = 0) -> None:
        if spec.risk.short and market.instrument.kind == "spot":
            raise ParamsError(
                f"{market.instrument.symbol} is a spot market, where nothing can be sold that is not held: "
                "the desk needs risk.short off and no target below 0"
            )
        self.spec = spec
        self.market = market
        self.action = spec.action
        self.session = Session(market, spec.params, lanes, log, log_rows)
        self.tasks = np.zeros(lanes, TASK_DTYPE)
        self._tables = Tables(
            self.session.world,
            bars_of(market, spec.layout.wants_flow),
            spec.risk.values,
            spec.quoter_values,
            make_encoder(spec.layout, spec.position_lots_max, lanes),
            self.tasks,
            spec.interval_ns,
            market.end_ns,
            PACES.index(spec.pace),
            spec.pace_min_ns,
        )
        self._intents = np.zeros((lanes, spec.intents_max), INTENT_DTYPE)
        self._counts = np.zeros(lanes, np.int64)
        self._everyone = np.ones(lanes, np.bool_)
        self._planned = False
        arrays: list[Any] = [np.zeros(lanes, np.int64) for _ in StepResult._fields]
        arrays[-1] = np.zeros(lanes, np.bool_)
        self._result = StepResult(*arrays)

    # -- clock -----------------------------------------------------------------------------------------------------

    @property
    def lanes(self) -> int:
        """Number of lanes, N."""
        return self.session.lanes

    @property
    def end_ns(self) -> int:
        """The last time that a lane can reach."""
        return self.market.end_ns

    @property
    def t_ns(self) -> NDArray[np.int64]:
        """int64[N]: the lanes' clocks, a copy."""
        return self.session.state.lane["t_ns"].copy()

    def reset(
        self, start_ns: ArrayLike | None = None, seed: ArrayLike = 0, mask: NDArray[np.bool_] | None = None
    ) -> None:
        """Empty the lanes (those of `mask`, bool[N]) and put them at `start_ns`, without a task (`Session.reset`)."""
        self.session.reset(start_ns, seed, mask)
        self.tasks[self._everyone if mask is None else mask] = np.zeros((), TASK_DTYPE)
        self._planned = False

    def assign(
        self, side: ArrayLike, lots: ArrayLike, end_ns: ArrayLike, mask: NDArray[np.bool_] | None = None
    ) -> None:
        """Give the lanes (those of `mask`, bool[N]) a parent order from now to `end_ns`, integers or int64[N].

        It is measured at the local mid of now. Once after a reset: a task is counted from an empty account.

        Raises:
            ParamsError: a desk of another kind, or what `assign_tasks` refuses; a sale on a spot market, where nothing
            is held yet.
        """
        if self.spec.kind != EXECUTION:
            raise ParamsError(f"only a desk of kind 'execution' has tasks, this one is of kind {self.spec.kind!r}")
        chosen = self._everyone if mask is None else mask
        if not self.spec.risk.short and (np.broadcast_to(np.asarray(side), chosen.shape)[chosen] < 0).any():
            raise ParamsError("this desk may not be short and starts with nothing to sell: give it buy orders only")
        mids = np.zeros(self.lanes, np.int64)
        for i in np.flatnonzero(chosen):
            mids[i] = self.mid2(int(i))
        assign_tasks(self.tasks, chosen, side, lots, self.t_ns, end_ns, mids, self.spec.position_lots_max)

    # -- piecewise -------------------------------------------------------------------------------------------------

    def observe(self) -> NDArray[np.float32]:
        """float32[N, D]: every lane's observation at its own time, a fresh array."""
        out = np.empty((self.lanes, self.spec.layout.size), np.float32)
        _observe(self._tables, out)
        return out

    def plan(self, codes: ArrayLike) -> tuple[NDArray[np.void], NDArray[np.int64]]:
        """What `codes` (int[N, A]) would send now, with the risk check's verdicts. Changes no lane.

        Returns:
            INTENT_DTYPE[N, K], of which each lane's first count are meant, and counts int64[N]. Both are the desk's
            own buffers, valid until its next plan or step; a caller may refuse an intent by setting its `reason`.
        """
        checked = self._codes(codes)
        _plan(self._tables, checked, self._intents, self._counts)
        self._planned = True
        return self._intents, self._counts

    def commit(self) -> None:
        """Send the planned intents whose reason is 0; a submit's `order_id` is filled in. Once per plan.

        Raises:
            SessionError: nothing was planned since the last commit, reset or step.
        """
        if not self._planned:
            raise SessionError("commit without a plan: call plan(codes) first, and commit it once")
        self._planned = False
        _commit(self.session.world, self._intents, self._counts)
        raise_lane_error(self.session.state)

    def advance(self) -> NDArray[np.bool_]:
        """Advance every lane by one step: an interval, or less where the desk's pace says so.

        Returns:
            bool[N]: where no further interval fits on the tape.

        Raises:
            TapeExhaustedError: a lane's next interval does not fit; CapacityError, LedgerOverflowError: see Session.
        """
        self._planned = False
        clocks = self.session.state.lane["t_ns"]
        if self._tables.pace == PACE_INTERVAL:
            self.session.advance(clocks + self.spec.interval_ns)
        else:
            self.session.check()
            if (clocks + self.spec.interval_ns > self.end_ns).any():
                self._exhausted(int((clocks + self.spec.interval_ns > self.end_ns).argmax()))
            _advance(self._tables)
            raise_lane_error(self.session.state)
        ended: NDArray[np.bool_] = clocks + self.spec.interval_ns > self.end_ns
        return ended

    # -- at once ---------------------------------------------------------------------------------------------------

    def step(
        self, codes: ArrayLike, mask: NDArray[np.bool_] | None = None, observe: bool = True
    ) -> tuple[NDArray[np.float32], StepResult]:
        """Plan, commit and advance the lanes of `mask` (default: all), then observe all lanes.

        Args:
            codes: int[N, A]; those of lanes that are masked out are checked but not used.
            mask: bool[N].
            observe: False returns an empty array instead of observations.

        Returns:
            float32[N, D], fresh; and the desk's StepResult, valid until the next step.

        Raises:
            ActionError: codes out of range. TapeExhaustedError: a lane's interval does not fit on the tape; then
            no lane has moved. CapacityError, LedgerOverflowError: see Session; the lane must be reset.
        """
        checked = self._codes(codes)
        self._planned = False
        shape = (self.lanes, self.spec.layout.size)
        observations = np.empty(shape, np.float32) if observe else _NO_OBSERVATIONS
        live = self._everyone if mask is None else mask
        verdict = _step(self._tables, checked, live, self._intents, self._counts, self._result, observations)
        if verdict < 0:
            self._exhausted(-verdict - 1)
        if verdict > 0:
            raise_lane_error(self.session.state)
        return observations, self._result

    # -- money -----------------------------------------------------------------------------------------------------

    def equity(self, lane: int = 0) -> int:
        """Money units: cash - fees + position of the exchange's account, marked at the last two-sided local mid."""
        return int(_equity(self._tables, lane))

    def view_equity(self, lane: int = 0) -> int:
        """Like `equity`, with the account as the lane itself knows it."""
        return int(_view_equity(self._tables, lane))

    def mid2(self, lane: int = 0) -> int:
        """Twice the last two-sided local mid, in ticks."""
        tables = self._tables
        return int(last_mid2(self.market.local_view[0], tables.bars, self.session.state.lane["local_cursor"][lane]))

    def _exhausted(self, lane: int) -> NoReturn:
        raise TapeExhaustedError(
            f"lane {lane} has no full interval of {self.spec.interval_ns} ns left before {self.end_ns}; reset it"
        )

    def _codes(self, codes: ArrayLike) -> NDArray[np.int32]:
        array = np.asarray(codes)
        checked = array if array.dtype == np.int32 and array.flags.c_contiguous else self.action.check_codes(array)
        if checked.shape != (self.lanes, self.action.size):
            raise ActionError(f"expected codes of shape [{self.lanes}, {self.action.size}], got {list(checked.shape)}")
        if not _in_range(checked, self.action.bins_array):
            self.action.check_codes(checked)  # raises, and says where
        return checked


# -- kernels -----------------------------------------------------------------------------------------------------------


@njit_lean
def _in_range(codes: NDArray[np.int32], bins: NDArray[np.int64]) -> bool:
    for i in range(codes.shape[0]):
        for j in range(codes.shape[1]):
            if codes[i, j] < 0 or codes[i, j] >= bins[j]:
                return False
    return True


@njit_lean
def _equity(tables: Tables, i: int) -> int:
    w = tables.world
    lane = lane_at(w, i)
    mid2 = last_mid2(local_of(w), tables.bars, lane["local_cursor"])
    equity: int = lane["cash"] - lane["fees"] - lane["funding"] + mark_value(econ_of(w), lane["position"], mid2)
    return equity


@njit_lean
def _view_equity(tables: Tables, i: int) -> int:
    w = tables.world
    lane = lane_at(w, i)
    mid2 = last_mid2(local_of(w), tables.bars, lane["local_cursor"])
    equity: int = (
        lane["view_cash"]
        - lane["view_fees"]
        - lane["view_funding"]
        + mark_value(econ_of(w), lane["view_position"], mid2)
    )
    return equity


@njit_lean
def _observe(tables: Tables, out: NDArray[np.float32]) -> None:
    w = tables.world
    for i in range(w["lanes"]):
        encode_lane(local_of(w), tables.bars, tables.encoder, econ_of(w), w, i, tables.tasks[i], out[i])


@njit_lean
def _plan_one(tables: Tables, i: int, codes: NDArray[np.int32], intents: NDArray[np.void]) -> int:
    w = tables.world
    touch = touch_of(local_of(w), w, i)
    return plan_lane(touch, econ_of(w), tables.limits, tables.quoter, w, i, tables.tasks[i], codes, intents)


@njit_lean
def _advance(tables: Tables) -> None:
    for i in range(tables.world["lanes"]):
        advance_step(tables.world, i, tables.pace, tables.pace_min_ns, tables.interval_ns)


@njit_lean
def _plan(tables: Tables, codes: NDArray[np.int32], intents: NDArray[np.void], counts: NDArray[np.int64]) -> None:
    w = tables.world
    for i in range(w["lanes"]):
        counts[i] = _plan_one(tables, i, codes[i], intents[i])


@njit_lean
def _commit_lane(w: World, i: int, intents: NDArray[np.void], count: int) -> int:
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
def _commit(w: World, intents: NDArray[np.void], counts: NDArray[np.int64]) -> None:
    for i in range(w["lanes"]):
        _commit_lane(w, i, intents[i], counts[i])


@njit_lean
def _step(
    tables: Tables, codes: NDArray[np.int32], mask: NDArray[np.bool_], intents: NDArray[np.void],
    counts: NDArray[np.int64], out: StepResult, observations: NDArray[np.float32],
) -> int:  # fmt: skip
    """One step of every lane. Returns the number of lanes in error, or -1 - i if lane i is at the end of the tape."""
    w = tables.world
    size = w["lanes"]
    for i in range(size):
        if mask[i] and lane_at(w, i)["t_ns"] + tables.interval_ns > tables.end_ns:
            return -1 - i
    failed = 0
    for i in range(size):
        lane = lane_at(w, i)
        before = _equity(tables, i)
        fills, maker_fills, fees = lane["fills"], lane["maker_fills"], lane["fees"]
        filled_orders = lane["filled_orders"]
        turnover, submits, cancels = lane["turnover"], lane["submits"], lane["cancels"]
        refused = 0
        counts[i] = 0
        if mask[i]:
            counts[i] = _plan_one(tables, i, codes[i], intents[i])
            refused = _commit_lane(w, i, intents[i], counts[i])
            advance_step(w, i, tables.pace, tables.pace_min_ns, tables.interval_ns)
        after = _equity(tables, i)
        out.equity_before[i] = before
        out.equity[i] = after
        out.pnl[i] = after - before
        out.position[i] = lane["position"]
        out.mid2[i] = last_mid2(local_of(w), tables.bars, lane["local_cursor"])
        out.fills[i] = lane["fills"] - fills
        out.maker_fills[i] = lane["maker_fills"] - maker_fills
        out.filled_orders[i] = lane["filled_orders"] - filled_orders
        out.fees[i] = lane["fees"] - fees
        out.turnover[i] = lane["turnover"] - turnover
        out.submits[i] = lane["submits"] - submits
        out.cancels[i] = lane["cancels"] - cancels
        out.refused[i] = refused
        out.ended[i] = lane["t_ns"] + tables.interval_ns > tables.end_ns
        if lane["error"] != 0:
            failed += 1
        if observations.shape[0] > 0:
            encode_lane(
                local_of(w), tables.bars, tables.encoder, econ_of(w), w, i, tables.tasks[i], observations[i]
            )  # fmt: skip
    return failed
