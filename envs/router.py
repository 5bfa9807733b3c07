"""`RouterEnv`: one router as an ordinary Gymnasium environment."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium
import numpy as np
from numpy.typing import NDArray

from lobgym.envs.lone import LoneLane, plain
from lobgym.envs.markets import TapeLike
from lobgym.envs.pool import Pool, PoolLike
from lobgym.envs.rendering import RENDER_FPS, RENDER_MODES, check_render_mode
from lobgym.envs.router_core import RouterCore
from lobgym.envs.router_vector import router_spaces
from lobgym.envs.router_view import watch_router
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.observation import ObservationLayout

__all__ = ["RouterEnv"]


class RouterEnv(LoneLane, gymnasium.Env[NDArray[np.float32], np.int64]):
    """One router. Arguments, episodes and infos are those of `RouterVectorEnv`, for a single lane.

    Infos hold plain integers and floats. Copies and pickles carry the arguments, the pool's policies among them, and
    the lane's state; the compiled market is shared, or made again where it is not there.
    """

    core: RouterCore
    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        "render_modes": list(RENDER_MODES),
        "render_fps": RENDER_FPS,
    }

    def __init__(
        self,
        kind: str = "grid",
        tape: TapeLike = "synth:volatile",
        pool: PoolLike | None = None,
        macro_steps: int = 120,
        horizon: int | None = 5,
        observation: ObservationLayout | tuple[str, ...] | list[str] | str | None = None,
        spec: DeskSpec | dict[str, Any] | None = None,
        render_mode: str | None = None,
        **arguments: Any,
    ) -> None:
        given = {name: value for name, value in locals().items() if name not in ("self", "__class__", "arguments")}
        self._arguments = given | arguments
        check_render_mode(render_mode, RENDER_MODES)
        self.core = RouterCore(kind, tape, 1, pool, macro_steps, horizon, observation, spec, **arguments)
        self.render_mode = render_mode
        self._renderer = watch_router(self.core, render_mode)
        self.observation_space, self.action_space = router_spaces(self.core)
        self._mask = np.ones(1, np.bool_)

    @property
    def pool(self) -> Pool:
        """The profiles, in the order of the choices."""
        return self.core.pool

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start the episode 0 of `seed`, or without one the next episode of the seed that the environment has."""
        super().reset(seed=seed, options=options)
        self.core.seed(seed, self._mask)
        starts = self.core.begin(self._mask)
        info = {key: plain(values[0]) for key, values in self.core.start_values(starts).items()}
        return self.core.observe()[0], info

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """One macro step in which the profile `action` acts.

        Raises:
            ResetNeededError: no episode is running. ActionError: a choice that the pool does not have.
        """
        step = self.core.step(np.asarray(action)[None])
        info: dict[str, Any] = {key: plain(values[0]) for key, values in step.values.items()}
        terminated, truncated = bool(step.terminated[0]), bool(step.truncated[0])
        if terminated or truncated:
            info["summary"] = {key: plain(values[0]) for key, values in self.core.summary().items()}
        return step.observations[0], float(step.rewards[0]), terminated, truncated, info
