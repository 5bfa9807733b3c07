"""The exceptions of the experiments.

LobgymError
+-- ExperimentError
    +-- EvaluationError    a comparison that would not be one
    |   +-- UnfitError     a policy that has no place on this market
    +-- SubmissionError    a policy handed in that is not what it says, or cannot be ranked
"""

from __future__ import annotations

from lobgym.sim.errors import LobgymError

__all__ = ["EvaluationError", "ExperimentError", "SubmissionError", "UnfitError"]


class ExperimentError(LobgymError):
    """Base of what the experiments raise on purpose."""


class EvaluationError(ExperimentError):
    """A comparison that would not be one."""


class UnfitError(EvaluationError):
    """A policy that has no place on this market."""


class SubmissionError(ExperimentError):
    """A policy handed in that is not what it says, or cannot be ranked."""
