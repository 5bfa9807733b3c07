"""Training: PPO or DQN of stable-baselines3 on the native vector environment, repeatable to the last bit.

    result = train(TrainConfig(algo="ppo", env="grid", total_steps=500_000, out="runs/grid"))

The same config gives the same weights again on the same machine and versions: one thread, torch's deterministic
kernels, every generator seeded from `config.seed`. Ctrl-C ends a run early but leaves its model.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gymnasium as gym
import torch
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import VecEnv

from lobgym.agents.callbacks import ProgressCallback, TradingCallback
from lobgym.agents.config import TrainConfig, update_schedule
from lobgym.agents.errors import RunFolderError, TrainError
from lobgym.agents.runs import (
    CONFIG_FILE,
    LOG_FOLDER,
    MODEL_FILE,
    RECORD_FILE,
    SPEC_FILE,
    RunRecord,
    sha256_file,
    weights_digest,
    write_json,
)
from lobgym.envs.sb3 import make_sb3_vec_env
from lobgym.sim.desk import Desk
from lobgym.sim.desk_spec import DeskSpec

__all__ = ["TrainResult", "build_model", "make_env", "train"]


@dataclass(frozen=True)
class TrainResult:
    """A finished (or interrupted) run: its folder, what it recorded, the model itself, and the desk it learnt at."""

    folder: Path
    record: RunRecord
    model: BaseAlgorithm
    spec: DeskSpec


def train(
    config: TrainConfig, progress: Callable[[int, int], None] | None = None, commit: str | None = None
) -> TrainResult:
    """Run one training from start to end, and write its run folder.

    Args:
        config: what to train, and where to leave it.
        progress: called with (transitions done, transitions in total) now and then.
        commit: recorded as it is.

    Raises:
        RunFolderError: `config.out` holds something already.
        TrainError: weights that are no longer finite.
    """
    folder = Path(config.out)
    if folder.exists() and any(folder.iterdir()):
        raise RunFolderError(f"{folder} is not empty: choose another out folder, runs are never overwritten")
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / CONFIG_FILE, config.to_json())

    with deterministic_torch(config.threads):
        env = make_env(config)
        try:
            model = build_model(config, env)
            model.set_logger(configure(str(folder / LOG_FOLDER), _log_formats()))
            started = time.perf_counter()
            interrupted = _learn(model, config, progress)
            seconds = time.perf_counter() - started
            model.logger.close()
            desk: Desk = env.get_attr("desk", 0)[0]
        finally:
            env.close()
        _require_finite(model)
        model.save(folder / MODEL_FILE)
        write_json(folder / SPEC_FILE, desk.spec.to_json())
        record = _record(folder, config, model, desk, seconds, interrupted, commit)
        write_json(folder / RECORD_FILE, record)
    return TrainResult(folder, record, model, desk.spec)


def make_env(config: TrainConfig, split: str = "train", evaluation: bool = False) -> VecEnv:
    """The native vector environment of a config, over one split of its tape.

    Raises SplitError for split "test", unless it is for an evaluation.
    """
    return make_sb3_vec_env(
        config.env_id,
        config.num_envs,
        config.seed,
        evaluation,
        tape=config.tape,
        params=config.params,
        spec=config.desk,
        reward=config.reward,
        horizon=config.horizon,
        split=split,
        test_fraction=config.test_fraction,
        embargo_ns=config.embargo_ns,
    )


def build_model(config: TrainConfig, env: VecEnv, with_buffer: bool = True) -> BaseAlgorithm:
    """The untrained model of a config. Without a replay buffer it can act and be given weights, but not learn."""
    common: dict[str, Any] = {"gamma": config.gamma, "seed": config.seed, "device": "cpu", "verbose": 0}
    if config.algo == "ppo":
        ppo = config.ppo
        return PPO(
            "MlpPolicy",
            env,
            learning_rate=ppo.learning_rate,
            n_steps=ppo.rollout_steps,
            batch_size=min(ppo.batch_size, ppo.rollout_steps * config.num_envs),
            n_epochs=ppo.epochs,
            gae_lambda=ppo.gae_lambda,
            clip_range=ppo.clip_range,
            ent_coef=ppo.entropy_coefficient,
            policy_kwargs={"net_arch": list(config.hidden), **_ppo_extras(config)},
            **common,
        )
    dqn = config.dqn
    train_freq, gradient_steps = update_schedule(dqn.updates_per_transition, config.num_envs)
    return DQN(
        "MlpPolicy",
        env,
        learning_rate=dqn.learning_rate,
        buffer_size=dqn.buffer_size if with_buffer else config.num_envs,
        learning_starts=dqn.learning_starts,
        batch_size=dqn.batch_size,
        train_freq=(train_freq, "step"),
        gradient_steps=gradient_steps,
        target_update_interval=max(dqn.target_update_interval, config.num_envs),
        exploration_fraction=dqn.exploration_fraction,
        exploration_final_eps=dqn.exploration_final,
        policy_kwargs={"net_arch": list(config.hidden)},
        **common,
    )


@contextmanager
def deterministic_torch(threads: int) -> Iterator[None]:
    """Torch with deterministic kernels and a fixed number of threads; the former settings return at the end."""
    before_threads, before_mode = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_num_threads(before_threads)
        torch.use_deterministic_algorithms(before_mode)


def _ppo_extras(config: TrainConfig) -> dict[str, Any]:
    # SB3's default spread of 1 covers a [-1, 1] action with noise: most of it would be clipped away.
    return {"log_std_init": config.ppo.initial_log_std} if config.env != "target" else {}


def _learn(model: BaseAlgorithm, config: TrainConfig, progress: Callable[[int, int], None] | None) -> bool:
    """Learn until done or interrupted; whether it was interrupted."""
    callbacks: list[BaseCallback] = [TradingCallback()]
    if progress is not None:
        callbacks.append(ProgressCallback(progress, config.total_steps))
    try:
        # A dump per rollout for PPO; DQN counts log_interval in episodes, which end together in every lane.
        interval = 1 if config.algo == "ppo" else config.num_envs
        model.learn(config.total_steps, CallbackList(callbacks), log_interval=interval)
    except KeyboardInterrupt:
        return True
    return False


def _require_finite(model: BaseAlgorithm) -> None:
    if not all(bool(torch.isfinite(tensor).all()) for tensor in model.policy.state_dict().values()):
        raise TrainError("the weights are no longer finite: lower the learning rate or the reward's scale")


def _record(
    folder: Path,
    config: TrainConfig,
    model: BaseAlgorithm,
    desk: Desk,
    seconds: float,
    interrupted: bool,
    commit: str | None,
) -> RunRecord:
    space = model.action_space
    discrete = isinstance(space, gym.spaces.Discrete)
    return RunRecord(
        model_sha256=sha256_file(folder / MODEL_FILE),
        weights_sha256=weights_digest(model),
        observation_size=desk.spec.layout.size,
        action_size=desk.spec.action.bins[0] if discrete else desk.spec.action.size,
        discrete=discrete,
        steps=int(model.num_timesteps),
        seconds=round(seconds, 3),
        seed=config.seed,
        tape_digest=desk.market.tape.digest,
        params_digest=desk.spec.params.digest,
        spec_digest=desk.spec.digest,
        interrupted=interrupted,
        commit=commit,
    )


def _log_formats() -> list[str]:
    """CSV always; TensorBoard where it is installed."""
    return ["csv", "tensorboard"] if find_spec("tensorboard") else ["csv"]
