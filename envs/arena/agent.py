"""`ArenaAgentEnv`: one agent of the arena as an ordinary Gymnasium environment, the others following policies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import gymnasium
import numpy as np
from numpy.typing import NDArray

from lobgym.envs.arena.config import ArenaConfig
from lobgym.envs.arena.core import ArenaCore
from lobgym.envs.arena.others import ArenaPolicy, default_policy
from lobgym.envs.arena.picture import film, with_log
from lobgym.envs.arena.spaces import action_space_of, observation_space_of
from lobgym.envs.errors import ResetNeededError
from lobgym.envs.rendering import RENDER_FPS, RENDER_MODES, check_render_mode
from lobgym.sim.errors import ParamsError

__all__ = ["ArenaAgentEnv"]


class ArenaAgentEnv(gymnasium.Env[NDArray[np.float32], Any]):
    """An agent of an arena.

    Args:
        agent: which one this environment's actions are for.
        others: policies of the others, by agent or role (`lobgym.envs.arena.others.ArenaPolicy`); those that are not
            in it follow `default_policy`. A policy that several agents share is asked once for all of them.
        render_mode: None, "human" or "rgb_array" (a picture of the agent), or "ansi".
        arguments: fields of `ArenaConfig`.

    The episode ends when the agent's does: terminated where it is bankrupt, liquidated or has filled its parent order,
    truncated after `max_cycles` steps. Others may be gone before that.
    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        "render_modes": list(RENDER_MODES),
        "render_fps": RENDER_FPS,
    }

    def __init__(
        self,
        agent: str = "maker_0",
        others: Mapping[str, ArenaPolicy] | None = None,
        render_mode: str | None = None,
        **arguments: Any,
    ) -> None:
        check_render_mode(render_mode, RENDER_MODES)
        self.render_mode = render_mode
        self.core = ArenaCore(ArenaConfig(**with_log(arguments, render_mode)))
        if agent not in self.core.index:
            raise ParamsError(f"no agent {agent!r} in this arena; there are {', '.join(self.core.agents)}")
        self.agent = agent
        self._i = self.core.index[agent]
        self._renderer = film(self.core, render_mode, self._i)
        self._groups = self._grouped(others or {})
        self.observation_space = observation_space_of()
        self.action_space = action_space_of(self.core.specs[self._i].action)

    def _grouped(self, others: Mapping[str, ArenaPolicy]) -> list[tuple[Any, list[int]]]:
        """Each policy with the agents that follow it."""
        core = self.core
        known = {*core.agents, *(role.name for role in core.config.roles)} - {self.agent}
        unknown = sorted(set(others) - known)
        if unknown:
            raise ParamsError(
                f"others: no other agent or role {unknown[0]!r} here; there are {', '.join(sorted(known))}"
            )
        groups: dict[int, tuple[Any, list[int]]] = {}
        for i, (name, role) in enumerate(zip(core.agents, core.config.roles, strict=True)):
            if i == self._i:
                continue
            policy = others.get(name, others.get(role.name))
            if policy is None:
                policy = default_policy(role.kind, core.specs[i].action)
            if not callable(getattr(policy, "act", None)):
                raise ParamsError(f"the policy of {name} must have act(observations) -> actions, got {policy!r}")
            groups.setdefault(id(policy), (policy, []))[1].append(i)
        return list(groups.values())

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start the episode 0 of `seed`, or without one the next episode of the seed that the environment has."""
        super().reset(seed=seed, options=options)
        core = self.core
        core.reset(seed)
        if self._renderer is not None:
            self._renderer.began()
        assert core.seed is not None
        for policy, agents in self._groups:
            if hasattr(policy, "reset"):
                policy.reset(len(agents), (core.seed + 1_000_003 * core.episode + agents[0]) % (1 << 63))
        info = {"start_ns": core.now_ns, "episode_id": core.episode, "lane_seed": core.seed}
        return core.run.observations[self._i].copy(), info

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """One interval of the arena.

        Raises:
            ResetNeededError: no episode is running. ActionError: an action outside its space, also another agent's.
        """
        core, run, i = self.core, self.core.run, self._i
        if not run.live[i]:
            raise ResetNeededError("step() without a running episode: call reset() first")
        core.take(i, action)
        for policy, agents in self._groups:
            seen = run.observations[agents[0] : agents[0] + 1] if len(agents) == 1 else run.observations[agents]
            for k, one in zip(agents, policy.act(seen.copy()), strict=True):
                core.take(k, one)
        core.go()
        if self._renderer is not None:
            self._renderer.stepped(())
        info = core.info(i)
        terminated = bool(run.end[i])
        truncated = not terminated and core.steps >= core.max_cycles
        observation, reward = run.observations[i].copy(), float(run.gains[i])
        core.leave()
        if terminated or truncated:
            info["summary"] = core.summary(i)
            run.live[i] = False
        return observation, reward, terminated, truncated, info

    def render(self) -> Any:
        """A picture of the agent, the market and every agent in a few lines, or None."""
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
        self._renderer = film(self.core, self.render_mode, self._i)
        if self._renderer is not None:
            self._renderer.began()
