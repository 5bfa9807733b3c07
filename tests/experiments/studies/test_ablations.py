"""Goal: each ablation takes away what it says and nothing else. Method: hand-made pools, against single networks."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lobgym.agents.earnhft.hierarchy import HierarchyPolicy
from lobgym.agents.earnhft.network import QPolicy, QWeights, greedy, q_values
from lobgym.envs.markets import market_for
from lobgym.experiments.errors import EvaluationError
from lobgym.experiments.evaluation.evaluate import EvalConfig, Evaluator
from lobgym.experiments.studies.ablations import (
    RandomRouter,
    ablated,
    ablation_names,
    best_single,
    constant_router,
    uniform_pool,
)
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.market import Market
from tests.agents.earnhft.pools import HIGH, LOW, agent_pool, network, spec_for


@pytest.fixture(scope="module")
def market() -> Market:
    return market_for("synth?minutes=3")


@pytest.fixture(scope="module")
def spec(market: Market) -> DeskSpec:
    return spec_for(market)


@pytest.fixture
def result(spec: DeskSpec, tmp_path: Path) -> Any:
    """What `train_earnhft` would return, as far as ablations read it, with a folder of three checkpoints."""
    import msgspec

    agents = [network(300 + k, LOW) for k in range(3)]
    (tmp_path / "low" / "beta_1").mkdir(parents=True)
    for number, agent in enumerate(agents):
        agent.save(tmp_path / "low" / "beta_1" / f"agent_{number:04d}.npz")
    pnl = np.zeros((3, 5, 4), np.int64)
    pnl[0, 0, 0], pnl[1, 2, 3], pnl[2, 4, 1] = 900, 1000, 800  # agent 1 earned most in all, agent 0 in its best place
    pnl[0, 1, 1] = -200
    np.savez(tmp_path / "scores.npz", pnl=pnl, steps=np.ones(4, np.int64), labels=np.zeros(4, np.int64))
    record = {"agents": [agent.digest for agent in agents]}
    (tmp_path / "run.json").write_bytes(msgspec.json.encode(record))
    return SimpleNamespace(
        folder=tmp_path, pool=agent_pool(), router=network(50, HIGH, actions=3), spec=spec,
        config=SimpleNamespace(macro_steps=7), best=agents[1],
    )  # fmt: skip


def rows(spec: DeskSpec, count: int = 64, seed: int = 0) -> np.ndarray:
    made = np.random.default_rng(seed).uniform(-1, 1, (count, spec.layout.size)).astype(np.float32)
    made[:, spec.layout.names.index("inventory")] = np.random.default_rng(1).choice([-1, -0.5, 0, 0.5, 1], count)
    return made


def acted_alone(agent: QWeights, spec: DeskSpec, seen: np.ndarray) -> list[int]:
    columns = [spec.layout.names.index(name) for name in agent.columns]
    held = seen[:, spec.layout.names.index("inventory")]
    return greedy(q_values(agent, seen[:, columns], held)).tolist()


@pytest.mark.parametrize("name", ["single", "agent-4"])
def test_one_agent_everywhere_is_that_agent(result: Any, name: str) -> None:
    policy = ablated(result, name)
    agent = result.best if name == "single" else result.pool.agents[4]
    policy.reset(64, 3)
    for step in range(20):  # across choices
        seen = rows(result.spec, seed=step)
        assert policy.act(seen).tolist() == acted_alone(agent, result.spec, seen)
    alone = QPolicy(agent, result.spec, "alone")
    alone.reset(64, 3)
    seen = rows(result.spec, seed=99)
    assert policy.act(seen).tolist() == alone.act(seen).tolist()


def test_the_best_single_agent_is_chosen_by_all_of_validation(result: Any) -> None:
    assert best_single(result.folder).digest == result.best.digest
    (result.folder / "scores.npz").unlink()
    with pytest.raises(EvaluationError, match="train it again"):
        best_single(result.folder)


def test_a_constant_choice_is_made_every_time(result: Any) -> None:
    for label in range(3):
        policy = ablated(result, f"label-{label}")
        policy.reset(64, 0)
        for step in range(15):
            seen = rows(result.spec, seed=step)
            actions = policy.act(seen)
            choice, agent = policy.last
            assert (choice == label).all()
            if step % 7 == 0:
                held = seen[:, result.spec.layout.names.index("inventory")]
                assert agent.tolist() == result.pool.agent(held, np.full(64, label)).tolist()
            assert actions.shape == (64,)
    with pytest.raises(EvaluationError, match="from 0 to 2"):
        constant_router(result.router, 3)


def test_a_random_router_chooses_evenly_by_lane_and_time(result: Any) -> None:
    policy = ablated(result, "random")
    assert isinstance(policy, RandomRouter)
    policy.reset(64, 1000)
    seen = rows(result.spec)
    choices = []
    for step in range(7 * 60):
        actions = policy.act(seen)
        choice, agent = policy.last
        if step % 7 == 0:
            choices.append(choice.copy())
        for lane in (0, 17):
            own = acted_alone(result.pool.agents[int(agent[lane])], result.spec, seen[lane : lane + 1])
            assert actions[lane] == own[0]
        assert (choice == choices[-1]).all()  # between choices it keeps to the last
    shares = np.bincount(np.concatenate(choices), minlength=3) / (60 * 64)
    assert shares == pytest.approx([1 / 3] * 3, abs=0.03)
    # A lane of a batch chooses as a lone lane with its seed.
    policy.reset(1, 1017)
    for number in range(10):
        for _ in range(7):
            policy.act(seen[17:18])
        assert policy.last[0][0] == choices[number][17]


def test_ablations_trade_at_the_hierarchys_desk(market: Market, result: Any) -> None:
    evaluator = Evaluator(market, EvalConfig((0, 1), 2, 60, "all"))
    whole = HierarchyPolicy(result.pool, result.router, result.spec, 7, "whole")
    pnl = {}
    for policy in [whole, *(ablated(result, name) for name in ("single", "random", "label-0"))]:
        metrics = evaluator.run([policy], result.spec, "fixed", policy.name).per_seed
        pnl[policy.name] = [one.pnl_units for one in metrics]
    assert len({tuple(values) for values in pnl.values()}) == 4


def test_names_are_those_that_can_be_asked_for(result: Any) -> None:
    names = ablation_names(result, every_agent=True)
    assert names == ["single", "random", *(f"label-{k}" for k in range(3)), *(f"agent-{k}" for k in range(6))]
    for name in names:
        assert ablated(result, name).name == name
    for name in ("double", "agent-6", "agent-x", "label-", "label-3"):
        with pytest.raises(EvaluationError):
            ablated(result, name)
    assert uniform_pool(result.best, (0.0, 1.0), 1).labels == 2
