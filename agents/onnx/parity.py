"""Does the exported policy decide what the model decides? Checked decision by decision, with the margins.

Torch and onnxruntime add the same numbers in different orders, so their outputs differ in the last digits. What must
not differ is a decision: the integer codes that the desk acts on. A Box action is cut into bins and a mean may sit on
the edge of one, so equality is checked, never assumed: one flip fails the check, and the report states how close the
nearest decision came to another one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm

from lobgym.agents.errors import ExportError, PolicyError
from lobgym.agents.onnx.export import INPUT_NAME, NEXT_STATE_NAME, OUTPUT_NAME, STATE_NAME, decision_module
from lobgym.sim.actions import ActionSpec

__all__ = [
    "OBSERVATIONS_MIN",
    "RAW_TOLERANCE",
    "OnnxPolicy",
    "ParityReport",
    "check_parity",
    "choice_margins",
    "compare_decisions",
    "compare_outputs",
    "extreme_observations",
    "find_problems",
    "finite_rows",
]

RAW_TOLERANCE: Final = 1e-5
OBSERVATIONS_MIN: Final = 20_000
DISTINCT_ACTIONS_MIN: Final = 3
_BATCH: Final = 512


class OnnxPolicy:
    """An exported policy as a `Policy`: onnxruntime, one thread, one observation at a time as in service.

    A recurrent one has a state for each lane, zero from `reset` or `forget` on.

    Raises:
        PolicyError: an observation whose shape is not the graph's; of a recurrent one another number of lanes.

    Attributes:
        state: S, the width of a lane's state; 0 for a function of one observation.
    """

    def __init__(self, onnx_bytes: bytes, discrete: bool, name: str = "onnx") -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.name = name
        self.discrete = discrete
        self._session = onnxruntime.InferenceSession(onnx_bytes, options, providers=["CPUExecutionProvider"])
        sizes = [int(given.shape[1]) for given in self._session.get_inputs()]
        self._size, self.state = sizes[0], sum(sizes[1:])
        self.reset(0)

    def reset(self, lanes: int, seed: int = 0) -> None:
        """All lanes forget."""
        self._memory = np.zeros((lanes, self.state), np.float32)

    def forget(self, lanes: NDArray[np.bool_]) -> None:
        """Those of the lanes bool[N] begin an episode."""
        self._memory[lanes] = 0.0

    def raw(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """Observations float32[N, D] -> raw outputs float32[N, A]."""
        if observations.ndim != 2 or observations.shape[1] != self._size:
            raise PolicyError(f"expected observations of shape (N, {self._size}), got {observations.shape}")
        rows = np.ascontiguousarray(observations, dtype=np.float32)
        run = self._session.run
        if self.state:
            return self._step(rows)
        outputs = [run([OUTPUT_NAME], {INPUT_NAME: rows[i : i + 1]})[0] for i in range(len(rows))]
        return np.concatenate(outputs) if outputs else np.empty((0, 0), np.float32)

    def _step(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        if len(rows) != len(self._memory):
            raise PolicyError(f"expected a row for each of {len(self._memory)} lanes, got {len(rows)}: reset it first")
        raw = []
        for lane in range(len(rows)):
            given = {INPUT_NAME: rows[lane : lane + 1], STATE_NAME: self._memory[lane : lane + 1]}
            made, self._memory[lane : lane + 1] = self._session.run([OUTPUT_NAME, NEXT_STATE_NAME], given)
            raw.append(made)
        return np.concatenate(raw)

    def act(self, observations: NDArray[np.float32]) -> NDArray[Any]:
        """Observations float32[N, D] -> float32[N, A] in [-1, 1], or int64[N] choices where `discrete`."""
        raw = self.raw(observations)
        return np.argmax(raw, axis=1).astype(np.int64) if self.discrete else raw


@dataclass(frozen=True)
class ParityReport:
    """The outcome of `check_parity`. Margins are in units of the raw output.

    Attributes:
        observations: how many were compared, extremes included.
        extremes: how many of them were made up rather than met.
        flips: decisions whose codes differ.
        first_flip: index of the first, -1 if none.
        raw_difference_max: largest |onnx - torch| over all raw outputs, in their own unit.
        margin_min: smallest distance of a decision to another one: to a bin's edge (Box), or between the best and
            the second best value (Discrete).
        margin_p01: its 1st percentile.
        distinct_actions: different code vectors seen, on observations met and made up.
    """

    observations: int
    extremes: int
    flips: int
    first_flip: int
    raw_difference_max: float
    margin_min: float
    margin_p01: float
    distinct_actions: int
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether the exported policy may stand for the model."""
        return not self.problems

    def require_ok(self) -> None:
        """Raises ExportError with every problem, if there is one."""
        if self.problems:
            raise ExportError("the exported policy is not the model: " + "; ".join(self.problems))

    def to_json(self) -> dict[str, Any]:
        """Plain data, with the verdict as `ok`."""
        return {"ok": self.ok, **asdict(self), "problems": list(self.problems)}


