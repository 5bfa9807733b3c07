"""Training: algorithms of stable-baselines3 and sb3-contrib on the native vector environment, repeatable to the bit.

    result = train(TrainConfig(algo="ppo", env="grid", total_steps=500_000, out="runs/grid"))

The same config gives the same weights again on the same machine and versions: one thread, torch's deterministic
kernels, every generator seeded from `config.seed`. Ctrl-C ends a run early but leaves its model. A run that was killed
goes on from its last checkpoint (`resume`) and ends in the weights that it would have had.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import msgspec
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from stable_baselines3.common.vec_env import VecEnv

from lobgym.agents.errors import RunFolderError
from lobgym.agents.files import CONFIG_FILE, LOG_FOLDER, MODEL_FILE, RECORD_FILE, SPEC_FILE, read_json, write_json
from lobgym.agents.sb3.callbacks import ProgressCallback, TradingCallback
from lobgym.agents.sb3.checkpoint import Checkpoint, load_checkpoint, read_checkpoint, save_model
from lobgym.agents.sb3.config import TrainConfig
from lobgym.agents.sb3.environment import make_env, make_training_env, make_validation_env
from lobgym.agents.sb3.logs import make_logger
from lobgym.agents.sb3.milestones import Milestones, StopTraining, require_finite
from lobgym.agents.sb3.models import build_model
from lobgym.agents.sb3.runs import RunRecord, weights_digest
from lobgym.agents.sb3.zoo import ledger_folder, write_zoo_model, write_zoo_settings
from lobgym.agents.torch_mode import deterministic_torch
from lobgym.agents.trials import record_trial
from lobgym.sim.desk import Desk
from lobgym.sim.desk_spec import DeskSpec

__all__ = ["TrainResult", "build_model", "config_digest", "make_env", "resume", "train"]


@dataclass(frozen=True)
class TrainResult:
    """A finished (or interrupted) run: its folder, what it recorded, the model itself, and the desk it learnt at."""

    folder: Path
    record: RunRecord
    model: BaseAlgorithm
    spec: DeskSpec


@dataclass(frozen=True)
class _Watch:
    """Who is told what while a run goes on, and what is only written down."""

    progress: Callable[[int, int], None] | None
    on_validation: Callable[[int, float], bool] | None
    commit: str | None
    command: str


def train(
    config: TrainConfig,
    progress: Callable[[int, int], None] | None = None,
    commit: str | None = None,
    *,
    on_validation: Callable[[int, float], bool] | None = None,
    command: str = "",
) -> TrainResult:
    """Run one training from start to end, and write its run folder.

    Args:
        config: what to train, and where to leave it.
        progress: called with (transitions done, transitions in total) now and then.
        commit, command: recorded as they are.
        on_validation: called with (transitions done, mean return of the validation's episodes); False ends the run.

    Raises:
        RunFolderError: `config.out` holds something already.
        TrainError: weights that are no longer finite, or a tape that is too short to validate on.
    """
    folder = Path(config.out)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        unfinished = (folder / CONFIG_FILE).exists() and not (folder / RECORD_FILE).exists()
        raise RunFolderError(
            f"{folder} is not empty: "
            + ("it holds an unfinished run, resume that or " if unfinished else "")
            + "choose another out folder, runs are never overwritten"
        )
    with deterministic_torch(config.threads):
        env = make_training_env(config)  # before the folder: what cannot be trained leaves none behind
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / CONFIG_FILE, config.to_json())
        write_zoo_settings(folder, config, command)
        return _run(config, folder, env, None, _Watch(progress, on_validation, commit, command))


def resume(
    run: str | Path,
    progress: Callable[[int, int], None] | None = None,
    commit: str | None = None,
    *,
    on_validation: Callable[[int, float], bool] | None = None,
    command: str = "",
) -> TrainResult:
    """Go on with a run that was killed or interrupted, from its last checkpoint, or from its start if it has none.

    It ends in the weights of a run that was never stopped (`lobgym.agents.sb3.checkpoint` says what differs).

    Raises:
        RunFolderError: no run folder, or a run that is finished.
        CheckpointError: a checkpoint that was changed, or was made by another version.
    """
    folder = Path(run)
    config = TrainConfig.from_json(read_json(folder / CONFIG_FILE)).replace(out=str(folder))
    record = folder / RECORD_FILE
    if record.exists() and not read_json(record).get("interrupted"):
        raise RunFolderError(f"{folder} is finished: nothing is left to resume")
    with deterministic_torch(config.threads):
        checkpoint = read_checkpoint(folder)
        return _run(
            config, folder, make_training_env(config), checkpoint, _Watch(progress, on_validation, commit, command)
        )


def config_digest(config: TrainConfig) -> str:
    """sha256 over everything that decides what a run learns, the folder left out."""
    plain = config.to_json() | {"out": ""}
    return hashlib.sha256(msgspec.json.encode(plain, order="sorted")).hexdigest()


def _run(config: TrainConfig, folder: Path, env: VecEnv, checkpoint: Checkpoint | None, watch: _Watch) -> TrainResult:
    """Learn in `env`, which is closed here, and write what came out."""
    core: Any = env.get_attr("core", 0)[0]
    desk: Desk = core.desk
    tape, digest = desk.market.tape.digest, config_digest(config)
    try:
        model = build_model(config, env)
        model.set_logger(make_logger(folder / LOG_FOLDER, checkpoint.steps if checkpoint else 0))
        validation = make_validation_env(config) if config.validate_every else None
        notes = checkpoint.notes if checkpoint else None
        milestones = Milestones(config, folder, core, validation, watch.on_validation, notes)
        record_trial(ledger_folder(folder, config), "train", tape, config.env_id, digest)
        if checkpoint is not None:
            model.env.reset()  # type: ignore[union-attr]  # so that the state has the shape of one under way
            load_checkpoint(folder, checkpoint, model, core)
        interrupted = _learn(model, config, milestones, watch.progress)
        seconds = milestones.seconds
        model.logger.close()
    finally:
        env.close()
    require_finite(model)
    (folder / RECORD_FILE).unlink(missing_ok=True)  # of an interrupted run: it would name another model
    archive_digest = save_model(model, folder / MODEL_FILE)
    write_zoo_model(folder, config, folder / MODEL_FILE)
    write_json(folder / SPEC_FILE, desk.spec.to_json())
    record = RunRecord(
        model_sha256=archive_digest,
        weights_sha256=weights_digest(model),
        steps=int(model.num_timesteps),
        seconds=round(seconds, 3),
        seed=config.seed,
        tape_digest=tape,
        params_digest=desk.spec.params.digest,
        spec_digest=desk.spec.digest,
        interrupted=interrupted,
        commit=watch.commit,
        best=milestones.best,
        **_sizes(model, desk),
    )
    write_json(folder / RECORD_FILE, record)
    record_trial(
        ledger_folder(folder, config),
        "train",
        tape,
        config.env_id,
        digest,
        milestones.best.score if milestones.best else None,
        sharpe=milestones.best_sharpe,
    )
    return TrainResult(folder, record, model, desk.spec)


def _learn(
    model: BaseAlgorithm, config: TrainConfig, milestones: Milestones, progress: Callable[[int, int], None] | None
) -> bool:
    """Learn until done or interrupted; whether it was interrupted."""
    callbacks: list[BaseCallback] = [milestones, TradingCallback()]
    if progress is not None:
        callbacks.append(ProgressCallback(progress, config.total_steps))
    done = model.num_timesteps
    if done >= config.total_steps:
        return False
    try:
        # A dump per rollout for PPO; the others count log_interval in episodes, which end together in every lane.
        interval = 1 if config.algo in ("ppo", "ppo_lstm") else config.num_envs
        model.learn(
            config.total_steps - done, CallbackList(callbacks), log_interval=interval, reset_num_timesteps=done == 0
        )
        milestones.validate()
    except (KeyboardInterrupt, StopTraining):
        return True
    return False


def _sizes(model: BaseAlgorithm, desk: Desk) -> dict[str, Any]:
    space, shape = model.action_space, model.observation_space.shape
    assert shape is not None
    discrete = isinstance(space, gym.spaces.Discrete)
    return {
        "observation_size": int(shape[0]),
        "action_size": int(space.n) if isinstance(space, gym.spaces.Discrete) else desk.spec.action.size,
        "discrete": discrete,
    }
