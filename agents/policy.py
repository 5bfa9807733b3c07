"""`Policy`: what acts. Baselines, SB3 models and exported networks all are one.

A policy sees a batch of observations and answers with a batch of actions in the environment's own terms: float32[N, A]
in [-1, 1] for the grid, int64[N] choices for target positions. It is deterministic: what it answers depends on the
observations, on the seed given to `reset` and on how often it was asked since, and on nothing else. Lane i of a
batch that was reset with seed s acts as a lone lane with seed s + i.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

__all__ = ["ModelPolicy", "Policy"]


@runtime_checkable
class Policy(Protocol):
    """Acts for N lanes at once."""

    name: str

    def reset(self, lanes: int, seed: int = 0) -> None:
        """Forget everything; `lanes` lanes with seeds `seed`, `seed` + 1, ... follow."""

    def act(self, observations: NDArray[np.float32]) -> NDArray[Any]:
        """Observations float32[N, D] -> float32[N, A] actions in [-1, 1], or int64[N] choices."""


class ModelPolicy:
    """An SB3 model that takes its deterministic action.

    A recurrent model remembers from one `act` to the next, and forgets at `reset` alone: all lanes begin their
    episodes together there.
    """

    def __init__(self, model: Any, name: str) -> None:
        self.name = name
        self._model = model
        self._memory: Any = None
        self._fresh = True

    def reset(self, lanes: int, seed: int = 0) -> None:
        """Forget what a recurrent network remembers; others remember nothing."""
        self._memory, self._fresh = None, True

    def act(self, observations: NDArray[np.float32]) -> NDArray[Any]:
        """See `Policy.act`."""
        first = np.full(len(observations), self._fresh)
        actions: NDArray[Any]
        with _training_mode_kept(self._model.policy):
            actions, self._memory = self._model.predict(observations, self._memory, first, deterministic=True)
        self._fresh = False
        return actions


@contextmanager
def _training_mode_kept(policy: Any) -> Iterator[None]:
    """Leave a policy that is in evaluation mode there, in place of setting it once more.

    SB3's `predict` walks every module of the networks to say what they know; for small ones and few lanes that takes
    as long as the networks themselves.
    """
    if policy.training:
        policy.set_training_mode(False)
    policy.set_training_mode = _nothing
    try:
        yield
    finally:
        del policy.set_training_mode


def _nothing(_mode: bool) -> None:
    """Stands in for `set_training_mode`."""
