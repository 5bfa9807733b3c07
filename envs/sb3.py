"""One `LobVectorEnv` as a Stable-Baselines3 `VecEnv`: N lanes, no Python loop over them.

Only this module imports Stable-Baselines3.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from stable_baselines3.common.vec_env.base_vec_env import VecEnv, VecEnvIndices

from lobgym.envs import ENV_KINDS
from lobgym.envs.errors import SplitError
from lobgym.envs.vector import LobVectorEnv
from lobgym.sim.errors import ParamsError

__all__ = ["Sb3VecEnv", "make_sb3_vec_env"]


def make_sb3_vec_env(
    env_id: str, num_envs: int = 1, seed: int | None = None, evaluation: bool = False, **kwargs: Any
) -> Sb3VecEnv:
    """The environment `env_id` ("lobgym/Grid-v0", ...) with `num_envs` lanes, seeded s, s + 1, ... at its first reset.

    `kwargs` are those of `LobVectorEnv`. Nothing that is made here trains on the part of a tape that is kept for
    testing: `split="test"` needs `evaluation=True`.

    Raises:
        ParamsError: an unknown id. SplitError: the test part, without saying that it is for an evaluation.
    """
    if kwargs.get("split") == "test" and not evaluation:
        raise SplitError(
            "split 'test' is kept for evaluation, and a policy trained on it would be judged by what it has seen: "
            "train with split='train', or say evaluation=True if nothing learns here"
        )
    name = env_id.rpartition(":")[2]
    if name == "lobgym/Router-v0":
        from lobgym.envs.router_sb3 import make_router_sb3_vec_env  # here, because it imports this module

        return make_router_sb3_vec_env(num_envs, seed, evaluation, **kwargs)
    if name not in ENV_KINDS:
        raise ParamsError(f"unknown environment {env_id!r}; known: {', '.join([*ENV_KINDS, 'lobgym/Router-v0'])}")
    venv = LobVectorEnv(ENV_KINDS[name], num_envs=num_envs, autoreset_mode=AutoresetMode.SAME_STEP, **kwargs)
    made = Sb3VecEnv(venv)
    if seed is not None:
        made.seed(seed)
    return made


class Sb3VecEnv(VecEnv):
    """SB3's face of a vector environment in SAME_STEP mode.

    Infos of lanes that go on are one shared empty dict a lane. Where an episode ended the info holds
    `terminal_observation`, `TimeLimit.truncated`, `episode` (return `r`, length `l`, seconds `t`, and `pnl`, `fees`,
    `turnover` in quote units, `fills`, `maker_fills`, `max_abs_inventory` in lots) and `summary`, the exact integers.
    """

    def __init__(self, venv: LobVectorEnv) -> None:
        if venv.autoreset_mode != AutoresetMode.SAME_STEP:
            raise ParamsError(f"SB3 needs autoreset_mode SAME_STEP, got {venv.autoreset_mode}")
        self.venv = venv
        self.core = venv.core
        self._actions: NDArray[Any] | None = None
        self._infos: list[dict[str, Any]] = [{} for _ in range(venv.num_envs)]
        self._began = time.perf_counter()
        super().__init__(venv.num_envs, venv.single_observation_space, venv.single_action_space)

    def reset(self) -> NDArray[np.float32]:
        """Start new episodes in all lanes, with the seeds of `seed()` if it was called since the last reset."""
        seeds = list(self._seeds)
        observations, infos = self.venv.reset(seed=None if all(s is None for s in seeds) else seeds)
        self.reset_infos = [{"start_ns": int(start)} for start in infos["start_ns"]]
        self._reset_seeds()
        self._reset_options()
        self._began = time.perf_counter()
        return observations

    def step_async(self, actions: NDArray[Any]) -> None:
        """Keep the actions for `step_wait`."""
        self._actions = actions

    def step_wait(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Step every lane and restart those whose episode is over."""
        assert self._actions is not None
        step = self.core.step_lent(self._actions)  # of which only what SB3 wants is copied
        dones = step.done
        observations = step.observations.copy()
        infos = self._infos
        if step.ended:
            infos = infos.copy()
            summary = {key: values.tolist() for key, values in self.core.summary().items()}
            final = observations
            starts = self.core.next_episode(dones)
            observations = self.core.desk.observe()
            for i in np.flatnonzero(dones).tolist():
                infos[i] = self._final_info(summary, i, bool(step.truncated[i]), final[i])
                self.reset_infos[i] = {"start_ns": int(starts[i])}
        return observations, step.rewards.astype(np.float32), dones, infos

    def _final_info(
        self, summary: dict[str, list[Any]], lane: int, truncated: bool, observation: NDArray[np.float32]
    ) -> dict[str, Any]:
        one = {key: values[lane] for key, values in summary.items()}
        unit = self.core.unit
        episode = {
            "r": round(one["return"], 6),
            "l": one["steps"],
            "t": round(time.perf_counter() - self._began, 6),
            "pnl": one["pnl_units"] * unit,
            "fees": one["fees_units"] * unit,
            "turnover": one["turnover_units"] * unit,
            "fills": one["fills"],
            "maker_fills": one["maker_fills"],
            "max_abs_inventory": one["max_abs_position_lots"],
        }
        return {
            "terminal_observation": observation,
            "TimeLimit.truncated": truncated,
            "episode": episode,
            "summary": one,
        }

    # -- what SB3 asks of every VecEnv -----------------------------------------------------------------------------

    def close(self) -> None:
        """Release nothing: there are no processes and no files."""
        self.venv.close()

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """The vector environment's attribute, once for every lane asked for."""
        return [getattr(self.venv, attr_name)] * len(self._lanes(indices))

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of the vector environment, which all lanes share."""
        if len(self._lanes(indices)) != self.num_envs:
            raise ParamsError(f"lanes share their environment: {attr_name!r} can only be set for all of them")
        setattr(self.venv, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Call a method of the vector environment once; its result stands for every lane asked for."""
        return [getattr(self.venv, method_name)(*method_args, **method_kwargs)] * len(self._lanes(indices))

    def env_is_wrapped(self, wrapper_class: type[Any], indices: VecEnvIndices = None) -> list[bool]:
        """Whether lanes are wrapped: they never are, but episodes are summed up as SB3's Monitor does it."""
        from stable_baselines3.common.monitor import Monitor

        return [wrapper_class is Monitor] * len(self._lanes(indices))

    def get_images(self) -> Sequence[Any]:
        """A picture of each lane, uint8[540, 960, 3], in render mode "rgb_array"."""
        return list(self.venv.render() or ()) if self.render_mode == "rgb_array" else [None] * self.num_envs

    def _lanes(self, indices: VecEnvIndices) -> list[int]:
        return list(self._get_indices(indices))
