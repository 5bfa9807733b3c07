"""Episodes as Minari data sets, which tools for offline learning read.

An episode is kept as the environment gave it: float32 observations (one more than steps), actions, float64 rewards,
both kinds of ends, and the numbers of every step's infos as arrays (one more than steps: 0 or NaN stands for the
reset). Its seed is among its data: `reset(seed=...)` and
the recorded actions give the same episode again, bit for bit.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import gymnasium
import numpy as np
from numpy.typing import NDArray

import lobgym
from lobgym.envs.errors import EnvError
from lobgym.envs.extras import need
from lobgym.sim.errors import ParamsError

__all__ = ["Actor", "ExportError", "OfflineExport", "export_minari"]

_ID: Final = re.compile(r"(?:[-\w]+/)*[-\w]+-v\d+")
_ROOT_VARIABLE: Final = "MINARI_DATASETS_PATH"
_BATCH_STEPS: Final = 200_000  # steps held in memory before they are written


class ExportError(EnvError):
    """A data set that cannot be written."""


class Actor(Protocol):
    """What acts: observations [1, D] -> actions [1, ...]. If it has `reset(lanes, seed)`, each episode calls it."""

    def act(self, observations: NDArray[Any]) -> NDArray[Any]:
        """The actions for a batch of observations."""


@dataclass(frozen=True)
class OfflineExport:
    """What was written: `minari.load_dataset(dataset_id)` finds it with MINARI_DATASETS_PATH set to `root`."""

    dataset_id: str
    root: Path
    episodes: int
    steps: int
    returns: tuple[float, ...]

    @property
    def folder(self) -> Path:
        """What `minari.MinariDataset` opens."""
        return self.root / self.dataset_id / "data"


def export_minari(
    env_id: str,
    policy: Actor,
    episodes: int,
    dataset_id: str,
    path: str | os.PathLike[str] | None = None,
    *,
    seed: int = 0,
    author: str = "",
    email: str = "",
    source: str = "",
    description: str = "",
    progress: Callable[[int, int], None] | None = None,
    **arguments: Any,
) -> OfflineExport:
    """Play `episodes` episodes with the seeds `seed`, `seed` + 1, ... and write them as a Minari data set.

    The data set appears when it is complete. The environment is recovered from it by
    `MinariDataset.recover_environment()`, so its arguments must be plain data: a tape by its name or path, the venue
    and the desk as a `spec` of plain fields.

    Args:
        env_id: a registered environment, as "lobgym/Grid-v0".
        policy: what acts.
        dataset_id: Minari's name, as "lobgym/grid/static-v0".
        path: folder of data sets; by default Minari's own ($MINARI_DATASETS_PATH, else ~/.minari/datasets).
        author, email, source, description: what Minari keeps about a data set; `source` is a link to the code.
        progress: called with (episodes done, episodes) after each.
        arguments: of the environment.

    Raises:
        ExtraMissingError: Minari is not installed. ExportError: an id that is none, a data set that exists already, or
        arguments that are no plain data.
    """
    minari = need("minari", "offline")
    if isinstance(episodes, bool) or not isinstance(episodes, int) or episodes < 1:
        raise ParamsError(f"episodes must be an integer of at least 1, got {episodes!r}")
    if not _ID.fullmatch(dataset_id):
        raise ExportError(f"{dataset_id!r} is no name of a data set: write it as 'lobgym/grid/static-v0'")
    root = Path(_default_root() if path is None else path).resolve()  # Minari mistakes a relative one
    if (root / dataset_id).exists():
        raise ExportError(f"{root / dataset_id} exists: choose another version, as {_next_version(dataset_id)!r}")
    env = gymnasium.make(env_id, **arguments)
    try:
        _check_plain(env)
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".export-", dir=root) as aside:
            with _minari_root(aside):
                returns, steps = _write(
                    minari, env, policy, episodes, dataset_id, seed, progress,
                    _about(env, policy, author, email, source, description, seed),
                )  # fmt: skip
            _publish(Path(aside), root, dataset_id)
    finally:
        env.close()
    return OfflineExport(dataset_id, root, episodes, steps, returns)


def _write(
    minari: Any, env: gymnasium.Env[Any, Any], policy: Actor, episodes: int, dataset_id: str, seed: int,
    progress: Callable[[int, int], None] | None, about: dict[str, Any],
) -> tuple[tuple[float, ...], int]:  # fmt: skip
    """Play and write, some episodes at a time; returns the episodes' returns and the number of steps."""
    buffers: list[Any] = []
    kept: list[dict[str, Any]] = []
    returns: list[float] = []
    data: Any = None
    waiting = steps = 0
    for k in range(episodes):
        buffer, facts = _episode(need("minari.data_collector", "offline").EpisodeBuffer, env, policy, k, seed + k)
        buffers.append(buffer)
        kept.append(facts)
        returns.append(sum(buffer.rewards))
        waiting += len(buffer.rewards)
        if waiting >= _BATCH_STEPS or k + 1 == episodes:
            if data is None:
                data = _create(minari, env, dataset_id, buffers, about)
            else:
                data.storage.update_episodes(buffers)
            steps, waiting, buffers = steps + waiting, 0, []
        if progress is not None:
            progress(k + 1, episodes)
    data.storage.update_episode_metadata(kept)
    data.storage.update_metadata(about["lobgym"])
    return tuple(returns), steps


