"""The martingale, asked: what takers pay, whether any rule earns, and whether the test would notice.

Each seed is a tape of its own; every policy trades all of it alone, without fees. The statistic is a policy's PnL per
seed, in ticks times lots; seeds are independent, so a one-sided t test over them, with Holm's correction over the
policies, errs anywhere with at most 1%. The same is done on tapes where every trade moves the dealer's value
`EDGE_TICKS` too little: an order filled in the dealer's queue then earns 0.2 bp, which the test must find.

The length of an episode was chosen by power: pilot seeds, which the study never uses, give mean and spread of the
policy that quotes where the dealer quotes, on planted tapes; mean and variance grow with the length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lobgym.agents.baselines import StaticGrid, available_baselines, make_baseline
from lobgym.agents.baselines.alpha import FOLLOW, TARGETS, SignalTable
from lobgym.agents.policy import Policy
from lobgym.experiments.errors import EvaluationError
from lobgym.experiments.evaluation.significance import TTest, holm, normal_quantile, power_of, t_test
from lobgym.experiments.known.run import Earned, run_policies
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.flow.dealer import START_TICK, DealerFlow, dealer_tape
from lobgym.sim.market import Market
from lobgym.sim.params import SimParams

__all__ = ["ALPHA", "EDGE_TICKS", "JOINER", "MartingaleResult", "PolicyResult", "martingale_study", "martingale_table"]

ALPHA: Final = 0.01  # chance of any false positive
EDGE_TICKS: Final = 12  # 0.2 bp of the first price
JOINER: Final = "joining-grid"  # the policy that quotes at the dealer's own best prices
TAKER: Final = "random (target)"  # the policy that only takes, again and again
FIRST_SEED: Final = 20_000
PILOT_SEED: Final = 900_000
PILOTS: Final = 10
_ORDERS: Final = 4  # position limit in orders: little inventory, so that the market's moves drown little
_SEEDS_MIN: Final = 5
_WANTED_POWER: Final = 0.999


@dataclass(frozen=True)
class PolicyResult:
    """One policy over all seeds; `test` is of its PnL per seed in ticks times lots."""

    policy: str
    test: TTest
    p_holm: float
    lots: int
    fills: int
    maker_fills: int
    ticks_per_lot: float | None  # PnL over lots traded; None where nothing was


@dataclass(frozen=True)
class MartingaleResult:
    """The study.

    Attributes:
        half_spread_ticks: what a taker pays in expectation.
        taker: of (PnL + half spread * lots) per seed of the policy that only takes: its mean is 0.
        taker_ticks: what it paid per lot, and the interval of that, in ticks.
        fair, planted: every policy on the martingale, and with the edge.
        power: chance to find the edge, computed before, from pilot seeds.
        minutes_needed: length of an episode for a power of 0.999, by the same; None where pilots found no edge.
    """

    seeds: int
    minutes: float
    half_spread_ticks: int
    taker: TTest
    taker_ticks: tuple[float, float, float]
    fair: tuple[PolicyResult, ...]
    planted: tuple[PolicyResult, ...]
    power: float
    minutes_needed: float | None

    @property
    def failures(self) -> tuple[str, ...]:
        """What is not as it was known to be."""
        found = [f"{one.policy} earns on the martingale, p {one.p_holm:.2g}" for one in self.fair if one.p_holm < ALPHA]
        if not self.taker.low <= 0.0 <= self.taker.high:
            found.append(f"takers pay {self.taker_ticks[0]:.3f} ticks, not the half spread {self.half_spread_ticks}")
        if all(one.p_holm >= ALPHA for one in self.planted):
            found.append(f"the planted edge of {EDGE_TICKS} ticks is not found")
        return tuple(found)


def martingale_study(seeds: int, minutes: float, pilots: int = PILOTS) -> MartingaleResult:
    """Power, then the martingale, then the planted edge.

    Raises:
        EvaluationError: fewer than 5 seeds or 3 pilots, or less than a minute.
    """
    if seeds < _SEEDS_MIN or pilots < 3 or minutes < 1.0:
        raise EvaluationError(f"expected at least 5 seeds, 3 pilots and a minute, got {seeds}, {pilots}, {minutes}")
    flow = DealerFlow.martingale()
    planted = DealerFlow.martingale(impact_ticks=flow.half_spread_ticks - EDGE_TICKS)
    pilot = _runs(planted, range(PILOT_SEED, PILOT_SEED + pilots), minutes)
    tested = t_test([run.tick_lots for run in pilot[JOINER]])
    alpha = ALPHA / len(pilot)  # Holm's first and hardest step
    reach = normal_quantile(1.0 - alpha) + normal_quantile(_WANTED_POWER)
    needed = None if tested.mean <= 0.0 else minutes * (reach * tested.sd / tested.mean) ** 2 / seeds
    fair = _runs(flow, range(FIRST_SEED, FIRST_SEED + seeds), minutes)
    half = flow.half_spread_ticks
    taken = fair[TAKER]
    taker = t_test([run.tick_lots + half * run.lots for run in taken])
    lots = sum(run.lots for run in taken)
    per_lot = sorted(half - bound * seeds / lots for bound in (taker.low, taker.high))
    return MartingaleResult(
        seeds, minutes, half, taker, (half - taker.mean * seeds / lots, per_lot[0], per_lot[1]),
        _results(fair), _results(_runs(planted, range(FIRST_SEED, FIRST_SEED + seeds), minutes)),
        power_of(tested.mean, tested.sd, seeds, alpha), needed,
    )  # fmt: skip


def _results(runs: dict[str, list[Earned]]) -> tuple[PolicyResult, ...]:
    tests = [t_test([run.tick_lots for run in one]) for one in runs.values()]
    made = []
    for name, test, p in zip(runs, tests, holm([test.p_above for test in tests]), strict=True):
        lots = sum(run.lots for run in runs[name])
        fills, makers = sum(run.fills for run in runs[name]), sum(run.maker_fills for run in runs[name])
        made.append(
            PolicyResult(name, test, p, lots, fills, makers, test.mean * test.count / lots if lots else None)
        )  # fmt: skip
    return tuple(made)


def _runs(flow: DealerFlow, seeds: Sequence[int], minutes: float) -> dict[str, list[Earned]]:
    """Every policy's runs, by name."""
    found: dict[str, list[Earned]] = {}
    for seed in seeds:
        market = Market.compile(dealer_tape(flow, seed, minutes / 60.0))
        for spec, named in _desks(market, flow):
            earned = run_policies(market, spec, list(named.values()), seed)
            for name, run in zip(named, earned, strict=True):
                found.setdefault(name, []).append(run)
    return found


