"""`Session`: N independent lanes on one market. The plain Python face of the kernels."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

import lobgym.sim.compat  # stands behind the entries of the compatibility profiles
import lobgym.sim.shared  # noqa: F401 - stands behind the entries of accounts that markets share
from lobgym.sim import handle
from lobgym.sim.account import Account, account_of
from lobgym.sim.arguments import array_of, flags, integers, order_numbers, whole
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
from lobgym.sim.kernel import reset_lanes
from lobgym.sim.ladder import ladder
from lobgym.sim.lane_errors import lane_error, raise_lane_error
from lobgym.sim.lanes import Lanes, bind_log, lane_defaults, make_world, new_lanes, taken_log
from lobgym.sim.market import Market
from lobgym.sim.memory import copy_into, copy_of
from lobgym.sim.mids import last_quoted_mid2
from lobgym.sim.money import fits
from lobgym.sim.params import SimParams
from lobgym.sim.queue import LOTS_MAX, QUEUE_MODELS
from lobgym.sim.records import (
    BUY,
    FILL,
    FILL_DTYPE,
    FREE,
    GTC,
    LOG_FILLS,
    LOG_FULL,
    LOG_OFF,
    MARKET,
    SELL,
)
from lobgym.sim.view import BookView, best_ask, best_bid
from lobgym.sim.world import World

__all__ = ["LOG_LEVELS", "Account", "Session", "Snapshot", "WorldArray", "fills_of", "raise_lane_error"]

LOG_LEVELS: Final = {"off": LOG_OFF, "fills": LOG_FILLS, "full": LOG_FULL}

# The same arithmetic as in the kernels, without the way into compiled code, which costs more.
_fits: Final[Callable[..., bool]] = getattr(fits, "py_func", fits)
_LANES_MAX: Final = 1 << 20
_LOG_ROWS_MAX: Final = 1 << 31
_NS_MAX: Final = (1 << 63) - 1

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
        if not isinstance(market, Market):
            raise SessionError(f"a session needs a compiled market, Market.compile(tape); got {type(market).__name__}")
        if params is not None and not isinstance(params, SimParams):
            raise ParamsError(f"params must be a SimParams, got {type(params).__name__}")
        self.market = market
        self.params = params or SimParams()
        lanes = whole("lanes", lanes, 1, _LANES_MAX, ParamsError)
        log_rows = whole("log_rows", log_rows, 0, _LOG_ROWS_MAX, ParamsError)
        if log not in LOG_LEVELS or (log == "off") != (log_rows == 0):
            raise ParamsError(
                f"log must be one of {', '.join(LOG_LEVELS)}, with log_rows unless off; got {log!r} and {log_rows} rows"
            )
        market.require(self.params)
        self.log = log
        self._full_scan = full_scan
        self.econ = market.economics()
        self.state: Lanes = new_lanes(lanes, self.params, log_rows if log != "off" else 0)
        self._defaults = lane_defaults(lanes, market.instrument, self.params)
        world, kept = make_world(market, self.params, self.state, self._defaults, LOG_LEVELS[log], full_scan)
        self._world = world.view(WorldArray)
        self._world.kept = kept
        self._handle = handle.make_handle(self._world)
        # Views of the lanes' records: a field is looked up once, not at every call.
        self._clocks, self._errors = self.state.lane["t_ns"], self.state.lane["error"]
        self._count = lanes
        self._everyone = np.ones(lanes, np.bool_)
        self._seeds = np.arange(lanes, dtype=np.uint64)
        self.reset()

    def keep_log(self, log: str, log_rows: int) -> None:
        """Keep an event log from now on, as if the session had been made with it; what an older one held is lost.

        Raises ParamsError for another level, or no rows.
        """
        log_rows = whole("log_rows", log_rows, 1, _LOG_ROWS_MAX, ParamsError)
        if log not in ("fills", "full"):
            raise ParamsError(f"log must be fills or full, got {log!r}")
        self.log, self.state = log, bind_log(self._world, self.state, LOG_LEVELS[log], log_rows)
        self._world.kept = (self.state, *self._world.kept)

    @property
    def world(self) -> World:
        """The record that compiled functions take (`lobgym.sim.strategy`); it keeps alive what it points to."""
        return self._world[0]

    @property
    def world_array(self) -> WorldArray:
        """WORLD_DTYPE[1]: that record with its address."""
        return self._world

    def check(self) -> None:
        """Raise what stopped a lane: CapacityError or LedgerOverflowError. To be called after a compiled strategy."""
        raise_lane_error(self.state)

    # -- clock -----------------------------------------------------------------------------------------------------

    @property
    def lanes(self) -> int:
        """Number of lanes."""
        return self._count

    @property
    def end_ns(self) -> int:
        """The last time that a lane can be advanced to."""
        return self.market.end_ns

    def t_ns(self, lane: int = 0) -> int:
        """The lane's clock."""
        return int(self._clocks[self._lane(lane)])

    def vary(self, **values: ArrayLike) -> None:
        """Give lanes parameters of their own (a number, or int[N]), in force from their next reset.

        Names: entry_ns, response_ns, feed_delay_ns, feed_jitter_ns, maker_fee_ppb, taker_fee_ppb, queue_model
        (numbers of `lobgym.sim.queue.QUEUE_MODELS`), queue_power, capital. A lane's capital, in money units, stands in
        for `SimParams.capital`: margin is asked for and checked against it and what the lane has made. It is no cash
        and no part of `Account.equity`, and where SimParams has none, or the market is spot, it cannot be given.

        Raises ParamsError, and changes nothing, for another name, a value out of range, or one that nothing here would
        follow.
        """
        if "capital" in values and self._world["peer_count"][0]:
            raise ParamsError("this capital is shared with other markets: vary it by MultiSession.vary, on all of them")
        self.set_varied(self.varied(**values))

    def set_varied(self, varied: Mapping[str, NDArray[np.int64]]) -> None:
        """Have lanes follow what `varied` made."""
        for name, array in varied.items():
            self._defaults[name] = array

    def varied(self, **values: ArrayLike) -> dict[str, NDArray[np.int64]]:
        """int64[N] by name, what `vary` would set; raises as it does, but takes a shared capital. Changes nothing."""
        checked = {}
        for name, value in values.items():
            if name not in _VARIED:
                raise ParamsError(f"lanes cannot vary {name!r}; they can vary {', '.join(_VARIED)}")
            if name.endswith("_fee_ppb") and self._world["fee_tier_count"][0]:
                raise ParamsError(f"{name} follows fee tiers here; give SimParams both fees, and lanes may vary them")
            if name == "capital" and not self._world["margin"][0] and not self._world["peer_count"][0]:
                raise ParamsError("nothing asks for capital here: it needs SimParams(capital=...), and no spot market")
            checked[name] = integers(name, value, self.lanes, *_VARIED[name], ParamsError)
            if name == "queue_model":
                self.market.require_orders(checked[name])
        return checked

    def reset(
        self, start_ns: ArrayLike | None = None, seed: ArrayLike = 0, mask: NDArray[np.bool_] | None = None
    ) -> None:
        """Empty the lanes (those of `mask`, bool[N]) and put them at `start_ns` (int or int64[N]).

        An integer seed s gives lane i the seed s + i, modulo 2^64. Raises TapeExhaustedError outside the market's time
        span, SessionError for a negative seed or what is no integer.
        """
        count = self.lanes
        starts = integers("start_ns", self.market.start_ns if start_ns is None else start_ns, count)
        chosen = self._everyone if mask is None else flags("mask", mask, count)
        outside = ((starts < self.market.start_ns) | (starts > self.end_ns)) & chosen
        if outside.any():
            i = int(outside.argmax())
            raise TapeExhaustedError(
                f"lane {i} cannot start at {starts[i]}: the market spans {self.market.start_ns} to {self.end_ns}"
            )
        reset_lanes(self.world, chosen, starts, self.seeds_of(seed))

    def seeds_of(self, seed: ArrayLike | int) -> NDArray[np.uint64]:
        """uint64[N]: what a seed given to `reset` means for each lane; raises as it does."""
        if isinstance(seed, int):
            return np.uint64(whole("seed", seed, 0, (1 << 64) - 1)) + self._seeds
        given = array_of("seed", seed)
        if given.dtype.kind == "u" and given.shape == (self.lanes,):
            return given.astype(np.uint64)
        seeds = integers("seed", seed, self.lanes, 0).astype(np.uint64)
        return seeds + self._seeds if given.ndim == 0 else seeds

    def advance(self, t_ns: ArrayLike) -> None:
        """Advance every lane to `t_ns` (int or int64[N]).

        Raises TimeReversedError before a lane's clock, TapeExhaustedError beyond `end_ns`, CapacityError or
        LedgerOverflowError if a bound was hit on the way, SessionError for times that are no integers.
        """
        times = integers("t_ns", t_ns, self._count)
        self.check()
        clocks = self._clocks
        if (times < clocks).any():
            i = int((times < clocks).argmax())
            raise TimeReversedError(f"lane {i} is at {clocks[i]} and cannot go back to {times[i]}; reset it instead")
        if times.max() > self.end_ns:
            raise TapeExhaustedError(f"the tape ends at {self.end_ns}, {int(times.max())} lies beyond it")
        handle.advance(self._handle, times)
        self.check()

    def advance_to_feed(self, lane: int = 0) -> int:
        """Advance one lane to the next row of its feed; returns its clock. Raises TapeExhaustedError at the end."""
        i = self._sound(lane)
        seen = int(handle.next_feed_ns(self._handle, i))
        if seen > self.end_ns:
            raise TapeExhaustedError(f"lane {lane} has seen the whole feed; the tape ends at {self.end_ns}")
        handle.advance_lane(self._handle, i, seen)
        self._sound(i)
        return seen

    def wait(self, lane: int, order_id: int, timeout_ns: int) -> bool:
        """Advance one lane until it learns something about an order, `timeout_ns` at most; whether it did.

        It stops at the end of the tape, too. Raises UnknownOrderError for an id long gone (an order that is done, and
        of which every answer was read), CapacityError or LedgerOverflowError as `advance`.
        """
        i = self._sound(lane)
        until = min(int(self._clocks[i]) + whole("timeout_ns", timeout_ns, 0, _NS_MAX), self.end_ns)
        came = self._known(handle.wait_answer(self._handle, i, _id_of(order_id), until), i, order_id)
        self._sound(i)
        return came == 1

    # -- orders ----------------------------------------------------------------------------------------------------

    def submit(self, lane: int, side: int, tick: int, qty: int, tif: int = GTC, reduce_only: bool = False) -> int:
        """Send an order of `qty` lots at `tick`; it arrives after the entry latency. Returns its id.

        `tif` is GTC, GTX, IOC, FOK or MARKET (which has no use for `tick`). There is no risk check here: that is the
        desk's. Raises SessionError for a malformed order, CapacityError when all order slots are in use,
        LedgerOverflowError when its notional does not fit the ledger.
        """
        i = self._sound(lane)
        side, tick, qty, tif = order_numbers(side, tick, qty, tif)
        # What a market order will cost is not known yet: each of its fills is tested on its own.
        if tif != MARKET:
            self._must_fit(tick, qty)
        elif qty >= LOTS_MAX:
            raise LedgerOverflowError(f"{qty} lots are more than an order may have, {LOTS_MAX - 1}; order less")
        order_id = int(handle.submit(self._handle, i, side, tick, qty, tif, 1 if reduce_only else 0))
        if order_id == 0:
            raise CapacityError(f"lane {i} has all {self.params.max_orders} order slots in use; cancel some first")
        self._sound(i)
        return order_id

    def cancel(self, lane: int, order_id: int) -> None:
        """Ask for a cancel; it arrives after the entry latency. Raises UnknownOrderError for an id long gone.

        Asking again while a cancel is under way sends nothing.
        """
        i = self._sound(lane)
        self._known(handle.cancel(self._handle, i, _id_of(order_id)), i, order_id)
        self._sound(i)

    def modify(self, lane: int, order_id: int, tick: int, qty: int) -> None:
        """Ask for an order to stand at `tick` with `qty` lots in total, those already filled included.

        It keeps its place in the queue only if the price stays and the quantity does not grow. Raises
        UnknownOrderError for an id long gone, SessionError or LedgerOverflowError as `submit`.
        """
        i = self._sound(lane)
        _, tick, qty, _ = order_numbers(BUY, tick, qty, GTC)
        self._must_fit(tick, qty)
        self._known(handle.modify(self._handle, i, _id_of(order_id), tick, qty), i, order_id)
        self._sound(i)

    def _must_fit(self, tick: int, qty: int) -> None:
        if qty >= LOTS_MAX or not _fits(self.econ, tick, qty):
            raise LedgerOverflowError(f"{qty} lots at {tick} ticks exceed the ledger's integers; order less")

    def _lane(self, lane: int) -> int:
        """The lane's number; SessionError unless there is such a lane: a kernel would read another's memory."""
        if type(lane) is int and 0 <= lane < self._count:
            return lane
        return whole("lane", lane, 0, self._count - 1)

    def _sound(self, lane: int) -> int:
        """The number of a lane that no error has stopped."""
        i = self._lane(lane)
        if self._errors[i]:
            raise lane_error(i, int(self._errors[i]))
        return i

    def _known(self, result: int, lane: int, order_id: int) -> int:
        if result < 0:
            raise UnknownOrderError(f"lane {lane} has no order {order_id}: it never existed, or is done and forgotten")
        return result

    # -- what can be read ------------------------------------------------------------------------------------------

    def orders(self, lane: int = 0) -> NDArray[np.void]:
        """ORDER_DTYPE[k]: a copy of the lane's orders that are not settled yet, by id."""
        i = self._lane(lane)
        handle.sync_queues(self._handle, i)
        orders: NDArray[np.void] = self.state.orders[i]
        unsettled: NDArray[np.void] = np.sort(orders[orders["state"] != FREE], order="id")
        return unsettled

    def account(self, lane: int = 0) -> Account:
        """The lane's account, marked at the local mid. Raises LedgerOverflowError where that is beyond the ledger."""
        return account_of(self.state.lane[self._lane(lane)], self.econ, self._mid2(lane))

    def bests(self, lane: int = 0, at_exchange: bool = False) -> tuple[int | None, int | None]:
        """Best bid and ask in ticks at the lane's local cursor, or at the exchange's (which no agent may see)."""
        book, cursor = self._cursor(lane, at_exchange)
        bid, ask = int(best_bid(book, cursor)), int(best_ask(book, cursor))
        return (None if bid == NO_BID else bid), (None if ask == NO_ASK else ask)

    def ladder(self, lane: int, side: int, depth: int, at_exchange: bool = False) -> NDArray[np.int64]:
        """int64[k <= depth, 2] of (tick, lots), best first, at the local cursor (or the exchange's)."""
        book, cursor = self._cursor(lane, at_exchange)
        if whole("side", side, SELL, BUY) == 0:
            raise SessionError(f"side must be {BUY} (bids) or {SELL} (asks), got 0")
        depth = min(whole("depth", depth, 0, _NS_MAX), int(book["levels"]))
        out = np.empty((2, depth), np.int64)
        found = int(ladder(book, side, cursor, depth, out[0], out[1]))
        return out[:, :found].T.copy()

    def drain_log(self) -> NDArray[np.void]:
        """LOG_DTYPE[k]: the event log in order of events; the log is empty afterwards.

        Raises SessionError where the session keeps none.
        """
        if self.log == "off":
            raise SessionError("this session keeps no log; make it with log='fills' or 'full', and log_rows")
        return taken_log(self._world, self.state.log)

    def drain_fills(self) -> NDArray[np.void]:
        """FILL_DTYPE[k]: the logged fills in order of matching; the log is empty afterwards, whatever it held."""
        return fills_of(self.drain_log())

    def digest(self, lane: int = 0) -> str:
        """16 hex digits over every answer the exchange gave this lane since its reset, and its account."""
        return f"{int(self.state.lane['digest'][self._lane(lane)]):016x}"

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
            self.market.digest, tuple(copy_of(array) for array in self.state), int(self._world["log_count"][0])
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot. Raises SessionError if it belongs to another market or another shape."""
        if not isinstance(snapshot, Snapshot):
            raise SessionError(f"restore takes what snapshot() gave, got {type(snapshot).__name__}")
        self.check_snapshot(snapshot)
        for array, copy in zip(self.state, snapshot.arrays, strict=True):
            copy_into(array, copy)
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

    def __copy__(self) -> Session:
        return self.clone()  # what is copied field by field would drive this session's lanes

    def __deepcopy__(self, memo: dict[int, Any]) -> Session:
        return self.clone()

    def __reduce__(self) -> tuple[Any, ...]:
        shape = (self.market, self.params, self.lanes, self.log, len(self.state.log), self._full_scan)
        return _revived, (shape, self._defaults, self.snapshot())

    def _cursor(self, lane: int, at_exchange: bool) -> tuple[BookView, int]:
        row = self.state.lane[self._lane(lane)]
        if at_exchange:
            return self.market.exch_view[0], int(row["exch_cursor"])
        return self.market.local_view[0], int(row["local_cursor"])

    def _mid2(self, lane: int) -> int:
        """Twice the last two-sided mid that the lane has seen; 0 before the first."""
        book, cursor = self._cursor(lane, False)
        return int(last_quoted_mid2(book, cursor, 0))


class WorldArray(np.ndarray[Any, np.dtype[np.void]]):
    """A world's array: whoever holds it, or its record, holds what its addresses point to."""

    kept: tuple[Any, ...]


def fills_of(rows: NDArray[np.void]) -> NDArray[np.void]:
    """FILL_DTYPE[k]: the fills among rows of an event log."""
    rows = rows[rows["kind"] == FILL]
    fills = np.zeros(len(rows), FILL_DTYPE)
    for name in FILL_DTYPE.names or ():
        fills[name] = rows["ns" if name == "exch_ns" else name]
    return fills


def _id_of(order_id: Any) -> int:
    return (
        order_id if type(order_id) is int and 0 < order_id < _NS_MAX else whole("order_id", order_id, -_NS_MAX, _NS_MAX)
    )


def _revived(shape: tuple[Any, ...], defaults: NDArray[np.void], snapshot: Snapshot) -> Session:
    """What a pickled session becomes: its market is compiled anew, for no address outlives its process."""
    session = Session(*shape)
    session._defaults[:] = defaults
    session.restore(snapshot)
    return session
