"""`RouterVectorEnv`: N lanes of a router's macro steps as a Gymnasium vector environment."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from lobgym.envs.markets import TapeLike
from lobgym.envs.pool import PoolLike
from lobgym.envs.rendering import RENDER_FPS, VECTOR_RENDER_MODES, check_render_mode
from lobgym.envs.router_core import RouterCore, RouterTransition
from lobgym.envs.router_view import watch_router
from lobgym.envs.vector import put, reset_mask
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.observation import ObservationLayout

__all__ = ["RouterVectorEnv", "router_spaces"]


def router_spaces(core: RouterCore) -> tuple[spaces.Space[NDArray[np.float32]], spaces.Discrete]:
    """The observation's Box, [-1, 1] for the layout's columns and [0, 1] for the profiles, and Discrete(P)."""
    low = np.concatenate([core.layout.low, np.zeros(core.pool.size, np.float32)])
    high = np.concatenate([core.layout.high, np.ones(core.pool.size, np.float32)])
    box: spaces.Space[Any] = spaces.Box(low, high, dtype=np.float32)
    return box, spaces.Discrete(core.pool.size)


class RouterVectorEnv(VectorEnv[NDArray[np.float32], NDArray[Any], NDArray[Any]]):
    """N independent routers on one tape; lane i seeded with s equals `RouterEnv` seeded with s + i, bit for bit.

    Args:
        kind: of the environment below: "grid", "target", ...
        tape: a name, a path, a `Tape` or a compiled `Market`.
        num_envs: lanes.
        pool: profiles and policies to choose from (`lobgym.envs.pool`); None takes `default_pool`.
        macro_steps: steps of the lower environment in a macro step; 120 are a minute at the default 500 ms.
        horizon: macro steps of an episode.
        observation: the router's layout or column names; None takes the default columns.
        spec: the desk below: a `DeskSpec`, or a dict of fields that differ from the market's defaults. Policies of the
            pool that name no columns read its layout.
        autoreset_mode: NEXT_STEP, SAME_STEP or DISABLED (then reset lanes with `options={"reset_mask": mask}`).
        render_mode: None, "rgb_array" (a picture a lane) or "ansi".
        arguments: all others of `LobVectorEnv`: params, reward, split, test_fraction, embargo_ns, start, capital, ...

    A step's infos tell of the whole macro step: exact sums as integers, and the account at its end. Where an episode
    ended they also hold "summary". After a reset they hold "start_ns", "episode_id" and "lane_seed".

    Raises:
        HorizonError: episodes do not fit. ParamsError, LayoutError, TapeError: arguments that make no sense.
    """

    def __init__(
        self,
        kind: str = "grid",
        tape: TapeLike = "synth:volatile",
        num_envs: int = 1,
        pool: PoolLike | None = None,
        macro_steps: int = 120,
        horizon: int | None = 5,
        observation: ObservationLayout | tuple[str, ...] | list[str] | str | None = None,
        spec: DeskSpec | dict[str, Any] | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
        **arguments: Any,
    ) -> None:
        check_render_mode(render_mode, VECTOR_RENDER_MODES)
        self.core = RouterCore(kind, tape, num_envs, pool, macro_steps, horizon, observation, spec, **arguments)
        self.num_envs = num_envs
        self.render_mode = render_mode
        self._renderer = watch_router(self.core, render_mode)
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {
            "render_modes": list(VECTOR_RENDER_MODES),
            "render_fps": RENDER_FPS,
            "autoreset_mode": self.autoreset_mode,
        }
        self.single_observation_space, self.single_action_space = router_spaces(self.core)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._everyone = np.ones(num_envs, np.bool_)
        self._pending = np.zeros(num_envs, np.bool_)  # NEXT_STEP: lanes that the next step resets

    @property
    def pool(self) -> Any:
        """The profiles, in the order of the choices."""
        return self.core.pool

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start new episodes: in all lanes, or in those of `options["reset_mask"]` (bool[N])."""
        mask = reset_mask(options, self._everyone)
        self.core.seed(seed, mask)
        starts = self.core.begin(mask)
        self._pending = self._pending & ~mask
        infos: dict[str, Any] = {}
        self._put_start(infos, starts, mask)
        return self.core.observe(), infos

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """A macro step of every lane; lanes whose episode is over are reset as the autoreset mode says."""
        fresh = self._pending
        infos: dict[str, Any] = {}
        if fresh.any():  # NEXT_STEP: these ignore their action
            self._put_start(infos, self.core.next_episode(fresh), fresh)
        step = self.core.step(actions, ~fresh)
        done = step.terminated | step.truncated
        if self.autoreset_mode == AutoresetMode.SAME_STEP and done.any():
            return self._reset_in_step(step, done)
        for key, values in step.values.items():
            put(infos, key, values, ~fresh)
        if done.any():
            put(infos, "summary", self._summary(done), done)
        if self.autoreset_mode == AutoresetMode.NEXT_STEP:
            self._pending = done
        return step.observations, step.rewards, step.terminated, step.truncated, infos

    def _reset_in_step(
        self, step: RouterTransition, done: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """SAME_STEP: the observation is already the next episode's, the last one goes into the infos."""
        infos: dict[str, Any] = {}
        final_info: dict[str, Any] = {}
        for key, values in step.values.items():
            put(infos, key, values, ~done)
            put(final_info, key, values, done)
        put(final_info, "summary", self._summary(done), done)
        final_obs = np.full(self.num_envs, None, object)
        for i in np.flatnonzero(done):
            final_obs[i] = step.observations[i].copy()
        put(infos, "final_obs", final_obs, done)
        put(infos, "final_info", final_info, done)
        self._put_start(infos, self.core.next_episode(done), done)
        return self.core.observe(), step.rewards, step.terminated, step.truncated, infos

    def render(self) -> tuple[Any, ...] | None:
        """A picture or a text for each lane, or None without a render mode; every step below is drawn."""
        return None if self._renderer is None else self._renderer.render_all()

    def _put_start(self, infos: dict[str, Any], starts: NDArray[np.int64], mask: NDArray[np.bool_]) -> None:
        for key, values in self.core.start_values(starts).items():
            put(infos, key, values, mask)

    def _summary(self, done: NDArray[np.bool_]) -> dict[str, Any]:
        summary: dict[str, Any] = {}
        for key, values in self.core.summary().items():
            put(summary, key, values, done)
        return summary
