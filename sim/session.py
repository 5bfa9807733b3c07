"""`Session`: N independent lanes on one market. The plain Python face of the kernels."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

import lobgym.sim.compat  # stands behind the entries of the compatibility profiles
import lobgym.sim.shared  # noqa: F401 - stands behind the entries of accounts that markets share
from lobgym.sim.book import NO_ASK, NO_BID
from lobgym.sim.errors import (
    CapacityError,
    LedgerOverflowError,
    ParamsError,
    SessionError,
    TapeExhaustedError,
    TimeReversedError,
    UnknownOrderError,
)
from lobgym.sim.kernel import (
    advance,
    advance_all,
    cancel,
    find_slot,
    modify,
    next_feed_ns,
    reset_lanes,
    submit,
    sync_queues,
    wait_answer,
)
from lobgym.sim.ladder import ladder
from lobgym.sim.lanes import Lanes, make_world, new_lanes
from lobgym.sim.market import Market
from lobgym.sim.mids import last_quoted_mid2
from lobgym.sim.money import fits, mark_value
from lobgym.sim.params import SimParams
from lobgym.sim.queue import LOTS_MAX, QUEUE_MODELS
from lobgym.sim.records import (
    BUY,
    ERR_LEDGER,
    ERR_LOG_FULL,
    ERR_REQUESTS_FULL,
    ERR_RESPONSES_FULL,
    ERR_SPENT_FULL,
    FILL,
    FILL_DTYPE,
    FREE,
    GTC,
    LANE_DTYPE,
    LOG_FILLS,
    LOG_FULL,
    LOG_OFF,
    MARKET,
    SELL,
)
from lobgym.sim.view import BookView, best_ask, best_bid
from lobgym.sim.world import World

__all__ = ["LOG_LEVELS", "Account", "Session", "Snapshot", "raise_lane_error"]

LOG_LEVELS: Final = {"off": LOG_OFF, "fills": LOG_FILLS, "full": LOG_FULL}

_CAPACITY = {
    ERR_REQUESTS_FULL: "requests in flight (raise SimParams.max_requests, or send less)",
    ERR_RESPONSES_FULL: "unread answers (raise SimParams.max_responses, or advance in smaller steps)",
    ERR_SPENT_FULL: "levels it has taken from (raise SimParams.max_spent)",
    ERR_LOG_FULL: "rows of the event log (raise log_rows, or drain the log more often)",
}
# What may differ from lane to lane (`Session.vary`), and its least and greatest value.
_VARIED: Final = {
    "entry_ns": (0, 60_000_000_000),
    "response_ns": (0, 60_000_000_000),
    "feed_delay_ns": (0, 60_000_000_000),
    "feed_jitter_ns": (0, 1_000_000_000),
    "maker_fee_ppb": (-100_000_000, 100_000_000),
    "taker_fee_ppb": (-100_000_000, 100_000_000),
    "queue_model": (0, len(QUEUE_MODELS) - 1),
    "queue_power": (1, 3),
    "capital": (0, 1 << 59),
}


@dataclass(frozen=True)
class Account:
    """A lane's account: integers in lots and in the instrument's money unit.

    `equity` = cash - fees - funding + position at the last two-sided local mid, with the exchange's figures and without
    the capital; the `view_` ones are what the lane itself knows. `realised` is the profit of closed lots by average
    entry price, fees and funding not included; `liquidations` counts the checks that found too little margin.
    """

    position_lots: int
    cash: int
    fees: int
    funding: int
    equity: int
    view_position_lots: int
    view_cash: int
    view_fees: int
    view_funding: int
    view_equity: int
    realised: int
    liquidations: int


@dataclass(frozen=True)
class Snapshot:
    """A copy of every lane's state. Valid for sessions of the same shape on the same market."""

    market_digest: str
    arrays: tuple[NDArray[Any], ...]
    log_count: int


