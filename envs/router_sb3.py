"""One `RouterVectorEnv` as a Stable-Baselines3 `VecEnv`."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from lobgym.envs.errors import SplitError
from lobgym.envs.router_vector import RouterVectorEnv
from lobgym.envs.sb3 import Sb3VecEnv

__all__ = ["RouterSb3VecEnv", "make_router_sb3_vec_env"]


def make_router_sb3_vec_env(
    num_envs: int = 1, seed: int | None = None, evaluation: bool = False, **kwargs: Any
) -> RouterSb3VecEnv:
    """A router with `num_envs` lanes, seeded s, s + 1, ... at its first reset; `kwargs` are `RouterVectorEnv`'s.

    Raises:
        SplitError: the test part of a tape, without saying that it is for an evaluation.
    """
    if kwargs.get("split") == "test" and not evaluation:
        raise SplitError("split 'test' is kept for evaluation: train with split='train', or say evaluation=True")
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
            summary = {key: values.tolist() for key, values in self.router.summary().items()}
            final = observations
            starts = self.router.next_episode(dones)
            observations = self.router.observe()
            for i in np.flatnonzero(dones).tolist():
                infos[i] = self._final_info(summary, i, bool(step.truncated[i]), final[i].copy())
                self.reset_infos[i] = {"start_ns": int(starts[i])}
        return observations, step.rewards.astype(np.float32), dones, infos
