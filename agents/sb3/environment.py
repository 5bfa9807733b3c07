"""The environments of a training run: the lanes that it learns in, and those that validate what it has learned.

Validation takes its episodes from the end of the training part, behind an embargo of its own, so that choosing a model
or a setting by it never looks at the part that is kept for testing:

    | training | embargo | validation | embargo | test |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from lobgym.agents.errors import TrainError
from lobgym.agents.policy import Policy
from lobgym.agents.sb3.config import TrainConfig
from lobgym.envs.core import EnvCore
from lobgym.envs.sb3 import make_sb3_vec_env
from lobgym.envs.spans import EpisodeStarts

__all__ = [
    "VALIDATION_SEED",
    "Outcome",
    "compile_kernels",
    "core_of",
    "env_keywords",
    "make_env",
    "make_training_env",
    "make_validation_env",
    "play",
]

VALIDATION_SEED: Final = 1 << 40  # of lane 0: no seed of a training run comes near, and it is the same for all of them
_PPM: Final = 1_000_000


@dataclass(frozen=True)
class Outcome:
    """One episode a lane.

    Attributes:
        returns: float64[N], sums of the rewards.
        summary: what the environment sums up, one array [N] a key; money in the instrument's exact units.
        tasks: the lanes' parent orders, TASK_DTYPE[N]; without meaning where none are worked.
    """

    returns: NDArray[np.float64]
    summary: dict[str, NDArray[Any]]
    tasks: NDArray[np.void]


def make_env(
    config: TrainConfig, split: str = "train", evaluation: bool = False, lanes: int | None = None, seed: int = -1
) -> VecEnv:
    """The native vector environment of a config, over one split of its tape.

    Args:
        lanes, seed: other ones than the config's.

    Raises SplitError for split "test", unless it is for an evaluation.
    """
    router: dict[str, Any] = {}
    if config.env == "router":
        router = {"kind": config.router.kind, "macro_steps": config.router.macro_steps}
    return make_sb3_vec_env(
        config.env_id,
        config.num_envs if lanes is None else lanes,
        config.seed if seed < 0 else seed,
        evaluation,
        tape=config.tape,
        params=config.params,
        spec=config.desk,
        reward=config.reward,
        horizon=config.horizon,
        split=split,
        test_fraction=config.test_fraction,
        embargo_ns=config.embargo_ns,
        **router,
        **env_keywords(config),
    )


def env_keywords(config: TrainConfig) -> dict[str, Any]:
    """`env_kwargs` as the environments take them: ranges, which plain data has no type for, are tuples there."""
    made = dict(config.env_kwargs)
    if isinstance(made.get("randomise"), dict):
        made["randomise"] = {
            name: (one["low"], one["high"]) if isinstance(one, dict) and set(one) == {"low", "high"} else one
            for name, one in made["randomise"].items()
        }
    if isinstance(made.get("task"), dict):
        made["task"] = {name: tuple(one) if isinstance(one, list) else one for name, one in made["task"].items()}
    return made


def make_training_env(config: TrainConfig) -> VecEnv:
    """The lanes that learn: over the training part, less what validation takes of it.

    Raises:
        TrainError: too little is left for an episode.
    """
    env = make_env(config)
    if config.validate_every:
        core = core_of(env)
        core.starts = _parts(config, core)[0]
    return env


def make_validation_env(config: TrainConfig) -> VecEnv:
    """`validation_episodes` lanes whose first episodes are the same in every run on the tape.

    Raises:
        TrainError: the validation part is shorter than an episode.
    """
    env = make_env(config, lanes=config.validation_episodes, seed=VALIDATION_SEED)
    core = core_of(env)
    core.starts = _parts(config, core)[1]
    return env


def validation_fits(config: TrainConfig) -> str:
    """Why a config that validates cannot, or "" if it can."""
    env = make_env(config, lanes=1)
    try:
        _parts(config, core_of(env))
    except TrainError as error:
        return str(error)
    finally:
        env.close()
    return ""


def compile_kernels(config: TrainConfig) -> None:
    """Play one step of what a training and its validations play, so that every kernel they need is on disk.

    Processes that begin side by side on an empty kernel cache would each compile all of them.

    Raises:
        TrainError: as `make_training_env` and `make_validation_env`.
    """
    made = [make_training_env(config), *([make_validation_env(config)] if config.validate_every else [])]
    for env in made:
        try:
            env.reset()
            env.step(np.zeros((env.num_envs, *env.action_space.shape), env.action_space.dtype))  # type: ignore[misc]
        finally:
            env.close()


def core_of(env: VecEnv) -> EnvCore:
    """The lower core: of a router the one below it."""
    core: Any = env.get_attr("core", 0)[0]
    found: EnvCore = getattr(core, "core", core)
    return found


def play(policy: Policy, env: VecEnv, seed: int = 0) -> Outcome:
    """The first episode of every lane, with a policy's own actions.

    Args:
        seed: that the policy is reset with; the environment keeps the seeds that it was made with.
    """
    lanes = env.num_envs
    policy.reset(lanes, seed)
    observations: Any = env.reset()
    tasks = core_of(env).desk.tasks.copy()
    ended: list[dict[str, Any] | None] = [None] * lanes
    while any(one is None for one in ended):
        observations, _, dones, infos = env.step(policy.act(observations))
        for lane in np.flatnonzero(dones):
            if ended[lane] is None:
                ended[lane] = infos[lane]["summary"]
    summaries = [one for one in ended if one is not None]
    keys = [key for key, value in summaries[0].items() if not isinstance(value, str)]
    return Outcome(
        np.array([one["return"] for one in summaries], np.float64),
        {key: np.array([one[key] for one in summaries]) for key in keys},
        tasks,
    )


def _parts(config: TrainConfig, core: EnvCore) -> tuple[EpisodeStarts, EpisodeStarts]:
    """(training, validation) of the training part that `core` was made with."""
    whole = core.starts
    length = whole.end_ns - whole.high_ns
    embargo = max(config.embargo_ns, core.spec.layout.lookback_ns)
    taken = (whole.end_ns - whole.low_ns) * round(config.validation_fraction * _PPM) // _PPM
    begin = whole.end_ns - taken
    last = begin - embargo
    if whole.high_ns < begin or last - length < whole.low_ns:
        raise TrainError(
            f"{taken / 1e9:.0f} s for validation behind an embargo of {embargo / 1e9:.0f} s do not fit into the "
            f"{(whole.end_ns - whole.low_ns) / 1e9:.0f} s of training with episodes of {length / 1e9:.0f} s: take a "
            "longer tape, a shorter horizon, another validation_fraction, or validate_every=0"
        )
    return EpisodeStarts(whole.low_ns, last - length, last), EpisodeStarts(begin, whole.high_ns, whole.end_ns)
