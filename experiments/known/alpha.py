"""The planted alpha, asked: does the optimal programme earn in the replay what it computes that it will?

Each strength has fresh seeds, a tape each. Three policies trade one unit at most, with the default latency and the
taker fee of SYNTH: the programme's table, the threshold rule (hold what the signal says), and doing nothing but
holding one unit. PnL is marked at the exchange's mid and counted in round trips: spread and two taker fees.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from lobgym.agents.baselines.alpha import FOLLOW, TARGETS, SignalTable
from lobgym.experiments.errors import EvaluationError
from lobgym.experiments.evaluation.significance import TTest, t_test
from lobgym.experiments.known.programme import AlphaProgramme, Table
from lobgym.experiments.known.run import run_policies
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.flow.dealer import DEALER_FEED, START_TICK, STRENGTHS, DealerFlow, dealer_tape
from lobgym.sim.instrument import SYNTH
from lobgym.sim.market import Market

__all__ = ["UNIT_LOTS", "AlphaResult", "PolicyEarned", "alpha_desk", "alpha_study", "alpha_table"]

UNIT_LOTS: Final = 100  # a flip of two units is well below the thinnest best quote
FIRST_SEED: Final = 30_000
SURE: Final = 0.5  # strengths from here on must earn on every seed
HOLD: Final = ((1, 1, 1), (1, 1, 1), (1, 1, 1))
_PPB: Final = 1e9


@dataclass(frozen=True)
class PolicyEarned:
    """One policy at one strength, in round trips per seed.

    Attributes:
        expected: computed beforehand.
        measured: over the seeds.
        positive: seeds with a PnL above 0.
        worst: of all seeds.
    """

    policy: str
    expected: float
    measured: TTest
    positive: int
    worst: float


@dataclass(frozen=True)
class AlphaResult:
    """A strength.

    Attributes:
        table: the programme's positions by signal and position.
        optimum: greatest expected PnL of any policy on what is seen, the end of the tape known; round trips.
        margin: the programme's mean over its standard deviation between seeds.
    """

    strength: float
    seeds: int
    hours: float
    signals: float  # expected, a seed
    round_trip_ticks: float
    drift_ticks_per_s: float
    table: Table
    optimum: float
    policies: tuple[PolicyEarned, ...]

    @property
    def programme(self) -> PolicyEarned:
        """The optimal policy's row."""
        return self.policies[0]

    @property
    def margin(self) -> float:
        """Standard deviations between the programme's mean and 0."""
        return self.programme.measured.mean / self.programme.measured.sd

    @property
    def failures(self) -> tuple[str, ...]:
        """What is not as it was known to be."""
        found = []
        for one in self.policies[:2]:
            if not one.measured.low <= one.expected <= one.measured.high:
                found.append(
                    f"strength {self.strength}: {one.policy} earned {one.measured.mean:.1f} round trips (99%: "
                    f"{one.measured.low:.1f} to {one.measured.high:.1f}), {one.expected:.1f} were expected"
                )
        if self.strength >= SURE and self.programme.positive < self.seeds:
            found.append(f"strength {self.strength}: positive in {self.programme.positive} of {self.seeds} seeds only")
        return tuple(found)


def alpha_desk(market: Market) -> DeskSpec:
    """One unit, positions -1, 0 and 1, the default venue with its fees and latencies."""
    return DeskSpec.for_market(market, "target", position_lots_max=UNIT_LOTS, targets=TARGETS)


def alpha_study(seeds: int, hours: float, strengths: Sequence[float] = STRENGTHS) -> Iterator[AlphaResult]:
    """Every strength in turn.

    Raises:
        EvaluationError: fewer than 2 seeds.
    """
    if seeds < 2:
        raise EvaluationError(f"expected at least 2 seeds, got {seeds}")
    for number, strength in enumerate(strengths):
        first = FIRST_SEED + number * 1_000
        yield _strength(DealerFlow.planted_alpha(strength), strength, range(first, first + seeds), hours)


def _strength(flow: DealerFlow, strength: float, seeds: Sequence[int], hours: float) -> AlphaResult:
    trip = 2 * (flow.half_spread_ticks + START_TICK * SYNTH.taker_fee_ppb / _PPB)
    earned: dict[str, list[float]] = {}
    for seed in seeds:
        market = Market.compile(dealer_tape(flow, seed, hours))
        spec = alpha_desk(market)
        programme = AlphaProgramme.of(
            flow, spec.interval_ns, spec.params.entry_ns, DEALER_FEED.floor_ns[2], SYNTH.taker_fee_ppb
        )  # fmt: skip
        decisions = (market.end_ns - market.start_ns) // spec.interval_ns
        tables = {"programme": programme.optimal_table(), "threshold": FOLLOW, "always long": HOLD}
        policies = [SignalTable(spec, table, flow.imbalance_threshold, name) for name, table in tables.items()]
        for name, run in zip(tables, run_policies(market, spec, policies, seed), strict=True):
            earned.setdefault(name, []).append(run.tick_lots / UNIT_LOTS / trip)
    rows = []
    for name, table in tables.items():
        values = earned[name]
        positive = sum(value > 0.0 for value in values)
        rows.append(
            PolicyEarned(name, programme.expected(table, decisions) / trip, t_test(values), positive, min(values))
        )  # fmt: skip
    signals = hours * 3600e9 / (flow.stay_ns + flow.rest_ns)
    return AlphaResult(
        strength, len(seeds), hours, signals, trip, flow.drift_ticks_per_s, tables["programme"],
        programme.optimum(decisions) / trip, tuple(rows),
    )  # fmt: skip


def alpha_table(results: Sequence[AlphaResult]) -> list[str]:
    """Lines of Markdown."""
    first = results[0]
    lines = [
        f"Planted alpha: {first.seeds} seeds of {first.hours:g} hours, about {first.signals:.0f} signals each; a round "
        f"trip is {first.round_trip_ticks:g} ticks. PnL per seed, in round trips.",
        "",
        "| strength | drift, ticks/s | policy | expected | measured (99%) | sd | worst | seeds above 0 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for result in results:
        for one in result.policies:
            test = one.measured
            lines.append(
                f"| {result.strength:g} | {result.drift_ticks_per_s:.1f} | {one.policy} | {one.expected:+.1f} | "
                f"{test.mean:+.1f} ({test.low:+.1f} to {test.high:+.1f}) | {test.sd:.1f} | {one.worst:+.1f} | "
                f"{one.positive} of {result.seeds} |"
            )
    return lines
