"""Run folders: what a training run leaves behind, and how a model comes back from one.

    config.json     the TrainConfig
    spec.json       the DeskSpec that it was trained at, which it must be judged and served with
    run.json        what came out: hashes, digests, spaces, steps, speed (RunRecord)
    model.zip       the SB3 model
    best_model.zip  where the run validates: the model that did best, and evaluations.npz with all validations
    checkpoint.json where the run has checkpoints: the newest one (`lobgym.agents.sb3.checkpoint`)
    logs/           progress.csv, and TensorBoard's events where it is installed

and, so that rl_zoo3's commands read it too, a copy of the model and its settings under rl_zoo3's names
(`lobgym.agents.sb3.zoo`).

Loading an SB3 archive the usual way runs code from it. Here the archive's hash must be the one in run.json, the model
is built anew from config.json, and of the archive only the tensors are read (torch's `weights_only`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import gymnasium as gym
import msgspec
import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from lobgym.agents.errors import ModelHashError, RunFolderError
from lobgym.agents.files import CONFIG_FILE, MODEL_FILE, RECORD_FILE, ROUTER_FILE, SPEC_FILE, read_json, sha256_file
from lobgym.agents.sb3.config import TrainConfig
from lobgym.agents.sb3.models import build_model
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.errors import ParamsError

__all__ = ["BestModel", "LoadedRun", "RunRecord", "load_run", "weights_digest"]

BEST_FILE: Final = "best_model.zip"


@dataclass(frozen=True)
class BestModel:
    """The model that validated best.

    Attributes:
        sha256: of best_model.zip. weights_sha256: of its weights.
        steps: transitions it had learned from.
        score: mean return of its validation episodes.
    """

    sha256: str
    weights_sha256: str
    steps: int
    score: float


@dataclass(frozen=True)
class RunRecord:
    """What a run states about its result.

    Attributes:
        model_sha256: of model.zip (which holds dates, so that it differs from run to run).
        weights_sha256: of the policy's weights alone (`weights_digest`); equal configs give equal ones.
        observation_size: D.
        action_size: A of a Box[-1, 1]^A, or the number of choices.
        steps: transitions seen; fewer than asked for where `interrupted`.
        tape_digest, params_digest, spec_digest: of the market that it was trained in.
        best: where it was validated.
    """

    model_sha256: str
    weights_sha256: str
    observation_size: int
    action_size: int
    discrete: bool
    steps: int
    seconds: float
    seed: int
    tape_digest: str
    params_digest: str
    spec_digest: str
    interrupted: bool = False
    commit: str | None = None
    best: BestModel | None = None

    @property
    def steps_per_second(self) -> float:
        """Transitions per second of wall time, updates included."""
        return self.steps / self.seconds if self.seconds > 0 else 0.0

    def spaces(self) -> tuple[gym.Space[Any], gym.Space[Any]]:
        """(observation space, action space) of the environment."""
        observation = gym.spaces.Box(-1.0, 1.0, (self.observation_size,), np.float32)
        if self.discrete:
            return observation, gym.spaces.Discrete(self.action_size)
        return observation, gym.spaces.Box(-1.0, 1.0, (self.action_size,), np.float32)


class _SpacesOnly(gym.Env[Any, Any]):
    """Stands in for the environment where a model is built only to be given weights."""

    def __init__(self, observation_space: gym.Space[Any], action_space: gym.Space[Any]) -> None:
        self.observation_space = observation_space
        self.action_space = action_space


@dataclass(frozen=True)
class LoadedRun:
    """What a run folder holds."""

    model: BaseAlgorithm
    config: TrainConfig
    record: RunRecord
    spec: DeskSpec


def load_run(folder: str | Path, which: Literal["last", "best"] = "last") -> LoadedRun:
    """The model of a run folder, with its config, its record and its desk. No code from the folder is run.

    Args:
        which: the model at the end of the run, or the one that validated best.

    Raises:
        RunFolderError: a file that is missing or malformed.
        ModelHashError: model.zip is not the file that the run wrote.
        LayoutError: observation columns that have changed their meaning since.
    """
    root = Path(folder)
    if (root / ROUTER_FILE).exists():
        raise RunFolderError(f"{root} is a run of EarnHFT, not of one model: `lobgym export` it and give the bundle")
    config = TrainConfig.from_json(read_json(root / CONFIG_FILE))
    try:
        record = msgspec.convert(read_json(root / RECORD_FILE), RunRecord)
        spec = DeskSpec.from_json(read_json(root / SPEC_FILE))
    except (msgspec.ValidationError, ParamsError) as error:
        raise RunFolderError(f"{root} is not a run folder of this version: {error}") from error
    archive, wanted, weights = root / MODEL_FILE, record.model_sha256, record.weights_sha256
    if which == "best":
        if record.best is None:
            raise RunFolderError(f"{root} has no best model: its run did not validate (validate_every)")
        archive, wanted, weights = root / BEST_FILE, record.best.sha256, record.best.weights_sha256
    found = sha256_file(archive)
    if found != wanted or spec.digest != record.spec_digest:
        raise ModelHashError(
            f"{archive} has sha256 {found} and its desk {spec.digest}, its run wrote {wanted} and "
            f"{record.spec_digest}: do not use it, train again"
        )
    observation, action = record.spaces()
    env: VecEnv = DummyVecEnv([lambda: _SpacesOnly(observation, action)] * config.num_envs)
    model = build_model(config, env, with_buffer=False)
    model.set_parameters(str(archive), exact_match=True, device="cpu")
    if weights_digest(model) != weights:
        raise ModelHashError(f"the weights in {archive} are not the ones its run recorded: train again")
    return LoadedRun(model, config, record, spec)


def weights_digest(model: BaseAlgorithm) -> str:
    """sha256 over the names, shapes and bytes of the policy's tensors, by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.policy.state_dict().items()):
        array = np.ascontiguousarray(tensor.detach().cpu().numpy())
        digest.update(f"{name}:{array.dtype.str}:{array.shape};".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
