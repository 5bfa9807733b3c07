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
import json
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lobgym.sim import handle
from lobgym.sim.account import Account, account_of
from lobgym.sim.arguments import integers, order_numbers, whole
from lobgym.sim.errors import (
    CapacityError,
    LedgerOverflowError,
    ParamsError,
    SessionError,
    TapeFormatError,
    TimeReversedError,
    UnknownOrderError,
)
from lobgym.sim.exchange.board import LADDER_DEPTH, RECORD_LEVELS, RECORD_ORDERS
from lobgym.sim.exchange.flows import FOREVER, NO_FLOW, ROWS_AN_ORDER
from lobgym.sim.exchange.loop import (
    EXCHANGE_HANDLE_DTYPE,
    ROW_RESERVE,
    enter_members,
    number_of,
    place_of,
    run_exchange,
)
from lobgym.sim.exchange.parts import ExchangeSnapshot, Flow
from lobgym.sim.exchange.schedule import schedule_table
from lobgym.sim.exchange.start import RECORDS, START_NS, start_values
from lobgym.sim.exchange.state import (
    FeedLatency,
    begin,
    bind,
    copy_board,
    empty,
    fits_board,
    grow,
    new_arrays,
    new_board,
    paste_board,
)
from lobgym.sim.importers.order_tape import OrderTape
from lobgym.sim.instrument import SYNTH, Instrument
from lobgym.sim.lane_errors import raise_lane_error
from lobgym.sim.lanes import Lanes, bind_lanes, lane_defaults, new_lanes, taken_log
from lobgym.sim.memory import address_of
from lobgym.sim.money import economics_of, fits
from lobgym.sim.params import SimParams
from lobgym.sim.queue import LOTS_MAX
from lobgym.sim.records import BUY, EVENT_DTYPE, FREE, GTC, MARKET, SELL
from lobgym.sim.rng import stream_key
from lobgym.sim.session import LOG_LEVELS, fills_of
from lobgym.sim.tape import Tape
from lobgym.sim.timeline import STAMPED_DTYPE

__all__ = ["RECORDS", "START_NS", "Exchange", "ExchangeSnapshot", "Flow"]

