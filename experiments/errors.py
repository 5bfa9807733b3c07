"""The exceptions of the experiments.

LobgymError
+-- ExperimentError
    +-- EvaluationError    a comparison that would not be one
"""

from __future__ import annotations

from lobgym.sim.errors import LobgymError

__all__ = ["EvaluationError", "ExperimentError"]


class ExperimentError(LobgymError):
    """Base of what the experiments raise on purpose."""


class EvaluationError(ExperimentError):
    """A comparison that would not be one."""
