"""`Session`: N independent lanes on one market. The plain Python face of the kernels."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lobgym.sim.book import NO_ASK, NO_BID, Book, best_ask, best_bid
from lobgym.sim.errors import (
    CapacityError,
    LedgerOverflowError,
    ParamsError,
    SessionError,
    TapeExhaustedError,
    TimeReversedError,
    UnknownOrderError,
)
from lobgym.sim.kernel import advance_all, cancel, find_slot, reset_lane, submit
from lobgym.sim.ladder import ladder
from lobgym.sim.lanes import Lanes, new_lanes
from lobgym.sim.market import Market
from lobgym.sim.mids import last_quoted_mid2
from lobgym.sim.money import fits, mark_value
from lobgym.sim.params import SimParams
from lobgym.sim.records import (
    BUY,
    ERR_FILLS_FULL,
    ERR_LEDGER,
    ERR_REQUESTS_FULL,
    ERR_RESPONSES_FULL,
    ERR_SPENT_FULL,
    FREE,
    GTC,
    GTX,
    IOC,
    SELL,
)

__all__ = ["Account", "Session", "Snapshot", "raise_lane_error"]

_CAPACITY = {
    ERR_REQUESTS_FULL: "requests in flight (raise SimParams.max_requests, or send less)",
    ERR_RESPONSES_FULL: "unread answers (raise SimParams.max_responses, or advance in smaller steps)",
    ERR_SPENT_FULL: "levels it has taken from (raise SimParams.max_spent)",
    ERR_FILLS_FULL: "logged fills (raise fill_log, or drain the log more often)",
}


@dataclass(frozen=True)
class Account:
    """A lane's account: integers in lots and in the instrument's money unit.

    `equity` = cash - fees + position at the last two-sided local mid, with the exchange's figures; the `view_` ones
    are what the lane itself knows.
    """

    position_lots: int
    cash: int
    fees: int
    equity: int
    view_position_lots: int
    view_cash: int
    view_fees: int
    view_equity: int


@dataclass(frozen=True)
class Snapshot:
    """A copy of every lane's state. Valid for sessions of the same shape on the same market."""

    market_digest: str
    arrays: tuple[NDArray[Any], ...]


