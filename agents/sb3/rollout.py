"""Observations that a model meets while it acts itself: what parity is checked on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm

from lobgym.agents.onnx.recurrent import Walk
from lobgym.agents.sb3.config import TrainConfig
from lobgym.agents.sb3.train import make_env

__all__ = ["collect_episodes", "collect_observations"]


def collect_observations(
    model: BaseAlgorithm, config: TrainConfig, count: int, split: str = "all"
) -> NDArray[np.float32]:
    """The first `count` observations of the model acting deterministically from `config.seed` on: float32[count, D]."""
    rows = _walk(model, config, -(-count // config.num_envs), config.num_envs, split).rows
    return rows.reshape(-1, rows.shape[2])[:count]


def collect_episodes(model: BaseAlgorithm, config: TrainConfig, count: int, split: str = "all") -> Walk:
    """At least `count` observations, in so few lanes that each of them comes past the end of an episode."""
    lanes = max(1, min(config.num_envs, count // (2 * config.horizon)))
    steps = max(-(-count // lanes), config.horizon + config.horizon // 8 + 8)
    return _walk(model, config, steps, lanes, split)


def _walk(model: BaseAlgorithm, config: TrainConfig, steps: int, lanes: int, split: str) -> Walk:
    env = make_env(config, split, lanes=lanes, evaluation=True)
    rows, starts = [], [np.ones(lanes, np.bool_)]
    memory: Any = None
    try:
        observations = env.reset()
        for _ in range(steps):
            rows.append(np.array(observations, np.float32))
            actions, memory = model.predict(rows[-1], memory, starts[-1], deterministic=True)
            observations, _, dones, _ = env.step(actions)
            starts.append(np.array(dones, np.bool_))
    finally:
        env.close()
    return Walk(np.stack(rows), np.stack(starts[:-1]))
