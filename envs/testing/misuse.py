"""The check of what must be refused: calls out of turn, impossible actions, impossible arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from gymnasium import spaces

from lobgym.envs.testing.rollout import Event, actions_for, difference, rollout
from lobgym.envs.testing.subject import ContractError, NotApplicableError, Subject

__all__ = ["check_misuse"]

_REFUSALS: Final = 3  # steps before each of which impossible actions are tried


def check_misuse(subject: Subject) -> None:
    """Calls out of turn, impossible actions and impossible arguments raise, and what raises changes nothing."""
    _of_actions(subject)
    _of_turns(subject)
    _of_arguments(subject)
    try:
        subject.autoreset_modes()
    except NotApplicableError:
        return
    _of_vectors(subject)


def _of_actions(subject: Subject) -> None:
    env = subject.bare()
    actions = actions_for(env, _REFUSALS, subject.seed)
    expected = rollout(env, actions, subject.seed)
    observation, info = env.reset(seed=subject.seed)
    seen = [Event("reset", observation, None, None, None, info)]
    for action in actions:
        for bad, why in _impossible(env.action_space, action):
            _must_raise(subject, f"{why}, {bad!r},", env.step, bad)
        seen.append(Event("step", *env.step(action)))
        if seen[-1].ended:
            break
    found = difference(expected[: len(seen)], seen, "event ")
    if found:
        raise ContractError(f"a refused action changed what came after it: {found}")


def _of_turns(subject: Subject) -> None:
    env = subject.bare()
    actions = actions_for(env, subject.steps, subject.seed)
    _must_raise(subject, "step() before the first reset()", env.step, actions[0])
    env.reset(seed=subject.seed)
    for action in actions:
        if Event("step", *env.step(action)).ended:
            _must_raise(subject, "step() after an episode's end", env.step, actions[0])
            return
    raise ContractError(f"no episode ended within {subject.steps} steps: give arguments with shorter episodes")


def _of_arguments(subject: Subject) -> None:
    for arguments, word in subject.mistakes:
        error = _must_raise(subject, f"making it with {dict(arguments)}", subject.make, **arguments)
        if word not in str(error):
            raise ContractError(f"{dict(arguments)}: the message should say {word!r}, it says: {error}")


def _of_vectors(subject: Subject) -> None:
    """The last lane's action alone is wrong."""
    env = subject.make_vec()
    try:
        env.action_space.seed(subject.seed)
        good = env.action_space.sample()
        _must_raise(subject, "the vector environment's step() before reset()", env.step, good)
        env.reset(seed=subject.seed)
        for bad, why in _impossible(env.single_action_space, good[-1]):
            if np.shape(bad) == np.shape(good[-1]) and np.asarray(bad).dtype == good.dtype:
                batch = good.copy()
                batch[-1] = bad
                _must_raise(subject, f"{why} in the last lane, {bad!r},", env.step, batch)
    finally:
        env.close()


def _impossible(space: spaces.Space[Any], good: Any) -> list[tuple[Any, str]]:
    """Actions outside a space, each with what is wrong with it; of a Box only the last number is."""
    if isinstance(space, spaces.Box):
        found = [(np.append(good, good).astype(space.dtype), "an action of the wrong shape")]
        if np.issubdtype(space.dtype, np.floating):
            found.append((_with_last(good, np.nan), "an action with NaN"))
        for bound, sign, ok in ((space.high, 1, space.bounded_above), (space.low, -1, space.bounded_below)):
            if ok.flat[-1]:
                last = bound.flat[-1]
                found.append((_with_last(good, last + sign * (1 + abs(last))), "an action out of bounds"))
        return found
    if isinstance(space, spaces.Discrete):
        ends = (space.start - 1, space.start + space.n)
        return [(space.dtype.type(end), "an action out of bounds") for end in ends] + [(0.5, "a broken action")]
    return []


def _with_last(action: Any, value: float) -> Any:
    made = np.array(action)
    made.flat[-1] = value
    return made


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
