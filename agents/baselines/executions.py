"""Ways to work a parent order written by hand, for desks of kind "execution"."""

from __future__ import annotations

from typing import Final

from lobgym.agents.baselines.arrays import Array, Ops, Steps, nearest_of
from lobgym.agents.baselines.rule import Column, ObservationRule
from lobgym.agents.columns import require_kind
from lobgym.sim.actions import CODE_AGGRESSIVENESS, EXECUTION_BINS
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.quotes.execution import SLICE_ALL, SLICE_EIGHTHS, TAKE

__all__ = ["Immediate", "Pov", "Twap"]

_EVEN: Final = SLICE_EIGHTHS.index(8)
_SWEEP: Final = EXECUTION_BINS[CODE_AGGRESSIVENESS] - 1


class Twap(ObservationRule):
    """The even pace over the time that is left, at the opposite best (or another `aggressiveness`)."""

    name = "twap"

    def __init__(self, spec: DeskSpec, aggressiveness: int = TAKE) -> None:
        super().__init__(spec)
        require_kind(spec, "execution", self.name)
        self._aggressiveness = aggressiveness

    def codes(self, rows: Array, ops: Ops) -> Array:
        """See `ObservationRule.codes`."""
        return self.constant(rows, ops, [_EVEN, self._aggressiveness])


class Pov(ObservationRule):
    """Trades when the market does: the even pace times the last second's volume over its mean of 30 seconds.

    Of the paces that the desk knows the nearest is taken, none slower than a quarter. Like any participation rule it
    does not promise to be done at the deadline.
    """

    name = "pov"

    def __init__(self, spec: DeskSpec, aggressiveness: int = TAKE) -> None:
        super().__init__(spec)
        require_kind(spec, "execution", self.name)
        self._aggressiveness = float(aggressiveness)
        self._activity = Column(spec, "activity")
        slices = [code for code, eighths in enumerate(SLICE_EIGHTHS) if eighths > 0]
        paces = nearest_of([SLICE_EIGHTHS[code] / 8 for code in slices])
        self._slice = Steps(paces.edges, [slices[int(place)] for place in paces.values])

    def codes(self, rows: Array, ops: Ops) -> Array:
        """See `ObservationRule.codes`."""
        # activity is V / (V + W/30); V / (W/30) is the share of V over the rest, and the column's scale would be 1.
        activity = ops.minimum(ops.maximum(self._activity.raw(rows), 0.0), 0.999)
        chosen = ops.steps(activity / (1.0 - activity), self._slice)
        return ops.join([chosen, 0.0 * chosen + self._aggressiveness])


class Immediate(ObservationRule):
    """All of it now, through the book as far as the desk lets an order walk, and again until it is done."""

    name = "immediate"

    def __init__(self, spec: DeskSpec) -> None:
        super().__init__(spec)
        require_kind(spec, "execution", self.name)

    def codes(self, rows: Array, ops: Ops) -> Array:
        """See `ObservationRule.codes`."""
        return self.constant(rows, ops, [SLICE_EIGHTHS.index(SLICE_ALL), _SWEEP])
