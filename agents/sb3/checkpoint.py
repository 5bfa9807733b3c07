"""Checkpoints: everything that a training run's future depends on, as tensors, arrays and numbers, never as pickles.

    rl_model_<steps>_steps.zip   networks and optimisers (SB3's archive, of which only tensors are read)
    checkpoint_<steps>.npz       lanes, last observations, replay buffer, states of the random generators
    checkpoint.json              counters, and the hashes of the two; written last, so that it names whole files only

A run that goes on from one ends in the same weights as a run that was never stopped. What differs: the clock's figures
in the logs, and their averages over the last 100 episodes, which begin anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import ReplayBuffer

from lobgym.agents.errors import CheckpointError
from lobgym.agents.files import read_json, sha256_file, write_json
from lobgym.sim.memory import copy_into
from lobgym.sim.session import Snapshot

__all__ = ["CHECKPOINT_FILE", "Checkpoint", "load_checkpoint", "read_checkpoint", "save_checkpoint", "save_model"]

CHECKPOINT_FILE: Final = "checkpoint.json"
ARRAYS_FILE: Final = "checkpoint_{steps}.npz"
MODEL_FILE: Final = "rl_model_{steps}_steps.zip"

_COUNTERS: Final = ("num_timesteps", "_n_updates", "_episode_num", "_n_calls")
_NUMBERS: Final = ("_current_progress_remaining", "exploration_rate")
_BUFFER: Final = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")
_MERSENNE: Final = "MT19937"


@dataclass(frozen=True)
class Checkpoint:
    """What checkpoint.json says.

    Attributes:
        steps: transitions learned from.
        model, arrays: file names, and their sha256.
        counters, numbers: of the algorithm, by the names that SB3 gives them.
        action_draws: state of the generator of random actions, as text: its integers are wider than JSON's.
        mersenne: rest of the state of the generator that SB3 draws batches and permutations with.
        notes: what the training's callbacks keep.
    """

    steps: int
    model: str
    model_sha256: str
    arrays: str
    arrays_sha256: str
    counters: dict[str, int]
    numbers: dict[str, float]
    action_draws: str
    mersenne: tuple[int, int, float]
    notes: dict[str, Any] = field(default_factory=dict)


def save_checkpoint(folder: Path, model: BaseAlgorithm, core: Any, notes: dict[str, Any]) -> Checkpoint:
    """Write a checkpoint between two rollouts, and drop the arrays of the one before; models are kept.

    Args:
        core: of the environment: `state()` and `restore(state)`.
    """
    steps = int(model.num_timesteps)
    archive, arrays = folder / MODEL_FILE.format(steps=steps), folder / ARRAYS_FILE.format(steps=steps)
    save_model(model, archive)
    aside = arrays.with_name(f"aside-{arrays.name}")
    np.savez(aside, **_arrays(model, core))
    os.replace(aside, arrays)
    drawn: dict[str, Any] = np.random.get_state(legacy=False)
    made = Checkpoint(
        steps=steps,
        model=archive.name,
        model_sha256=sha256_file(archive),
        arrays=arrays.name,
        arrays_sha256=sha256_file(arrays),
        counters={name: int(getattr(model, name)) for name in _COUNTERS if hasattr(model, name)},
        numbers={name: float(getattr(model, name)) for name in _NUMBERS if hasattr(model, name)},
        action_draws=json.dumps(model.action_space.np_random.bit_generator.state),
        mersenne=(int(drawn["state"]["pos"]), int(drawn["has_gauss"]), float(drawn["gauss"])),
        notes=notes,
    )
    write_json(folder / CHECKPOINT_FILE, made)
    for old in folder.glob(ARRAYS_FILE.format(steps="*")):
        if old != arrays:
            old.unlink()
    return made


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest checkpoint of a run folder, or None where there is none.

    Raises:
        CheckpointError: one that was changed since it was written.
    """
    if not (folder / CHECKPOINT_FILE).exists():
        return None
    try:
        made = msgspec.convert(read_json(folder / CHECKPOINT_FILE), Checkpoint)
    except msgspec.ValidationError as error:
        raise CheckpointError(f"{folder / CHECKPOINT_FILE} is not a checkpoint of this version: {error}") from error
    for name, wanted in ((made.model, made.model_sha256), (made.arrays, made.arrays_sha256)):
        if Path(name).name != name or sha256_file(folder / name) != wanted:
            raise CheckpointError(
                f"{folder / name} is not the file that its run wrote: delete checkpoint.json to begin anew"
            )
    return made


