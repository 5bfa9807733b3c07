"""A tiny environment, so that these tests need no market."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from sb3_contrib import QRDQN
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm

SIZE = 12


class DummyEnv(gym.Env[Any, Any]):
    """Observations are seeded noise; the reward likes actions near the first columns; episodes last 32 steps."""

    def __init__(self, discrete: bool) -> None:
        self.observation_space = gym.spaces.Box(-1.0, 1.0, (SIZE,), np.float32)
        self.action_space = gym.spaces.Discrete(5) if discrete else gym.spaces.Box(-1.0, 1.0, (5,), np.float32)
        self._row = np.zeros(SIZE, np.float32)
        self._steps = 0

    def _observe(self) -> np.ndarray:
        self._row = self.np_random.uniform(-1.0, 1.0, SIZE).astype(np.float32)
        return self._row

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self._steps = 0
        return self._observe(), {}

    def step(self, action: Any) -> Any:
        self._steps += 1
        wanted = self._row[:5]
        reward = float(wanted[int(action)]) if np.ndim(action) == 0 else -float(np.abs(wanted - action).mean())
        ended = self._steps >= 32
        info: dict[str, Any] = {}
        if ended:
            info = {"episode": {"r": 0.0, "l": 32, "t": 0.0, "pnl": 1.5}, "summary": {"submits": 8, "filled_orders": 2}}
        return self._observe(), reward, False, ended, info


def trained(algo: str, discrete: bool, seed: int = 3) -> BaseAlgorithm:
    """A model after a few hundred transitions: enough to leave the initial weights."""
    env = DummyEnv(discrete)
    if algo in ("dqn", "qrdqn", "sac"):
        kinds: dict[str, Any] = {"dqn": DQN, "qrdqn": QRDQN, "sac": SAC}
        model: BaseAlgorithm = kinds[algo](
            "MlpPolicy", env, learning_starts=64, train_freq=8, seed=seed, device="cpu", buffer_size=1000
        )
    else:
        model = PPO(
            "MlpPolicy", env, n_steps=128, batch_size=64, n_epochs=4, learning_rate=3e-3, seed=seed, device="cpu"
        )
    return model.learn(512)


def observations(count: int, seed: int = 0) -> np.ndarray:
    """float32[count, SIZE] of seeded noise."""
    return np.random.default_rng(seed).uniform(-1.0, 1.0, (count, SIZE)).astype(np.float32)
