"""A reward of one's own: a running penalty on the square of the inventory, beside the change of equity.

A function gets what the step did (`StepResult`, integers, an entry a lane) and what turns these into quote units
(`RewardFacts`), and answers with a number a lane. It is called once for all lanes. The same agent is trained without
and with it, and both are judged on episodes that neither has seen. `--quick` to see that it runs.

The square is the running penalty of Cartea, Jaimungal and Penalva, Algorithmic and High-Frequency Trading (2015),
chapter 10.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3 import PPO

from lobgym.envs import RewardFacts, RewardTerms
from lobgym.envs.sb3 import make_sb3_vec_env
from lobgym.sim.desk import StepResult

STEPS = 200_000
PHI = 0.2  # quote units a step at the position limit
COMMON: dict[str, Any] = {"env_id": "lobgym/MarketMaking-v0", "num_envs": 32, "horizon": 240}


def squared_inventory(result: StepResult, facts: RewardFacts) -> NDArray[np.float64]:
    """Minus PHI times the square of the share of the position limit that is held: float64[N]."""
    return -PHI * (result.position / facts.position_lots_max) ** 2


def train(reward: Any, steps: int) -> PPO:
    """An agent for a reward."""
    env = make_sb3_vec_env(seed=0, split="train", reward=reward, **COMMON)
    model = PPO("MlpPolicy", env, n_steps=128, batch_size=1024, n_epochs=4, learning_rate=1e-3, seed=0, device="cpu")
    return model.learn(steps)


def judge(model: PPO) -> dict[str, float]:
    """Means over one unseen episode a lane: PnL in quote units, and the largest inventory in lots."""
    env = make_sb3_vec_env(seed=1000, split="test", evaluation=True, **COMMON)
    episodes: dict[int, dict[str, Any]] = {}
    observations = env.reset()
    while len(episodes) < env.num_envs:
        actions, _ = model.predict(observations, deterministic=True)
        observations, _, dones, infos = env.step(actions)
        for lane in np.flatnonzero(dones).tolist():
            episodes.setdefault(lane, infos[lane]["episode"])
    return {key: float(np.mean([one[key] for one in episodes.values()])) for key in ("pnl", "max_abs_inventory")}


def main(steps: int) -> None:
    """Train both, judge both."""
    for name, reward in {
        "equity alone": RewardTerms(scale=0.1),
        "with the penalty": (RewardTerms(scale=0.1), squared_inventory),
    }.items():
        told = judge(train(reward, steps))
        print(f"{name:17} PnL {told['pnl']:8.2f}  largest inventory {told['max_abs_inventory']:10.0f} lots")


if __name__ == "__main__":
    main(4_096 if "--quick" in sys.argv else STEPS)
