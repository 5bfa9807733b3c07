"""`LobEnv`: one lane as an ordinary Gymnasium environment."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium
import numpy as np
from numpy.typing import NDArray

from lobgym.envs.core import EnvCore
from lobgym.envs.markets import TapeLike
from lobgym.envs.rendering import RENDER_FPS, RENDER_MODES, Renderer, check_render_mode
from lobgym.envs.rewards import RewardTerms
from lobgym.envs.vector import action_space_of, observation_space_of, step_values
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.market import Market
from lobgym.sim.observation import ObservationLayout
from lobgym.sim.params import SimParams

__all__ = ["LobEnv"]


class LobEnv(gymnasium.Env[NDArray[np.float32], Any]):
    """One trader on one tape. Arguments, episodes and infos are those of `LobVectorEnv`, for a single lane.

    Infos hold plain integers and floats. Copies and pickles carry the arguments and the lane's state; the compiled
    market is shared, or made again where it is not there.
    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        "render_modes": list(RENDER_MODES),
        "render_fps": RENDER_FPS,
    }

    def __init__(
        self,
        kind: str = "grid",
        tape: TapeLike = "synth:volatile",
        params: SimParams | None = None,
        spec: DeskSpec | dict[str, Any] | None = None,
        observation: ObservationLayout | tuple[str, ...] | list[str] | None = None,
        reward: RewardTerms | None = None,
        horizon: int = 600,
        split: str = "all",
        test_fraction: float = 0.3,
        embargo_ns: int = 60_000_000_000,
        start: str | int = "random",
        capital: float | None = None,
        render_mode: str | None = None,
    ) -> None:
        self._arguments = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        check_render_mode(render_mode, RENDER_MODES)
        self.core = EnvCore(
            kind, tape, 1, params, spec, observation, reward, horizon, split, test_fraction, embargo_ns, start, capital
        )
        self.render_mode = render_mode
        self._renderer = Renderer.watching(self.core, render_mode)
        self.observation_space = observation_space_of(self.core.spec.layout)
        self.action_space = action_space_of(self.core.spec.action)
        self._mask = np.ones(1, np.bool_)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start the episode 0 of `seed`, or without one the next episode of the seed that the environment has."""
        super().reset(seed=seed, options=options)
        self.core.seed(seed, self._mask)
        start_ns = int(self.core.begin(self._mask)[0])
        assert self.core.seeds is not None
        info = {
            "start_ns": start_ns,
            "episode_id": int(self.core.episode[0]),
            "lane_seed": int(self.core.seeds[0]),
        }
        return self.core.desk.observe()[0], info

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """One interval of the desk.

        Raises:
            ResetNeededError: no episode is running. ActionError: an action outside its space, or not finite.
        """
        step = self.core.step(np.asarray(action)[None])
        info: dict[str, Any] = {key: values[0].item() for key, values in step_values(self.core, step).items()}
        terminated, truncated = bool(step.terminated[0]), bool(step.truncated[0])
        if terminated or truncated:
            info["summary"] = {key: values[0].item() for key, values in self.core.summary().items()}
        return step.observations[0], float(step.rewards[0]), terminated, truncated, info

    def render(self) -> Any:
        """A picture, a text, or None; see `lobgym.envs.rendering.Renderer`."""
        return None if self._renderer is None else self._renderer.render()

    def close(self) -> None:
        """Close the window of mode "human"."""
        if self._renderer is not None:
            self._renderer.close()

    def __getstate__(self) -> dict[str, Any]:
        arguments = dict(self._arguments)
        if isinstance(arguments["tape"], Market):
            arguments["tape"] = arguments["tape"].tape
        skip = {"core", "_arguments", "_renderer"}
        rest = {name: value for name, value in self.__dict__.items() if name not in skip}
        return {"arguments": arguments, "core": self.core.state(), "rest": rest}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state["arguments"])  # type: ignore[misc]
        self.core.restore(state["core"])
        self.__dict__.update(state["rest"])
        if self._renderer is not None:
            self._renderer.began()
