"""`LobVectorEnv`: N lanes stepped by one compiled call, as a Gymnasium vector environment."""

from __future__ import annotations

from typing import Any, Final, Unpack

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from lobgym.envs.arguments import CoreArguments
from lobgym.envs.core import INFO_KEYS, EnvCore, Transition
from lobgym.envs.markets import TapeLike
from lobgym.envs.rendering import RENDER_FPS, VECTOR_RENDER_MODES, Renderer, check_render_mode
from lobgym.envs.stepping import END_NAMES
from lobgym.sim.actions import ActionSpec
from lobgym.sim.errors import ParamsError
from lobgym.sim.observation import ObservationLayout

__all__ = ["RENDER_FPS", "LobVectorEnv", "action_space_of", "observation_space_of", "put", "reset_mask"]

# What a step's infos tell, and the masks that Gymnasium wants beside it.
_STEP_KEYS: Final = (*INFO_KEYS, "mid", "end")
_STEP_MASKS: Final = tuple(f"_{key}" for key in _STEP_KEYS)


def observation_space_of(layout: ObservationLayout) -> spaces.Space[NDArray[np.float32]]:
    """Box [-1, 1]^D, float32."""
    space: spaces.Space[Any] = spaces.Box(layout.low, layout.high, dtype=np.float32)
    return space


def action_space_of(action: ActionSpec) -> spaces.Box | spaces.Discrete:
    """Discrete for targets, Box [-1, 1]^A float32 for every other kind."""
    if action.continuous:
        return spaces.Box(-1.0, 1.0, (action.size,), np.float32)
    return spaces.Discrete(action.bins[0])


