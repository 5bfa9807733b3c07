"""Train a router over a pool of three rules and one policy, and hold it against everyone in its pool.

    python docs/examples/router_training.py
    python docs/examples/router_training.py --algo dqn
    python docs/examples/router_training.py --quick

The market is one with a known answer: for half a minute at a time the price drifts, and the sizes of the best quotes
show where to. Every five seconds the router says who holds the position for the next five: one of three rules (short,
flat, long), or a policy that bets against the sizes at every step, which is always wrong. It learns on the first part
of the tape; the table comes from the part behind it, where all contestants trade the same episodes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3 import DQN, PPO

from lobgym.envs.pool import CodeProfile, PolicyProfile, Pool
from lobgym.envs.router_vector import RouterVectorEnv
from lobgym.envs.sb3 import make_sb3_vec_env

Choose = Callable[[NDArray[np.float32]], NDArray[Any]]
SHORT, FLAT, LONG = 0, 1, 2
PROFILES = 4


class Fade:
    """Bets against the larger of the two best quotes; any object with `act` can be in a pool."""

    def act(self, observations: NDArray[np.float32]) -> NDArray[Any]:
        """float32[n, 1], the imbalance -> target positions int64[n]."""
        return np.where(observations[:, 0] > 0.3, SHORT, np.where(observations[:, 0] < -0.3, LONG, FLAT))


def arguments(tape: str) -> dict[str, Any]:
    """What every environment here is made with."""
    rules = (CodeProfile("short", (SHORT,)), CodeProfile("flat", (FLAT,)), CodeProfile("long", (LONG,)))
    return {
        "kind": "target",
        "tape": tape,
        "spec": {"targets": (-1.0, 0.0, 1.0), "position_lots_max": 100},
        "pool": Pool((*rules, PolicyProfile("fade", Fade(), ("imbalance_1",)))),
        "observation": ("imbalance_1", "inventory"),
        "macro_steps": 10,  # of 500 ms
        "horizon": 36,
    }


def keep_the_side(observations: NDArray[np.float32]) -> NDArray[Any]:
    """What the best policy does: take the signal's side, and keep it through the pauses."""
    signal, position = observations[:, 0], np.rint(observations[:, 1]).astype(np.int64)
    return np.where(signal > 0.3, LONG, np.where(signal < -0.3, SHORT, position + FLAT))


def evaluate(given: dict[str, Any], choose: Choose, episodes: int) -> NDArray[np.float64]:
    """PnL in quote units of the first episode of `episodes` lanes in the test part."""
    env = RouterVectorEnv(num_envs=episodes, split="test", **given)
    observations, _ = env.reset(seed=1_000_000)
    ended = np.zeros(episodes, np.bool_)
    pnl = np.zeros(episodes)
    while not ended.all():
        observations, _, terminated, truncated, infos = env.step(choose(observations))
        now = (terminated | truncated) & ~ended
        if now.any():
            pnl[now] = infos["summary"]["pnl_units"][now] * env.core.unit
            ended |= now
    return pnl


def new_model(algo: str, env: Any, steps: int) -> Any:
    """An untrained model of Stable-Baselines3."""
    if algo == "ppo":
        ppo = {"n_steps": 64, "batch_size": 512, "n_epochs": 6, "learning_rate": 2e-3, "ent_coef": 0.01}
        return PPO("MlpPolicy", env, seed=0, device="cpu", gamma=0.95, **ppo)
    dqn = {"learning_starts": min(1_000, steps // 2), "buffer_size": 50_000, "batch_size": 256, "learning_rate": 1e-3}
    return DQN("MlpPolicy", env, seed=0, device="cpu", gamma=0.95, train_freq=1, gradient_steps=4, **dqn)


def main(words: list[str] | None = None) -> dict[str, float]:
    """Train, print the table, and return the mean PnL of every contestant."""
    parser = argparse.ArgumentParser(description="Train a router and hold it against its pool.")
    parser.add_argument("--algo", choices=("ppo", "dqn"), default="ppo")
    parser.add_argument("--minutes", type=int, default=60, help="of the market")
    parser.add_argument("--steps", type=int, default=30_000, help="macro steps of training, over all lanes")
    parser.add_argument("--lanes", type=int, default=32)
    parser.add_argument("--episodes", type=int, default=200, help="of the comparison")
    parser.add_argument("--quick", action="store_true", help="only see that it runs")
    given = parser.parse_args(words)
    if given.quick:
        given.minutes, given.steps, given.lanes, given.episodes = 12, 512, 8, 8
    shared = arguments(f"synth:planted-alpha?minutes={given.minutes}&strength=1&seed=1")
    venv = make_sb3_vec_env("lobgym/Router-v0", given.lanes, seed=0, split="train", **shared)
    model = new_model(given.algo, venv, given.steps)

    def choose(seen: NDArray[np.float32]) -> NDArray[Any]:
        chosen: NDArray[Any] = model.predict(seen, deterministic=True)[0]
        return chosen

    chance = np.random.default_rng(0)
    results = {"router, untrained": evaluate(shared, choose, given.episodes)}
    model.learn(given.steps)
    results[f"router, {given.algo}"] = evaluate(shared, choose, given.episodes)
    results["the best rule"] = evaluate(shared, keep_the_side, given.episodes)
    results["at random"] = evaluate(shared, lambda seen: chance.integers(0, PROFILES, len(seen)), given.episodes)
    for number, name in enumerate(shared["pool"].names):
        results[f"always {name}"] = evaluate(shared, lambda seen, n=number: np.full(len(seen), n), given.episodes)

    print(f"{'PnL of an episode':20}{'mean':>9}{'95% interval':>20}   quote units")
    for name, pnl in results.items():
        half = 1.96 * pnl.std(ddof=1) / np.sqrt(len(pnl))
        print(f"{name:20}{pnl.mean():9.2f}{f'{pnl.mean() - half:.2f} to {pnl.mean() + half:.2f}':>20}")
    return {name: float(pnl.mean()) for name, pnl in results.items()}


if __name__ == "__main__":
    main()
