"""`Desk`: where a policy's codes become orders, on N lanes. Training and service run this very code.

One step is plan (quoter and risk check; changes nothing), commit (sends what is permitted), advance (one interval),
observe. `step` does all four for all lanes in one compiled call; the four methods do the same piecewise, for a
runtime that journals what lies between them.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lobgym.sim.actions import EXECUTION
from lobgym.sim.bars import bars_of
from lobgym.sim.desk_kernel import (
    BLOCK,
    BLOCK_COLUMNS,
    DESK_DTYPE,
    TABLES,
    Tables,
    advance_lanes,
    codes_in_range,
    commit_lanes,
    equity_of,
    exhausted_lane,
    mid2_of_lane,
    observe_lanes,
    plan_lanes,
    step_lanes,
    view_equity_of,
)
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.encoder import make_encoder
from lobgym.sim.errors import ActionError, ParamsError, SessionError, TapeExhaustedError
from lobgym.sim.market import Market
from lobgym.sim.pace import PACES
from lobgym.sim.quoter import INTENT_CANCEL, INTENT_DTYPE, INTENT_SUBMIT
from lobgym.sim.session import Session, raise_lane_error
from lobgym.sim.task import TASK_DTYPE, assign_tasks

__all__ = ["INTENT_CANCEL", "INTENT_DTYPE", "INTENT_SUBMIT", "Desk", "StepResult"]

_NO_OBSERVATIONS: Final = np.empty((0, 0), np.float32)


class StepResult(NamedTuple):
    """What a step did, one entry a lane; money in money units. The desk reuses these arrays at its next step.

    Lanes that were masked out hold zeros, except for what is current: `equity`, `equity_before`, `position`, `mid2`,
    `mid2_before`, `t_ns` and `ended`.
    """

    equity_before: NDArray[np.int64]
    equity: NDArray[np.int64]
    pnl: NDArray[np.int64]  # equity - equity_before, exactly
    position: NDArray[np.int64]  # at the exchange, lots
    mid2: NDArray[np.int64]  # twice the local mid that equity is marked at, ticks
    mid2_before: NDArray[np.int64]  # the same at the step's start
    t_ns: NDArray[np.int64]  # the lane's clock at the step's end
    fills: NDArray[np.int64]  # in this step, as are the following ones
    maker_fills: NDArray[np.int64]
    filled_orders: NDArray[np.int64]  # orders that had their first fill
    cash: NDArray[np.int64]  # change of cash, fees and funding not included
    lots: NDArray[np.int64]  # change of position
    fees: NDArray[np.int64]
    funding: NDArray[np.int64]
    turnover: NDArray[np.int64]  # sum of |cash|
    submits: NDArray[np.int64]
    cancels: NDArray[np.int64]
    refused: NDArray[np.int64]  # intents that were not permitted
    liquidations: NDArray[np.int64]  # how often the venue found too little margin
    ended: NDArray[np.bool_]  # no further interval fits on the tape

    @classmethod
    def of(cls, block: NDArray[np.int64]) -> StepResult:
        """The columns of a block, int64[N, BLOCK_COLUMNS], by name."""
        columns: dict[str, Any] = dict(zip(BLOCK, block.T, strict=True))
        columns["ended"] = columns["ended"] != 0
        return cls(**columns)


class Desk:
    """N lanes of one policy's desk on one market.

    Args:
        spec: sizes, distances, limits, observation columns, venue.
        market: the compiled tape.
        lanes: how many.
        log, log_rows: the session's event log.
        end_ns: where lanes must stop, if not at the end of the tape.

    Raises:
        ParamsError: a desk that may be short on a spot market.

    Attributes:
        session: the lanes' state; reading it is free, sending orders through it bypasses the risk check.
        tasks: TASK_DTYPE[N], the lanes' parent orders (`lobgym.sim.task`); written by `assign`.
        handle: what kernels take (`lobgym.sim.desk_kernel`); it must not outlive the desk.
    """

    def __init__(
        self, spec: DeskSpec, market: Market, lanes: int = 1, log: str = "off", log_rows: int = 0,
        end_ns: int | None = None,
    ) -> None:  # fmt: skip
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
        self._end_ns = market.end_ns if end_ns is None else min(end_ns, market.end_ns)
        self._intents = np.zeros((lanes, spec.intents_max), INTENT_DTYPE)
        self._counts = np.zeros(lanes, np.int64)
        self._tables = Tables(
            self.session.world,
            bars_of(market, spec.layout.wants_flow, spec.layout.wants_tops),
            spec.risk.values,
            spec.quoter_values,
            make_encoder(spec.layout, spec.position_lots_max, lanes),
            self.tasks,
            self._intents,
            self._counts,
            spec.interval_ns,
            self._end_ns,
            PACES.index(spec.pace),
            spec.pace_min_ns,
        )
        self._packed = TABLES.pack(self._tables)
        header = np.zeros(1, DESK_DTYPE)
        header["tables"] = self._packed.address
        self.handle: Any = header[0]
        self._bins = spec.action.bins_array
        self._everyone = np.ones(lanes, np.bool_)
        self._planned = False
        self._block = np.zeros((lanes, BLOCK_COLUMNS), np.int64)

    # -- clock -----------------------------------------------------------------------------------------------------

    @property
    def lanes(self) -> int:
        """Number of lanes, N."""
        return self.session.lanes

    @property
    def end_ns(self) -> int:
        """The last time that a lane can reach."""
        return self._end_ns

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
        observe_lanes(self.handle, out)
        return out

    def plan(self, codes: ArrayLike) -> tuple[NDArray[np.void], NDArray[np.int64]]:
        """What `codes` (int[N, A]) would send now, with the risk check's verdicts. Changes no lane.

        Returns:
            INTENT_DTYPE[N, K], of which each lane's first count are meant, and counts int64[N]. Both are the desk's
            own buffers, valid until its next plan or step; a caller may refuse an intent by setting its `reason`.
        """
        checked = self._codes(codes)
        plan_lanes(self.handle, checked)
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
        commit_lanes(self.handle)
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
        self.session.check()
        self._must_fit(self._everyone)
        advance_lanes(self.handle)
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
        self._must_fit(live)
        if step_lanes(self.handle, checked, live, self._block, observations):
            raise_lane_error(self.session.state)
        return observations, StepResult.of(self._block)

    # -- money -----------------------------------------------------------------------------------------------------

    def equity(self, lane: int = 0) -> int:
        """Money units: cash - fees + position of the exchange's account, marked at the last two-sided local mid."""
        return int(equity_of(self.handle, lane))

    def view_equity(self, lane: int = 0) -> int:
        """Like `equity`, with the account as the lane itself knows it."""
        return int(view_equity_of(self.handle, lane))

    def mid2(self, lane: int = 0) -> int:
        """Twice the last two-sided local mid, in ticks."""
        return int(mid2_of_lane(self.handle, lane))

    def _must_fit(self, mask: NDArray[np.bool_]) -> None:
        lane = exhausted_lane(self.handle, mask)
        if lane >= 0:
            raise TapeExhaustedError(
                f"lane {lane} has no full interval of {self.spec.interval_ns} ns left before {self.end_ns}; reset it"
            )

    def _codes(self, codes: ArrayLike) -> NDArray[np.int32]:
        array = np.asarray(codes)
        checked = array if array.dtype == np.int32 and array.flags.c_contiguous else self.action.check_codes(array)
        if checked.shape != (self.lanes, self.action.size):
            raise ActionError(f"expected codes of shape [{self.lanes}, {self.action.size}], got {list(checked.shape)}")
        if not codes_in_range(checked, self._bins):
            self.action.check_codes(checked)  # raises, and says where
        return checked
