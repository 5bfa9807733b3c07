"""One agent of the arena learns: a maker among the default others, judged before and after.

It leaves as ONNX, and what is judged afterwards is that file. `--quick`: few steps.
"""

import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv

from lobgym.agents.onnx.export import INPUT_NAME, export_policy
from lobgym.envs.arena import ArenaAgentEnv, ArenaReward
from lobgym.sim.params import SimParams

STEPS, EPISODES = (4_096, 4) if "--quick" in sys.argv else (131_072, 40)
ARENA = {
    "market": "synth:wide-spread?ticks=64",  # about half a basis point between bid and ask
    "interval_ns": 200_000_000,
    "max_cycles": 200,
    "params": SimParams(maker_fee_ppb=0, entry_ns=1_000_000, response_ns=1_000_000, max_responses=4096),
    "reward": {"maker": ArenaReward(inventory_penalty=0.2)},
    "spec": {"maker": {"position_lots_max": 1_000}},
}


def judge(act):
    """PnL in quote units of episodes that training has not seen: its mean and half its 95% interval."""
    env = ArenaAgentEnv("maker_0", **ARENA)
    made = []
    for episode in range(EPISODES):
        observation, _ = env.reset(seed=5_000 + episode)
        over = False
        while not over:
            observation, _, terminated, truncated, info = env.step(act(observation))
            over = terminated or truncated
        made.append(info["summary"]["pnl_units"] * env.core.unit)
    return np.mean(made), 1.96 * np.std(made, ddof=1) / len(made) ** 0.5


torch.set_num_threads(1)
train = DummyVecEnv([lambda: ArenaAgentEnv("maker_0", **ARENA)] * 8)
train.seed(1_000)
model = PPO(
    "MlpPolicy", train, n_steps=256, batch_size=512, n_epochs=6, learning_rate=1e-3, gamma=0.9, seed=0, device="cpu",
    policy_kwargs={"log_std_init": -1.0},
)  # fmt: skip
before = judge(lambda observation: model.predict(observation, deterministic=True)[0])
model.learn(STEPS)
Path("maker.onnx").write_bytes(export_policy(model))
options = ort.SessionOptions()
options.intra_op_num_threads = 1  # a network of this size is not worth a second one
session = ort.InferenceSession("maker.onnx", options, providers=["CPUExecutionProvider"])
after = judge(lambda observation: session.run(None, {INPUT_NAME: observation[None]})[0][0])
for when, (mean, half) in {"untrained": before, "trained, from maker.onnx": after}.items():
    print(f"{when}: {mean:+.2f} ± {half:.2f} quote units an episode ({EPISODES} episodes)")
