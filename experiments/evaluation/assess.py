"""How a run or a bundle does in its own environment, on a part of a tape: the figures of `lobgym evaluate`.

The leaderboard compares policies on one desk, by money. This looks at one policy in the environment that it was made
for, parent orders and routers included. The episodes of a seed are those that the leaderboard would draw.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Literal

from lobgym.agents.earnhft.pipeline import load_earnhft
from lobgym.agents.files import CONFIG_FILE, ROUTER_FILE
from lobgym.agents.policy import ModelPolicy, Policy
from lobgym.agents.sb3.config import ENV_IDS
from lobgym.agents.sb3.environment import Outcome, core_of, env_keywords, play
from lobgym.agents.sb3.runs import load_run
from lobgym.envs import RewardTerms
from lobgym.envs.markets import market_for
from lobgym.envs.sb3 import make_sb3_vec_env
from lobgym.experiments.bundles.served import ServedPolicy
from lobgym.experiments.errors import EvaluationError
from lobgym.experiments.evaluation.evaluate import EPISODES_MAX
from lobgym.experiments.evaluation.stats import Interval, bootstrap_interval, fixed_mean
from lobgym.experiments.evaluation.study import TEST_FRACTION, Study
from lobgym.runtime.bundle import load_bundle
from lobgym.runtime.engine import require_instrument
from lobgym.runtime.manifest import MANIFEST_FILE
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.market import Market
from lobgym.sim.tape import open_tape

__all__ = ["Assessment", "SeedFigures", "Subject", "assess", "open_subject"]

_VENUE: Final = ("latency", "queue", "fees", "profile")  # keywords that are part of a desk's spec already


@dataclass(frozen=True)
class Subject:
    """What is evaluated, and the environment that it was made for.

    Attributes:
        horizon: steps of an episode.
        trained_on, tape: digest and name of the tape; instrument: its instrument, None where it has to be looked up.
        cut: its test_fraction and embargo_ns; the tape that it was trained on is cut the same way, so that no test
            episode was trained on.
        extra: further keywords of the environment.
    """

    name: str
    policy: Policy
    env: str
    spec: DeskSpec
    horizon: int
    trained_on: str
    tape: str
    instrument: dict[str, Any] | None
    cut: tuple[float, int] | None
    extra: dict[str, Any]


@dataclass(frozen=True)
class SeedFigures:
    """One seed's figures, averaged over its episodes; money in the settlement currency.

    Attributes:
        pnl_units: exact sum over the episodes, in the instrument's money unit.
        pnl_bps: of the turnover. None where nothing was traded.
        cost: implementation shortfall of the parent order, fees included; cost_bps of its value on arrival; done: share
            of it that was filled. None but in the execution environment.
    """

    seed: int
    pnl_units: int
    pnl: float
    pnl_bps: float | None
    fees: float
    turnover: float
    fills: float
    max_drawdown: float
    max_abs_position_lots: float
    steps: float
    cost: float | None = None
    cost_bps: float | None = None
    done: float | None = None


@dataclass(frozen=True)
class Assessment:
    """The figures of every seed, and their mean with an interval over seeds: of the PnL, or of the cost in bps."""

    subject: str
    env: str
    tape: str
    tape_digest: str
    split: str
    horizon: int
    episodes: int
    measure: Literal["pnl", "cost_bps"]
    per_seed: tuple[SeedFigures, ...]
    interval: Interval

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    def mean(self, name: str) -> float | None:
        """A figure's mean over the seeds that have it."""
        values = [value for one in self.per_seed if (value := getattr(one, name)) is not None]
        return fixed_mean(values) if values else None


def open_subject(folder: str | Path, which: Literal["last", "best"] = "last") -> Subject:
    """A run folder or a bundle, by what lies in it.

    Raises:
        EvaluationError: neither. RunFolderError, ModelHashError, BundleError: one that is not whole.
    """
    root = Path(folder)
    if (root / ROUTER_FILE).is_file():
        hierarchy = load_earnhft(root)
        made = hierarchy.config
        return Subject(
            root.name, hierarchy.hierarchy, hierarchy.spec.kind, hierarchy.spec, 0, hierarchy.record.tape_digest,
            made.tape, None, (made.fractions[2], made.embargo_ns), {},
        )  # fmt: skip
    if (root / CONFIG_FILE).is_file():
        run = load_run(root, which)
        config = run.config
        extra = {name: value for name, value in env_keywords(config).items() if name not in _VENUE}
        if config.env == "router":
            extra |= {"kind": config.router.kind, "macro_steps": config.router.macro_steps}
        return Subject(
            f"{root.name} ({which})" if which == "best" else root.name,
            ModelPolicy(run.model, root.name),
            config.env,
            run.spec,
            config.horizon,
            run.record.tape_digest,
            config.tape,
            None,
            (config.test_fraction, config.embargo_ns),
            extra,
        )
    if (root / MANIFEST_FILE).is_file():
        bundle = load_bundle(root, allow_ungated=True)
        policy = ServedPolicy.of(bundle)
        manifest = bundle.manifest
        digest = manifest.tape_digests[0] if manifest.tape_digests else ""
        return Subject(
            manifest.name, policy, bundle.spec.kind, bundle.spec, 0, digest, "", manifest.instrument, None, {}
        )
    raise EvaluationError(
        f"{root} is neither a run folder ({CONFIG_FILE}) nor a bundle ({MANIFEST_FILE}): give what `lobgym train` or "
        "`lobgym export` wrote"
    )