def _desks(market: Market, flow: DealerFlow) -> list[tuple[DeskSpec, dict[str, Policy]]]:
    """Desks without fees, and all policies written by hand that can act there; `flat` needs no test."""
    free = SimParams(maker_fee_ppb=0, taker_fee_ppb=0)
    desks = []
    for kind in ("grid", "target"):
        plain = DeskSpec.for_market(market, kind, params=free)
        spec = DeskSpec.for_market(market, kind, params=free, position_lots_max=_ORDERS * plain.order_lots)
        names = [name for name in available_baselines(kind) if name != "flat"]
        named = {f"{name} ({kind})": make_baseline(name, spec, float(START_TICK)) for name in names}
        if kind == "grid":
            spacing = spec.spacing_ticks.index(2 * flow.half_spread_ticks)
            named[JOINER] = StaticGrid(spec, spacing=spacing, levels=1)
        desks.append((spec, named))
    three = DeskSpec.for_market(
        market, "target", params=free, position_lots_max=desks[1][0].position_lots_max, targets=TARGETS
    )
    desks.append((three, {"imbalance-follower": SignalTable(three, FOLLOW, 0.05, "imbalance-follower")}))
    return desks


def martingale_table(result: MartingaleResult) -> list[str]:
    """Lines of Markdown."""
    paid, low, high = result.taker_ticks
    needed = "no number of" if result.minutes_needed is None else f"{result.minutes_needed:.2g}"
    lines = [
        f"Martingale: {result.seeds} seeds of {result.minutes:g} minutes, no fees, half spread "
        f"{result.half_spread_ticks} ticks. The random taker paid {paid:.3f} ticks a lot (99%: {low:.3f} to "
        f"{high:.3f}).",
        f"Power to find a planted edge of {EDGE_TICKS} ticks at {ALPHA:.0%} over all policies: {result.power:.4f}; "
        f"a power of {_WANTED_POWER} needs {needed} minutes a seed.",
        "",
        "| policy | fills | of them maker | ticks a lot | t | p, Holm | with the edge: ticks a lot | t | p, Holm |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for fair, planted in zip(result.fair, result.planted, strict=True):
        made = " | ".join(_figures(one) for one in (fair, planted))
        lines.append(f"| {fair.policy} | {fair.fills:,} | {fair.maker_fills:,} | {made} |")
    return lines


def _figures(one: PolicyResult) -> str:
    earned = "-" if one.ticks_per_lot is None else f"{one.ticks_per_lot:+.2f}"
    return f"{earned} | {one.test.t:+.2f} | {one.p_holm:.2g}"