_FEED_STREAM: Final = 21  # of the random numbers that feed latencies are drawn from
_MEMBERS_MAX: Final = 1 << 16
_FIRST_ROWS: Final = 1 << 17
_NS_MAX: Final = (1 << 62) - 1
_LOG_ROWS_MAX: Final = 1 << 31
_ENTRIES: Final = ("submit", "cancel", "modify", "answer")  # what a member's world is called through
# What may differ from member to member (`Exchange.vary`), and its least and greatest value.
_VARIED: Final = {
    "entry_ns": (0, 60_000_000_000),
    "response_ns": (0, 60_000_000_000),
    "feed_delay_ns": (0, 60_000_000_000),
    "maker_fee_ppb": (-100_000_000, 100_000_000),
    "taker_fee_ppb": (-100_000_000, 100_000_000),
    "capital": (0, 1 << 59),
}
_DIGESTED: Final = ("digest", "position", "cash", "fees", "funding", "next_id")
# The same arithmetic as in the kernels, without the way into compiled code, which costs more.
_fits: Final[Any] = getattr(fits, "py_func", fits)


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
        record_rows: how many rows there is room for at first; more are made room for by copying.

    Raises ParamsError for an argument that is none of these. Only prices of the range are traded: `start_tick` less
    half the width, or 1 where that is higher, is the lowest.
    """

    def __init__(
        self, instrument: Instrument = SYNTH, members: int = 0, flow: Flow | None = None,
        params: SimParams | None = None, seed: int = 0, *, start_ns: int = START_NS, start_tick: int = 600_000,
        width: int = 1 << 18, node_room: int = 1 << 16, record: str = "off", depth_every_ns: int = 50_000_000,
        mark_every_ns: int = 1_000_000_000, funding_every_ns: int = 0,
        schedule: Sequence[tuple[int, int, int, int]] = (), feed: FeedLatency | None = None, ladder_room: int = 4096,
        log: str = "off", log_rows: int = 0, record_rows: int = 1 << 17,
    ) -> None:  # fmt: skip
        self._made_with = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        for name, value, wanted in (
            ("instrument", instrument, Instrument), ("params", params or SimParams(), SimParams),
            ("feed", feed or FeedLatency(), FeedLatency),
        ):  # fmt: skip
            if not isinstance(value, wanted):
                raise ParamsError(f"{name} must be of {wanted.__name__}, got {type(value).__name__}")
        self.instrument = instrument
        self.params = params or SimParams()
        self.flow = flow
        self.members = whole("members", members, 0, _MEMBERS_MAX, ParamsError)
        self.seed = whole("seed", seed, 0, (1 << 63) - 1, ParamsError)
        self.log = log
        self._feed = feed or FeedLatency()
        log_rows = whole("log_rows", log_rows, 0, _LOG_ROWS_MAX, ParamsError)
        if record not in RECORDS or log not in LOG_LEVELS or (log == "off") != (log_rows == 0):
            raise ParamsError(
                f"record must be one of {', '.join(RECORDS)}, log one of {', '.join(LOG_LEVELS)}, with log_rows unless "
                f"off; got {record!r}, {log!r}, {log_rows}"
            )
        if self.params.profile != "conservative":
            raise ParamsError(f"an exchange matches real orders; the profile {self.params.profile!r} is the replay's")
        kind = NO_FLOW if flow is None else flow.kind
        self._start = start_values(
            instrument, kind, self.members, start_ns, start_tick, width, depth_every_ns, mark_every_ns,
            funding_every_ns, RECORDS[record],
        )  # fmt: skip
        whole("node_room", node_room, 2, 1 << 28, ParamsError)
        whole("ladder_room", ladder_room, 0, 1 << 24, ParamsError)
        self._start["ladder_room"] = room = ladder_room if self.members else 0
        self.econ = economics_of(instrument)
        self.state: Lanes = new_lanes(max(1, self.members), self.params, log_rows)
        self._defaults = lane_defaults(max(1, self.members), instrument, self.params)
        self._world, self._kept = bind_lanes(
            instrument, self.params, self.state, self._defaults, LOG_LEVELS[log], _ENTRIES
        )
        whole("record_rows", record_rows, _FIRST_ROWS, _LOG_ROWS_MAX, ParamsError)
        level_rows, order_rows = (record_rows if RECORDS[record] & bit else 0 for bit in (RECORD_LEVELS, RECORD_ORDERS))
        self._arrays = new_arrays(
            width, node_room, level_rows, order_rows, room, schedule_table(schedule), self._feed,
            self._flow_state(start_tick), np.zeros(1, STAMPED_DTYPE),
        )  # fmt: skip
        self._board = new_board(self._arrays, self._world, self._start)
        self._handle_array = np.zeros(1, EXCHANGE_HANDLE_DTYPE)
        self._handle_array["board"] = address_of(self._board)
        self._handle = self._handle_array[0]
        self._lane_handle = handle.make_handle(self._world)
        self._enter()

    def _flow_state(self, start_tick: int) -> NDArray[Any]:
        if self.flow is None:
            return np.zeros(1, np.int64)
        start = self._start
        width = int(self._made_with["width"])
        state = self.flow.state(self.seed, start["now_ns"], start["base_tick"], width, start_tick)
        return np.ascontiguousarray(state)

    def _enter(self) -> None:
        """The seed's part of a beginning."""
        self._arrays.stamped["value"] = self._start["mark_1e8"]
        self._arrays.streams["floor_ns"], self._arrays.streams["mean_ns"] = self._feed.floor_ns, self._feed.mean_ns
        with np.errstate(over="ignore"):
            self._board["feed_key"] = stream_key(self.seed, _FEED_STREAM)
            enter_members(self._handle, self._start["now_ns"], np.uint64(self.seed))

    def reset(self, seed: int | None = None) -> None:
        """Back to the beginning, in place: an empty book, members without orders, nothing recorded.

        With a seed, it is that of the new run. What `vary` set stays.
        """
        if seed is not None:
            self.seed = whole("seed", seed, 0, (1 << 63) - 1, ParamsError)
        empty(self._board, self._arrays)
        self._arrays.flow[...] = self._flow_state(int(self._made_with["start_tick"]))
        for name in ("lane", "orders", "requests", "responses"):
            getattr(self.state, name)[...] = 0
        self._world["log_count"] = 0
        begin(self._board, self._arrays, self._start)
        self._enter()

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
        t_ns = whole("t_ns", t_ns, 0, _NS_MAX)
        self.check()
        if t_ns < self.now_ns:
            raise TimeReversedError(f"the exchange is at {self.now_ns} and cannot go back to {t_ns}")
        with np.errstate(over="ignore"):
            while run_exchange(self._handle, t_ns):
                self._grow()
        self.check()

    def check(self) -> None:
        """Raise what stopped a member, or the flow; to be called after a compiled strategy."""
        raise_lane_error(self.state)
        if self._board["error"][0] != 0:
            raise CapacityError(
                f"the flow's price came to an end of the {len(self._arrays.levels[0])} ticks that this book has room "
                "for; make the exchange with a greater width, or stop it earlier"
            )

    def _grow(self) -> None:
        """More room for recorded rows."""
        least = ROW_RESERVE + ROWS_AN_ORDER * int(self._board["resting"][0])
        self._arrays = grow(self._board, self._arrays, least)

    # -- orders ----------------------------------------------------------------------------------------------------

    def submit(self, member: int, side: int, tick: int, qty: int, tif: int = GTC, reduce_only: bool = False) -> int:
        """Send an order of `qty` lots at `tick`; returns its id. Errors as `Session.submit`."""
        i = self._member(member)
        side, tick, qty, tif = order_numbers(side, tick, qty, tif)
        self._must_fit(1 if tif == MARKET else tick, qty)
        order_id = int(handle.submit(self._lane_handle, i, side, tick, qty, tif, 1 if reduce_only else 0))
        if order_id == 0:
            raise CapacityError(f"member {i} has all {self.params.max_orders} order slots in use; cancel some first")
        self.check()
        return order_id

    def cancel(self, member: int, order_id: int) -> None:
        """Ask for a cancel. Raises UnknownOrderError for an id long gone."""
        i = self._member(member)
        self._known(handle.cancel(self._lane_handle, i, _id_of(order_id)), member, order_id)

    def modify(self, member: int, order_id: int, tick: int, qty: int) -> None:
        """Ask for an order to stand at `tick` with `qty` lots in total, as `Session.modify`."""
        i = self._member(member)
        _, tick, qty, _ = order_numbers(BUY, tick, qty, GTC)
        self._must_fit(tick, qty)
        self._known(handle.modify(self._lane_handle, i, _id_of(order_id), tick, qty), member, order_id)

    def _must_fit(self, tick: int, qty: int) -> None:
        if qty >= LOTS_MAX or not _fits(self.econ, tick, qty):
            raise LedgerOverflowError(f"{qty} lots at {tick} ticks exceed the ledger's integers; order less")

    def _member(self, member: int) -> int:
        if self.members == 0:
            raise SessionError("this exchange has no members; make it with Exchange(members=...)")
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
        if whole("side", side, SELL, BUY) == 0:
            raise SessionError(f"side must be {BUY} (bids) or {SELL} (asks), got 0")
        row = 0 if side == BUY else 1
        depth = whole("depth", depth, 0, FOREVER)
        if member is None:
            levels = self._arrays.levels[row]["qty"]
            found = np.flatnonzero(levels)
            best = found[::-1] if side == BUY else found
            best = best[:depth]
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
        rungs = self._arrays.rungs[newest % room, row, : min(depth, LADDER_DEPTH)]
        rungs = rungs[rungs["tick"] > 0]
        return np.column_stack([rungs["tick"], rungs["qty"]]).astype(np.int64)

    def queue_ahead(self, member: int, order_id: int) -> int:
        """Lots before a member's resting order in its queue: the truth. Raises UnknownOrderError if it rests not."""
        place = int(place_of(self._handle, self._member(member), _id_of(order_id)))
        if place < 0:
            raise UnknownOrderError(f"member {member} has no resting order {order_id}")
        return place

    def venue_number(self, member: int, order_id: int) -> int:
        """The number under which the order tape has a member's resting order. Raises as `queue_ahead`.

        An order that loses its place by a modify goes on under another number.
        """
        number = int(number_of(self._handle, self._member(member), _id_of(order_id)))
        if number < 0:
            raise UnknownOrderError(f"member {member} has no resting order {order_id}")
        return number

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
        return taken_log(self._world, self.state.log)

    def drain_fills(self) -> NDArray[np.void]:
        """FILL_DTYPE[k]: the members' logged fills, `lane` the member; the log is empty afterwards."""
        return fills_of(self.drain_log())

    def digest(self, member: int) -> str:
        """16 hex digits over every answer that a member was given."""
        return f"{int(self.state.lane['digest'][self._member(member)]):016x}"

    def vary(self, **values: ArrayLike) -> None:
        """Give members latencies, fees or capital of their own (a number, or int[members]), from now on."""
        checked = {}
        for name, value in values.items():
            if name not in _VARIED:
                raise ParamsError(f"members cannot vary {name!r}; they can vary {', '.join(_VARIED)}")
            if name.endswith("_fee_ppb") and self._world["fee_tier_count"][0]:
                raise ParamsError(f"{name} follows fee tiers here; give SimParams both fees, and members may vary them")
            if name == "capital" and not self._world["margin"][0]:
                raise ParamsError("nothing asks for capital here: it needs SimParams(capital=...), and no spot market")
            checked[name] = integers(name, value, self.members, *_VARIED[name], ParamsError)
        for name, array in checked.items():
            self._defaults[name][: self.members] = array
            self.state.lane[name][: self.members] = array

    # -- what it recorded ------------------------------------------------------------------------------------------

    def events(self) -> NDArray[np.void]:
        """EVENT_DTYPE[k]: the recorded rows of levels, a view."""
        return self._recorded("rows", "row_count")

    def _recorded(self, name: str, count: str) -> NDArray[np.void]:
        table: NDArray[np.void] = getattr(self._arrays, name)
        used = int(self._board[count][0])
        if used > len(table) > 0:
            raise CapacityError(
                f"{used - len(table)} recorded {name} were lost: one message made more than {ROW_RESERVE}"
            )
        return table[:used]

    def tape(self) -> Tape:
        """The recorded feed of levels. Raises TapeFormatError where nothing was recorded."""
        if not self._start["record"] & RECORD_LEVELS:
            raise TapeFormatError("this exchange records no levels; make it with record='levels' or 'all'")
        return Tape(self.events(), self.instrument, self.provenance())

    def take_tape(self) -> Tape:
        """`tape`, for a day of rows: they are taken off the exchange without a copy, and it records on from here."""
        if not self._start["record"] & RECORD_LEVELS:
            raise TapeFormatError("this exchange records no levels; make it with record='levels' or 'all'")
        tape = Tape.taking(self.events(), self.instrument, self.provenance())
        self._arrays = self._arrays._replace(rows=np.zeros(_FIRST_ROWS, EVENT_DTYPE))
        bind(self._board, self._arrays)
        self._board["row_count"] = 0
        return tape

    def order_tape(self) -> OrderTape:
        """The recorded feed of orders, which holds the true place of each in its queue (`lobgym.sim.exchange.places`).

        Raises TapeFormatError where nothing was recorded.
        """
        if not self._start["record"] & RECORD_ORDERS:
            raise TapeFormatError("this exchange records no orders; make it with record='orders' or 'all'")
        return OrderTape(self._recorded("order_rows", "order_count").copy(), self.instrument, self.provenance())

    def provenance(self) -> dict[str, Any]:
        """How the records came about."""
        return {
            "source": "exchange",
            "flow": None if self.flow is None else self.flow.digest,
            "seed": self.seed,
            "members": self.members,
        }

    def run_digest(self) -> str:
        """SHA-256 over instrument, parameters, trades, members' answers and accounts, and the flow's account."""
        board = self._board[0]
        names = ("digest", "trades", "traded_lots", "messages", "next_id", "flow_position", "flow_cash", "now_ns")
        sha = hashlib.sha256(f"{json.dumps(self.instrument.to_json(), sort_keys=True)}|{self.params.digest}|".encode())
        sha.update("|".join(str(int(board[name])) for name in names).encode())
        for row in self.state.lane[: self.members]:
            sha.update("|".join(str(int(row[name])) for name in _DIGESTED).encode() + b"\n")
        return sha.hexdigest()

    # -- copies ----------------------------------------------------------------------------------------------------

    def _shape_digest(self) -> str:
        """What exchanges have in common that take each other's snapshots."""
        flow = None if self.flow is None else (self.flow.kind, self.flow.digest)
        made = {**self._made_with, "instrument": self.instrument.to_json(), "params": self.params.digest, "flow": flow}
        made["schedule"] = self._arrays.schedule.tolist()
        made["feed"] = self._feed
        del made["seed"]
        return hashlib.sha256(repr(sorted(made.items())).encode()).hexdigest()

    def snapshot(self) -> ExchangeSnapshot:
        """Copy everything: book, flow, members, what was recorded, the log."""
        return ExchangeSnapshot(
            self._shape_digest(), self.seed, copy_board(self._board, self._arrays),
            (*(array.copy() for array in self.state), self._defaults.copy()), int(self._world["log_count"][0]),
        )  # fmt: skip

    def restore(self, snapshot: ExchangeSnapshot) -> None:
        """Go back to a snapshot. Raises SessionError if it belongs to an exchange made with other arguments."""
        if not isinstance(snapshot, ExchangeSnapshot):
            raise SessionError(f"restore takes what snapshot() gave, got {type(snapshot).__name__}")
        if snapshot.digest != self._shape_digest() or not fits_board(snapshot.board, self._arrays):
            raise SessionError("this snapshot was taken of an exchange made with other arguments")
        self._arrays = paste_board(snapshot.board, self._board, self._arrays)
        for array, copy in zip((*self.state, self._defaults), snapshot.lanes, strict=True):
            array[...] = copy
        self._world["log_count"] = snapshot.log_count
        self.seed = snapshot.seed

    def clone(self) -> Exchange:
        """An independent exchange in the same state."""
        other = Exchange(**self._made_with)
        other.restore(self.snapshot())
        return other

    def __copy__(self) -> Exchange:
        return self.clone()  # what is copied field by field would drive this exchange's book

    def __deepcopy__(self, memo: dict[int, Any]) -> Exchange:
        return self.clone()

    def __reduce__(self) -> tuple[Any, ...]:
        raise SessionError("an exchange cannot be pickled: make one where it is needed, and run it there")


def _id_of(order_id: Any) -> int:
    return whole("order_id", order_id, -_NS_MAX, _NS_MAX)
