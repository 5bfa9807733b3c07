"""Stable-Baselines3 in ten lines: train on the first part of a tape, judge on the last. `--quick`: few steps."""

import sys

from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy

from lobgym.envs import RewardTerms
from lobgym.envs.sb3 import make_sb3_vec_env

STEPS = 4_096 if "--quick" in sys.argv else 200_000
ENV = {"env_id": "lobgym/MarketMaking-v0", "horizon": 240, "reward": RewardTerms(scale=0.1)}
train = make_sb3_vec_env(num_envs=32, seed=0, split="train", **ENV)
test = make_sb3_vec_env(num_envs=32, seed=1, split="test", evaluation=True, **ENV)
model = PPO("MlpPolicy", train, n_steps=128, batch_size=1024, n_epochs=4, learning_rate=1e-3, seed=0, device="cpu")
before = evaluate_policy(model, test, n_eval_episodes=32)
model.learn(STEPS)
after = evaluate_policy(model, test, n_eval_episodes=32)
for when, (mean, deviation) in {"untrained": before, "trained": after}.items():
    print(f"{when}: reward of an unseen episode {mean:.2f} (standard deviation {deviation:.2f})")
