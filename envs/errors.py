"""Errors of the environments.

LobgymError
+-- EnvError
    +-- HorizonError       episodes that do not fit on the chosen part of the tape
    +-- ResetNeededError   a step before the first reset, or after an episode's end
    +-- RewardError        a reward that is none: a term's own function gave another shape, or no finite numbers
    +-- SplitError         training on the part of a tape that is kept for testing
"""

from __future__ import annotations

import gymnasium.error

from lobgym.sim.errors import LobgymError

__all__ = ["EnvError", "HorizonError", "ResetNeededError", "RewardError", "SplitError"]


class EnvError(LobgymError):
    """A misuse of an environment."""


class HorizonError(EnvError):
    """Episodes that do not fit on the chosen part of the tape."""


class ResetNeededError(EnvError, gymnasium.error.ResetNeeded):
    """A step before the first reset, or after an episode's end."""


class RewardError(EnvError):
    """A reward that is none."""


class SplitError(EnvError):
    """Training on the part of a tape that is kept for testing."""