class Session:
    """N lanes, each with its own clock, orders, account and latency, on one compiled market.

    Args:
        market: the compiled tape; shared, never changed.
        params: the venue; its digest is part of the run's digest.
        lanes: how many.
        log: what the event log shared by all lanes records: "off", "fills", or "full" (every request and answer).
        log_rows: its capacity; `drain_log` and `drain_fills` empty it.
        full_scan: look at every row instead of those that an index says matter. Slow, and the same to the last bit:
            it is there to check the index against.

    A lane gives bit for bit the same fills whatever the number of lanes. Lanes start at `market.start_ns`.
    """

    def __init__(
        self, market: Market, params: SimParams | None = None, lanes: int = 1, log: str = "off", log_rows: int = 0,
        full_scan: bool = False,
    ) -> None:  # fmt: skip
        self.market = market
        self.params = params or SimParams()
        if lanes < 1 or log_rows < 0:
            raise ParamsError(f"lanes must be at least 1 and log_rows at least 0, got {lanes} and {log_rows}")
        if log not in LOG_LEVELS or (log != "off" and log_rows < 1):
            raise ParamsError(f"log must be one of {', '.join(LOG_LEVELS)}, with log_rows unless off; got {log!r}")
        if (self.params.profile != "conservative") != market.depth_only:
            wanted = "Market.compile" if market.depth_only else "compile_depth_market"
            raise ParamsError(f"the profile {self.params.profile!r} needs a market made by {wanted}")
        if self.params.print_implied_depth != market.print_implied_depth and not market.depth_only:
            raise ParamsError(
                f"params.print_implied_depth is {self.params.print_implied_depth} but the market was compiled with "
                f"{market.print_implied_depth}: compile it with the same switch"
            )
        self.log = log
        self._full_scan = full_scan
        self.econ = market.economics()
        self.state: Lanes = new_lanes(lanes, self.params, log_rows if log != "off" else 0)
        self._defaults = np.zeros(lanes, LANE_DTYPE)
        self._world, self._kept = make_world(
            market, self.params, self.state, self._defaults, LOG_LEVELS[log], full_scan
        )
        self._everyone = np.ones(lanes, np.bool_)
        self._seeds = np.arange(lanes, dtype=np.uint64)
        made, chosen = market.instrument, self.params
        maker, taker = chosen.maker_fee_ppb, chosen.taker_fee_ppb
        self.vary(
            entry_ns=chosen.entry_ns,
            response_ns=chosen.response_ns,
            feed_delay_ns=chosen.feed_delay_ns,
            feed_jitter_ns=chosen.feed_jitter_ns,
            maker_fee_ppb=made.maker_fee_ppb if maker is None else maker,
            taker_fee_ppb=made.taker_fee_ppb if taker is None else taker,
            queue_model=QUEUE_MODELS[chosen.queue],
            queue_power=chosen.queue_power,
            capital=chosen.capital or 0,
        )
        self.reset()

    @property
    def world(self) -> World:
        """The record that compiled functions take (`lobgym.sim.kernel`); valid as long as the session lives."""
        return self._world[0]

    @property
    def world_array(self) -> NDArray[Any]:
        """WORLD_DTYPE[1]: that record with its address."""
        return self._world

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

    def vary(self, **values: ArrayLike) -> None:
        """Give lanes parameters of their own (a number, or int[N]), in force from their next reset.

        Names: entry_ns, response_ns, feed_delay_ns, feed_jitter_ns, maker_fee_ppb, taker_fee_ppb, queue_model
        (numbers of `lobgym.sim.queue.QUEUE_MODELS`), queue_power, capital. Raises ParamsError for another name or a
        value out of range.
        """
        for name, value in values.items():
            if name not in _VARIED:
                raise ParamsError(f"lanes cannot vary {name!r}; they can vary {', '.join(_VARIED)}")
            array = np.broadcast_to(np.asarray(value, np.int64), (self.lanes,))
            low, high = _VARIED[name]
            if array.min() < low or array.max() > high:
                raise ParamsError(f"{name} must lie from {low} to {high}, got {int(array.min())} to {int(array.max())}")
            self._defaults[name] = array

    def reset(
        self, start_ns: ArrayLike | None = None, seed: ArrayLike = 0, mask: NDArray[np.bool_] | None = None
    ) -> None:
        """Empty the lanes (those of `mask`, bool[N]) and put them at `start_ns` (int or int64[N]).

        An integer seed s gives lane i the seed s + i. Raises TapeExhaustedError outside the market's time span.
        """
        count = self.lanes
        starts = np.empty(count, np.int64)
        starts[:] = self.market.start_ns if start_ns is None else start_ns
        seeds: NDArray[Any] = np.asarray(seed).astype(np.uint64)
        if seeds.ndim == 0:
            seeds = seeds + self._seeds
        chosen = self._everyone if mask is None else np.asarray(mask, np.bool_)
        outside = ((starts < self.market.start_ns) | (starts > self.end_ns)) & chosen
        if outside.any():
            i = int(outside.argmax())
            raise TapeExhaustedError(
                f"lane {i} cannot start at {starts[i]}: the market spans {self.market.start_ns} to {self.end_ns}"
            )
        reset_lanes(self.world, chosen, starts, seeds)

    def advance(self, t_ns: ArrayLike) -> None:
        """Advance every lane to `t_ns` (int or int64[N]).

        Raises TimeReversedError before a lane's clock, TapeExhaustedError beyond `end_ns`, CapacityError or
        LedgerOverflowError if a bound was hit on the way.
        """
        times = np.empty(self.lanes, np.int64)
        times[:] = t_ns
        clocks = self.state.lane["t_ns"]
        if (times < clocks).any():
            i = int((times < clocks).argmax())
            raise TimeReversedError(f"lane {i} is at {clocks[i]} and cannot go back to {times[i]}; reset it instead")
        if times.max() > self.end_ns:
            raise TapeExhaustedError(f"the tape ends at {self.end_ns}, {int(times.max())} lies beyond it")
        advance_all(self.world, times)
        raise_lane_error(self.state)

    def advance_to_feed(self, lane: int = 0) -> int:
        """Advance one lane to the next row of its feed; returns its clock. Raises TapeExhaustedError at the end."""
        seen = int(next_feed_ns(self.world, lane))
        if seen > self.end_ns:
            raise TapeExhaustedError(f"lane {lane} has seen the whole feed; the tape ends at {self.end_ns}")
        advance(self.world, lane, seen)
        raise_lane_error(self.state)
        return seen

    def wait(self, lane: int, order_id: int, timeout_ns: int) -> bool:
        """Advance one lane until it learns something about an order, `timeout_ns` at most; whether it did.

        Raises UnknownOrderError for an id long gone, CapacityError or LedgerOverflowError as `advance`.
        """
        until = min(self.t_ns(lane) + timeout_ns, self.end_ns)
        came = bool(wait_answer(self.world, lane, self._slot(lane, order_id), until))
        raise_lane_error(self.state)
        return came

    # -- orders ----------------------------------------------------------------------------------------------------

    def submit(self, lane: int, side: int, tick: int, qty: int, tif: int = GTC, reduce_only: bool = False) -> int:
        """Send an order of `qty` lots at `tick`; it arrives after the entry latency. Returns its id.

        `tif` is GTC, GTX, IOC, FOK or MARKET (which has no use for `tick`). There is no risk check here: that is the
        desk's. Raises SessionError for a malformed order, CapacityError when all order slots are in use,
        LedgerOverflowError when its notional does not fit the ledger.
        """
        if tif == MARKET and tick < 1:
            tick = 1
        if side not in (BUY, SELL) or not GTC <= tif <= MARKET or tick < 1 or qty < 1:
            raise SessionError(
                f"an order needs side 1 or -1, tif 0 to 4, tick and qty of at least 1; got side {side}, tif {tif}, "
                f"tick {tick}, qty {qty}"
            )
        # What a market order will cost is not known yet: each of its fills is tested on its own.
        if qty >= LOTS_MAX if tif == MARKET else not fits(self.econ, tick, qty):
            raise LedgerOverflowError(f"{qty} lots at {tick} ticks exceed the ledger's integers; order less")
        order_id = int(submit(self.world, lane, side, tick, qty, tif, int(reduce_only)))
        if order_id == 0:
            raise CapacityError(f"lane {lane} has all {self.params.max_orders} order slots in use; cancel some first")
        raise_lane_error(self.state)
        return order_id

    def cancel(self, lane: int, order_id: int) -> None:
        """Ask for a cancel; it arrives after the entry latency. Raises UnknownOrderError for an id long gone."""
        cancel(self.world, lane, self._slot(lane, order_id))
        raise_lane_error(self.state)

    def modify(self, lane: int, order_id: int, tick: int, qty: int) -> None:
        """Ask for an order to stand at `tick` with `qty` lots in total, those already filled included.

        It keeps its place in the queue only if the price stays and the quantity does not grow. Raises
        UnknownOrderError for an id long gone, SessionError or LedgerOverflowError as `submit`.
        """
        if tick < 1 or qty < 1:
            raise SessionError(f"an order needs tick and qty of at least 1; got tick {tick}, qty {qty}")
        if not fits(self.econ, tick, qty):
            raise LedgerOverflowError(f"{qty} lots at {tick} ticks exceed the ledger's integers; order less")
        modify(self.world, lane, self._slot(lane, order_id), tick, qty)
        raise_lane_error(self.state)

    def _slot(self, lane: int, order_id: int) -> int:
        slot = int(find_slot(self.world, lane, order_id))
        if slot < 0:
            raise UnknownOrderError(f"lane {lane} has no order {order_id}: it never existed, or is done and forgotten")
        return slot

    # -- what can be read ------------------------------------------------------------------------------------------

    def orders(self, lane: int = 0) -> NDArray[np.void]:
        """ORDER_DTYPE[k]: a copy of the lane's orders that are not settled yet, by id."""
        sync_queues(self.world, lane)
        orders: NDArray[np.void] = self.state.orders[lane]
        unsettled: NDArray[np.void] = np.sort(orders[orders["state"] != FREE], order="id")
        return unsettled

    def account(self, lane: int = 0) -> Account:
        """The lane's account, marked at the local mid."""
        row = self.state.lane[lane]
        mid2 = self._mid2(lane)
        position, cash, fees = int(row["position"]), int(row["cash"]), int(row["fees"])
        seen, seen_cash, seen_fees = int(row["view_position"]), int(row["view_cash"]), int(row["view_fees"])
        funding, seen_funding = int(row["funding"]), int(row["view_funding"])
        equity = cash - fees - funding + int(mark_value(self.econ, position, mid2))
        view_equity = seen_cash - seen_fees - seen_funding + int(mark_value(self.econ, seen, mid2))
        return Account(
            position, cash, fees, funding, equity, seen, seen_cash, seen_fees, seen_funding, view_equity,
            int(row["realised"]), int(row["liquidations"]),
        )  # fmt: skip

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

    def drain_log(self) -> NDArray[np.void]:
        """LOG_DTYPE[k]: the event log in order of events; the log is empty afterwards."""
        rows: NDArray[np.void] = self.state.log[: int(self._world["log_count"][0])].copy()
        self._world["log_count"] = 0
        return rows

    def drain_fills(self) -> NDArray[np.void]:
        """FILL_DTYPE[k]: the logged fills in order of matching; the log is empty afterwards, whatever it held."""
        rows = self.drain_log()
        rows = rows[rows["kind"] == FILL]
        fills = np.zeros(len(rows), FILL_DTYPE)
        for name in FILL_DTYPE.names or ():
            fills[name] = rows["ns" if name == "exch_ns" else name]
        return fills

    def digest(self, lane: int = 0) -> str:
        """16 hex digits over every answer the exchange gave this lane since its reset, and its account."""
        return f"{int(self.state.lane['digest'][lane]):016x}"

    def run_digest(self) -> str:
        """SHA-256 over market, parameters, and each lane's digest, clock and account."""
        sha = hashlib.sha256(f"{self.market.digest}|{self.params.digest}".encode())
        for row in self.state.lane:
            names = (
                "digest",
                "t_ns",
                "position",
                "cash",
                "fees",
                "funding",
                "view_position",
                "view_cash",
                "view_fees",
                "next_id",
            )
            sha.update("|".join(str(int(row[name])) for name in names).encode() + b"\n")
        return sha.hexdigest()

    # -- copies ----------------------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """Copy the state of every lane."""
        return Snapshot(
            self.market.digest, tuple(array.copy() for array in self.state), int(self._world["log_count"][0])
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot. Raises SessionError if it belongs to another market or another shape."""
        self.check_snapshot(snapshot)
        for array, copy in zip(self.state, snapshot.arrays, strict=True):
            array[...] = copy
        self._world["log_count"] = snapshot.log_count

    def check_snapshot(self, snapshot: Snapshot) -> None:
        """Raise SessionError where `restore` would."""
        same = [a.shape == b.shape for a, b in zip(self.state, snapshot.arrays, strict=True)]
        if snapshot.market_digest != self.market.digest or not all(same):
            raise SessionError("this snapshot was taken on another market, or with other lanes, params or log_rows")

    def clone(self) -> Session:
        """An independent session in the same state."""
        other = Session(self.market, self.params, self.lanes, self.log, len(self.state.log), self._full_scan)
        other.copy_defaults(self)
        other.restore(self.snapshot())
        return other

    def copy_defaults(self, other: Session) -> None:
        """Take over what `vary` set in another session of as many lanes."""
        self._defaults[:] = other._defaults

    def _cursor(self, lane: int, at_exchange: bool) -> tuple[BookView, int]:
        row = self.state.lane[lane]
        if at_exchange:
            return self.market.exch_view[0], int(row["exch_cursor"])
        return self.market.local_view[0], int(row["local_cursor"])

    def _mid2(self, lane: int) -> int:
        """Twice the last two-sided mid that the lane has seen; 0 before the first."""
        book, cursor = self._cursor(lane, False)
        return int(last_quoted_mid2(book, cursor, 0))


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
