"""`OnnxPolicy`: one observation in, one bounded decision out, on preallocated memory and one thread."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from lobgym.runtime.errors import ModelError, PolicyError
from lobgym.runtime.hierarchy import NOBODY, HierarchyReader, MacroClock
from lobgym.runtime.manifest import Hierarchy
from lobgym.runtime.model_check import check_model
from lobgym.sim.desk_spec import DeskSpec

__all__ = ["OnnxPolicy", "Verdict"]

MARGIN_SCALE: Final = 1_000_000  # a margin of 1.0 in fixed point
MARGIN_MAX: Final = 1 << 53


class Verdict(NamedTuple):
    """A decision: the desk's codes, the margin in millionths, and a hierarchy's choice and agent (else NOBODY)."""

    codes: tuple[int, ...]
    margin: int
    choice: int
    agent: int

    @property
    def golden(self) -> list[int]:
        """As a manifest states it: the codes, and behind them a hierarchy's choice and agent."""
        return list(self.codes) if self.choice == NOBODY else [*self.codes, self.choice, self.agent]


class OnnxPolicy:
    """A network over verified bytes, for one desk.

    The raw output is float32[outputs]: for targets one value a choice, of which the largest wins (the first of equals);
    for every other kind of desk the action itself, clipped to [-1, 1] and cut into bins. A hierarchy's is a row of
    values for its `reader` (`lobgym.runtime.hierarchy`).

    Raises `ModelError` for bytes that are not an acceptable network or do not fit the desk, and `BundleError` for a
    hierarchy that does not.
    """

    def __init__(self, data: bytes, spec: DeskSpec, hierarchy: Hierarchy | None = None) -> None:
        shape = check_model(data)
        self.reader = None if hierarchy is None else HierarchyReader(hierarchy, spec)
        self.inputs = shape.inputs
        self.outputs = shape.outputs
        self._action = spec.action
        self._bins = np.array(spec.action.bins, dtype=np.float64) if spec.action.continuous else None
        wanted = spec.action.size if spec.action.continuous else spec.action.bins[0]
        expected = (spec.layout.size, wanted if self.reader is None else self.reader.outputs)
        if (shape.inputs, shape.outputs) != expected:
            raise ModelError(
                f"the desk needs a network of {expected[0]} inputs and {expected[1]} outputs, "
                f"this one has {shape.inputs} and {shape.outputs}"
            )
        self._observation = np.zeros((1, shape.inputs), dtype=np.float32)
        self._raw = np.zeros((1, shape.outputs), dtype=np.float32)
        try:
            self._session = ort.InferenceSession(data, _options(), providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has exceptions of its own without a common base
            raise ModelError(f"onnxruntime refuses the network: {error}") from error
        self._binding = self._session.io_binding()
        for bind, name, values in (
            (self._binding.bind_input, shape.input_name, self._observation),
            (self._binding.bind_output, shape.output_name, self._raw),
        ):
            bind(name, "cpu", 0, np.float32, values.shape, values.ctypes.data)

    def infer(self, observation: NDArray[np.float32]) -> NDArray[np.float32]:
        """Observation float32[inputs] -> raw output float32[outputs]: a view that the next call overwrites."""
        if observation.shape != (self.inputs,):
            raise PolicyError(f"expected an observation of shape ({self.inputs},), got {observation.shape}")
        self._observation[0] = observation
        self._session.run_with_iobinding(self._binding)
        raw: NDArray[np.float32] = self._raw[0]
        return raw

    def clock(self) -> MacroClock | None:
        """What a run with this policy remembers from decision to decision; None where that is nothing."""
        return None if self.reader is None else MacroClock()

    def judge(
        self, raw: NDArray[np.float32], observation: NDArray[np.float32], clock: MacroClock | None = None
    ) -> Verdict:
        """The decision that a finite row float32[outputs] says for its observation float32[D].

        A hierarchy makes a choice where it is due by the clock; without a clock, in any case.
        """
        if self.reader is None:
            return Verdict(tuple(self.decode(raw).tolist()), self.margin(raw), NOBODY, NOBODY)
        reading = self.reader.read(raw, observation, clock)
        return Verdict((reading.code,), _millionths(reading.margin), reading.choice, reading.agent)

    def decode(self, raw: NDArray[np.float32]) -> NDArray[np.int32]:
        """Raw output float32[outputs] -> integer codes int32[C] of the desk's action. Raw must be finite.

        Raises `PolicyError` for a hierarchy, whose row says nothing without the position and the clock.
        """
        if self.reader is not None:
            raise PolicyError("a hierarchy's values are read with the position and the clock: use its reader")
        action = np.clip(raw, -1.0, 1.0)[None, :] if self._action.continuous else np.array([np.argmax(raw)])
        codes: NDArray[np.int32] = self._action.decode(action)[0]
        return codes

    def margin(self, raw: NDArray[np.float32]) -> int:
        """How far the decision was from another one, in millionths.

        Targets: the largest output less the second largest. Else: the smallest distance of an action to an edge between
        two bins, in bins. Evidence, not part of any hash.
        """
        if self._bins is not None:
            place = (np.clip(raw.astype(np.float64), -1.0, 1.0) + 1.0) / 2.0 * self._bins
            edge = np.clip(np.rint(place), 1.0, self._bins - 1.0)
            distance = float(np.min(np.abs(place - edge)))
        elif self.outputs == 1:
            return MARGIN_MAX
        else:
            second, first = np.partition(raw.astype(np.float64), -2)[-2:]
            distance = float(first - second)
        return _millionths(distance)


def _millionths(distance: float) -> int:
    return int(min(distance * MARGIN_SCALE, MARGIN_MAX))


def _options() -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.use_deterministic_compute = True
    options.log_severity_level = 4
    return options
