"""Observations that a model meets while it acts itself: what parity is checked on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm

from lobgym.agents.sb3.config import TrainConfig
from lobgym.agents.sb3.train import make_env

__all__ = ["collect_observations"]


def collect_observations(
    model: BaseAlgorithm, config: TrainConfig, count: int, split: str = "all"
) -> NDArray[np.float32]:
    """The first `count` observations of the model acting deterministically from `config.seed` on: float32[count, D]."""
    env = make_env(config, split, evaluation=True)
    try:
        observations = env.reset()
        rows, have = [], 0
        while have < count:
            rows.append(np.array(observations, np.float32))
            have += len(rows[-1])
            actions, _ = model.predict(rows[-1], deterministic=True)
            observations, _, _, _ = env.step(actions)
    finally:
        env.close()
    return np.concatenate(rows)[:count]
