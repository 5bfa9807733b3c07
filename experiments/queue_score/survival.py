"""How long until an order is filled, where many are cancelled first: the Kaplan-Meier estimate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

__all__ = ["AT_RISK_MIN", "Curves", "sup_distances", "survival"]

AT_RISK_MIN: Final = 100  # of fewer orders under watch, one fill is a step of more than a hundredth


@dataclass(frozen=True)
class Curves:
    """Step functions over the same times, one for each resample: the share not filled after a time.

    Attributes:
        times: float64[T], ascending; when something was filled.
        values: float64[R, T], from each time on; 1 before the first.
        until: known up to here: afterwards, fewer orders are under watch than were asked for.
    """

    times: Any
    values: Any
    until: float

    def at(self, t: Any) -> Any:
        """float64[R, len(t)]: the share not filled by each time."""
        values = np.column_stack([np.ones(len(self.values)), self.values])
        return values[:, np.searchsorted(self.times, t, side="right")]


def survival(
    durations: Any,
    filled: Any,
    block: Any | None = None,
    draws: Any | None = None,
    at_risk_min: int = AT_RISK_MIN,
) -> Curves:
    """Kaplan and Meier 1958: the product over the times of fills of 1 - fills / orders at risk.

    Args:
        durations: float64[n], time under watch.
        filled: bool[n], whether that ended with the fill; else the order left unfilled (censored), and counts as at
            risk at that time.
        block: int64[n], the block that each belongs to.
        draws: float64[R, blocks], how often each block counts, for each resample; every block once if None.
    """
    block = np.zeros(len(durations), np.int64) if block is None else block
    draws = np.ones((1, int(block.max(initial=0)) + 1)) if draws is None else draws
    blocks = draws.shape[1]
    times = np.unique(durations[filled])
    died = np.zeros((blocks, len(times)))
    np.add.at(died, (block[filled], np.searchsorted(times, durations[filled])), 1.0)
    # An order is at risk at every time of a fill up to its own end.
    ends = np.zeros((blocks, len(times) + 1))
    np.add.at(ends, (block, np.searchsorted(times, durations, side="right")), 1.0)
    at_risk = np.cumsum(ends[:, ::-1], axis=1)[:, ::-1][:, 1:]
    lost, exposed = draws @ died, draws @ at_risk
    values = np.cumprod(1.0 - np.divide(lost, exposed, out=np.zeros_like(lost), where=exposed > 0), axis=1)
    longest = np.sort(durations)
    until = float(longest[-at_risk_min]) if len(longest) >= at_risk_min else 0.0
    return Curves(times, np.maximum(values, 0.0), until)


def sup_distances(one: Curves, other: Curves) -> Any:
    """float64[R]: the largest distance between two curves, as far as both are known."""
    t = np.union1d(one.times, other.times)
    t = t[t <= min(one.until, other.until)]
    return np.abs(one.at(t) - other.at(t)).max(axis=1, initial=0.0)
