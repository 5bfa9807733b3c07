"""Training configurations, the update schedule that ignores the number of lanes, and the logged figures."""

from __future__ import annotations

import dataclasses
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stable_baselines3 import DQN
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import DummyVecEnv

from lobgym.agents.errors import TrainError
from lobgym.agents.sb3.callbacks import ProgressCallback, TradingCallback
from lobgym.agents.sb3.config import DqnSettings, PpoSettings, TrainConfig, update_schedule
from lobgym.agents.sb3.train import build_model
from lobgym.sim.params import SimParams
from tests.agents.sb3.dummy import DummyEnv


@given(st.integers(1, 64), st.integers(1, 256), st.integers(1, 512))
def test_the_schedule_is_exact(numerator: int, denominator: int, lanes: int) -> None:
    if numerator > 64 * denominator:
        return
    train_freq, gradient_steps = update_schedule(numerator / denominator, lanes)
    assert Fraction(gradient_steps, train_freq * lanes) == Fraction(numerator, denominator)


@pytest.mark.parametrize("ratio", [0.0, -1.0, 65.0, 1 / 3**9])
def test_impossible_ratios_are_refused(ratio: float) -> None:
    with pytest.raises(TrainError, match="updates_per_transition"):
        update_schedule(ratio, 4)


def _dqn(lanes: int, transitions: int) -> DQN:
    settings = DqnSettings(updates_per_transition=1 / 16, learning_starts=64, batch_size=8, buffer_size=2048)
    config = TrainConfig(algo="dqn", env="target", num_envs=lanes, dqn=settings, hidden=(8,))
    model: Any = build_model(config, DummyVecEnv([lambda: DummyEnv(True)] * lanes))
    model.learn(transitions)
    return model


def test_updates_per_transition_do_not_depend_on_the_lanes() -> None:
    """SB3's train_freq counts vector steps: with a fixed one, 32 lanes would learn 32 times less from a transition."""
    updates = {lanes: _dqn(lanes, 1088)._n_updates for lanes in (1, 4, 32)}
    assert set(updates.values()) == {(1088 - 64) // 16}


def test_a_config_survives_its_json() -> None:
    config = TrainConfig(
        algo="dqn",
        env="target",
        hidden=(32, 16),
        params=SimParams(entry_ns=7),
        desk={"order_lots": 3},
        dqn=DqnSettings(batch_size=7),
    )
    again = TrainConfig.from_json(json.loads(json.dumps(config.to_json())))
    assert again == config
    assert again.to_json() == config.to_json()
    assert TrainConfig.from_json({"ppo": {"epochs": 2}}).to_json()["ppo"]["initial_log_std"] == -0.5
    assert config.replace(seed=3).seed == 3
    assert config.env_id == "lobgym/TargetPosition-v0"


@pytest.mark.parametrize(
    "changes",
    [
        {"algo": "a2c"},
        {"env": "arena"},
        {"algo": "sac", "env": "target"},
        {"algo": "qrdqn", "env": "maker"},
        {"algo": "dqn", "env": "grid"},
        {"num_envs": 0},
        {"total_steps": 0},
        {"seed": -1},
        {"gamma": 0.0},
        {"threads": 0},
    ],
)
def test_nonsense_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(TrainError, match="expected"):
        TrainConfig(**changes)


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(TrainError, match="unknown fields"):
        TrainConfig.from_json({"learning_rate": 1.0})
    with pytest.raises(TrainError, match="not a training config"):
        TrainConfig.from_json({"seed": "one"})


def test_settings_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        PpoSettings().epochs = 3  # type: ignore[misc]


def test_trading_figures_reach_the_logs(tmp_path: Path) -> None:
    config = TrainConfig(num_envs=2, ppo=PpoSettings(rollout_steps=64, batch_size=64, epochs=1), hidden=(8,))
    model: BaseAlgorithm = build_model(config, DummyVecEnv([lambda: DummyEnv(False)] * 2))
    model.set_logger(configure(str(tmp_path), ["csv"]))
    seen: list[tuple[int, int]] = []
    trading = TradingCallback()
    model.learn(256, [trading, ProgressCallback(lambda done, total: seen.append((done, total)), 256, reports=4)])
    model.logger.close()
    assert trading.episodes == 8
    assert seen[-1] == (256, 256)
    assert seen == sorted(seen)
    head, *lines = (tmp_path / "progress.csv").read_text().splitlines()
    figures = dict(zip(head.split(","), lines[-1].split(","), strict=True))
    assert float(figures["trading/pnl"]) == 1.5
    assert float(figures["trading/fill_rate"]) == 0.25
    assert "trading/fees" not in figures
