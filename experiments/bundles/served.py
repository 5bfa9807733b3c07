"""`ServedPolicy`: a network acts for a batch as it acts in service, by the runtime's own decision, guard and memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lobgym.experiments.errors import SubmissionError
from lobgym.runtime.bundle import LoadedBundle
from lobgym.runtime.engine import decide
from lobgym.runtime.policy import OUTPUT_NONFINITE, STATE_NONFINITE, OnnxPolicy
from lobgym.sim.desk_spec import DeskSpec

__all__ = ["ServedPolicy"]


class ServedPolicy:
    """A `Policy` whose every lane decides as a run of its own: one observation at a time.

    Args:
        policy: the network, as the runtime reads it.
        spec: the desk that it was made for.
        name: as results call it.
        ranked: whether it is compared with others: then the guard may not act in place of a network that fails.

    Attributes:
        last: (choice int64[N], agent int64[N]) of the last decision, for a hierarchy; -1 for others.

    Raises:
        SubmissionError: a ranked network gives outputs or states that are not finite; there is nothing to rank.
    """

    def __init__(self, policy: OnnxPolicy, spec: DeskSpec, name: str, *, ranked: bool = False) -> None:
        self.name = name
        self._policy = policy
        self._spec = spec
        self._bounds = (spec.layout.low, spec.layout.high)
        self._safe = spec.idle_codes
        self._ranked = ranked
        self.reset(0)

    @classmethod
    def of(cls, bundle: LoadedBundle, *, ranked: bool = False) -> ServedPolicy:
        """The policy of a bundle, under the bundle's name."""
        return cls(bundle.policy, bundle.spec, bundle.manifest.name, ranked=ranked)

    def reset(self, lanes: int, seed: int = 0) -> None:
        """Begin a run in every lane, which has a memory of its own."""
        self._memories = [self._policy.begin() for _ in range(lanes)]
        self.last = (np.full(lanes, -1, np.int64), np.full(lanes, -1, np.int64))

    def act(self, observations: NDArray[np.float32]) -> NDArray[Any]:
        """See `lobgym.agents.policy.Policy.act`."""
        rows = np.ascontiguousarray(observations, dtype=np.float32)
        made = [
            decide(self._policy, row, *self._bounds, self._safe, memory)
            for row, memory in zip(rows, self._memories, strict=True)
        ]
        if self._ranked and any(one.reason in (OUTPUT_NONFINITE, STATE_NONFINITE) for one in made):
            raise SubmissionError(f"{self.name} gives outputs or states that are not finite; it is not ranked")
        self.last = (np.array([one.choice for one in made]), np.array([one.agent for one in made]))
        codes = np.array([one.codes for one in made], np.int32).reshape(len(made), -1)
        return self._spec.action.encode(codes)
