"""The check that a native vector environment equals scalar ones, bit for bit, across autoresets."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from lobgym.envs.testing.rollout import difference
from lobgym.envs.testing.subject import ContractError, Subject

__all__ = ["VECTOR_FACTOR", "check_vector"]

VECTOR_FACTOR: Final = 10  # steps of this check for each of the others, in the first mode
_OTHER_FACTOR: Final = 2  # in the other modes


def check_vector(subject: Subject) -> None:
    """Lane i seeded with s equals the scalar environment with s + i for ten times `steps`, then in other modes."""
    factor = VECTOR_FACTOR
    for mode in subject.autoreset_modes() or (None,):
        ours = subject.make_vec(mode)
        declared = ours.metadata.get("autoreset_mode")
        if not isinstance(declared, AutoresetMode) or (mode is not None and declared != mode):
            raise ContractError(f"metadata['autoreset_mode'] is {declared!r}, asked for was {mode!r}")
        theirs = SyncVectorEnv([subject.make] * subject.lanes, autoreset_mode=declared)
        try:
            _compare(subject, ours, theirs, declared.value, subject.steps * factor)
        finally:
            theirs.close()
            ours.close()
        factor = _OTHER_FACTOR


def _compare(subject: Subject, ours: Any, theirs: SyncVectorEnv, mode: str, steps: int) -> None:
    if (ours.single_observation_space, ours.single_action_space) != (
        theirs.single_observation_space,
        theirs.single_action_space,
    ):
        raise ContractError("the vector environment's single spaces are not the scalar environment's")
    left, right = ours.reset(seed=subject.seed), theirs.reset(seed=subject.seed)
    _same(left[0], right[0], f"{mode}: reset: observations")
    _same_infos(left[1], right[1], f"{mode}: reset: infos")
    ours.action_space.seed(subject.seed)
    ends = 0
    names = ("observations", "rewards", "terminations", "truncations")
    previous = left[0], np.array(left[0])
    for step in range(steps):
        action = ours.action_space.sample()
        *mine, infos = ours.step(action)
        *expected, other_infos = theirs.step(action)
        for a, b, name in zip(mine, expected, names, strict=True):
            _same(a, b, f"{mode}: step {step}: {name}")
        _same_infos(infos, other_infos, f"{mode}: step {step}: infos")
        _same(*previous, f"{mode}: step {step} overwrote the observations of the one before it: return copies;")
        previous = mine[0], np.array(mine[0])
        ends += int((mine[2] | mine[3]).sum())
    if ends < subject.lanes:
        raise ContractError(f"{ends} episodes ended in {steps} steps: give arguments with shorter episodes")


def _same(left: Any, right: Any, what: str) -> None:
    if isinstance(left, np.ndarray) and isinstance(right, np.ndarray):
        if left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes():
            return
        if left.dtype != right.dtype or left.shape != right.shape:
            raise ContractError(f"{what}: {left.dtype}{left.shape} against {right.dtype}{right.shape}")
        lane = int(np.flatnonzero((left != right).reshape(len(left), -1).any(axis=1))[:1].sum())
        raise ContractError(f"{what} of lane {lane}: {left[lane]!r} against {right[lane]!r} of scalar environments")
    found = difference(left, right, what)
    if found:
        raise ContractError(found)


def _same_infos(left: dict[str, Any], right: dict[str, Any], what: str) -> None:
    """Equal values wherever Gymnasium's mask `_key` says that they are meant; a mask of nothing is no key."""
    left, right = _meant(left), _meant(right)
    if set(left) != set(right):
        raise ContractError(f"{what}: keys {sorted(set(left) ^ set(right))} are on one side only")
    for key, value in left.items():
        if key.startswith("_"):
            _same(value, right[key], f"{what}[{key!r}]")
        elif isinstance(value, dict):
            _same_infos(value, right[key], f"{what}[{key!r}]")
        elif not _equal(np.asarray(value), np.asarray(right[key]), left[f"_{key}"]):
            mask = left[f"_{key}"]
            a, b = np.asarray(value)[mask], np.asarray(right[key])[mask]
            raise ContractError(f"{what}[{key!r}]: {a!r} against {b!r} of scalar environments")


def _equal(left: Any, right: Any, mask: Any) -> bool:
    """Whether the values of the lanes of `mask` are equal, whatever their dtypes."""
    plain = left.dtype == right.dtype and left.dtype != object
    if plain and left.shape == right.shape and left.tobytes() == right.tobytes():
        return True
    left, right = left[mask], right[mask]
    if not plain and object in (left.dtype, right.dtype):
        return all(np.array_equal(one, other) for one, other in zip(left, right, strict=True))
    return np.array_equal(left, right, equal_nan=left.dtype.kind == "f" and right.dtype.kind == "f")


def _meant(infos: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for key, value in infos.items():
        mask = infos.get("_" + key.removeprefix("_"))
        if mask is None:
            raise ContractError(f"infos have {key!r} without its mask {'_' + key!r}")
        if 1 in mask.tobytes():
            found[key] = value
    return found
