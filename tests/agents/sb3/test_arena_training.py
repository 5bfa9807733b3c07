"""Stable-Baselines3 trains one agent of the arena: it beats its own untrained start, and leaves as ONNX.

The market is the default one, in which a maker at ordinary fees loses to everybody: what it can learn within seconds is
to step back. `docs/examples/arena_agent.py` has one that learns to earn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lobgym.envs.arena import ArenaAgentEnv, ArenaReward

onnxruntime = pytest.importorskip("onnxruntime")
stable_baselines3 = pytest.importorskip("stable_baselines3")

ARENA: dict[str, Any] = {
    "agents": {"maker": 1, "taker": 1},
    "max_cycles": 100,
    "reward": {"maker": ArenaReward(scale=0.2)},
}
STEPS = 10_240
EPISODES = 25


def judge(act: Callable[[NDArray[np.float32]], Any]) -> tuple[float, float]:
    """Bounds of the 95% interval of an episode's mean PnL in quote units; the same episodes for everybody."""
    env = ArenaAgentEnv("maker_0", **ARENA)
    made = []
    for seed in range(10_000, 10_000 + EPISODES):
        observation, _ = env.reset(seed=seed)
        over = False
        while not over:
            observation, _, terminated, truncated, info = env.step(act(observation))
            over = terminated or truncated
        made.append(info["summary"]["pnl_units"] * env.core.unit)
    half = 2.06 * np.std(made, ddof=1) / EPISODES**0.5  # Student's t, 24 degrees of freedom
    return float(np.mean(made) - half), float(np.mean(made) + half)


def test_an_agent_beats_its_untrained_start_and_leaves_as_onnx() -> None:
    from stable_baselines3 import PPO
    from stable_baselines3.common.vec_env import DummyVecEnv

    from lobgym.agents.onnx.export import INPUT_NAME, export_policy

    envs = DummyVecEnv([lambda: ArenaAgentEnv("maker_0", **ARENA)] * 4)
    envs.seed(1)
    model = PPO(
        "MlpPolicy", envs, n_steps=128, batch_size=128, n_epochs=10, learning_rate=3e-3, gamma=0.9, seed=0, device="cpu"
    )
    before = judge(lambda observation: model.predict(observation, deterministic=True)[0])
    model.learn(STEPS)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(export_policy(model), options, providers=["CPUExecutionProvider"])

    def exported(observation: NDArray[np.float32]) -> NDArray[np.float32]:
        action: NDArray[np.float32] = session.run(None, {INPUT_NAME: observation[None]})[0][0]
        assert np.allclose(action, model.predict(observation, deterministic=True)[0], atol=1e-5)
        return action

    after = judge(exported)
    assert before[1] < after[0], (before, after)
