"""Who plays in the planted alpha beside what was trained: the programme, the threshold rule, and the bet on a side.

Each takes a market and returns a policy and its desk, so that `module:function` names it as a contestant
(`lobgym.experiments.studies.contestants`). The programme is the one for the middle strength.
"""

from __future__ import annotations

from lobgym.agents.baselines.alpha import FOLLOW, SignalTable
from lobgym.agents.policy import Policy
from lobgym.experiments.known.alpha import HOLD, alpha_desk
from lobgym.experiments.known.programme import AlphaProgramme
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.flow.dealer import DEALER_FEED, DealerFlow
from lobgym.sim.instrument import SYNTH
from lobgym.sim.market import Market

__all__ = ["always_long", "programme", "programme_of", "threshold"]

MIDDLE: DealerFlow = DealerFlow.planted_alpha(0.5)


def programme_of(flow: DealerFlow, spec: DeskSpec) -> AlphaProgramme:
    """The decision problem of a desk with the taker fee of SYNTH."""
    fee = SYNTH.taker_fee_ppb if spec.params.taker_fee_ppb is None else spec.params.taker_fee_ppb
    return AlphaProgramme.of(flow, spec.interval_ns, spec.params.entry_ns, DEALER_FEED.floor_ns[2], fee)


def programme(market: Market) -> tuple[Policy, DeskSpec]:
    """The optimal table at the middle strength."""
    spec = alpha_desk(market)
    return SignalTable(spec, programme_of(MIDDLE, spec).optimal_table(), MIDDLE.imbalance_threshold, "programme"), spec


def threshold(market: Market) -> tuple[Policy, DeskSpec]:
    """Hold what the signal says."""
    spec = alpha_desk(market)
    return SignalTable(spec, FOLLOW, MIDDLE.imbalance_threshold, "threshold"), spec


def always_long(market: Market) -> tuple[Policy, DeskSpec]:
    """Hold one unit."""
    spec = alpha_desk(market)
    return SignalTable(spec, HOLD, MIDDLE.imbalance_threshold, "always long"), spec
