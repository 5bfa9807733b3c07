"""How well a policy trades: the same episodes for every policy, exact money, one figure per seed.

A seed fixes the starts of its episodes, drawn evenly from the split as the environments do it; every policy meets the
same starts, so that differences between policies are paired. The desk is the one of training and service. An episode
ends with its horizon, whatever was lost by then; open positions are marked at the mid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from lobgym.agents.policy import Policy
from lobgym.envs.spans import EpisodeStarts
from lobgym.experiments.errors import EvaluationError
from lobgym.experiments.evaluation.stats import max_drawdown
from lobgym.sim.actions import EXECUTION
from lobgym.sim.desk import Desk
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.instrument import Instrument
from lobgym.sim.market import Market

__all__ = ["EvalConfig", "Evaluation", "Evaluator", "SeedMetrics", "Trace"]

EPISODES_MAX: Final = 1024  # per seed; lane seeds are seed * EPISODES_MAX + episode, so they never meet
_FILL_LOG: Final = 4096  # rows of one lane's fills in one step


@dataclass(frozen=True)
class EvalConfig:
    """What every policy of one comparison meets.

    Attributes:
        seeds: each fixes `episodes` starts.
        episodes: per seed, 1 to 1024.
        horizon: steps of an episode.
        split, test_fraction, embargo_ns: part of the tape, cut as in training (`lobgym.envs.spans`); or as `split`
            the first and last nanosecond that an episode may touch, to which the other two do not apply.
    """

    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    episodes: int = 8
    horizon: int = 240
    split: str | tuple[int, int] = "test"
    test_fraction: float = 0.3
    embargo_ns: int = 60_000_000_000

    def __post_init__(self) -> None:
        if (
            not self.seeds
            or len(set(self.seeds)) != len(self.seeds)
            or not 0 <= min(self.seeds) <= max(self.seeds) < 2**31
        ):
            raise EvaluationError(f"expected distinct seeds from 0 to 2^31 - 1, got {self.seeds}")
        if not 1 <= self.episodes <= EPISODES_MAX or self.horizon < 1:
            raise EvaluationError(
                f"expected 1 to {EPISODES_MAX} episodes of at least 1 step, got {self.episodes} of {self.horizon}"
            )

    def lane_seeds(self, seed: int) -> NDArray[np.uint64]:
        """uint64[episodes]: the lanes' seeds."""
        return np.uint64(seed * EPISODES_MAX) + np.arange(self.episodes, dtype=np.uint64)

    def starts(self, market: Market, seed: int, interval_ns: int) -> NDArray[np.int64]:
        """int64[episodes]: where the episodes of a seed begin.

        Raises:
            HorizonError: the split is shorter than an episode.
        """
        return self._spans(market, interval_ns).draw(self.lane_seeds(seed), np.zeros(self.episodes, np.int64))

    def span_ns(self, market: Market, interval_ns: int) -> tuple[int, int]:
        """First and last time that an episode may touch."""
        spans = self._spans(market, interval_ns)
        return spans.low_ns, spans.high_ns + self.horizon * interval_ns

    def _spans(self, market: Market, interval_ns: int) -> EpisodeStarts:
        if not isinstance(self.split, str):
            low, high = self.split
            last = high - self.horizon * interval_ns
            if not market.start_ns <= low <= last <= high <= market.end_ns:
                raise EvaluationError(
                    f"expected a span of the tape, {market.start_ns} to {market.end_ns}, that holds an episode of "
                    f"{self.horizon * interval_ns / 1e9:g} s, got {low} to {high}"
                )
            return EpisodeStarts(low, last, high)
        return EpisodeStarts.of(
            market.start_ns,
            market.end_ns,
            self.horizon * interval_ns,
            self.split,
            self.test_fraction,
            self.embargo_ns,
        )


@dataclass(frozen=True)
class SeedMetrics:
    """One seed's figures. Money and base quantities per episode; None where a ratio has no denominator.

    Attributes:
        pnl_units: exact change of equity over all episodes, in the instrument's money unit, fees paid.
        pnl: the same per episode, in the settlement currency.
        pnl_bps: pnl over turnover, in 1e-4.
        max_drawdown: deepest fall below the running maximum of equity within an episode, averaged over episodes.
        fill_rate: orders with at least one fill / orders sent.
        time_to_fill_ms: arrival at the exchange to first fill, over the orders that were filled.
        mean_abs_inventory: |position| in base units (contracts if inverse), averaged over steps.
        turnover: value traded. fees: paid, net of rebates.
    """

    seed: int
    pnl_units: int
    pnl: float
    pnl_bps: float | None
    max_drawdown: float
    fill_rate: float | None
    time_to_fill_ms: float | None
    mean_abs_inventory: float
    turnover: float
    fees: float
    fills: int


@dataclass(frozen=True)
class Trace:
    """One episode to draw: the first of the first seed. Lists have one entry a step, the start included."""

    policy: str
    env: str
    kind: str
    seed: int
    start_ns: int
    time_s: list[float]
    equity: list[float]
    inventory: list[float]
    price: list[float]
    fills: list[dict[str, Any]]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True)
class Evaluation:
    """A policy's figures over all seeds, and its trace."""

    policy: str
    env: str
    kind: Literal["trained", "fixed"]
    spec: DeskSpec
    per_seed: tuple[SeedMetrics, ...]
    trace: Trace


