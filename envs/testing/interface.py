"""Checks of what every call returns."""

from __future__ import annotations

import warnings
from typing import Any, Final

import gymnasium
import numpy as np

from lobgym.envs.testing.rollout import Event, actions_for, rollout
from lobgym.envs.testing.subject import ContractError, NotApplicableError, Subject

__all__ = [
    "check_bounds",
    "check_gymnasium",
    "check_info_keys",
    "check_stable_baselines3",
    "check_sums",
]

_SHOWN: Final = 3  # keys of a message


def check_gymnasium(subject: Subject) -> None:
    """Gymnasium's own checker, its warnings being errors; every render mode is tried, "human" ones opening a window."""
    from gymnasium.utils.env_checker import check_env

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(subject.bare(), skip_render_check=subject.spec is None)


def check_stable_baselines3(subject: Subject) -> None:
    """Stable-Baselines3's own checker, its warnings being errors."""
    try:
        from stable_baselines3.common.env_checker import check_env
    except ModuleNotFoundError:
        raise NotApplicableError("stable-baselines3 is not installed (pip install 'lobgym[train]')") from None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(subject.bare(), warn=True)


def check_bounds(subject: Subject) -> None:
    """Observations lie in their space and are finite, rewards are finite floats, flags are bools."""
    env = subject.make()
    for number, event in enumerate(_events(subject, env)):
        where = f"event {number} ({event.call})"
        if not env.observation_space.contains(event.observation):
            raise ContractError(f"{where}: observation {event.observation!r} is not in {env.observation_space}")
        for leaf in _arrays(event.observation):
            if not np.isfinite(leaf).all():
                raise ContractError(f"{where}: observation with NaN or infinity: {event.observation!r}")
        if event.call == "reset":
            continue
        if isinstance(event.reward, bool) or not isinstance(event.reward, (int, float)):
            raise ContractError(f"{where}: reward {event.reward!r} is of {type(event.reward)}, expected a float")
        if not np.isfinite(event.reward):
            raise ContractError(f"{where}: reward {event.reward!r} is not finite")
        for flag in (event.terminated, event.truncated):
            if not isinstance(flag, bool):
                raise ContractError(f"{where}: flag {flag!r} is of {type(flag)}, expected a bool")


def check_info_keys(subject: Subject) -> None:
    """Infos have the same keys and types after every reset, after every step, and at every episode's end."""
    first: dict[str, tuple[int, Any]] = {}
    for number, event in enumerate(_events(subject, subject.make())):
        when = "end" if event.ended else event.call
        shape = _shape(event.info)
        if when not in first:
            first[when] = number, shape
        elif shape != first[when][1]:
            raise ContractError(
                f"infos of kind {when!r} differ in keys or types: {_only(shape, first[when][1])} at event {number}, "
                f"{_only(first[when][1], shape)} at event {first[when][0]}"
            )
    if "end" not in first:
        raise ContractError(f"no episode ended within {subject.steps} steps: give arguments with shorter episodes")


def check_sums(subject: Subject) -> None:
    """Integers that both a step's info and its episode's `info["summary"]` name add up to it, to the last unit."""
    totals: dict[str, int] = {}
    compared = 0
    for number, event in enumerate(_events(subject, subject.make())):
        if event.call == "reset":
            totals = {}
            continue
        for key, value in event.info.items():
            if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
                totals[key] = totals.get(key, 0) + int(value)
        if event.ended:
            summary = event.info.get("summary", {})
            compared += len(set(summary) & set(totals))
            for key in set(summary) & set(totals):
                if summary[key] != totals[key]:
                    raise ContractError(
                        f"event {number}: summary[{key!r}] is {summary[key]}, the steps' sum {totals[key]}"
                    )
    if not compared:
        raise NotApplicableError('infos have no "summary" that names integers of the steps')


def _events(subject: Subject, env: gymnasium.Env[Any, Any]) -> list[Event]:
    return rollout(env, actions_for(env, subject.steps, subject.seed), subject.seed)


def _arrays(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for one in value.values() for leaf in _arrays(one)]
    if isinstance(value, (tuple, list)):
        return [leaf for one in value for leaf in _arrays(one)]
    return [value] if np.issubdtype(np.asarray(value).dtype, np.number) else []


def _shape(value: Any) -> Any:
    """Keys and types of a nested info."""
    if isinstance(value, dict):
        return {key: _shape(one) for key, one in value.items()}
    if isinstance(value, np.ndarray):
        return f"{value.dtype} array"
    return type(value).__name__


def _only(left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
    found = {key: value for key, value in left.items() if key not in right or right[key] != value}
    return dict(sorted(found.items())[:_SHOWN])
