"""Rollouts as evidence: everything that an environment said, compared bit for bit and hashed."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import gymnasium
import numpy as np

from lobgym.envs.testing.subject import ContractError

__all__ = ["Event", "actions_for", "difference", "digest", "rollout"]


class Event(NamedTuple):
    """What one call returned; a reset has no reward and no flags."""

    call: str  # "reset" or "step"
    observation: Any
    reward: Any
    terminated: Any
    truncated: Any
    info: dict[str, Any]

    @property
    def ended(self) -> bool:
        """Whether the episode ended here."""
        return bool(self.terminated or self.truncated)


def actions_for(env: gymnasium.Env[Any, Any], steps: int, seed: int) -> list[Any]:
    """`steps` actions drawn from the action space, the same ones for the same seed."""
    env.action_space.seed(seed)
    return [env.action_space.sample() for _ in range(steps)]


def rollout(env: gymnasium.Env[Any, Any], actions: Sequence[Any], seed: int | None) -> list[Event]:
    """Reset with `seed`, take the actions, and reset without a seed wherever an episode ends."""
    observation, info = env.reset(seed=seed)
    return [Event("reset", observation, None, None, None, info), *proceed(env, actions)]


def proceed(env: gymnasium.Env[Any, Any], actions: Sequence[Any]) -> list[Event]:
    """Take the actions in an environment whose episode is running."""
    events = []
    for action in actions:
        events.append(Event("step", *env.step(action)))
        if events[-1].ended:
            observation, info = env.reset()
            events.append(Event("reset", observation, None, None, None, info))
    return events


def digest(value: Any) -> str:
    """SHA-256 of a nested value: types, shapes and every bit of it count, the order of a dict's keys does not.

    Raises:
        ContractError: it holds something that is neither None, a string, a number, an array nor a container of them.
    """
    made = hashlib.sha256()
    for part in _parts(value):
        made.update(struct.pack("<q", len(part)))
        made.update(part)
    return made.hexdigest()


def _parts(value: Any) -> list[bytes]:
    if isinstance(value, np.ndarray) and value.dtype != object:
        return [b"array", value.dtype.str.encode(), repr(value.shape).encode(), value.tobytes()]
    if isinstance(value, np.generic):
        return [b"scalar", value.dtype.str.encode(), value.tobytes()]
    if isinstance(value, float):
        return [b"float", struct.pack("<d", value)]
    if value is None or isinstance(value, (bool, int, str)):
        return [type(value).__name__.encode(), str(value).encode()]
    if isinstance(value, dict):
        found = [b"dict", str(len(value)).encode()]
        for key in sorted(value, key=str):
            found += [str(key).encode(), *_parts(value[key])]
        return found
    if isinstance(value, (list, tuple, np.ndarray)):
        found = [b"list", str(len(value)).encode()]
        for one in value:
            found += _parts(one)
        return found
    raise ContractError(
        f"{type(value).__module__}.{type(value).__qualname__} in an observation or info cannot be compared between "
        "processes: return numbers, strings, arrays, or dicts and lists of them"
    )


def difference(left: Any, right: Any, where: str = "") -> str | None:
    """Where two nested values differ first, in words; None if every bit is the same."""
    if isinstance(left, dict) and isinstance(right, dict):
        if set(left) != set(right):
            return f"{where}: keys {sorted(map(str, set(left) ^ set(right)))} are on one side only"
        pairs: Any = [(left[key], right[key], f"{where}[{key!r}]") for key in left]
    elif isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        if len(left) != len(right):
            return f"{where}: {len(left)} entries against {len(right)}"
        names = left._fields if isinstance(left, Event) else range(len(left))
        pairs = [(a, b, f"{where}[{name}]") for a, b, name in zip(left, right, names, strict=True)]
    else:
        return None if _parts(left) == _parts(right) else f"{where}: {left!r} against {right!r}"
    return next((found for found in (difference(*pair) for pair in pairs) if found), None)
