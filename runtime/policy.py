"""`OnnxPolicy`: one observation in, one bounded decision out, on preallocated memory and one thread.

What a run has to remember between two decisions is a `Memory`: a hierarchy's clock and a recurrent network's state.
Whoever lets the policy act holds one for every run (or lane), from `OnnxPolicy.begin`; the policy itself has none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from lobgym.runtime.errors import ModelError, PolicyError
from lobgym.runtime.hierarchy import NOBODY, HierarchyReader, MacroClock
from lobgym.runtime.manifest import Hierarchy
from lobgym.runtime.model_check import check_model
from lobgym.sim.desk_spec import DeskSpec

__all__ = ["DECIDED", "OUTPUT_NONFINITE", "STATE_NONFINITE", "Memory", "OnnxPolicy", "Verdict"]

MARGIN_SCALE: Final = 1_000_000  # a margin of 1.0 in fixed point
MARGIN_MAX: Final = 1 << 53
DECIDED: Final = "ok"
OUTPUT_NONFINITE: Final = "output_nonfinite"
STATE_NONFINITE: Final = "state_nonfinite"


@dataclass
class Memory:
    """What a run of a policy remembers between two decisions. A new one, of `OnnxPolicy.begin`, for every run.

    Attributes:
        state: float32[S] that a recurrent network left at its last decision; zeros before the first, S = 0 for others.
        clock: of a hierarchy; None for others.
    """

    state: NDArray[np.float32]
    clock: MacroClock | None = None

    def tick(self) -> None:
        """A decision begins: the clock counts it, whatever the guard does."""
        if self.clock is not None:
            self.clock.tick()


class Verdict(NamedTuple):
    """A decision: the desk's codes, the margin in millionths, and a hierarchy's choice and agent (else NOBODY).

    Where `reason` is not DECIDED there is no decision, and no codes.
    """

    codes: tuple[int, ...]
    margin: int
    choice: int
    agent: int
    reason: str = DECIDED

    @property
    def golden(self) -> list[int]:
        """As a manifest states it: the codes, and behind them a hierarchy's choice and agent."""
        return list(self.codes) if self.choice == NOBODY else [*self.codes, self.choice, self.agent]


class OnnxPolicy:
    """A network over verified bytes, for one desk.

    The raw output is float32[outputs]: for targets one value a choice, of which the largest wins (the first of equals);
    for every other kind of desk the action itself, clipped to [-1, 1] and cut into bins. A hierarchy's is a row of
    values for its `reader` (`lobgym.runtime.hierarchy`). A recurrent network takes a state float32[state] beside the
    observation and leaves the next one; `state` is 0 for others.

    Raises `ModelError` for bytes that are not an acceptable network or do not fit the desk, and `BundleError` for a
    hierarchy that does not.
    """

    def __init__(self, data: bytes, spec: DeskSpec, hierarchy: Hierarchy | None = None) -> None:
        shape = check_model(data)
        self.reader = None if hierarchy is None else HierarchyReader(hierarchy, spec)
        self.inputs = shape.inputs
        self.outputs = shape.outputs
        self.state = shape.state
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
        self._state, self._next = (np.zeros((1, shape.state), dtype=np.float32) for _ in range(2))
        try:
            self._session = ort.InferenceSession(data, _options(), providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has exceptions of its own without a common base
            raise ModelError(f"onnxruntime refuses the network: {error}") from error
        self._binding = self._session.io_binding()
        for bind, name, values in (
            (self._binding.bind_input, shape.input_name, self._observation),
            (self._binding.bind_output, shape.output_name, self._raw),
            (self._binding.bind_input, shape.state_name, self._state),
            (self._binding.bind_output, shape.next_state_name, self._next),
        ):
            if name:
                bind(name, "cpu", 0, np.float32, values.shape, values.ctypes.data)

    def begin(self) -> Memory:
        """What a run of this policy begins with: a state of zeros, a choice that is due."""
        clock = None if self.reader is None else MacroClock(self.reader.macro_steps)
        return Memory(np.zeros(self.state, np.float32), clock)

    def infer(self, observation: NDArray[np.float32], memory: Memory | None = None) -> NDArray[np.float32]:
        """Observation float32[inputs] -> raw output float32[outputs]: a view that the next call overwrites.

        A recurrent network begins with the memory's state, which stays as it is; without a memory, with zeros.
        """
        if observation.shape != (self.inputs,):
            raise PolicyError(f"expected an observation of shape ({self.inputs},), got {observation.shape}")
        if memory is not None and memory.state.shape != (self.state,):
            raise PolicyError(f"expected a state of shape ({self.state},), got {memory.state.shape}")
        self._observation[0] = observation
        self._state[0] = 0.0 if memory is None else memory.state
        self._session.run_with_iobinding(self._binding)
        raw: NDArray[np.float32] = self._raw[0]
        return raw

    def decide(self, observation: NDArray[np.float32], memory: Memory) -> Verdict:
        """The decision on an observation float32[D], noted in the memory. `Memory.tick` came before.

        There is none where the output or the state that the network leaves is not finite: `reason` says so, and the
        memory stays as it was.
        """
        raw = self.infer(observation, memory)
        for values, reason in ((raw, OUTPUT_NONFINITE), (self._next, STATE_NONFINITE)):
            if not np.isfinite(values).all():
                return Verdict((), 0, NOBODY, NOBODY, reason)
        memory.state[:] = self._next[0]
        return self.judge(raw, observation, memory.clock)

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