class Session:
    """N lanes, each with its own clock, orders, account and latency, on one compiled market.

    Args:
        market: the compiled tape; shared, never changed.
        params: the venue; its digest is part of the run's digest.
        lanes: how many.
        fill_log: rows of the fill log shared by all lanes; 0 keeps none. `drain_fills` empties it.

    A lane gives bit for bit the same fills whatever the number of lanes. Lanes start at `market.start_ns`.
    """

    def __init__(self, market: Market, params: SimParams | None = None, lanes: int = 1, fill_log: int = 0) -> None:
        self.market = market
        self.params = params or SimParams()
        if lanes < 1 or fill_log < 0:
            raise ParamsError(f"lanes must be at least 1 and fill_log at least 0, got {lanes} and {fill_log}")
        if self.params.print_implied_depth != market.print_implied_depth:
            raise ParamsError(
                f"params.print_implied_depth is {self.params.print_implied_depth} but the market was compiled with "
                f"{market.print_implied_depth}: compile it with the same switch"
            )
        self.econ = market.economics(self.params.queue_power)
        self.state: Lanes = new_lanes(lanes, self.params, fill_log)
        made = market.instrument
        maker, taker = self.params.maker_fee_ppb, self.params.taker_fee_ppb
        self._maker_fee = made.maker_fee_ppb if maker is None else maker
        self._taker_fee = made.taker_fee_ppb if taker is None else taker
        self.reset()

    # -- clock -----------------------------------------------------------------------------------------------------

    @property
    def lanes(self) -> int:
        """Number of lanes."""
        return len(self.state.lane)

    @property
    def end_ns(self) -> int:
        """The last time that a lane can be advanced to."""
        return self.market.end_ns

    def t_ns(self, lane: int = 0) -> int:
        """The lane's clock."""
        return int(self.state.lane["t_ns"][lane])

    def reset(
        self, start_ns: ArrayLike | None = None, seed: ArrayLike = 0, mask: NDArray[np.bool_] | None = None
    ) -> None:
        """Empty the lanes (those of `mask`, bool[N]) and put them at `start_ns` (int or int64[N]).

        An integer seed s gives lane i the seed s + i. Raises TapeExhaustedError outside the market's time span.
        """
        count = self.lanes
        starts = np.broadcast_to(np.asarray(self.market.start_ns if start_ns is None else start_ns, np.int64), (count,))
        seeds: NDArray[Any] = np.asarray(seed).astype(np.uint64)
        if seeds.ndim == 0:
            seeds = seeds + np.arange(count, dtype=np.uint64)
        for i in range(count):
            if mask is not None and not mask[i]:
                continue
            if not self.market.start_ns <= starts[i] <= self.end_ns:
                raise TapeExhaustedError(
                    f"lane {i} cannot start at {starts[i]}: the market spans {self.market.start_ns} to {self.end_ns}"
                )
            reset_lane(
                self.market.exch, self.market.local, self.state, i, starts[i], seeds[i],
                self.params.entry_ns, self.params.response_ns, self._maker_fee, self._taker_fee,
            )  # fmt: skip

    def advance(self, t_ns: ArrayLike) -> None:
        """Advance every lane to `t_ns` (int or int64[N]).

        Raises TimeReversedError before a lane's clock, TapeExhaustedError beyond `end_ns`, CapacityError or
        LedgerOverflowError if a bound was hit on the way.
        """
        times = np.ascontiguousarray(np.broadcast_to(np.asarray(t_ns, np.int64), (self.lanes,)))
        clocks = self.state.lane["t_ns"]
        if (times < clocks).any():
            i = int((times < clocks).argmax())
            raise TimeReversedError(f"lane {i} is at {clocks[i]} and cannot go back to {times[i]}; reset it instead")
        if times.max() > self.end_ns:
            raise TapeExhaustedError(f"the tape ends at {self.end_ns}, {int(times.max())} lies beyond it")
        advance_all(self.market.exch, self.market.local, self.econ, self.state, times)
        raise_lane_error(self.state)

    # -- orders ----------------------------------------------------------------------------------------------------

    def submit(self, lane: int, side: int, tick: int, qty: int, tif: int = GTC) -> int:
        """Send an order of `qty` lots at `tick`; it arrives after the entry latency. Returns its id.

        There is no risk check here: that is the desk's. Raises SessionError for a malformed order, CapacityError when
        all order slots are in use, LedgerOverflowError when its notional does not fit the ledger.
        """
        if side not in (BUY, SELL) or tif not in (GTC, GTX, IOC) or tick < 1 or qty < 1:
            raise SessionError(
                f"an order needs side 1 or -1, tif 0, 1 or 2, tick and qty of at least 1; got side {side}, tif {tif}, "
                f"tick {tick}, qty {qty}"
            )
        if not fits(self.econ, tick, qty):
            raise LedgerOverflowError(f"{qty} lots at {tick} ticks exceed the ledger's integers; order less")
        order_id = int(submit(self.state, lane, side, tick, qty, tif))
        if order_id == 0:
            raise CapacityError(f"lane {lane} has all {self.params.max_orders} order slots in use; cancel some first")
        raise_lane_error(self.state)
        return order_id

    def cancel(self, lane: int, order_id: int) -> None:
        """Ask for a cancel; it arrives after the entry latency. Raises UnknownOrderError for an id long gone."""
        slot = int(find_slot(self.state, lane, order_id))
        if slot < 0:
            raise UnknownOrderError(f"lane {lane} has no order {order_id}: it never existed, or is done and forgotten")
        cancel(self.state, lane, slot)
        raise_lane_error(self.state)

    # -- what can be read ------------------------------------------------------------------------------------------

    def orders(self, lane: int = 0) -> NDArray[np.void]:
        """ORDER_DTYPE[k]: a copy of the lane's orders that are not settled yet."""
        orders: NDArray[np.void] = self.state.orders[lane]
        unsettled: NDArray[np.void] = orders[orders["state"] != FREE].copy()
        return unsettled

    def account(self, lane: int = 0) -> Account:
        """The lane's account, marked at the local mid."""
        row = self.state.lane[lane]
        mid2 = self._mid2(lane)
        position, cash, fees = int(row["position"]), int(row["cash"]), int(row["fees"])
        seen, seen_cash, seen_fees = int(row["view_position"]), int(row["view_cash"]), int(row["view_fees"])
        equity = cash - fees + int(mark_value(self.econ, position, mid2))
        view_equity = seen_cash - seen_fees + int(mark_value(self.econ, seen, mid2))
        return Account(position, cash, fees, equity, seen, seen_cash, seen_fees, view_equity)

    def bests(self, lane: int = 0, at_exchange: bool = False) -> tuple[int | None, int | None]:
        """Best bid and ask in ticks at the lane's local cursor, or at the exchange's (which no agent may see)."""
        book, cursor = self._cursor(lane, at_exchange)
        bid, ask = int(best_bid(book, cursor)), int(best_ask(book, cursor))
        return (None if bid == NO_BID else bid), (None if ask == NO_ASK else ask)

    def ladder(self, lane: int, side: int, depth: int, at_exchange: bool = False) -> NDArray[np.int64]:
        """int64[k <= depth, 2] of (tick, lots), best first, at the local cursor (or the exchange's)."""
        book, cursor = self._cursor(lane, at_exchange)
        out = np.empty((2, depth), np.int64)
        found = int(ladder(book, side, cursor, depth, out[0], out[1]))
        return out[:, :found].T.copy()

    def drain_fills(self) -> NDArray[np.void]:
        """FILL_DTYPE[k]: the logged fills in order of matching; the log is empty afterwards."""
        fills = self.state.fills[: self.state.fill_count[0]].copy()
        self.state.fill_count[0] = 0
        return fills

    def digest(self, lane: int = 0) -> str:
        """16 hex digits over every answer the exchange gave this lane since its reset, and its account."""
        return f"{int(self.state.lane['digest'][lane]):016x}"

    def run_digest(self) -> str:
        """SHA-256 over market, parameters, and each lane's digest, clock and account."""
        sha = hashlib.sha256(f"{self.market.digest}|{self.params.digest}".encode())
        for row in self.state.lane:
            names = ("digest", "t_ns", "position", "cash", "fees", "view_position", "view_cash", "view_fees", "next_id")
            sha.update("|".join(str(int(row[name])) for name in names).encode() + b"\n")
        return sha.hexdigest()

    # -- copies ----------------------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """Copy the state of every lane."""
        return Snapshot(self.market.digest, tuple(array.copy() for array in self.state))

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot. Raises SessionError if it belongs to another market or another shape."""
        same = [a.shape == b.shape for a, b in zip(self.state, snapshot.arrays, strict=True)]
        if snapshot.market_digest != self.market.digest or not all(same):
            raise SessionError("this snapshot was taken on another market, or with other lanes, params or fill_log")
        for array, copy in zip(self.state, snapshot.arrays, strict=True):
            array[...] = copy

    def clone(self) -> Session:
        """An independent session in the same state."""
        other = Session(self.market, self.params, self.lanes, len(self.state.fills))
        other.restore(self.snapshot())
        return other

    def _cursor(self, lane: int, at_exchange: bool) -> tuple[Book, int]:
        row = self.state.lane[lane]
        if at_exchange:
            return self.market.exch, int(row["exch_cursor"])
        return self.market.local, int(row["local_cursor"])

    def _mid2(self, lane: int) -> int:
        """Twice the last two-sided mid that the lane has seen; 0 before the first."""
        book, cursor = self._cursor(lane, False)
        return int(last_quoted_mid2(book, cursor, -1))


def raise_lane_error(lanes: Lanes) -> None:
    """Turn the first lane's error code into its exception."""
    errors = lanes.lane["error"]
    if not errors.any():
        return
    i = int(errors.argmax())
    code = int(errors[i])
    if code == ERR_LEDGER:
        raise LedgerOverflowError(f"lane {i}: an amount exceeds the ledger's integers; trade less, or reset the lane")
    raise CapacityError(f"lane {i} is out of room for {_CAPACITY[code]}; the lane stopped and must be reset")
