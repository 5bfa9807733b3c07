"""Every scenario: what happens in it, its parameters, and the plan that makes it happen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from lobgym.sim.errors import ScenarioError
from lobgym.sim.exchange.board import (
    AUCTION,
    DO_FEED,
    DO_LATENCY,
    DO_PHASE,
    DO_PREMIUM,
    DO_PRINT,
    HALTED_PHASE,
    OPEN,
)
from lobgym.sim.flow.dealer import DEALER_FEED, WIDTH, DealerFlow
from lobgym.sim.flow.dealer import START_TICK as DEALER_TICK
from lobgym.sim.flow.reactive import ReactiveFlow
from lobgym.sim.flow.record import PRICE_BITS
from lobgym.sim.flow.shocks import SHOCK_MOVE, SHOCK_PULL, SHOCK_REGIME, SHOCK_SELL, ScriptedFlow
from lobgym.sim.flow.tables import bucket_width
from lobgym.sim.params import SimParams
from lobgym.sim.rng import below
from lobgym.sim.scenarios.names import COMMON, Parameter, ScenarioName
from lobgym.sim.scenarios.record import Plan

__all__ = ["SCENARIOS", "Scenario"]

START_TICK: Final = 600_000  # of the exchange
_NS: Final = 1_000_000_000
_MS: Final = 1_000_000
_TICKS_A_BP: Final = START_TICK // 10_000
_STREAM: Final = 41  # of the random numbers here
_RATE_A_BP: Final = 100_000_000  # funding rates are in 1e-12
_FAR_BPS: Final = 2_500  # a drift leads no further: the book has room for 3,200


@dataclass(frozen=True)
class Scenario:
    """A market by name.

    Attributes:
        about: what happens, one line.
        extra: its own parameters, beside the common ones.
        plan: how it is made.
        params: the venue's rules that go with it, where the tape alone cannot say what happens.
    """

    name: str
    about: str
    plan: Callable[[ScenarioName], Plan]
    extra: tuple[Parameter, ...] = ()
    params: Callable[[ScenarioName], SimParams] = lambda name: SimParams()

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Common ones first."""
        return COMMON + self.extra

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        made = [one.to_json() for one in self.parameters]
        return {"name": f"synth:{self.name}", "about": self.about, "parameters": made}


def _steady(**changes: Any) -> ReactiveFlow:
    """The built-in flow with regimes that stay as they begin."""
    return replace(ReactiveFlow(), volatility_hold_s=0.0, liquidity_hold_s=0.0, trend_hold_s=0.0, **changes)


def _window(name: ScenarioName, seconds: float) -> tuple[int, int]:
    """(begin, end) in ns of something that lasts so long and begins halfway; what ends must end within the tape."""
    begin, length = name.span_ns // 2, round(seconds * _NS)
    if begin + length >= name.span_ns:
        raise ScenarioError(
            f"{name.text}: {seconds:g} s from halfway on do not fit into {name['minutes']:g} minutes; make it longer "
            f"than {seconds / 30:g} minutes"
        )
    return begin, begin + length


# -- moods -------------------------------------------------------------------------------------------------------------


def _calm(name: ScenarioName) -> Plan:
    return Plan(ScriptedFlow(_steady(), volatility=0))


def _trend(name: ScenarioName, trend: int) -> Plan:
    bps = name["bps_per_hour"]
    if bps * name["minutes"] / 60 > _FAR_BPS:
        raise ScenarioError(
            f"{name.text}: {bps:g} bps an hour lead {bps * name['minutes'] / 60:,.0f} bps away, beyond the {_FAR_BPS} "
            "that the book has room for; ask for fewer or for less time"
        )
    drift = bps * _TICKS_A_BP / 3600.0
    return Plan(ScriptedFlow(_steady(drift_ticks_per_s=drift), trend=trend))


def _sideways(name: ScenarioName) -> Plan:
    return Plan(ScriptedFlow(_steady(), range_ticks=max(1, round(name["range_bps"] * _TICKS_A_BP / 2))))


def _volatile(name: ScenarioName) -> Plan:
    usual = ReactiveFlow()
    jumps = tuple(one * name["jumps"] for one in usual.jump_ticks)
    return Plan(ScriptedFlow(_steady(jump_ticks=jumps), volatility=2))


def _thin_book(name: ScenarioName) -> Plan:
    usual = ReactiveFlow()
    share = name["depth"]
    return Plan(ScriptedFlow(_steady(limit_lots=tuple(one * share for one in usual.limit_lots))))


_NEVER: Final = 1e-6  # a second
_REPAIR: Final = 80.0  # an empty price attracts so many times the orders of one with a usual queue


def _wide_spread(name: ScenarioName) -> Plan:
    """What usually goes to the best price goes to a distance bucket further out, and nothing to those before it."""
    usual = ReactiveFlow()
    bucket = int(name["ticks"]).bit_length() - 1  # they begin at 0, 1, 2, 4, 8, ... ticks from the middle
    nobody = (0.0,) * len(usual.limit_per_s[0])
    width = bucket_width(bucket)
    best = tuple(one / width for one in usual.limit_per_s[0])
    best = (_REPAIR * best[3], *best[1:])
    rates = (nobody,) * bucket + (best,) + usual.limit_per_s[bucket + 1 :]
    return Plan(ScriptedFlow(_steady(limit_per_s=rates, repair_per_s=_NEVER)))


