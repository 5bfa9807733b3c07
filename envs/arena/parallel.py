"""`ArenaParallelEnv`: the arena as a PettingZoo parallel environment.

Only this module and `lobgym.envs.arena_v0` import PettingZoo.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from pettingzoo import ParallelEnv

from lobgym.envs.arena.config import ArenaConfig
from lobgym.envs.arena.core import ArenaCore
from lobgym.envs.arena.picture import film, with_log
from lobgym.envs.arena.spaces import action_space_of, observation_space_of, state_space_of
from lobgym.envs.rendering import RENDER_FPS, RENDER_MODES, check_render_mode

__all__ = ["ArenaParallelEnv"]

_Flags = dict[str, bool]
_Observations = dict[str, NDArray[np.float32]]


class ArenaParallelEnv(ParallelEnv):  # type: ignore[misc]
    """All agents act at the same time, once an interval.

    Args:
        render_mode: None, "human" or "rgb_array" (a picture of the first agent), or "ansi" (a line about the market,
            and one for each agent).
        arguments: fields of `ArenaConfig`.

    Agents come and go: who is bankrupt, liquidated by the venue, or has filled its parent order is terminated and
    takes part no more, while the others go on; after `max_cycles` steps all that are left are truncated. A terminated
    agent's orders are taken back, a bankrupt one's position is closed by a market order, whose cost the others get.
    """

    metadata: ClassVar[dict[str, Any]] = {
        "name": "arena_v0", "render_modes": list(RENDER_MODES), "render_fps": RENDER_FPS, "is_parallelizable": True,
    }  # fmt: skip

    def __init__(self, render_mode: str | None = None, **arguments: Any) -> None:
        check_render_mode(render_mode, RENDER_MODES)
        self.render_mode = render_mode
        self.core = ArenaCore(ArenaConfig(**with_log(arguments, render_mode)))
        self._renderer = film(self.core, render_mode)
        self.possible_agents = list(self.core.agents)
        self.agents: list[str] = []
        self._observation_spaces = {name: observation_space_of() for name in self.possible_agents}
        self._action_spaces = {
            name: action_space_of(spec.action) for name, spec in zip(self.core.agents, self.core.specs, strict=True)
        }
        self.state_space = state_space_of(len(self.possible_agents))

    @property
    def max_cycles(self) -> int:
        """Steps of an episode; a new value counts from the next reset on."""
        return self.core.max_cycles

    @max_cycles.setter
    def max_cycles(self, value: int) -> None:
        self.core.max_cycles = value

    def observation_space(self, agent: str) -> spaces.Space[Any]:
        """The same for all."""
        return self._observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Space[Any]:
        """That of the agent's role."""
        return self._action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[_Observations, dict[str, dict[str, Any]]]:
        """Begin episode 0 of `seed`, or without one the next episode of the seed that there is."""
        core = self.core
        core.reset(seed)
        self.agents = list(self.possible_agents)
        if self._renderer is not None:
            self._renderer.began()
        rows = core.run.observations.copy()
        info = {"episode_id": core.episode, "start_ns": core.now_ns}
        return dict(zip(self.agents, rows, strict=True)), {name: dict(info) for name in self.agents}

    def step(
        self, actions: dict[str, Any]
    ) -> tuple[_Observations, dict[str, float], _Flags, _Flags, dict[str, dict[str, Any]]]:
        """One interval, with an action of every agent in `agents`.

        Raises:
            ResetNeededError: nobody is left. ActionError: an action outside its space, too few or too many.
        """
        core = self.core
        core.step(actions)
        if self._renderer is not None:
            self._renderer.stepped(())
        names = self.agents
        infos = core.infos()
        rows = core.run.observations.copy()
        gains, ends, index = core.run.gains.tolist(), core.run.end.tolist(), core.index
        over = core.steps >= core.max_cycles
        observations = {name: rows[index[name]] for name in names}
        rewards = {name: gains[index[name]] for name in names}
        terminations = {name: ends[index[name]] != 0 for name in names}
        truncations = {name: over and not terminations[name] for name in names}
        self.agents = core.leave()
        return observations, rewards, terminations, truncations, infos

    def state(self) -> NDArray[np.float32]:
        """What all agents observe, one after the other, of those that are gone the last: for a central critic."""
        return self.core.run.observations.ravel().copy()

    def render(self) -> Any:
        """The market and every agent in a few lines, a picture of the first agent, or None."""
        if self._renderer is not None:
            return self._renderer.render()
        return self.core.line() if self.render_mode == "ansi" else None

    def close(self) -> None:
        """Close the window of mode "human"."""
        if self._renderer is not None:
            self._renderer.close()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_renderer": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._renderer = film(self.core, self.render_mode)
        if self._renderer is not None:
            self._renderer.began()
