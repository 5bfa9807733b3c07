"""Errors of the environments.

LobgymError
+-- EnvError
+-- HorizonError       episodes that do not fit on the chosen part of the tape
+-- ResetNeededError   a step before the first reset, or after an episode's end
"""

from __future__ import annotations

import gymnasium.error

from lobgym.sim.errors import LobgymError

__all__ = ["EnvError", "HorizonError", "ResetNeededError"]


class EnvError(LobgymError):
    """A misuse of an environment."""


class HorizonError(EnvError):
    """Episodes that do not fit on the chosen part of the tape."""


class ResetNeededError(EnvError, gymnasium.error.ResetNeeded):
    """A step before the first reset, or after an episode's end."""
