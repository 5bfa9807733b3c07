"""All baselines that fit a market, each with the desk that it needs, fitted on the training part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from lobgym.agents.baselines.facts import MarketFacts
from lobgym.agents.baselines.fitting import spread_times
from lobgym.agents.baselines.fixed import RandomHeld, redraw_ppm
from lobgym.agents.baselines.forecasts import ImbalanceTaker
from lobgym.agents.baselines.registry import BASELINES, available_baselines, baseline_spec, make_baseline
from lobgym.agents.errors import AgentError, PolicyError
from lobgym.agents.policy import Policy
from lobgym.sim.actions import GRID, MAKER, TARGET
from lobgym.sim.desk import Desk
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.market import Market

__all__ = ["Suite", "SuiteEntry", "make_suite", "open_baseline", "turnover_of"]

_LANES: Final = 16
_STEPS: Final = 240
_MATCHED: Final = RandomHeld.name


@dataclass(frozen=True)
class SuiteEntry:
    """A baseline on a desk."""

    name: str
    policy: Policy
    spec: DeskSpec


@dataclass(frozen=True)
class Suite:
    """What `make_suite` made.

    Attributes:
        entries: in the order of the desks and of `BASELINES`.
        skipped: "name (kind)" -> why it cannot act on this market.
        facts: what the fitted ones know.
    """

    entries: tuple[SuiteEntry, ...]
    skipped: dict[str, str]
    facts: MarketFacts


def make_suite(
    market: Market, low_ns: int, high_ns: int, specs: Sequence[DeskSpec] | None = None
) -> Suite:  # fmt: skip
    """Every baseline of every desk's kind; nothing outside of [low_ns, high_ns], the training part, is read.

    Args:
        specs: desks of one venue and interval; by default the market's of the kinds grid, target and maker.

    Raises:
        PolicyError: no desks, or desks that differ in venue or interval.
        CalibrationError: a training part shorter than 50 seconds.
    """
    desks = [DeskSpec.for_market(market, kind) for kind in (GRID, TARGET, MAKER)] if specs is None else list(specs)
    if len({(one.params.digest, one.interval_ns) for one in desks}) != 1:
        raise PolicyError(f"a suite needs desks of one venue and one interval, got {len(desks)} that differ, or none")
    facts = MarketFacts.of(market, low_ns, high_ns, desks[0].params, desks[0].interval_ns)
    entries, skipped = [], {}
    for spec in desks:
        for name in available_baselines(spec.kind, suite=True):
            try:
                entries.append(_entry(name, market, spec, facts))
            except AgentError as error:
                skipped[f"{name} ({spec.kind})"] = str(error)
    return Suite(tuple(entries), skipped, facts)


def open_baseline(name: str, market: Market, spec: DeskSpec, low_ns: int, high_ns: int) -> SuiteEntry:
    """One baseline as `make_suite` has it; the training part is looked at only if this one is fitted.

    Raises:
        PolicyError: see `make_baseline`. CalibrationError: a training part shorter than 50 seconds.
    """
    if name not in BASELINES or not (BASELINES[name].fitted or name == _MATCHED):
        return SuiteEntry(name, make_baseline(name, spec, Desk(spec, market).mid2() / 2), spec)
    return _entry(name, market, spec, MarketFacts.of(market, low_ns, high_ns, spec.params, spec.interval_ns))


def _entry(name: str, market: Market, spec: DeskSpec, facts: MarketFacts) -> SuiteEntry:
    own = baseline_spec(name, spec)
    if name == _MATCHED and spec.kind == TARGET:
        return SuiteEntry(name, _matched(market, own, facts), own)
    return SuiteEntry(name, make_baseline(name, own, Desk(own, market).mid2() / 2, facts), own)


def turnover_of(policy: Policy, spec: DeskSpec, market: Market, low_ns: int, high_ns: int) -> float:
    """Mean |change of position| a step over the position limit, of 16 lanes spread over [low_ns, high_ns].

    Raises:
        PolicyError: not even ten steps fit.
    """
    steps = min(_STEPS, (high_ns - low_ns) // spec.interval_ns - 1)
    if steps < 10:
        raise PolicyError(f"turnover is measured over at least 10 steps, the training part has {steps}")
    desk = Desk(spec, market, _LANES, end_ns=high_ns)
    desk.reset(spread_times(low_ns, high_ns - (steps + 1) * spec.interval_ns, _LANES))
    policy.reset(_LANES, 0)
    observations = desk.observe()
    before, moved = np.zeros(_LANES, np.int64), 0
    for _ in range(steps):
        observations, result = desk.step(desk.action.decode(policy.act(observations)))
        moved += int(np.abs(result.position - before).sum())
        before = result.position.copy()
    return moved / (steps * _LANES * spec.position_lots_max)


def _matched(market: Market, spec: DeskSpec, facts: MarketFacts) -> Policy:
    """Random targets that trade as much as the imbalance taker does in the training part."""
    turnover = turnover_of(ImbalanceTaker(spec), spec, market, facts.low_ns, facts.high_ns)
    return RandomHeld(spec, redraw_ppm(spec, turnover))
