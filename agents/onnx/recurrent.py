"""Does the export of a policy that remembers decide what the model decides, from one episode to the next?

Three walk over the same observations, each with a state of its own: the exported graph, one decision at a time; torch's
module, for the raw outputs; and the model's own `predict`, for the actions. A difference that a state carries on grows
or dies from decision to decision, so it is compared where it is, not from states made equal. Made-up extremes come in
sequences, too: each of them begins an episode and is followed by seven others.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm

from lobgym.agents.errors import PolicyError
from lobgym.agents.onnx.export import decision_module, state_size
from lobgym.agents.onnx.parity import (
    OBSERVATIONS_MIN,
    OnnxPolicy,
    ParityReport,
    compare_outputs,
    extreme_observations,
)
from lobgym.sim.actions import ActionSpec

__all__ = ["RecurrentParity", "Walk", "check_recurrent_parity"]

EXTREME_STEPS: Final = 8
_STRIDE: Final = 37  # from one extreme to the next of a sequence: a prime, so that unlike ones follow each other


@dataclass(frozen=True)
class Walk:
    """What a model met, in lanes side by side.

    Attributes:
        rows: observations float32[T, N, D].
        starts: bool[T, N], whether an episode begins there; all of them do at 0.
    """

    rows: NDArray[np.float32]
    starts: NDArray[np.bool_]

    @property
    def boundaries(self) -> int:
        """How often one episode followed another."""
        return int(self.starts[1:].sum())


@dataclass(frozen=True)
class RecurrentParity(ParityReport):
    """A `ParityReport` over sequences.

    Attributes:
        boundaries: how often one episode followed another among the observations met.
    """

    boundaries: int = 0


def check_recurrent_parity(
    model: BaseAlgorithm,
    onnx_bytes: bytes,
    walk: Walk,
    action_spec: ActionSpec,
    *,
    observations_min: int = OBSERVATIONS_MIN,
) -> RecurrentParity:
    """Compare a recurrent model with its export.

    Args:
        model: the SB3 model that was exported.
        onnx_bytes: the result of `export_policy(model)`.
        walk: what the model met while it acted itself, T * N >= `observations_min`; without the end of an episode the
            report has a problem.
        action_spec: decodes actions to the codes that the desk acts on.

    Raises:
        PolicyError: observations of another shape than the graph's, or not finite; a graph without the model's state.
    """
    if walk.rows.ndim != 3 or walk.starts.shape != walk.rows.shape[:2] or not np.isfinite(walk.rows).all():
        raise PolicyError(f"expected finite observations of shape (T, N, D), got shape {walk.rows.shape}")
    served = OnnxPolicy(onnx_bytes, not action_spec.continuous)
    if served.state != state_size(model):
        raise PolicyError(f"expected a graph with a state of {state_size(model)} values, got one with {served.state}")
    made_up = _extremes(walk.rows.shape[2])
    raw, expected, actions = (
        np.concatenate(parts) for parts in zip(*(_compare(model, served, one) for one in (walk, made_up)), strict=True)
    )
    extremes = made_up.rows.shape[0] * made_up.rows.shape[1]
    report = compare_outputs(raw, extremes, expected, actions, action_spec, observations_min)
    problems = list(report.problems)
    if not walk.boundaries:
        problems.append("no episode ended: let the policy act longer")
    return RecurrentParity(**asdict(report) | {"problems": tuple(problems)}, boundaries=walk.boundaries)


def _extremes(size: int) -> Walk:
    made_up = extreme_observations(size)
    rows = np.stack([np.roll(made_up, -_STRIDE * step, axis=0) for step in range(EXTREME_STEPS)])
    starts = np.zeros(rows.shape[:2], np.bool_)
    starts[0] = True
    return Walk(rows, starts)


def _compare(
    model: BaseAlgorithm, served: OnnxPolicy, walk: Walk
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[Any]]:
    """(the graph's raw outputs, torch's, the model's actions), each [T * N, ...]."""
    module, lanes = decision_module(model), walk.rows.shape[1]
    state, memory = torch.zeros((lanes, served.state)), None
    served.reset(lanes)
    raw, expected, actions = [], [], []
    for rows, starts in zip(walk.rows, walk.starts, strict=True):
        served.forget(starts)
        raw.append(served.raw(rows))
        with torch.no_grad():
            state[torch.from_numpy(starts)] = 0.0
            made, state = module(torch.from_numpy(rows), state)
        expected.append(made.numpy())
        action, memory = model.predict(rows, memory, starts, deterministic=True)
        actions.append(action)
    return np.concatenate(raw), np.concatenate(expected), np.concatenate(actions)
