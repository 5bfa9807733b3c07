"""`ScriptedFlow`: the reactive flow with regimes that stay, bounds of its own, and shocks at stamps known beforehand.

A shock is something that the usual dynamics would not bring about: news, a burst of selling, makers who leave. Between
shocks the flow is `lobgym.sim.flow.reactive`, bit for bit.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.arguments import whole
from lobgym.sim.errors import ParamsError
from lobgym.sim.exchange.board import AUCTION, BOARD_DTYPE, FLOW, NONE, OPEN, Board, best_at, level_at, node_at
from lobgym.sim.exchange.book import next_at, rest
from lobgym.sim.exchange.flows import FOREVER, low_on_room, register_flow
from lobgym.sim.exchange.trading import flow_cancel, flow_take
from lobgym.sim.flow.draws import cells
from lobgym.sim.flow.kernel import act
from lobgym.sim.flow.reactive import ReactiveFlow
from lobgym.sim.flow.record import PRICE_BITS, REACTIVE_DTYPE, flow_of
from lobgym.sim.jit import njit_inner, njit_lean
from lobgym.sim.memory import address_of, target
from lobgym.sim.records import BUY, SELL

__all__ = ["SHOCKS_MAX", "SHOCK_MOVE", "SHOCK_PULL", "SHOCK_REGIME", "SHOCK_SELL", "ScriptedFlow"]

SHOCKS_MAX: Final = 4096
SHOCK_MOVE: Final = 0  # the efficient price moves by a, 2**-16 ticks
# Somebody sells (a < 0: buys) |a| lots at whatever price within b ticks of the best; in an auction, of the efficient
# price, by an order that waits for its end.
SHOCK_SELL: Final = 1
SHOCK_PULL: Final = 2  # of the bids down to b ticks below the best, each a-th stays and all others are cancelled
SHOCK_REGIME: Final = 3  # volatility becomes a, liquidity b; 0, 1 or 2

_TICKS_MAX: Final = 1 << 17
_LOTS_MAX: Final = 1 << 32
_NS_MAX: Final = 1 << 50
_ALLOWED: Final = {
    SHOCK_MOVE: ((-_TICKS_MAX << PRICE_BITS, _TICKS_MAX << PRICE_BITS), (0, 0)),
    SHOCK_SELL: ((-_LOTS_MAX, _LOTS_MAX), (0, _TICKS_MAX)),
    SHOCK_PULL: ((1, _LOTS_MAX), (0, _TICKS_MAX)),
    SHOCK_REGIME: ((0, 2), (0, 2)),
}

_COLUMNS: Final = ("ns", "what", "a", "b")
# The reactive flow's record comes first, so that its kernel finds it at the board's address.
_SCRIPTED_DTYPE: Final = np.dtype(
    [("reactive", REACTIVE_DTYPE), ("shock_next", np.int64), ("shock_count", np.int64)]
    + [(f"shock_{name}", np.int64, (SHOCKS_MAX,)) for name in _COLUMNS],
    align=True,
)
_script_of = target(BOARD_DTYPE, "flow", _SCRIPTED_DTYPE)
_ns_at, _what_at, _a_at, _b_at = (cells(_SCRIPTED_DTYPE, f"shock_{name}", np.int64) for name in _COLUMNS)


@njit_inner
def _shift(x: Board, by: int) -> None:
    """The efficient price moves, within its bounds; whoever watches it reacts at once."""
    s = flow_of(x)
    s["v"] = max(s["low"], min(s["high"], s["v"] + by))
    tick_1e8 = 2 * x["mark_factor"]
    part = s["v"] & ((1 << PRICE_BITS) - 1)
    x["index_1e8"] = (x["base_tick"] + (s["v"] >> PRICE_BITS)) * tick_1e8 + (part * tick_1e8 >> PRICE_BITS)
    s["stale_ns"] = x["now_ns"] + 1
    s["informed_ns"] = x["now_ns"] + 1


@njit_inner
def _sell(x: Board, lots: int, reach: int) -> None:
    side = SELL if lots > 0 else BUY
    if x["phase"] == AUCTION:
        value = int(flow_of(x)["v"] >> PRICE_BITS)
        x["messages"] += 1
        x["refused"] += rest(x, side, max(0, min(x["width"] - 1, value + side * reach)), abs(lots), FLOW, 0) == 0
        return
    best = best_at(x, -side)
    if best != NONE and x["phase"] == OPEN:
        flow_take(x, side, max(0, min(x["width"] - 1, best + side * reach)), abs(lots))
        flow_of(x)["seen_position"] = x["flow_position"]


@njit_inner
def _pull(x: Board, keep: int, reach: int) -> None:
    at = best_at(x, BUY)
    low = at - reach
    seen = 0
    while at != NONE and at >= low and not low_on_room(x, 0):
        worse = next_at(x, BUY, at)
        node = int(level_at(x, BUY, at)["head"])
        while node != 0:
            behind = int(node_at(x, node)["next"])
            seen += 1
            if node_at(x, node)["lane"] == FLOW and seen % keep != 0:
                flow_cancel(x, node, node_at(x, node)["qty"])
            node = behind
        at = worse


@njit_inner
def _shock(x: Board, what: int, a: int, b: int) -> None:
    if what == SHOCK_MOVE:
        _shift(x, a)
    elif what == SHOCK_SELL:
        _sell(x, a, b)
    elif what == SHOCK_PULL:
        _pull(x, a, b)
    else:
        flow_of(x)["volatility"] = a
        flow_of(x)["liquidity"] = b


@njit_lean
def _act_scripted(x: Board, until_ns: int, room: int) -> int:
    """The reactive flow up to each shock, then the shock; see `lobgym.sim.exchange.flows`."""
    script = _script_of(x)
    while True:
        k = script["shock_next"]
        due = FOREVER if k >= script["shock_count"] else _ns_at(script, k)
        due_flow = act(x, min(due, until_ns), room)
        if due > until_ns:
            return min(due_flow, due)
        if due_flow <= due:
            return due_flow
        if low_on_room(x, room):
            return due
        x["now_ns"] = due
        script["shock_next"] = k + 1
        _shock(x, _what_at(script, k), _a_at(script, k), _b_at(script, k))


_SCRIPTED_KIND: Final = register_flow(_act_scripted)


@dataclass(frozen=True)
class ScriptedFlow:
    """A reactive flow in a state of your choice.

    Attributes:
        flow: its parameters. A regime whose mean stay there is 0 never changes by itself.
        volatility, liquidity, trend: the regimes that it begins in: 0, 1 (usual) or 2.
        range_ticks: the efficient price is reflected this far on both sides of where it begins; 0: far away.
        script: (ns after the start, SHOCK_*, a, b), up to SHOCKS_MAX of them, at stamps that do not fall. Where a shock
            and the flow have equal stamps, the flow comes first.

    Raises:
        ParamsError: a value outside its range.
    """

    flow: ReactiveFlow = field(default_factory=ReactiveFlow)
    volatility: int = 1
    liquidity: int = 1
    trend: int = 1
    range_ticks: int = 0
    script: tuple[tuple[int, int, int, int], ...] = ()

    def __post_init__(self) -> None:
        for name in ("volatility", "liquidity", "trend"):
            whole(name, getattr(self, name), 0, 2, ParamsError)
        whole("range_ticks", self.range_ticks, 0, _TICKS_MAX, ParamsError)
        if len(self.script) > SHOCKS_MAX:
            raise ParamsError(f"a script of {len(self.script)} shocks; there is room for {SHOCKS_MAX}")
        before = 0
        for k, (ns, what, a, b) in enumerate(self.script):
            before = whole(f"stamp of shock {k}", ns, before, _NS_MAX, ParamsError)
            if what not in _ALLOWED:
                raise ParamsError(f"shock {k} must be one of SHOCK_*, 0 to {len(_ALLOWED) - 1}; got {what!r}")
            for name, value, (low, high) in zip("ab", (a, b), _ALLOWED[what], strict=True):
                whole(f"{name} of shock {k}", value, low, high, ParamsError)

    @property
    def kind(self) -> int:
        """Number of the kernel; without shocks it is the reactive flow's own."""
        return _SCRIPTED_KIND if self.script else self.flow.kind

    @property
    def digest(self) -> str:
        """SHA-256 of all parameters, as hex."""
        rest = [self.volatility, self.liquidity, self.trend, self.range_ticks, self.script]
        return hashlib.sha256(json.dumps([self.flow.digest, *rest]).encode()).hexdigest()

    def state(self, seed: int, start_ns: int, base_tick: int, width: int, start_tick: int) -> NDArray[Any]:
        """See `lobgym.sim.exchange.exchange.Flow`."""
        plain = self.flow.state(seed, start_ns, base_tick, width, start_tick)
        plain["volatility"], plain["liquidity"], plain["trend"] = self.volatility, self.liquidity, self.trend
        if self.range_ticks:
            plain["low"] = np.maximum(plain["low"], plain["v"] - (self.range_ticks << PRICE_BITS))
            plain["high"] = np.minimum(plain["high"], plain["v"] + (self.range_ticks << PRICE_BITS))
        if not self.script:
            return plain
        made = np.zeros(1, _SCRIPTED_DTYPE)
        made["reactive"] = plain
        address_of(made["reactive"])  # without the compiler a record is found by its address and its dtype
        made["shock_count"] = len(self.script)
        for k, shock in enumerate(self.script):
            for name, value in zip(_COLUMNS, shock, strict=True):
                made[f"shock_{name}"][0, k] = value + (start_ns if name == "ns" else 0)
        return made