# -- events ------------------------------------------------------------------------------------------------------------

_FALL_STEP_NS: Final = 100 * _MS
_RISE_STEP_NS: Final = 250 * _MS
_SOLD_LOTS: Final = 3_000  # at each step of the fall, a little less or more
_SOLD_REACH: Final = 200  # ticks
_PULL_REACH: Final = 4_096
_PULL_KEEP: Final = 4  # each so-manieth bid stays


def _flash_crash(name: ScenarioName) -> Plan:
    """Bids leave, somebody sells and sells, the efficient price follows; then a part of the way back, in steps."""
    begin, end = _window(name, name["fall_s"] + name["rise_s"])
    low = begin + round(name["fall_s"] * _NS)
    fall = round(name["bps"] * _TICKS_A_BP) << PRICE_BITS
    script = [(begin, SHOCK_REGIME, 2, 0)]
    stamps = range(begin, low, _FALL_STEP_NS)
    with np.errstate(over="ignore"):
        for k, ns in enumerate(stamps):
            sold = _SOLD_LOTS // 2 + int(below(name["seed"], _STREAM, k, _SOLD_LOTS))
            by = fall * (k + 1) // len(stamps) - fall * k // len(stamps)
            if k % 10 == 0:
                script.append((ns, SHOCK_PULL, _PULL_KEEP, _PULL_REACH))
            script += [(ns, SHOCK_SELL, sold, _SOLD_REACH), (ns, SHOCK_MOVE, -by, 0)]
    rise = round(fall * name["recovery"])
    stamps = range(low, end, _RISE_STEP_NS)
    for k, ns in enumerate(stamps):
        script.append((ns, SHOCK_MOVE, rise * (k + 1) // len(stamps) - rise * k // len(stamps), 0))
    script.append((end, SHOCK_REGIME, 1, 1))
    return Plan(ScriptedFlow(_steady(), script=tuple(script)))


_AT_OPENING: Final = 40  # orders
_OPENING_LOTS: Final = 400  # on average
_OPENING_REACH: Final = 20  # ticks


def _halt(name: ScenarioName) -> Plan:
    """The day begins with an auction; halfway trading halts, and begins again with another one."""
    auction = round(name["auction_s"] * _NS)
    begin, end = _window(name, name["seconds"] + name["auction_s"])
    if auction >= begin:
        raise ScenarioError(f"{name.text}: an opening auction of {name['auction_s']:g} s does not end before the halt")
    tasks = ((0, AUCTION), (auction, OPEN), (begin, HALTED_PHASE), (end - auction, AUCTION), (end, OPEN))
    script = []
    with np.errstate(over="ignore"):
        for k in range(2 * _AT_OPENING):  # who wants to trade at the opening says so at the last moment
            side = 1 - 2 * (k % 2)
            lots = 1 + int(below(name["seed"], _STREAM, k, 2 * _OPENING_LOTS))
            script.append((auction if k < _AT_OPENING else end, SHOCK_SELL, side * lots, _OPENING_REACH))
    return Plan(ScriptedFlow(script=tuple(script)), tuple((ns, DO_PHASE, phase, 0) for ns, phase in tasks))


def _outage(name: ScenarioName) -> Plan:
    begin, end = _window(name, name["seconds"])
    return Plan(ReactiveFlow(), ((begin, DO_FEED, 1, 0), (end, DO_FEED, 0, 0)))


def _bad_prints(name: ScenarioName) -> Plan:
    count = name["prints"]
    seed, span = name["seed"], name.span_ns
    far = round(name["bps"] * _TICKS_A_BP)
    tasks = []
    with np.errstate(over="ignore"):
        for k in range(count):
            ns = span * k // count + int(below(seed, _STREAM, 4 * k, span // count))
            side = 1 - 2 * int(below(seed, _STREAM, 4 * k + 1, 2))
            tick = START_TICK + side * (far + int(below(seed, _STREAM, 4 * k + 2, far)))
            lots = 1 + int(below(seed, _STREAM, 4 * k + 3, 2_000))
            tasks.append((ns, DO_PRINT, tick, side * lots))
    return Plan(ReactiveFlow(), tuple(tasks))


_USUAL_FEED: Final = (1_500_000, 1_000_000)  # floor and mean, ns
_PERIODS: Final = 4


def _late_fills(name: ScenarioName) -> Plan:
    """Quarters of the tape: the middle of each is late."""
    late = round(name["feed_ms"] * _MS)
    span = name.span_ns
    tasks = []
    for k in range(_PERIODS):
        begin = span * k // _PERIODS
        tasks.append((begin + span // _PERIODS * 2 // 5, DO_LATENCY, late, late // 2))
        tasks.append((begin + span // _PERIODS * 3 // 5, DO_LATENCY, *_USUAL_FEED))
    return Plan(ReactiveFlow(), tuple(tasks))


def _late_params(name: ScenarioName) -> SimParams:
    return SimParams(response_ns=round(name["response_ms"] * _MS))


def _funding_spike(name: ScenarioName) -> Plan:
    span = name.span_ns
    every = max(1, span // name["settlements"])
    spike = round(name["bps"] * _RATE_A_BP)
    tasks = ((span // 2, DO_PREMIUM, spike, 0), (span * 3 // 4, DO_PREMIUM, 0, 0))
    return Plan(ReactiveFlow(), tasks, {"funding_every_ns": every})


# -- known answers -----------------------------------------------------------------------------------------------------

_DEALER_EXCHANGE: Final = {
    "start_tick": DEALER_TICK, "width": WIDTH, "node_room": 1 << 12, "depth_every_ns": 0, "feed": DEALER_FEED,
}  # fmt: skip


def _martingale(name: ScenarioName) -> Plan:
    return Plan(DealerFlow.martingale(), exchange=_DEALER_EXCHANGE)


def _planted_alpha(name: ScenarioName) -> Plan:
    return Plan(DealerFlow.planted_alpha(name["strength"]), exchange=_DEALER_EXCHANGE)


_TREND: Final = (Parameter("bps_per_hour", 240.0, 1.0, 5_000.0, "drift of the price"),)
_RECOVERY: Final = "share of the fall that is made good"

SCENARIOS: Final[dict[str, Scenario]] = {
    one.name: one
    for one in (
        Scenario("calm", "quiet makers, small moves, nothing happens", _calm),
        Scenario("trend-up", "the price drifts upwards", lambda name: _trend(name, 2), _TREND),
        Scenario("trend-down", "the price drifts downwards", lambda name: _trend(name, 0), _TREND),
        Scenario(
            "sideways", "the price moves as usual, but turns back at both ends of a range", _sideways,
            (Parameter("range_bps", 10.0, 1.0, 1_000.0, "width of the range"),),
        ),
        Scenario(
            "volatile", "jumps are larger, makers keep back, takers are many", _volatile,
            (Parameter("jumps", 2.0, 1.0, 10.0, "size of jumps, in usual ones"),),
        ),
        Scenario(
            "flash-crash", "halfway bids leave and a burst of selling empties the book; a part of it is made good",
            _flash_crash,
            (
                Parameter("bps", 200.0, 10.0, 1_500.0, "fall"),
                Parameter("fall_s", 20.0, 1.0, 120.0, "how long it takes"),
                Parameter("rise_s", 60.0, 1.0, 240.0, "how long the way back takes"),
                Parameter("recovery", 0.6, 0.0, 1.0, _RECOVERY),
            ),
        ),
        Scenario(
            "thin-book", "orders are small: little stands at any price, and takers move it", _thin_book,
            (Parameter("depth", 0.2, 0.02, 1.0, "size of limit orders, in usual ones"),),
        ),
        Scenario(
            "wide-spread", "nobody quotes near the middle", _wide_spread,
            (Parameter("ticks", 16, 4, 64, "about the usual spread", choices=(4, 8, 16, 32, 64)),),
        ),
        Scenario(
            "halt", "an opening auction; halfway trading halts, and another auction ends the halt", _halt,
            (
                Parameter("seconds", 60.0, 1.0, 3_600.0, "from the halt to the auction"),
                Parameter("auction_s", 15.0, 1.0, 600.0, "both auctions' length"),
            ),
        ),
        Scenario(
            "outage", "halfway the feed falls silent while the market goes on; it comes back with a snapshot", _outage,
            (Parameter("seconds", 30.0, 0.1, 3_600.0, "silence"),),
        ),
        Scenario(
            "bad-prints", "prints far from the market that no trade stands behind", _bad_prints,
            (
                Parameter("prints", 20, 1, 10_000, "how many"),
                Parameter("bps", 300.0, 50.0, 2_000.0, "how far away at least; twice that at most"),
            ),
        ),
        Scenario(
            "late-fills", "the feed is late for a fifth of the time, and answers always are", _late_fills,
            (
                Parameter("feed_ms", 400.0, 1.0, 20_000.0, "lateness of the feed in the late parts, at least"),
                Parameter("response_ms", 500.0, 0.0, 20_000.0, "answers' way back, a parameter of the venue"),
            ),
            _late_params,
        ),
        Scenario(
            "funding-spike", "in the third quarter the funding rate leaves every usual bound", _funding_spike,
            (
                Parameter("bps", 150.0, -5_000.0, 5_000.0, "added to the rate of an interval"),
                Parameter("settlements", 8, 4, 96, "how often funding is paid"),
            ),
        ),
        Scenario("martingale", "a dealer's market in which nothing can be earned, by nobody", _martingale),
        Scenario(
            "planted-alpha", "a dealer's market whose best sizes say where it drifts", _planted_alpha,
            (Parameter("strength", 0.5, 0.0, 100.0, "what a signal is worth, in round trips, net of one"),),
        ),
    )
}  # fmt: skip
