"""`MultiSession`: N traders on several markets at once, by one clock (docs/several-markets.md).

Each market is a `Session` of its own with a lane for each trader. Recordings do not influence each other, so that
markets with separate accounts are advanced one after the other; those that share a capital meet wherever it matters
(`lobgym.sim.shared`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lobgym.sim.arguments import array_of, flags, integers, whole
from lobgym.sim.errors import ParamsError, SessionError, TapeExhaustedError, TimeReversedError, UnknownMarketError
from lobgym.sim.instrument import Instrument
from lobgym.sim.kernel import advance_some, next_feed_ns
from lobgym.sim.lane_errors import lane_error
from lobgym.sim.market import Market
from lobgym.sim.memory import address_of
from lobgym.sim.params import SimParams
from lobgym.sim.records import FILL_DTYPE, GTC, LOG_DTYPE
from lobgym.sim.session import Account, Session, Snapshot
from lobgym.sim.world import PEER_DTYPE, World

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ACCOUNTS", "MARKET_FILL_DTYPE", "MARKET_LOG_DTYPE", "AccountSum", "MultiSession", "MultiSnapshot"]

ACCOUNTS: Final = ("each", "shared")
_NS_MAX: Final = (1 << 63) - 1
_SEED_SHIFT: Final = 40  # market m of a trader has the trader's seed plus m << 40, so that delays are drawn apart


def _with_market(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype([*((name, dtype[name]) for name in dtype.names or ()), ("market", np.int32)], align=True)


MARKET_LOG_DTYPE: Final = _with_market(LOG_DTYPE)
MARKET_FILL_DTYPE: Final = _with_market(FILL_DTYPE)


@dataclass(frozen=True)
class AccountSum:
    """A trader's account over all markets, in money units; the figures are those of `Account`, summed.

    `liquidations` counts the checks that found too little margin: once for a shared capital, else in each market.
    """

    cash: int
    fees: int
    funding: int
    equity: int
    view_cash: int
    view_fees: int
    view_funding: int
    view_equity: int
    realised: int
    liquidations: int


@dataclass(frozen=True)
class MultiSnapshot:
    """A copy of the state of every market's lanes."""

    parts: tuple[Snapshot, ...]


