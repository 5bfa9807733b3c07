"""The untrained model of a config: algorithms of stable-baselines3 and sb3-contrib with `TrainConfig`'s settings."""

from __future__ import annotations

from typing import Any, Final

from sb3_contrib import QRDQN, RecurrentPPO
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from lobgym.agents.sb3.config import TrainConfig, update_schedule
from lobgym.agents.sb3.settings import DqnSettings, PpoSettings

__all__ = ["build_model"]

_ENTROPY_START: Final = "auto_0.1"


def build_model(config: TrainConfig, env: VecEnv, with_buffer: bool = True) -> BaseAlgorithm:
    """The untrained model of a config. Without a replay buffer it can act and be given weights, but not learn."""
    common: dict[str, Any] = {"gamma": config.gamma, "seed": config.seed, "device": "cpu", "verbose": 0}
    if config.algo == "ppo":
        return PPO("MlpPolicy", env, **_on_policy(config, config.ppo), **common)
    if config.algo == "ppo_lstm":
        keywords = _on_policy(config, config.ppo_lstm)
        keywords["policy_kwargs"] |= {"lstm_hidden_size": config.ppo_lstm.lstm_size}
        return RecurrentPPO("MlpLstmPolicy", env, **keywords, **common)
    if config.algo == "dqn":
        keywords = _off_policy(config, with_buffer) | _exploring(config, config.dqn)
        return DQN("MlpPolicy", env, policy_kwargs={"net_arch": list(config.hidden)}, **keywords, **common)
    if config.algo == "qrdqn":
        keywords = _off_policy(config, with_buffer) | _exploring(config, config.qrdqn)
        kwargs = {"net_arch": list(config.hidden), "n_quantiles": config.qrdqn.quantiles}
        return QRDQN("MlpPolicy", env, policy_kwargs=kwargs, **keywords, **common)
    sac = config.sac
    return SAC(
        "MlpPolicy",
        env,
        tau=sac.tau,
        ent_coef=_ENTROPY_START if sac.entropy is None else sac.entropy,
        policy_kwargs={"net_arch": list(config.hidden)},
        **_off_policy(config, with_buffer),
        **common,
    )


def _on_policy(config: TrainConfig, ppo: PpoSettings) -> dict[str, Any]:
    # SB3's default spread of 1 covers a [-1, 1] action with noise: most of it would be clipped away.
    extras = {} if config.discrete else {"log_std_init": ppo.initial_log_std}
    return {
        "learning_rate": ppo.learning_rate,
        "n_steps": ppo.rollout_steps,
        "batch_size": min(ppo.batch_size, ppo.rollout_steps * config.num_envs),
        "n_epochs": ppo.epochs,
        "gae_lambda": ppo.gae_lambda,
        "clip_range": ppo.clip_range,
        "ent_coef": ppo.entropy_coefficient,
        "policy_kwargs": {"net_arch": list(config.hidden), **extras},
    }


def _off_policy(config: TrainConfig, with_buffer: bool) -> dict[str, Any]:
    settings: Any = getattr(config, config.algo)
    train_freq, gradient_steps = update_schedule(settings.updates_per_transition, config.num_envs)
    return {
        "learning_rate": settings.learning_rate,
        "buffer_size": max(settings.buffer_size, config.num_envs) if with_buffer else config.num_envs,
        "learning_starts": settings.learning_starts,
        "batch_size": settings.batch_size,
        "train_freq": (train_freq, "step"),
        "gradient_steps": gradient_steps,
    }


def _exploring(config: TrainConfig, settings: DqnSettings) -> dict[str, Any]:
    return {
        "target_update_interval": max(settings.target_update_interval, config.num_envs),
        "exploration_fraction": settings.exploration_fraction,
        "exploration_final_eps": settings.exploration_final,
    }
