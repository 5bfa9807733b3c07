"""Self-play: two makers in one arena, one of them learning, the other with the weights of a round ago.

    python docs/examples/arena_self_play.py             a few minutes on one core
    python docs/examples/arena_self_play.py --quick     some seconds, to see that it runs

After each round the two are judged on episodes that nobody has trained on. The last weights leave as ONNX.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv

from lobgym.agents.onnx.export import export_policy
from lobgym.envs.arena import ArenaReward
from lobgym.envs.arena.agent import ArenaAgentEnv
from lobgym.sim.params import SimParams

ARENA: dict[str, Any] = {
    "agents": {"maker": 2, "taker": 1},
    "market": "synth:wide-spread?ticks=64",
    "interval_ns": 200_000_000,
    "max_cycles": 200,
    "params": SimParams(maker_fee_ppb=0, entry_ns=1_000_000, response_ns=1_000_000, max_responses=4096),
    "reward": {"maker": ArenaReward(inventory_penalty=0.2)},
    "spec": {"maker": {"position_lots_max": 1_000}},
}


class Frozen:
    """The rival: a copy of the learner's weights as they were when a round began."""

    def __init__(self, model: PPO) -> None:
        self._model = model
        self._state = self._copy()

    def _copy(self) -> dict[str, torch.Tensor]:
        return {name: value.clone() for name, value in self._model.policy.state_dict().items()}

    def renew(self) -> None:
        """Take over what the learner has learnt."""
        self._state = self._copy()

    def act(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """The deterministic action, in one pass through the policy's network by hand."""
        hidden = torch.as_tensor(observations)
        with torch.no_grad():
            for layer in ("mlp_extractor.policy_net.0", "mlp_extractor.policy_net.2"):
                weights = self._state[f"{layer}.weight"], self._state[f"{layer}.bias"]
                hidden = torch.tanh(torch.nn.functional.linear(hidden, *weights))
            out = torch.nn.functional.linear(hidden, self._state["action_net.weight"], self._state["action_net.bias"])
        return out.clamp(-1.0, 1.0).numpy()


def judge(model: PPO, rival: Frozen, episodes: int) -> tuple[float, float]:
    """Mean PnL of an episode in quote units, of the learner and of its rival in the same episodes."""
    env = ArenaAgentEnv("maker_0", others={"maker_1": rival}, **ARENA)
    sums = np.zeros(2)
    for seed in range(episodes):
        observation, _ = env.reset(seed=1_000_000 + seed)
        over = False
        while not over:
            action, _ = model.predict(observation, deterministic=True)
            observation, _, terminated, truncated, _ = env.step(action)
            over = terminated or truncated
        sums += env.core.run.totals[:2, 0] * env.core.unit  # pnl_units of both
    return float(sums[0] / episodes), float(sums[1] / episodes)


def main() -> None:
    """Rounds of training, each against what the round before has learnt."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=None, help="where to leave the ONNX file")
    given = parser.parse_args()
    rounds, steps, episodes = (2, 512, 2) if given.quick else (4, 40_960, 20)

    torch.set_num_threads(1)
    lanes = 2 if given.quick else 8
    rivals: list[Any] = []  # filled once there is a model to copy

    class Rival:
        """Whoever the rival is at the moment."""

        def act(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
            return rivals[0].act(observations) if rivals else np.zeros((len(observations), 4), np.float32)

    def make() -> ArenaAgentEnv:
        return ArenaAgentEnv("maker_0", others={"maker_1": Rival()}, **ARENA)

    envs = DummyVecEnv([make] * lanes)
    envs.seed(0)
    model = PPO(
        "MlpPolicy", envs, n_steps=128, batch_size=256, n_epochs=6, learning_rate=1e-3, gamma=0.9, seed=0, device="cpu",
        policy_kwargs={"log_std_init": -1.0},
    )  # fmt: skip
    rival = Frozen(model)
    rivals.append(rival)
    for k in range(rounds):
        model.learn(steps, reset_num_timesteps=False)
        own, other = judge(model, rival, episodes)
        print(f"round {k + 1}: learner {own:+.2f}, rival {other:+.2f} quote units an episode")
        rival.renew()
    if given.out is not None:
        aside = given.out.with_name(given.out.name + ".part")
        aside.write_bytes(export_policy(model))
        aside.replace(given.out)
        print(f"{given.out}: {given.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