def extreme_observations(size: int, corners: int = 256, seed: int = 0) -> NDArray[np.float32]:
    """All -1, all +1, zeros, each column alone at -1 and +1, and seeded corners of the cube: float32[M, size].

    The corners come from `numpy.random.Philox(key=seed)`, a counter-based generator of their own.
    """
    eye = np.eye(size, dtype=np.float32)
    flat = np.stack([np.full(size, value, np.float32) for value in (-1.0, 1.0, 0.0)])
    bits = np.random.Philox(key=seed).random_raw(corners * size) >> np.uint64(63)
    signs = (bits.astype(np.float32) * 2.0 - 1.0).reshape(corners, size)
    return np.concatenate([flat, eye, -eye, signs])


def check_parity(
    model: BaseAlgorithm,
    onnx_bytes: bytes,
    observations: NDArray[np.float32],
    action_spec: ActionSpec,
    *,
    observations_min: int = OBSERVATIONS_MIN,
) -> ParityReport:
    """Compare the model with its export on observations it met and on the extremes of their space.

    Args:
        model: the SB3 model that was exported.
        onnx_bytes: the result of `export_policy(model)`.
        observations: float32[N, D] met while the model itself acted; N >= `observations_min`.
        action_spec: decodes actions to the codes that the desk acts on.

    Raises:
        PolicyError: observations of another shape than the graph's, or not finite.
    """
    met = finite_rows(observations)
    made_up = extreme_observations(met.shape[1])
    rows = np.concatenate([met, made_up])
    return compare_decisions(
        onnx_bytes, rows, len(made_up), _torch_raw(model, rows), _predict(model, rows), action_spec, observations_min
    )


def compare_decisions(
    onnx_bytes: bytes, rows: NDArray[np.float32], extremes: int, expected_raw: NDArray[np.float32],
    expected_actions: NDArray[Any], action_spec: ActionSpec, observations_min: int = OBSERVATIONS_MIN,
) -> ParityReport:  # fmt: skip
    """Compare a graph with what an original made of the same observations.

    Args:
        rows: float32[N, D], the last `extremes` of them made up.
        expected_raw: float32[N, A] values behind the original's actions.
        expected_actions: the actions themselves, as the original's `act` gives them.
        action_spec: decodes actions to the codes that the desk acts on.
        observations_min: how many rows must have been met.

    Raises:
        PolicyError: raw outputs of another shape.
    """
    raw = OnnxPolicy(onnx_bytes, not action_spec.continuous).raw(rows)
    return compare_outputs(raw, extremes, expected_raw, expected_actions, action_spec, observations_min)