class Evaluator:
    """Runs policies on one market under one config."""

    def __init__(self, market: Market, config: EvalConfig) -> None:
        self.market = market
        self.config = config

    def run(
        self, policies: Sequence[Policy], spec: DeskSpec, kind: Literal["trained", "fixed"], name: str | None = None
    ) -> Evaluation:
        """Evaluate one policy on every seed, or one policy per seed (models that differ in their training seed).

        Raises:
            EvaluationError: neither one policy nor one per seed; a trace that is not what its batch did; a desk that
                works parent orders, of which an evaluation by PnL has none.
        """
        if spec.kind == EXECUTION:
            raise EvaluationError(
                "policies that work parent orders are not evaluated by PnL: measure their cost in lobgym/Execution-v0"
            )
        seeds = self.config.seeds
        if len(policies) not in (1, len(seeds)):
            raise EvaluationError(f"expected 1 policy or one for each of {len(seeds)} seeds, got {len(policies)}")
        desk = Desk(spec, self.market, self.config.episodes)
        chosen = [policies[index if len(policies) > 1 else 0] for index in range(len(seeds))]
        results = [self._run_seed(desk, policy, seed) for policy, seed in zip(chosen, seeds, strict=True)]
        label = name or policies[0].name
        trace, pnl_units = self._trace(chosen[0], spec, seeds[0], label, kind)
        if pnl_units != results[0][1]:
            raise EvaluationError(
                f"{label}: a lone lane earned {pnl_units} units where lane 0 of a batch earned {results[0][1]}: "
                "the policy depends on something besides its observations, its seed and the step"
            )
        return Evaluation(label, spec.kind, kind, spec, tuple(metrics for metrics, _ in results), trace)

    def _run_seed(self, desk: Desk, policy: Policy, seed: int) -> tuple[SeedMetrics, int]:
        """A seed's metrics, and the exact PnL of its first episode."""
        config, count = self.config, self.config.episodes
        observations = _begin(desk, policy, config.starts(self.market, seed, desk.spec.interval_ns), seed)
        equity = np.zeros((config.horizon + 1, count), np.int64)
        inventory = np.zeros(count, np.int64)
        for step in range(config.horizon):
            observations, result = desk.step(desk.action.decode(policy.act(observations)))
            equity[step + 1] = equity[step] + result.pnl
            inventory += np.abs(result.position)
        return _seed_metrics(desk, seed, equity, int(inventory.sum()), config.horizon), int(equity[-1, 0])

    def _trace(
        self, policy: Policy, spec: DeskSpec, seed: int, name: str, kind: Literal["trained", "fixed"]
    ) -> tuple[Trace, int]:
        """The first episode again, on a lone lane with a fill log, and its exact PnL."""
        desk = Desk(spec, self.market, 1, "fills", _FILL_LOG)
        start = self.config.starts(self.market, seed, spec.interval_ns)[:1]
        observations = _begin(desk, policy, start, seed)
        equity, position, mid2, fills = [0], [0], [desk.mid2(0)], []
        for _ in range(self.config.horizon):
            observations, result = desk.step(desk.action.decode(policy.act(observations)))
            equity.append(equity[-1] + int(result.pnl[0]))
            position.append(int(result.position[0]))
            mid2.append(int(result.mid2[0]))
            fills.append(desk.session.drain_fills())
        made, begin = self.market.instrument, int(start[0])
        tick = float(made.tick_size)
        trace = Trace(
            policy=name,
            env=spec.kind,
            kind=kind,
            seed=seed,
            start_ns=begin,
            time_s=[step * spec.interval_ns / 1e9 for step in range(len(equity))],
            equity=[made.money_to_float(units) for units in equity],
            inventory=[float(made.lots_to_qty(lots)) for lots in position],
            price=[round(twice / 2 * tick, 10) for twice in mid2],
            fills=[_fill_json(made, row, begin) for row in np.concatenate(fills)],
        )
        return trace, equity[-1]


def _begin(desk: Desk, policy: Policy, starts: NDArray[np.int64], seed: int) -> NDArray[np.float32]:
    lane_seed = seed * EPISODES_MAX
    desk.reset(starts, lane_seed)
    policy.reset(len(starts), lane_seed)
    return desk.observe()


def _seed_metrics(desk: Desk, seed: int, equity: NDArray[np.int64], abs_lots: int, horizon: int) -> SeedMetrics:
    """Metrics of a batch that has just ended; equity int64[horizon + 1, episodes] starts at 0."""
    made, count, lane = desk.market.instrument, desk.lanes, desk.session.state.lane

    def total(field: str) -> int:
        return sum(int(value) for value in lane[field])

    def money(units: int) -> float:
        """Per episode, in the settlement currency: exact until the last conversion."""
        return float(Decimal(units) * made.money_unit / count)

    pnl_units = sum(int(value) for value in equity[-1])
    turnover, filled, sent = total("turnover"), total("filled_orders"), total("submits")
    falls = sum(max_drawdown(equity[:, episode].tolist()) for episode in range(count))
    return SeedMetrics(
        seed=seed,
        pnl_units=pnl_units,
        pnl=money(pnl_units),
        pnl_bps=float(Decimal(pnl_units) * 10_000 / turnover) if turnover else None,
        max_drawdown=money(falls),
        fill_rate=filled / sent if sent else None,
        time_to_fill_ms=total("first_fill_wait_ns") / filled / 1e6 if filled else None,
        mean_abs_inventory=float(made.lots_to_qty(1)) * abs_lots / (horizon * count),
        turnover=money(turnover),
        fees=money(total("fees")),
        fills=total("fills"),
    )


def _fill_json(made: Instrument, row: Any, start_ns: int) -> dict[str, Any]:
    return {
        "time_s": (int(row["exch_ns"]) - start_ns) / 1e9,
        "price": float(made.ticks_to_price(int(row["tick"]))),
        "side": int(row["side"]),
        "qty": float(made.lots_to_qty(int(row["qty"]))),
        "maker": bool(row["maker"]),
    }