def _episode(
    buffer_type: Any, env: gymnasium.Env[Any, Any], policy: Actor, number: int, seed: int
) -> tuple[Any, dict[str, Any]]:
    """Episode `number`, played from `seed`; its buffer, and what its reset and its summary said."""
    observation, begun = env.reset(seed=seed)
    reset = getattr(policy, "reset", None)
    if reset is not None:
        reset(1, seed)
    observations, actions, rewards, terminations, truncations = [observation], [], [], [], []
    infos: dict[str, list[Any]] = {}
    info: dict[str, Any] = {}
    over = False
    while not over:
        action = np.asarray(policy.act(np.asarray(observation)[None])[0], env.action_space.dtype)
        observation, reward, terminated, truncated, info = env.step(action)
        observations.append(observation)
        actions.append(action)
        rewards.append(float(reward))
        terminations.append(terminated)
        truncations.append(truncated)
        for key, value in info.items():
            if isinstance(value, (bool, int, float)):
                infos.setdefault(key, []).append(value)
        over = terminated or truncated
    # Minari keeps one info more than steps, the reset's; it knows none of these yet. What some steps lack is left out.
    full = {
        key: np.array([float("nan") if isinstance(values[0], float) else type(values[0])(), *values])
        for key, values in infos.items()
        if len(values) == len(rewards)
    }
    buffer = buffer_type(
        id=number, seed=seed, observations=np.stack(observations), actions=np.stack(actions), rewards=rewards,
        terminations=terminations, truncations=truncations, infos=full,
    )  # fmt: skip
    facts = {**begun, **{f"summary_{key}": value for key, value in info.get("summary", {}).items()}}
    return buffer, {key: value for key, value in facts.items() if isinstance(value, (bool, int, float, str))}


def _create(
    minari: Any, env: gymnasium.Env[Any, Any], dataset_id: str, buffers: list[Any], about: dict[str, Any]
) -> Any:  # fmt: skip
    with warnings.catch_warnings():
        # Minari warns of every field that is left out; what is given is the caller's choice.
        warnings.filterwarnings("ignore", r".* is set to None", UserWarning)
        return minari.create_dataset_from_buffers(dataset_id, buffers, env=env, data_format="hdf5", **about["minari"])


def _about(
    env: gymnasium.Env[Any, Any], policy: Actor, author: str, email: str, source: str, description: str, seed: int
) -> dict[str, Any]:
    """What Minari keeps under its own names, and what we add: versions and digests."""
    name = str(getattr(policy, "name", type(policy).__name__))
    env_id = "" if env.spec is None else env.spec.id
    facts: dict[str, Any] = {"lobgym_version": lobgym.__version__, "lobgym_seed": seed}
    core: Any = getattr(env.unwrapped, "core", None)
    core = getattr(core, "core", core)  # a router's stands below it
    if hasattr(core, "market"):  # an arena has no tape
        facts |= {"lobgym_tape_digest": core.market.tape.digest, "lobgym_desk_digest": core.spec.digest}
    given = {"author": author, "author_email": email, "code_permalink": source}
    return {
        "minari": {key: value for key, value in given.items() if value}
        | {
            "algorithm_name": name,
            "description": description or f"Episodes of {env_id}, played by {name}.",
            "requirements": [f"lobgym=={lobgym.__version__}"],
        },
        "lobgym": facts,
    }


def _check_plain(env: gymnasium.Env[Any, Any]) -> None:
    """Raise ExportError unless the environment can be made again from what JSON keeps of its arguments."""
    assert env.spec is not None
    try:
        json.dumps(env.spec.kwargs, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ExportError(
            f"the environment's arguments must be plain data, so that it can be made again from the data set: {error}; "
            "give the tape by its name or path, and params as fields of `spec`"
        ) from None


def _publish(aside: Path, root: Path, dataset_id: str) -> None:
    """Move a finished data set to its place; its namespaces come into being where they are missing."""
    done = aside / dataset_id
    target = root / dataset_id
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = done.parent
    while folder != aside:
        for file in folder.glob("*.json"):
            kept = root / folder.relative_to(aside) / file.name
            if not kept.exists():
                os.replace(file, kept)
        folder = folder.parent
    os.replace(done, target)


@contextmanager
def _minari_root(folder: str) -> Iterator[None]:
    """Have Minari keep its data sets in `folder`: it knows no other way than the environment."""
    before = os.environ.get(_ROOT_VARIABLE)
    os.environ[_ROOT_VARIABLE] = folder
    try:
        yield
    finally:
        if before is None:
            del os.environ[_ROOT_VARIABLE]
        else:
            os.environ[_ROOT_VARIABLE] = before


def _default_root() -> str:
    return os.environ.get(_ROOT_VARIABLE) or os.path.join(os.path.expanduser("~"), ".minari", "datasets")


def _next_version(dataset_id: str) -> str:
    name, _, version = dataset_id.rpartition("-v")
    return f"{name}-v{int(version) + 1}"