def compare_outputs(
    raw: NDArray[np.float32], extremes: int, expected_raw: NDArray[np.float32],
    expected_actions: NDArray[Any], action_spec: ActionSpec, observations_min: int = OBSERVATIONS_MIN,
) -> ParityReport:  # fmt: skip
    """Compare a graph's raw outputs float32[N, A] with what an original made; see `compare_decisions`."""
    discrete = not action_spec.continuous
    expected_codes = action_spec.decode(expected_actions)
    if raw.shape != expected_raw.shape:
        raise PolicyError(
            f"expected raw outputs of shape {expected_raw.shape}, got {raw.shape}: another model's export?"
        )
    codes = action_spec.decode(np.argmax(raw, axis=1).astype(np.int64) if discrete else raw)

    count = len(raw)
    differs = np.any(codes.reshape(count, -1) != expected_codes.reshape(count, -1), axis=1)
    margins = choice_margins(raw) if discrete else _bin_margins(raw, action_spec)
    flips, difference = int(differs.sum()), float(np.abs(raw - expected_raw).max())
    distinct = len(np.unique(codes.reshape(count, -1), axis=0))
    scale = max(1.0, float(np.abs(expected_raw).max()))
    return ParityReport(
        observations=count,
        extremes=extremes,
        flips=flips,
        first_flip=int(np.argmax(differs)) if flips else -1,
        raw_difference_max=difference,
        margin_min=float(margins.min()),
        margin_p01=float(np.sort(margins)[len(margins) // 100]),
        distinct_actions=distinct,
        problems=find_problems(count - extremes, observations_min, flips, difference / scale, distinct),
    )


def finite_rows(observations: NDArray[np.float32]) -> NDArray[np.float32]:
    """Observations float32[N, D], contiguous. Raises PolicyError for another shape, or if they are not finite."""
    met = np.ascontiguousarray(observations, dtype=np.float32)
    if met.ndim != 2 or not np.isfinite(met).all():
        raise PolicyError(f"expected finite observations of shape (N, D), got shape {met.shape}")
    return met


def find_problems(met: int, met_min: int, flips: int, difference: float, distinct: int) -> tuple[str, ...]:
    """Every reason why an export may not stand for its model, as sentences.

    Args:
        distinct: different decisions seen, or whatever shows that something was compared.
        difference: of raw outputs, relative to the largest of them where that exceeds 1: values of actions have no
            fixed scale, and float32 keeps about seven digits whatever it is.
    """
    found = []
    if met < met_min:
        found.append(f"{met} observations, at least {met_min} are needed: let the policy act longer")
    if flips:
        found.append(f"{flips} decisions differ: retrain or re-export, the margins are too thin")
    if not difference <= RAW_TOLERANCE:
        found.append(f"raw outputs differ by {difference:.3g}, allowed is {RAW_TOLERANCE:g}: another model's export?")
    if distinct < DISTINCT_ACTIONS_MIN:
        found.append(f"{distinct} distinct outcomes, at least {DISTINCT_ACTIONS_MIN} are needed: nothing was compared")
    return tuple(found)


def _torch_raw(model: BaseAlgorithm, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    module = decision_module(model)
    with torch.no_grad():
        parts = [module(torch.from_numpy(rows[i : i + _BATCH])).numpy() for i in range(0, len(rows), _BATCH)]
    return np.concatenate(parts)


def _predict(model: BaseAlgorithm, rows: NDArray[np.float32]) -> NDArray[Any]:
    """The model's own deterministic actions: not the exported module's, so that a wrong module is seen."""
    return np.concatenate(
        [model.predict(rows[i : i + _BATCH], deterministic=True)[0] for i in range(0, len(rows), _BATCH)]
    )


def choice_margins(raw: NDArray[np.float32]) -> NDArray[np.float64]:
    """Best minus second best value per row: float64[N]."""
    best = np.sort(raw.astype(np.float64), axis=1)
    return best[:, -1] - best[:, -2]


def _bin_margins(raw: NDArray[np.float32], action_spec: ActionSpec) -> NDArray[np.float64]:
    """Distance of each row's nearest component to an inner bin edge, in action units: float64[N]."""
    bins = np.asarray(action_spec.bins, dtype=np.float64)
    scaled = (raw.astype(np.float64) + 1.0) / 2.0 * bins
    edge = np.clip(np.round(scaled), 1.0, bins - 1.0)
    distance: NDArray[np.float64] = (np.abs(scaled - edge) * 2.0 / bins).min(axis=1)
    return distance
