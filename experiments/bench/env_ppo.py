"""PPO by Stable-Baselines3, timed iteration by iteration, and the environment of nothing that it is compared on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env.base_vec_env import VecEnv, VecEnvIndices

__all__ = ["Iteration", "NothingVecEnv", "iterations"]


class Iteration(NamedTuple):
    """One rollout and the updates after it."""

    steps: int
    seconds: float  # by the clock
    processor_seconds: float
    collect_seconds: float  # of the rollout alone


class NothingVecEnv(VecEnv):
    """SB3's vector environment of nothing, with the spaces of another."""

    def __init__(self, like: VecEnv) -> None:
        self.render_mode = None
        super().__init__(like.num_envs, like.observation_space, like.action_space)
        self._shape = (like.num_envs, *(like.observation_space.shape or ()))
        self._infos: list[dict[str, Any]] = [{} for _ in range(like.num_envs)]

    def reset(self) -> NDArray[np.float32]:
        """Nothing."""
        return np.zeros(self._shape, np.float32)

    def step_async(self, actions: NDArray[Any]) -> None:
        """Nothing."""

    def step_wait(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Nothing."""
        lanes = self.num_envs
        return np.zeros(self._shape, np.float32), np.zeros(lanes, np.float32), np.zeros(lanes, bool), self._infos

    def close(self) -> None:
        """Nothing."""

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """The attribute, once a lane."""
        return [getattr(self, attr_name)] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute."""
        setattr(self, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Nothing."""
        return [None] * self.num_envs

    def env_is_wrapped(self, wrapper_class: type[Any], indices: VecEnvIndices = None) -> list[bool]:
        """No lane is wrapped."""
        return [False] * self.num_envs


class _Clock(BaseCallback):
    """When rollouts begin and end."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[float] = []
        self.ended: list[float] = []

    def _on_rollout_start(self) -> None:
        self.begun.append(time.perf_counter())

    def _on_rollout_end(self) -> None:
        self.ended.append(time.perf_counter())

    def _on_step(self) -> bool:
        return True


def iterations(env: VecEnv, options: dict[str, Any], seed: int) -> Iterator[Iteration]:
    """Train for ever, one rollout and its updates each time that the next value is asked for."""
    model = PPO("MlpPolicy", env, seed=seed, **options)
    clock = _Clock()
    steps = int(options["n_steps"]) * env.num_envs
    while True:
        begin, own = time.perf_counter(), time.process_time()
        model.learn(steps, callback=clock, reset_num_timesteps=False)
        seconds, own = time.perf_counter() - begin, time.process_time() - own
        yield Iteration(steps, seconds, own, clock.ended[-1] - clock.begun[-1])
