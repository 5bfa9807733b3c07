"""The exceptions of the agents.

LobgymError
+-- AgentError
    +-- TrainError           a training configuration or run that cannot go on
    |   +-- RunFolderError   a run folder that exists already, or lacks what a run writes
    |   +-- ModelHashError   a model file that is not the one its run wrote
    |   +-- CheckpointError  a checkpoint from which no run can go on
    |   +-- DefaultsError    a file of default settings that says something unknown
    |   +-- TuneError        a search over settings that cannot go on
    +-- ExportError          a model that cannot become an ONNX policy
    +-- PolicyError          a policy asked for something that it cannot do
    +-- TrialError           a trial that cannot be written down
    +-- JobError             tasks of a batch that could not be brought to their results
    +-- CalibrationError     a training part that does not say what was asked of it
"""

from __future__ import annotations

from lobgym.sim.errors import LobgymError

__all__ = [
    "AgentError",
    "CalibrationError",
    "CheckpointError",
    "DefaultsError",
    "ExportError",
    "JobError",
    "ModelHashError",
    "PolicyError",
    "RunFolderError",
    "TrainError",
    "TrialError",
    "TuneError",
]


class AgentError(LobgymError):
    """Base of what the agents raise on purpose."""


class TrainError(AgentError):
    """A training configuration or run that cannot go on."""


class RunFolderError(TrainError):
    """A run folder that exists already, or lacks what a run writes."""


class ModelHashError(TrainError):
    """A model file that is not the one its run wrote."""


class CheckpointError(TrainError):
    """A checkpoint from which no run can go on."""


class DefaultsError(TrainError):
    """A file of default settings that says something unknown."""


class TuneError(TrainError):
    """A search over settings that cannot go on."""


class ExportError(AgentError):
    """A model that cannot become an ONNX policy."""


class PolicyError(AgentError):
    """A policy asked for something that it cannot do."""


class TrialError(AgentError):
    """A trial that cannot be written down."""


class JobError(AgentError):
    """Tasks of a batch that could not be brought to their results."""


class CalibrationError(AgentError):
    """A training part that does not say what was asked of it."""
