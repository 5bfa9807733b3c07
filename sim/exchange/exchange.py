"""`Exchange`: a market that reacts. Members trade with each other and with a background flow in one order book.

    exchange = Exchange(members=2)
    exchange.submit(0, SELL, 600_010, 5)
    exchange.submit(1, BUY, 600_010, 3)
    exchange.advance(exchange.now_ns + 1_000_000)
    exchange.account(1).position_lots  # 3

Members are lanes as in a `Session`: the same orders, latencies, accounts, fees, margin and answers. Everything
observable follows from the arguments and the requests; `digest` says so in 64 characters.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lobgym.sim import handle
from lobgym.sim.account import Account, account_of
from lobgym.sim.arguments import integers, order_numbers, whole
from lobgym.sim.errors import CapacityError, ParamsError, SessionError, TimeReversedError, UnknownOrderError
from lobgym.sim.exchange.board import (
    LADDER_DEPTH,
    RECORD_LEVELS,
    RECORD_OFF,
    RECORD_ORDERS,
    SCHEDULE_DTYPE,
    WORD_BITS,
)
from lobgym.sim.exchange.flows import FOREVER, NO_FLOW, flow_kind
from lobgym.sim.exchange.loop import EXCHANGE_HANDLE_DTYPE, ROW_RESERVE, enter_members, place_of, run_exchange
from lobgym.sim.exchange.state import BoardArrays, FeedLatency, bind, new_arrays, new_board
from lobgym.sim.importers.order_tape import OrderTape
from lobgym.sim.instrument import SYNTH, Instrument
from lobgym.sim.lane_errors import raise_lane_error
from lobgym.sim.lanes import Lanes, bind_lanes, lane_defaults, new_lanes
from lobgym.sim.memory import address_of
from lobgym.sim.money import economics_of
from lobgym.sim.params import SimParams
from lobgym.sim.records import BUY, FREE, GTC, LOG_DTYPE, SELL
from lobgym.sim.rng import stream_key
from lobgym.sim.session import LOG_LEVELS
from lobgym.sim.tape import Tape
from lobgym.sim.timeline import STAMPED_DTYPE

__all__ = ["RECORDS", "START_NS", "Exchange", "Flow"]

START_NS: Final = 1_704_067_200_000_000_000  # 2024-01-01T00:00:00Z
RECORDS: Final = {
    "off": RECORD_OFF,
    "levels": RECORD_LEVELS,
    "orders": RECORD_ORDERS,
    "all": RECORD_LEVELS | RECORD_ORDERS,
}
_FEED_STREAM: Final = 21  # of the random numbers that feed latencies are drawn from
_MEMBERS_MAX: Final = 1 << 16
_WIDTH_MAX: Final = 1 << 24
_FIRST_ROWS: Final = 1 << 17
_UNIT_SCALE: Final = 100_000_000


class Flow(Protocol):
    """A background flow: the number of its kernel, its state, and what distinguishes it."""

    kind: int
    digest: str

    def state(self, seed: int, start_ns: int, base_tick: int, width: int, start_tick: int) -> NDArray[Any]:
        """A fresh state, one structured record, `array[1]`."""
        ...


class Exchange:
    """One instrument's market with members, whose orders move it.

    Args:
        instrument: what is traded.
        members: how many take part beside the flow.
        flow: the background; without one, members are alone.
        params: the rules and the members' latencies, as for a `Session`; `vary` gives members their own.
        seed: of the flow, the feed's latencies and (plus its number) each member.
        start_tick: price in the middle of the range that the book has room for, and the first mark price.
        width: prices of that range, a multiple of 4096; orders outside are refused.
        node_room: how many orders can rest at once.
        record: "off", "levels" (a tape), "orders" (an order tape) or "all".
        depth_every_ns: between two messages of depth; 0 says every change at once.
        mark_every_ns, funding_every_ns: between mark prices and between funding settlements; 0 for none.
        schedule: (stamp, what, a, b) of halts, auctions, outages: see `lobgym.sim.exchange.board`, DO_*.
        feed: latency of the recorded feed.
        ladder_room: how many pictures of the best levels members' feeds can reach back for.
        log, log_rows: as for a `Session`.
    """

    def __init__(
        self, instrument: Instrument = SYNTH, members: int = 0, flow: Flow | None = None,
        params: SimParams | None = None, seed: int = 0, *, start_ns: int = START_NS, start_tick: int = 600_000,
        width: int = 1 << 18, node_room: int = 1 << 16, record: str = "off", depth_every_ns: int = 50_000_000,
        mark_every_ns: int = 1_000_000_000, funding_every_ns: int = 0,
        schedule: Sequence[tuple[int, int, int, int]] = (), feed: FeedLatency | None = None, ladder_room: int = 4096,
        log: str = "off", log_rows: int = 0,
    ) -> None:  # fmt: skip
        self.instrument = instrument
        self.params = params or SimParams()
        self.members = whole("members", members, 0, _MEMBERS_MAX, ParamsError)
        self.seed = whole("seed", seed, 0, (1 << 63) - 1, ParamsError)
        self.log = log
        if record not in RECORDS or log not in LOG_LEVELS or (log == "off") != (log_rows == 0):
            raise ParamsError(
                f"record must be one of {', '.join(RECORDS)}, log one of {', '.join(LOG_LEVELS)}, with log_rows unless "
                f"off; got {record!r}, {log!r}, {log_rows}"
            )
        if self.params.profile != "conservative":
            raise ParamsError(f"an exchange matches real orders; the profile {self.params.profile!r} is the replay's")
        block = WORD_BITS**2
        width = whole("width", width, block, _WIDTH_MAX, ParamsError) // block * block
        half_tick_1e8 = instrument.tick_size * _UNIT_SCALE / 2
        order_unit = instrument.lot_size * _UNIT_SCALE
        if half_tick_1e8 != int(half_tick_1e8) or order_unit != int(order_unit):
            raise ParamsError(f"{instrument.symbol}: half a tick and a lot must be multiples of 1e-8")
        base_tick = max(1, whole("start_tick", start_tick, 1, 1 << 48, ParamsError) - width // 2)
        self.econ = economics_of(instrument)
        self.state: Lanes = new_lanes(max(1, self.members), self.params, log_rows)
        self._defaults = lane_defaults(max(1, self.members), instrument, self.params)
        self._world, self._kept = bind_lanes(instrument, self.params, self.state, self._defaults, LOG_LEVELS[log])
        stamped = np.zeros(1, STAMPED_DTYPE)
        mark = start_tick * 2 * int(half_tick_1e8)
        stamped["value"] = mark
        tasks = np.array(sorted(schedule, key=lambda task: task[0]), SCHEDULE_DTYPE) if schedule else None
        flow_state = np.zeros(1, np.int64) if flow is None else flow.state(seed, start_ns, base_tick, width, start_tick)
        kind = NO_FLOW if flow is None else flow.kind
        recorded = RECORDS[record]
        self.flow = flow
        self._arrays = new_arrays(
            width, whole("node_room", node_room, 2, 1 << 28, ParamsError),
            _FIRST_ROWS if recorded & RECORD_LEVELS else 0, _FIRST_ROWS if recorded & RECORD_ORDERS else 0,
            whole("ladder_room", ladder_room, 0, 1 << 24, ParamsError) if self.members else 0,
            np.zeros(0, SCHEDULE_DTYPE) if tasks is None else tasks, feed or FeedLatency(), flow_state, stamped,
        )  # fmt: skip
        self._board = new_board(self._arrays, self._world, {
            "fn_flow": flow_kind(kind).address, "flow_kind": kind, "base_tick": base_tick, "members": self.members,
            "ladder_room": ladder_room if self.members else 0, "record": recorded, "order_unit": int(order_unit),
            "mark_factor": int(half_tick_1e8), "mark_1e8": mark, "now_ns": start_ns,
            "depth_every_ns": depth_every_ns, "mark_every_ns": mark_every_ns, "funding_every_ns": funding_every_ns,
            "depth_due": start_ns + depth_every_ns if depth_every_ns else FOREVER,
            "mark_due": start_ns if mark_every_ns else FOREVER,
            "funding_due": start_ns + funding_every_ns if funding_every_ns else FOREVER,
            "flow_due": start_ns,
        })  # fmt: skip
        with np.errstate(over="ignore"):
            self._board["feed_key"] = stream_key(self.seed, _FEED_STREAM)
        self._handle_array = np.zeros(1, EXCHANGE_HANDLE_DTYPE)
        self._handle_array["board"] = address_of(self._board)
        self._handle = self._handle_array[0]
        self._lane_handle = handle.make_handle(self._world)
        enter_members(self._handle, start_ns, np.uint64(self.seed))

    # -- clock -----------------------------------------------------------------------------------------------------

    @property
    def now_ns(self) -> int:
        """The exchange's clock."""
        return int(self._board["now_ns"][0])

    @property
    def board(self) -> Any:
        """The record that compiled functions take (`lobgym.sim.exchange.loop`); it lives as long as the exchange."""
        return self._board[0]

    @property
    def world(self) -> Any:
        """The record of the members' lanes, as `Session.world`."""
        return self._world[0]

    def advance(self, t_ns: int) -> None:
        """Process everything stamped at or before `t_ns`.

        Raises TimeReversedError before the clock; CapacityError or LedgerOverflowError if a member hit a bound.
        """
        t_ns = whole("t_ns", t_ns, 0, FOREVER - 1)
        if t_ns < self.now_ns:
            raise TimeReversedError(f"the exchange is at {self.now_ns} and cannot go back to {t_ns}")
        with np.errstate(over="ignore"):
            while run_exchange(self._handle, t_ns):
                self._grow()
        self.check()

    def check(self) -> None:
        """Raise what stopped a member; to be called after a compiled strategy."""
        raise_lane_error(self.state)

    def _grow(self) -> None:
        """Twice as much room for recorded rows."""
        made = self._arrays._asdict()
        for name, count in (("rows", "row_count"), ("order_rows", "order_count")):
            table = made[name]
            if len(table) and len(table) - int(self._board[count][0]) < ROW_RESERVE:
                larger = np.zeros(2 * len(table), table.dtype)
                larger[: len(table)] = table
                made[name] = larger
        self._arrays = BoardArrays(**made)
        bind(self._board, self._arrays)

    # -- orders ----------------------------------------------------------------------------------------------------

    def submit(self, member: int, side: int, tick: int, qty: int, tif: int = GTC, reduce_only: bool = False) -> int:
        """Send an order of `qty` lots at `tick`; returns its id. Errors as `Session.submit`."""
        i = self._member(member)
        side, tick, qty, tif = order_numbers(side, tick, qty, tif)
        order_id = int(handle.submit(self._lane_handle, i, side, tick, qty, tif, 1 if reduce_only else 0))
        if order_id == 0:
            raise CapacityError(f"member {i} has all {self.params.max_orders} order slots in use; cancel some first")
        self.check()
        return order_id

    def cancel(self, member: int, order_id: int) -> None:
        """Ask for a cancel. Raises UnknownOrderError for an id long gone."""
        self._known(handle.cancel(self._lane_handle, self._member(member), order_id), member, order_id)

    def modify(self, member: int, order_id: int, tick: int, qty: int) -> None:
        """Ask for an order to stand at `tick` with `qty` lots in total, as `Session.modify`."""
        i = self._member(member)
        _, tick, qty, _ = order_numbers(BUY, tick, qty, GTC)
        self._known(handle.modify(self._lane_handle, i, order_id, tick, qty), member, order_id)

    def _member(self, member: int) -> int:
        return whole("member", member, 0, self.members - 1)

    def _known(self, result: int, member: int, order_id: int) -> None:
        if result < 0:
            raise UnknownOrderError(
                f"member {member} has no order {order_id}: it never existed, or is done and forgotten"
            )
        self.check()

    # -- what can be read ------------------------------------------------------------------------------------------

    def ladder(self, side: int, depth: int, member: int | None = None) -> NDArray[np.int64]:
        """int64[k <= depth, 2] of (tick, lots), best first: of the book itself, or as a member's feed shows it now.

        A feed shows the LADDER_DEPTH best levels, `feed_delay_ns` late.
        """
        row = 0 if whole("side", side, SELL, BUY) == BUY else 1
        if member is None:
            levels = self._arrays.levels[row]["qty"]
            found = np.flatnonzero(levels)
            best = found[::-1] if side == BUY else found
            best = best[: whole("depth", depth, 0, len(levels))]
            return np.column_stack([best + int(self._board["base_tick"][0]), levels[best]]).astype(np.int64)
        seen = self.now_ns - int(self.state.lane["feed_delay_ns"][self._member(member)])
        count, room = int(self._board["ladder_count"][0]), int(self._board["ladder_room"][0])
        ring = self._arrays.ladders["ns"]
        newest = count - 1
        while newest >= max(0, count - room) and ring[newest % room] > seen:
            newest -= 1
        if newest < max(0, count - room):
            if newest < 0:
                return np.zeros((0, 2), np.int64)
            raise CapacityError(f"member {member}'s feed is further behind than {room} pictures; raise ladder_room")
        rungs = self._arrays.rungs[newest % room, row, : min(whole("depth", depth, 0, FOREVER), LADDER_DEPTH)]
        rungs = rungs[rungs["tick"] > 0]
        return np.column_stack([rungs["tick"], rungs["qty"]]).astype(np.int64)

    def queue_ahead(self, member: int, order_id: int) -> int:
        """Lots before a member's resting order in its queue: the truth. Raises UnknownOrderError if it rests not."""
        place = int(place_of(self._handle, self._member(member), order_id))
        if place < 0:
            raise UnknownOrderError(f"member {member} has no resting order {order_id}")
        return place

    def orders(self, member: int) -> NDArray[np.void]:
        """ORDER_DTYPE[k]: a copy of a member's orders that are not settled yet, by id."""
        orders = self.state.orders[self._member(member)]
        unsettled: NDArray[np.void] = np.sort(orders[orders["state"] != FREE], order="id")
        return unsettled

    def account(self, member: int) -> Account:
        """A member's account, marked at the mark price."""
        mid2 = int(self._board["mark_1e8"][0]) // int(self._board["mark_factor"][0])
        return account_of(self.state.lane[self._member(member)], self.econ, mid2)

    def drain_log(self) -> NDArray[np.void]:
        """LOG_DTYPE[k]: the members' event log in order of events; it is empty afterwards."""
        if self.log == "off":
            raise SessionError("this exchange keeps no log; make it with log='fills' or 'full', and log_rows")
        rows: NDArray[np.void] = self.state.log[: int(self._world["log_count"][0])].copy()
        self._world["log_count"] = 0
        assert rows.dtype == LOG_DTYPE
        return rows

    def vary(self, **values: ArrayLike) -> None:
        """Give members latencies, fees or capital of their own (a number, or int[members]), from now on."""
        allowed = ("entry_ns", "response_ns", "feed_delay_ns", "maker_fee_ppb", "taker_fee_ppb", "capital")
        checked = {}
        for name, value in values.items():
            if name not in allowed:
                raise ParamsError(f"members cannot vary {name!r}; they can vary {', '.join(allowed)}")
            low = -100_000_000 if name.endswith("_ppb") else 0
            checked[name] = integers(name, value, self.members, low, 1 << 59, ParamsError)
        for name, array in checked.items():
            self._defaults[name][: self.members] = array
            self.state.lane[name][: self.members] = array

    # -- what it recorded ------------------------------------------------------------------------------------------

    def events(self) -> NDArray[np.void]:
        """EVENT_DTYPE[k]: the recorded rows of levels, a view."""
        return self._arrays.rows[: int(self._board["row_count"][0])]

    def tape(self) -> Tape:
        """The recorded feed of levels. Raises TapeFormatError where nothing was recorded."""
        return Tape(self.events(), self.instrument, self.provenance())

    def order_tape(self) -> OrderTape:
        """The recorded feed of orders, which holds the true place of each in its queue."""
        rows = self._arrays.order_rows[: int(self._board["order_count"][0])].copy()
        return OrderTape(rows, self.instrument, self.provenance())

    def provenance(self) -> dict[str, Any]:
        """How the records came about."""
        return {
            "source": "exchange",
            "flow": None if self.flow is None else self.flow.digest,
            "seed": self.seed,
            "members": self.members,
        }

    def run_digest(self) -> str:
        """SHA-256 over trades, members' answers and accounts, and the flow's account."""
        board = self._board[0]
        names = ("digest", "trades", "traded_lots", "messages", "next_id", "flow_position", "flow_cash", "now_ns")
        sha = hashlib.sha256("|".join(str(int(board[name])) for name in names).encode())
        for row in self.state.lane[: self.members]:
            kept = ("digest", "position", "cash", "fees", "funding", "next_id")
            sha.update("|".join(str(int(row[name])) for name in kept).encode() + b"\n")
        return sha.hexdigest()