class MultiSession:
    """N traders, each with a lane on every market.

    Args:
        markets: compiled tapes, by name or in order; a market is then named by its name or its number.
        params: one for all markets, or one for each, by the same names or in the same order.
        traders: how many.
        account: "each" for an account of its own on every market, "shared" for one on all of them. A shared account
            with a capital has one margin; all its markets settle in one currency.
        log, log_rows: as `Session`, `log_rows` for each market.

    Traders start at `start_ns`, the first time at which every market has begun. Raises ParamsError for markets that
    do not go together.
    """

    def __init__(
        self,
        markets: Sequence[Market] | Mapping[str, Market],
        params: SimParams | Sequence[SimParams] | Mapping[str, SimParams] | None = None,
        traders: int = 1,
        account: str = "each",
        log: str = "off",
        log_rows: int = 0,
    ) -> None:
        if not isinstance(markets, Mapping):
            markets = {str(k): market for k, market in enumerate(markets)}
        self.names: tuple[str, ...] = tuple(markets)
        self.markets: tuple[Market, ...] = tuple(markets.values())
        self.account_kind = account
        if account not in ACCOUNTS:
            raise ParamsError(f"account must be one of {', '.join(ACCOUNTS)}; got {account!r}")
        if not self.markets:
            raise ParamsError("a session needs at least one market, got none")
        self.params = _for_each(self.names, params)
        self.start_ns = max(market.start_ns for market in self.markets)
        self.end_ns = min(market.end_ns for market in self.markets)
        if self.start_ns > self.end_ns:
            spans = ", ".join(f"{m.start_ns} to {m.end_ns}" for m in self.markets)
            raise ParamsError(f"these markets have no time in common: {spans}")
        self._one_currency = len({_money(market.instrument) for market in self.markets}) == 1
        if account == "shared":
            self._check_shared()
        self.sessions = tuple(
            Session(market, chosen, traders, log, log_rows)
            for market, chosen in zip(self.markets, self.params, strict=True)
        )
        # Views of the lanes' records, looked up once.
        self._clocks = tuple(session.state.lane["t_ns"] for session in self.sessions)
        self._errors = tuple(session.state.lane["error"] for session in self.sessions)
        self.linked = account == "shared" and any(session.world["margin"] for session in self.sessions)
        if self.linked:
            self._link()
        self.reset()

    def _check_shared(self) -> None:
        if not self._one_currency:
            moneys = ", ".join("{} in units of {}".format(*_money(market.instrument)) for market in self.markets)
            raise ParamsError(f"a shared account needs one currency, got {moneys}: use account='each'")
        capitals = {one.capital for one in self.params}
        if len(capitals) > 1:
            raise ParamsError(f"a shared account has one capital, got {sorted(map(str, capitals))}")

    def _link(self) -> None:
        """Let the markets' kernels see each other; whoever holds one of their records holds all that it leads to."""
        worlds = [session.world_array for session in self.sessions]
        peers = np.zeros(len(worlds), PEER_DTYPE)
        peers["world"] = [address_of(world) for world in worlds]
        # The plain arrays and not the worlds, which would hold each other in a circle.
        reached = tuple((world.view(np.ndarray).base, world.kept) for world in worlds)
        for k, world in enumerate(worlds):
            world["peers"], world["peer_count"], world["peer_index"] = address_of(peers), len(worlds), k
            world.kept = (*world.kept, peers, reached)

    # -- markets ---------------------------------------------------------------------------------------------------

    @property
    def traders(self) -> int:
        """Number of traders."""
        return self.sessions[0].lanes

    def number_of(self, market: int | str) -> int:
        """A market's number by its name. Raises UnknownMarketError."""
        if isinstance(market, str) and market in self.names:
            return self.names.index(market)
        if isinstance(market, int | np.integer) and 0 <= market < len(self.sessions):
            return int(market)
        known = f"{', '.join(self.names)}, or by number 0 to {len(self.names) - 1}"
        raise UnknownMarketError(f"there is no market {market!r}; there are {known}")

    def session(self, market: int | str) -> Session:
        """One market's session, lane i of it being trader i: to read what this class does not pass on.

        A clone of it stands alone, with a capital of its own.
        """
        return self.sessions[self.number_of(market)]

    def world(self, market: int | str) -> World:
        """One market's record for compiled functions.

        A strategy of several markets advances the lane of each to the same time; with a shared capital, advancing one
        of them advances them all.
        """
        return self.session(market).world

    @contextmanager
    def _naming(self, market: int) -> Iterator[None]:
        try:
            yield
        except (ParamsError, SessionError) as error:
            error.add_note(f"in market {self.names[market]!r}")
            raise

    def check(self) -> None:
        """Raise what stopped a trader, as `Session.check` does. To be called after a compiled strategy."""
        self._check(np.ones(self.traders, np.bool_))

    def _check(self, traders: NDArray[np.bool_]) -> None:
        for k, errors in enumerate(self._errors):
            if errors.any() and errors[traders].any():
                i = int((errors * traders).argmax())
                with self._naming(k):
                    raise lane_error(i, int(errors[i]))

    def _sound(self, trader: int) -> int:
        """The number of a trader whom no error has stopped on any market."""
        i = whole("trader", trader, 0, self.traders - 1)
        self._check(self._only(i))
        return i

    # -- clock -----------------------------------------------------------------------------------------------------

    def t_ns(self, trader: int = 0, market: int | str | None = None) -> int:
        """A trader's clock: that of a market, or the latest."""
        if market is not None:
            return self.session(market).t_ns(trader)
        return max(session.t_ns(trader) for session in self.sessions)

    def vary(self, market: int | str | None = None, **values: ArrayLike) -> None:
        """`Session.vary` on one market, or on all; a shared capital on all only, spot markets among them.

        Raises ParamsError, and changes nothing on any market, where one of them would raise it.
        """
        if self.linked and market is not None and "capital" in values:
            raise ParamsError(f"the capital is shared: vary it on all markets, not on {market!r}")
        chosen = range(len(self.sessions)) if market is None else (self.number_of(market),)
        checked = []
        for k in chosen:
            with self._naming(k):
                checked.append(self.sessions[k].varied(**values))
        for k, varied in zip(chosen, checked, strict=True):
            self.sessions[k].set_varied(varied)

    def reset(
        self, start_ns: ArrayLike | None = None, seed: ArrayLike = 0, mask: NDArray[np.bool_] | None = None
    ) -> None:
        """Empty the traders' accounts (those of `mask`, bool[N]) and put them at `start_ns` (int or int64[N]).

        An integer seed s gives trader i the seed s + i, and market m of a trader with seed s the seed s + (m << 40);
        an array [N, M] states each. Raises TapeExhaustedError outside the time that all markets have, SessionError for
        a negative seed, what is no integer, or a mask that is none; nothing is reset then.
        """
        starts = integers("start_ns", self.start_ns if start_ns is None else start_ns, self.traders)
        chosen = np.ones(self.traders, np.bool_) if mask is None else flags("mask", mask, self.traders)
        outside = ((starts < self.start_ns) | (starts > self.end_ns)) & chosen
        if outside.any():
            i = int(outside.argmax())
            raise TapeExhaustedError(
                f"trader {i} cannot start at {starts[i]}: the markets have {self.start_ns} to {self.end_ns} in common"
            )
        seeds = self._by_market("seed", seed, self.sessions[0].seeds_of)
        if np.ndim(seed) < 2:
            seeds = seeds + (np.arange(len(self.sessions), dtype=np.uint64)[:, None] << np.uint64(_SEED_SHIFT))
        for session, given in zip(self.sessions, seeds, strict=True):
            session.reset(starts, given, chosen)

    def advance(self, t_ns: ArrayLike, mask: NDArray[np.bool_] | None = None) -> None:
        """Advance traders (those of `mask`) to `t_ns`, everything stamped up to and at it included.

        Args:
            t_ns: int, int64[N], or int64[N, M] for a time of its own on each market.
            mask: bool[N], or bool[N, M]; the others stay where they are. None is everyone.

        Raises TimeReversedError, TapeExhaustedError beyond a market's end, SessionError where a shared capital would
        be torn apart or for times that are no integers and masks that are none: nobody moves then. CapacityError or
        LedgerOverflowError if a bound was hit on the way.
        """
        times = self._by_market("t_ns", t_ns, lambda part: integers("t_ns", part, self.traders))
        everyone = np.ones(self.traders, np.bool_)
        chosen = self._by_market("mask", everyone if mask is None else mask, self._flags)
        moved: NDArray[np.bool_] = np.logical_or.reduce(chosen)
        self._check(moved)
        for k, session in enumerate(self.sessions):
            clocks = self._clocks[k]
            back = (times[k] < clocks) & chosen[k]
            if back.any():
                i = int(back.argmax())
                raise TimeReversedError(
                    f"trader {i} is at {clocks[i]} in market {self.names[k]!r} and cannot go back to {times[k][i]}"
                )
            beyond = (times[k] > session.end_ns) & chosen[k]
            if beyond.any():
                latest = int(times[k][beyond].max())
                raise TapeExhaustedError(f"market {self.names[k]!r} ends at {session.end_ns}, {latest} lies beyond it")
        if self.linked:
            together = (chosen == chosen[0]).all() and ((times == times[0]) | ~chosen).all()
            if not together:
                raise SessionError("markets that share a capital advance together: give a trader one time for all")
            advance_some(self.sessions[0].world, chosen[0], times[0])
        else:
            for session, at, who in zip(self.sessions, times, chosen, strict=True):
                advance_some(session.world, who, at)
        self._check(moved)

    def _by_market(self, name: str, value: Any, checked: Callable[[Any], NDArray[Any]]) -> NDArray[Any]:
        """[M, N]: a value for all, for each trader, or for each of them on each market ([N, M]), checked."""
        shape = self.traders, len(self.sessions)
        given = array_of(name, value)
        if given.ndim < 2:
            row = checked(value)
            made = np.empty(shape[::-1], row.dtype)
            made[:] = row
            return made
        if given.shape != shape:
            raise SessionError(
                f"{name} must be one for each of {shape[0]} traders, on each of {shape[1]} markets or "
                f"on all; got the shape {given.shape}"
            )
        return np.stack([checked(part) for part in given.T])

    def _flags(self, value: Any) -> NDArray[np.bool_]:
        return flags("mask", value, self.traders)

    def advance_to_feed(self, trader: int = 0) -> int:
        """Advance one trader to the next row of any feed; returns the clock. Raises TapeExhaustedError at the end."""
        trader = self._sound(trader)
        soonest = min(int(next_feed_ns(session.world, trader)) for session in self.sessions)
        seen = max(soonest, self.t_ns(trader))
        if seen > self.end_ns:
            raise TapeExhaustedError(f"trader {trader} has seen all that the markets have up to {self.end_ns}")
        self.advance(seen, self._only(trader))
        return seen

    def wait(self, trader: int, market: int | str, order_id: int, timeout_ns: int) -> bool:
        """Advance one trader until it learns something about an order, `timeout_ns` at most; whether it did."""
        k, trader = self.number_of(market), self._sound(trader)
        session = self.sessions[k]
        left_ns = max(0, self.end_ns - session.t_ns(trader))
        with self._naming(k):
            came = session.wait(trader, order_id, min(whole("timeout_ns", timeout_ns, 0, _NS_MAX), left_ns))
        now = session.t_ns(trader)
        behind = self._only(trader)[:, None] & np.array([[s.t_ns(trader) < now for s in self.sessions]])
        if behind.any():
            self.advance(now, behind)
        self._sound(trader)
        return came

    def __copy__(self) -> MultiSession:
        return self.clone()  # what is copied field by field would drive this session's lanes

    def __deepcopy__(self, memo: dict[int, Any]) -> MultiSession:
        return self.clone()

    def __reduce__(self) -> tuple[Any, ...]:
        raise SessionError("sessions over several markets cannot be pickled: make one where it is needed, and restore")

    def _only(self, trader: int) -> NDArray[np.bool_]:
        mask: NDArray[np.bool_] = np.arange(self.traders) == trader
        return mask

    # -- orders ----------------------------------------------------------------------------------------------------

    def submit(
        self, trader: int, market: int | str, side: int, tick: int, qty: int, tif: int = GTC, reduce_only: bool = False
    ) -> int:
        """`Session.submit` on one market; ids count from 1 for each trader and market."""
        k = self.number_of(market)
        with self._naming(k):
            return self.sessions[k].submit(trader, side, tick, qty, tif, reduce_only)

    def cancel(self, trader: int, market: int | str, order_id: int) -> None:
        """`Session.cancel` on one market."""
        k = self.number_of(market)
        with self._naming(k):
            self.sessions[k].cancel(trader, order_id)

    def modify(self, trader: int, market: int | str, order_id: int, tick: int, qty: int) -> None:
        """`Session.modify` on one market."""
        k = self.number_of(market)
        with self._naming(k):
            self.sessions[k].modify(trader, order_id, tick, qty)

    # -- what can be read ------------------------------------------------------------------------------------------

    def orders(self, trader: int, market: int | str) -> NDArray[np.void]:
        """ORDER_DTYPE[k]: a trader's orders on one market that are not settled yet, by id."""
        return self.session(market).orders(trader)

    def account(self, trader: int, market: int | str) -> Account:
        """A trader's account on one market."""
        return self.session(market).account(trader)

    def total(self, trader: int = 0) -> AccountSum:
        """A trader's account over all markets. Raises SessionError where they settle in different currencies."""
        if not self._one_currency:
            raise SessionError("these markets settle in different currencies: their amounts have no sum")
        parts = [session.account(trader) for session in self.sessions]
        sums = {one.name: sum(getattr(part, one.name) for part in parts) for one in fields(AccountSum)}
        if self.linked:
            sums["liquidations"] = parts[0].liquidations
        return AccountSum(**sums)

    def bests(self, trader: int, market: int | str, at_exchange: bool = False) -> tuple[int | None, int | None]:
        """`Session.bests` of one market."""
        return self.session(market).bests(trader, at_exchange)

    def ladder(
        self, trader: int, market: int | str, side: int, depth: int, at_exchange: bool = False
    ) -> NDArray[np.int64]:
        """`Session.ladder` of one market."""
        return self.session(market).ladder(trader, side, depth, at_exchange)

    def drain_log(self) -> NDArray[np.void]:
        """MARKET_LOG_DTYPE[k]: all logs by stamp, then market, then as logged; they are empty afterwards."""
        return _merged([session.drain_log() for session in self.sessions], MARKET_LOG_DTYPE, "ns")

    def drain_fills(self) -> NDArray[np.void]:
        """MARKET_FILL_DTYPE[k]: the logged fills by stamp, then market; the logs are empty afterwards."""
        return _merged([session.drain_fills() for session in self.sessions], MARKET_FILL_DTYPE, "exch_ns")

    def digest(self, trader: int = 0) -> str:
        """16 hex digits over a trader's digests on all markets."""
        return hashlib.sha256("|".join(one.digest(trader) for one in self.sessions).encode()).hexdigest()[:16]

    def run_digest(self) -> str:
        """SHA-256 over how the accounts are kept and each market's `Session.run_digest`."""
        parts = [self.account_kind, *(session.run_digest() for session in self.sessions)]
        return hashlib.sha256("|".join(parts).encode()).hexdigest()

    # -- copies ----------------------------------------------------------------------------------------------------

    def snapshot(self) -> MultiSnapshot:
        """Copy the state of every trader on every market."""
        return MultiSnapshot(tuple(session.snapshot() for session in self.sessions))

    def restore(self, snapshot: MultiSnapshot) -> None:
        """Go back to a snapshot. Raises SessionError if it belongs to other markets or another shape."""
        if not isinstance(snapshot, MultiSnapshot):
            raise SessionError(f"restore takes what snapshot() gave, got {type(snapshot).__name__}")
        if len(snapshot.parts) != len(self.sessions):
            raise SessionError(f"this snapshot has {len(snapshot.parts)} markets, the session {len(self.sessions)}")
        for session, part in zip(self.sessions, snapshot.parts, strict=True):
            session.check_snapshot(part)
        for session, part in zip(self.sessions, snapshot.parts, strict=True):
            session.restore(part)

    def clone(self) -> MultiSession:
        """An independent session in the same state."""
        first = self.sessions[0]
        markets = dict(zip(self.names, self.markets, strict=True))
        other = MultiSession(markets, self.params, self.traders, self.account_kind, first.log, len(first.state.log))
        for mine, its in zip(self.sessions, other.sessions, strict=True):
            its.copy_defaults(mine)
        other.restore(self.snapshot())
        return other


