"""Checks of what every call returns and refuses."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Final

import gymnasium
import numpy as np
from gymnasium import spaces

from lobgym.envs.testing.rollout import Event, actions_for, difference, rollout
from lobgym.envs.testing.subject import ContractError, NotApplicableError, Subject

__all__ = [
    "check_bounds",
    "check_gymnasium",
    "check_info_keys",
    "check_misuse",
    "check_stable_baselines3",
    "check_sums",
]

_SHOWN: Final = 3  # keys of a message
_REFUSALS: Final = 3  # steps before each of which impossible actions are tried


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


def check_misuse(subject: Subject) -> None:
    """Calls out of turn, impossible actions and impossible arguments raise, and what raises changes nothing."""
    env = subject.bare()
    actions = actions_for(env, subject.steps, subject.seed)
    _must_raise(subject, "step() before the first reset()", env.step, actions[0])
    expected = rollout(env, actions[:_REFUSALS], subject.seed)
    observation, info = env.reset(seed=subject.seed)
    seen = [Event("reset", observation, None, None, None, info)]
    for action in actions[:_REFUSALS]:
        for bad, why in _impossible(env.action_space, action):
            _must_raise(subject, f"{why}, {bad!r},", env.step, bad)
        seen.append(Event("step", *env.step(action)))
        if seen[-1].ended:
            break
    found = difference(expected[: len(seen)], seen, "event ")
    if found:
        raise ContractError(f"a refused action changed what came after it: {found}")
    env.reset(seed=subject.seed)
    for action in actions:
        if Event("step", *env.step(action)).ended:
            _must_raise(subject, "step() after an episode's end", env.step, actions[0])
            break
    for arguments, word in subject.mistakes:
        error = _must_raise(subject, f"making it with {dict(arguments)}", subject.make, **arguments)
        if word not in str(error):
            raise ContractError(f"{dict(arguments)}: the message should say {word!r}, it says: {error}")


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


def _impossible(space: spaces.Space[Any], good: Any) -> list[tuple[Any, str]]:
    """Actions outside a space, each with what is wrong with it."""
    if isinstance(space, spaces.Box):
        found = [(np.append(good, good).astype(space.dtype), "an action of the wrong shape")]
        if np.issubdtype(space.dtype, np.floating):
            found.append((np.full(space.shape, np.nan, space.dtype), "an action that is NaN"))
        for bound, sign, ok in ((space.high, 1, space.bounded_above), (space.low, -1, space.bounded_below)):
            if ok.any():
                found.append(((bound + sign * (1 + abs(bound))).astype(space.dtype), "an action out of bounds"))
        return found
    if isinstance(space, spaces.Discrete):
        ends = (space.start - 1, space.start + space.n)
        return [(space.dtype.type(end), "an action out of bounds") for end in ends] + [(0.5, "a broken action")]
    return []


def _must_raise(subject: Subject, what: str, call: Callable[..., Any], *values: Any, **keywords: Any) -> Exception:
    """The error that the call raises."""
    try:
        call(*values, **keywords)
    except AssertionError as error:
        if not isinstance(error, subject.refusals):
            raise ContractError(f"{what} is caught by an assertion, which python -O drops: {error}") from error
        return error
    except subject.refusals as error:
        return error
    except Exception as error:
        wanted = ", ".join(one.__name__ for one in subject.refusals)
        raise ContractError(f"{what} raises {type(error).__name__} ({error}); expected one of {wanted}") from error
    raise ContractError(f"{what} was accepted; raise an exception that says what was expected")
