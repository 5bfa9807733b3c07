"""Simple agents to share an arena with: what `ArenaAgentEnv` takes for those that its caller says nothing about.

Anything that answers `act(observations float32[N, D]) -> N actions` can take their place: a trained model, an exported
network, a baseline. A `reset(lanes, seed)`, where it has one, is called at each reset.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.actions import ActionSpec
from lobgym.sim.rng import below

__all__ = ["ArenaPolicy", "FixedCodes", "WanderingTaker", "default_policy"]

_STREAM: Final = 81  # of the random numbers that wandering takers choose by


class ArenaPolicy(Protocol):
    """Acts for N agents of one role at once."""

    def act(self, observations: NDArray[np.float32]) -> Any:
        """Observations float32[N, D] -> N actions in the agents' action space."""
        ...


class FixedCodes:
    """The same codes (`lobgym.sim.actions`) at every step."""

    def __init__(self, action: ActionSpec, codes: Sequence[int]) -> None:
        self._actions = action.encode(np.array([codes], np.int32))

    def act(self, observations: NDArray[np.float32]) -> NDArray[Any]:
        """See `ArenaPolicy.act`; the array is the policy's own."""
        if len(self._actions) != len(observations):
            self._actions = np.repeat(self._actions[:1], len(observations), axis=0)
        return self._actions


class WanderingTaker:
    """Goes to another target, any but the one it has, on average each `hold` steps."""

    def __init__(self, targets: int, hold: int = 20) -> None:
        self._targets = targets
        self._hold = hold
        self._seed = 0
        self._count = 0
        self._now = np.zeros(0, np.int64)

    def reset(self, lanes: int, seed: int = 0) -> None:
        """Begin in the middle; what follows depends on the seed alone."""
        self._seed, self._count = seed, 0
        self._now = np.full(lanes, self._targets // 2, np.int64)

    def act(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        """See `ArenaPolicy.act`."""
        if len(self._now) != len(observations):
            self.reset(len(observations), self._seed)
        with np.errstate(over="ignore"):
            for k in range(len(self._now)):
                counter = 2 * (self._count * len(self._now) + k)
                if below(self._seed, _STREAM, counter, self._hold) == 0:
                    by = 1 + int(below(self._seed, _STREAM, counter + 1, self._targets - 1))
                    self._now[k] = (self._now[k] + by) % self._targets
        self._count += 1
        return self._now.copy()


_CODES: Final = {
    "maker": (7, 7, 0, 4),  # about a basis point away, the smallest size, leaning against the inventory
    "grid": (8, 2, 4, 0, 0),  # three levels a side, evenly
    "execution": (5, 3),
}


def default_policy(kind: str, action: ActionSpec) -> ArenaPolicy:
    """What agents of a kind of desk do when nobody says otherwise."""
    return WanderingTaker(action.bins[0]) if kind == "target" else FixedCodes(action, _CODES[kind])
