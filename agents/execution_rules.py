"""Ways to work a parent order written by hand, for desks of kind "execution"."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lobgym.agents.columns import column_of, require_kind
from lobgym.sim.actions import CODE_AGGRESSIVENESS, CODE_SLICE, EXECUTION_BINS
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.quotes.execution import SLICE_ALL, SLICE_EIGHTHS, TAKE

__all__ = ["Immediate", "Pov", "Twap"]

_EVEN: Final = SLICE_EIGHTHS.index(8)
_SWEEP: Final = EXECUTION_BINS[CODE_AGGRESSIVENESS] - 1


class _Rule:
    """What the rules share: a slice of their own, and one aggressiveness."""

    name = ""

    def __init__(self, spec: DeskSpec, aggressiveness: int) -> None:
        require_kind(spec, "execution", self.name)
        self._spec = spec
        self._aggressiveness = aggressiveness

    def reset(self, lanes: int, seed: int = 0) -> None:
        """Nothing to forget."""

    def act(self, observations: NDArray[np.float32]) -> NDArray[Any]:
        """See `Policy.act`."""
        codes = np.empty((len(observations), self._spec.action.size), np.int32)
        codes[:, CODE_SLICE] = self._slices(observations)
        codes[:, CODE_AGGRESSIVENESS] = self._aggressiveness
        return self._spec.action.encode(codes)

    def _slices(self, observations: NDArray[np.float32]) -> Any:
        raise NotImplementedError


class Twap(_Rule):
    """The even pace over the time that is left, at the opposite best (or another `aggressiveness`)."""

    name = "twap"

    def __init__(self, spec: DeskSpec, aggressiveness: int = TAKE) -> None:
        super().__init__(spec, aggressiveness)

    def _slices(self, observations: NDArray[np.float32]) -> Any:
        return _EVEN


class Pov(_Rule):
    """Trades when the market does: the even pace times the last second's volume over its mean of 30 seconds.

    Of the paces that the desk knows the nearest is taken, none slower than a quarter. Like any participation rule it
    does not promise to be done at the deadline.
    """

    name = "pov"

    def __init__(self, spec: DeskSpec, aggressiveness: int = TAKE) -> None:
        super().__init__(spec, aggressiveness)
        self._activity, _ = column_of(spec, "activity")
        self._codes = np.array([code for code, eighths in enumerate(SLICE_EIGHTHS) if eighths > 0], np.int32)
        self._paces = np.array([eighths / 8 for eighths in SLICE_EIGHTHS if eighths > 0])

    def _slices(self, observations: NDArray[np.float32]) -> Any:
        # activity is V / (V + W/30); V / (W/30) is the share of V over the rest.
        activity = np.clip(observations[:, self._activity].astype(np.float64), 0.0, 0.999)
        wanted = activity / (1.0 - activity)
        return self._codes[np.argmin(np.abs(self._paces[None, :] - wanted[:, None]), axis=1)]


class Immediate(_Rule):
    """All of it now, through the book as far as the desk lets an order walk, and again until it is done."""

    name = "immediate"

    def __init__(self, spec: DeskSpec) -> None:
        super().__init__(spec, _SWEEP)

    def _slices(self, observations: NDArray[np.float32]) -> Any:
        return SLICE_EIGHTHS.index(SLICE_ALL)