def load_checkpoint(folder: Path, made: Checkpoint, model: BaseAlgorithm, core: Any) -> None:
    """Bring a fresh model and its fresh environment, which was reset once, to where the checkpoint was taken.

    Raises:
        CheckpointError: arrays of other shapes, as when the project or its settings have changed since.
    """
    model.set_parameters(str(folder / made.model), exact_match=True, device="cpu")
    with np.load(folder / made.arrays) as stored:
        try:
            _restore_arrays({name: stored[name] for name in stored.files}, model, core)
        except (KeyError, ValueError) as error:
            raise CheckpointError(f"{folder / made.arrays} does not fit this run ({error}): begin anew") from error
        torch.set_rng_state(torch.from_numpy(stored["torch"]))
        np.random.set_state((_MERSENNE, stored["mersenne"], *made.mersenne))
    for name, value in (made.counters | made.numbers).items():
        setattr(model, name, value)
    model.action_space.np_random.bit_generator.state = json.loads(made.action_draws)


def save_model(model: BaseAlgorithm, path: Path) -> str:
    """SB3's archive, written aside and renamed; its sha256."""
    aside = path.with_name(f"aside-{path.name}")
    model.save(aside)
    os.replace(aside, path)
    return sha256_file(path)


# -- arrays by name ----------------------------------------------------------------------------------------------------


def _arrays(model: BaseAlgorithm, core: Any) -> dict[str, Any]:
    drawn: dict[str, Any] = np.random.get_state(legacy=False)
    found: dict[str, Any] = {
        "torch": torch.get_rng_state().numpy(),
        "mersenne": np.asarray(drawn["state"]["key"]),
        "last_observations": np.asarray(model._last_obs),
        "last_starts": np.asarray(model._last_episode_starts),
    }
    for name, leaf in _leaves(core.state(), "core"):
        found[name] = np.frombuffer(np.ascontiguousarray(leaf).tobytes(), np.uint8)
    for name, tensor in _loose_tensors(model):
        found[name] = tensor.detach().numpy()
    buffer = getattr(model, "replay_buffer", None)
    if isinstance(buffer, ReplayBuffer):
        rows = buffer.buffer_size if buffer.full else buffer.pos
        found |= {f"buffer.{name}": getattr(buffer, name)[:rows] for name in _BUFFER}
        found["buffer"] = np.array([buffer.pos, int(buffer.full)], np.int64)
    return found


def _restore_arrays(stored: dict[str, NDArray[Any]], model: BaseAlgorithm, core: Any) -> None:
    state = core.state()
    core.restore(_filled(state, "core", stored))
    model._last_obs = stored["last_observations"].copy()
    model._last_episode_starts = stored["last_starts"].copy()
    with torch.no_grad():
        for name, tensor in _loose_tensors(model):
            tensor.copy_(torch.from_numpy(stored[name]))
    buffer = getattr(model, "replay_buffer", None)
    if isinstance(buffer, ReplayBuffer):
        position, full = stored["buffer"].tolist()
        for name in _BUFFER:
            rows = stored[f"buffer.{name}"]
            getattr(buffer, name)[: len(rows)] = rows
        buffer.pos, buffer.full = int(position), bool(full)


def _loose_tensors(model: BaseAlgorithm) -> Iterator[tuple[str, torch.Tensor]]:
    """Tensors that are neither in a network nor in an optimiser: SAC's entropy, the memory of an LSTM."""
    entropy = getattr(model, "log_ent_coef", None)
    if isinstance(entropy, torch.Tensor):
        yield "log_ent_coef", entropy
    memory = getattr(model, "_last_lstm_states", None)
    if memory is not None:
        for part, pair in (("pi", memory.pi), ("vf", memory.vf)):
            for place, tensor in enumerate(pair):
                yield f"lstm.{part}.{place}", tensor


def _leaves(tree: Any, name: str) -> Iterator[tuple[str, NDArray[Any]]]:
    """The arrays of an environment's state: dicts, tuples and snapshots are walked, numbers and texts are not kept."""
    if isinstance(tree, np.ndarray):
        yield name, tree
    elif isinstance(tree, dict):
        for key, value in tree.items():
            yield from _leaves(value, f"{name}.{key}")
    elif isinstance(tree, Snapshot):
        for place, value in enumerate(tree.arrays):
            yield from _leaves(value, f"{name}.{place}")


def _filled(tree: Any, name: str, stored: dict[str, NDArray[Any]]) -> Any:
    """A state of the same shape with the stored bytes in its arrays; raises ValueError where they do not fit."""
    if isinstance(tree, np.ndarray):
        raw = stored[name]
        if raw.size != tree.nbytes:
            raise ValueError(f"{name} has {raw.size} bytes, not {tree.nbytes}")
        return np.frombuffer(raw.tobytes(), tree.dtype).reshape(tree.shape).copy()
    if isinstance(tree, dict):
        return {key: _filled(value, f"{name}.{key}", stored) for key, value in tree.items()}
    if isinstance(tree, Snapshot):
        for place, value in enumerate(tree.arrays):
            copy_into(value, _filled(value, f"{name}.{place}", stored))
    return tree
