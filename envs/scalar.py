"""`LobEnv`: one lane as an ordinary Gymnasium environment."""

from __future__ import annotations

from typing import Any, ClassVar, Unpack

import gymnasium
import numpy as np
from numpy.typing import NDArray

from lobgym.envs.arguments import CoreArguments
from lobgym.envs.core import INFO_KEYS, EnvCore, Transition
from lobgym.envs.lone import LoneLane, plain
from lobgym.envs.markets import TapeLike
from lobgym.envs.rendering import RENDER_FPS, RENDER_MODES, Renderer, check_render_mode
from lobgym.envs.stepping import END_COLUMN, ENDS
from lobgym.envs.vector import action_space_of, observation_space_of

__all__ = ["LobEnv"]


class LobEnv(LoneLane, gymnasium.Env[NDArray[np.float32], Any]):
    """One trader on one tape. Arguments, episodes and infos are those of `LobVectorEnv`, for a single lane.

    Infos hold plain integers and floats. Copies and pickles carry the arguments and the lane's state; the compiled
    market is shared, or made again where it is not there.
    """

    core: EnvCore
    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        "render_modes": list(RENDER_MODES),
        "render_fps": RENDER_FPS,
    }

    _made = LoneLane._made | {"_buffers"}

    def __init__(
        self,
        kind: str = "grid",
        tape: TapeLike = "synth:volatile",
        render_mode: str | None = None,
        **arguments: Unpack[CoreArguments],
    ) -> None:
        self._arguments: dict[str, Any] = {"kind": kind, "tape": tape, "render_mode": render_mode, **arguments}
        check_render_mode(render_mode, RENDER_MODES)
        self.core = EnvCore(kind, tape, 1, **arguments)
        self.render_mode = render_mode
        self._renderer = Renderer.watching(self.core, render_mode)
        self.observation_space = observation_space_of(self.core.spec.layout)
        self.action_space = action_space_of(self.core.spec.action)
        self._mask = np.ones(1, np.bool_)
        self._columns = self.core.spec.layout.size
        self._buffers = Transition(1, self._columns)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start the episode 0 of `seed`, or without one the next episode of the seed that the environment has."""
        super().reset(seed=seed, options=options)
        self.core.seed(seed, self._mask)
        start_ns = int(self.core.begin(self._mask)[0])
        assert self.core.seeds is not None
        info: dict[str, Any] = {
            "start_ns": start_ns,
            "episode_id": int(self.core.episode[0]),
            "lane_seed": int(self.core.seeds[0]),
        }
        if self.core.tasks is not None:
            task = self.core.desk.tasks[0]
            info |= {"task_side": int(task["side"]), "task_lots": int(task["lots"])}
        return self.core.desk.observe()[0], info

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """One interval of the desk.

        Raises:
            ResetNeededError: no episode is running. ActionError: an action outside its space, or not finite.
        """
        step = self._buffers
        step.observations = np.empty((1, self._columns), np.float32)
        self.core.step_into(step, np.asarray(action)[None])
        values = step.block.ravel().tolist()
        info: dict[str, Any] = dict(zip(INFO_KEYS, values, strict=False))
        reward, info["mid"] = step.floats.ravel().tolist()
        info["end"] = ""
        if not step.ended:
            return step.observations[0], reward, False, False, info
        info["end"] = ENDS[values[END_COLUMN]]
        info["summary"] = {key: plain(array[0]) for key, array in self.core.summary().items()}
        return step.observations[0], reward, bool(step.flags[0, 0]), bool(step.flags[1, 0]), info