# -- helpers -----------------------------------------------------------------------------------------------------------


def _for_each(
    names: tuple[str, ...], params: SimParams | Sequence[SimParams] | Mapping[str, SimParams] | None
) -> tuple[SimParams, ...]:
    if params is None or isinstance(params, SimParams):
        return (params or SimParams(),) * len(names)
    if isinstance(params, Mapping):
        if set(params) != set(names):
            raise ParamsError(f"params are for {', '.join(params)}, the markets are {', '.join(names)}")
        return tuple(params[name] for name in names)
    if len(params) != len(names):
        raise ParamsError(f"expected one SimParams for each of {len(names)} markets, got {len(params)}")
    return tuple(params)


def _money(instrument: Instrument) -> tuple[str, str]:
    """The currency that an instrument settles in, and what one integer of it is worth."""
    return instrument.base if instrument.is_inverse else instrument.quote, str(instrument.money_unit)


def _merged(parts: list[NDArray[np.void]], dtype: np.dtype[Any], stamp: str) -> NDArray[np.void]:
    rows = np.zeros(sum(map(len, parts)), dtype)
    start = 0
    for k, part in enumerate(parts):
        block = rows[start : start + len(part)]
        for name in part.dtype.names or ():
            block[name] = part[name]
        block["market"] = k
        start += len(part)
    merged: NDArray[np.void] = rows[np.argsort(rows[stamp], kind="stable")]
    return merged
