"""Goal: `lobgym evaluate` counts the money that the leaderboard counts, and judges parent orders by what they cost.

Method: the same policy through two code paths that share no loop; a parent order's cost from its fills, by hand.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from lobgym.agents.baselines import make_baseline
from lobgym.agents.sb3.config import PpoSettings, TrainConfig
from lobgym.agents.sb3.settings import DqnSettings, RouterSettings
from lobgym.agents.sb3.train import train
from lobgym.envs.markets import market_for
from lobgym.experiments.bundles.export import export_run
from lobgym.experiments.errors import EvaluationError
from lobgym.experiments.evaluation.assess import Subject, assess, open_subject
from lobgym.experiments.evaluation.evaluate import EvalConfig, Evaluator
from lobgym.sim.desk import Desk
from lobgym.sim.desk_spec import DeskSpec

TAPE = "synth?minutes=6"
EMBARGO = 30_000_000_000
SMALL = TrainConfig(
    tape=TAPE,
    total_steps=1024,
    num_envs=8,
    horizon=40,
    hidden=(8,),
    embargo_ns=EMBARGO,
    ppo=PpoSettings(rollout_steps=32, batch_size=64, epochs=1),
)


def subject(kind: str, baseline: str) -> Subject:
    market = market_for(TAPE)
    spec = DeskSpec.for_market(market, kind)
    policy = make_baseline(baseline, spec, Desk(spec, market).mid2() / 2)
    return Subject(baseline, policy, kind, spec, 40, market.tape.digest, TAPE, None, (0.3, EMBARGO), {})


@pytest.mark.parametrize(("kind", "baseline"), [("grid", "natr-grid"), ("target", "imbalance-taker")])
def test_the_money_is_that_of_the_leaderboard(kind: str, baseline: str) -> None:
    one = subject(kind, baseline)
    made = assess(one, TAPE, seeds=3, episodes=4)
    other = Evaluator(market_for(TAPE), EvalConfig((0, 1, 2), 4, 40, "test", 0.3, EMBARGO)).run(
        [one.policy], one.spec, "fixed"
    )
    assert [figures.pnl_units for figures in made.per_seed] == [metrics.pnl_units for metrics in other.per_seed]
    assert [figures.fees for figures in made.per_seed] == [metrics.fees for metrics in other.per_seed]
    assert [figures.fills * 4 for figures in made.per_seed] == [metrics.fills for metrics in other.per_seed]
    assert made.interval.mean == pytest.approx(np.mean([metrics.pnl for metrics in other.per_seed]), rel=1e-12)
    assert any(metrics.fills for metrics in other.per_seed)


def test_a_parent_order_is_judged_by_its_cost() -> None:
    at_once, never = (assess(subject("execution", name), TAPE, seeds=2, episodes=4) for name in ("immediate", "twap"))
    for made in (at_once, never):
        assert made.measure == "cost_bps"
        for figures in made.per_seed:
            assert figures.cost is not None
            assert figures.cost_bps is not None
            assert figures.done is not None
            assert 0.0 < figures.done <= 1.0
            # fees alone are the taker's, in bps of the value: the cost is never less than them by much
            assert figures.fees > 0.0
    assert at_once.mean("done") == 1.0
    assert at_once.mean("cost_bps") > 0.0  # type: ignore[operator]


def test_runs_routers_and_bundles_are_told_apart(tmp_path: Path) -> None:
    run = train(SMALL.replace(out=str(tmp_path / "run"), validate_every=512, validation_episodes=2))
    router = train(
        SMALL.replace(
            out=str(tmp_path / "router"), algo="dqn", env="router", tape="synth?minutes=20", horizon=4,
            total_steps=256, router=RouterSettings("target", 8), dqn=DqnSettings(learning_starts=64, batch_size=16),
        )
    )  # fmt: skip
    which_ones: tuple[Literal["last", "best"], ...] = ("last", "best")
    made = {which: assess(open_subject(run.folder, which), TAPE, seeds=2, episodes=2) for which in which_ones}
    assert made["last"].env == "grid"
    assert run.record.best is not None
    rows = np.random.default_rng(0).uniform(-1, 1, (32, run.record.observation_size)).astype(np.float32)
    acts = [open_subject(run.folder, which).policy.act(rows) for which in which_ones]
    same = run.record.best.weights_sha256 == run.record.weights_sha256
    assert np.array_equal(*acts) == same
    assert made["best"].subject == "run (best)"
    assert assess(open_subject(router.folder), "synth?minutes=20", seeds=2, episodes=2).per_seed[0].steps == 4.0
    with pytest.raises(EvaluationError, match="neither a run folder"):
        open_subject(tmp_path)
    json.dumps(made["last"].to_json(), allow_nan=False)
    with pytest.raises(EvaluationError, match="episodes"):
        assess(open_subject(run.folder), TAPE, episodes=0)


def test_a_bundle_does_what_its_run_does(tmp_path: Path) -> None:
    run = train(SMALL.replace(out=str(tmp_path / "run"), env="target", total_steps=4096))
    export_run(run.folder, tmp_path / "bundle", "small")
    bundle = open_subject(tmp_path / "bundle")
    one = assess(open_subject(run.folder), TAPE, seeds=2, episodes=2, horizon=40)
    other = assess(replace(bundle, cut=(0.3, EMBARGO)), TAPE, seeds=2, episodes=2, horizon=40)
    assert one.per_seed == other.per_seed