class LobVectorEnv(VectorEnv[NDArray[np.float32], NDArray[Any], NDArray[Any]]):
    """N independent episodes on one tape; lane i seeded with s equals `LobEnv` seeded with s + i, bit for bit.

    Args:
        kind: "grid", "target", "maker" or "execution".
        tape: a name ("synth:calm", "synth:halt?seed=3"), a path, a `Tape` or a compiled `Market`.
        num_envs: lanes.
        autoreset_mode: NEXT_STEP, SAME_STEP or DISABLED (then reset lanes with `options={"reset_mask": mask}`).
        render_mode: None, "rgb_array" (a picture a lane) or "ansi" (one line a lane).
        params: the venue; None takes the spec's, else what the tape's scenario brings along.
        latency, queue, fees, profile: changes of the venue (`lobgym.envs.realism.venue_changes`).
        randomise: what differs from lane to lane and from episode to episode (`lobgym.envs.randomise`).
        spec: a `DeskSpec`, or a dict of fields that differ from `DeskSpec.for_market`.
        observation: a layout or column names; None takes the spec's.
        reward: `RewardTerms`, a function of (StepResult, RewardFacts), or a tuple of both; None takes the kind's.
        task: the parent orders of an execution environment (`lobgym.envs.tasks`).
        horizon: steps of an episode; None lets it last until the end of its part of the tape.
        split: "all", "train" or "test" part of the tape, or a span (low_ns, high_ns) of it.
        test_fraction: share of the tape's time that is for testing.
        embargo_ns: time between the parts that belongs to neither, nanoseconds.
        start: "random", the start time of every episode in nanoseconds, or a sequence of one for each lane.
        capital: an episode terminates when equity has fallen by this amount of quote units (inverse: base units); None
            takes the value of the position limit at the tape's first price.

    Infos are those of docs/environments.md, an array a key. Those of one call may share their arrays of masks, which
    cannot be written to. Without a seed, a lane's next reset starts the next episode of the seed it has.

    Raises:
        HorizonError: episodes do not fit. ParamsError, LayoutError, TapeError: arguments that make no sense.
    """

    def __init__(
        self,
        kind: str = "grid",
        tape: TapeLike = "synth:volatile",
        num_envs: int = 1,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
        **arguments: Unpack[CoreArguments],
    ) -> None:
        check_render_mode(render_mode, VECTOR_RENDER_MODES)
        self.core = EnvCore(kind, tape, num_envs, **arguments)
        self.num_envs = num_envs
        self.render_mode = render_mode
        self._renderer = Renderer.watching(self.core, render_mode)
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {
            "render_modes": list(VECTOR_RENDER_MODES),
            "render_fps": RENDER_FPS,
            "autoreset_mode": self.autoreset_mode,
        }
        self.single_observation_space = observation_space_of(self.core.spec.layout)
        self.single_action_space = action_space_of(self.core.spec.action)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._everyone = np.ones(num_envs, np.bool_)
        self._everyone.setflags(write=False)
        self._pending: NDArray[np.bool_] | None = None  # NEXT_STEP: lanes that the next step resets
        self._no_end = END_NAMES[np.zeros(num_envs, np.int64)]
        self._no_end.setflags(write=False)

    @property
    def desk(self) -> Any:
        """The desk below."""
        return self.core.desk

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start new episodes: in all lanes, or in those of `options["reset_mask"]` (bool[N])."""
        mask = reset_mask(options, self._everyone)
        self.core.seed(seed, mask)
        starts = self.core.begin(mask)
        if self._pending is not None:
            self._keep_pending(self._pending & ~mask)
        return self.core.desk.observe(), self._reset_infos(starts, mask)

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Step every lane; lanes whose episode is over are reset as the autoreset mode says."""
        if self._pending is not None and self.autoreset_mode == AutoresetMode.NEXT_STEP:
            return self._step_and_reset(actions, self._pending)
        step = self.core.step(actions)
        if step.ended and self.autoreset_mode == AutoresetMode.SAME_STEP:
            return self._reset_in_step(step, step.done)
        infos = self._step_infos(step, self._everyone)
        if step.ended:
            self._finish(infos, step.done)
        return step.observations, step.rewards, step.terminated, step.truncated, infos

    def _step_and_reset(
        self, actions: NDArray[Any], fresh: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """NEXT_STEP with lanes to reset: these ignore their action, the others step."""
        starts = self.core.next_episode(fresh)
        self._pending = None
        step = self.core.step(actions, ~fresh)
        infos = self._step_infos(step, ~fresh)
        infos.update(self._reset_infos(starts, fresh))
        if step.ended:
            self._finish(infos, step.done)
        return step.observations, step.rewards, step.terminated, step.truncated, infos

    def _finish(self, infos: dict[str, Any], done: NDArray[np.bool_]) -> None:
        put(infos, "summary", self._summary(done), done)
        self._keep_pending(done)

    def _keep_pending(self, lanes: NDArray[np.bool_]) -> None:
        self._pending = lanes if lanes.any() else None

    def _reset_in_step(
        self, step: Transition, done: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """SAME_STEP: the observation is already the next episode's, the last one goes into the infos."""
        infos = self._step_infos(step, ~done)
        final_info = self._step_infos(step, done)
        put(final_info, "summary", self._summary(done), done)
        final_obs = np.full(self.num_envs, None, object)
        for i in np.flatnonzero(done):
            final_obs[i] = step.observations[i].copy()
        put(infos, "final_obs", final_obs, done)
        put(infos, "final_info", final_info, done)
        infos.update(self._reset_infos(self.core.next_episode(done), done))
        return self.core.desk.observe(), step.rewards, step.terminated, step.truncated, infos

    def render(self) -> tuple[Any, ...] | None:
        """A picture or a line for each lane, or None without a render mode."""
        return None if self._renderer is None else self._renderer.render_all()

    def _step_infos(self, step: Transition, mask: NDArray[np.bool_]) -> dict[str, Any]:
        infos: dict[str, Any] = dict.fromkeys(_STEP_MASKS, mask)
        infos.update(zip(INFO_KEYS, step.block.T, strict=False))
        infos["mid"] = step.mids
        infos["end"] = END_NAMES[step.ends] if step.ended else self._no_end
        return infos

    def _reset_infos(self, starts: NDArray[np.int64], mask: NDArray[np.bool_]) -> dict[str, Any]:
        infos: dict[str, Any] = {}
        put(infos, "start_ns", starts, mask)
        put(infos, "episode_id", self.core.episode.copy(), mask)
        assert self.core.seeds is not None
        put(infos, "lane_seed", self.core.seeds.copy(), mask)
        if self.core.tasks is not None:
            put(infos, "task_side", self.core.desk.tasks["side"].copy(), mask)
            put(infos, "task_lots", self.core.desk.tasks["lots"].copy(), mask)
        return infos

    def _summary(self, done: NDArray[np.bool_]) -> dict[str, Any]:
        summary: dict[str, Any] = {}
        for key, values in self.core.summary().items():
            put(summary, key, values, done)
        return summary


def reset_mask(options: dict[str, Any] | None, everyone: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """bool[N]: the lanes that a reset is for, those of `options["reset_mask"]` or all."""
    mask = (options or {}).get("reset_mask")
    mask = everyone if mask is None else np.asarray(mask)
    if mask.shape != everyone.shape or mask.dtype != np.bool_ or not mask.any():
        raise ParamsError(f"reset_mask must be bool[{len(everyone)}] with at least one lane set, got {mask!r}")
    return mask


def put(infos: dict[str, Any], key: str, values: Any, mask: NDArray[np.bool_]) -> None:
    """Gymnasium's convention: a key's values for all lanes, and under `_key` the lanes for which they are meant."""
    infos[key] = values
    infos[f"_{key}"] = mask.copy()
