"""`RegimeFSM`: which of 27 regimes the market is in, with a confidence, slow to change its mind, and on record.

A regime is a bucket of each of three quantities: volatility (calm, normal, wild), liquidity (deep, normal, thin) and
trend (falling, none, rising). A bucket is left only beyond its edge by a margin, a regime only when the new one has
been seen `dwell` times in a row, so that noise around an edge changes nothing. Every change is logged.

The confidence is 0 on an edge and 1 from two margins on, and that of a regime the least of its three. At the very
point where hysteresis lets a bucket go it is one half.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lobgym.agents.errors import PolicyError

__all__ = ["AXES", "BUCKETS", "LOG_MAX", "NO_REGIME", "Axis", "RegimeFSM", "RegimeTransition", "regime_name"]

AXES: Final = ("volatility", "liquidity", "trend")
BUCKETS: Final = (("calm", "normal", "wild"), ("deep", "normal", "thin"), ("falling", "none", "rising"))
NO_REGIME: Final = -1
LOG_MAX: Final = 100_000  # transitions that are kept; later ones are only counted
_SIZE: Final = 3


@dataclass(frozen=True)
class Axis:
    """Two edges that cut a quantity into three buckets, and the margin of their hysteresis, all in its unit.

    Raises:
        PolicyError: edges that do not ascend, a margin that is not positive, or so wide that two edges overlap.
    """

    low: float
    high: float
    margin: float

    def __post_init__(self) -> None:
        if not (self.low < self.high and 0.0 < self.margin <= (self.high - self.low) / 2.0):
            raise PolicyError(
                f"an axis needs low < high and a margin up to half their distance, got {self.low}, {self.high}, "
                f"{self.margin}"
            )


@dataclass(frozen=True)
class RegimeTransition:
    """A lane's change of regime at a step since its reset; `before` is NO_REGIME at the first."""

    lane: int
    step: int
    before: int
    after: int
    confidence: float

    def to_json(self) -> dict[str, Any]:
        """Plain data, with the regimes' names."""
        return asdict(self) | {"before_name": regime_name(self.before), "after_name": regime_name(self.after)}


def regime_name(regime: int) -> str:
    """Such as "calm-deep-rising"; "none yet" before the first."""
    if regime == NO_REGIME:
        return "none yet"
    parts = (regime // 9, regime // 3 % 3, regime % 3)
    return "-".join(BUCKETS[axis][bucket] for axis, bucket in enumerate(parts))


class RegimeFSM:
    """The regimes of N lanes.

    Args:
        axes: volatility, liquidity, trend.
        dwell: how many steps in a row a new regime must be seen to be believed, at least 1.

    Attributes:
        regime: int64[N]. confidence: float64[N], of the regime that was seen last.
        log: transitions in the order of steps and lanes. dropped: how many were not kept.
    """

    def __init__(self, axes: tuple[Axis, Axis, Axis], dwell: int = 3) -> None:
        if len(axes) != _SIZE or isinstance(dwell, bool) or not isinstance(dwell, int) or dwell < 1:
            raise PolicyError(f"expected three axes and a dwell of at least 1 step, got {axes}, {dwell!r}")
        self._edges = np.array([[axis.low, axis.high] for axis in axes])
        self._margins = np.array([[axis.margin] for axis in axes])
        self._dwell = dwell
        self.reset(0)

    def reset(self, lanes: int) -> None:
        """Forget everything, the log too; `lanes` lanes follow."""
        self.regime = np.full(lanes, NO_REGIME, np.int64)
        self.confidence = np.zeros(lanes)
        self.log: list[RegimeTransition] = []
        self.dropped = 0
        self._buckets = np.zeros((lanes, _SIZE), np.int64)
        self._pending = np.full(lanes, NO_REGIME, np.int64)
        self._seen = np.zeros(lanes, np.int64)
        self._step = 0

    def step(self, values: NDArray[np.float64]) -> NDArray[np.int64]:
        """Take in float64[N, 3] of volatility, liquidity and trend; returns the regimes int64[N].

        Raises:
            PolicyError: another shape than [N, 3].
        """
        if values.shape != (len(self.regime), _SIZE):
            raise PolicyError(f"expected values of shape [{len(self.regime)}, {_SIZE}], got {list(values.shape)}")
        away = values[:, :, None] - self._edges[None]
        margins = self._margins[None]
        plain = (away >= 0.0).sum(axis=2)
        # From a bucket upwards only beyond an edge plus the margin, downwards only below an edge less the margin.
        held = np.clip(self._buckets, (away >= margins).sum(axis=2), (away >= -margins).sum(axis=2))
        first = self.regime == NO_REGIME
        buckets = np.where(first[:, None], plain, held)
        wanted = buckets[:, 0] * 9 + buckets[:, 1] * 3 + buckets[:, 2]
        self.confidence = np.minimum(np.abs(away).min(axis=2) / (2.0 * self._margins[:, 0]), 1.0).min(axis=1)
        changes = wanted != self.regime
        self._seen = np.where(changes, np.where(wanted == self._pending, self._seen + 1, 1), 0)
        self._pending = np.where(changes, wanted, NO_REGIME)
        moved = changes & (first | (self._seen >= self._dwell))
        for lane in np.flatnonzero(moved):
            self._record(int(lane), int(wanted[lane]))
        self.regime = np.where(moved, wanted, self.regime)
        self._buckets[moved] = buckets[moved]
        self._seen[moved] = 0
        self._pending[moved] = NO_REGIME
        self._step += 1
        return self.regime

    def _record(self, lane: int, after: int) -> None:
        if len(self.log) >= LOG_MAX:
            self.dropped += 1
            return
        before, confidence = int(self.regime[lane]), float(self.confidence[lane])
        self.log.append(RegimeTransition(lane, self._step, before, after, confidence))
