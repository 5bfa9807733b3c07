"""Checks that the seed decides everything, and that what was returned or copied stays what it was."""

from __future__ import annotations

import copy
import pickle
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from lobgym.envs.testing.rollout import actions_for, difference, proceed, rollout
from lobgym.envs.testing.subject import ContractError, Subject

__all__ = ["check_copies", "check_kept", "check_seeds"]


def check_seeds(subject: Subject) -> None:
    """One seed gives one rollout, whatever the global generators say; other seeds, and none, give others."""
    env = subject.make()
    actions = actions_for(env, subject.steps, subject.seed)
    with _global_generators(1):
        first = rollout(env, actions, subject.seed)
    with _global_generators(2):
        again = rollout(env, actions, subject.seed)
        fresh = rollout(subject.make(), actions, subject.seed)
    for other, which in ((again, "the same environment"), (fresh, "a new environment")):
        found = difference(first, other, "event ")
        if found:
            raise ContractError(f"seed {subject.seed} gave another rollout in {which}: {found}")
    if not subject.seeds_matter:
        return
    if difference(first, rollout(env, actions, subject.seed + 1)) is None:
        raise ContractError(f"seeds {subject.seed} and {subject.seed + 1} give one rollout: does reset() use its seed?")
    with _global_generators(3):
        left = rollout(subject.make(), actions, None)
    with _global_generators(3):
        right = rollout(subject.make(), actions, None)
    if difference(left, right) is None:
        raise ContractError("two environments that were never seeded give one rollout: is a seed built in?")


def check_kept(subject: Subject) -> None:
    """Observations, rewards and infos that a caller keeps do not change under its hands, in vectors neither."""
    env = subject.make()
    observation, info = env.reset(seed=subject.seed)
    kept = [(observation, info)]
    copies = [copy.deepcopy(kept[0])]
    for action in actions_for(env, min(subject.steps, 50), subject.seed):
        returned = env.step(action)
        kept.append((returned[0], returned[4]))
        copies.append(copy.deepcopy(kept[-1]))
        if returned[2] or returned[3]:
            env.reset()
    found = difference(kept, copies)
    if found:
        raise ContractError(f"what was returned at event {found}: later calls overwrote it; return copies")


def check_copies(subject: Subject) -> None:
    """A pickled and a deep copy made in mid-episode go on as the original does."""
    env = subject.bare()
    actions = actions_for(env, subject.steps, subject.seed)
    cut = max(1, subject.steps // 7)
    rollout(env, actions[:cut], subject.seed)
    copies = {"pickled": pickle.loads(pickle.dumps(env)), "deep": copy.deepcopy(env)}
    expected = proceed(env, actions[cut:])
    for how, other in copies.items():
        found = difference(expected, proceed(other, actions[cut:]), "event ")
        if found:
            raise ContractError(f"a {how} copy went another way: {found}")


@contextmanager
def _global_generators(seed: int) -> Iterator[None]:
    """Seed the process's global generators, and put them back as they were."""
    python, numbers = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numbers)