def assess(
    subject: Subject,
    tape: str,
    split: str = "test",
    seeds: int = 5,
    episodes: int = 8,
    horizon: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Assessment:
    """Play `episodes` episodes of each seed.

    Raises:
        EvaluationError: figures outside their range. PolicyError: a tape of another instrument.
        HorizonError: episodes that do not fit into the split.
    """
    if not 1 <= episodes <= EPISODES_MAX or not 1 <= seeds <= 1000:
        raise EvaluationError(f"expected 1 to {EPISODES_MAX} episodes and 1 to 1000 seeds, got {episodes} and {seeds}")
    market = market_for(tape)
    _require_instrument(subject, market)
    digest = market.tape.digest
    # Of a tape that it was not trained on everybody plays the same part.
    cut = subject.cut if digest == subject.trained_on else None
    study = None if cut and (subject.horizon or horizon) else Study.of(tape, subject.spec.interval_ns)
    fraction, embargo = cut or (TEST_FRACTION, study.embargo_ns if study else 0)
    steps = horizon or subject.horizon or (study.horizon if study else 0)
    figures = []
    for seed in range(seeds):
        figures.append(_seed_figures(subject, tape, split, seed, episodes, steps, fraction, embargo))
        if progress is not None:
            progress(seed + 1, seeds)
    measure: Literal["pnl", "cost_bps"] = "cost_bps" if subject.env == "execution" else "pnl"
    values: Sequence[float] = [float(getattr(one, measure)) for one in figures]
    return Assessment(
        subject.name, subject.env, tape, digest, split, steps, episodes, measure, tuple(figures),
        bootstrap_interval(values),
    )  # fmt: skip


def _seed_figures(
    subject: Subject, tape: str, split: str, seed: int, episodes: int, horizon: int, fraction: float, embargo: int
) -> SeedFigures:
    # In quote units and without a charge for what is left: the money that a parent order has cost.
    reward = RewardTerms(pnl=0.0, shortfall=1.0) if subject.env == "execution" else RewardTerms()
    env = make_sb3_vec_env(
        ENV_IDS[subject.env],
        episodes,
        seed * EPISODES_MAX,
        True,
        tape=tape,
        spec=subject.spec,
        reward=reward,
        horizon=horizon,
        split=split,
        test_fraction=fraction,
        embargo_ns=embargo,
        **subject.extra,
    )
    try:
        outcome = play(subject.policy, env, seed * EPISODES_MAX)
        return _figures(outcome, core_of(env).market, seed, subject.env == "execution")
    finally:
        env.close()


def _figures(outcome: Outcome, market: Market, seed: int, execution: bool) -> SeedFigures:
    """Sums over the episodes, exact until the last conversion, and then per episode."""
    made, count, sums = market.instrument, len(outcome.returns), outcome.summary

    def total(name: str) -> int:
        return sum(int(value) for value in sums[name])

    def money(units: int) -> float:
        return float(Decimal(units) * made.money_unit / count)

    pnl, turnover = total("pnl_units"), total("turnover_units")
    figures = SeedFigures(
        seed=seed,
        pnl_units=pnl,
        pnl=money(pnl),
        pnl_bps=float(Decimal(pnl) * 10_000 / turnover) if turnover else None,
        fees=money(total("fees_units")),
        turnover=money(turnover),
        fills=total("fills") / count,
        max_drawdown=money(total("max_drawdown_units")),
        max_abs_position_lots=total("max_abs_position_lots") / count,
        steps=total("steps") / count,
    )
    if not execution:
        return figures
    lots, arrival2 = outcome.tasks["lots"], outcome.tasks["arrival2"]
    values = [
        float(made.lots_to_qty(int(n))) * int(a) / 2 * float(made.tick_size)
        for n, a in zip(lots, arrival2, strict=True)
    ]
    cost = -math.fsum(outcome.returns.tolist())
    return replace(
        figures,
        cost=cost / count,
        cost_bps=cost / math.fsum(values) * 10_000,
        done=total("max_abs_position_lots") / int(lots.sum()),
    )


def _require_instrument(subject: Subject, market: Market) -> None:
    if market.tape.digest != subject.trained_on:
        instrument = subject.instrument or open_tape(subject.tape).instrument.to_json()
        require_instrument(instrument, market.instrument)
