"""PPO in one file, nothing hidden: a torch network, a rollout, its advantages, the clipped update; `--quick` to see
that it runs.

What is particular to these environments: all lanes are stepped by one call; observations and actions come scaled to
[-1, 1], so nothing is normalised here; and an episode that was cut off at its horizon is worth what the critic says of
its last observation, which SAME_STEP hands over in `final_obs`.
"""

from __future__ import annotations

import sys
import time

import gymnasium as gym
import numpy as np
import torch
from torch import nn
from torch.distributions import Normal

from lobgym.envs import RewardTerms

ENV_ID = "lobgym.envs:lobgym/MarketMaking-v0"
TOTAL_STEPS = 300_000
LANES, ROLLOUT, EPOCHS, BATCH = 32, 128, 4, 1024
LEARNING_RATE, GAMMA, GAE_LAMBDA, CLIP, VALUE_WEIGHT, NORM_MAX = 1e-3, 0.99, 0.95, 0.2, 0.5, 0.5
SEED = 0


class Agent(nn.Module):
    """A Gaussian over actions, whose width does not depend on the observation, and a critic."""

    def __init__(self, columns: int, actions: int) -> None:
        super().__init__()
        self.actor = network(columns, actions, 0.01)
        self.critic = network(columns, 1, 1.0)
        self.log_std = nn.Parameter(torch.full((actions,), -0.5))

    def value(self, observations: torch.Tensor) -> torch.Tensor:
        return self.critic(observations).squeeze(-1)

    def policy(self, observations: torch.Tensor) -> Normal:
        return Normal(self.actor(observations), self.log_std.exp())


def network(columns: int, out: int, last_gain: float) -> nn.Sequential:
    """Two hidden layers, orthogonal weights."""
    sizes = [(columns, 64, 2**0.5), (64, 64, 2**0.5), (64, out, last_gain)]
    layers: list[nn.Module] = []
    for inputs, outputs, gain in sizes:
        layer = nn.Linear(inputs, outputs)
        nn.init.orthogonal_(layer.weight, gain)
        nn.init.zeros_(layer.bias)
        layers += [layer, nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def make(split: str) -> gym.vector.VectorEnv:
    """All lanes, on one part of the tape."""
    return gym.make_vec(
        ENV_ID, LANES, vectorization_mode="vector_entry_point", autoreset_mode="SameStep",
        horizon=240, split=split, reward=RewardTerms(scale=0.1),
    )  # fmt: skip


def advantages_of(rewards, values, ends, last_value) -> torch.Tensor:
    """Generalised advantage estimates [ROLLOUT, LANES] (Schulman et al. 2016, equation 16)."""
    found = torch.zeros_like(rewards)
    running = torch.zeros(LANES)
    for t in reversed(range(len(rewards))):
        later = last_value if t == len(rewards) - 1 else values[t + 1]
        delta = rewards[t] + GAMMA * later * ~ends[t] - values[t]
        running = delta + GAMMA * GAE_LAMBDA * running * ~ends[t]
        found[t] = running
    return found


@torch.no_grad()
def collect(env, agent, observation, finished):
    """One rollout; returns its tensors, the observation that follows it, and its advantages."""
    kept = {name: [] for name in ("observations", "actions", "logs", "values", "rewards", "ends")}
    for _ in range(ROLLOUT):
        seen = torch.as_tensor(observation)
        law = agent.policy(seen)
        action = law.sample()
        observation, reward, terminated, truncated, infos = env.step(action.clamp(-1, 1).numpy())
        reward = torch.as_tensor(reward, dtype=torch.float32)
        if truncated.any():
            last = torch.as_tensor(np.stack(list(infos["final_obs"][truncated])))
            reward[torch.as_tensor(truncated)] += GAMMA * agent.value(last)
        ends = terminated | truncated
        if ends.any():
            finished += infos["final_info"]["summary"]["return"][ends].tolist()
        row = (seen, action, law.log_prob(action).sum(-1), agent.value(seen), reward, torch.as_tensor(ends))
        for name, value in zip(kept, row, strict=True):
            kept[name].append(value)
    tensors = {name: torch.stack(values) for name, values in kept.items()}
    tensors["advantages"] = advantages_of(
        tensors["rewards"], tensors["values"], tensors["ends"], agent.value(torch.as_tensor(observation))
    )
    return {name: value.flatten(0, 1) for name, value in tensors.items()}, observation


def update(agent, optimizer, rollout) -> float:
    """Four passes over the rollout; returns the last loss."""
    returns = rollout["advantages"] + rollout["values"]
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(returns)).split(BATCH):
            law = agent.policy(rollout["observations"][rows])
            ratio = (law.log_prob(rollout["actions"][rows]).sum(-1) - rollout["logs"][rows]).exp()
            gain = rollout["advantages"][rows]
            gain = (gain - gain.mean()) / (gain.std() + 1e-8)
            surrogate = torch.min(ratio * gain, ratio.clamp(1 - CLIP, 1 + CLIP) * gain).mean()
            miss = (agent.value(rollout["observations"][rows]) - returns[rows]).square().mean()
            loss = VALUE_WEIGHT * miss - surrogate
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(agent.parameters(), NORM_MAX)
            optimizer.step()
    return float(loss.detach())


@torch.no_grad()
def judge(agent, seed: int) -> float:
    """Mean return of one unseen episode a lane, the middle of the Gaussian being the action."""
    env = make("test")
    observation, _ = env.reset(seed=seed)
    returns = np.full(LANES, np.nan)
    while np.isnan(returns).any():
        action = agent.actor(torch.as_tensor(observation)).clamp(-1, 1).numpy()
        observation, _, terminated, truncated, infos = env.step(action)
        first = (terminated | truncated) & np.isnan(returns)
        if first.any():
            returns[first] = infos["final_info"]["summary"]["return"][first]
    return float(returns.mean())


def main(total_steps: int) -> None:
    """Train, and judge before and after."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    env = make("train")
    agent = Agent(env.single_observation_space.shape[0], env.single_action_space.shape[0])
    optimizer = torch.optim.Adam(agent.parameters(), LEARNING_RATE, eps=1e-5)
    before = judge(agent, seed=1000)
    observation, _ = env.reset(seed=SEED)
    finished: list[float] = []
    began = time.perf_counter()
    for done in range(LANES * ROLLOUT, total_steps + 1, LANES * ROLLOUT):
        rollout, observation = collect(env, agent, observation, finished)
        loss = update(agent, optimizer, rollout)
        mean = np.mean(finished[-100:]) if finished else float("nan")
        rate = done / (time.perf_counter() - began)
        print(f"steps {done:>8}  return {mean:8.2f}  loss {loss:8.3f}  {rate:7.0f} steps/s", flush=True)
    print(f"unseen episodes: return {before:.2f} untrained, {judge(agent, seed=1000):.2f} trained")
    torch.save(agent.state_dict(), "ppo_single_file.pt")


if __name__ == "__main__":
    main(2 * LANES * ROLLOUT if "--quick" in sys.argv else TOTAL_STEPS)
