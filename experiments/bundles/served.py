"""`BundlePolicy`: a bundle acts for a batch as it acts in service, guard, clock and all."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lobgym.runtime.bundle import LoadedBundle
from lobgym.runtime.engine import decide

__all__ = ["BundlePolicy"]


class BundlePolicy:
    """A `Policy` whose every lane decides as a run of the bundle: one observation at a time, by the runtime's code.

    Attributes:
        last: (choice int64[N], agent int64[N]) of the last decision, for a hierarchy; -1 for others.
    """

    def __init__(self, bundle: LoadedBundle, name: str | None = None) -> None:
        self.name = bundle.manifest.name if name is None else name
        self._bundle = bundle
        self._bounds = (bundle.spec.layout.low, bundle.spec.layout.high)
        self._safe = bundle.spec.idle_codes
        self.reset(0)

    def reset(self, lanes: int, seed: int = 0) -> None:
        """Begin a run in every lane."""
        self._clocks = [self._bundle.policy.clock() for _ in range(lanes)]
        self.last = (np.full(lanes, -1, np.int64), np.full(lanes, -1, np.int64))

    def act(self, observations: NDArray[np.float32]) -> NDArray[Any]:
        """See `lobgym.agents.policy.Policy.act`."""
        rows = np.ascontiguousarray(observations, dtype=np.float32)
        made = [
            decide(self._bundle, row, *self._bounds, self._safe, clock)
            for row, clock in zip(rows, self._clocks, strict=True)
        ]
        self.last = (np.array([one.choice for one in made]), np.array([one.agent for one in made]))
        codes = np.array([one.codes for one in made], np.int32).reshape(len(made), -1)
        return self._bundle.spec.action.encode(codes)
