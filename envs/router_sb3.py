"""One `RouterVectorEnv` as a Stable-Baselines3 `VecEnv`."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from lobgym.envs.router_vector import RouterVectorEnv
from lobgym.envs.sb3 import Sb3VecEnv

__all__ = ["RouterSb3VecEnv", "make_router_sb3_vec_env"]


def make_router_sb3_vec_env(num_envs: int = 1, seed: int | None = None, **kwargs: Any) -> RouterSb3VecEnv:
    """A router with `num_envs` lanes, seeded s, s + 1, ... at its first reset; `kwargs` are `RouterVectorEnv`'s."""
    made = RouterSb3VecEnv(RouterVectorEnv(num_envs=num_envs, autoreset_mode=AutoresetMode.SAME_STEP, **kwargs))
    if seed is not None:
        made.seed(seed)
    return made


class RouterSb3VecEnv(Sb3VecEnv):
    """SB3's face of a router in SAME_STEP mode; infos are those of `Sb3VecEnv`, lengths are in macro steps.

    Only `step_wait` is its own: the rest of SB3's questions are answered as for every vector environment.
    """

    def __init__(self, venv: RouterVectorEnv) -> None:
        super().__init__(venv)  # type: ignore[arg-type]
        self.router = venv.core

    def step_wait(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """A macro step of every lane; those whose episode is over are restarted."""
        assert self._actions is not None
        step = self.router.step(self._actions)
        dones = step.terminated | step.truncated
        observations = step.observations
        infos = self._infos
        if dones.any():
            infos = infos.copy()
            summary = self.router.summary()
            final = observations
            starts = self.router.next_episode(dones)
            observations = self.router.observe()
            for i in np.flatnonzero(dones).tolist():
                infos[i] = self._router_info(summary, i, bool(step.truncated[i]), final[i].copy())
                self.reset_infos[i] = {"start_ns": int(starts[i])}
        return observations, step.rewards.astype(np.float32), dones, infos

    def _router_info(
        self, summary: dict[str, NDArray[Any]], lane: int, truncated: bool, observation: NDArray[np.float32]
    ) -> dict[str, Any]:
        one = {key: values[lane].item() for key, values in summary.items()}
        unit = self.router.unit
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
